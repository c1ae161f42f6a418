"""The bank's vectors as other libraries want them: arrays over (trees, actors), whether one controller acts or several.

In `route` there is one actor, in `place` one for each agent. An actor's observation is as the vector has it, whose
`self` columns tell the agents apart, so that one network can serve all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mars2_bench.harness.metering import expansions
from mars2_bench.suite.playing import Vector
from mars2_bench.suite.vector import BankRounds

Floats = NDArray[np.float32]


class Actors:
    """A vector as arrays.

    Attributes:
        trees: how many trees.
        actors: how many act in each.
        columns: numbers of an observation.
        actions: how many actions each has.
        expansions: how many there were so far.
    """

    def __init__(self, envs: Vector) -> None:
        """Take a vector."""
        self.expansions = 0
        self.envs: Any = envs
        self.agents = tuple(envs.agents) if isinstance(envs, BankRounds) else None
        self.trees = int(envs.num_envs)
        self.actors = 1 if self.agents is None else len(self.agents)
        spaces: Any = (self.envs.single_observation_space, self.envs.single_action_space)
        if self.agents is not None:
            spaces = [space(self.agents[0]) for space in spaces]
        self.columns, self.actions = int(spaces[0]["observation"].shape[0]), int(spaces[1].n)

    def reset(self, seed: int | None) -> tuple[Floats, NDArray[np.bool_]]:
        """Begin everywhere, and return observations and masks, shape (trees, actors, columns) and (..., actions)."""
        return seen(self.envs.reset(seed=seed)[0], self.agents)

    def step(self, actions: NDArray[Any]) -> tuple[Floats, NDArray[np.bool_], Floats, NDArray[np.bool_]]:
        """Act, and return observations, masks, rewards (trees, actors), and which trees ended (trees,).

        Args:
            actions: shape (trees, actors).
        """
        observations, rewards, ended, _, infos = self.envs.step(acting(actions, self.agents))
        self.expansions += expansions(infos)
        if self.agents is None:
            return *seen(observations, None), rewards[:, None].astype(np.float32), ended
        paid = np.stack([rewards[agent] for agent in self.agents], 1).astype(np.float32)
        return *seen(observations, self.agents), paid, ended[self.agents[0]]


def seen(observations: Any, agents: tuple[str, ...] | None) -> tuple[Floats, NDArray[np.bool_]]:
    """Return a vector's observations and masks as arrays over (trees, actors)."""
    batches = [observations] if agents is None else [observations[agent] for agent in agents]
    return (
        np.stack([batch["observation"] for batch in batches], 1),
        np.stack([batch["action_mask"] > 0 for batch in batches], 1),
    )


def acting(actions: NDArray[Any], agents: tuple[str, ...] | None) -> Any:
    """Return actions of shape (trees, actors) as a vector's `step` takes them."""
    if agents is None:
        return actions[:, 0]
    return {agent: actions[:, number] for number, agent in enumerate(agents)}


def agents_of(observations: Any) -> tuple[str, ...] | None:
    """Return the agents that a vector's observations are of; None in `route`."""
    return None if "action_mask" in observations else tuple(observations)
