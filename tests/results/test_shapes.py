"""Shapes of programs and how far they are apart."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mars2_env.results.shapes import Shape, edit_distance, normalised_distance, shape_of, similarity

Nested = tuple[str, tuple["Nested", ...]]


def shaped(tree: Nested) -> Shape:
    """The postorder form of a nested one."""
    labels: list[str] = []
    leftmost: list[int] = []

    def walk(node: Nested) -> int:
        begins = [walk(child) for child in node[1]]
        labels.append(node[0])
        leftmost.append(begins[0] if begins else len(labels) - 1)
        return leftmost[-1]

    walk(tree)
    return Shape(tuple(labels), tuple(leftmost))


@cache
def slow_distance(ours: tuple[Nested, ...], theirs: tuple[Nested, ...]) -> int:
    """The distance of two forests by the recursion that defines it."""
    if not ours or not theirs:
        return sum(size(tree) for tree in ours + theirs)
    (label, below), (other_label, other_below) = ours[-1], theirs[-1]
    return min(
        slow_distance(ours[:-1] + below, theirs) + 1,
        slow_distance(ours, theirs[:-1] + other_below) + 1,
        slow_distance(below, other_below) + slow_distance(ours[:-1], theirs[:-1]) + (label != other_label),
    )


def size(tree: Nested) -> int:
    return 1 + sum(map(size, tree[1]))


TREES = st.recursive(
    st.tuples(st.sampled_from("abc"), st.just(())),
    lambda inner: st.tuples(st.sampled_from("abc"), st.lists(inner, max_size=3).map(tuple)),
    max_leaves=5,
)


@settings(max_examples=60)
@given(TREES, TREES)
def test_the_distance_is_that_of_the_recursion(one: Nested, other: Nested) -> None:
    ours, theirs = shaped(one), shaped(other)
    assert edit_distance(ours, theirs) == slow_distance((one,), (other,)) == edit_distance(theirs, ours)


def test_the_example_of_the_paper_has_its_distance() -> None:
    leaf = {name: (name, ()) for name in "abe"}
    one = ("f", (("d", (leaf["a"], ("c", (leaf["b"],)))), leaf["e"]))
    other = ("f", (("c", (("d", (leaf["a"], leaf["b"])),)), leaf["e"]))
    assert edit_distance(shaped(one), shaped(other)) == 2


def test_own_names_docstrings_layout_and_constants_make_no_other_shape() -> None:
    one = shape_of("def f(words):\n    '''Say.'''\n    best = 1\n    for word in words:\n        best += len(word)\n")
    other = shape_of("def g(a):\n    n = 22 # much\n    for x in a: n += len(x)\n")
    assert one == other and one is not None
    assert shape_of("x = 1", constants=True) != shape_of("x = 2", constants=True)


def test_what_others_named_makes_another_shape() -> None:
    shapes = [shape_of(f"def f(x):\n    return {body}\n") for body in ("sorted(x)", "max(x)", "x.sort()", "x.pop()")]
    assert len({*shapes}) == 4


def test_the_normalised_distance_is_0_for_equal_and_1_for_nothing_in_common() -> None:
    one, other = Shape(("a",), (0,)), Shape(("b",), (0,))
    assert normalised_distance(one, one) == 0.0
    assert normalised_distance(one, other) == pytest.approx(2 / 3)
    assert normalised_distance(one, shaped(("a", (("a", ()),)))) == pytest.approx(2 / 4)


@pytest.mark.parametrize(
    "program", ["def f(:", "x" * 200_000, "\0", "(" * 5000], ids=["broken", "long", "null", "deep"]
)
def test_what_python_does_not_parse_has_no_shape(program: str) -> None:
    assert shape_of(program) is None


def test_programs_too_large_to_be_compared_are_said_to_be() -> None:
    large = shape_of("\n".join(f"x = [{', '.join(map(str, range(n)))}]" for n in range(60)), constants=True)
    other = shape_of("\n".join(f"y = ({', '.join(map(str, range(n)))})" for n in range(60)), constants=True)
    assert large is not None and other is not None and len(large) > 1000
    assert edit_distance(large, other) is None and normalised_distance(large, other) is None
    assert edit_distance(large, large) == 0


def test_a_deep_program_has_a_shape() -> None:
    shape = shape_of("x = " + "-" * 80 + "1\n" + "y = " + "[" * 80 + "]" * 80)
    assert shape is not None and len(shape) > 160


def test_similarity_is_a_kernel_with_ones_on_its_diagonal() -> None:
    shapes = [shape_of(text) for text in ("x = 1", "y = 2", "print(sorted(input()))", "for i in range(3): print(i)")]
    found = similarity([shape.subtrees for shape in shapes if shape is not None])
    assert np.diag(found) == pytest.approx(1.0) and found == pytest.approx(found.T)
    assert np.linalg.eigvalsh(found).min() > -1e-9
    assert found[0, 1] == pytest.approx(1.0) and found[0, 2] < 1
