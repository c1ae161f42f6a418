"""Plain Python data as tagged JSON: what crosses the border between the judge and a candidate's process.

Values are None, bool, int, float, str, bytes, list, tuple, set, frozenset, dict and complex, nested. JSON says null,
true, false, small integers, finite floats, strings and arrays (= lists) as they are; the rest is an object with one
key, the tag:

    {"t": [...]} tuple      {"s": [...]} set            {"f": [...]} frozenset      {"d": [k, v, k, v, ...]} dict
    {"i": "-ff"} large int  {"n": "nan"} nan, inf, -inf {"c": [re, im]} complex     {"b": "base64"} bytes
    {"u": "base64"} a str with lone surrogates          {"o": "type name"} `Opaque`: a value of any other type

Instances of subclasses are rebuilt as the base type from their real contents, read with the base type's own methods: a
`Counter` is a dict, a named tuple a tuple, an `IntEnum` an int, a list with a hostile `__eq__` the list that it holds.

The encoder runs in the candidate's process after the candidate: it calls no method of a candidate's object and looks up
no builtin at run time, so that patched builtins cannot break it by accident. It cannot be trusted all the same; the
host reads its bytes as it would read anybody's. `decode` raises `ValuesError` and nothing else, on any bytes, in time
linear in their number.
"""

from __future__ import annotations

import json
import math
import re
from binascii import a2b_base64, b2a_base64
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from json.encoder import encode_basestring_ascii
from typing import Any, Final

MAX_BYTES: Final = 64 * 2**20
MAX_DEPTH: Final = 200
MAX_NODES: Final = 4_000_000
MAX_INT_BITS: Final = 2**25
"""Integers of some ten million decimal digits: hexadecimal digits are read and written in linear time."""

_SMALL: Final = 2**53
_MAX_EQUAL_HASHES: Final = 64


class ValuesError(ValueError):
    """A value has no encoding, or bytes are not the encoding of a value."""


class TooLargeError(ValuesError):
    """A value or its encoding is above the cap on bytes or nodes."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """Stands for a value that is not plain data; equal to no plain data, to another `Opaque` of the same type name."""

    type_name: str


# Bound now: the candidate may have replaced them in `builtins` by the time they are needed.
_type, _len, _issubclass, _iter = type, len, issubclass, iter
_int_pos, _float_pos, _complex_pos = int.__pos__, float.__pos__, complex.__pos__
_float_repr, _int_repr, _str_str, _bytes_get = float.__repr__, int.__repr__, str.__str__, bytes.__getitem__
_format, _bit_length, _str_encode, _is_ascii = int.__format__, int.bit_length, str.encode, str.isascii
_dict_items, _flatten, _join = dict.items, chain.from_iterable, "".join
_isnan, _isinf = math.isnan, math.isinf
_type_name: Callable[[type], str] = type.__dict__["__name__"].__get__
_WHOLE: Final = slice(None)
_UnicodeEncodeError: Final = UnicodeEncodeError


def _int_text(value: int) -> str:
    if -_SMALL <= value <= _SMALL:
        return _int_repr(value)
    if _bit_length(value) > MAX_INT_BITS:
        raise TooLargeError(f"an integer of {_int_repr(_bit_length(value))} bits; the cap is {MAX_INT_BITS}")
    return '{"i":"' + _format(value, "x") + '"}'


def _float_text(value: float) -> str:
    if _isnan(value):
        return '{"n":"nan"}'
    if _isinf(value):
        return '{"n":"inf"}' if value > 0 else '{"n":"-inf"}'
    return _float_repr(value)


def _str_text(value: str) -> str:
    if not _is_ascii(value):
        try:
            _str_encode(value, "utf-8")
        except _UnicodeEncodeError:
            raw = b2a_base64(_str_encode(value, "utf-8", "surrogatepass"), newline=False)
            return '{"u":"' + raw.decode("ascii") + '"}'
    return encode_basestring_ascii(value)


def _complex_text(value: complex) -> str:
    return '{"c":[' + _float_text(value.real) + "," + _float_text(value.imag) + "]}"


def _bytes_text(value: bytes) -> str:
    return '{"b":"' + b2a_base64(value, newline=False).decode("ascii") + '"}'


def _opaque_text(value: Opaque) -> str:
    return '{"o":' + _str_text(value.type_name) + "}"


_LEAVES: Final[dict[type, Callable[[Any], str]]] = {
    type(None): lambda value: "null",
    bool: lambda value: "true" if value is True else "false",
    int: _int_text,
    float: _float_text,
    str: _str_text,
    bytes: _bytes_text,
    complex: _complex_text,
    Opaque: _opaque_text,
}
_CONTAINERS: Final[dict[type, tuple[str, str, Callable[[Any], Iterator[Any]]]]] = {
    list: ("[", "]", list.__iter__),
    tuple: ('{"t":[', "]}", tuple.__iter__),
    set: ('{"s":[', "]}", set.__iter__),
    frozenset: ('{"f":[', "]}", frozenset.__iter__),
    dict: ('{"d":[', "]}", lambda value: _flatten(_dict_items(value))),
}
_BASES: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (int, _int_pos),
    (float, _float_pos),
    (str, _str_str),
    (bytes, lambda value: _bytes_get(value, _WHOLE)),
    (complex, _complex_pos),
)
_CONTAINER_BASES: Final = tuple(_CONTAINERS.items())


def encode(
    value: Any,
    *,
    strict: bool = False,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    max_nodes: int = MAX_NODES,
) -> bytes:
    """Return the encoding of `value`, in ASCII.

    Args:
        value: The value. What is not plain data is encoded as `Opaque`.
        strict: Refuse what is not plain data instead.
        max_bytes: The largest encoding allowed.
        max_depth: The deepest nesting of containers allowed; a value that contains itself is too deep.
        max_nodes: The largest number of values allowed, nested ones counted.

    Raises:
        TooLargeError: the encoding has more bytes or nodes than allowed, or an integer has too many digits.
        ValuesError: the value nests too deeply; or, if `strict`, it holds something that is not plain data.
    """
    out: list[str] = []
    outer: list[tuple[Iterator[Any], str]] = []
    current: Iterator[Any] = _iter((value,))
    nodes = size = 0
    first = True
    while True:
        for item in current:
            nodes += 1
            if nodes > max_nodes:
                raise TooLargeError(f"more than {_int_repr(max_nodes)} values")
            if not first:
                out.append(",")
                size += 1
            kind = _type(item)
            leaf = _LEAVES.get(kind)
            container = None
            if leaf is None:
                container = _CONTAINERS.get(kind)
                if container is None:
                    for base, rebuild in _BASES:
                        if _issubclass(kind, base):
                            item = rebuild(item)
                            leaf = _LEAVES[base]
                            break
                    else:
                        for base, found in _CONTAINER_BASES:
                            if _issubclass(kind, base):
                                container = found
                                break
                        else:
                            name = _type_name(kind)[:100]
                            if strict:
                                raise ValuesError(f"a value of type {name} is not plain data")
                            item, leaf = Opaque(name), _opaque_text
            if leaf is not None:
                text = leaf(item)
                first = False
            else:
                assert container is not None
                text, closer, contents = container
                if _len(outer) >= max_depth:
                    raise ValuesError(f"nested deeper than {_int_repr(max_depth)} levels, or containing itself")
                outer.append((current, closer))
                current = contents(item)
                first = True
            size += _len(text)
            if size > max_bytes:
                raise TooLargeError(f"an encoding of more than {_int_repr(max_bytes)} bytes")
            out.append(text)
            if first:
                break
        else:
            if not outer:
                return _str_encode(_join(out), "ascii")
            current, text = outer.pop()
            out.append(text)
            size += _len(text)
            first = False


_STRING: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A JSON string, or an unterminated one up to the end: it matches at every quote, hence takes linear time."""

_STRUCTURE: Final = re.compile(r"[^\[\]{},]+")


def _check_structure(text: str, max_depth: int, max_nodes: int) -> None:
    """Refuse text that is nested too deeply or has too many nodes, before the recursive parser sees it."""
    brackets = text.count("[") + text.count("{")
    if brackets <= max_depth and brackets + text.count(",") < max_nodes:
        return
    structure = _STRUCTURE.sub("", _STRING.sub("", text))
    # Every array element but the first follows a comma; a tagged object is the array in it.
    if structure.count(",") + structure.count("[") + 1 > 2 * max_nodes:
        raise TooLargeError(f"more than {max_nodes} values")
    arrays = nesting = 0
    for mark in structure:
        if mark == ",":
            continue
        step = 1 if mark in "[{" else -1
        nesting += step
        if mark in "[]":
            arrays += step
        if arrays > max_depth or nesting > 2 * max_depth + 1:
            raise ValuesError(f"nested deeper than {max_depth} levels")


def _integer(text: str) -> int:
    if len(text) > 17:
        raise ValuesError(f"an integer literal of {len(text)} characters; large integers are tagged")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValuesError("a float literal that overflows; infinities are tagged")
    return value


def _constant(text: str) -> float:
    raise ValuesError(f"the literal {text}; non-finite floats are tagged")


def _check_hashes(keys: list[Any]) -> None:
    # A table whose keys all hash alike is built in quadratic time: an attack, not an answer.
    if len(keys) > _MAX_EQUAL_HASHES and max(Counter(map(hash, keys)).values()) > _MAX_EQUAL_HASHES:
        raise ValuesError("too many keys with equal hashes")


def _large_int(text: str) -> int:
    digits = text.removeprefix("-")
    if len(digits) * 4 > MAX_INT_BITS + 4 or not re.fullmatch("[1-9a-f][0-9a-f]*", digits):
        raise ValuesError("not a large integer")
    value = int(text, 16)
    if value.bit_length() > MAX_INT_BITS:
        raise ValuesError("an integer with too many digits")
    return value


def _set(items: list[Any]) -> set[Any]:
    _check_hashes(items)
    return set(items)


def _frozenset(items: list[Any]) -> frozenset[Any]:
    _check_hashes(items)
    return frozenset(items)


def _dict(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise ValuesError("a dict with a key that has no value")
    keys = items[::2]
    _check_hashes(keys)
    return dict(zip(keys, items[1::2], strict=True))


def _complex(items: list[Any]) -> complex:
    if len(items) != 2 or type(items[0]) is not float or type(items[1]) is not float:
        raise ValuesError("a complex number is two floats")
    return complex(items[0], items[1])


_NON_FINITE: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_FROM_LIST: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "t": tuple,
    "s": _set,
    "f": _frozenset,
    "d": _dict,
    "c": _complex,
}
_FROM_TEXT: Final[dict[str, Callable[[str], Any]]] = {
    "i": _large_int,
    "n": lambda text: float(text) if text in _NON_FINITE else _constant(text[:20]),
    "b": lambda text: a2b_base64(text, strict_mode=True),
    "u": lambda text: a2b_base64(text, strict_mode=True).decode("utf-8", "surrogatepass"),
    "o": lambda text: Opaque(text[:100]),
}


def _untag(pairs: list[tuple[str, Any]]) -> Any:
    if len(pairs) != 1:
        raise ValuesError(f"an object with {len(pairs)} keys; a tagged value has one")
    tag, payload = pairs[0]
    if type(payload) is list and tag in _FROM_LIST:
        return _FROM_LIST[tag](payload)
    if type(payload) is str and tag in _FROM_TEXT:
        return _FROM_TEXT[tag](payload)
    raise ValuesError(f"an unknown tag {tag[:20]!r}, or one with the wrong kind of payload")


_parse: Final = json.JSONDecoder(
    object_pairs_hook=_untag, parse_int=_integer, parse_float=_finite, parse_constant=_constant
).decode


def decode(data: bytes, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH, max_nodes: int = MAX_NODES) -> Any:
    """Return the value that `data` encodes.

    Args:
        data: Bytes from anywhere.
        max_bytes: The largest encoding accepted.
        max_depth: The deepest nesting of containers accepted.
        max_nodes: The largest number of values accepted, to within a factor of two.

    Raises:
        TooLargeError: there are more bytes or nodes than accepted.
        ValuesError: the bytes are not the encoding of a value, or of one nested too deeply.
    """
    if len(data) > max_bytes:
        raise TooLargeError(f"an encoding of {len(data)} bytes; the cap is {max_bytes}")
    try:
        text = data.decode("ascii")
        _check_structure(text, max_depth, max_nodes)
        return _parse(text)
    except ValuesError:
        raise
    except (ValueError, TypeError, RecursionError, MemoryError, OverflowError) as error:
        raise ValuesError(f"not an encoded value: {type(error).__name__}") from None
