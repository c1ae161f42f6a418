"""Measures of diversity, against values worked out by hand and against counting every choice."""

from __future__ import annotations

from itertools import combinations
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars2_env import ConfigError
from mars2_env.results.diversity import (
    da_at_k,
    distinct_k,
    effective_algorithms,
    nauadc,
    subsets,
    utility_k,
    vendi_score,
)

CLASSES = st.lists(st.integers(0, 3), min_size=1, max_size=7)


@given(CLASSES, st.data())
def test_da_at_k_is_the_mean_over_every_choice_of_k(classes: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(classes)))
    every = [len({*chosen}) for chosen in combinations(classes, k)]
    assert da_at_k(classes, k) == pytest.approx(sum(every) / len(every))


def test_da_at_k_needs_k_programs() -> None:
    with pytest.raises(ConfigError, match="k must be from 1 to the number of programs, 2"):
        da_at_k([0, 1], 3)


def test_nauadc_is_the_mean_height_of_the_curve() -> None:
    assert nauadc([5, 5, 5, 5], 4) == 1.0
    assert nauadc([0, 1, 2, 3], 4) == pytest.approx((1.5 + 2.5 + 3.5) / 3)
    with pytest.raises(ConfigError, match="at least 2"):
        nauadc([0, 1], 1)


def test_the_effective_number_is_that_of_equally_frequent_classes() -> None:
    assert effective_algorithms("abcd") == pytest.approx(4)
    assert effective_algorithms("aaaa") == 1.0
    assert effective_algorithms("aaab") == pytest.approx(exp(-(0.75 * log(0.75) + 0.25 * log(0.25))))


@given(CLASSES)
def test_of_classes_the_vendi_score_is_their_effective_number(classes: list[int]) -> None:
    same = np.array([[float(one == other) for other in classes] for one in classes])
    assert vendi_score(same) == pytest.approx(effective_algorithms(classes))


def test_the_vendi_score_of_two_things_is_that_of_their_similarity() -> None:
    high, low = 0.75, 0.25  # eigenvalues of K / 2 with K = [[1, 0.5], [0.5, 1]]
    wanted = exp(-(high * log(high) + low * log(low)))
    assert vendi_score(np.array([[1.0, 0.5], [0.5, 1.0]])) == pytest.approx(wanted)


def test_distinct_k_counts_among_the_first_k() -> None:
    assert [distinct_k([0, 0, 1, 2], k) for k in (1, 2, 3, 4)] == [1, 1, 2, 3]


def test_utility_pays_for_what_is_new_and_less_for_what_comes_later() -> None:
    assert utility_k([0, 1, 2], [1, 1, 1], 3) == pytest.approx(1.0)
    assert utility_k([0, 0, 1], [1, 1, 1], 3, patience=0.5) == pytest.approx((1 + 0.25) / (1 + 0.5 + 0.25))
    assert utility_k([0, 1], [0, 1], 2, patience=0.5) == pytest.approx(0.5 / 1.5)
    with pytest.raises(ConfigError, match="patience"):
        utility_k([0], [1], 1, patience=1.0)


def test_subsets_are_of_that_size_and_all_of_it_where_there_is_no_choice() -> None:
    rng = np.random.default_rng(0)
    assert subsets(3, 3, rng, draws=5) == [[0, 1, 2]]
    some = subsets(5, 2, rng, draws=20)
    assert len(some) == 20 and all(len({*one}) == 2 and one == sorted(one) for one in some)
