"""Statistics of paired comparisons of searches: small pure functions over arrays.

The unit is a problem: seeds of one problem are averaged first, because they share its difficulty, and problems are what
a claim generalises over. Two searches meet the same luck on a problem, so differences are taken problem by problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def answers(scores: Sequence[float]) -> list[int]:
    """Return, for each number of nodes t = 1 ... n, the index of the answer among the first t nodes.

    The answer is the node with the highest score on public tests, ties to the latest (the paper's rule).
    """
    best, found = 0, []
    for index, score in enumerate(scores):
        if score >= scores[best]:
            best = index
        found.append(best)
    return found


def answer_curve(scores: Sequence[float], hidden: Sequence[bool]) -> Floats:
    """Return whether the answer after t nodes passes the hidden tests, shape (n,): Pass@1(MCTS) against budget."""
    return np.array([float(hidden[answer]) for answer in answers(scores)])


def solved_curve(hidden: Sequence[bool]) -> Floats:
    """Return whether some node of the first t passes the hidden tests, shape (n,): Pass@N against budget."""
    return np.maximum.accumulate(np.array(hidden, np.float64))


def area(curve: Floats) -> float:
    """Return the area under a curve over t = 1 ... n as a share of what it could be: its mean."""
    return float(curve.mean())


def first_solve(hidden: Sequence[bool]) -> int | None:
    """Return the number of nodes until the first that passes the hidden tests; None if none does.

    With n nodes, area(solved_curve) = (n + 1 - first) / n, and 0 for None: the two tell the same, tree by tree.
    """
    return next((number for number, passed in enumerate(hidden, start=1) if passed), None)


def bootstrap_interval(
    values: Floats, *, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean (Efron 1979).

    Args:
        values: shape (problems,); of a paired comparison, the differences.
        level: the interval's coverage.
        draws: how many resamples of the problems.
        seed: of the resampling, so that a report repeats.
    """
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(values), size=(draws, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def minimum_detectable_effect(differences: Floats, *, level: float = 0.95, power: float = 0.8) -> float:
    """Return the smallest true difference of means that a paired two-sided test would find with this power.

    (z_{(1 + level) / 2} + z_power) * s / sqrt(n), with s the standard deviation (ddof 1) of the n differences; infinite
    for a single problem.
    """
    if len(differences) < 2:
        return float("inf")
    normal = NormalDist()
    quantiles = normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(power)
    return quantiles * float(differences.std(ddof=1)) / float(np.sqrt(len(differences)))


def sparkline(curve: Floats, width: int = 32) -> str:
    """Return a curve with values in [0, 1] as one line of block characters."""
    blocks = " ▁▂▃▄▅▆▇█"
    places = np.linspace(0, len(curve) - 1, min(width, len(curve))).round().astype(int)
    return "".join(blocks[round(float(curve[place]) * (len(blocks) - 1))] for place in places)
