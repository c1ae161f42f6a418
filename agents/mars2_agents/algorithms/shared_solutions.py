"""Shared solutions: who found none afresh learns the tree's first passing program as a fresh answer.

Training in a shared tree by returns alone teaches policies to work with each other's programs; this hands on what one
of them knows. It takes a shared tree: alone, a policy has nobody to learn from.

Source: this project; compare arXiv 2603.02604.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Unpack

from mars2_agents.algorithms.answers import Says, agents_of, answer, check_encoders, one_block, turn_of
from mars2_agents.algorithms.heterogeneous import heterogeneous
from mars2_agents.algorithms.lesson import Algorithm, Crew, Lesson
from mars2_agents.algorithms.objective import ObjectiveOptions, with_imitation
from mars2_env.base.checks import real_number
from mars2_env.credit import Sample, Scope, samples, shared_solutions, told
from mars2_env.credit.samples import Duplicates
from mars2_env.log import Tree


def with_shared_solutions(
    algorithm: Algorithm, *, coefficient: float = 0.1, solved: float = 1.0, says: Says = one_block
) -> Algorithm:
    """Return an algorithm that besides teaches each policy what others solved and it did not.

    In a tree where a policy has no passing fresh node of its own, it learns the first passing program of the tree,
    whoever wrote it and where, by its likelihood as the answer to the bare problem: to what it was asked for its first
    fresh node there, or would have been. A policy whose tokens nothing tells (`Crew.encoders`) learns none.

    Args:
        algorithm: what is learnt besides.
        coefficient: of the likelihood, whose mean is over the tokens of such answers alone.
        solved: the score from which on a program passes.
        says: how a reply holds a program.

    Raises:
        ConfigError: a number makes no sense.
    """
    real_number("coefficient", coefficient, least=0, where="with_shared_solutions")
    real_number("solved", solved, above=0, where="with_shared_solutions")

    def both(trees: Sequence[Tree], crew: Crew) -> Mapping[str, Lesson]:
        if trees:  # without any, whoever asks wants to see the lessons alone
            check_encoders(crew)
        shared = [one for tree in trees for one in _shared(tree, crew, solved, says)]
        return {
            policy: replace(
                lesson,
                samples=(*lesson.samples, *(one for one in shared if one.policy == policy)),
                loss=with_imitation(lesson.loss, coefficient),
            )
            for policy, lesson in algorithm(trees, crew).items()
        }

    return both


def mars2_with_shared_solutions(
    *,
    coefficient: float = 0.1,
    gamma: float = 0.5,
    mix: float = 0.5,
    scope: Scope = "tree",
    duplicates: Duplicates = "mask",
    **how: Unpack[ObjectiveOptions],
) -> Algorithm:
    """Return heterogeneous MARS2 with shared solutions; the options are those of the two."""
    mars2 = heterogeneous(gamma=gamma, mix=mix, scope=scope, duplicates=duplicates, **how)
    return with_shared_solutions(mars2, coefficient=coefficient)


def _shared(tree: Tree, crew: Crew, solved: float, says: Says) -> Iterator[Sample]:
    """Yield what each policy learns of a tree's first solution."""
    learners = shared_solutions(*told(tree), crew.policies, solved=solved)
    own = samples([tree], policies=crew.policies).samples if learners else ()
    for policy, node in ((str(policy), tree.nodes[number - 1]) for policy, number in learners.items()):
        agents = agents_of(policy, crew, tree)
        if policy not in crew.encoders or not agents or node.program is None:
            continue
        encoder = crew.encoders[policy]
        mine = [one for one in own if one.policy == policy]
        # A reply of several calls was asked for something else first, such as a plan.
        calls = [one.node for one in mine]
        fresh = next((one for one in mine if one.parent == 0 and calls.count(one.node) == 1), None)
        turn = turn_of(crew, tree, agents[0] if fresh is None else fresh.agent)
        yield answer(
            policy,
            turn.agent,
            encoder.prompt_ids(turn) if fresh is None else fresh.prompt_ids,
            encoder.completion_ids(says(turn, node.program)),
            tree=f"{tree.problem}#{tree.seed}",
            node=node.id,
            reward=node.score,
            version=max((max(one.versions) for one in mine), default=getattr(encoder, "weights_version", 0)),
        )
