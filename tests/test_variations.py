"""Further inputs: like the public ones, different from them, and the same at every run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mars2_env
from mars2_env import Call, Problem, TestCase
from mars2_env.problems.plain import from_json, to_json
from mars2_env.results.variations import varied_inputs
from mars2_env.types import PublicView


def calls(*inputs: list[Any]) -> PublicView:
    return Problem("v", "v", Call("f"), public=tuple(TestCase(one, None) for one in inputs)).public_view()


def texts(*inputs: str) -> PublicView:
    return Problem("v", "v", public=tuple(TestCase(one, "") for one in inputs)).public_view()


def test_inputs_are_new_each_and_depend_on_the_seed_alone() -> None:
    view = calls([3, [1, 2, 5]], [0, []])
    found = varied_inputs(view, 16)
    assert len(found) == 16
    assert len({repr(one) for one in found}) == 16
    assert not any(one in found for one in ([3, [1, 2, 5]], [0, []]))
    assert found == varied_inputs(view, 16)
    assert found[:5] == varied_inputs(view, 5)
    assert found != varied_inputs(view, 16, seed=1)
    assert view.public[0].input == [3, [1, 2, 5]]


def test_types_and_the_number_of_arguments_stay() -> None:
    model = [1, 2.5, "ab", True, None, (1, "x"), {"k": [1]}, {1, 2}, frozenset({3}), 1 + 2j, b"z"]
    for varied in varied_inputs(calls(model), 64):
        assert [type(value) for value in varied] == [type(value) for value in model]
        assert type(varied[5][0]) is int
        assert type(varied[5][1]) is str


@pytest.mark.parametrize(("models", "least"), [([[1], [7]], 1), ([[0], [7]], 0), ([[-3], [7]], None)])
def test_numbers_keep_the_lower_bound_that_all_public_inputs_keep(models: list[list[int]], least: int | None) -> None:
    found = [one[0] for one in varied_inputs(calls(*models), 32)]
    if least is None:
        assert min(found) < -3
    else:
        assert min(found) >= least


def test_numbers_that_count_something_further_down_stay() -> None:
    for text in varied_inputs(texts("3\n4 9 2\n", "2\n7 7\n"), 24):
        first, second, end = text.split("\n")
        assert int(first) == len(second.split())
        assert all(int(token) >= 1 for token in second.split())
        assert end == ""
    for text in varied_inputs(texts("2\nabc\nde\n"), 24):
        first, *words, _ = text.split("\n")
        assert int(first) == len(words) == 2
        assert [len(word) for word in words] == [3, 2]


def test_a_problem_without_public_tests_or_without_anything_to_vary_has_none() -> None:
    assert varied_inputs(Problem("v", "v").public_view()) == []
    assert varied_inputs(calls([]), 4) == []
    assert varied_inputs(calls([None]), 4) == []
    assert varied_inputs(texts("\n"), 4) == []
    assert len(varied_inputs(calls([True]), 16)) == 1


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=3)
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.tuples(inner)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(plain, max_size=3))
def test_any_plain_data_can_be_varied_and_stays_plain(model: list[Any]) -> None:
    for varied in varied_inputs(calls(model), 6):
        assert len(varied) == len(model)
        assert repr(from_json(to_json(varied))) == repr(varied)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30), st.text(alphabet="-0123456789 \n", max_size=30))
def test_any_text_can_be_varied(free: str, numbers: str) -> None:
    for varied in varied_inputs(texts(free, numbers), 6):
        assert isinstance(varied, str)


def test_the_starter_set_can_be_varied_for_nearly_every_problem() -> None:
    problems = list(mars2_env.load_problems("starter"))
    counts = [len(varied_inputs(problem.public_view(), 8)) for problem in problems]
    assert sum(count == 8 for count in counts) > 0.95 * len(problems)
