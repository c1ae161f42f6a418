"""CodeContests, TACO, APPS, rllm's JSON, LeetCodeDataset: records of the published forms become problems in groups.

Real records are at hand for rllm's JSON; the others are written by hand in the schemas that the loaders' docstrings
name.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mars2_env.errors import ConfigError, ProblemError
from mars2_env.judge import Judge
from mars2_env.judge.checkers import checker
from mars2_env.problems import ProblemSet, load_problems
from mars2_env.problems.collect import is_cut, time_limits
from mars2_env.prompt import task_text
from mars2_env.sandbox.base import Sandbox
from mars2_env.types import Call, Problem, Stdin


def lines(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def pairs(problem: Problem, group: str) -> list[tuple[Any, Any]]:
    return [(test.input, test.output) for test in problem.tests(group)]  # type: ignore[arg-type]


def contest(name: str = "1_A. Double", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": "Double a number.",
        "public_tests": {"input": ["1\n"], "output": ["2\n"]},
        "private_tests": {"input": ["3\n", "4\n"], "output": ["6\n", "8\n"]},
        "generated_tests": {
            "input": [f"{i}\n" for i in range(10, 16)],
            "output": [f"{2 * i}\n" for i in range(10, 16)],
        },
        "source": 2,
        "difficulty": 7,
        "solutions": {"language": [2, 3], "solution": ["int main() {}", "print(2 * int(input()))"]},
        "incorrect_solutions": {"language": [], "solution": []},
        "time_limit": {"seconds": 5, "nanos": 500000000},
        "memory_limit_bytes": 256000000,
        "input_file": "",
        "output_file": "",
        **changes,
    }


def test_codecontests_hides_all_tests_in_evaluation_and_shows_the_public_ones(tmp_path: Path) -> None:
    found = load_problems("codecontests", path=lines(tmp_path / "test.jsonl", contest()))
    (problem,) = found
    assert (found.split, found.use, problem.id, problem.interface) == ("test", "evaluation", "1_A. Double", Stdin())
    assert pairs(problem, "public") == [("1\n", "2\n")]
    assert len(problem.hidden) == 9 and not problem.scoring
    assert problem.reference == "print(2 * int(input()))"
    assert problem.limits.cpu_seconds == 5.5


def test_codecontests_training_has_three_groups_that_share_no_test(tmp_path: Path) -> None:
    few = contest("2_B", private_tests=[], generated_tests=[{"input": "3", "output": "6"}])
    files = contest("3_C", input_file="in.txt")
    cut = contest("4_D", private_tests={"input": ["1 " * 200 + "..."], "output": ["x"]})
    found = load_problems("codecontests", path=lines(tmp_path / "train.jsonl", contest(), few, files, cut))
    (problem,) = found
    assert found.use == "training"
    assert [len(problem.public), len(problem.scoring), len(problem.hidden)] == [3, 3, 3]
    assert pairs(problem, "public") == [("1\n", "2\n"), ("3\n", "6\n"), ("4\n", "8\n")]
    assert len({test.input for test in problem.public + problem.scoring + problem.hidden}) == 9
    assert found.left_out == {
        "fewer than 3 tests": 1,
        "reads or writes files": 1,
        "a test was cut off in the file": 1,
    }


def test_a_training_split_is_never_taken_from_a_file_that_is_named_after_another(tmp_path: Path) -> None:
    path = lines(tmp_path / "code_contests_test.jsonl", contest())
    with pytest.raises(ConfigError, match=r"split 'train' was asked for, and the name of .* tells 'test'"):
        load_problems("codecontests", path=path, split="train")
    with pytest.raises(ConfigError, match=r"which split is it\? Say split= one of train, valid, test"):
        load_problems("codecontests", path=lines(tmp_path / "x.jsonl", contest()))
    validation = lines(tmp_path / "validation.jsonl", contest())
    assert load_problems("codecontests", path=validation).split == "valid"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"description": 7}, r"test\.jsonl, line 2, field 'description': Expected `str`, got `int`: 7"),
        (
            {"public_tests": {"input": ["1", 2], "output": []}},
            r"line 2, field 'public_tests.input\[1\]': Expected `str`, got `int`: 2",
        ),
        ({"public_tests": {"input": ["1"], "output": []}}, "line 2, field 'public_tests': 1 inputs and 0 outputs"),
        ({"name": "1_A. Double"}, "line 2: the problem '1_A. Double' is in .*line 1 too"),
    ],
)
def test_errors_name_file_record_field_and_value(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = lines(tmp_path / "test.jsonl", contest(), contest("other") | change)
    with pytest.raises(ProblemError, match=message):
        load_problems("codecontests", path=path)


def test_a_file_with_nothing_to_take_is_an_error_that_says_what_was_left_out(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="1 left out: reads or writes files"):
        load_problems("codecontests", path=lines(tmp_path / "test.jsonl", contest(input_file="x")))
    with pytest.raises(ProblemError, match="it holds no records"):
        load_problems("codecontests", path=lines(tmp_path / "test.jsonl"))


def test_cut_off_texts_are_told_from_grids_of_dots() -> None:
    assert is_cut("1 2 " * 60 + "...")
    assert not is_cut("1 2 " * 60 + "...\n")
    assert not is_cut("1 2...")
    assert not is_cut("#..#\n....\n" * 40 + "...")


def test_cpu_limits_are_the_problems_own_within_bounds() -> None:
    assert [time_limits(s).cpu_seconds for s in (None, 1, 4.5, 600)] == [3, 3, 4.5, 20]


def app(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "problem_id": number,
        "question": "Double.\n-----Sample Input-----\n21\n-----Sample Output-----\n42\n",
        "solutions": json.dumps(["print(2 * int(input()))", "print()"]),
        "input_output": json.dumps({"inputs": ["5\n", "21\n", "6\n"], "outputs": ["10\n", "42\n", "12\n"]}),
        "difficulty": "introductory",
        "url": "",
        "starter_code": "",
        **changes,
    }


CALLS = {"fn_name": "double", "inputs": [[1], [2], [{"3": 1}]], "outputs": [[2], 4, [{"3": 2}]]}


def test_apps_reads_texts_calls_and_lists_of_lines(tmp_path: Path) -> None:
    by_lines = app(1, input_output=json.dumps({"inputs": [["1", "2"]], "outputs": [["3", 4]]}))
    calls = app(2, input_output=json.dumps(CALLS), starter_code="class Solution:\n    def double(self, x):\n")
    found = load_problems("apps", path=lines(tmp_path / "test.jsonl", app(), by_lines, calls))
    assert [problem.id for problem in found] == ["APPS/test/0", "APPS/test/1", "APPS/test/2"]
    assert pairs(found["APPS/test/0"], "public") == [("21\n", "42\n")]
    assert len(found["APPS/test/0"].hidden) == 3
    assert pairs(found["APPS/test/1"], "hidden") == [("1\n2", "3\n4")]
    problem = found["APPS/test/2"]
    assert (problem.interface, problem.checker) == (Call("double"), "value_or_first_item")
    assert pairs(problem, "hidden") == [([1], [2]), ([2], 4), ([{3: 1}], [{"3": 2}])]
    assert "Write the method `double` of the class `Solution`" in task_text(problem.public_view())


def test_the_checker_of_apps_accepts_a_wrapped_value() -> None:
    accept = checker("value_or_first_item")
    assert accept([1], 2, [2]) and accept([1], [2], [2]) and accept([1], [], [])
    assert not accept([1], 3, [2]) and not accept([1], 2, [3, 2])


@pytest.mark.parametrize(
    ("input_output", "reason"),
    [
        ("", "no tests"),
        ('{"inputs": [], "outputs": []}', "no tests"),
        ("{", "tests that cannot be read"),
        ("[" * 100_000, "tests that cannot be read"),
        ('{"inputs": ["1"], "outputs": []}', "tests that cannot be read"),
        ('{"inputs": [{}], "outputs": ["1"]}', "tests that cannot be read"),
        ('{"fn_name": "f", "inputs": [[1' + "0" * 300_000 + ']], "outputs": [1]}', "tests that cannot be read"),
        ('{"fn_name": "__import__(\'os\')", "inputs": [[1]], "outputs": [1]}', "calls of something that is no"),
        ('{"fn_name": "f", "inputs": ["1"], "outputs": [1]}', "calls whose arguments are no list"),
    ],
)
def test_apps_records_whose_tests_make_none_are_counted(tmp_path: Path, input_output: str, reason: str) -> None:
    found = load_problems("apps", path=lines(tmp_path / "test.jsonl", app(0), app(1, input_output=input_output)))
    assert len(found) == 1
    ((told, count),) = found.left_out.items()
    assert told.startswith(reason) and count == 1


def test_apps_reads_the_original_folders(tmp_path: Path) -> None:
    for number in ("0000", "0007"):
        folder = tmp_path / "train" / number
        folder.mkdir(parents=True)
        record = app()
        (folder / "question.txt").write_text(record["question"], encoding="utf-8")
        (folder / "input_output.json").write_text(record["input_output"], encoding="utf-8")
        (folder / "solutions.json").write_text(record["solutions"], encoding="utf-8")
    found = load_problems("apps", path=tmp_path / "train")
    assert (found.use, [problem.id for problem in found]) == ("training", ["APPS/train/0000", "APPS/train/0007"])
    problem = found["APPS/train/0007"]
    assert [pairs(problem, "public"), len(problem.scoring), len(problem.hidden)] == [[("21\n", "42\n")], 1, 1]
    assert problem.reference == "print(2 * int(input()))"


def test_taco_is_numbered_by_record_and_has_its_time_limits(tmp_path: Path) -> None:
    record = {key: item for key, item in app().items() if key != "problem_id"}
    path = lines(tmp_path / "train.jsonl", record | {"time_limit": "6.0 seconds"}, record | {"time_limit": None})
    first, second = load_problems("taco", path=path)
    assert [first.id, second.id] == ["TACO/train/0", "TACO/train/1"]
    assert (first.limits.cpu_seconds, second.limits.cpu_seconds) == (6.0, 3.0)


@pytest.fixture(scope="module")
def rllm(shared: Path) -> ProblemSet:
    return load_problems("deepcoder", path=shared / "data" / "rllm_test_code_code_contests.json")


def test_the_real_file_of_rllm_is_read_but_for_the_record_that_is_cut_off(rllm: ProblemSet) -> None:
    assert (len(rllm), rllm.split, rllm.use) == (164, "test", "evaluation")
    assert rllm.left_out == {"a test was cut off in the file": 1}
    assert {f"DeepCoder/{i}" for i in range(165)} - {problem.id for problem in rllm} == {"DeepCoder/39"}
    assert sum(len(problem.hidden) for problem in rllm) == 1837 - 27


def test_the_examples_of_real_statements_are_the_public_tests(rllm: ProblemSet, shared: Path) -> None:
    first = rllm["DeepCoder/0"]
    assert pairs(first, "public") == [("5 2\nAA\nAB\nBB\nBA\nAZ\n", "5 2 1 3 4 \n")]
    shown = [problem for problem in rllm if problem.public != problem.hidden[:2]]
    assert len(shown) > 70
    assert all(set(map(repr, problem.public)) <= set(map(repr, problem.hidden)) for problem in rllm)


def test_rllms_other_forms_of_tests_are_read(tmp_path: Path) -> None:
    stdin = [{"type": "stdin_stdout", "input": "1\n", "output": "2\n"}] * 3
    call = [{"type": "function_call", "fn_name": "f", "input": [1, [2]], "output": [3]}]
    functional = [{"testtype": "functional", "input": '"a"\n[1]', "output": "true", "metadata": {"func_name": "g"}}]
    mixed = [*stdin, *call]
    records = [
        {"problem": f"p{i}", "tests": json.dumps(tests)} for i, tests in enumerate((stdin, call, functional, mixed))
    ]
    path = tmp_path / "test_x.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    found = load_problems("deepcoder", path=path)
    assert [problem.interface for problem in found] == [Stdin(), Call("f"), Call("g")]
    assert pairs(found["DeepCoder/1"], "hidden") == [([1, [2]], [3])]
    assert pairs(found["DeepCoder/2"], "hidden") == [(["a", [1]], True)]
    assert found.left_out == {"tests that cannot be read": 1}


def leet(**changes: Any) -> dict[str, Any]:
    return {
        "task_id": "two-sum",
        "prompt": "from typing import *\nimport math\ninf = float('inf')\n\nclass ListNode:\n    pass\n",
        "entry_point": "Solution().twoSum",
        "completion": "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:\n"
        "        return [[i, j] for j in range(len(nums)) for i in range(j) if nums[i] + nums[j] == target][0]\n",
        "test": "def check(candidate):\n"
        "    assert candidate(nums = [2,7,11,15], target = 9) == [0,1]\n"
        "    assert candidate(target = 6, nums = [3,2,4]) == [1,2]\n"
        "    assert candidate(nums = [3,3], target = 6) == [0,1]\n",
        "starter_code": "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:\n        ",
        "problem_description": "Two numbers.\n\nExample 1:\n\nInput: nums = [3,2,4], target = 6\nOutput: [1,2]\n",
        "query": "...",
        **changes,
    }


def test_leetcode_asserts_become_calls_of_the_method(tmp_path: Path) -> None:
    path = tmp_path / "LeetCodeDataset-v0.3.1-test.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(leet()).encode()))
    found = load_problems("leetcode", path=path)
    (problem,) = found
    assert (found.use, problem.id, problem.interface) == ("evaluation", "two-sum", Call("twoSum"))
    assert pairs(problem, "hidden") == [([[2, 7, 11, 15], 9], [0, 1]), ([[3, 2, 4], 6], [1, 2]), ([[3, 3], 6], [0, 1])]
    assert pairs(problem, "public") == [([[3, 2, 4], 6], [1, 2])]
    assert problem.starter_code.startswith("from typing import *\nimport math\n\n\nclass Solution:\n    def twoSum")


def test_the_older_form_of_leetcode_has_statement_and_split_in_meta(tmp_path: Path) -> None:
    meta = {
        "lang_code": "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:",
        "question_title": "Two numbers.\n",
        "split": "test",
    }
    record = {key: item for key, item in leet(meta=meta).items() if key not in ("starter_code", "problem_description")}
    del record["query"]
    (problem,) = load_problems("leetcode", path=lines(tmp_path / "v1.jsonl", record), split="test")
    assert problem.statement == "Two numbers.\n"
    assert problem.public == problem.hidden[:2]
    with pytest.raises(ProblemError, match=r"line 1, field 'meta\.split': the record is of 'test'"):
        load_problems("leetcode", path=lines(tmp_path / "v1.jsonl", record), split="train")


@pytest.mark.parametrize(
    "test",
    [
        "def check(candidate):\n    assert is_same_list(candidate(nums = [1], target = 1), list_node([1]))\n",
        "def check(candidate):\n    assert candidate(nums = [1], other = 1) == 1\n",
        "def check(candidate):\n    import os\n",
        "import os\nos.abort()\n",
    ],
)
def test_leetcode_records_with_other_tests_are_counted_and_never_run(tmp_path: Path, test: str) -> None:
    path = lines(tmp_path / "train.jsonl", leet(), leet(task_id="other", test=test))
    found = load_problems("leetcode", path=path)
    assert (len(found), found.left_out) == (1, {"tests that cannot be read": 1})


@pytest.mark.docker
def test_references_of_all_forms_pass(tmp_path: Path, docker_sandbox: Sandbox) -> None:
    calls = app(1, input_output=json.dumps(CALLS | {"inputs": [[1], [2], [3]], "outputs": [[2], 4, [6]]}))
    calls["solutions"] = json.dumps(["class Solution:\n    def double(self, x):\n        return 2 * x\n"])
    judge = Judge(docker_sandbox)
    for problem in (
        *load_problems("codecontests", path=lines(tmp_path / "test.jsonl", contest())),
        *load_problems("apps", path=lines(tmp_path / "test.jsonl", app(), calls)),
        *load_problems("leetcode", path=lines(tmp_path / "test.jsonl", leet())),
    ):
        assert judge.grade(problem, problem.reference or "", tests="all").passed, problem.id


@pytest.mark.docker
def test_a_call_problem_takes_a_method_of_solution_and_a_fresh_one_for_each_call(docker_sandbox: Sandbox) -> None:
    program = "class Solution:\n    n = 0\n    def f(self, x):\n        self.n += 1\n        return self.n * x\n"
    assert [run.output for run in docker_sandbox.run(program, [[5], [6]], interface=Call("f"))] == [5, 6]
    (run,) = docker_sandbox.run(program, [[5]], interface=Call("g"))
    assert (run.status, run.error_type) == ("runtime_error", "AttributeError")
