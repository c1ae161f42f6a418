"""Comparison of what a program produced with what was expected: on the host, on plain data, never by running code.

Two rules, one for each interface.

**Texts** (`same_output`): both texts are split at ASCII whitespace and the tokens are compared one by one, so layout
never matters and order always does. A token must match exactly, numerals included: `007`, `+7` and `7.0` are not `7`.
Only where the EXPECTED token is a float literal (a point or an exponent, finite: `0.5`, `1e-3`) is any finite plain
decimal numeral accepted that lies within `TEXT_TOLERANCE`. `nan`, `inf`, `1_0`, `0x10` and `1e999` are words, not
numbers, on either side.

**Values** (`equal`): bool equals only bool; int and float compare by value, exactly between ints and within
`VALUE_TOLERANCE` where either is a float; nan equals nan, an infinity only itself; complex equals only complex, part by
part; a list equals a tuple of equal items; dicts (subclasses too) and sets (frozen or not) compare without regard to
order; str and bytes exactly. Everything else differs from everything. Inside sets, and as dict keys, numbers compare by
value WITHOUT tolerance: a set has no order in which a near match could be looked for. With `strict` types must agree at
every level and no float gets a tolerance.

Both are linear in the size of the data (sets and dicts are sorted by digest, never hashed, so a hostile choice of
elements cannot make them slow), and `equal` walks nested values with a stack of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a float may be off: within `absolute`, or within `relative` times the size of the expected value."""

    relative: float
    absolute: float

    def allows(self, actual: float, expected: float) -> bool:
        """Return whether the finite `actual` is near enough to the finite `expected`."""
        return abs(actual - expected) <= max(self.absolute, self.relative * abs(expected))


TEXT_TOLERANCE: Final = Tolerance(relative=1e-6, absolute=1e-6)
"""Printed floats often carry six digits after the point, so the error allowed is that of contests: 1e-6 either way."""

VALUE_TOLERANCE: Final = Tolerance(relative=1e-6, absolute=1e-9)
"""Returned floats are not rounded by printing: near 0 only rounding errors are forgiven; 0 is no answer for 1e-7."""

_NUMERAL: Final = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST_NUMERAL: Final = 1000  # bytes; longer tokens still compare exactly


def same_output(actual: str, expected: str) -> bool:
    """Return whether the text `actual` says the same as `expected`, token by token."""
    ours, wanted = _tokens(actual), _tokens(expected)
    if ours == wanted:
        return True
    if len(ours) != len(wanted):
        return False
    return all(a == e or _near_numeral(a, e) for a, e in zip(ours, wanted, strict=True))


def _tokens(text: str) -> list[bytes]:
    """Split at ASCII whitespace (`bytes.split` does, `str.split` would split at other spaces too)."""
    return text.encode("utf-8", "surrogatepass").split()


def _near_numeral(actual: bytes, expected: bytes) -> bool:
    wanted = _finite(expected)
    if wanted is None or not any(c in expected for c in b".eE"):
        return False
    ours = _finite(actual)
    return ours is not None and TEXT_TOLERANCE.allows(ours, wanted)


def _finite(token: bytes) -> float | None:
    """Return the value of a plain decimal numeral; None for any other token and for what no float can hold."""
    if len(token) > _LONGEST_NUMERAL or _NUMERAL.fullmatch(token) is None:
        return None
    value = float(token)
    return value if math.isfinite(value) else None


def equal(actual: Any, expected: Any, *, strict: bool = False) -> bool:
    """Return whether the returned value `actual` equals the `expected` one.

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
    complex: "complex",
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
    if kind == "complex":
        return _same_number(ours.real, wanted.real, strict) and _same_number(ours.imag, wanted.imag, strict)
    return bool(ours == wanted)


def _same_number(ours: int | float, wanted: int | float, strict: bool) -> bool:
    if ours == wanted:
        return True
    if strict or (type(ours) is int and type(wanted) is int):
        return ours != ours and wanted != wanted
    try:
        a, e = float(ours), float(wanted)
    except OverflowError:  # an int beyond every float is near none of them
        return False
    if math.isfinite(a) and math.isfinite(e):
        return VALUE_TOLERANCE.allows(a, e)
    return math.isnan(a) and math.isnan(e)


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
    if kind == "complex":
        return _hash(tag, _number_text(value.real) + b" " + _number_text(value.imag))
    if kind == "str":
        return _hash(tag, value.encode("utf-8", "surrogatepass"))
    return _hash(tag, value if kind == "bytes" else repr(value).encode())


def _hash(tag: str, content: bytes) -> bytes:
    return blake2b(tag.encode() + b"\0" + content, digest_size=16).digest()


def _number_text(value: int | float) -> bytes:
    """Return the one text of all numbers of this value (1 and 1.0, 0.0 and -0.0); hexadecimal takes linear time."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return (hex(value) if type(value) is int else float.hex(value)).encode()
