"""How good scores are: do they order programs, and are they probabilities?"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]


def auc(scores: ArrayLike, passed: ArrayLike) -> float:
    """Return the chance that a program that passed has a higher score than one that did not; ties count a half.

    The area under the ROC curve (Hanley and McNeil 1982). NaN where all came out alike: nothing can be ordered.

    Args:
        scores: (programs,).
        passed: (programs,).
    """
    x, y = np.asarray(scores, np.float64), np.asarray(passed, bool)
    good = int(y.sum())
    if not 0 < good < len(y):
        return float("nan")
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]  # the mean rank of equal scores, from 1
    return float((rank[y].sum() - good * (good + 1) / 2) / (good * (len(y) - good)))


def auc_by_problem(scores: ArrayLike, passed: ArrayLike, problems: Sequence[Hashable]) -> Floats:
    """Return `auc` within each problem that has programs of both kinds, shape (such problems,).

    Its mean says how well an answer is chosen: scores of different problems are never compared there.
    """
    x, y = np.asarray(scores, np.float64), np.asarray(passed, bool)
    found = np.array([auc(x[places], y[places]) for places in _places(problems)])
    return found[~np.isnan(found)]


def calibration_error(probability: ArrayLike, passed: ArrayLike, bins: int = 10) -> float:
    """Return the mean of |share that passed - mean probability| over bins with as many programs each.

    Expected calibration error (Naeini et al. 2015), with bins of equal mass.

    Args:
        probability: (programs,), in [0, 1].
        passed: (programs,).
        bins: how many; fewer where there are fewer programs.
    """
    p, y = np.asarray(probability, np.float64), np.asarray(passed, np.float64)
    if not len(p):
        return float("nan")
    parts = np.array_split(np.argsort(p, kind="stable"), min(bins, len(p)))
    return float(sum(len(part) / len(p) * abs(y[part].mean() - p[part].mean()) for part in parts))


def brier(probability: ArrayLike, passed: ArrayLike) -> float:
    """Return the mean of (probability - passed)^2 (Brier 1950)."""
    return float(np.mean((np.asarray(probability, np.float64) - np.asarray(passed, np.float64)) ** 2))


def interval_by_problem(
    measure: Callable[[NDArray[np.int64]], float],
    problems: Sequence[Hashable],
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a measure, problems being resampled with all of their programs.

    Args:
        measure: of the places of programs, which may occur more than once; NaN says nothing and is left out.
        problems: of each program, its problem.
        level: the interval's coverage.
        draws: how many resamples.
        seed: of the resampling.
    """
    places = _places(problems)
    if not places:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(places), size=(draws, len(places)))
    found = np.array([measure(np.concatenate([places[one] for one in pick])) for pick in picks])
    found = found[~np.isnan(found)]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2]) if len(found) else (np.nan, np.nan)
    return float(low), float(high)


def _places(problems: Sequence[Hashable]) -> list[NDArray[np.int64]]:
    """Return the places of each problem's programs."""
    found: dict[Hashable, list[int]] = {}
    for place, problem in enumerate(problems):
        found.setdefault(problem, []).append(place)
    return [np.array(places) for places in found.values()]
