"""Evaluation while training goes on: hidden tests, per node, of trees that searched by public ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from mars2_agents.training.evaluating import HeldOut, evaluated, hard_coding, hidden_outcomes, split_apart
from mars2_agents.training.settings import Settings
from test_measures import RIGHT, WRONG, node, tree
from toys import Guesser, problem_set, sandbox

import mars2_env
from mars2_env import evaluate
from mars2_env.log import read_log
from mars2_env.results.verdicts import key_of

SETTINGS = Settings(problems=2)


def toy(count: int = 6, **options: object) -> mars2_env.Task:
    return mars2_env.task(problem_set(count), agents=["coder", "fixer"], budget=3, sandbox=sandbox(), **options)


def test_held_out_problems_are_the_rest_of_the_set_or_another_one() -> None:
    ids, apart = split_apart(toy(), HeldOut(["toy/4", "toy/5"]), None)
    assert ids == ["toy/0", "toy/1", "toy/2", "toy/3"]
    assert apart is not None and [problem.id for problem in apart.problems] == ["toy/4", "toy/5"]
    starter = mars2_env.task("starter", agents=1, sandbox=sandbox())
    ids, apart = split_apart(starter, HeldOut("test", limit=3), None)
    assert apart is not None and len(ids) == len(starter.problems) and len(apart.problems) == 3
    assert all(problem.id.startswith("starter/test/") for problem in apart.problems)
    assert split_apart(toy(), None, ["toy/2", "toy/2"]) == (["toy/2"], None)


def test_evaluation_searches_by_public_tests_whatever_training_scores_on() -> None:
    _, apart = split_apart(toy(), HeldOut(["toy/4"], nodes=5, options={"selector": "repeated_sampling"}), None)
    assert apart is not None and apart.rules.score_on == "public" and apart.budget.nodes == 5
    assert apart.config()["selector"]["name"] == "repeated_sampling"


def test_measures_are_those_of_the_package_and_at_every_number_of_nodes(tmp_path: Path) -> None:
    held = HeldOut(["toy/0", "toy/1", "toy/2", "toy/3"], nodes=8)
    _, apart = split_apart(toy(), held, None)
    assert apart is not None
    found = evaluated(apart, dict.fromkeys(apart.agents, Guesser(choices=4)), held, tmp_path, SETTINGS, step=3)
    whole = evaluate(tmp_path, problems=apart.problems, sandbox=sandbox())
    assert found.measures["pass_at_1_mcts/8"] == whole.pass_at_1_mcts
    assert found.measures["pass_at_n"] == whole.pass_at_n
    assert (found.step, found.trees, found.missing) == (3, 4, 0)
    assert {f"pass_at_1_mcts/{nodes}" for nodes in (2, 4, 8)} < set(found.measures) and 16 not in held.at
    for nodes in (2, 4):  # what a budget of so many nodes comes to
        cut = HeldOut(held.problems, nodes=nodes, at=(nodes,))
        _, less = split_apart(toy(), cut, None)
        assert less is not None
        again = evaluated(less, dict.fromkeys(less.agents, Guesser(choices=4)), cut, tmp_path / str(nodes), SETTINGS)
        assert again.measures[f"pass_at_1_mcts/{nodes}"] == found.measures[f"pass_at_1_mcts/{nodes}"]


def test_a_step_that_was_evaluated_already_asks_nobody_again(tmp_path: Path) -> None:
    held = HeldOut(["toy/0", "toy/1"], nodes=4)
    _, apart = split_apart(toy(), held, None)
    assert apart is not None
    first = evaluated(apart, dict.fromkeys(apart.agents, Guesser()), held, tmp_path, SETTINGS)
    asked = Guesser()
    assert evaluated(apart, dict.fromkeys(apart.agents, asked), held, tmp_path, SETTINGS) == first
    assert not asked.turns


def test_copying_the_examples_is_worth_what_hidden_tests_say(tmp_path: Path) -> None:
    _, apart = split_apart(toy(), HeldOut(["toy/0", "toy/1"]), None)
    assert apart is not None
    assert hard_coding(apart, tmp_path, SETTINGS) == 0
    (program,) = {node.program for one in read_log(tmp_path) if one.problem == "toy/1" for node in one.nodes}
    assert program is not None and "'first'" in program and "'second'" in program and "fourth" not in program


def test_copying_examples_passes_the_public_tests_and_no_others(tmp_path: Path) -> None:
    try:
        real = mars2_env.make_sandbox("bubblewrap", workers=1)
    except mars2_env.SandboxUnavailableError as error:
        pytest.skip(str(error))
    with real:
        starter = mars2_env.task("starter", agents=1, sandbox=real)
        _, apart = split_apart(starter, HeldOut("test", limit=2), None)
        assert apart is not None
        assert hard_coding(apart, tmp_path, SETTINGS) == 0
    assert all(node.verdict.passed for one in read_log(tmp_path) for node in one.nodes)  # on public tests


def test_copies_have_the_hidden_result_of_what_they_copy() -> None:
    given = replace(node(1, 0, WRONG, agent="", program="given"), id=0, parent=-1, depth=0)
    grown = tree(
        node(1, 0, RIGHT, program="one"),
        node(2, 1, RIGHT, program="one", duplicate_of=1),
        node(3, 0, WRONG, program="given", duplicate_of=0),
        node(4, 0, WRONG, program=None),
        root=given,
    )
    grown = replace(
        grown, header=replace(grown.header, task={**grown.header.task, "limits": None, "strict_types": False})
    )
    verdicts = {key_of(grown, "one"): True, key_of(grown, "given"): False}
    assert hidden_outcomes(grown, verdicts) == [True, True, False, False]
