"""Plain data crosses the border with its types; nothing that arrives can do more than raise `ValuesError`."""

from __future__ import annotations

import collections
import contextlib
import enum
import json
import math
import sys
import time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars2_env.sandbox.worker.values import MAX_INT_BITS, Opaque, TooLargeError, ValuesError, decode, encode

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.complex_numbers()
    | st.text(st.characters())
    | st.text(st.characters(categories=["Cs", "L"]))
    | st.binary()
)
hashables = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4), max_leaves=8
)
values = st.recursive(
    hashables,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.sets(hashables, max_size=5)
        | st.dictionaries(hashables, inner, max_size=5)
    ),
    max_leaves=30,
)


def form(value: Any) -> Any:
    """A picture of a value in which types, signs of zero, nan and order show, to compare without `==` on floats."""
    kind = type(value)
    if kind in (list, tuple):
        return kind.__name__, [form(item) for item in value]
    if kind in (set, frozenset):
        return kind.__name__, sorted(map(repr, map(form, value)))
    if kind is dict:
        return "dict", [(form(key), form(item)) for key, item in value.items()]
    if kind is complex:
        return "complex", repr(value.real), repr(value.imag)
    return kind.__name__, repr(value)


@given(values)
def test_plain_data_comes_back_with_its_types(value: Any) -> None:
    assert form(decode(encode(value, strict=True))) == form(value)


@given(st.binary())
def test_any_bytes_decode_or_raise_values_error(data: bytes) -> None:
    with contextlib.suppress(ValuesError):
        decode(data)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("tsfdincbuo?"), inner, max_size=2),
    max_leaves=20,
)


@given(json_like)
def test_any_json_decodes_or_raises_values_error(tree: Any) -> None:
    with contextlib.suppress(ValuesError):
        decode(json.dumps(tree).encode())


@given(values, st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_encoding_decodes_or_raises_values_error(value: Any, position: int, byte: int) -> None:
    data = bytearray(encode(value))
    data[position % len(data)] = byte
    with contextlib.suppress(ValuesError):
        decode(bytes(data))


@given(values, values, st.data())
def test_a_spliced_encoding_decodes_or_raises_values_error(value: Any, other: Any, draw: st.DataObject) -> None:
    ours, theirs = encode(value), encode(other)
    start, end = sorted(draw.draw(st.tuples(*[st.integers(0, len(ours))] * 2), label="what is cut out"))
    low, high = sorted(draw.draw(st.tuples(*[st.integers(0, len(theirs))] * 2), label="what takes its place"))
    data = ours[:start] + theirs[low:high] + ours[end:]
    with contextlib.suppress(ValuesError):
        got = decode(data)
        assert form(decode(encode(got))) == form(got), "what was decoded is a value like any other"


@given(values, values)
def test_values_that_differ_in_any_way_have_different_encodings(one: Any, other: Any) -> None:
    if form(one) != form(other):
        assert encode(one) != encode(other)


@given(st.lists(st.sampled_from([*'[]{}:,"\\tsfdincbuo-0e.', '{"', '":', "nan", "null", "true", "\\u"])).map("".join))
def test_any_text_of_the_formats_own_pieces_decodes_or_raises_values_error(text: str) -> None:
    with contextlib.suppress(ValuesError):
        decode(text.encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 500_000 + b"]" * 500_000,
        b'{"t":' * 500_000,
        b'["' + b'\\"' * 300_000,
        b"1" * 100_000,
        b'{"i":"' + b"f" * 10_000_000 + b'"}',
        b'{"i":"_1"}',
        b'{"i":"-0x10"}',
        b"NaN",
        b"-Infinity",
        b"1e999",
        b'{"n":"1_0"}',
        b'{"d":[1]}',
        b'{"s":[[]]}',
        b'{"d":[{"s":[]},1]}',
        b'{"t":"x"}',
        b'{"t":[],"t":[]}',
        b'{"c":[1,2]}',
        b'{"b":"!"}',
        b'{"u":"/w=="}',
        b'{"__class__":"object"}',
        "[1]".encode("utf-16"),
        b"[1] 2",
        b"\xff",
    ],
)
def test_malformed_bytes_raise_values_error(data: bytes) -> None:
    with pytest.raises(ValuesError):
        decode(data)


def test_digit_limits_of_the_host_are_not_needed() -> None:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        with pytest.raises(ValuesError):
            decode(b"1" * 1_000_000)
    finally:
        sys.set_int_max_str_digits(limit)


def test_integers_of_any_length_that_a_contest_asks_for_come_back_as_they_were() -> None:
    for value in (7**120_000, -(10**100_000), 2**MAX_INT_BITS - 1):
        assert decode(encode([value])) == [value]


def test_integers_have_a_largest() -> None:
    largest = 2**MAX_INT_BITS - 1
    with pytest.raises(TooLargeError):
        encode(largest + 1)


def test_caps_on_bytes_depth_and_nodes() -> None:
    with pytest.raises(TooLargeError):
        encode("x" * 100, max_bytes=50)
    with pytest.raises(TooLargeError):
        decode(b'"' + b"x" * 100 + b'"', max_bytes=50)
    with pytest.raises(TooLargeError):
        encode([0] * 100, max_nodes=50)
    with pytest.raises(TooLargeError):
        decode(encode([0] * 200), max_nodes=50)
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    assert decode(encode(deep)) == deep
    with pytest.raises(ValuesError):
        encode(deep, max_depth=50)
    with pytest.raises(ValuesError):
        decode(encode(deep), max_depth=50)


def test_the_deepest_value_allowed_round_trips_in_every_container() -> None:
    deep: Any = ()
    for _ in range(199):
        deep = (deep,)
    assert decode(encode(deep)) == deep


def test_brackets_and_commas_in_texts_count_as_nothing() -> None:
    text = '[{,"\\' * 1000
    assert decode(encode([text]), max_nodes=10, max_depth=3) == [text]


def test_values_that_contain_themselves_are_refused() -> None:
    loop: list[Any] = []
    loop += [loop, loop]
    with pytest.raises(ValuesError):
        encode(loop)


def test_values_that_share_themselves_exponentially_are_refused() -> None:
    shared: list[Any] = []
    for _ in range(100):
        shared = [shared, shared]
    with pytest.raises(TooLargeError):
        encode(shared, max_nodes=10_000)


def test_subclasses_are_what_they_really_hold() -> None:
    class Hostile(list[int]):
        def __eq__(self, other: object) -> bool:
            return True

        def __len__(self) -> int:
            return 10**6

        def __iter__(self) -> Any:
            return iter([3])

    class Number(int):
        def __neg__(self) -> int:
            return 3

        def __repr__(self) -> str:
            return "3"

    class Colour(enum.IntEnum):
        RED = 7

    pair = collections.namedtuple("pair", "a b")
    assert decode(encode(Hostile([1, 2]))) == [1, 2]
    assert form(decode(encode(Number(5)))) == ("int", "5")
    assert form(decode(encode(Colour.RED))) == ("int", "7")
    assert form(decode(encode(pair(1, 2)))) == form((1, 2))
    assert form(decode(encode(collections.Counter("aab")))) == form({"a": 2, "b": 1})
    assert form(decode(encode(collections.defaultdict(list, {1: [2]})))) == form({1: [2]})
    assert form(decode(encode(collections.OrderedDict(a=1)))) == form({"a": 1})


def test_anything_else_is_opaque_and_equal_to_no_plain_data() -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

        @property
        def __class__(self) -> Any:
            return int

    for value in (Equal(), object, len, iter([]), range(3), collections.deque([1]), {1: 2}.items(), Decimal("nan")):
        got = decode(encode(value))
        assert isinstance(got, Opaque)
        assert got != 3 and got != [] and got != got.type_name
        with pytest.raises(ValuesError, match="not plain data"):
            encode(value, strict=True)


@pytest.mark.parametrize(
    ("value", "crosses_as"),
    [
        (Decimal(15), Fraction(15)),
        (Decimal("-0.1"), Fraction(-1, 10)),
        (Decimal("1E+30"), Fraction(10**30)),
        (Decimal("-Infinity"), -math.inf),
        (Fraction(-1, 3), Fraction(-1, 3)),
        (bytearray(b"a"), b"a"),
        ({3: 1, "a": 2}.keys(), {3, "a"}),
        ([Decimal(1)], [Fraction(1)]),
        ({Decimal(1)}, {Fraction(1)}),
        (Decimal("1e999999"), Opaque("Decimal")),
        (Fraction(1, 3**20_000), Opaque("Fraction")),
        (Decimal("sNaN"), Opaque("Decimal")),
    ],
)
def test_what_python_calls_equal_to_plain_data_crosses_as_that(value: Any, crosses_as: Any) -> None:
    got = decode(encode(value))
    assert got == crosses_as and type(got) is type(crosses_as)
    with pytest.raises(ValuesError, match="not plain data"):  # an input would arrive as something else
        encode(value, strict=True)


def test_a_fraction_with_forged_insides_is_opaque() -> None:
    forged = Fraction(1, 2)
    forged._denominator = 0  # type: ignore[attr-defined]
    assert decode(encode(forged)) == Opaque("Fraction")
    for data in (b'{"r":["1","0"]}', b'{"r":["1"]}', b'{"r":[1,2]}', b'{"r":["g","1"]}', b'{"r":"1"}'):
        with pytest.raises(ValuesError):
            decode(data)
    with pytest.raises(ValuesError):
        decode(b'{"r":["1","' + b"f" * 10_000 + b'"]}')


def test_keys_made_to_collide_are_refused_quickly() -> None:
    step = 2**61 - 1
    forged = ",".join(f'{{"i":"{step * 2**9 * n:x}"}}' for n in range(1, 60_000)).encode()
    started = time.process_time()
    with pytest.raises(ValuesError):
        decode(b'{"s":[' + forged + b"]}")
    assert time.process_time() - started < 5  # the promise itself: built naively this takes minutes


def test_signs_of_zero_and_non_finite_floats_survive() -> None:
    got = decode(encode([0.0, -0.0, math.nan, math.inf, -math.inf, complex(-0.0, math.nan)]))
    assert repr(got) == "[0.0, -0.0, nan, inf, -inf, (-0+nanj)]"
