"""Answers of finished trees: which node is handed in, and that no hidden test has a say in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from toys import Guesser, problem_set, sandbox

import mars2_env
from mars2_env import Call, ConfigError, Problem, ProblemSet, Run, Sandbox, TestCase, Tree
from mars2_env.results.answers import alike
from mars2_env.results.verdicts import AGREEMENT_FILE, HIDDEN_FILE
from mars2_env.testing import ScriptedPolicy, ScriptedSandbox

DOUBLE = Problem(
    "agree/double",
    "Double a number.",
    Call("double"),
    public=(TestCase([2], 4),),
    hidden=(TestCase([5], 10), TestCase([-1], -2)),
)
SET = ProblemSet("agree", (DOUBLE,), use="evaluation")
RIGHT = ("def double(n):\n    return n * 2\n", "def double(n):\n    return n + n\n")
SQUARE = "def double(n):\n    return n * n\n"
FOUR = "def double(n):\n    return 4\n"
OFF = "def double(n):\n    return n\n"


def grown(*programs: str, box: Any, out: Path | None = None) -> Tree:
    task = mars2_env.task(SET, sandbox=box, agents=1, budget=len(programs))
    (tree,) = mars2_env.rollout(task, ScriptedPolicy([f"```python\n{one}```" for one in programs]), out=out)
    return tree


def test_agreement_finds_the_programs_that_do_the_same_and_hands_in_the_latest(docker_sandbox: Sandbox) -> None:
    tree = grown(FOUR, *RIGHT, OFF, SQUARE, box=docker_sandbox)
    assert [node.score for node in tree.nodes] == [1.0, 1.0, 1.0, 0.0, 1.0]
    best = mars2_env.answer(tree)
    agreed = mars2_env.answer(tree, "agreement", problem=DOUBLE.public_view(), sandbox=docker_sandbox)
    assert best is not None
    assert agreed is not None
    assert (best.id, agreed.id) == (5, 3)
    shares = {
        rule: mars2_env.evaluate([tree], problems=SET, sandbox=docker_sandbox, answer=rule).pass_at_1_mcts  # type: ignore[arg-type]
        for rule in ("best", "agreement")
    }
    assert shares == {"best": 0.0, "agreement": 1.0}


def function(program: str, input: Any) -> Run:
    """What the scripted sandbox says of the programs above."""
    namespace: dict[str, Any] = {}
    exec(program, namespace)  # ours, from above
    return Run("ok", output=namespace["double"](*input))


def test_a_program_has_one_vote_however_often_it_was_written() -> None:
    tree = grown(*RIGHT, SQUARE, SQUARE, SQUARE + "# again\n", box=ScriptedSandbox(function))
    assert [node.duplicate_of for node in tree.nodes] == [None, None, None, 3, 3]
    agreed = mars2_env.answer(tree, "agreement", problem=DOUBLE.public_view(), sandbox=ScriptedSandbox(function))
    assert agreed is not None
    assert agreed.id == 2  # the largest group has two programs, the other one that came three times


def test_agreement_runs_the_best_on_public_tests_alone_and_no_hidden_input() -> None:
    box = ScriptedSandbox(function)
    tree = grown(*RIGHT, SQUARE, OFF, box=ScriptedSandbox(function))
    mars2_env.answer(tree, "agreement", problem=DOUBLE.public_view(), sandbox=box, inputs=6)
    ran = {program for program, _ in box.calls}
    assert ran == {*RIGHT, SQUARE}
    assert len({repr(input) for _, input in box.calls}) == 6
    single = ScriptedSandbox(function)
    mars2_env.answer(grown(RIGHT[0], OFF, box=single), "agreement", problem=DOUBLE.public_view(), sandbox=box)
    assert len(box.calls) == 18  # one candidate needs no vote


def test_programs_are_alike_where_the_judge_would_take_one_output_for_the_other() -> None:
    def runs(*outputs: Any) -> list[Run]:
        return [Run("runtime_error") if output is None else Run("ok", output=output) for output in outputs]

    values = [runs(1, 2.0), runs(1.0, 2.0 + 1e-12), runs(1, None), runs(1, None), runs(True, 2), runs(None, None)]
    assert alike(values, text=False) == [0, 0, 1, 1, 2, None]
    assert alike(values[:2], text=False, strict=True) == [0, 1]
    assert alike([runs("1  2\n"), runs("1 2"), runs("12")], text=True) == [0, 0, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"how": "vote"}, "way to answer"),
        ({"how": "agreement"}, "give the problem"),
        ({"how": "reward"}, "without a reward model"),
    ],
)
def test_what_an_answer_needs_is_said(options: dict[str, Any], message: str) -> None:
    tree = grown(*RIGHT, box=ScriptedSandbox(function))
    with pytest.raises(ConfigError, match=message):
        mars2_env.answer(tree, **options)


def test_an_unknown_rule_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'agreement'"):
        mars2_env.evaluate(tmp_path / "nowhere", answer="agreements")  # type: ignore[arg-type]


def test_evaluation_by_agreement_keeps_what_it_found(tmp_path: Path) -> None:
    grown(FOUR, *RIGHT, OFF, SQUARE, box=ScriptedSandbox(function), out=tmp_path)
    first = mars2_env.evaluate(tmp_path, problems=SET, sandbox=ScriptedSandbox(function), answer="agreement")
    assert (first.rule, first.trees[0].answer, first.pass_at_1_mcts) == ("agreement", 3, 1.0)
    assert (tmp_path / AGREEMENT_FILE).exists()
    idle = ScriptedSandbox(function)
    assert mars2_env.evaluate(tmp_path, problems=SET, sandbox=idle, answer="agreement") == first
    assert idle.calls == []
    assert mars2_env.evaluate(tmp_path, problems=SET, sandbox=idle).trees[0].answer == 5
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != HIDDEN_FILE:
            assert not re.search(rb"hidden", path.read_bytes())


def test_evaluation_by_reward_hands_in_what_the_model_liked() -> None:
    class LikesLong:
        def score(self, problem: mars2_env.PublicView, programs: Any) -> list[float]:
            return [min(len(program) / 100, 1.0) for program in programs]

    task = mars2_env.task(SET, sandbox=ScriptedSandbox(function), agents=1, budget=4, reward_model=LikesLong())
    replies = [f"```python\n{one}```" for one in (RIGHT[0], "# a long explanation\n" + RIGHT[1], OFF * 2, FOUR)]
    trees = list(mars2_env.rollout(task, ScriptedPolicy(replies)))
    results = mars2_env.evaluate(trees, problems=SET, sandbox=ScriptedSandbox(function), answer="reward")
    assert results.trees[0].answer == 2


def test_duplicates_are_counted() -> None:
    task = mars2_env.task(problem_set(6), sandbox=sandbox(), budget=6)
    trees = list(mars2_env.rollout(task, Guesser(choices=3)))
    results = mars2_env.evaluate(trees, problems=problem_set(6), sandbox=sandbox())
    expected = sum(len(tree.nodes) - len({node.program for node in tree.nodes}) for tree in trees)
    assert 18 <= expected == sum(tree.duplicates for tree in results.trees)
    assert results.duplicate_share == expected / 36
