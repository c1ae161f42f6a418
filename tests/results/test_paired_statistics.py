"""Statistics of paired differences, against values worked out by hand or known from elsewhere."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest

from mars2_env.results.paired import (
    bootstrap_band,
    bootstrap_interval,
    by_problem,
    complementarity,
    holm,
    sign_flip_p,
)


def test_seeds_of_one_problem_count_as_one() -> None:
    values = {("a", 0): 1.0, ("a", 1): 0.0, ("b", 0): 1.0}
    assert by_problem(values) == {"a": 0.5, "b": 1.0}


@pytest.mark.parametrize(("wins", "losses"), [(5, 0), (6, 1), (9, 3), (2, 2), (40, 22)])
def test_of_single_seeds_p_is_that_of_mcnemars_exact_test(wins: int, losses: int) -> None:
    count = wins + losses
    tail = sum(comb(count, fewer) for fewer in range(min(wins, losses) + 1)) / 2**count
    p = sign_flip_p([1.0] * wins + [-1.0] * losses + [0.0] * 7)
    assert p == pytest.approx(min(1.0, 2 * tail), rel=1e-12)


def test_p_over_seeds_counts_every_choice_of_signs() -> None:
    differences = [1 / 3, -2 / 3, 1.0, 0.5, 0.5]
    reached = abs(sum(differences)) - 1e-9
    sums = [
        abs(sum(sign * one for sign, one in zip(signs, differences, strict=True)))
        for signs in product((-1, 1), repeat=5)
    ]
    assert sign_flip_p(differences) == pytest.approx(sum(one >= reached for one in sums) / 32)


def test_p_of_other_numbers_is_drawn_and_agrees_with_all_choices_of_signs() -> None:
    differences = (np.random.default_rng(3).normal(0.6, 1.0, size=12)).tolist()
    reached = abs(sum(differences)) - 1e-9
    every = [
        abs(sum(sign * one for sign, one in zip(signs, differences, strict=True)))
        for signs in product((-1, 1), repeat=12)
    ]
    exact = sum(one >= reached for one in every) / 2**12
    assert sign_flip_p(differences, draws=20_000) == pytest.approx(exact, abs=0.01)
    assert sign_flip_p(differences) == sign_flip_p(differences)


def test_nothing_that_differs_is_no_evidence() -> None:
    assert sign_flip_p([0.0, 0.0]) == 1.0
    assert sign_flip_p([1.0]) == 1.0


def test_p_is_at_most_alpha_as_often_as_it_says_where_nothing_differs() -> None:
    rng = np.random.default_rng(11)
    found = [sign_flip_p((rng.random(20) - rng.random(20)).tolist(), draws=400, seed=n) for n in range(300)]
    assert 0.02 < np.mean(np.array(found) <= 0.05) < 0.09


def test_holm_multiplies_the_least_p_by_their_number_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_bootstrap_of_a_statistic_draws_whole_problems() -> None:
    team_and_member = np.array([[1.0, 1.0], [0.0, 0.0]] * 10)
    assert bootstrap_interval(team_and_member, statistic=lambda means: means[:, 0] - means[:, 1]) == (0.0, 0.0)


def test_a_band_is_at_each_point_the_interval_of_that_point() -> None:
    curves = np.random.default_rng(1).random((12, 3))
    points = [bootstrap_interval(curves[:, point]) for point in range(3)]
    np.testing.assert_allclose(np.transpose(bootstrap_band(curves)), points, atol=0.015)  # other resamples


def test_a_team_is_held_against_its_best_member() -> None:
    team = np.array([1.0, 1.0, 1.0, 0.0])
    members = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    assert complementarity(team, members) == 0.25
