"""The starter set: enough problems, the same everywhere, right references, and wrong programs that look right."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mars2_env.errors import ConfigError
from mars2_env.judge import Judge, equal, same_output
from mars2_env.problems import ProblemSet, load_problems, starter
from mars2_env.sandbox.base import Sandbox
from mars2_env.types import Call, Problem, Stdin, TestCase

NAMES = [template.name for template in starter.TEMPLATES]

HASHES = """
from mars2_env.problems import load_problems
for split in ("train", "test"):
    print(load_problems("starter", split=split).hash)
"""


@pytest.fixture(scope="module")
def splits() -> dict[str, ProblemSet]:
    return {split: load_problems("starter", split=split) for split in starter.SPLITS}


@pytest.fixture(scope="module")
def problems(splits: dict[str, ProblemSet]) -> list[Problem]:
    return [problem for problem_set in splits.values() for problem in problem_set]


# --- the set ---------------------------------------------------------------------------------------------------------


def test_there_are_forty_templates_in_three_bands_half_of_them_calls() -> None:
    bands = Counter(template.band for template in starter.TEMPLATES)
    calls = sum(isinstance(template.interface, Call) for template in starter.TEMPLATES)
    assert len(set(NAMES)) == len(NAMES) >= 40
    assert all(bands[band] >= 12 for band in starter.BANDS)
    assert 0.4 <= calls / len(NAMES) <= 0.6


@pytest.mark.parametrize("split", starter.SPLITS)
def test_a_split_has_two_hundred_problems_with_stable_ids(splits: dict[str, ProblemSet], split: str) -> None:
    found = splits[split]
    assert (found.name, found.split, found.use) == ("starter", split, "training")
    assert len(found) >= 200
    assert [problem.id for problem in found] == [
        f"starter/{split}/{name}/{variant}" for variant in range(starter.VARIANTS) for name in NAMES
    ]
    for problem in found:
        _, _, name, variant = problem.id.split("/")
        band = next(template.band for template in starter.TEMPLATES if template.name == name)
        assert problem.metadata == {"template": name, "band": band, "variant": int(variant)}


def test_train_is_the_default_split() -> None:
    assert load_problems("starter", limit=1).split == "train"


def test_band_and_limit_choose_a_part_of_the_same_problems(splits: dict[str, ProblemSet]) -> None:
    easy = [problem for problem in splits["train"] if problem.metadata["band"] == "easy"]
    assert list(starter.load(band="easy")) == easy
    assert list(starter.load(split="test", limit=7)) == list(splits["test"])[:7]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": "easy"}, "Did you mean 'band'"),
        ({"path": "starter.jsonl"}, "takes no path"),
        ({"split": "tests"}, "Did you mean 'test'"),
        ({"band": "eazy"}, "Did you mean 'easy'"),
        ({"limit": 0}, "limit=0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        starter.load(**options)


@pytest.mark.parametrize(
    "id",
    ["HumanEval/0", "starter/train/badge/5", "starter/train/badges/0", "starter/dev/badge/0", "starter/train/badge/x"],
)
def test_wrong_programs_of_an_unknown_problem_are_an_error(id: str) -> None:
    with pytest.raises(ConfigError):
        starter.wrong_programs(id)


def test_problems_are_the_same_bit_for_bit_in_every_process(splits: dict[str, ProblemSet]) -> None:
    here = [problem_set.hash for problem_set in splits.values()]
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        there = subprocess.run(
            [sys.executable, "-c", HASHES], env=environment, check=True, capture_output=True, text=True
        )
        assert there.stdout.split() == here


def test_no_seed_moves_a_variant_from_one_split_into_the_other(splits: dict[str, ProblemSet]) -> None:
    def marks(found: ProblemSet) -> set[tuple[str, str]]:
        """What makes a variant: the words of its statement but for the examples, and its reference."""
        cut = re.compile(r"\n(Examples:|Example 1)\n")
        return {(cut.split(problem.statement)[0], problem.reference or "") for problem in found}

    train, test = marks(splits["train"]), marks(splits["test"])
    assert len(train) == len(splits["train"])
    assert len(test) == len(splits["test"])
    for seed in range(1, 4):
        train |= marks(starter.load(split="train", seed=seed))
        test |= marks(starter.load(split="test", seed=seed))
    assert train.isdisjoint(test)


def test_another_seed_gives_other_problems_with_other_ids(splits: dict[str, ProblemSet]) -> None:
    other = starter.load(seed=7)
    assert other.problems[0].id == f"starter/train/{NAMES[0]}/7.0"
    assert {p.id for p in other}.isdisjoint(p.id for p in splits["train"])
    assert {p.statement for p in other}.isdisjoint(p.statement for p in splits["train"])
    assert starter.wrong_programs(other.problems[0].id) != starter.wrong_programs(splits["train"].problems[0].id)


# --- tests and statements --------------------------------------------------------------------------------------------


def test_groups_are_large_enough_and_no_input_occurs_twice(problems: list[Problem]) -> None:
    for problem in problems:
        assert 2 <= len(problem.public) <= 3, problem.id
        assert min(len(problem.scoring), len(problem.hidden)) >= 10, problem.id
        inputs = [test.input for test in (*problem.public, *problem.scoring, *problem.hidden)]
        if isinstance(problem.interface, Stdin):
            assert len({" ".join(text.split()) for text in inputs}) == len(inputs), problem.id
            assert all(text.endswith("\n") for text in inputs), problem.id
        else:
            assert not any(equal(a, b) for i, a in enumerate(inputs) for b in inputs[:i]), problem.id


def test_statements_quote_exactly_the_public_tests(problems: list[Problem]) -> None:
    for problem in problems:
        quoted = list(_quoted_tests(problem))
        assert quoted == list(problem.public), problem.id
        assert "$" not in problem.statement, problem.id


def _quoted_tests(problem: Problem) -> Iterator[TestCase]:
    """Read the examples back out of the statement."""
    if isinstance(problem.interface, Call):
        for call, value in re.findall(r"^>>> (.+)\n(.+)$", problem.statement, re.MULTILINE):
            node = ast.parse(call, mode="eval").body
            assert isinstance(node, ast.Call)
            assert isinstance(node.func, ast.Name)
            assert node.func.id == problem.interface.name
            yield TestCase([ast.literal_eval(argument) for argument in node.args], ast.literal_eval(value))
    else:
        fenced = r"Example \d+\nInput:\n```\n(.*?)```\nOutput:\n```\n(.*?)```\n"
        for given, expected in re.findall(fenced, problem.statement + "\n", re.DOTALL):
            yield TestCase(given, expected)


def test_calls_come_with_a_head_to_complete(problems: list[Problem]) -> None:
    for problem in problems:
        if isinstance(problem.interface, Stdin):
            assert problem.starter_code == ""
            continue
        (function,) = ast.parse(problem.starter_code).body
        assert isinstance(function, ast.FunctionDef)
        assert function.name == problem.interface.name
        assert len(function.args.args) == len(problem.public[0].input)
        assert ast.get_docstring(function)


def test_a_constant_answer_passes_at_most_a_quarter_of_any_group(problems: list[Problem]) -> None:
    for problem in problems:
        for group in (problem.scoring, problem.hidden):
            commonest = max(sum(_same(problem, a.output, b.output) for b in group) for a in group)
            assert commonest <= len(group) / 4, problem.id


def _same(problem: Problem, actual: Any, expected: Any) -> bool:
    """Compare as the judge does; a program that prints nothing has printed the empty text."""
    if isinstance(problem.interface, Stdin):
        return same_output("" if actual is None else actual, expected)
    return equal(actual, expected)


@pytest.mark.parametrize("default", [None, 0, 1, 2])
def test_knowing_the_examples_by_heart_passes_no_hidden_test(problems: list[Problem], default: int | None) -> None:
    for problem in problems:
        known = _known_by_heart(starter.hardcode_program(problem, default))
        assert known == [(test.input, test.output) for test in problem.public], problem.id
        fallback = None if default is None else problem.public[default].output
        for test in (*problem.hidden, *problem.scoring):
            answer = next((output for seen, output in known if seen == test.input), fallback)
            assert not _same(problem, answer, test.output), (problem.id, test)


def _known_by_heart(program: str) -> list[tuple[Any, Any]]:
    assignment = next(node for node in ast.parse(program).body if isinstance(node, ast.Assign))
    return list(ast.literal_eval(ast.unparse(assignment.value).removeprefix("dict(").removesuffix(")")))


# --- programs, as texts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", starter.TEMPLATES, ids=NAMES)
def test_a_template_has_three_wrong_programs_each_a_change_of_its_own(template: starter.Template) -> None:
    for change in template.wrong:
        if not isinstance(change, str):
            assert template.reference.count(change[0]) == 1, change
    for split in starter.SPLITS:
        wrong = starter.wrong_programs(f"starter/{split}/{template.name}/0")
        assert len(wrong) >= 3
        reference = starter.load(split=split, limit=len(NAMES))[f"starter/{split}/{template.name}/0"].reference
        assert reference is not None
        texts = {ast.unparse(ast.parse(text)) for text in (*wrong, reference)}
        assert len(texts) == len(wrong) + 1


# --- programs, in the sandbox ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judge(docker_sandbox: Sandbox) -> Judge:
    return Judge(docker_sandbox)


def _check_reference(judge: Judge, problem: Problem) -> None:
    assert problem.reference is not None
    verdict = judge.grade(problem, problem.reference, tests="all", stop="never")
    assert verdict.passed, (problem.id, verdict)


def _check_wrong(judge: Judge, problem: Problem) -> None:
    for program in starter.wrong_programs(problem.id):
        verdict = judge.grade(problem, program, tests="all", stop="never")
        assert "passed" in verdict.groups["public"], (problem.id, program)
        assert set(verdict.groups["hidden"]) != {"passed"}, (problem.id, program)
        assert set(verdict.groups["scoring"]) != {"passed"}, (problem.id, program)


def _check_hardcode(judge: Judge, problem: Problem) -> None:
    verdict = judge.grade(problem, starter.hardcode_program(problem), tests=("public", "hidden"), stop="never")
    assert verdict.group("public").passed, problem.id
    assert verdict.group("hidden").fraction == 0.0, problem.id


def _for_all(problems: list[Problem], check: Callable[[Judge, Problem], None], judge: Judge) -> None:
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda problem: check(judge, problem), problems):
            pass


@pytest.mark.docker
@pytest.mark.parametrize("check", [_check_reference, _check_wrong, _check_hardcode])
def test_one_variant_of_every_template(splits: dict[str, ProblemSet], judge: Judge, check: Any) -> None:
    _for_all(list(splits["train"])[: len(NAMES)], check, judge)


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("check", [_check_reference, _check_wrong, _check_hardcode])
def test_every_problem_of_both_splits(problems: list[Problem], judge: Judge, check: Any) -> None:
    _for_all(problems, check, judge)
