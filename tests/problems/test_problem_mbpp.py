"""MBPP: what the loader makes of the official data, and that its references pass."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mars2_env.errors import ConfigError, ProblemError
from mars2_env.judge import Judge
from mars2_env.judge.checkers import checker, checks
from mars2_env.problems import ProblemSet, load_problems
from mars2_env.sandbox.base import Sandbox
from mars2_env.types import Call, Problem

SPLITS = {"prompt": 10, "test": 499, "validation": 88, "train": 370}


@pytest.fixture(scope="module")
def data(shared: Path) -> Path:
    return shared / "data" / "mbpp.jsonl"


@pytest.fixture(scope="module")
def sets(data: Path) -> dict[str, ProblemSet]:
    return {split: load_problems("mbpp", path=data, split=split) for split in SPLITS}


def test_the_four_splits_are_those_of_the_authors_and_what_is_left_out_is_counted(sets: dict[str, ProblemSet]) -> None:
    assert {split: len(found) for split, found in sets.items()} == SPLITS
    assert sum(sum(found.left_out.values()) for found in sets.values()) == 7
    assert sum(len(found) for found in sets.values()) == 974 - 7
    assert {split: found.use for split, found in sets.items()} == {
        "prompt": "training",
        "test": "evaluation",
        "validation": "evaluation",
        "train": "training",
    }
    left_out = {367, 533, 596, 601, 927, 713, 862}
    ids = {int(problem.id.removeprefix("Mbpp/")) for found in sets.values() for problem in found}
    assert ids == set(range(1, 975)) - left_out


def test_evaluation_hides_all_three_tests_and_shows_two_and_training_has_one_of_each(
    sets: dict[str, ProblemSet],
) -> None:
    problem = sets["test"]["Mbpp/11"]
    assert problem.interface == Call("remove_Occ")
    assert [(t.input, t.output) for t in problem.hidden] == [
        (["hello", "l"], "heo"),
        (["abcda", "a"], "bcd"),
        (["PHP", "P"], "H"),
    ]
    assert problem.public == problem.hidden[:2]
    for problem in sets["train"]:
        assert [len(problem.public), len(problem.scoring), len(problem.hidden)] == [1, 1, 1]


def test_repeated_tests_count_once_in_training(sets: dict[str, ProblemSet]) -> None:
    assert sets["train"].left_out == {"tests that cannot be read": 2, "fewer than 3 tests": 2}
    for problem in sets["train"]:
        assert len({repr(test.input) for test in problem.public + problem.scoring + problem.hidden}) == 3


def test_the_test_split_is_the_default(data: Path) -> None:
    assert load_problems("mbpp", path=data).split == "test"


def failing(problems: list[Problem], sandbox: Sandbox) -> list[str]:
    judge = Judge(sandbox)
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda p: judge.grade(p, p.reference or "", tests="all"), problems))
    return [problem.id for problem, verdict in zip(problems, verdicts, strict=True) if not verdict.passed]


@pytest.mark.docker
def test_a_tenth_of_the_references_pass_and_so_does_414_which_returns_0_for_false(
    sets: dict[str, ProblemSet], docker_sandbox: Sandbox
) -> None:
    problems = [problem for split in SPLITS for problem in list(sets[split])[::10]]
    assert failing(problems, docker_sandbox) == []
    odd = sets["test"]["Mbpp/414"]
    assert Judge(docker_sandbox).grade(odd, odd.reference or "", tests="all").passed


@pytest.mark.docker
@pytest.mark.slow
def test_all_references_pass(sets: dict[str, ProblemSet], docker_sandbox: Sandbox) -> None:
    problems = [problem for split in SPLITS for problem in sets[split]]
    assert failing(problems, docker_sandbox) == []
    assert len(problems) / 974 > 0.99


def sanitized(**changes: object) -> dict[str, object]:
    return {
        "source_file": "x",
        "task_id": 12,
        "prompt": "Shared elements.",
        "code": "def common(a, b):\n    return tuple(set(a) & set(b))",
        "test_imports": [],
        "test_list": [
            "assert set(common((3, 4, 5), (5, 4, 1))) == set((4, 5))",
            "assert set(common((1,), (2,))) == set(())",
        ],
        **changes,
    }


def write(path: Path, *records: dict[str, object]) -> Path:
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def test_the_sanitized_form_and_its_comparisons_are_read(tmp_path: Path) -> None:
    volume = sanitized(
        task_id=13,
        code="def volume(r):\n    return 4.18879 * r ** 3",
        test_list=["assert math.isclose(volume(10), 4188.79, rel_tol=0.001)"],
    )
    first, second = load_problems("mbpp", path=write(tmp_path / "sanitized-mbpp.json", sanitized(), volume))
    assert (first.statement, first.checker) == ("Shared elements.", "same_set")
    assert [(t.input, t.output) for t in first.hidden] == [([(3, 4, 5), (5, 4, 1)], {4, 5}), ([(1,), (2,)], set())]
    assert (second.checker, second.hidden[0].output) == ("relative_error_1e-3", 4188.79)


def test_checkers_compare_as_the_asserts_do() -> None:
    assert checks("same_set", check=checker("same_set"), input=[], output=[5, 4, 4], expected={4, 5})
    assert not checks("same_set", check=checker("same_set"), input=[], output=[5], expected={4, 5})
    assert not checks("same_set", check=checker("same_set"), input=[], output=7, expected={4, 5})
    assert checks("integer_part", check=checker("integer_part"), input=[], output=35.4, expected=35)
    assert not checks("integer_part", check=checker("integer_part"), input=[], output=float("inf"), expected=35)
    assert checks("integer_part", check=checker("integer_part"), input=[], output=True, expected=1)  # int(True) == 1
    assert not checks("integer_part", check=checker("integer_part"), input=[], output=True, expected=2)
    near = checker("relative_error_1e-3")
    assert checks("relative_error_1e-3", near, [10], 4188.0, 4188.79)
    assert not checks("relative_error_1e-3", near, [10], 4180.0, 4188.79)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"task_id": "12"}, r"m\.json, record 0, field 'task_id': Expected `int`, got `str`: '12'"),
        ({"test_list": ["assert f() == 1", 3]}, r"field 'test_list\[1\]': Expected `str`, got `int`: 3"),
        ({"prompt": None}, "field 'text': is missing"),
    ],
)
def test_errors_name_file_record_field_and_value(tmp_path: Path, record: dict[str, object], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        load_problems("mbpp", path=write(tmp_path / "m.json", sanitized(**record)))


def test_a_repeated_task_an_empty_split_and_an_unknown_one_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"record 1: the problem 'Mbpp/12' is in .*record 0 too"):
        load_problems("mbpp", path=write(tmp_path / "m.json", sanitized(), sanitized()))
    with pytest.raises(ProblemError, match="no problem of mbpp, split 'train', can be taken"):
        load_problems("mbpp", path=write(tmp_path / "m.json", sanitized()), split="train")
    with pytest.raises(ConfigError, match="unknown split of mbpp 'dev'"):
        load_problems("mbpp", path=tmp_path / "m.json", split="dev")
