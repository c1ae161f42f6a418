"""Statistics of paired comparisons: small pure functions over arrays of differences.

The unit is a problem: seeds of one problem are averaged first, because they share its difficulty, and problems are what
a claim generalises over. Two searches meet the same luck on a problem, so differences are taken problem by problem.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import lcm
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

DRAWS: Final = 10_000
"""How many resamples an interval, or a test that cannot be exact, is made of."""

_MOST_PICKS: Final = 1_000_000
"""How many picks of problems are held at a time."""

_MOST_CELLS: Final = 20_000_000
"""The most additions that an exact test may take; above, it draws."""


def by_problem(values: Mapping[tuple[str, int], float]) -> dict[str, float]:
    """Return problem -> the mean of its values over seeds, from (problem, seed) -> value."""
    found: dict[str, list[float]] = {}
    for (problem, _), value in values.items():
        found.setdefault(problem, []).append(value)
    return {problem: sum(of) / len(of) for problem, of in found.items()}


def bootstrap_interval(
    values: Floats,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
    statistic: Callable[[Floats], Floats] | None = None,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean (Efron 1979, Annals of Statistics 7, 1).

    Args:
        values: shape (problems, ...); of a paired comparison, the differences.
        level: the interval's coverage.
        draws: how many resamples of the problems.
        seed: of the resampling, so that a report repeats.
        statistic: what becomes of the means of the resamples, shape (draws, ...) -> (draws,); None for a plain mean.
    """
    rng = np.random.default_rng(seed)
    block = max(1, _MOST_PICKS // len(values))
    sizes = [min(block, draws - begun) for begun in range(0, draws, block)]
    means = np.concatenate([values[rng.integers(len(values), size=(size, len(values)))].mean(axis=1) for size in sizes])
    low, high = np.quantile(means if statistic is None else statistic(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_band(curves: Floats, *, level: float = 0.95, draws: int = 2000, seed: int = 0) -> tuple[Floats, Floats]:
    """Return the pointwise percentile bootstrap interval of a mean curve, low and high, each of shape (points,).

    Args:
        curves: shape (problems, points).
        level: the coverage at each point.
        draws: how many resamples of the problems.
        seed: of the resampling.
    """
    count = len(curves)
    drawn = np.random.default_rng(seed).multinomial(count, [1 / count] * count, size=draws)  # how often each problem
    low, high = np.quantile(drawn @ curves / count, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def minimum_detectable_effect(differences: Floats, *, level: float = 0.95, power: float = 0.8) -> float:
    """Return the smallest true difference of means that a paired two-sided test would find with this power.

    (z_{(1 + level) / 2} + z_power) * s / sqrt(n), with s the standard deviation (ddof 1) of the n differences (Bloom
    1995, Evaluation Review 19, 547); infinite for a single problem.
    """
    if len(differences) < 2:
        return float("inf")
    normal = NormalDist()
    quantiles = normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(power)
    return quantiles * float(differences.std(ddof=1)) / float(np.sqrt(len(differences)))


def sign_flip_p(differences: Sequence[float], *, draws: int = DRAWS, seed: int = 0) -> float:
    """Return the two-sided p of a mean difference under random signs (Fisher 1935, The Design of Experiments, 21).

    Under the null hypothesis a problem's difference is as likely to have the other sign, so p is the share of all 2^n
    choices of signs under which the sum is at least as far from 0. It is exact where the differences are fractions of
    small whole numbers, as differences of shares of seeds are: for single seeds that is McNemar's exact test. Elsewhere
    it is (1 + hits) / (1 + draws) of so many random choices (Phipson and Smyth 2010, SAGMB 9, 39).

    Args:
        differences: one a problem; zeros say nothing and are left out.
        draws: how many choices are drawn where it cannot be exact.
        seed: of these.
    """
    found = [difference for difference in differences if difference]
    if not found:
        return 1.0
    parts = [Fraction(difference).limit_denominator(1000) for difference in found]
    if all(abs(float(part) - difference) < 1e-12 for part, difference in zip(parts, found, strict=True)):
        whole = lcm(*(part.denominator for part in parts))
        wholes = [abs(int(part * whole)) for part in parts]
        if sum(wholes) * len(wholes) <= _MOST_CELLS:
            return _exact_p(wholes, abs(int(sum(parts) * whole)))
    sizes = np.abs(np.array(found, np.float64))
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(draws, len(sizes)))
    reached = abs(sum(found)) * (1 - 1e-9)  # sums in another order differ by rounding
    return (1 + int((np.abs(signs @ sizes) >= reached).sum())) / (1 + draws)


def _exact_p(sizes: Sequence[int], reached: int) -> float:
    """Return the share of all choices of signs under which whole numbers add up to at least so much, or at most -it."""
    total = sum(sizes)
    chance = np.zeros(2 * total + 1)  # of each sum from -total to total
    chance[total] = 1.0
    for size in sizes:
        chance = (np.roll(chance, size) + np.roll(chance, -size)) / 2  # what rolls over is 0: sums are not there yet
    return float(min(chance[total + reached :].sum() + chance[: total - reached + 1].sum(), 1.0))


def holm(ps: Sequence[float]) -> list[float]:
    """Return p values adjusted for being the least of several (Holm 1979, Scandinavian Journal of Statistics 6, 65).

    The k-th smallest of m is multiplied by m - k + 1, and none is below a smaller one's.
    """
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = largest
    return adjusted


def complementarity(team: Floats, members: Floats) -> float:
    """Return what a team finds above its best member: mean(team) - max over members of mean(member).

    Pass@N of the team's trees minus that of the best member's own trees at equal nodes. Which member is the best is
    read from the same numbers, so that it looks better than it is and the difference errs to the low side. (The gain of
    an ensemble over its best single member; Kuncheva and Whitaker 2003, Machine Learning 51, 181.)

    Args:
        team: shape (problems,).
        members: shape (members, problems), on the same problems.
    """
    return float(team.mean() - members.mean(axis=1).max())
