"""The harness's statistics come to what rliable 1.2.0 comes to (with pandas 2.3.3 and arch 7.2.0; recorded)."""

from __future__ import annotations

import numpy as np
import pytest
from mars2_bench.harness.statistics import (
    compare,
    improvement,
    interquartile_mean,
    mean,
    profile,
    stratified_intervals,
)

from mars2_env import ConfigError


def made(step: int, stride: int) -> np.ndarray:
    """A table of 5 runs on 12 tasks, by a formula that another program can repeat."""
    rows, columns = np.arange(5)[:, None], np.arange(12)[None, :]
    return ((rows * step + columns * stride) % 13) / 12


ONE = made(7, 5)
OTHER = (made(3, 4) + made(2, 1)) / 2 * 0.7


def test_the_interquartile_mean_is_rliables() -> None:
    assert interquartile_mean(ONE) == pytest.approx(0.4944444444444444)
    assert interquartile_mean(OTHER) == pytest.approx(0.3461111111111111)


def test_it_is_not_moved_by_what_lies_in_the_outer_quarters() -> None:
    scores = np.arange(40.0).reshape(4, 10)
    wild = scores.copy()
    wild[0, :5], wild[3, -5:] = -1e6, 1e6
    assert interquartile_mean(wild) == interquartile_mean(scores) == pytest.approx(19.5)


def test_the_interquartile_mean_of_several_tables_is_that_of_each() -> None:
    assert interquartile_mean(np.stack([ONE, OTHER])).tolist() == [interquartile_mean(ONE), interquartile_mean(OTHER)]


def test_the_performance_profile_is_rliables() -> None:
    thresholds = np.linspace(0, 1, 5)
    assert profile(ONE, thresholds) == pytest.approx([11 / 12, 0.7, 0.45, 7 / 30, 0])
    assert profile(OTHER, thresholds) == pytest.approx([59 / 60, 43 / 60, 2 / 15, 0, 0])


def test_the_probability_of_improvement_is_rliables_and_of_both_directions_makes_one() -> None:
    assert improvement(ONE, OTHER) == pytest.approx(0.6516666666666667)
    assert improvement(OTHER, ONE) == pytest.approx(0.3483333333333334)


def test_stratified_intervals_are_those_of_rliable_with_task_bootstrap() -> None:
    # 50,000 resamples there; quantiles of discrete values move by a step or so from one seed to the next.
    iqm, average = stratified_intervals(ONE, (interquartile_mean, mean), draws=20_000)
    assert iqm == pytest.approx([0.363888888888889, 0.6249999999999999], abs=0.006)
    assert average == pytest.approx([0.3972222222222223, 0.5958333333333333], abs=0.004)
    iqm, average = stratified_intervals(OTHER, (interquartile_mean, mean), draws=20_000)
    assert iqm == pytest.approx([0.29555555555555557, 0.4005555555555556], abs=0.003)
    assert average == pytest.approx([0.3028472222222222, 0.3947222222222222], abs=0.003)


def test_an_interval_is_the_same_whenever_it_is_asked_for() -> None:
    assert compare(ONE, OTHER) == compare(ONE, OTHER)
    first, second = (stratified_intervals(ONE, (mean,))[0].tolist() for _ in range(2))
    assert first == second


def test_a_difference_is_paired_by_problem() -> None:
    # Problems differ far more than the two algorithms: unpaired, a gap of 0.05 would drown.
    hard = np.random.default_rng(0).random((1, 100)) * 0.9
    noise = np.random.default_rng(1).normal(0, 0.02, (4, 100))
    found = compare(hard + 0.05 + noise, hard.repeat(4, axis=0))
    assert found.difference == pytest.approx(0.05, abs=0.005)
    assert found.separated
    assert 0.03 < found.interval[0] < found.interval[1] < 0.07
    assert found.detectable < 0.01


def test_seeds_that_disagree_widen_the_interval_of_a_difference() -> None:
    # All problems of a row share its luck: that of a training. Resampling problems alone would never see it.
    level = np.zeros((5, 200))
    agreeing = level + 0.1
    disagreeing = level + np.array([0.4, -0.2, 0.3, -0.1, 0.1])[:, None]
    assert compare(agreeing, level).separated
    assert compare(disagreeing, level).difference == pytest.approx(0.1)
    assert not compare(disagreeing, level).separated


def test_scores_on_other_problems_are_not_compared() -> None:
    with pytest.raises(ConfigError, match="12 and on 11"):
        compare(ONE, OTHER[:, 1:])
