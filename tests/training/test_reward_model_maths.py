"""Objectives, calibration and measures of reward models, against values known from elsewhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra transformers")

from mars2_agents.models.calibration import (  # noqa: E402
    Calibration,
    calibrated,
    calibrated_by_status,
    probabilities,
)
from mars2_agents.models.measures import (  # noqa: E402
    auc,
    auc_by_problem,
    brier,
    calibration_error,
    interval_by_problem,
)
from mars2_agents.models.objectives import batches, pair_groups, pairwise, pointwise  # noqa: E402

from mars2_env import ConfigError  # noqa: E402


def test_pairwise_is_the_mean_over_groups_of_the_mean_over_pairs() -> None:
    score = torch.tensor([1.0, 0.0, 2.0, 5.0, -1.0, 7.0])
    passed = torch.tensor([True, False, False, True, False, True])
    group = torch.tensor([0, 0, 0, 1, 1, 2])  # the last group has no pair

    def nll(difference: float) -> float:
        return math.log1p(math.exp(-difference))

    expected = ((nll(1.0) + nll(-1.0)) / 2 + nll(6.0)) / 2
    assert pairwise(score, passed, group).item() == pytest.approx(expected, rel=1e-6)


def test_pairwise_has_no_gradient_across_problems_and_none_where_all_came_out_alike() -> None:
    score = torch.zeros(4, requires_grad=True)
    pairwise(score, torch.tensor([True, False, True, True]), torch.tensor([0, 0, 1, 1])).backward()
    assert score.grad.tolist() == [-0.5, 0.5, 0.0, 0.0]
    alone = torch.zeros(2, requires_grad=True)
    loss = pairwise(alone, torch.tensor([True, False]), torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == 0.0
    assert alone.grad.tolist() == [0.0, 0.0]


def test_pointwise_is_cross_entropy() -> None:
    loss = pointwise(torch.tensor([0.0, 2.0]), torch.tensor([True, False]), torch.tensor([0, 0]))
    assert loss.item() == pytest.approx((math.log(2) + math.log1p(math.exp(2.0))) / 2, rel=1e-6)


def test_groups_have_programs_of_both_kinds_of_one_problem_and_all_of_the_commoner_kind() -> None:
    problems = ["a"] * 11 + ["b"] * 3 + ["c"] * 2
    passed = [True] + [False] * 10 + [True, True, False] + [True, True]
    groups = pair_groups(problems, passed, 4, np.random.default_rng(0))
    for group in groups:
        assert 2 <= len(set(group)) == len(group) <= 4
        assert len({problems[place] for place in group}) == 1
        assert {passed[place] for place in group} == {True, False}
    assert {place for group in groups for place in group} == set(range(14))  # "c" has no pair
    assert sum(len(batch) for batch in batches(groups, 6)) == sum(map(len, groups))
    assert all(len(batch) >= 6 for batch in batches(groups, 6)[:-1])


def test_the_area_is_the_share_of_pairs_in_order_and_ties_count_a_half() -> None:
    rng = np.random.default_rng(1)
    scores, passed = rng.integers(0, 6, 60) / 5, rng.random(60) < 0.4
    pairs = [(float(a > b) + float(a == b) / 2) for a in scores[passed] for b in scores[~passed]]
    assert auc(scores, passed) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert math.isnan(auc([0.5, 0.4], [True, True]))
    assert math.isnan(auc([], []))


def test_within_a_problem_the_level_of_its_scores_says_nothing() -> None:
    scores, passed = [0.1, 0.2, 0.8, 0.9, 0.5], [False, True, False, True, True]
    assert auc_by_problem(scores, passed, ["a", "a", "b", "b", "c"]).tolist() == [1.0, 1.0]
    assert auc(scores, passed) < 1


def test_the_calibration_error_is_zero_for_shares_and_the_gap_elsewhere() -> None:
    p = np.repeat([0.25, 0.75], 40)
    passed = np.tile([True, False, False, False], 20)[:80]
    passed[40:] = ~passed[40:]
    assert calibration_error(p, passed, bins=2) == pytest.approx(0.0, abs=1e-12)
    assert calibration_error(np.full(80, 0.9), passed, bins=4) == pytest.approx(0.4, abs=1e-12)
    assert brier([1.0, 0.0, 0.5], [True, False, True]) == pytest.approx(0.25 / 3)


def test_platt_scaling_recovers_the_curve_that_scores_were_drawn_from() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(0, 3, 20_000)
    passed = rng.random(20_000) < 1 / (1 + np.exp(-(0.7 * scores - 1.2)))
    found = calibrated(scores, passed)
    assert found.slope == pytest.approx(0.7, abs=0.03)
    assert found.offset == pytest.approx(-1.2, abs=0.06)
    assert calibration_error(found(scores), passed) < 0.01 < calibration_error(Calibration()(scores), passed)
    assert auc(found(scores), passed) == pytest.approx(auc(scores, passed), abs=1e-9)


def test_a_temperature_keeps_even_scores_even() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(0, 4, 5_000)
    passed = rng.random(5_000) < 1 / (1 + np.exp(-scores / 2))
    found = calibrated(scores, passed, "temperature")
    assert found.slope == pytest.approx(0.5, abs=0.05)
    assert found([0.0])[0] == 0.5


@pytest.mark.parametrize("method", ["platt", "temperature"])
def test_calibration_never_turns_the_order_round(method: str) -> None:
    scores = np.linspace(-2, 2, 50)
    found = calibrated(scores, scores < 0.5, method)  # type: ignore[arg-type]
    assert found.slope == 0
    assert len(set(found(scores).tolist())) == 1


def test_scores_that_separate_perfectly_stay_finite_and_extreme_ones_do_not_overflow() -> None:
    scores = np.array([-900.0, -1.0, 1.0, 900.0])
    found = calibrated(scores, scores > 0)
    assert np.isfinite([found.slope, found.offset]).all()
    assert Calibration(50.0, 0.0)(scores).tolist()[::3] == [0.0, 1.0]


@pytest.mark.parametrize(("passed", "said"), [([True] * 3, "all passed"), ([False] * 2, "all failed"), ([], "is none")])
def test_what_cannot_be_calibrated_on_is_named(passed: list[bool], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        calibrated(np.zeros(len(passed)), passed)
    assert calibrated(np.zeros(len(passed)), passed, "none") == Calibration(1.0, 0.0)


def test_an_interval_resamples_problems_and_not_programs() -> None:
    problems = np.repeat(np.arange(40), 25)
    value = np.repeat(np.random.default_rng(4).normal(size=40), 25)  # programs of one problem are alike
    low, high = interval_by_problem(lambda at: float(value[at].mean()), problems.tolist())
    spread = value[::25].std(ddof=1) / math.sqrt(40)
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.2)


def test_each_status_has_a_calibration_of_its_own_and_where_all_came_out_alike_their_share() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(0, 2, 6_000)
    status: list[Any] = (["passed"] * 2 + ["failed"]) * 2_000
    tested = np.array([one == "passed" for one in status])
    passed = tested & (rng.random(6_000) < 1 / (1 + np.exp(-(scores + 1))))
    found = calibrated_by_status(scores, passed, status)
    assert (found["passed"].slope, found["passed"].offset) == pytest.approx((1.0, 1.0), abs=0.15)
    assert found["failed"].slope == 0
    assert found["failed"]([-5.0, 5.0]).tolist() == pytest.approx([1 / 2_002] * 2)
    assert found["untested"] == calibrated(scores, passed)  # nothing is known of these
    together = calibrated(scores, passed)(scores)
    apart = probabilities(found, scores, status)
    assert auc(apart, passed) > auc(together, passed) + 0.1
    assert brier(apart, passed) < brier(together, passed)
    assert len(set(calibrated_by_status(scores, passed, status, "temperature").values())) == 1
