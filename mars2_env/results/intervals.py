"""Confidence intervals of shares: of trees that stand alone, and of several trees of one problem."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Final

Z_95: Final = 1.959963984540054
"""Quantile of the normal distribution for 95 %."""


def wilson_interval(successes: float, n: float, z: float = Z_95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (Wilson 1927): sound at 0, at 1 and for few trials.

    Args:
        successes: how many of `n` trials succeeded; effective numbers need not be whole.
        n: how many trials, above 0.
        z: quantile of the normal distribution; 1.96 for 95 %.
    """
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def effective_size(outcomes: Sequence[bool], clusters: Sequence[Hashable]) -> float:
    """Return how many independent trials a share over clustered trials is worth: n over the design effect.

    The design effect is the variance of the share as a ratio of cluster totals,
    K / (K - 1) * sum_k (y_k - p n_k)^2 / n^2 (Cochran 1977, Sampling Techniques, section 11), over that of n
    independent trials, p (1 - p) / n (Rao and Scott 1992, Biometrics 48, 577). It is taken to be at least 1. Where the
    trials say nothing of it (all alike, or one cluster alone), each cluster is taken for one trial.

    Args:
        outcomes: whether each trial succeeded; at least one.
        clusters: which cluster (problem) each trial is of.
    """
    n = len(outcomes)
    sizes: dict[Hashable, int] = {}
    totals: dict[Hashable, int] = {}
    for passed, cluster in zip(outcomes, clusters, strict=True):
        sizes[cluster] = sizes.get(cluster, 0) + 1
        totals[cluster] = totals.get(cluster, 0) + passed
    count, p = len(sizes), sum(outcomes) / n
    if count == n:
        return n
    if count == 1 or p in (0.0, 1.0):
        return count
    variance = count / (count - 1) * sum((totals[k] - p * sizes[k]) ** 2 for k in sizes) / n**2
    return n / max(variance / (p * (1 - p) / n), 1.0)


def clustered_interval(outcomes: Sequence[bool], clusters: Sequence[Hashable], z: float = Z_95) -> tuple[float, float]:
    """Return the Wilson interval of a share at the effective number of trials (`effective_size`).

    With one trial a cluster it is the Wilson interval itself. (Effective numbers in intervals of proportions: Korn and
    Graubard 1998, Survey Methodology 24, 193.)
    """
    size = effective_size(outcomes, clusters)
    return wilson_interval(sum(outcomes) / len(outcomes) * size, size, z)
