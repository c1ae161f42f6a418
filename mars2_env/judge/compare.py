"""Comparison of what a program produced with what was expected: on the host, on plain data, never by running code.

These are the rules of problems that name no checker. Problem sets follow those of their sources
(`mars2_env.judge.official`).

**Texts** (`same_output`) are compared line by line. Blank lines at the beginning and at the end do not count, nor does
white space at the end of a line, nor how much of it stands between two words; how far a line is indented does count,
and so do line breaks and order. Where one line is expected there is no layout to keep: its words are right in several
lines too. A word must match exactly, with two exceptions for numerals:
    the expected word is a whole number (`5`, `-12`)    the same value written with a point or an exponent is right too
                                                        (`5.0`, `1e3` for `1000`), exactly: no tolerance, however long
                                                        the number; `007` and `+7` are not `7`
    it is a float literal (`0.5`, `1e-3`; finite)       any finite plain decimal numeral within `TEXT_TOLERANCE`, or
                                                        within half a unit of the last digit shown where six and more
                                                        stand behind the point
`nan`, `inf`, `1_0`, `0x10` and `1e999` are words, not numbers, on either side.

**Values** (`equal`): bool equals only bool. Other numbers (int, float, complex, exact fractions) compare by value:
exactly where the expected one is an int, within `VALUE_TOLERANCE` where it is a float, part by part where it is
complex; nan equals nan, an infinity only itself. A list equals a tuple of equal items; dicts (subclasses too) and sets
(frozen or not) compare without regard to order; str and bytes exactly. Everything else differs from everything. Inside
sets, and as dict keys, numbers compare by value WITHOUT tolerance: a set has no order in which a near match could be
looked for. With `strict` types must agree at every level and no float gets a tolerance.

A tolerance is never as large as the expected value itself: 0 is no answer for 1e-7, and 1e-9 none for 0.

Both are linear in the size of the data (sets and dicts are sorted by digest, never hashed, so a hostile choice of
elements cannot make them slow), and `equal` walks nested values with a stack of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from mars2_env.errors import JudgeError

Number: TypeAlias = int | float | complex | Fraction


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a float may be off.

    Within `relative` times the size of the expected value; or within `absolute`, as far as that is no more than a
    thousandth of the expected value. An expected 0.0 has no size: then within `at_zero`.
    """

    relative: float
    absolute: float
    at_zero: float

    def allows(self, actual: float, expected: float) -> bool:
        """Return whether the finite `actual` is near enough to the finite `expected`."""
        size = abs(expected)
        if size == 0:
            return abs(actual) <= self.at_zero
        return abs(actual - expected) <= max(self.relative * size, min(self.absolute, size / 1000))


TEXT_TOLERANCE: Final = Tolerance(relative=1e-6, absolute=1e-6, at_zero=1e-10)
"""Printed floats often carry six digits after the point, so the error allowed is that of contests: 1e-6 either way."""

VALUE_TOLERANCE: Final = Tolerance(relative=1e-6, absolute=0.0, at_zero=1e-10)
"""Returned floats are not rounded by printing: only rounding errors are forgiven."""

_NUMERAL: Final = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST_NUMERAL: Final = 1000  # bytes; longer tokens still compare exactly
_WHOLE: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_WHOLE_IN_ANOTHER_FORM: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,5})?")
_DECIMALS_SHOWN: Final = re.compile(rb"\.([0-9]*)(?:[eE]([+-]?[0-9]+))?\Z")
_SIX_DIGITS: Final = 6


def same_output(actual: str, expected: str, *, indented: bool = True) -> bool:
    """Return whether the text `actual` says the same as `expected`, line by line and word by word.

    Args:
        actual: What a program printed.
        expected: What it should have printed.
        indented: Whether the white space at the beginning of lines counts.

    Raises:
        JudgeError: one of them is no text.
    """
    if not (isinstance(actual, str) and isinstance(expected, str)):
        raise JudgeError(
            f"same_output({actual!r:.100}, {expected!r:.100}) compares two texts; `equal` compares values."
        )
    if actual == expected:
        return True
    ours, wanted = _lines(actual), _lines(expected)
    if len(wanted) < 2:
        return _same_words(b" ".join(ours), b" ".join(wanted))
    return len(ours) == len(wanted) and all(_same_line(a, e, indented) for a, e in zip(ours, wanted, strict=True))


def _lines(text: str) -> list[bytes]:
    """Return the lines without what ends them and without blank ones at either end.

    White space is ASCII's, as `bytes` has it: `str` would take other spaces and line separators for some, too.
    """
    lines = [line.rstrip() for line in text.encode("utf-8", "surrogatepass").split(b"\n")]
    start, end = 0, len(lines)
    while start < end and not lines[start]:
        start += 1
    while end > start and not lines[end - 1]:
        end -= 1
    return lines[start:end]


def _same_line(actual: bytes, expected: bytes, indented: bool) -> bool:
    if actual == expected:
        return True
    if indented and _indentation(actual) != _indentation(expected):
        return False
    return _same_words(actual, expected)


def _same_words(actual: bytes, expected: bytes) -> bool:
    ours, wanted = actual.split(), expected.split()
    return len(ours) == len(wanted) and all(
        a == e or _same_whole(a, e) or _near_numeral(a, e) for a, e in zip(ours, wanted, strict=True)
    )


def _indentation(line: bytes) -> bytes:
    return line[: len(line) - len(line.lstrip())]


def _same_whole(actual: bytes, expected: bytes) -> bool:
    if _WHOLE.fullmatch(expected) is None or _WHOLE_IN_ANOTHER_FORM.fullmatch(actual) is None:
        return False
    return Decimal(actual.decode("ascii")) == Decimal(expected.decode("ascii"))


def _near_numeral(actual: bytes, expected: bytes) -> bool:
    wanted = _finite(expected)
    if wanted is None or not any(c in expected for c in b".eE"):
        return False
    ours = _finite(actual)
    return ours is not None and (
        TEXT_TOLERANCE.allows(ours, wanted) or abs(ours - wanted) <= _half_a_unit_shown(expected)
    )


def _half_a_unit_shown(expected: bytes) -> float:
    """Return how far the number may be from what it shows: half a unit of the last of six or more decimals, else 0."""
    found = _DECIMALS_SHOWN.search(expected)
    if found is None:
        return 0.0
    decimals = len(found[1]) - int((found[2] or b"0")[:6])
    return 0.5 * 10.0**-decimals if _SIX_DIGITS <= decimals <= 300 else 0.0


def _finite(token: bytes) -> float | None:
    """Return the value of a plain decimal numeral; None for any other token and for what no float can hold."""
    if len(token) > _LONGEST_NUMERAL or _NUMERAL.fullmatch(token) is None:
        return None
    value = float(token)
    return value if math.isfinite(value) else None


def equal(actual: Any, expected: Any, *, strict: bool = False) -> bool:
    """Return whether the returned value `actual` equals the `expected` one.

    Floats have a tolerance (`VALUE_TOLERANCE`) wherever they stand but for elements of sets and keys of dicts, which
    are equal by value or not at all: `{0.1 + 0.2}` is not `{0.3}`, but `{"a": 0.1 + 0.2}` is `{"a": 0.3}`.

    Args:
        actual: The value that a program returned, decoded to plain data.
        expected: The value to compare it with, plain data.
        strict: Also ask for equal types at every level, and give floats no tolerance.
    """
    pending: list[tuple[Any, Any]] = [(actual, expected)]
    while pending:
        ours, wanted = pending.pop()
        kind = _kind(wanted)
        if kind is None or kind != _kind(ours):
            return False
        if strict and type(ours) is not type(wanted):
            return False
        if kind == "sequence":
            if len(ours) != len(wanted):
                return False
            pending.extend(zip(ours, wanted, strict=True))
        elif kind == "dict":
            if len(ours) != len(wanted):
                return False
            our_items, wanted_items = _by_digest(ours.items(), strict), _by_digest(wanted.items(), strict)
            if our_items is None or wanted_items is None or our_items[0] != wanted_items[0]:
                return False
            pending.extend(zip(our_items[1], wanted_items[1], strict=True))
        elif kind == "set":
            our_keys, wanted_keys = _digests(ours, strict), _digests(wanted, strict)
            if our_keys is None or our_keys != wanted_keys:
                return False
        elif not _same_scalar(kind, ours, wanted, strict):
            return False
    return True


def _kind(value: Any) -> str | None:
    """Return the kind within which values may be equal; None for what is not plain data."""
    kind = _KINDS.get(type(value))
    if kind is None and isinstance(value, dict):
        return "dict"
    return kind


_KINDS: Final[dict[type, str]] = {
    type(None): "none",
    bool: "bool",
    int: "number",
    float: "number",
    complex: "number",
    Fraction: "number",
    str: "str",
    bytes: "bytes",
    list: "sequence",
    tuple: "sequence",
    dict: "dict",
    set: "set",
    frozenset: "set",
}


def _same_scalar(kind: str, ours: Any, wanted: Any, strict: bool) -> bool:
    if kind == "number":
        return _same_number(ours, wanted, strict)
    return bool(ours == wanted)


def _same_number(ours: Number, wanted: Number, strict: bool) -> bool:
    if ours == wanted:
        return True
    if isinstance(wanted, complex):
        ours = complex(ours) if isinstance(ours, int | float | Fraction) and _fits(ours) else ours
        return isinstance(ours, complex) and all(
            _same_number(a, e, strict) for a, e in ((ours.real, wanted.real), (ours.imag, wanted.imag))
        )
    if isinstance(ours, complex):
        if ours.imag != 0:
            return False
        ours = ours.real
    if not isinstance(wanted, float) or not _fits(ours):
        return False  # whole numbers and fractions are exact
    actual = float(ours)
    if math.isfinite(actual) and math.isfinite(wanted):
        return not strict and VALUE_TOLERANCE.allows(actual, wanted)
    return math.isnan(actual) and math.isnan(wanted)


def _fits(number: int | float | Fraction) -> bool:
    """Return whether a float can hold the number, rounded."""
    try:
        float(number)
    except OverflowError:
        return False
    return True


def _digests(elements: Iterable[Any], strict: bool) -> list[bytes] | None:
    """Return the digests in order; None where an element is not plain data and so equals nothing."""
    try:
        return sorted(digest(element, strict=strict) for element in elements)
    except (TypeError, RecursionError):  # not plain data, or nested beyond what can cross the sandbox's border
        return None


def _by_digest(items: Iterable[tuple[Any, Any]], strict: bool) -> tuple[list[bytes], list[Any]] | None:
    """Return the digests of the keys in order and the values in the same order; None where a key is not plain data."""
    try:
        pairs = sorted(((digest(key, strict=strict), value) for key, value in items), key=lambda pair: pair[0])
    except (TypeError, RecursionError):  # not plain data, or nested beyond what can cross the sandbox's border
        return None
    return [key for key, _ in pairs], [value for _, value in pairs]


def digest(value: Any, *, strict: bool = False) -> bytes:
    """Return 16 bytes that are equal exactly for plain values that `equal` calls equal with no tolerance.

    Raises:
        TypeError: the value is not plain data.
    """
    kind = _kind(value)
    if kind is None:
        raise TypeError(f"{type(value).__name__} is not plain data.")
    tag = type(value).__name__ if strict else kind
    if kind == "sequence":
        return _hash(tag, b"".join(digest(item, strict=strict) for item in value))
    if kind == "set":
        return _hash(tag, b"".join(sorted(digest(item, strict=strict) for item in value)))
    if kind == "dict":
        items = (digest(k, strict=strict) + digest(v, strict=strict) for k, v in value.items())
        return _hash(tag, b"".join(sorted(items)))
    if kind == "number":
        return _hash(tag, _number_text(value))
    if kind == "str":
        return _hash(tag, value.encode("utf-8", "surrogatepass"))
    return _hash(tag, value if kind == "bytes" else repr(value).encode())


def _hash(tag: str, content: bytes) -> bytes:
    return blake2b(tag.encode() + b"\0" + content, digest_size=16).digest()


def _number_text(value: Number) -> bytes:
    """Return the one text of all numbers of this value (1 and 1.0, 0.0 and -0.0); hexadecimal takes linear time."""
    if isinstance(value, complex):
        real = _number_text(value.real)
        return real if value.imag == 0 else real + b" " + _number_text(value.imag)
    if isinstance(value, Fraction):
        if value.denominator != 1:
            # A fraction that a float holds exactly is that float.
            if _fits(value) and Fraction(float(value)) == value:
                return float.hex(float(value)).encode()
            return f"{value.numerator:x}/{value.denominator:x}".encode()
        value = value.numerator
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return (hex(value) if isinstance(value, int) else float.hex(value)).encode()
