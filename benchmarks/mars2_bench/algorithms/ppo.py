"""PPO for `route`: one controller chooses who writes, and where.

Schulman et al.: Proximal Policy Optimization Algorithms (arXiv 1707.06347).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mars2_bench.algorithms.clipped import Floats, Settings, learn
from mars2_bench.algorithms.network import Ints, SlotNetwork, entropy, log_policy, one_core, sampled, taken
from mars2_bench.suite.named import Named
from mars2_bench.suite.playing import Told
from mars2_env.base.extras import needed_by
from mars2_env.errors import ConfigError
from mars2_env.features import Layout

with needed_by("mars2_bench.algorithms"):
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Ppo:
    """PPO with these settings."""

    settings: Settings = field(default_factory=lambda: Settings(envs=64))

    def __call__(self, named: Named, expansions: int, seed: int, told: Told | None = None) -> Controller:
        """Return what was learned of the training problems in so many expansions.

        Raises:
            ConfigError: it is no environment of `route`.
        """
        if named.game != "route":
            raise ConfigError(f"ppo plays 'route', and {named.id} is a game of {named.game!r}; take ippo, say.")
        with one_core(seed):
            vec = named.make_vec(self.settings.envs, split="train", autoreset_mode="SameStep")
            controller = Controller(vec.trees.game.layout, self.settings.hidden)
            inform = None if told is None else lambda spent: told(spent, controller)
            learn(controller, vec, expansions, seed, self.settings, inform)
        return controller


class Controller:
    """One policy, and its critic beside it in the same network; its action names an agent and a slot."""

    def __init__(self, layout: Layout, hidden: int) -> None:
        """Make a controller that has learned nothing."""
        self.network = SlotNetwork(layout.head, layout.width, each=len(layout.agents), hidden=hidden)

    def act(self, observations: dict[str, Any], rng: np.random.Generator) -> Ints:
        """Return a sampled action for each tree."""
        with torch.no_grad():
            return self.choose([torch.from_numpy(one) for one in self.look(observations)], rng)[0][:, 0]

    def look(self, observations: dict[str, Any]) -> tuple[NDArray[Any], ...]:
        """Return observations and which actions are allowed."""
        return observations["observation"], observations["action_mask"] > 0

    def choose(self, looked: Sequence[Tensor], draws: np.random.Generator) -> tuple[Ints, Tensor, Tensor]:
        """Return actions, their log-probabilities and values, each of shape (trees, 1)."""
        seen, masks = looked
        logits, values = self.network(seen)
        logs = log_policy(logits, masks)
        actions = sampled(logs, draws)
        return actions[:, None], taken(logs, torch.from_numpy(actions))[:, None], values[:, None]

    def weigh(self, looked: Sequence[Tensor], actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-probabilities of actions and values, shape (trees, 1), and the mean entropy."""
        seen, masks = looked
        logits, values = self.network(seen)
        logs = log_policy(logits, masks)
        return taken(logs, actions[:, 0])[:, None], values[:, None], entropy(logs)

    def actions(self, chosen: Ints) -> Ints:
        """Return the actions, shape (trees,)."""
        return chosen[:, 0]

    def expands(self, chosen: Ints) -> Ints:
        """Return 1 for each tree: every action names a slot."""
        return np.ones(len(chosen), np.int64)

    def paid(self, rewards: Any) -> Floats:
        """Return the rewards, shape (trees, 1)."""
        return np.asarray(rewards, np.float32)[:, None]
