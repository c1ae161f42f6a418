"""Joint PPO for `place`: one controller that sees what all agents see, and chooses for them one after the other.

The policy over joint actions is a product of conditional ones, p(a_1) p(a_2 | a_1) ..., each given what the agents
before chose in this round. It is what centralised control can do, and needs what agents of their own do not have.
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
class Joint:
    """Joint PPO with these settings."""

    settings: Settings = field(default_factory=Settings)

    def __call__(self, named: Named, expansions: int, seed: int, told: Told | None = None) -> Centre:
        """Return what was learned of the training problems in so many expansions.

        Raises:
            ConfigError: it is no environment of `place`.
        """
        place_only("joint", named)
        with one_core(seed):
            vec = named.make_vec(self.settings.envs, split="train", autoreset_mode="SameStep", share="team")
            centre = Centre(vec, self.settings.hidden)
            inform = None if told is None else lambda spent: told(spent, centre)
            learn(centre, vec, expansions, seed, self.settings, inform)
        return centre


class Centre:
    """One policy for all agents, in order; the critic is beside it in the same network.

    A central view has a number more before the slots, the share of agents that passed so far in this round, and one
    more for each slot: the share that chose it.
    """

    def __init__(self, vec: Vector, hidden: int) -> None:
        """Make a centre that has learned nothing."""
        layout = vec.trees.game.layout
        self.views, self.count = Views(layout), len(layout.agents)
        self.network = SlotNetwork(self.views.central_head + 1, layout.width + 1, others=passing(vec), hidden=hidden)

    def act(self, observations: dict[str, Any], rng: np.random.Generator) -> dict[str, Ints]:
        """Return sampled actions of each agent for each tree."""
        with torch.no_grad():
            return self.actions(self.choose([torch.from_numpy(one) for one in self.look(observations)], rng)[0])

    def look(self, observations: dict[str, Any]) -> tuple[NDArray[Any], ...]:
        """Return what all see, from each agent's place, and which actions it may take."""
        return self.views.central(observations), self.views.masks(observations)

    def choose(self, looked: Sequence[Tensor], draws: np.random.Generator) -> tuple[Ints, Tensor, Tensor]:
        """Return actions, shape (trees, agents), and their joint log-probabilities and values, shape (trees, 1)."""
        views, masks = looked
        actions, values = np.zeros(masks.shape[:2], np.int64), []
        marks, joint = torch.zeros(masks.shape[0], self._slots + 1), torch.zeros(masks.shape[0])
        for agent in range(self.count):
            logits, value = self.network(self._marked(views[:, agent], marks))
            logs = log_policy(logits, masks[:, agent])
            actions[:, agent] = sampled(logs, draws)
            chosen = torch.from_numpy(actions[:, agent])
            joint += taken(logs, chosen)
            marks = marks + self._mark(chosen)
            values.append(value)
        return actions, joint[:, None], values[0][:, None]

    def weigh(self, looked: Sequence[Tensor], actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return joint log-probabilities of actions and values, shape (trees, 1), and the mean entropy of an agent."""
        views, masks = looked
        marks = self._mark(actions)
        before = marks.cumsum(1) - marks
        logits, values = self.network(self._marked(views.flatten(0, 1), before.flatten(0, 1)))
        logs = log_policy(logits, masks.flatten(0, 1))
        joint = taken(logs, actions.flatten()).reshape(actions.shape).sum(1, keepdim=True)
        return joint, values.reshape(actions.shape)[:, :1], entropy(logs)

    @property
    def _slots(self) -> int:
        return self.views.layout.budget + 1

    def _mark(self, actions: Tensor) -> Tensor:
        """Return what a choice adds to the marks: one place for each slot, and the last for passing."""
        return torch.nn.functional.one_hot(actions, self._slots + 1).float() / self.count

    def _marked(self, views: Tensor, marks: Tensor) -> Tensor:
        """Return central views with marks of what was chosen before, shape (n, head + 1 + slots * (width + 1))."""
        head, rows = views[:, : self.views.central_head], views[:, self.views.central_head :]
        rows = torch.cat([rows.unflatten(1, (self._slots, -1)), marks[:, :-1, None]], 2)
        return torch.cat([head, marks[:, -1:], rows.flatten(1)], 1)

    def actions(self, chosen: Ints) -> dict[str, Ints]:
        """Return the actions by agent."""
        return {agent: chosen[:, number] for number, agent in enumerate(self.views.layout.agents)}

    def expands(self, chosen: Ints) -> Ints:
        """Return how many agents of each tree expand a slot, and do not pass."""
        return (chosen < self._slots).sum(1)

    def paid(self, rewards: dict[str, Any]) -> Floats:
        """Return what one agent is paid, which is what each is, shape (trees, 1)."""
        return np.asarray(rewards[self.views.layout.agents[0]], np.float32)[:, None]
