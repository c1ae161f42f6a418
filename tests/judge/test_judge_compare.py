"""The two comparison rules, as tables of what counts as the same and what does not."""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from fractions import Fraction
from math import inf, isfinite, isnan, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars2_env.judge import equal, same_output
from mars2_env.judge.compare import digest
from mars2_env.sandbox.worker.values import Opaque


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        ("3\n", "3"),
        ("", ""),
        ("  \n", ""),
        ("1\t2\r\n3\x0b\x0c", "1 2\n3"),
        ("\n\n1  2 \n\n3\n \n", "1 2\n\n3"),
        ("1\r\n2\r\n", "1\n2"),
        (" *\n***\n", " *\n***"),
        ("1\n2\n3", "1 2 3\n"),
        (" 1 2", "1 2"),
        ("3.0", "3"),
        ("3.", "3"),
        ("-3.000000", "-3"),
        ("1e+20", "100000000000000000000"),
        ("-0.0", "0"),
        ("9" * 5000 + ".0", "9" * 5000),
        ("0.5 5.0", "0.5 5"),
        ("0.333333", "0.3333333333333333"),
        ("0.012346", "0.0123456789"),
        ("0.0000124", "0.000012"),
        ("0.0000004", "0.000000"),
        ("3.3e-300", "3.3e-300"),
        ("2.5000001e-10", "2.5e-10"),
        ("YES", "YES"),
        ("0.5", "0.5"),
        ("0.50000000001", "0.5"),
        (".5", "0.5"),
        ("5e-1", "0.5"),
        ("2", "2.0"),
        ("+2", "2.0"),
        ("1000000.5", "1000000.0"),
        ("-0", "0.0"),
        ("1E3", "1e3"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_outputs_that_say_the_same(actual: str, expected: str) -> None:
    assert same_output(actual, expected)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        ("", "3"),
        ("3", ""),
        ("3 3", "3"),
        ("3", "3 3"),
        ("2 1", "1 2"),
        ("1 1 2", "1 2 2"),
        ("12", "1 2"),
        ("yes", "YES"),
        ("1 2", "1\n2"),
        ("1 2\n3", "1\n2 3\n"),
        ("1\n\n2", "1\n2"),
        ("*\n***", " *\n***"),
        ("  *\n***", " *\n***"),
        ("\t*\n***", " *\n***"),
        ("a bc", "ab c"),
        ("3.5", "3"),
        ("03", "3"),
        ("03.0", "3"),
        ("101", "0101"),
        ("3.00000000000000000001", "3"),
        ("1000000900", "1000000000"),
        ("1e9", "1000000001"),
        ("50000000000000001", "50000000000000000"),
        ("1e-9", "0"),
        ("0", "1e-7"),
        ("0", "0.0000001"),
        ("0", "6.62607015e-34"),
        ("2.2e-11", "2.2e-10"),
        ("-5e-7", "5e-7"),
        ("0.000001", "0.0000005"),
        ("0.001", "0.002"),
        ("0.0001", "0.0"),
        ("1e999999999", "1"),
        ("+3", "3"),
        ("3.0000001", "3"),
        ("1_0", "10"),
        ("1_0.0", "10.0"),
        ("0x3", "3.0"),
        ("nan", "3.0"),
        ("nan", "3"),
        ("-nan", "nan"),
        ("inf", "1e308"),
        ("1e999", "inf"),
        ("1e999", "1e308"),
        ("1e999", "2e999"),
        ("0.5001", "0.5"),
        ("0.5f", "0.5"),
        ("0.5,", "0.5"),
        ("0.5\x00", "0.5"),
        ("0.5\u00a0", "0.5"),
        ("1\u20032", "1 2"),
        ("\uff13.0", "3.0"),
        ("\u0663.0", "3.0"),
        ("0.5\ufffd", "0.5"),
        (".", "0.0"),
        ("", "0.0"),
        ("9" * 5000 + "8", "9" * 5000 + "7"),
        ("0." + "3" * 2000, "0.3333333333"),
    ],
)
def test_outputs_that_differ(actual: str, expected: str) -> None:
    assert not same_output(actual, expected)


def test_lone_surrogates_are_just_text() -> None:
    assert same_output("\ud800", "\ud800")
    assert not same_output("\ud800", "\ud801")


words = st.text(st.characters(exclude_characters=" \t\n\r\x0b\x0c"), min_size=1)
gaps = st.text(" \t\r\x0b\x0c", min_size=1)
ends = st.text(" \t\r\x0b\x0c")


@given(st.lists(st.tuples(words, gaps, gaps), min_size=1), ends, ends)
def test_gaps_and_ends_of_lines_never_matter(parts: list[tuple[str, str, str]], one_end: str, two_end: str) -> None:
    one, two = ("".join(part[0] + part[place] for part in parts) for place in (1, 2))
    assert same_output(f"{one}\n{two}{one_end}\n", f"{two}\n{one}{two_end}")


@given(st.lists(words, min_size=1), st.lists(words, min_size=1))
def test_line_breaks_matter_where_several_lines_are_expected(first: list[str], second: list[str]) -> None:
    assert not same_output(" ".join([*first, *second]), f"{' '.join(first)}\n{' '.join(second)}")


@given(st.lists(words, min_size=1), st.data())
def test_one_other_word_always_matters(expected: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(expected) - 1))
    other = data.draw(words.filter(lambda word: word != expected[place] and "." not in word + expected[place]))
    if "e" not in expected[place].lower():  # then it is no float, and has no tolerance
        assert not same_output(" ".join([*expected[:place], other, *expected[place + 1 :]]), " ".join(expected))


SAME: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (3, 3),
    (3, 3.0),
    (3.0, 3),
    (0.1 + 0.2, 0.3),
    (1e15 + 1.0, 1e15),
    (nan, nan),
    (inf, inf),
    (0.0, -0.0),
    (10**400, 10**400),
    (1e-13, 0.0),
    (2.5000001e-10, 2.5e-10),
    (3 + 0j, 3),
    (3 + 0j, 3.0000001),
    (3, 3 + 0j),
    (Fraction(3), 3),
    (Fraction(1, 2), 0.5),
    (Fraction(1, 10), 0.1),
    ({Fraction(1, 2): 1}, {0.5: 1}),
    ({3 + 0j}, {3}),
    (1 + 2j, 1.0000000001 + 2j),
    ("a", "a"),
    (b"a", b"a"),
    ([1, (2, [3])], (1, [2, (3,)])),
    ({1, 2}, frozenset({2, 1})),
    ({1.0}, {1}),
    ({(1, 2)}, {(1.0, 2.0)}),
    ({nan}, {nan}),
    ({"a": 0.1 + 0.2}, {"a": 0.3}),
    ({1: "x"}, {1.0: "x"}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (OrderedDict(a=1), {"a": 1}),
    (defaultdict(int, a=1), {"a": 1}),
    ({frozenset({1, 2}): [1]}, {frozenset({2, 1}): (1,)}),
]


@pytest.mark.parametrize(("actual", "expected"), SAME)
def test_values_that_are_equal(actual: Any, expected: Any) -> None:
    assert equal(actual, expected)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (True, 1),
        (1, True),
        (False, 0),
        (None, 0),
        (None, False),
        ([True], [1]),
        ({True}, {1}),
        ({True: 1}, {1: 1}),
        (3, "3"),
        ("3", 3),
        (b"a", "a"),
        (3, 4),
        (0, 1e-7),
        (0.3001, 0.3),
        (nan, 3.0),
        (3.0, nan),
        (inf, -inf),
        (1e308, inf),
        (inf, 1e308),
        (10**400, 1e308),
        (10**400, inf),
        (10**400, 10**400 + 1),
        (3 + 1j, 3),
        (3 + 1e-12j, 3),
        (complex(nan, 0), 0j),
        (10**9 + 900, 10**9),
        (1e9 + 0.001, 10**9),
        (10**17 + 1, 10**17),
        (3.0000000001, 3),
        (1e-9, 0),
        (1e-9, 0.0),
        (0.0, 1e-7),
        (0.0, 1e-300),
        (2.2e-11, 2.2e-10),
        (-5e-7, 5e-7),
        (Fraction(1, 3), 0),
        (Fraction(7, 2), 3),
        ({Fraction(1, 3)}, {1 / 3}),
        ([1, 2], [2, 1]),
        ([1, 2], [1]),
        ([1, 2], {1, 2}),
        ([], {}),
        ([], ""),
        ([], None),
        ({1, 2}, {1, 3}),
        ({0.1 + 0.2}, {0.3}),
        ({0.1 + 0.2: 1}, {0.3: 1}),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        (Opaque("T"), Opaque("T")),
        (Opaque("T"), 3),
        (3, Opaque("T")),
        ({Opaque("T")}, {Opaque("T")}),
        ({Opaque("T"): 1}, {Opaque("T"): 1}),
        ([Opaque("T")], [3]),
    ],
)
def test_values_that_differ(actual: Any, expected: Any) -> None:
    assert not equal(actual, expected)


@pytest.mark.parametrize("put", [lambda x: {x}, lambda x: frozenset({x}), lambda x: {x: 1}, lambda x: [{(1, x)}]])
def test_elements_of_sets_and_keys_of_dicts_have_no_tolerance(put: Callable[[float], Any]) -> None:
    assert equal(0.1 + 0.2, 0.3) and equal({"a": [0.1 + 0.2]}, {"a": [0.3]})
    assert not equal(put(0.1 + 0.2), put(0.3))
    assert equal(put(0.5), put(0.5)) and equal(put(2), put(2.0))  # by value, whatever the type


def test_integers_of_thousands_of_digits_compare_exactly() -> None:
    big = 7**6000  # 5071 digits: more than Python prints
    assert equal(big, big) and equal([{big}], [{big}]) and equal({big: 1}, {big: 1})
    assert not equal(big + 1, big)
    assert not equal(big, 1e300) and not equal(1e300, big) and not equal(big, 1 + 1j)


class AlwaysEqual:
    """What a candidate would like to return; it never reaches the host, and would not help if it did."""

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        return True


class AlwaysEqualList(list):
    __hash__ = None

    def __eq__(self, other: object) -> bool:
        return True

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize("trick", [AlwaysEqual(), AlwaysEqualList()])
def test_objects_with_their_own_idea_of_equality_differ(trick: Any) -> None:
    assert not equal(trick, 3)
    assert not equal([trick], [3])
    assert not equal(trick, [1, 2])
    assert not equal({"a": trick}, {"a": 3})


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (3, 3.0),
        ([1], (1,)),
        ({1}, frozenset({1})),
        ({1.0}, {1}),
        ({1.0: 0}, {1: 0}),
        (0.1 + 0.2, 0.3),
        ([[1.0]], [[1]]),
    ],
)
def test_strict_equality_asks_for_types_and_exact_floats(actual: Any, expected: Any) -> None:
    assert equal(actual, expected)
    assert not equal(actual, expected, strict=True)
    assert equal(expected, expected, strict=True)


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers(max_magnitude=1e6)
    | st.text(max_size=5)
    | st.binary(max_size=5)
)
keys = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3), max_leaves=5
)
plain = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(keys, max_size=4)
        | st.frozensets(keys, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=12,
)


def rebuilt(value: Any) -> Any:
    """Return an equal value of other objects, other container types and another order."""
    if isinstance(value, list | tuple):
        items = [rebuilt(item) for item in value]
        return tuple(items) if isinstance(value, list) else items
    if isinstance(value, set | frozenset):
        return frozenset(reversed(list(value))) if isinstance(value, set) else set(value)
    if isinstance(value, dict):
        return {key: rebuilt(value[key]) for key in reversed(value)}
    return value


@given(plain)
def test_every_plain_value_equals_itself_however_it_is_built(value: Any) -> None:
    assert equal(value, value)
    assert equal(value, value, strict=True)
    assert equal(rebuilt(value), value)


@given(keys, keys)
def test_digests_agree_exactly_where_values_do_without_tolerance(one: Any, other: Any) -> None:
    assert (digest(one, strict=True) == digest(other, strict=True)) == equal(one, other, strict=True)


@given(plain, st.sampled_from([None, True, 0, 0.25, "z", b"z"]))
def test_replacing_an_item_by_one_that_differs_is_noticed(value: Any, other: Any) -> None:
    if not equal(value, other):
        assert not equal([value], [other])
        assert not equal({"k": (1, value)}, {"k": (1, other)})


# The documented rules once more, in exact arithmetic and by trying every pairing: slow, and too simple to be wrong.

SLACK = Fraction(1, 10**9)  # how far from the border of a tolerance rounding may decide


def near(actual: Fraction, expected: Fraction, absolute: Fraction, shown: Fraction = Fraction(0)) -> bool | None:
    """Whether a number is within a tolerance; None too near to its border to say."""
    off, size = abs(actual - expected), abs(expected)
    at_zero = Fraction(1, 10**10) if size == 0 else Fraction(0)
    allowed = max(Fraction(1, 10**6) * size, min(absolute, size / 1000), at_zero, shown)
    return None if abs(off - allowed) <= SLACK * max(allowed, abs(expected)) else off < allowed


def all_of(answers: list[bool | None]) -> bool | None:
    return False if False in answers else None if None in answers else True


def same_token(actual: str, expected: str) -> bool | None:
    if actual == expected:
        return True
    numeral = re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?")
    if not numeral.fullmatch(actual) or not numeral.fullmatch(expected):
        return False
    if not re.search("[.eE]", expected):
        plain_whole = re.fullmatch("-?(0|[1-9][0-9]*)", expected)
        plain = re.fullmatch(r"-?(0|[1-9][0-9]*)([.][0-9]*)?([eE][+-]?[0-9]{1,5})?", actual)
        return bool(plain_whole and plain) and Fraction(actual) == Fraction(expected)
    if not isfinite(float(actual)) or not isfinite(float(expected)):
        return False
    digits = re.search(r"[.]([0-9]*)", expected)
    exponent = re.search(r"[eE](.*)", expected)
    decimals = len(digits[1]) - int(exponent[1] if exponent else 0) if digits else 0
    shown = Fraction(1, 2) / 10**decimals if decimals >= 6 else Fraction(0)
    return near(Fraction(actual), Fraction(expected), Fraction(1, 10**6), shown)


numerals = st.from_regex(r"[+-]?[0-9]{0,3}[.]?[0-9]{0,8}([eE][+-]?[0-9]{1,3})?", fullmatch=True)
tokens = st.one_of(
    numerals,
    st.floats(-100, 100).map(lambda x: f"{x:.6f}"),
    st.sampled_from(["nan", "inf", "-inf", "1_0", "0x1", "1e999", "+7", "007", "7", "7.0", "-0", "0.0"]),
    st.text("0123456789.eE+-_", max_size=6),
).filter(bool)


@st.composite
def alike_texts(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Two lists of tokens, the second made from the first by small changes."""
    one = draw(st.lists(tokens, max_size=4))
    other = [draw(st.sampled_from([word, word + "0", "+" + word, word + "1", draw(tokens)])) for word in one]
    return one, other[: draw(st.integers(0, len(other)))] if draw(st.integers(0, 9)) == 0 else other


@given(alike_texts())
def test_texts_compare_by_the_documented_rule_and_no_other(pair: tuple[list[str], list[str]]) -> None:
    actual, expected = pair
    right = len(actual) == len(expected) and all_of([same_token(a, e) for a, e in zip(actual, expected, strict=True)])
    if right is not None:
        assert same_output("\n".join(actual), "\n".join(expected)) == right


def same_number(a: int | float, e: int | float, tolerant: bool) -> bool | None:
    if not finite(a) or not finite(e):
        return a == e or (isinstance(a, float) and isinstance(e, float) and isnan(a) and isnan(e))
    if not tolerant or isinstance(e, int):
        return Fraction(a) == Fraction(e)
    return Fraction(a) == Fraction(e) or near(Fraction(a), Fraction(e), Fraction(0))


def finite(x: int | float) -> bool:
    return isinstance(x, int) or isfinite(x)


def same_value(a: Any, e: Any, tolerant: bool = True) -> bool | None:
    """The documented rule for values."""
    if isinstance(a, bool) or isinstance(e, bool):
        return isinstance(a, bool) and isinstance(e, bool) and a is e
    if isinstance(a, int | float) and isinstance(e, int | float):
        return same_number(a, e, tolerant)
    if isinstance(a, int | float | complex) and isinstance(e, complex):
        if isinstance(a, int) and abs(a) >= 2**1000:
            return False if abs(e) < 2**999 else None
        a = complex(a)
        return all_of([same_number(a.real, e.real, tolerant), same_number(a.imag, e.imag, tolerant)])
    if isinstance(a, complex) and isinstance(e, int | float):
        return a.imag == 0 and same_number(a.real, e, tolerant)
    if isinstance(a, list | tuple) and isinstance(e, list | tuple):
        return len(a) == len(e) and all_of([same_value(x, y, tolerant) for x, y in zip(a, e, strict=True)])
    if isinstance(a, set | frozenset) and isinstance(e, set | frozenset):
        return paired([(x, None) for x in a], [(y, None) for y in e], tolerant)
    if isinstance(a, dict) and isinstance(e, dict):
        return paired(list(a.items()), list(e.items()), tolerant)
    return type(a) is type(e) and (e is None or isinstance(e, str | bytes)) and a == e


def paired(ours: list[tuple[Any, Any]], wanted: list[tuple[Any, Any]], tolerant: bool) -> bool | None:
    """Whether each key has one of its own on the other side, the same without tolerance, with the same value."""
    answers: list[bool | None] = [len(ours) == len(wanted)]
    for key, value in ours:
        found = next((n for n, (other, _) in enumerate(wanted) if same_value(key, other, tolerant=False)), None)
        if found is None:
            return False
        answers.append(same_value(value, wanted.pop(found)[1], tolerant))
    return all_of(answers)


def twisted(draw: st.DrawFn, value: Any) -> Any:
    """Return a value that is like another, and mostly not the same."""
    if isinstance(value, bool):
        return draw(st.sampled_from([value, int(value), not value]))
    if isinstance(value, int):
        near_by = [value, value + 1, bool(value), str(value)]
        return draw(st.sampled_from([*near_by, float(value)] if abs(value) < 2**1000 else near_by))
    if isinstance(value, float):
        return draw(st.sampled_from([value, -value, value * (1 + 1e-7), value * (1 + 1e-5), value + 1e-10, nan, inf]))
    if isinstance(value, str):
        return draw(st.sampled_from([value, value + " ", value.upper(), value.encode("utf-8", "replace"), [*value]]))
    if isinstance(value, bytes):
        return draw(st.sampled_from([value, value + b"0", value.decode("latin-1"), [*value]]))
    if isinstance(value, list | tuple):
        items = [twisted(draw, item) for item in value]
        return draw(st.sampled_from([items, tuple(items), items[::-1], items[1:], [items]]))
    if isinstance(value, set | frozenset):
        return draw(st.sampled_from([value, frozenset(value), [*value], dict.fromkeys(value), {*list(value)[1:]}]))
    if isinstance(value, dict):
        items_ = [(key, twisted(draw, item)) for key, item in value.items()]
        return draw(st.sampled_from([dict(items_), dict(items_[::-1]), dict(items_[1:]), items_]))
    return draw(st.sampled_from([value, 0, False, None, "None"]))


@st.composite
def alike_values(draw: st.DrawFn) -> tuple[Any, Any]:
    value = draw(plain)
    return twisted(draw, value), value


@given(alike_values() | st.tuples(plain, plain))
def test_values_compare_by_the_documented_rule_and_no_other(pair: tuple[Any, Any]) -> None:
    right = same_value(*pair)
    if right is not None:
        assert equal(*pair) == right


def test_deep_nesting_needs_no_deep_stack() -> None:
    one: list[Any] = []
    other: list[Any] = []
    for _ in range(100_000):
        one, other = [one], [other]
    assert equal(one, other)
    assert not equal([one], other)
    while one:  # take them apart by hand: the interpreter would, too, but not every one without a deep stack
        one, other = one[0], other[0]
