"""The order of problems: every epoch has each problem once, in an order that the seed and the epoch decide."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from mars2_agents.training.order import problems_of, steps_of_epoch

from mars2_env import ConfigError

IDS = [f"p/{number}" for number in range(10)]


@pytest.mark.parametrize("at_a_time", [1, 3, 4, 10])
def test_an_epoch_has_every_problem_once_in_steps_of_almost_one_size(at_a_time: int) -> None:
    steps = steps_of_epoch(10, at_a_time)
    for epoch in range(3):
        parts = [problems_of(epoch * steps + step, IDS, at_a_time, seed=5) for step in range(steps)]
        assert sorted(one for part in parts for one in part) == IDS
        assert max(map(len, parts)) - min(map(len, parts)) <= 1 and max(map(len, parts)) <= at_a_time


def test_epochs_and_seeds_have_orders_of_their_own_and_a_step_is_always_the_same() -> None:
    orders = [tuple(problems_of(step, IDS, 10, seed)) for seed in (0, 1) for step in (0, 1)]
    assert len(set(orders)) == 4
    assert problems_of(7, IDS, 3, 2) == problems_of(7, IDS, 3, 2)


def test_a_step_of_more_problems_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match="at most 10"):
        problems_of(0, IDS, 11, 0)
