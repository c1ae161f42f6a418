"""Numeric games in rounds for libraries that want plain vectors and masks in the infos alone, such as AgileRL."""

from __future__ import annotations

from typing import Any

from gymnasium import Space
from pettingzoo.utils.wrappers import BaseParallelWrapper


class PlainVectors(BaseParallelWrapper[str, Any, int]):
    """Observations are float32 vectors, shape (F,); which actions are on offer stands in `infos[agent]["action_mask"]`.

    Args:
        env: a Parallel environment of `place`.
        masks: False leaves them out of the infos as well; an action that is not on offer costs one expansion.
    """

    def __init__(self, env: Any, *, masks: bool = True) -> None:
        """Wrap an environment."""
        super().__init__(env)
        self._masks = masks

    def observation_space(self, agent: str) -> Space[Any]:
        """Return the Box of an agent's vectors."""
        space: Any = self.env.observation_space(agent)
        found: Space[Any] = space["observation"]
        return found

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], Any]:
        """Begin a tree."""
        observations, infos = self.env.reset(seed=seed, options=options)
        return _vectors(observations), self._shown(infos)

    def step(self, actions: dict[str, int]) -> tuple[dict[str, Any], Any, Any, Any, Any]:
        """Play a round."""
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        return _vectors(observations), rewards, terminations, truncations, self._shown(infos)

    def _shown(self, infos: dict[str, Any]) -> dict[str, Any]:
        hidden = () if self._masks else ("action_mask",)
        return {agent: {key: info[key] for key in info if key not in hidden} for agent, info in infos.items()}


def _vectors(observations: dict[str, Any]) -> dict[str, Any]:
    return {agent: seen["observation"] for agent, seen in observations.items()}
