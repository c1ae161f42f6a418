"""What a table of scores says: aggregates, profiles, comparisons, and the intervals of each.

Scores have the shape (seeds, problems): row i is what the training with seed i came to on each problem. The measures
are those of Agarwal et al.: Deep Reinforcement Learning at the Edge of the Statistical Precipice (NeurIPS 2021,
arXiv 2108.13264), and are held against the numbers of its library, rliable.

There a task is a training of its own. Here all problems of a row were played by one policy, so that a row is lucky or
unlucky as a whole: `stratified_intervals`, that paper's, resample each problem's entries by themselves and are too
narrow where seeds differ much. Claims that one algorithm beats another go by `compare`, which resamples whole rows and
whole columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mars2_env.errors import ConfigError
from mars2_env.results.paired import minimum_detectable_effect

Floats = NDArray[np.float64]
Aggregate = Callable[[Floats], Floats]
"""From scores, shape (..., seeds, problems), to one number of each table, shape (...)."""

DRAWS: Final = 2_000
"""Resamples of an interval."""

LEVEL: Final = 0.95
_TRIM: Final = 0.25


def mean(scores: Floats) -> Floats:
    """Return the mean score, shape (...)."""
    found: Floats = scores.mean(axis=(-2, -1))
    return found


def interquartile_mean(scores: Floats) -> Floats:
    """Return the mean of the middle half of all scores, shape (...): a quarter is cut off at either end (IQM)."""
    flat = scores.reshape(*scores.shape[:-2], -1)
    count = flat.shape[-1]
    cut = int(_TRIM * count)
    ordered = np.partition(flat, (cut, count - cut - 1), axis=-1)
    found: Floats = ordered[..., cut : count - cut].mean(axis=-1)
    return found


def profile(scores: Floats, thresholds: Floats) -> Floats:
    """Return the share of scores above each threshold, shape (..., thresholds): the performance profile."""
    flat = scores.reshape(*scores.shape[:-2], -1)
    above = [(flat > threshold).mean(axis=-1) for threshold in thresholds.tolist()]
    return np.stack(above, axis=-1)


def stratified(scores: Floats, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """Return resamples of a table, shape (draws, seeds, problems): problems, and the entries of each by themselves.

    The stratified bootstrap over tasks and runs, as rliable has it with `task_bootstrap=True`.
    """
    seeds, problems = scores.shape
    rows = rng.integers(seeds, size=(draws, seeds, problems))
    columns = rng.integers(problems, size=(draws, 1, problems))
    return scores[rows, columns]


def stratified_intervals(scores: Floats, aggregates: tuple[Aggregate, ...], *, draws: int = DRAWS) -> list[Floats]:
    """Return the percentile interval of each aggregate, shape (2,) or (2, ...), from the same resamples."""
    made = stratified(scores, np.random.default_rng(0), draws)
    return [_quantiles(aggregate(made)) for aggregate in aggregates]


def improvement(first: Floats, second: Floats) -> float:
    """Return the probability that a run of the first does better than one of the second on a problem, ties halved.

    The mean over problems of the Mann-Whitney statistic over its size; rows need not be as many.
    """
    return float(_wins(first, second).mean())


def _wins(first: Floats, second: Floats) -> Floats:
    """Return 1, 0.5 or 0 for each pair of runs and each problem, shape (first's seeds, second's seeds, problems)."""
    found: Floats = (np.sign(first[:, None] - second[None]) + 1) / 2
    return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """How one algorithm does against another on the same trees.

    Attributes:
        difference: of mean scores.
        interval: of the difference, seeds of either and problems resampled.
        detectable: the smallest true difference that these problems would show (power 0.8), seeds taken as given.
        improvement: see `improvement`.
        improvement_interval: of it, resampled likewise.
    """

    difference: float
    interval: tuple[float, float]
    detectable: float
    improvement: float
    improvement_interval: tuple[float, float]

    @property
    def separated(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        return self.interval[0] > 0 or self.interval[1] < 0


def compare(first: Floats, second: Floats, *, draws: int = DRAWS) -> Comparison:
    """Compare two tables of scores on the same problems.

    Raises:
        ConfigError: they are not of the same problems.
    """
    if first.shape[1] != second.shape[1]:
        raise ConfigError(
            f"scores on {first.shape[1]} and on {second.shape[1]} problems: only those on the same problems compare."
        )
    rng = np.random.default_rng(0)
    ours, theirs, problems = (
        rng.multinomial(count, np.full(count, 1 / count), draws) / count
        for count in (first.shape[0], second.shape[0], first.shape[1])
    )
    differences = ((ours @ first - theirs @ second) * problems).sum(axis=1)
    wins = np.einsum("di,dj,ijp,dp->d", ours, theirs, _wins(first, second), problems, optimize=True)
    by_problem = first.mean(axis=0) - second.mean(axis=0)
    return Comparison(
        float(by_problem.mean()),
        _pair(_quantiles(differences)),
        minimum_detectable_effect(by_problem),
        improvement(first, second),
        _pair(_quantiles(wins)),
    )


def _quantiles(values: Floats) -> Floats:
    found: Floats = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return found


def _pair(values: Floats) -> tuple[float, float]:
    low, high = values.tolist()
    return low, high
