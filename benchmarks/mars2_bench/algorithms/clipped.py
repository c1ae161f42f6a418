"""Learning by PPO's clipped objective: advantages, the objective, and the loop that the reference algorithms share.

Schulman et al.: Proximal Policy Optimization Algorithms (arXiv 1707.06347). What an algorithm is beyond that (who sees
what, who is paid what, what a critic knows) stands in its own file, as a `Model`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mars2_bench.suite.playing import Vector, ends_of
from mars2_bench.suite.vector import BankRounds
from mars2_env.base.checks import real_number, whole_number
from mars2_env.base.extras import needed_by

with needed_by("mars2_bench.algorithms"):
    import torch
    from torch import Tensor, nn

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how fast to learn from what.

    Attributes:
        envs: trees grown side by side.
        steps: steps of each between two updates.
        epochs: passes over them in an update.
        batches: pieces of each pass.
        rate: of learning, at the beginning; it falls to 0 in a straight line.
        trace: lambda of the advantages.
        clip: how far the ratio of probabilities may go from 1.
        entropy: weight of the policy's entropy.
        value: weight of the squared error of values.
        norm: of gradients, at most.
        hidden: units that networks have for each slot; twice as many for all of them together.
    """

    envs: int = 32
    steps: int = 12
    epochs: int = 4
    batches: int = 4
    rate: float = 3e-3
    trace: float = 0.95
    clip: float = 0.2
    entropy: float = 0.01
    value: float = 0.5
    norm: float = 0.5
    hidden: int = 32

    def __post_init__(self) -> None:
        for name in ("envs", "steps", "epochs", "batches", "hidden"):
            whole_number(name, getattr(self, name), where="Settings")
        for name in ("rate", "clip", "norm"):
            real_number(name, getattr(self, name), above=0, where="Settings")
        for name in ("trace", "entropy", "value"):
            real_number(name, getattr(self, name), least=0, where="Settings")


class Model(Protocol):
    """A policy of U units (agents, or one for all of them) and its critic.

    Attributes:
        network: all that is learned.
    """

    network: nn.Module

    def look(self, observations: Any) -> tuple[NDArray[Any], ...]:
        """Return what is needed of observations, each with the shape (trees, ...)."""
        ...

    def choose(self, looked: Sequence[Tensor], draws: np.random.Generator) -> tuple[Ints, Tensor, Tensor]:
        """Return actions, their log-probabilities and values, each of shape (trees, U)."""
        ...

    def weigh(self, looked: Sequence[Tensor], actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-probabilities of actions and values, shape (trees, U), and the mean entropy, a scalar."""
        ...

    def actions(self, chosen: Ints) -> Any:
        """Return actions as the vector's `step` takes them."""
        ...

    def expands(self, chosen: Ints) -> Ints:
        """Return how many of the actions name a slot, shape (trees,)."""
        ...

    def paid(self, rewards: Any) -> Floats:
        """Return the rewards of units, shape (trees, U), of what `step` returned."""
        ...


def advantages(rewards: Floats, values: Floats, ends: NDArray[np.bool_], last: Floats, trace: float) -> Floats:
    """Return generalised advantages, undiscounted: a tree has few steps, and its return is its best score.

    A_t = r_t + V_{t+1} - V_t + trace * A_{t+1}, where nothing follows the step that ends a tree. Schulman et al.: High-
    Dimensional Continuous Control Using Generalized Advantage Estimation (ICLR 2016), equation 16 with gamma 1.

    Args:
        rewards: of each step, shape (T, trees, U).
        values: of what was observed before each step, likewise.
        ends: whether the step ended its tree, shape (T, trees).
        last: values of what is observed after the last step, shape (trees, U).
        trace: lambda.
    """
    found, following, after = np.zeros_like(values), np.zeros_like(last), last
    for step in reversed(range(len(rewards))):
        goes_on = ~ends[step][:, None]
        following = rewards[step] + goes_on * after - values[step] + trace * goes_on * following
        found[step], after = following, values[step]
    return found


def objective(logs: Tensor, before: Tensor, gains: Tensor, clip: float) -> Tensor:
    """Return the clipped surrogate to be maximised, a scalar (PPO, equation 7).

    Args:
        logs: log-probabilities of the actions taken.
        before: the same under the policy that took them.
        gains: advantages.
        clip: how far the ratio may go from 1 before it stops to count.
    """
    ratio = torch.exp(logs - before)
    return torch.minimum(ratio * gains, ratio.clamp(1 - clip, 1 + clip) * gains).mean()


def normalised(gains: Tensor) -> Tensor:
    """Return advantages with mean 0 and standard deviation 1."""
    return (gains - gains.mean()) / (gains.std() + 1e-8)


def learn(
    model: Model, vec: Vector, expansions: int, seed: int, settings: Settings, told: Callable[[int], None] | None
) -> None:
    """Let a model learn from a vector until it has spent so many expansions.

    Args:
        model: what learns.
        vec: trees to learn from; it begins the next one in the step that ends one (`SameStep`).
        expansions: how many at most; the last update may be shorter than the others.
        seed: of the trees, and of all draws.
        settings: how.
        told: is told after each update how many expansions were spent.
    """
    rng, budget = np.random.default_rng(seed), vec.trees.game.budget
    adam = torch.optim.Adam(model.network.parameters(), settings.rate, eps=1e-5)
    observations, _ = vec.reset(seed=seed)
    spent, most = 0, settings.envs * (len(vec.possible_agents) if isinstance(vec, BankRounds) else 1)
    while steps := min(settings.steps, (expansions - spent) // most):
        adam.param_groups[0]["lr"] = settings.rate * (1 - spent / expansions)
        kept: list[Any] = []
        rewards, ends = [], np.zeros((steps, settings.envs), np.bool_)
        for step in range(steps):
            looked = tuple(torch.from_numpy(one) for one in model.look(observations))
            with torch.no_grad():
                chosen, logs, values = model.choose(looked, rng)
            spent += int(np.minimum(model.expands(chosen), budget - vec.trees.spent).sum())
            observations, paid, ended, _, _ = vec.step(model.actions(chosen))
            ends[step] = ends_of(vec, ended)
            rewards.append(model.paid(paid))
            kept.append((*looked, torch.from_numpy(chosen), logs, values))
        looked = tuple(torch.from_numpy(one) for one in model.look(observations))
        with torch.no_grad():
            last = model.choose(looked, rng)[2].numpy()
        *seen, actions, before, values = (torch.stack(parts) for parts in zip(*kept, strict=True))
        gains = torch.from_numpy(advantages(np.stack(rewards), values.numpy(), ends, last, settings.trace))
        collected = [one.flatten(0, 1) for one in (*seen, actions, before, gains, gains + values)]
        for _ in range(settings.epochs):
            for picked in np.array_split(rng.permutation(ends.size), settings.batches):
                climb(model, adam, [one[torch.from_numpy(picked)] for one in collected], settings)
        if told is not None:
            told(spent)


def climb(model: Model, adam: Any, collected: Sequence[Tensor], settings: Settings) -> None:
    """Take one step up the objective: of policies, with entropy, and down the error of values.

    Args:
        model: what learns.
        adam: moves its weights.
        collected: what was looked at, then actions, their log-probabilities before, advantages and returns.
        settings: weights and limits.
    """
    *looked, actions, before, gains, returns = collected
    logs, values, entropy = model.weigh(looked, actions)
    loss = (
        settings.value * (values - returns).square().mean()
        - objective(logs, before, normalised(gains), settings.clip)
        - settings.entropy * entropy
    )
    adam.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.network.parameters(), settings.norm)
    adam.step()
