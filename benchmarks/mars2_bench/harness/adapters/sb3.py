"""PPO and A2C of Stable-Baselines3, and MaskablePPO of sb3-contrib, on the bank's vectors; needs the extra `sb3`.

Each actor of each tree is an environment to them, and one policy plays all actors: independent learners with shared
parameters. PPO and A2C know no masks: an action that is not on offer costs them an expansion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import gymnasium
import numpy as np
from numpy.typing import NDArray

from mars2_bench.algorithms.network import one_core
from mars2_bench.harness.adapters.actors import Actors, acting, agents_of, seen
from mars2_bench.suite.named import Named
from mars2_bench.suite.playing import Told
from mars2_env.base.extras import needed_by

with needed_by("mars2_bench.harness.adapters.sb3"):
    import torch
    from sb3_contrib import MaskablePPO
    from stable_baselines3 import A2C, PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecEnv


class Rows(VecEnv):
    """A `VecEnv` whose rows are the actors of the trees: row number tree * actors + actor."""

    def __init__(self, actors: Actors, seed: int) -> None:
        """Wrap a vector of the mode `SameStep`; `seed` is that of its first trees."""
        self.actors, self._seed = actors, seed
        space = gymnasium.spaces.Box(0.0, 1.0, (actors.columns,), np.float32)
        super().__init__(actors.trees * actors.actors, space, gymnasium.spaces.Discrete(actors.actions))

    def reset(self) -> NDArray[np.float32]:
        """Begin everywhere."""
        rows, self._masks = self.actors.reset(self._seed)
        return rows.reshape(self.num_envs, -1)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take actions, shape (rows,)."""
        self._chosen = actions.reshape(self.actors.trees, self.actors.actors)

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Act, and return rows of observations, rewards, ends and infos."""
        rows, self._masks, rewards, ended = self.actors.step(self._chosen)
        ends = ended.repeat(self.actors.actors)
        return rows.reshape(self.num_envs, -1), rewards.reshape(-1), ends, [{} for _ in range(self.num_envs)]

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **options: Any) -> list[Any]:
        """Return each row's mask, which is all that is asked for."""
        if method_name != "action_masks":
            raise NotImplementedError(method_name)
        return list(self._masks.reshape(self.num_envs, -1))

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return each row's attribute: it has masks, and draws no pictures."""
        if attr_name not in ("action_masks", "render_mode"):
            raise AttributeError(attr_name)
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Rows have nothing to set."""
        raise NotImplementedError(attr_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No row is."""
        return [False] * self.num_envs

    def close(self) -> None:
        """Close the vector."""
        self.actors.envs.close()


@dataclass(frozen=True, slots=True)
class Plays:
    """A controller that samples from a model of Stable-Baselines3."""

    model: Any
    masked: bool

    def act(self, observations: Any, rng: np.random.Generator) -> Any:
        """Return sampled actions for each tree."""
        agents = agents_of(observations)
        rows, masks = seen(observations, agents)
        flat = masks.reshape(-1, masks.shape[-1])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))
            options = {"action_masks": flat} if self.masked else {}
            chosen, _ = self.model.predict(rows.reshape(len(flat), -1), deterministic=False, **options)
        return acting(chosen.reshape(masks.shape[:2]), agents)


class _Until(BaseCallback):
    """Ends learning when so many expansions are spent; tells after each update, when the next rollout begins."""

    def __init__(self, expansions: int, actors: Actors, plays: Plays, told: Told | None) -> None:
        super().__init__()
        self._expansions, self._actors, self._plays, self._told = expansions, actors, plays, told

    def _on_rollout_start(self) -> None:
        if self._told is not None and self.num_timesteps:
            self._told(self._actors.expansions, self._plays)

    def _on_step(self) -> bool:
        return self._actors.expansions < self._expansions


def _learned(
    kind: Any, named: Named, expansions: int, seed: int, told: Told | None, envs: int, **settings: Any
) -> Plays:
    """Return what a class of Stable-Baselines3 learns in so many expansions."""
    with one_core(seed):
        actors = Actors(named.make_vec(envs, split="train", autoreset_mode="SameStep"))
        model = kind("MlpPolicy", Rows(actors, seed), seed=seed, gamma=1.0, device="cpu", **settings)
        plays = Plays(model, kind is MaskablePPO)
        model.learn(_ENDLESS, callback=_Until(expansions, actors, plays, told))
    return plays


_ENDLESS: Final = 2**40
"""Steps that are never reached: expansions say when learning is over, and rates of learning do not change."""


@dataclass(frozen=True, slots=True)
class Sb3Ppo:
    """PPO.

    Attributes:
        envs: trees grown side by side.
        steps: steps of each between two updates.
        batch: rows of a step of gradient descent.
        rate: of learning.
        entropy: weight of the policy's entropy.
    """

    envs: int = 128
    steps: int = 12
    batch: int = 512
    rate: float = 3e-4
    entropy: float = 0.01

    def __call__(self, named: Named, expansions: int, seed: int, told: Told | None = None) -> Plays:
        """Return what was learned."""
        return _learned(PPO, named, expansions, seed, told, self.envs, **self._settings())

    def _settings(self) -> dict[str, Any]:
        return {
            "n_steps": self.steps,
            "batch_size": self.batch,
            "learning_rate": self.rate,
            "ent_coef": self.entropy,
        }


@dataclass(frozen=True, slots=True)
class Sb3MaskablePpo(Sb3Ppo):
    """MaskablePPO; attributes are those of `Sb3Ppo`."""

    def __call__(self, named: Named, expansions: int, seed: int, told: Told | None = None) -> Plays:
        """Return what was learned."""
        return _learned(MaskablePPO, named, expansions, seed, told, self.envs, **self._settings())


@dataclass(frozen=True, slots=True)
class Sb3A2c:
    """A2C.

    Attributes:
        envs: trees grown side by side.
        steps: steps of each between two updates.
        rate: of learning.
        entropy: weight of the policy's entropy.
    """

    envs: int = 32
    steps: int = 6
    rate: float = 7e-4
    entropy: float = 0.01

    def __call__(self, named: Named, expansions: int, seed: int, told: Told | None = None) -> Plays:
        """Return what was learned."""
        settings = {"n_steps": self.steps, "learning_rate": self.rate, "ent_coef": self.entropy}
        return _learned(A2C, named, expansions, seed, told, self.envs, **settings)
