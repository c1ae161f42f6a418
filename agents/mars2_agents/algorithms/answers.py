"""Samples that nobody sampled: a program as the answer of a policy, to be learnt by its likelihood."""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from typing import TypeAlias

from mars2_agents.algorithms.lesson import Crew
from mars2_env.credit import Sample
from mars2_env.errors import ConfigError
from mars2_env.log import Tree, fresh_turn
from mars2_env.prompt import answer_text
from mars2_env.types import Turn

Says: TypeAlias = Callable[[Turn, str], str]
"""From a turn and a program to a reply that holds it, in the form that the turn's prompt asks for."""


def one_block(turn: Turn, program: str) -> str:
    """Return a reply of one block of code, as the library's templates ask for (`mars2_env.prompt.answer_text`)."""
    return answer_text(turn.messages, program)


def turn_of(crew: Crew, tree: Tree, agent: str) -> Turn:
    """Return the turn in which an agent would be asked for a fresh program in a tree."""
    assert crew.task is not None, "check_encoders first"
    return fresh_turn(tree, agent, crew.task.problem(tree.problem).public_view(), crew.task.prompts)


def check_encoders(crew: Crew) -> None:
    """Refuse a crew of which nothing tells the tokens of answers that nobody sampled.

    Raises:
        ConfigError: it tells neither tokens nor prompts.
    """
    if not crew.encoders:
        raise ConfigError(
            "answers that nobody sampled need the tokens of who learns them; give Crew(encoders={policy: ...}), objects"
            " with prompt_ids(turn) and completion_ids(text), such as a TransformersPolicy or VLLMPolicy."
        )
    if crew.task is None:
        raise ConfigError("answers that nobody sampled need the prompts of their problems; give Crew(task=...).")


def agents_of(policy: str, crew: Crew, tree: Tree) -> list[str]:
    """Return the agents of a policy that a tree began with, in the crew's order."""
    present = dict(tree.header.task["agents"])
    return [agent for agent, plays in crew.policies.items() if plays == policy and agent in present]


def answer(
    policy: str,
    agent: str,
    prompt_ids: tuple[int, ...],
    completion_ids: tuple[int, ...],
    *,
    tree: str,
    node: int = 0,
    reward: float = 1.0,
    version: int = 0,
) -> Sample:
    """Return a sample that is learnt as it stands, as a fresh program of an agent.

    Args:
        policy: what learns it.
        agent: as whom.
        prompt_ids: what it is asked with.
        completion_ids: what it is to answer, the token that ends it included.
        tree: where it comes from.
        node: the node that holds the program; 0 where none does.
        reward: of that node.
        version: of the weights that are to learn it, as far as it is known.
    """
    size = len(completion_ids)
    return Sample(
        tree=tree,
        node=node,
        parent=0,
        depth=1,
        agent=agent,
        policy=policy,
        prompt_ids=prompt_ids,
        completion_ids=completion_ids,
        mask=(True,) * size,
        logprobs=(nan,) * size,
        logprobs_kind=None,
        temperature=None,
        top_p=None,
        kept_mass=(),
        versions=(version,) * size,
        reward=reward,
        shaped=reward,
        advantage=0.0,
        duplicate=False,
        imitated=True,
    )
