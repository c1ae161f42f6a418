r"""Every snippet of README.md and docs/ runs, in the order of its page, in one empty folder and one Python namespace.

Python blocks are executed. In a `console` block the lines that begin with `$ ` are commands (a `\` at the end continues
one), the others their output; a `bash` block is one script. Commands must end with status 0. A comment on the line
before a block says what is special about it, in one or more words:

    <!-- test: model -->    needs a language model    <!-- test: slow -->    takes minutes (both: `make test-all`)
    <!-- test: vllm -->     with `model`: needs vLLM as well, in an environment of its own (`make vllm`)
    <!-- test: exact -->    the lines of output shown must come out, in order; `...` stands for any others
    <!-- test: no -->       is not run: a listing of output, or the commands that make what the tests run in
    <!-- test: consumer --> needs another library: the one program of docs/consumers/NAME.md, run in that library's own
                            environment by tests/consumers/test_consumer_NAME.py, through `pages.docs_program`
    <!-- test: container --> needs a base image for the package's container: tests/test_container.py runs it
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import CONSUMERS, PAGES, REPOSITORY, Snippet, anchors, links, snippets

NEEDS = {"model", "slow", "vllm"}
ELSEWHERE = {"consumer", "container"}  # run by tests of their own
LINKING = [*PAGES, REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "CHANGELOG.md"]
SET_UP = re.compile(r"make|git clone|cd|pip install|python3? -m venv|source|sudo|export")


def cases() -> Iterator[object]:
    """Yield, for each page, its quick snippets; then these again with those that need more, for each such need."""
    for page in PAGES:
        name = page.relative_to(REPOSITORY)
        yield pytest.param(page, frozenset(), id=str(name))
        for needs in sorted({snippet.words & NEEDS for snippet in snippets(page)} - {frozenset()}, key=sorted):
            marks = [getattr(pytest.mark, need) for need in needs - {"vllm"}]
            if "vllm" in needs and not os.environ.get("MARS2_VLLM_PYTHON"):
                marks.append(pytest.mark.skip(reason="no vLLM: run `make vllm`, then set MARS2_VLLM_PYTHON"))
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
        if snippet.words & {"no", *ELSEWHERE} or not snippet.words & NEEDS <= needs:
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
        assert snippet.words <= NEEDS | {"exact", "no", *ELSEWHERE}, f"{snippet}: an unknown word in {snippet.words}"
        if "no" in snippet.words:
            assert snippet.language != "python", f"{snippet}: Python is always run"
            for command, _ in snippet.commands():
                assert SET_UP.match(command), f"{snippet}: only set-up commands may go untested, not `{command}`"


def test_each_program_for_a_consumer_is_run_by_the_test_of_that_consumer() -> None:
    programs = [snippet for page in PAGES for snippet in snippets(page) if "consumer" in snippet.words]
    assert programs
    for snippet in programs:
        consumer = snippet.page.stem
        assert snippet.page.parent == CONSUMERS, f"{snippet}: a consumer's program stands on a page in docs/consumers"
        test = REPOSITORY / "tests" / "consumers" / f"test_consumer_{consumer}.py"
        assert test.is_file(), f"{snippet}: there is no {test.name}"
        run = re.findall(r"(?:docs_program|trained)\(\s*\"([^\"]+)\"", test.read_text(encoding="utf-8"))
        assert consumer in run, f"{snippet}: {test.name} does not run the program of {consumer!r}"


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_to_a_file_or_heading_of_the_repository_leads_there(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists() and target.is_relative_to(REPOSITORY), f"{page}: ({link}) leads nowhere"
        assert not anchor or anchor in anchors(target), f"{page}: ({link}): no such heading there"


def test_every_page_is_reached_by_links_from_the_readme() -> None:
    reached, ahead = set(), [REPOSITORY / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in PAGES and page not in reached:
            reached.add(page)
            ahead += [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
    assert reached == set(PAGES)
