"""Statistics of paired comparisons, against values known from elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from mars2_bench.search.paired import area, first_solve, sparkline

from mars2_env.results.curves import answer_curve, answers, solved_curve
from mars2_env.results.paired import bootstrap_interval, minimum_detectable_effect


def test_the_answer_is_the_best_node_so_far_and_the_latest_of_equals() -> None:
    assert answers([0.0, 0.5, 0.5, 0.2, 1.0, 0.9]) == [0, 1, 2, 2, 4, 4]
    curve = answer_curve([0.0, 1.0, 1.0], [True, True, False])
    assert curve.tolist() == [1.0, 1.0, 0.0]  # a later answer may be a worse one


def test_a_tree_once_solved_stays_solved() -> None:
    assert solved_curve([False, True, False]).tolist() == [0.0, 1.0, 1.0]
    assert first_solve([False, True, False]) == 2
    assert first_solve([False, False]) is None


@pytest.mark.parametrize("first", [1, 2, 5, 8])
def test_area_and_first_solve_tell_the_same(first: int) -> None:
    hidden = [number >= first for number in range(1, 9)]
    assert area(solved_curve(hidden)) == (8 + 1 - first) / 8
    assert area(solved_curve([False] * 8)) == 0


def test_the_bootstrap_interval_of_many_values_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(0.3, 1.0, size=400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.01)
    assert high == pytest.approx(values.mean() + half, abs=0.01)
    assert bootstrap_interval(values) == (low, high)  # its draws are seeded
    assert bootstrap_interval(values, level=0.5)[0] > low


def test_the_bootstrap_interval_covers_what_it_says() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(300):
        low, high = bootstrap_interval(rng.binomial(1, 0.4, size=60).astype(float), draws=400)
        inside += low <= 0.4 <= high
    assert 0.90 <= inside / 300 <= 0.98


def test_the_minimum_detectable_effect_is_the_textbook_one() -> None:
    # Two-sided 5 %, power 80 %: (1.959964 + 0.841621) * s / sqrt(n)
    differences = np.array([1.0, -1.0] * 50)
    assert minimum_detectable_effect(differences) == pytest.approx(2.801585 * 1.0050378 / 10, rel=1e-6)
    assert minimum_detectable_effect(differences, power=0.5) == pytest.approx(1.959964 * 1.0050378 / 10, rel=1e-6)
    assert minimum_detectable_effect(np.zeros(1)) == float("inf")


def test_an_effect_of_that_size_is_found_as_often_as_the_power_says() -> None:
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(1000):
        noise = rng.normal(0, 1, size=80)
        effect = minimum_detectable_effect(noise)
        shifted = noise + effect - noise.mean() + rng.normal(0, 1 / np.sqrt(80))
        found += shifted.mean() / (shifted.std(ddof=1) / np.sqrt(80)) > 1.96
    assert found / 1000 == pytest.approx(0.8, abs=0.04)


def test_a_curve_is_a_line_of_blocks() -> None:
    assert sparkline(np.linspace(0, 1, 9)) == " ▁▂▃▄▅▆▇█"
    assert len(sparkline(np.ones(100), width=32)) == 32
