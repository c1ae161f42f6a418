"""How a tree did along its way: what its answer was, and whether it was solved, after every expansion.

A log's first t outcomes are the log of a tree with a budget of t, so one tree tells what every smaller budget comes to.
That holds of budgets, and not of what else depends on the budget (a policy that is told what is left of it).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, TypeAlias

import numpy as np

from mars2_env.episode import Rules
from mars2_env.episode.events import Told
from mars2_env.log import Trace, Tree
from mars2_env.results.paired import Floats

Axis: TypeAlias = Literal["nodes", "tokens", "seconds"]


def answers(scores: Sequence[float] | Sequence[tuple[float, float]]) -> list[int]:
    """Return, for each number of nodes t = 1 ... n, the index of the answer among the first t nodes.

    The answer is the node with the highest score on public tests, ties to the latest (the paper's rule); a second
    number, such as a reward model's, decides among equals before that.
    """
    best, found = 0, []
    for index, score in enumerate(scores):
        if score >= scores[best]:  # type: ignore[operator]  # all are numbers, or all are pairs
            best = index
        found.append(best)
    return found


def answer_curve(scores: Sequence[float], hidden: Sequence[bool]) -> Floats:
    """Return whether the answer after t nodes passes the hidden tests, shape (n,): Pass@1(MCTS) against budget."""
    return np.array([float(hidden[answer]) for answer in answers(scores)])


def solved_curve(hidden: Sequence[bool]) -> Floats:
    """Return whether some node of the first t passes the hidden tests, shape (n,): Pass@N against budget."""
    return np.maximum.accumulate(np.array(hidden, np.float64))


@dataclass(frozen=True, slots=True)
class Course:
    """A tree after each of its expansions; entry t is after t + 1 of them, illegal ones included.

    Attributes:
        answered: whether the answer by then passes the hidden tests; False while there is none.
        solved: whether some node by then does.
        tokens: completion tokens by then; None where no trace tells of every expansion.
        seconds: seconds of models and judge by then, summed over expansions (not the time that passed: several may
            have been in flight); None likewise.
    """

    answered: tuple[bool, ...]
    solved: tuple[bool, ...]
    tokens: tuple[float, ...] | None
    seconds: tuple[float, ...] | None

    def along(self, axis: Axis) -> tuple[float, ...] | None:
        """Return what was spent by each expansion; None where that is not known."""
        return tuple(range(1, len(self.solved) + 1)) if axis == "nodes" else getattr(self, axis)

    def first(self, nodes: int | None) -> Course:
        """Return the tree after its first so many expansions; None for all."""
        return Course(
            self.answered[:nodes],
            self.solved[:nodes],
            None if self.tokens is None else self.tokens[:nodes],
            None if self.seconds is None else self.seconds[:nodes],
        )


def course_of(
    tree: Tree, passed: Sequence[bool], trace: Mapping[int, Trace], how: Literal["best", "reward"] = "best"
) -> Course:
    """Return how a tree did along its way.

    Args:
        tree: the tree.
        passed: of each node, in order of number, whether it passes the hidden tests.
        trace: what each turn cost, by turn; empty where there is none.
        how: how answers are chosen; agreement runs programs, so no prefix has one.
    """
    rules = Rules(**tree.header.task["rules"])
    written = [node for node in tree.nodes if node.program is not None]
    public = [rules.score_of(node.verdict, "public") for node in written]
    rated = [-1.0 if node.model_score is None else node.model_score for node in written]
    best = answers(public if how == "best" else list(zip(public, rated, strict=True)))
    told = [event for event in tree.events if isinstance(event, Told)]
    nodes = programs = 0
    solved = False
    answered, solving, tokens, seconds = [], [], [], []
    for event in told:
        if event.node is not None:
            solved = solved or passed[nodes]
            programs += tree.nodes[nodes].program is not None
            nodes += 1
        answered.append(bool(programs) and passed[written[best[programs - 1]].id - 1])
        solving.append(solved)
        cost = trace.get(event.turn, Trace(event.turn))
        tokens.append(cost.completion_tokens)
        seconds.append(cost.policy_seconds + cost.judge_seconds)
    traced = all(event.turn in trace for event in told)
    return Course(
        tuple(answered),
        tuple(solving),
        tuple(accumulate(tokens)) if traced else None,
        tuple(accumulate(seconds)) if traced else None,
    )


def at(spent: Sequence[float], reached: Sequence[bool], budget: float) -> float:
    """Return what a tree has reached within a budget: the last entry that costs no more; 0 before the first.

    Args:
        spent: what was spent by each expansion, never falling.
        reached: what was reached by it.
        budget: how much may be spent. What a tree did not spend changes nothing: it stays as it ended.
    """
    place = bisect_right(spent, budget)
    return float(reached[place - 1]) if place else 0.0
