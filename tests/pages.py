"""The snippets of README.md and docs/: where they stand, what is said of them, and how a consumer's program is run."""

from __future__ import annotations

import re
import runpy
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [page for page in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))) if page.is_file()]
BLOCK = re.compile(
    r"(?:^<!-- test: (?P<words>[a-z ]+?) -->\n)?"
    r"^(?P<fence>`{3,})(?P<language>python|console|bash)\n(?P<body>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
HEADING = re.compile(r"^#{2,6} (.+)$", re.MULTILINE)
PROGRAM_LINES = 30


@dataclass(frozen=True)
class Snippet:
    page: Path
    line: int
    heading: str
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
            next(iter(HEADING.findall(text[: found.start()])[::-1]), ""),
            found["language"],
            frozenset((found["words"] or "").split()),
            found["body"],
        )
        for found in BLOCK.finditer(text)
    ]


def docs_program(heading: str, folder: Path) -> dict[str, object]:
    """Run the one program that docs/environments.md has under a heading, as a file in `folder`; return its names.

    It is the Python block marked `<!-- test: consumer -->`, which nothing but the test of that consumer runs.
    """
    found = [
        snippet
        for snippet in snippets(REPOSITORY / "docs" / "environments.md")
        if "consumer" in snippet.words and snippet.heading == heading
    ]
    assert len(found) == 1, f"docs/environments.md has {len(found)} programs of consumers under {heading!r}, not one"
    program = found[0]
    lines = len(program.body.splitlines())
    assert lines <= PROGRAM_LINES, f"{program}: {lines} lines; a program is at most {PROGRAM_LINES}"
    path = folder / "program.py"
    # Padded, so that a traceback names the line of the page.
    path.write_text("\n" * program.line + program.body, encoding="utf-8")
    return runpy.run_path(str(path), run_name="__main__")
