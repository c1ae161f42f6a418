"""MAPPO for `place`: as IPPO, but the critic sees what all agents see together, their cards included.

Yu et al.: The Surprising Effectiveness of PPO in Cooperative Multi-Agent Games (arXiv 2103.01955).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from mars2_bench.algorithms.clipped import Settings, learn
from mars2_bench.algorithms.ippo import Agents
from mars2_bench.algorithms.network import Critic, log_policy, one_core
from mars2_bench.algorithms.views import place_only
from mars2_bench.suite.named import Named
from mars2_bench.suite.playing import Told, Vector
from mars2_env.base.extras import needed_by

with needed_by("mars2_bench.algorithms"):
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Mappo:
    """MAPPO.

    Attributes:
        settings: of PPO.
        share: who is paid: the `team`, each agent for what any of them earns, or each its `own`.
    """

    settings: Settings = field(default_factory=Settings)
    share: str = "team"

    def __call__(self, named: Named, expansions: int, seed: int, told: Told | None = None) -> Criticised:
        """Return what was learned of the training problems in so many expansions.

        Raises:
            ConfigError: it is no environment of `place`.
        """
        place_only("mappo", named)
        with one_core(seed):
            vec = named.make_vec(self.settings.envs, split="train", autoreset_mode="SameStep", share=self.share)
            agents = Criticised(vec, self.settings.hidden)
            inform = None if told is None else lambda spent: told(spent, agents)
            learn(agents, vec, expansions, seed, self.settings, inform)
        return agents


class Criticised(Agents):
    """Agents whose values come from a critic that sees more than they do; it has no say in what they choose."""

    def __init__(self, vec: Vector, hidden: int) -> None:
        """Make agents that have learned nothing."""
        super().__init__(vec, hidden)
        layout = self.views.layout
        self.policy, self.critic = self.network, Critic(self.views.central_head, layout.width, hidden)
        self.network = nn.ModuleList([self.policy, self.critic])

    def look(self, observations: dict[str, Any]) -> tuple[NDArray[Any], ...]:
        """Return each agent's view, which actions it may take, and what all of them see."""
        return *super().look(observations), self.views.central(observations)

    def says(self, looked: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the policies as log-probabilities, shape (trees * agents, actions), and values (trees, agents)."""
        views, masks, central = looked
        logits, _ = self.policy(views.flatten(0, 1))
        values = self.critic(central.flatten(0, 1)).reshape(masks.shape[:2])
        return log_policy(logits, masks.flatten(0, 1)), values
