"""Data files that mean harm: whatever stands in them, a loader returns a set or raises our error, and runs nothing."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest

from mars2_env.errors import Mars2Error
from mars2_env.problems import load_problems

CALLS = {"fn_name": "f", "inputs": [[1], [2], [3]], "outputs": [1, 2, 3]}
TEXTS = {"inputs": ["1", "2", "3"], "outputs": ["1", "2", "3"]}
CASES = json.dumps([{"input": "1", "output": "2", "testtype": "stdin"}])
CHECK = "def check(candidate):\n    assert candidate(x = 1) == 2\n"
LOOP = "inputs = [[1]]\nresults = [2]\nfor inp, exp in zip(inputs, results):\n    assertion(f(*inp), exp, 0)\n"

RECORDS: Final[list[tuple[str, dict[str, Any]]]] = [
    ("humaneval", {"task_id": "HumanEval/900", "prompt": "def f(x):\n    '''f(1) == 2'''\n", "entry_point": "f",
                   "canonical_solution": "    return 2\n", "test": "def check(f):\n    assert f(1) == 2\n"}),
    ("mbpp", {"task_id": 11, "text": "F.", "code": "def f(x): return 2", "test_list": ["assert f(1) == 2"]}),
    ("codecontests", {"name": "n", "description": "d", "public_tests": {"input": ["1"], "output": ["2"]},
                      "private_tests": [], "generated_tests": [{"input": "3", "output": "4"}],
                      "time_limit": {"seconds": 1}, "solutions": {"language": [3], "solution": ["x"]}}),
    ("apps", {"problem_id": 1, "question": "q", "input_output": json.dumps(CALLS), "solutions": '["x"]'}),
    ("taco", {"question": "Input 1 Output 1", "input_output": json.dumps(TEXTS), "time_limit": "1 second"}),
    ("deepcoder", {"problem": "p", "tests": json.dumps(TEXTS)}),
    ("deepcoder", {"problem": "p", "tests": [{"testtype": "functional", "input": "1", "output": "2",
                                              "metadata": {"func_name": "g"}}]}),
    ("leetcode", {"task_id": "t", "entry_point": "Solution().f", "test": CHECK, "prompt": "import math\n", "query": "q",
                  "completion": "class Solution:\n    def f(self, x):\n        return 2\n"}),
    ("livecodebench", {"question_id": "1", "question_content": "q", "contest_date": "2025-01-04T00:00:00",
                       "public_test_cases": CASES, "private_test_cases": CASES, "metadata": '{"func_name": "f"}'}),
    ("evalplus", {"task_id": 2, "prompt": "p", "code": "def f(x): return 2", "test": LOOP}),
    ("evalplus", {"task_id": "HumanEval/2", "prompt": "p", "entry_point": "f", "canonical_solution": "", "atol": 0,
                  "base_input": [[1]], "plus_input": [[2]]}),
]  # fmt: skip

EXPRESSIONS: Final = [
    "-" * 3000 + "1", "1" + "+1" * 3000, "(" * 150 + ")" * 150, "'a' * 10**9", "10**10**10", "[[0] * 100000] * 9",
    "set([[1]])", "{**{}}", "round(1e999)", "list(5)", "str(10**5000)", "'\\ud800'", "len(1)", "...", "open('x')",
    "[x for x in (1,)]", "__import__('os').mkdir('harm')", "f'{1}'", "dict(1)", "float('nan')", "1 if 1 else 2",
]  # fmt: skip


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


VALUES: Final = [
    None, 0, -1, True, 1.5, "", "x", [], {}, ["x"], [[]], {"a": 1}, nested(900), nested(150), 10**400, float("nan"),
    "\ud800", "a\x00b", "[" * 5000, "{}", "[1]", "null", "1e999", {"inputs": [1], "outputs": [1]}, CHECK, LOOP,
    {"fn_name": "f", "inputs": [[1]], "outputs": [{}]}, {"fn_name": 5, "inputs": [[1]], "outputs": [1]},
]  # fmt: skip


def hostile(rng: random.Random, record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with one field gone, replaced, or replaced by a source with an expression in it."""
    changed = deepcopy(record)
    field = rng.choice(list(changed))
    kind = rng.random()
    if kind < 0.1:
        del changed[field]
    elif kind < 0.5:
        changed[field] = rng.choice(VALUES)
    elif isinstance(changed[field], str):
        changed[field] = changed[field].replace("1", rng.choice(EXPRESSIONS), 1)
    elif isinstance(changed[field], list):
        changed[field] = [rng.choice(["assert f({}) == 2", "assert f(1) == {}"]).format(rng.choice(EXPRESSIONS))]
    elif isinstance(changed[field], dict):
        changed[field][rng.choice(list(changed[field]))] = rng.choice(VALUES)
    return changed


@pytest.mark.parametrize(("name", "record"), RECORDS, ids=[f"{i}-{name}" for i, (name, _) in enumerate(RECORDS)])
def test_any_record_makes_a_set_or_an_error_of_ours(
    name: str, record: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = random.Random(name)
    path = tmp_path / "test.jsonl"
    refused = 0
    for changed in (record, *(hostile(rng, record) for _ in range(60))):
        path.write_text(json.dumps(changed) + "\n", encoding="utf-8")
        try:
            load_problems(name, path=path, split="test")
        except Mars2Error as error:
            refused += 1
            assert len(str(error)) < 2000
    assert 0 < refused <= 61 and (name == "evalplus" or refused < 61)
    assert list(tmp_path.iterdir()) == [path]
