"""HumanEval+ and MBPP+: both published forms, on records written by hand in their schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mars2_env.errors import ConfigError, ProblemError
from mars2_env.judge import Judge
from mars2_env.judge.checkers import checker
from mars2_env.problems import load_problems, write_jsonl
from mars2_env.sandbox.base import Sandbox
from mars2_env.types import Call

PROMPT = 'def half(x: float) -> float:\n    """ Half of x.\n    >>> half(3)\n    1.5\n    """\n'
LOOP = "    for i, (inp, exp) in enumerate(zip(inputs, results)):\n        assertion(candidate(*inp), exp, {})\n"


def lines(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def hub(**changes: Any) -> dict[str, Any]:
    return {
        "task_id": "HumanEval/2",
        "prompt": PROMPT,
        "canonical_solution": "    return x / 2\n",
        "entry_point": "half",
        "test": "import numpy as np\nfrom math import inf\ndef assertion(out, exp, atol):\n    exec('1')\n"
        "def check(candidate):\n    inputs = [[3], [-0.5], [inf]]\n    results = [1.5, -0.25, inf]\n"
        + LOOP.format("1e-06"),
        **changes,
    }


def mbpp(**changes: Any) -> dict[str, Any]:
    return {
        "task_id": 2,
        "prompt": "Write a function to find the shared elements from the given two lists.",
        "code": "def similar_elements(a, b):\n    return tuple(set(a) & set(b))\n",
        "source_file": "x",
        "test_imports": [],
        "test_list": ["assert set(similar_elements((3, 4), (4,))) == set((4,))"],
        "test": "inputs = [[(3, 4), (4,)], [(1,), (2,)]]\nresults = [(4,), ()]\n"
        + LOOP.format("0").replace("candidate", "similar_elements").replace("    for", "for", 1),
        **changes,
    }


def test_lists_of_inputs_and_results_become_hidden_tests(tmp_path: Path) -> None:
    found = load_problems("evalplus", path=lines(tmp_path / "plus.jsonl", hub(), mbpp()))
    half, shared = found
    assert (found.split, found.use, half.id, half.interface) == ("test", "evaluation", "HumanEval/2", Call("half"))
    assert [(t.input, t.output) for t in half.hidden] == [([3], 1.5), ([-0.5], -0.25), ([float("inf")], float("inf"))]
    assert [(t.input, t.output) for t in half.public] == [([3], 1.5)]
    assert (half.checker, shared.checker) == ("evalplus_1e-6", "same_set")
    assert (shared.id, shared.hidden[0].input) == ("Mbpp/2", [(3, 4), (4,)])


@pytest.mark.parametrize(
    "change",
    [
        {"test": "def check(candidate):\n    inputs = [open('x')]\n    results = [1]\n" + LOOP.format("0")},
        {"test": "def check(candidate):\n    inputs = [[1], [2]]\n    results = [1]\n" + LOOP.format("0")},
        {"test": "def check(candidate):\n    inputs = [[1]]\n    results = [1]\n" + LOOP.format("0.5")},
        {"test": "def check(candidate):\n    inputs = [[1]]\n    results = [f(1)]\n"},
        {"test": "def check("},
    ],
)
def test_tests_of_another_form_are_counted_and_never_run(tmp_path: Path, change: dict[str, Any]) -> None:
    found = load_problems("evalplus", path=lines(tmp_path / "p.jsonl", hub(), hub(task_id="HumanEval/3", **change)))
    assert (len(found), found.left_out) == (1, {"tests that cannot be read": 1})


COMPUTED = (
    "def check(candidate):\n    inputs = [[3], [5]]\n    for i, inp in enumerate(inputs):\n"
    "        assertion(candidate(*inp), ref_func(*inp), 0)\n"
)
ROOTS = "def check(candidate):\n    inputs = [[[1, 2]]]\n    for inp in inputs:\n        assert _poly(*inp) < 1\n"


def test_tasks_of_the_hub_that_compute_their_values_are_left_out_without_a_sandbox(tmp_path: Path) -> None:
    found = load_problems(
        "evalplus", path=lines(tmp_path / "p.jsonl", hub(), hub(task_id="HumanEval/9", test=COMPUTED))
    )
    ((reason, count),) = found.left_out.items()
    assert (len(found), count) == (1, 1)
    assert "sandbox= runs the canonical solution" in reason


@pytest.mark.docker
def test_tasks_of_the_hub_that_compute_their_values_are_computed_in_a_sandbox(
    tmp_path: Path, docker_sandbox: Sandbox
) -> None:
    root = hub(
        task_id="HumanEval/32", entry_point="find_zero", prompt="def find_zero(xs):\n", test=ROOTS,
        canonical_solution="    return -xs[0] / xs[1]\n",
    )  # fmt: skip
    path = lines(tmp_path / "p.jsonl", hub(task_id="HumanEval/9", test=COMPUTED), root)
    first, second = load_problems("evalplus", path=path, sandbox=docker_sandbox)
    assert [(t.input, t.output) for t in first.hidden] == [([3], 1.5), ([5], 2.5)]
    assert (second.checker, second.hidden[0].output) == ("polynomial_root", -0.5)


def test_the_task_that_accepts_anything_is_left_out(tmp_path: Path) -> None:
    found = load_problems("evalplus", path=lines(tmp_path / "p.jsonl", hub(), mbpp(task_id=164)))
    assert found.left_out == {"the source accepts any answer": 1}


def plus(**changes: Any) -> dict[str, Any]:
    return {
        "task_id": "HumanEval/2",
        "prompt": PROMPT,
        "entry_point": "half",
        "canonical_solution": "    return x / 2\n",
        "contract": "    assert x >= 0\n",
        "base_input": [[3], [0.0]],
        "plus_input": [[float("inf")], [5]],
        "atol": 1e-6,
        **changes,
    }


def test_the_release_form_needs_a_sandbox_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Pass sandbox=mars2_env\.make_sandbox\(\)"):
        load_problems("evalplus", path=lines(tmp_path / "HumanEvalPlus.jsonl", plus()))


@pytest.mark.docker
def test_expected_values_of_the_release_form_are_what_the_solution_returns_in_a_sandbox(
    tmp_path: Path, docker_sandbox: Sandbox
) -> None:
    tuples = plus(
        task_id="Mbpp/2",
        prompt='"""\nShared elements.\nassert similar_elements((3, 4),(4,)) == (4,)\n"""\n',
        entry_point="similar_elements",
        canonical_solution="\ndef similar_elements(a, b):\n    assert type(a) is tuple\n"
        "    return tuple(set(a) & set(b))\n",
        base_input=[[[3, 4], [4]]],
        plus_input=[[[1], [2]]],
        atol=0,
    )
    broken = plus(task_id="HumanEval/5", canonical_solution="    return object()\n")
    path = lines(tmp_path / "plus.jsonl", plus(), tuples, broken)
    found = load_problems("evalplus", path=path, sandbox=docker_sandbox)
    half, shared = found
    assert [(t.input, t.output) for t in half.hidden] == [
        ([3], 1.5), ([0.0], 0.0), ([float("inf")], float("inf")), ([5], 2.5),
    ]  # fmt: skip
    assert [(t.input, t.output) for t in shared.hidden] == [([(3, 4), (4,)], (4,)), ([(1,), (2,)], ())]
    assert shared.public == shared.hidden[:1]
    assert shared.statement.startswith("Shared elements.")
    assert found.left_out == {"the canonical solution does not return plain data in time": 1}
    judge = Judge(docker_sandbox)
    assert all(judge.grade(problem, problem.reference or "", tests="all").passed for problem in found)
    write_jsonl(found, tmp_path / "computed.jsonl")
    assert load_problems(tmp_path / "computed.jsonl").hash == found.hash


def test_arguments_of_mbpp_plus_get_the_types_that_json_lacks(tmp_path: Path) -> None:
    from mars2_env.problems.evalplus import _TYPES

    assert _TYPES["Mbpp/63"]([[[1, 2], [3, 4]]]) == [[(1, 2), (3, 4)]]
    assert _TYPES["Mbpp/75"]([[[1, 2]], 3]) == [[(1, 2)], 3]
    assert _TYPES["Mbpp/106"]([[1], [2]]) == [[1], (2,)]
    assert _TYPES["Mbpp/115"]([[[1, 2], []]]) == [[{1, 2}, {}]]
    assert _TYPES["Mbpp/124"](["1", "2j"]) == [1.0, 2j]
    assert _TYPES["Mbpp/259"]([[[1, 2]], [[3]]]) == [((1, 2),), ((3,),)]
    assert _TYPES["Mbpp/278"]([[5, [1, 2]]]) == [(5, (1, 2))]
    assert _TYPES["Mbpp/722"]([{"a": [1, 2]}, 3, 4]) == [{"a": (1, 2)}, 3, 4]
    assert _TYPES["Mbpp/580"]([[1, [2, [3]]]]) == [(1, (2, (3,)))]


def test_checkers_of_mbpp_plus() -> None:
    assert checker("truth_or_not_none")([], "match", True) and checker("truth_or_not_none")([], None, False)
    assert not checker("truth_or_not_none")([], False, True)
    assert checker("expected_or_zero")([8, 4], 0, 7) and not checker("expected_or_zero")([8, 4], 1, 7)
    assert checker("pyramid_surface")([3, 4], 35, 33) and not checker("pyramid_surface")([3, 4], 34, 33)
    accept = checker("digit_distance")  # |1 - 0| + |2 - 5| + |3 - 6| = 7
    assert accept([123, 56], 7, 99) and accept([123, 56], 99, 99) and not accept([123, 56], 8, 99)


def test_errors_name_record_and_field(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"line 1, field 'base_input\[0\]': Expected `array`, got `int`: 3"):
        load_problems("evalplus", path=lines(tmp_path / "p.jsonl", plus(base_input=[3])))
    record = hub()
    del record["test"]
    with pytest.raises(ProblemError, match="line 1, field 'test': is missing"):
        load_problems("evalplus", path=lines(tmp_path / "p.jsonl", record))
