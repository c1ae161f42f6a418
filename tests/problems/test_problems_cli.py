"""`mars2 problems`: lists, shows and checks sets, as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import mars2_env
from mars2_env.cli.options import parse_options


def mars2(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mars2_env.cli", "problems", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def record(number: int, statement: str, reference: str, **more: str) -> dict[str, object]:
    test = {"input": "2", "output": "4"}
    return {
        "id": f"own/{number}",
        "statement": statement,
        "public": [test],
        "hidden": [test],
        "reference": reference,
        **more,
    }


def write(path: Path, *records: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


RIGHT = "print(2 * int(input()))"


def test_list_names_every_set_with_its_splits_and_which_are_for_evaluation() -> None:
    done = mars2("list")
    assert done.returncode == 0
    assert "mbpp           train validation* test* prompt 974 small functions" in done.stdout
    for name in ("apps", "codecontests", "deepcoder", "evalplus", "leetcode", "livecodebench", "quixbugs", "taco"):
        assert f"\n{name}" in "\n" + done.stdout


def test_show_of_a_set_says_licence_splits_what_is_left_out_and_its_options() -> None:
    shown = mars2("show", "livecodebench").stdout
    for part in ("licence: CC", "split test: evaluation (the default)", "start_date: The first date", "never loaded"):
        assert part in shown


def test_show_of_a_repair_problem_shows_its_program(shared: Path) -> None:
    shown = mars2("show", "QuixBugs/gcd", "--path", shared / "data" / "quixbugs_python.tar.gz").stdout
    assert "The program to be repaired:" in shown
    assert "return gcd(a % b, b)" in shown


def test_options_reach_the_loader_and_wrong_ones_are_said(tmp_path: Path, shared: Path) -> None:
    path = shared / "data" / "HumanEval.jsonl.gz"
    assert "164 problems" in mars2("list", "humaneval", "--path", path, "--option", "skip_bad=true").stdout
    wrong = mars2("list", "humaneval", "--path", path, "--option", "skip=true")
    assert (wrong.returncode, "Its options: skip_bad" in wrong.stderr) == (2, True)
    assert "is not name=value" in mars2("list", "humaneval", "--option", "x").stderr


def test_check_reports_provenance_what_is_left_out_and_what_other_sets_share(shared: Path) -> None:
    data = shared / "data"
    done = mars2(
        "check", "mbpp", "--split", "train", "--path", data / "mbpp.jsonl", "--no-references",
        "--against", f"mbpp:test={data / 'mbpp.jsonl'}", "--against", f"humaneval={data / 'HumanEval.jsonl.gz'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for part in (
        "370 problems, training, split train",
        "left out 2: tests that cannot be read; left out 2: fewer than 3 tests",
        "licence CC-BY-4.0",
        "SHA-256 ccf64ceae9c5403bf50a044cb6d505bfd2a2963ee58338ba268fd65beab92a9f",
        "17 of 370 problems are in mbpp, split test, too",
        "Mbpp/602 is like Mbpp/217 (100%)",
        "0 of 370 problems are in humaneval, split test, too",
    ):
        assert part in done.stdout, done.stdout


@pytest.mark.docker
def test_check_runs_references_and_programs_to_be_repaired(tmp_path: Path) -> None:
    good = record(1, "Double.", RIGHT, seed_program="print(input())")
    done = mars2("check", write(tmp_path / "good.jsonl", good, record(2, "Double it.", RIGHT)))
    assert (done.returncode, "2 of 2 references pass all tests, their seeds do not" in done.stdout) == (0, True)
    bad = record(3, "Double too.", RIGHT, seed_program=RIGHT)
    done = mars2("check", write(tmp_path / "bad.jsonl", record(4, "x", "print(5)"), bad))
    assert done.returncode == 1
    assert "own/4: the reference fails: wrong_answer" in done.stdout
    assert "own/3: the program to be repaired passes the hidden tests" in done.stdout
    assert "0 of 2 references pass all tests" in done.stdout


def test_check_of_a_set_without_references_says_so(tmp_path: Path) -> None:
    without = {key: item for key, item in record(1, "Double.", RIGHT).items() if key != "reference"}
    done = mars2("check", write(tmp_path / "w.jsonl", without))
    assert (done.returncode, "no problem has a reference program" in done.stdout) == (0, True)


def test_options_are_numbers_truth_values_or_texts() -> None:
    assert parse_options(["count=3", "skip_bad=True", "start_date=2024-08-01", "hub=a/b"]) == {
        "count": 3,
        "skip_bad": True,
        "start_date": "2024-08-01",
        "hub": "a/b",
    }


@pytest.mark.docker
def test_a_search_over_repair_problems_with_options_of_the_set_is_evaluated(tmp_path: Path, shared: Path) -> None:
    data, out = shared / "data", tmp_path / "run"
    search = [sys.executable, "-m", "mars2_env.cli", "search", "--agent", "coder=noise:default", "--budget", "3"]
    repair = [*search, "quixbugs", "--path", data / "quixbugs_python.tar.gz", "--limit", "2", "--out", out]
    done = subprocess.run([*map(str, repair)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (tree, _) = sorted(mars2_env.read_log(out), key=lambda tree: tree.problem)
    assert tree.problem == "QuixBugs/bitcount"
    assert len(mars2_env.evaluate(out).trees) == 2
    chosen = [*search, "humaneval", "--path", data / "HumanEval.jsonl.gz", "--option", "nope=1"]
    done = subprocess.run([*map(str, chosen)], capture_output=True, text=True, check=False)
    assert (done.returncode, "Its options: skip_bad" in done.stderr) == (2, True)
