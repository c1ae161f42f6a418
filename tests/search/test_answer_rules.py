"""Which candidate is the answer: every rule puts public tests first."""

from __future__ import annotations

import pytest

from mars2_env.search.answers import agreement_answer, best_answer, reward_answer


def test_no_candidate_no_answer() -> None:
    assert best_answer([]) is reward_answer([], []) is agreement_answer([], []) is None


def test_best_is_the_highest_public_score_ties_to_the_latest() -> None:
    assert best_answer([1.0, 0.5, 1.0, 0.0]) == 2


@pytest.mark.parametrize(
    ("reward", "answer"),
    [
        ([0.2, 0.9, 0.1, 1.0], 1),  # the last one is liked best and fails a public test
        ([0.2, 0.2, 0.1, 1.0], 1),  # ties to the latest
        ([None, 0.0, None, 1.0], 1),  # one that was not rated is below every number
        ([None, None, None, 1.0], 2),
    ],
)
def test_reward_decides_among_the_best_on_public_tests(reward: list[float | None], answer: int) -> None:
    assert reward_answer([1.0, 1.0, 1.0, 0.5], reward) == answer


@pytest.mark.parametrize(
    ("groups", "answer"),
    [
        ([0, 0, 1, 1, 1], 1),  # the last two of group 1 fail public tests and have no vote
        ([0, 1, 1, 0, 0], 2),
        ([0, 1, 2, 2, 2], 2),  # all of one size: the group with the latest
        ([0, None, None, 0, 0], 0),
        ([None, None, None, 0, 0], 2),  # nobody votes: the latest
    ],
)
def test_agreement_is_the_latest_of_the_largest_group(groups: list[int | None], answer: int) -> None:
    assert agreement_answer([1.0, 1.0, 1.0, 0.5, 0.5], groups) == answer


def test_copies_make_no_group_larger_and_may_be_the_latest_of_it() -> None:
    public = [1.0] * 5
    assert agreement_answer(public, [0, 1, 0, 1, 1], [False, False, False, True, True]) == 2
    assert agreement_answer(public, [0, 1, 0, 1, 1], [False, False, True, True, True]) == 4
    assert agreement_answer(public, [0, 1, 1, 0, 0], [False, False, False, True, True]) == 2
