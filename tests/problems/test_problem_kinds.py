"""Data files as they are in the wild: marks, forms, sizes and preludes that every loader has to cope with."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mars2_env.judge import Judge
from mars2_env.problems import load_problems, write_jsonl
from mars2_env.problems.preludes import LIVECODEBENCH, of_source
from mars2_env.sandbox import Sandbox
from mars2_env.types import Call, Limits, Problem, Stdin, TestCase

MARK = b"\xef\xbb\xbf"
NONE: dict[str, Any] = {"input": [], "output": []}
OWN = {"id": "a", "statement": "s", "interface": "stdin", "hidden": [{"input": "1\n", "output": "1"}]}


def contest(given: str = "1\n", wanted: str = "1\n", **changes: Any) -> dict[str, Any]:
    tests = {"input": [given], "output": [wanted]}
    return {
        "name": "n",
        "description": "d",
        "public_tests": tests,
        "private_tests": NONE,
        "generated_tests": NONE,
        **changes,
    }


def livecode(given: str = "1\n", wanted: str = "1\n", kind: str = "stdin", **changes: Any) -> dict[str, Any]:
    tests = [{"input": given, "output": wanted, "testtype": kind}]
    return {
        "question_id": "q",
        "question_content": "c",
        "contest_date": "2024-01-01",
        "starter_code": "",
        "public_test_cases": json.dumps(tests),
        "private_test_cases": "[]",
        "metadata": json.dumps({"func_name": "f"}),
        **changes,
    }


def app(given: str = "1\n", wanted: str = "1\n") -> dict[str, Any]:
    return {"problem_id": 1, "question": "q", "input_output": json.dumps({"inputs": [given], "outputs": [wanted]})}


def deep(*tests: Any) -> dict[str, Any]:
    return {"problem": "Print n.", "tests": list(tests)}


RECORDS = {
    "codecontests": contest(),
    "livecodebench": livecode(),
    "apps": app(),
    "taco": app(),
    "deepcoder": deep({"input": "1\n", "output": "1\n"}),
    "mbpp": {"task_id": 11, "text": "t", "code": "def f(x): return x", "test_list": ["assert f(1) == 1"] * 3},
}


def load(set_: str, path: Path, data: bytes, split: str = "test") -> list[Problem]:
    path.write_bytes(data)
    return list(load_problems(set_, path=path, split=split))


@pytest.mark.parametrize("set_", RECORDS)
def test_a_byte_order_mark_is_skipped_in_lines_arrays_and_compressed_files(set_: str, tmp_path: Path) -> None:
    line = json.dumps(RECORDS[set_]).encode()
    for data in (MARK + line + b"\r\n", MARK + b"[" + line + b"]", MARK + b"\n " + line):
        assert len(load(set_, tmp_path / "test.jsonl", data)) == 1
        assert len(load(set_, tmp_path / "test.jsonl.gz", gzip.compress(data))) == 1


def test_files_put_together_may_have_a_mark_each(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_bytes(b"".join(MARK + json.dumps({**OWN, "id": id}).encode() + b"\n" for id in "ab"))
    assert len(load_problems(str(path))) == 2


def test_humaneval_and_the_original_folders_of_apps_may_begin_with_a_mark(tmp_path: Path, shared: Path) -> None:
    data = gzip.decompress((shared / "data" / "HumanEval.jsonl.gz").read_bytes())
    (tmp_path / "HumanEval.jsonl").write_bytes(MARK + data)
    assert len(load_problems("humaneval", path=tmp_path / "HumanEval.jsonl")) == 164
    folder = tmp_path / "test" / "0000"
    folder.mkdir(parents=True)
    (folder / "question.txt").write_bytes(MARK + b"q")
    (folder / "input_output.json").write_bytes(MARK + b'{"inputs": ["1"], "outputs": ["1"]}')
    (problem,) = load_problems("apps", path=tmp_path / "test")
    assert problem.statement == "q"


@pytest.mark.parametrize(
    "tests",
    [
        [{"input": "1\n", "output": "1\n"}],
        [{"input": "1\n", "output": "1\n", "type": None, "fn_name": None}],
        [{"input": "1\n", "output": "1\n", "fn_name": ""}, {"input": "2\n", "output": "2\n", "type": "stdin_stdout"}],
        [json.dumps({"input": "1\n", "output": "1\n"})],
        [{"input": 1, "output": 1}],
        [{"input": ["1", "2"], "output": ["1"]}],
        {"inputs": ["1\n"], "outputs": ["1\n"], "fn_name": None},
        {"inputs": json.dumps(["1\n"]), "outputs": json.dumps(["1\n"])},
    ],
)
def test_deepcoder_reads_tests_of_its_family_whose_type_is_not_said(tests: Any, tmp_path: Path) -> None:
    for written in (tests, json.dumps(tests), json.dumps(json.dumps(tests))):
        record = {"problem": "Print n.", "tests": written}
        (problem,) = load("deepcoder", tmp_path / "test.json", json.dumps([record]).encode())
        assert isinstance(problem.interface, Stdin) and problem.checker == "taco_output"


def test_deepcoder_takes_calls_whose_type_is_not_said_and_leaves_out_what_has_no_tests(tmp_path: Path) -> None:
    call = deep({"input": [1], "output": 2, "fn_name": "f"})
    data = json.dumps([call, deep(), {"problem": "p", "tests": None}, {"problem": "p", "tests": {"inputs": []}}])
    (problem,) = load("deepcoder", tmp_path / "test.json", data.encode())
    assert (problem.interface, problem.checker) == (Call("f"), "value_or_first_item")


@pytest.mark.parametrize(
    ("record", "set_", "checkers"),
    [
        (app(), "apps", ("apps_output", "stripped_lines")),
        (app(), "taco", ("taco_output", "stripped_lines")),
        (contest(), "codecontests", ("codecontests_output", "codecontests_output")),
    ],
)
def test_rewards_in_training_ask_for_order_where_the_official_comparison_does_not(
    record: dict[str, Any], set_: str, checkers: tuple[str, str], tmp_path: Path
) -> None:
    many = {"input": ["1", "2", "3"], "output": ["1", "2", "3"]}
    texts = {"inputs": many["input"], "outputs": many["output"]}
    record |= {"input_output": json.dumps(texts)} if set_ != "codecontests" else {"public_tests": many}
    for split, name in zip(("test", "train"), checkers, strict=True):
        (problem,) = load(set_, tmp_path / f"{split}.jsonl", json.dumps(record).encode(), split)
        assert problem.checker == name


LEET = {
    "task_id": "t",
    "prompt": "from typing import *\nfrom sortedcontainers import SortedList\ninf = float('inf')\nclass Node: pass\n",
    "entry_point": "Solution().f",
    "completion": "class Solution:\n    def f(self, x: float) -> float:\n        return x\n",
    "problem_description": "d",
}


@pytest.mark.parametrize(
    "written", ["inf", "-inf", "float('inf')", "math.inf", "-math.inf", "[1, inf, -inf]", "np.inf"]
)
def test_leetcode_reads_bare_infinities_and_gives_references_time(written: str, tmp_path: Path) -> None:
    check = f"def check(candidate):\n    assert candidate(x = {written}) == {written}\n" + " " * 4
    record = LEET | {"test": check + "assert candidate(x = 1) == 1\n"}
    (problem,) = load("leetcode", tmp_path / "test.jsonl", json.dumps(record).encode())
    assert len(problem.hidden) == 2 and "inf" in repr(problem.hidden[0].output)
    assert problem.hidden[0].input == [problem.hidden[0].output]
    assert (problem.checker, problem.limits.cpu_seconds) == ("python_equality", 12.0)
    assert "class Node" in problem.interface.prelude


def test_integers_of_thousands_of_digits_are_read(tmp_path: Path) -> None:
    big = 7**6000
    digits = "".join(reversed([str(big // 10**n % 10**1000).zfill(1000) for n in range(0, 6000, 1000)])).lstrip("0")
    (call,) = load("livecodebench", tmp_path / "a.jsonl", json.dumps(livecode(digits, digits, "functional")).encode())
    assert call.hidden[0] == TestCase([big], big)
    own = json.dumps({**OWN, "interface": {"call": "f"}, "hidden": [{"input": [0], "output": 0}]})
    path = tmp_path / "own.jsonl"
    path.write_text(own.replace('"input": [0], "output": 0', f'"input": [{digits}], "output": -{digits}'))
    (problem,) = found = load_problems(str(path))
    assert problem.hidden == (TestCase([big], -big),)
    write_jsonl(found, path)
    assert load_problems(str(path)).hash == found.hash


OUT = " ".join(map(str, range(1, 200_001))) + "\n"  # 1.29 MB


@pytest.mark.parametrize(
    ("set_", "record"),
    [
        ("codecontests", contest("3\n", "1 2 3\n", private_tests={"input": ["200000\n"], "output": [OUT]})),
        ("livecodebench", livecode("200000\n", OUT)),
        ("livecodebench", livecode("200000", json.dumps(list(range(200_000))), "functional")),
        ("apps", app("200000\n", OUT)),
        ("taco", app("200000\n", OUT)),
        ("deepcoder", deep({"input": "200000\n", "output": OUT})),
    ],
)
def test_the_output_limit_covers_twice_the_largest_expected_output(
    set_: str, record: dict[str, Any], tmp_path: Path
) -> None:
    (problem,) = load(set_, tmp_path / "test.jsonl", json.dumps(record).encode())
    assert problem.limits.output_bytes >= 2 * 1_200_000
    assert problem.limits.output_bytes.bit_count() == 1  # it does not tell the size of a hidden test


def test_limits_on_output_stay_where_they_fit() -> None:
    small = Problem("p", "s", hidden=(TestCase("", "1"),), limits=Limits(output_bytes=100))
    assert small.limits == Limits(output_bytes=100)
    large = Problem("p", "s", hidden=(TestCase("", "é" * 100),), limits=Limits(output_bytes=100))
    assert large.limits == Limits(output_bytes=512)


def test_a_prelude_is_kept_in_files_and_counts_in_the_hash(tmp_path: Path) -> None:
    (problem,) = found = load_problems(
        "livecodebench", path=_written(tmp_path / "a.jsonl", livecode("1", "1", "functional"))
    )
    assert problem.interface.prelude == LIVECODEBENCH
    write_jsonl(found, tmp_path / "own.jsonl")
    again = load_problems(str(tmp_path / "own.jsonl"))
    assert again[problem.id].interface.prelude == LIVECODEBENCH
    assert again.hash == found.hash


def _written(path: Path, record: dict[str, Any]) -> Path:
    path.write_text(json.dumps(record))
    return path


def test_what_is_no_python_makes_no_prelude() -> None:
    assert of_source("def f(:") == ""
    assert of_source('"""text"""\nfrom __future__ import annotations\ndef f(): ...', without="f") == ""


@pytest.mark.docker
def test_preludes_are_there_and_change_no_line_number(tmp_path: Path, docker_sandbox: Sandbox) -> None:
    judge = Judge(docker_sandbox)
    path = _written(tmp_path / "a.jsonl", livecode("5000", "5000", "functional"))
    (called,) = load_problems("livecodebench", path=path)
    deep_ = "class Solution:\n    def f(self, n: int) -> Optional[int]:\n        return n and 1 + self.f(n - 1)\n"
    assert judge.grade(called, deep_, tests="all").passed
    assert judge.grade(called, "from __future__ import annotations\n" + deep_, tests="all").passed
    verdict = judge.grade(called, "def f(n):\n    return gcd(n, 0) / 0\n")
    assert verdict.feedback is not None and "line 2, in f\n    return gcd(n, 0) / 0" in verdict.feedback.traceback
    (printed,) = load_problems("livecodebench", path=_written(tmp_path / "b.jsonl", livecode("5000\n", "5000\n")))
    program = "def d(n):\n    return n and 1 + d(n - 1)\nprint(max(Counter([d(int(input()))])))\n"
    assert judge.grade(printed, program, tests="all").passed


@pytest.mark.docker
def test_a_name_of_the_prelude_is_no_answer(docker_sandbox: Sandbox) -> None:
    problem = Problem("p", "s", Call("add", LIVECODEBENCH), public=(TestCase([1, 2], 3),))
    judge = Judge(docker_sandbox)
    assert judge.grade(problem, "x = 1\n").outcome == "runtime_error"
    assert judge.grade(problem, "def add(a, b):\n    return a + b\n").passed
    assert judge.grade(problem, "class Solution:\n    def add(self, a, b):\n        return add(a, b)\n").passed


@pytest.mark.docker
def test_imports_that_are_not_installed_are_passed_over(tmp_path: Path, docker_sandbox: Sandbox) -> None:
    record = LEET | {"test": "def check(candidate):\n    assert candidate(x = inf) == inf\n"}
    (problem,) = load_problems("leetcode", path=_written(tmp_path / "test.jsonl", record))
    program = "class Solution:\n    def f(self, x: List[Node]):\n        return max(x, inf)\n"
    assert Judge(docker_sandbox).grade(problem, program, tests="hidden").passed
