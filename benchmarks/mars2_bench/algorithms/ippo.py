"""IPPO for `place`: every agent learns by PPO from what it sees itself; one network serves all of them.

de Witt et al.: Is Independent Learning All You Need in the StarCraft Multi-Agent Challenge? (arXiv 2011.09533).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mars2_bench.algorithms.clipped import Floats, Settings, learn
from mars2_bench.algorithms.network import Ints, SlotNetwork, entropy, log_policy, one_core, sampled, taken
from mars2_bench.algorithms.views import Views, passing, place_only
from mars2_bench.suite.named import Named
from mars2_bench.suite.playing import Told, Vector
from mars2_env.base.extras import needed_by

with needed_by("mars2_bench.algorithms"):
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Ippo:
    """IPPO.

    Attributes:
        settings: of PPO.
        share: who is paid: the `team`, each agent for what any of them earns, or each its `own`.
    """

    settings: Settings = field(default_factory=Settings)
    share: str = "team"

    def __call__(self, named: Named, expansions: int, seed: int, told: Told | None = None) -> Agents:
        """Return what was learned of the training problems in so many expansions.

        Raises:
            ConfigError: it is no environment of `place`.
        """
        place_only("ippo", named)
        with one_core(seed):
            vec = named.make_vec(self.settings.envs, split="train", autoreset_mode="SameStep", share=self.share)
            agents = Agents(vec, self.settings.hidden)
            inform = None if told is None else lambda spent: told(spent, agents)
            learn(agents, vec, expansions, seed, self.settings, inform)
        return agents


class Agents:
    """A policy and a critic in one network, which looks at each agent's own view."""

    def __init__(self, vec: Vector, hidden: int) -> None:
        """Make agents that have learned nothing."""
        layout = vec.trees.game.layout
        self.views = Views(layout)
        self.network = SlotNetwork(layout.head, layout.width, others=passing(vec), hidden=hidden)

    def act(self, observations: dict[str, Any], rng: np.random.Generator) -> dict[str, Ints]:
        """Return sampled actions of each agent for each tree."""
        with torch.no_grad():
            return self.actions(self.choose([torch.from_numpy(one) for one in self.look(observations)], rng)[0])

    def look(self, observations: dict[str, Any]) -> tuple[NDArray[Any], ...]:
        """Return each agent's view and which actions it may take."""
        return self.views.seen(observations), self.views.masks(observations)

    def choose(self, looked: Sequence[Tensor], draws: np.random.Generator) -> tuple[Ints, Tensor, Tensor]:
        """Return actions, their log-probabilities and values, each of shape (trees, agents)."""
        logs, values = self.says(looked)
        actions = sampled(logs, draws)
        return actions.reshape(values.shape), taken(logs, torch.from_numpy(actions)).reshape(values.shape), values

    def weigh(self, looked: Sequence[Tensor], actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-probabilities of actions and values, shape (trees, agents), and the mean entropy."""
        logs, values = self.says(looked)
        return taken(logs, actions.flatten()).reshape(values.shape), values, entropy(logs)

    def says(self, looked: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the policies as log-probabilities, shape (trees * agents, actions), and values (trees, agents)."""
        views, masks = looked
        logits, values = self.network(views.flatten(0, 1))
        return log_policy(logits, masks.flatten(0, 1)), values.reshape(masks.shape[:2])

    def actions(self, chosen: Ints) -> dict[str, Ints]:
        """Return the actions by agent."""
        return {agent: chosen[:, number] for number, agent in enumerate(self.views.layout.agents)}

    def expands(self, chosen: Ints) -> Ints:
        """Return how many agents of each tree expand a slot, and do not pass."""
        return (chosen <= self.views.layout.budget).sum(1)

    def paid(self, rewards: dict[str, Any]) -> Floats:
        """Return the rewards, shape (trees, agents)."""
        return np.stack([rewards[agent] for agent in self.views.layout.agents], 1).astype(np.float32)
