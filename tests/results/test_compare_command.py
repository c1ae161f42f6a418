"""`mars2 compare`: what it prints for people and for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from in_process import mars2
from toys import Guesser, problem_set, sandbox

import mars2_env
from mars2_env.results import grading

GUIDE = (Path(__file__).parents[2] / "docs/guide.md").read_text(encoding="utf-8")
Compare = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on a file of toy problems, as the command can load it."""
    folder = tmp_path_factory.mktemp("compared")
    mine = folder / "mine.jsonl"
    with mine.open("w") as file:
        for one in problem_set(4):
            tests = {
                group: [{"input": test.input, "output": test.output} for test in one.tests(group)]
                for group in ("public", "scoring", "hidden")
            }
            print(json.dumps({"id": one.id, "statement": one.statement, "interface": "stdin", **tests}), file=file)
    for name, choices, budget in (("wide[red]x", 6, 4), ("narrow", 3, 4), ("long", 3, 6)):
        task = mars2_env.task(str(mine), sandbox=sandbox(), budget=budget)
        list(mars2_env.rollout(task, Guesser(choices), out=folder / name))
    return folder


@pytest.fixture
def compare(runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Compare:
    """Run the command in this process, in a sandbox that knows the toy programs."""
    monkeypatch.setattr(grading, "sandbox_for", lambda trees: sandbox())

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(runs)
        return mars2(monkeypatch, capsys, "compare", *arguments)

    return command


def test_two_runs_are_compared_in_tables(compare: Compare) -> None:
    status, out, err = compare("wide[red]x", "narrow")
    assert status == 0, err
    assert "Hidden tests, 4 pairs of 4 problems" in out
    assert "wide[red]x" in out  # a name is no markup
    row = next(line for line in out.splitlines() if "Pass@N" in line)
    assert re.search(r"0\.\d{3}|1\.000", row)
    assert "Reached within so many nodes a tree" in out and "Reached within so many seconds" in out
    assert "p (Holm)" not in out and "p (Holm)" in compare("wide[red]x", "narrow", "long")[1]
    assert "Tokens are left out" in out


def test_other_budgets_are_compared_at_equal_nodes(compare: Compare) -> None:
    assert "nodes 4 compares all after equally many" in compare("narrow", "long")[1]
    out = compare("narrow", "long", "--nodes", "4")[1]
    assert "after 4 expansions" in out and "equally many" not in out


def test_json_has_the_documented_keys(compare: Compare) -> None:
    status, out, _ = compare("narrow", "long", "--json")
    (row,) = re.findall(r"^\| `compare` \| (.*) \|$", GUIDE, re.MULTILINE)
    assert status == 0 and set(json.loads(out)) == set(re.findall(r"`([a-z0-9_]+)`", row))


def test_what_cannot_be_compared_is_an_error_in_one_sentence(compare: Compare) -> None:
    status, _, err = compare("narrow")
    assert status == 2 and err.startswith("mars2: 1 search is not compared with anything")
    status, _, err = compare("narrow", "long", "--nodes", "0")
    assert status == 2 and err.startswith("mars2: --nodes 0")


def test_a_picture_is_drawn_or_the_extra_is_named(compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, out, err = compare("narrow", "long", "--png", "x.png")
    assert (status, out) == (2, "") and "mars2-env[bench]" in err  # before anything is graded
