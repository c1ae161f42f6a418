"""LiveCodeBench: release records (written by hand in the published schema), dates, and private tests that mean harm."""

from __future__ import annotations

import base64
import json
import os
import pickle
import pickletools
import zlib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mars2_env.problems.livecodebench as livecodebench
from mars2_env.errors import ConfigError, ProblemError
from mars2_env.judge import Judge
from mars2_env.problems import load_problems
from mars2_env.problems.pickled import UnreadablePickleError, read_pickle
from mars2_env.sandbox.base import Sandbox
from mars2_env.types import Call, Stdin


def packed(value: Any, protocol: int = 4) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value, protocol))).decode()


def cases(kind: str, *tests: tuple[str, str]) -> str:
    return json.dumps([{"input": given, "output": wanted, "testtype": kind} for given, wanted in tests])


def release(**changes: Any) -> dict[str, Any]:
    return {
        "question_title": "Sum",
        "question_content": "Add two numbers.",
        "platform": "atcoder",
        "question_id": "abc387_b",
        "contest_id": "abc387",
        "contest_date": "2025-01-04T00:00:00",
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": cases("stdin", ("1 2\n", "3\n")),
        "private_test_cases": packed(cases("stdin", ("4 5\n", "9\n"), ("-1 1\n", "0\n"))),
        "metadata": "{}",
        **changes,
    }


def functional(**changes: Any) -> dict[str, Any]:
    return release(
        platform="leetcode",
        question_id="3500",
        contest_date="2024-06-30T00:00:00",
        starter_code="class Solution:\n    def add(self, nums: List[int], word: str) -> str:\n        ",
        public_test_cases=cases("functional", ('[1, 2]\n"a"', '"a3"')),
        private_test_cases=cases("functional", ('[]\n""', '"0"')),
        metadata=json.dumps({"func_name": "add"}),
        **changes,
    )


def lines(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_official_tests_are_the_public_and_the_packed_private_ones(tmp_path: Path) -> None:
    found = load_problems("livecodebench", path=lines(tmp_path / "test6.jsonl", release(), functional()))
    stdin, call = found
    assert (found.split, found.use) == ("test", "evaluation")
    assert (stdin.id, stdin.interface, stdin.limits.cpu_seconds) == ("abc387_b", Stdin(), 6)
    assert [(t.input, t.output) for t in stdin.public] == [("1 2\n", "3\n")]
    assert [(t.input, t.output) for t in stdin.hidden] == [("1 2\n", "3\n"), ("4 5\n", "9\n"), ("-1 1\n", "0\n")]
    assert call.interface == Call("add")
    assert [(t.input, t.output) for t in call.hidden] == [([[1, 2], "a"], "a3"), ([[], ""], "0")]
    assert call.starter_code.startswith("from typing import *\n\n\nclass Solution:")
    assert call.metadata["contest_date"] == "2024-06-30T00:00:00"


def test_a_window_of_dates_includes_its_ends_and_counts_the_rest(tmp_path: Path) -> None:
    path = lines(tmp_path / "test.jsonl", release(), functional())
    ids = lambda **options: [p.id for p in load_problems("livecodebench", path=path, **options)]  # noqa: E731
    assert ids(start_date="2025-01-04") == ["abc387_b"]
    assert ids(end_date=date(2024, 6, 30)) == ["3500"]
    assert ids(platform="leetcode") == ["3500"]
    found = load_problems("livecodebench", path=path, start_date="2025-01-01", end_date="2025-02-01")
    assert found.left_out == {"contests outside 2025-01-01 to 2025-02-01": 1}
    with pytest.raises(ConfigError, match="start_date='soon' is no date"):
        ids(start_date="soon")
    with pytest.raises(ConfigError, match="start_date 2025-01-01 is after end_date 2024-01-01"):
        ids(start_date="2025-01-01", end_date="2024-01-01")


def test_a_folder_of_release_files_is_one_set(tmp_path: Path) -> None:
    lines(tmp_path / "test.jsonl", release())
    lines(tmp_path / "test2.jsonl", functional())
    (tmp_path / "README.md").write_text("no records", encoding="utf-8")
    found = load_problems("livecodebench", path=tmp_path)
    assert [problem.id for problem in found] == ["abc387_b", "3500"]
    assert [Path(file).name for file in found.provenance.files] == ["test.jsonl", "test2.jsonl"]


class Harm:
    def __reduce__(self) -> Any:
        return os.mkdir, (Harm.folder,)

    folder = ""


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path, protocol: int) -> None:
    Harm.folder = str(tmp_path / "harm")
    path = lines(tmp_path / "test.jsonl", release(private_test_cases=packed(Harm(), protocol)))
    with pytest.raises(ProblemError, match=r"line 1, field 'private_test_cases': .*builds no plain data"):
        load_problems("livecodebench", path=path)
    assert not (tmp_path / "harm").exists()


def test_a_zip_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livecodebench, "MAX_PRIVATE_BYTES", 2**20)
    bomb = base64.b64encode(zlib.compress(bytes(2**24))).decode()
    path = lines(tmp_path / "test.jsonl", release(private_test_cases=bomb))
    with pytest.raises(ProblemError, match="field 'private_test_cases': is cut off, or holds more than 1048576 bytes"):
        load_problems("livecodebench", path=path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"private_test_cases": "%%%"}, "neither JSON nor packed tests"),
        ({"private_test_cases": packed([1, 2])}, r"Expected `object`, got `int`"),
        ({"private_test_cases": packed("{")}, "not JSON"),
        ({"contest_date": "soon"}, "field 'contest_date': 'soon' is no date"),
        ({"public_test_cases": cases("other", ("1", "2"))}, "must be 'stdin' or 'functional' for all tests"),
    ],
)
def test_errors_name_record_and_field(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ProblemError, match="line 1, .*" + message):
        load_problems("livecodebench", path=lines(tmp_path / "test.jsonl", release(**changes)))


def test_functional_tests_need_a_name_and_lines_of_json(tmp_path: Path) -> None:
    nameless = functional() | {"metadata": "{}"}
    with pytest.raises(ProblemError, match=r"field 'metadata.func_name': must be the name of a function, not None"):
        load_problems("livecodebench", path=lines(tmp_path / "test.jsonl", nameless))
    broken = functional() | {"public_test_cases": cases("functional", ("[1", "2"))}
    with pytest.raises(ProblemError, match="field 'public_test_cases': a functional test that is not lines of JSON"):
        load_problems("livecodebench", path=lines(tmp_path / "test.jsonl", broken))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None)
@given(PLAIN, st.sampled_from([2, 3, 4, 5]))
def test_plain_data_come_out_of_a_pickle_as_they_went_in(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    repeated = {"BINGET", "LONG_BINGET"} & {opcode.name for opcode, _, _ in pickletools.genops(data)}
    try:
        found = read_pickle(data)
    except UnreadablePickleError as error:
        assert repeated, error  # the same object twice: only texts and numbers may be
    else:
        assert found == value and repr(found) == repr(value)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.builds(lambda b, i, c: b[:i] + c + b[i:], st.just(pickle.dumps(["a", {"b": 1}])),
                                           st.integers(0, 30), st.binary(max_size=3)))  # fmt: skip
def test_any_bytes_give_plain_data_or_the_one_error(data: bytes) -> None:
    try:
        found = read_pickle(data)
    except UnreadablePickleError:
        return
    assert type(found) in (str, int, float, bool, type(None), list, tuple, dict)


def test_a_tree_of_shared_lists_is_refused() -> None:
    tree: list[Any] = []
    for _ in range(40):
        tree = [tree, tree]
    with pytest.raises(UnreadablePickleError, match="a list or dict that occurs twice"):
        read_pickle(pickle.dumps(tree))


@pytest.mark.docker
def test_programs_of_both_kinds_are_judged(tmp_path: Path, docker_sandbox: Sandbox) -> None:
    stdin, call = load_problems("livecodebench", path=lines(tmp_path / "test.jsonl", release(), functional()))
    judge = Judge(docker_sandbox)
    assert judge.grade(stdin, "print(sum(map(int, input().split())))", tests="hidden").passed
    solution = call.starter_code.rstrip() + "\n        return word + str(sum(nums))\n"
    assert judge.grade(call, solution, tests="hidden").passed
    assert not judge.grade(call, solution.replace("sum", "len"), tests="hidden").passed
