"""Integers of many digits, whatever limit the interpreter sets (`sys.set_int_max_str_digits`)."""

from __future__ import annotations

from typing import Final

_AT_ONCE: Final = 500
"""Digits that are read at once: no limit can be set below 640."""


def from_digits(text: str) -> int:
    """Return the integer that decimal digits, with a sign in front or without, stand for.

    Raises:
        ValueError: the text is no integer.
    """
    if len(text) <= _AT_ONCE:
        return int(text)
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"no integer: {text[:40]!r}...")
    return sign * _joined(digits)


def _joined(digits: str) -> int:
    # Halves, not one by one: multiplication of large integers is faster than quadratic.
    if len(digits) <= _AT_ONCE:
        return int(digits)
    half = len(digits) // 2
    shift: int = 10**half
    return _joined(digits[:-half]) * shift + _joined(digits[-half:])
