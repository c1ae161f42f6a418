"""The oracle: it knows every agent's role and every program's slips, and how both change; it does not know luck.

What it plans by is the value of growing one branch and going back to its best node at will, worked out exactly by
dynamic programming over programs; with several branches at hand that is a close approximation from below. No
controller that must find roles and slips out can be expected to do better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mars2_bench.suite.playing import Vector, rounds_of
from mars2_bench.suite.rules import TableGame
from mars2_bench.suite.trees import Trees

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


CHUNK: Final = 256
"""How many trees are looked at together: what is worked out for each takes agents * slots * masks numbers."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Values and chances of programs; masks M, problems of the task P, roles R, steps left K.

    Attributes:
        worth: the expected best final score with 0, 1 ... steps left and this program at hand, shape (K, P, M).
        nothing: the same with no program at hand, shape (K, P).
        order: the masks of a problem from the least worth to the most, shape (K, P, M).
        refined: chance of each program as a refinement of each, by role, shape (P, R, M, M).
        fresh: chance of each program written afresh, shape (P, R, M).
        rows: where each problem of the bank is among the P.
        together: whether all agents act in each step, or one of them.
    """

    worth: Floats
    nothing: Floats
    order: Ints
    refined: Floats
    fresh: Floats
    rows: Ints
    together: bool


def oracle(vec: Vector) -> Oracle:
    """Return the oracle of a vector."""
    return Oracle(vec.trees, plan_of(vec.trees.game))


def plan_of(game: TableGame) -> Plan:
    """Return the values and chances of a game's programs."""
    agents, rounds = len(game.agents), rounds_of(game)
    together = game.task.rules.game == "place" and -(-game.budget // rounds) > 1
    steps = -(-game.budget // agents) if together else game.budget
    refined, fresh = refinements(game), drafts(game)
    scores = game.scores[game.places]
    worth, nothing = np.zeros((steps + 1, *scores.shape)), np.zeros((steps + 1, len(scores)))
    worth[0] = scores
    for left in range(1, steps + 1):
        worth[left] = _with_one_more(worth[left - 1], worth[left - 1], refined, fresh, together)
        none = nothing[left - 1][:, None]
        nothing[left] = _with_one_more(worth[left - 1], none, fresh[:, :, None], fresh, together)[:, 0]
    rows = np.full(len(game.bank.entries), -1)
    rows[game.places] = np.arange(len(game.places))
    return Plan(worth, nothing, worth.argsort(2, kind="stable"), refined, fresh, rows, together)


def refinements(game: TableGame) -> Floats:
    """Return the chance of each program as a refinement of each other: (problems, roles, masks before, masks after)."""
    _, mend, slip = game.chances[:, :, game.places].transpose(0, 2, 1, 3)
    bits, staged = game.team.kinds.bits, game.team.kinds.staged
    masks = np.arange(1 << bits)
    has = masks[:, None] >> np.arange(bits) & 1 == 1
    first = masks & staged & -(masks & staged)
    shows = (first[:, None] == 0) | (first[:, None] == 1 << np.arange(bits))
    after = np.where(has, 1.0 - mend[:, :, None] * shows, slip[:, :, None])  # (problems, roles, masks, bits)
    found = np.ones((*after.shape[:3], 1))
    for bit in range(bits):  # the highest bit comes to lie outermost
        chance = after[..., bit, None]
        found = np.concatenate([found * (1.0 - chance), found * chance], axis=3)
    return found


def drafts(game: TableGame) -> Floats:
    """Return the chance of each program written afresh, shape (problems, roles, masks)."""
    fresh = game.chances[0, :, game.places]
    found = np.ones((*fresh.shape[:2], 1))
    for bit in range(fresh.shape[2]):
        chance = fresh[..., bit, None]
        found = np.concatenate([found * chance, found * (1.0 - chance)], axis=2)
    return found


def _with_one_more(after: Floats, held: Floats, refined: Floats, fresh: Floats, together: bool) -> Floats:
    """Return the values with one step more, shape (P, H), for H states of which each holds a program or none.

    Args:
        after: what each program is worth after the step, shape (P, M).
        held: what is at hand is worth then, shape (P, H).
        refined: chance of each program if it is refined, shape (P, R, H, M).
        fresh: if one is written afresh, shape (P, R, M).
        together: whether all roles act, or the best one.
    """
    if not together:
        kept = np.maximum(after[:, None], held[:, :, None])
        found = np.maximum(np.einsum("prhm,phm->prh", refined, kept), np.einsum("prm,phm->prh", fresh, kept))
        return found.max(1)
    order = after.argsort(1, kind="stable")
    worth = np.take_along_axis(after, order, 1)
    kept = np.maximum(worth[:, None], held[:, :, None])
    below = np.ones_like(kept)
    for role in range(fresh.shape[1]):
        one = np.take_along_axis(refined[:, role], order[:, None], 2)
        other = np.broadcast_to(np.take_along_axis(fresh[:, role], order, 1)[:, None], one.shape)
        mends = (one * kept).sum(2) >= (other * kept).sum(2)
        below = below * np.where(mends[:, :, None], one, other).cumsum(2)
    return np.asarray((np.diff(below, axis=2, prepend=0.0) * kept).sum(2))


@dataclass(frozen=True, slots=True)
class Oracle:
    """Chooses who acts where: agents one after the other, each knowing where those before it go in this step.

    Attributes:
        trees: the trees that it looks at.
        plan: what programs are worth.
    """

    trees: Trees
    plan: Plan

    def act(self, observations: Any, rng: np.random.Generator) -> Any:
        """Return the actions; observations are not looked at, and nothing is drawn."""
        game, count = self.trees.game, len(self.trees.size)
        parts = [self._chosen(np.arange(begin, min(begin + CHUNK, count))) for begin in range(0, count, CHUNK)]
        chosen = np.concatenate(parts)
        if game.task.rules.game == "route":
            return chosen.argmax(1) * (game.budget + 1) + chosen.max(1)
        passes = game.budget + 1
        return {
            name: np.where(chosen[:, agent] < 0, passes, chosen[:, agent]) for agent, name in enumerate(game.agents)
        }

    def _chosen(self, trees: Ints) -> Ints:
        """Return the slot that each agent expands in some trees, shape (trees, agents); -1 for who waits."""
        gains, agents = Gains(self.trees, self.plan, trees), len(self.trees.game.agents)
        if self.plan.together:
            return np.stack([gains.best(agent) for agent in range(agents)], 1)
        worth = gains.all()
        who = worth.max(2).argmax(1)
        chosen = np.full((len(trees), agents), -1)
        rows = np.arange(len(trees))
        chosen[rows, who] = worth[rows, who].argmax(1)
        return chosen


class Gains:
    """What expansions of some trees are worth, given those that were chosen before in the same step."""

    def __init__(self, trees: Trees, plan: Plan, some: Ints) -> None:
        """Look at the trees of these numbers."""
        game, roles, masks = trees.game, trees.roles[some], trees.mask[some]
        problem, left = plan.rows[trees.place[some]], game.budget - trees.spent[some]
        after = np.clip((-(-left // len(game.agents)) if plan.together else left) - 1, 0, len(plan.worth) - 2)
        order = plan.order[after, problem]
        worth = np.take_along_axis(plan.worth[after, problem], order, 1)
        self._there = np.arange(game.budget + 1) < trees.size[some, None]
        held = np.where(self._there, plan.worth[after[:, None], problem[:, None], masks], 0.0)
        held[:, 0] = plan.nothing[after, problem]
        self._kept = np.maximum(worth, held.max(1)[:, None])
        self._below = np.ones_like(worth)
        chances = plan.refined[problem[:, None, None], roles[:, :, None], masks[:, None]]
        chances[:, :, 0] = plan.fresh[problem[:, None], roles]
        self._upto = np.take_along_axis(chances, order[:, None, None], 3).cumsum(3)  # (trees, agents, slots, masks)

    def all(self) -> Floats:
        """Return what each expansion is worth, shape (trees, agents, slots); -1 where there is no such slot."""
        below = self._below[:, None, None] * self._upto
        found = (np.diff(below, axis=3, prepend=0.0) * self._kept[:, None, None]).sum(3)
        return np.where(self._there[:, None], found, -1.0)

    def best(self, agent: int) -> Ints:
        """Return the slot at which an agent is worth the most, shape (trees,), and count it as chosen."""
        below = self._below[:, None] * self._upto[:, agent]
        found = (np.diff(below, axis=2, prepend=0.0) * self._kept[:, None]).sum(2)
        chosen = np.where(self._there, found, -1.0).argmax(1)
        self._below = below[np.arange(len(chosen)), chosen]
        return chosen
