"""What each agent of `place` sees, laid out the same way for all of them: itself first, the others in turn after it.

So one network serves all agents. Which of them looks is still told: `self` columns stay in the agents' own order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mars2_bench.suite.named import Named
from mars2_bench.suite.playing import Vector
from mars2_env.errors import ConfigError
from mars2_env.features import AGENT_COLUMNS, SLOT_COLUMNS, Layout

Floats = NDArray[np.float32]


def own_first(layout: Layout, agent: int) -> NDArray[np.int64]:
    """Return from which place of an agent's observation each number of its view comes, shape (layout.size,).

    Columns of agents, before the slots and in them, are turned so that those of `agent` come first.
    """
    count, places = len(layout.agents), np.arange(layout.size)
    turned = (np.arange(count) + agent) % count
    told = layout.first + count * layout.observer
    numbers = places[told : told + count * len(AGENT_COLUMNS)].reshape(count, -1)
    numbers[:] = numbers[turned]
    rows = places[layout.head :].reshape(-1, layout.width)
    rows[:, len(SLOT_COLUMNS) :] = rows[:, len(SLOT_COLUMNS) + turned]
    return places


class Views:
    """Batches of all agents' observations as arrays of views.

    Attributes:
        layout: of an agent's own observation, and of its view.
        central_head: how many numbers come before the slots in a central view.
    """

    def __init__(self, layout: Layout) -> None:
        """Know how observations lie."""
        self.layout, count = layout, len(layout.agents)
        self.central_head = layout.head + (count - 1) * layout.card
        self._from = [own_first(layout, agent) for agent in range(count)]

    def seen(self, observations: dict[str, Any]) -> Floats:
        """Return views, shape (n, agents, layout.size), of what a vector returned: agent -> batch."""
        batches = (observations[agent]["observation"] for agent in self.layout.agents)
        return np.stack([batch[:, places] for batch, places in zip(batches, self._from, strict=True)], 1)

    def central(self, observations: dict[str, Any]) -> Floats:
        """Return what an agent would see that knew all that any of them sees: (n, agents, central_head + slots).

        After its own card come those of the others, in turn after it. What is hidden of a node is 0, and its author
        sees it: together they see the highest of what each sees.
        """
        layout, count = self.layout, len(self.layout.agents)
        batches = [observations[agent]["observation"] for agent in layout.agents]
        cards = [batch[:, layout.head - layout.card : layout.head] for batch in batches]
        together, found = np.maximum.reduce(batches), []
        for agent, places in enumerate(self._from):
            others = [cards[(agent + after) % count] for after in range(1, count)]
            own = batches[agent][:, places[: layout.head]]
            found.append(np.concatenate([own, *others, together[:, places[layout.head :]]], 1))
        return np.stack(found, 1)

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
