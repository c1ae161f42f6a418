"""The pages for people: their snippets and what is said of them, their links, and how a consumer's program is run."""

from __future__ import annotations

import re
import runpy
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CONSUMERS = REPOSITORY / "docs" / "consumers"
PAGES = [page for page in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))) if page.is_file()]
BLOCK = re.compile(
    r"(?:^<!-- test: (?P<words>[a-z ]+?) -->\n)?"
    r"^(?P<fence>`{3,})(?P<language>python|console|bash)\n(?P<body>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
FENCED = re.compile(r"^(?P<fence>`{3,})[^\n]*\n.*?^(?P=fence)$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} (.+?)[ #]*$", re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+)\)")
PROGRAM_LINES = 30


@dataclass(frozen=True)
class Snippet:
    page: Path
    line: int
    language: str
    words: frozenset[str]
    body: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"

    def commands(self) -> list[tuple[str, list[str]]]:
        """Return each command with the lines of output shown for it."""
        if self.language == "bash":
            return [(self.body, [])]
        found: list[tuple[str, list[str]]] = []
        for line in self.body.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            elif found:
                found[-1][1].append(line)
        return found


def snippets(page: Path) -> list[Snippet]:
    text = page.read_text(encoding="utf-8")
    return [
        Snippet(
            page,
            text.count("\n", 0, found.start("body")),
            found["language"],
            frozenset((found["words"] or "").split()),
            found["body"],
        )
        for found in BLOCK.finditer(text)
    ]


def links(page: Path) -> list[str]:
    """Return where a page's links lead, as they are written; what stands in code is no link."""
    return LINK.findall(re.sub(r"`[^`\n]*`", "", FENCED.sub("", page.read_text(encoding="utf-8"))))


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives the headings of a page, by which links name them."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w -]", "", shown).replace(" ", "-")
        before = sum(1 for other in found if re.fullmatch(f"{re.escape(name)}(-[0-9]+)?", other))
        found.add(f"{name}-{before}" if before else name)
    return found


def docs_program(consumer: str, folder: Path) -> dict[str, object]:
    """Run the one program that docs/consumers/CONSUMER.md marks as one, as a file in `folder`; return its names.

    It is the Python block marked `<!-- test: consumer -->`, which nothing but the test of that consumer runs.
    """
    page = CONSUMERS / f"{consumer}.md"
    found = [snippet for snippet in snippets(page) if "consumer" in snippet.words]
    assert len(found) == 1, f"{page.relative_to(REPOSITORY)} has {len(found)} programs of consumers, not one"
    program = found[0]
    lines = len(program.body.splitlines())
    assert lines <= PROGRAM_LINES, f"{program}: {lines} lines; a program is at most {PROGRAM_LINES}"
    path = folder / "program.py"
    # Padded, so that a traceback names the line of the page.
    path.write_text("\n" * program.line + program.body, encoding="utf-8")
    return runpy.run_path(str(path), run_name="__main__")
