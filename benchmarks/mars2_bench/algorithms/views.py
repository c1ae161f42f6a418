"""What each agent of `place` sees, laid out the same way for all of them: itself first, the others in turn after it.

So one network serves all agents. Which agent looks is told apart by `self` columns, which here count from the first
agent on as they always do.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mars2_bench.suite.named import Named
from mars2_bench.suite.playing import Vector
from mars2_env.errors import ConfigError
from mars2_env.features import AGENT_COLUMNS, SLOT_COLUMNS, Layout

Floats = NDArray[np.float32]


def own_first(layout: Layout, agent: int) -> NDArray[np.int64]:
    """Return from which place of an agent's observation each number of its view comes, shape (layout.size,).

    Columns of agents, before the slots and in them, are turned so that those of `agent` come first; `self` columns
    stay.
    """
    count = len(layout.agents)
    turned = (np.arange(count) + agent) % count
    places = np.arange(layout.size)
    told = layout.first + count * layout.observer
    numbers = places[told : told + count * len(AGENT_COLUMNS)].reshape(count, -1)
    numbers[:] = numbers[turned]
    rows = places[layout.head :].reshape(-1, layout.width)
    rows[:, len(SLOT_COLUMNS) :] = rows[:, len(SLOT_COLUMNS) + turned]
    return places


class Views:
    """Batches of all agents' observations as one array of views."""

    def __init__(self, layout: Layout) -> None:
        """Know how observations of each agent lie."""
        self.layout = layout
        self._from: Final = [own_first(layout, agent) for agent in range(len(layout.agents))]

    def seen(self, observations: dict[str, Any]) -> Floats:
        """Return views, shape (n, agents, layout.size), of what a vector returned: agent -> batch."""
        batches = (observations[agent]["observation"] for agent in self.layout.agents)
        return np.stack([batch[:, places] for batch, places in zip(batches, self._from, strict=True)], 1)

    def masks(self, observations: dict[str, Any]) -> NDArray[np.bool_]:
        """Return which actions are allowed, shape (n, agents, actions)."""
        return np.stack([observations[agent]["action_mask"] > 0 for agent in self.layout.agents], 1)


def passing(vec: Vector) -> int:
    """Return how many actions there are beside slots: 1 where agents may pass, else 0."""
    return int(vec.trees.game.task.rules.rounds is not None)


def place_only(name: str, named: Named) -> None:
    """Raise ConfigError unless an environment is one of `place`."""
    if named.game != "place":
        raise ConfigError(f"{name} plays 'place', and {named.id} is a game of {named.game!r}; take ppo.")
