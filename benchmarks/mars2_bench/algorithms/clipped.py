"""What PPO and its relatives share: advantages, and the clipped objective."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mars2_env.base.extras import needed_by

with needed_by("mars2_bench.algorithms"):
    import torch
    from torch import Tensor

Floats = NDArray[np.float32]


def advantages(rewards: Floats, values: Floats, ends: NDArray[np.bool_], last: Floats, trace: float) -> Floats:
    """Return generalised advantages, undiscounted: a tree has few steps, and its return is its best score.

    A_t = r_t + V_{t+1} - V_t + trace * A_{t+1}, where nothing follows the step that ends a tree. Schulman et al.: High-
    Dimensional Continuous Control Using Generalized Advantage Estimation (ICLR 2016), equation 16 with gamma 1.

    Args:
        rewards, values: shape (T, ...): of each step, and of what was observed before it.
        ends: whether the step ended its tree, likewise.
        last: values of what is observed after the last step, shape (...).
        trace: lambda.
    """
    found, following, after = np.zeros_like(values), np.zeros_like(last), last
    for step in reversed(range(len(rewards))):
        goes_on = ~ends[step]
        following = rewards[step] + goes_on * after - values[step] + trace * goes_on * following
        found[step], after = following, values[step]
    return found


def objective(logs: Tensor, before: Tensor, gains: Tensor, clip: float) -> Tensor:
    """Return the clipped surrogate to be maximised, a scalar.

    Schulman et al.: Proximal Policy Optimization Algorithms (arXiv 1707.06347), equation 7.

    Args:
        logs: log-probabilities of the actions taken, shape (n,).
        before: the same under the policy that took them.
        gains: advantages.
        clip: how far the ratio may go from 1 before it stops to count.
    """
    ratio = torch.exp(logs - before)
    return torch.minimum(ratio * gains, ratio.clamp(1 - clip, 1 + clip) * gains).mean()


def entropy(logs: Tensor) -> Tensor:
    """Return the mean entropy of policies given as log-probabilities, shape (n, actions)."""
    return -(logs.exp() * logs).sum(1).mean()


def normalised(gains: Tensor) -> Tensor:
    """Return advantages with mean 0 and standard deviation 1."""
    return (gains - gains.mean()) / (gains.std() + 1e-8)
