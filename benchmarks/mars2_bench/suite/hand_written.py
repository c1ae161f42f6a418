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


def hand_written(vec: Vector) -> Plays:
    """Return the policy by hand for a vector's game."""
    game = vec.trees.game
    if game.task.rules.game == "route":
        return Plays(game.layout, WhoMends(game.team.kinds.stages))
    specialist = Specialist(game.team)
    return Plays(game.layout, specialist if game.task.rules.rounds is None else InTurn(specialist))


def progress(seen: Reading, stages: tuple[str, ...]) -> Vectors:
    """Return how far each node has come, shape (n, S): how many stages are behind it, and its score; -1 for none."""
    found = len(stages) + seen.slots("score")
    for number, name in reversed(list(enumerate(stages))):
        shows = (seen.slots(_COLUMN[name]) > 0) & (seen.slots("score") == 0)
        found = np.where(shows, number, found)
    return np.where(seen.nodes(), found, -1.0)


@dataclass(frozen=True, slots=True)
class WhoMends:
    """`route`: try the agents one after the other at the best node, and stay with the one who made something better.

    Attributes:
        stages: of the slips.
    """

    stages: tuple[str, ...]

    def __call__(self, seen: Reading, masks: Mask, rng: np.random.Generator) -> Ints:
        """Return an action for each tree; nothing is drawn."""
        far = progress(seen, self.stages)
        before = np.take_along_axis(far, seen.numbers("parent"), 1)
        better = far > np.maximum(before, 0.0)  # a draft by somebody who can do nothing has all slips
        wrote = seen.written_by() & seen.nodes()[:, :, None]
        helped = (wrote & better[:, :, None]).sum(1)
        failed = (wrote & ~better[:, :, None]).sum(1)
        agents = np.where(helped > 0, 100.0 + helped, -failed).argmax(1)
        slots = _last_argmax(np.where(seen.nodes(), far, -1.0))
        return agents * (seen.layout.budget + 1) + slots


@dataclass(frozen=True, slots=True)
class Specialist:
    """`place` with cards: refine a node that shows what you mend, the one that has come furthest; else write afresh.

    Attributes:
        team: the roles, in the order of cards.
    """

    team: Team

    def __call__(self, seen: Reading, masks: Mask, rng: np.random.Generator) -> Ints:
        """Return a slot for each tree; nothing is drawn."""
        far = progress(seen, self.team.kinds.stages)
        return _last_argmax(np.where(self.mine(seen, far), far, -1.0))

    def mine(self, seen: Reading, far: Vectors) -> NDArray[np.bool_]:
        """Return which nodes show what their observer mends, shape (n, S)."""
        stages, roles = self.team.kinds.stages, list(dict.fromkeys(self.team.roles))
        mends = np.array([[name in role.families for name in (*stages, *FAMILIES[:1])] for role in roles])
        shown = np.clip(far.astype(np.int64), 0, len(stages))
        found = mends[seen.card().argmax(1)[:, None], shown] & (far >= 0) & (seen.slots("score") < 1)
        return np.asarray(found)


@dataclass(frozen=True, slots=True)
class InTurn:
    """`place` with a common budget: one draft, then whoever mends what the furthest node shows refines it; others wait.

    Agents of one role cannot know of each other, so those with an odd number wait in even rounds, and the other way.

    Attributes:
        specialist: who mends what.
    """

    specialist: Specialist

    def __call__(self, seen: Reading, masks: Mask, rng: np.random.Generator) -> Ints:
        """Return a slot, or to pass, for each tree; nothing is drawn."""
        passes, size = masks.shape[1] - 1, seen.size()
        number = np.stack([seen.head(f"{agent}.self") for agent in seen.layout.agents], 1).argmax(1)
        far = progress(seen, self.specialist.team.kinds.stages)
        furthest = _last_argmax(far)
        mine = np.take_along_axis(self.specialist.mine(seen, far), furthest[:, None], 1)[:, 0]
        drafts = (size == 1) & (number == 0)
        return np.where((size > 1) & mine, furthest, np.where(drafts, 0, passes))


def _last_argmax(values: Vectors) -> Ints:
    """Return the last place of the highest value in each row; 0 where all are negative."""
    last = values.shape[1] - 1 - values[:, ::-1].argmax(1)
    return np.asarray(np.where(values.max(1) < 0, 0, last))
