r"""Every snippet of README.md and docs/ runs, in the order of its page, in one empty folder and one Python namespace.

Python blocks are executed. In a `console` block the lines that begin with `$ ` are commands (a `\` at the end continues
one), the others their output; a `bash` block is one script. Commands must end with status 0. A comment on the line
before a block says what is special about it, in one or more words:

    <!-- test: model -->    needs a language model    <!-- test: slow -->    takes minutes (both: `make test-all`)
    <!-- test: exact -->    the lines of output shown must come out, in order; `...` stands for any others
    <!-- test: no -->       is not run: a listing of output, or the commands that make what the tests run in
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [page for page in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))) if page.is_file()]
BLOCK = re.compile(
    r"(?:^<!-- test: (?P<words>[a-z ]+?) -->\n)?"
    r"^(?P<fence>`{3,})(?P<language>python|console|bash)\n(?P<body>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
NEEDS = {"model", "slow"}
SET_UP = re.compile(r"make|git clone|cd|pip install|python3? -m venv|source|sudo|export")


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


def cases() -> Iterator[object]:
    """Yield, for each page, its quick snippets; then these again with those that need more, for each such need."""
    for page in PAGES:
        name = page.relative_to(REPOSITORY)
        yield pytest.param(page, frozenset(), id=str(name))
        for needs in sorted({snippet.words & NEEDS for snippet in snippets(page)} - {frozenset()}, key=sorted):
            marks = [getattr(pytest.mark, need) for need in needs]
            yield pytest.param(page, needs, id="-".join([str(name), *sorted(needs)]), marks=marks)


def run_command(snippet: Snippet, command: str, shown: list[str]) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{snippet}: `{command}` exited with {done.returncode}:\n{done.stdout}"
    if "exact" in snippet.words:
        printed = iter([" ".join(line.split()) for line in done.stdout.splitlines()])
        for line in shown:
            wanted = " ".join(line.split())
            assert wanted in ("", "...") or wanted in printed, f"{snippet}: no line {wanted!r} in:\n{done.stdout}"


@pytest.mark.docker
@pytest.mark.parametrize(("page", "needs"), list(cases()))
def test_snippets_run(page: Path, needs: frozenset[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for snippet in snippets(page):
        if "no" in snippet.words or not snippet.words & NEEDS <= needs:
            continue
        if snippet.language == "python":
            # Padded, so that a traceback names the line of the page.
            exec(compile("\n" * snippet.line + snippet.body, str(page), "exec", dont_inherit=True), namespace)
        else:
            for command, shown in snippet.commands():
                run_command(snippet, command, shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_only_set_up_and_listings_go_untested(page: Path) -> None:
    for snippet in snippets(page):
        assert snippet.words <= {"model", "slow", "exact", "no"}, f"{snippet}: an unknown word among {snippet.words}"
        if "no" in snippet.words:
            assert snippet.language != "python", f"{snippet}: Python is always run"
            for command, _ in snippet.commands():
                assert SET_UP.match(command), f"{snippet}: only set-up commands may go untested, not `{command}`"
