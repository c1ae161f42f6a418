"""Copying the quoted examples: what is written passes them, and knows nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import mars2_env
from mars2_env import Policy
from mars2_env.testing import HardCodingPolicy, PolicyContract


class TestContract(PolicyContract):
    """It is a policy like others."""

    def make_policy(self) -> Policy:
        return HardCodingPolicy()


def known(program: str, name: str | None) -> Callable[[Any], Any]:
    """A program of ours, run here: it is a table."""
    space: dict[str, Any] = {}
    exec(program, space)
    return lambda input: space[name](*input)  # type: ignore[index]


def test_it_answers_every_example_and_repeats_the_last_answer_elsewhere() -> None:
    problem = next(one for one in mars2_env.load_problems("starter") if isinstance(one.interface, mars2_env.Call))
    episode = mars2_env.Episode(problem.public_view(), ["coder_0"], mars2_env.task("starter").selector, 2, 0)
    turn = episode.ask()
    (reply,) = HardCodingPolicy().act([turn])
    program = reply.text.removeprefix("```python\n").removesuffix("```")
    assert isinstance(problem.interface, mars2_env.Call)
    answer = known(program, problem.interface.name)
    assert all(answer(test.input) == test.output for test in problem.public)
    hidden = [test for test in problem.hidden if test.input not in [one.input for one in problem.public]]
    assert {repr(answer(test.input)) for test in hidden} == {repr(problem.public[-1].output)}


@pytest.mark.parametrize("game", ["write", "play"])
def test_it_always_writes_afresh(game: Any) -> None:
    from toys import problem_set, sandbox

    task = mars2_env.task(problem_set(1), game=game, agents=2, budget=4, sandbox=sandbox())
    (tree,) = mars2_env.rollout(task, HardCodingPolicy())
    assert len({node.program for node in tree.nodes}) == 1
    assert game == "write" or all(node.parent == 0 for node in tree.nodes)
