"""A policy by hand for every environment: what somebody would write who has read how its authors write.

They know the chances, not the draws: roles must be found out in `route`, and are on the cards in `place`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mars2_bench.suite.baselines import Mask, Plays
from mars2_bench.suite.playing import Vector
from mars2_bench.suite.reading import Ints, Reading, Vectors
from mars2_bench.suite.staged import STAGES
from mars2_bench.suite.teams import Team
from mars2_env.features import SLOT_COLUMNS
from mars2_env.testing.mutation import FAMILIES

_COLUMN: Final[Mapping[str, str]] = {
    name: stage.outcome if stage.outcome in {column.name for column in SLOT_COLUMNS} else "limit"
    for name, stage in STAGES.items()
}
"""The column of a slot in which each stage shows."""

_OUTCOMES: Final = ("passed", "wrong_answer", "runtime_error", "compile_error", "limit", "no_program")


def hand_written(vec: Vector) -> Plays:
    """Return the policy by hand for a vector's game."""
    game = vec.trees.game
    if game.task.rules.game == "route":
        return Plays(game.layout, WhoMends(game.team.kinds.stages))
    specialist = Specialist(game.team)
    return Plays(game.layout, specialist if (rounds := game.task.rules.rounds) is None else InTurn(specialist, rounds))


def hidden(seen: Reading) -> NDArray[np.bool_]:
    """Return which nodes' outcomes are not shown to their observer, shape (n, S)."""
    shown = np.stack([seen.slots(column) for column in _OUTCOMES]).any(0)
    return seen.nodes() & ~shown


def progress(seen: Reading, stages: tuple[str, ...]) -> Vectors:
    """Return how far each node has come, shape (n, S): how many stages are behind it, and its score.

    It is -1 where there is none, and where neither outcome nor score says it.
    """
    found = len(stages) + seen.slots("score")
    for number, name in reversed(list(enumerate(stages))):
        shows = (seen.slots(_COLUMN[name]) > 0) & (seen.slots("score") == 0)
        found = np.where(shows, number, found)
    return np.where(seen.nodes() & ~(hidden(seen) & (seen.slots("score") == 0)), found, -1.0)


@dataclass(frozen=True, slots=True)
class WhoMends:
    """`route` with one able agent of three: two drafts, then the agent who made something better, at its best node.

    Who can do nothing writes the program with all slips, always the same. So where two drafts are equal the third agent
    is the able one; where they are not, it is one of the two, and the second tries first.

    Attributes:
        stages: of the slips.
    """

    stages: tuple[str, ...]

    def __call__(self, seen: Reading, masks: Mask, rng: np.random.Generator) -> Ints:
        """Return an action for each tree; nothing is drawn."""
        far, nodes = progress(seen, self.stages), seen.nodes()
        better = far > np.maximum(np.take_along_axis(far, seen.numbers("parent"), 1), 0.0)
        wrote = seen.written_by() & nodes[:, :, None]
        helped = (wrote & better[:, :, None]).sum(1)
        equal = nodes[:, 2] & (seen.slots("duplicate")[:, 2] > 0)
        written = nodes.sum(1)
        suspect = np.select([written == 0, written == 1, equal, written == 2], [0, 1, 2, 1], 0)
        agents = np.where(helped.any(1), helped.argmax(1), suspect)
        own = np.take_along_axis(wrote, agents[:, None, None], 2)[:, :, 0]
        return agents * (seen.layout.budget + 1) + _last_argmax(np.where(own, far, -1.0))


@dataclass(frozen=True, slots=True)
class Specialist:
    """`place` with cards: refine a node that shows what you mend, the one that has come furthest; else write afresh.

    Who mends a stage and sees no such node, but some whose outcome is hidden, refines the deepest of those.

    Attributes:
        team: the roles, in the order of cards.
    """

    team: Team

    def __call__(self, seen: Reading, masks: Mask, rng: np.random.Generator) -> Ints:
        """Return a slot for each tree; nothing is drawn."""
        far = progress(seen, self.team.kinds.stages)
        maybe = hidden(seen) & (far < 0) & self._mends(seen)[:, :-1].any(1, keepdims=True)
        guess = np.where(maybe, 0.5 * seen.slots("depth") - 1.0, -1.0)  # below all that is known
        return _last_argmax(np.where(self.mine(seen, far), far, guess))

    def mine(self, seen: Reading, far: Vectors) -> NDArray[np.bool_]:
        """Return which nodes show what their observer mends, shape (n, S)."""
        shown = np.clip(far.astype(np.int64), 0, len(self.team.kinds.stages))
        found = np.take_along_axis(self._mends(seen), shown, 1) & (far >= 0) & (seen.slots("score") < 1)
        return np.asarray(found)

    def _mends(self, seen: Reading) -> NDArray[np.bool_]:
        """Return whether each observer mends each stage and, at the end, what is real, shape (n, stages + 1)."""
        kinds = (*self.team.kinds.stages, FAMILIES[0])
        roles = dict.fromkeys(self.team.roles)
        return np.array([[kind in role.families for kind in kinds] for role in roles])[seen.card().argmax(1)]


@dataclass(frozen=True, slots=True)
class InTurn:
    """`place` with a common budget: one draft, then whoever mends what the furthest node shows refines it; others wait.

    Agents of one role do not know of each other, so those with an odd number wait in even rounds, and the other way.

    Attributes:
        specialist: who mends what.
        rounds: how many there are.
    """

    specialist: Specialist
    rounds: int

    def __call__(self, seen: Reading, masks: Mask, rng: np.random.Generator) -> Ints:
        """Return a slot, or to pass, for each tree; nothing is drawn."""
        far, empty = progress(seen, self.specialist.team.kinds.stages), seen.size() == 1
        furthest = _last_argmax(far)
        mine = np.take_along_axis(self.specialist.mine(seen, far), furthest[:, None], 1)[:, 0]
        number = np.stack([seen.head(f"{agent}.self") for agent in seen.layout.agents], 1).argmax(1)
        turn = (np.rint(seen.head("rounds_left") * self.rounds).astype(np.int64) + number) % 2 == 0
        acts = np.where(empty, number == 0, mine & turn)
        return np.where(acts, furthest, masks.shape[1] - 1)


def _last_argmax(values: Vectors) -> Ints:
    """Return the last place of the highest value in each row; 0 where none is above -1."""
    last = values.shape[1] - 1 - values[:, ::-1].argmax(1)
    return np.asarray(np.where(values.max(1) <= -1.0, 0, last))
