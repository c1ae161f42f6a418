"""How much room plain data takes once it is written: a bound that needs no writing."""

from __future__ import annotations

from typing import Any, Final

MOST_BYTES: Final = 64 * 2**20
"""Where measuring ends: no sandbox takes more."""

_SCALAR: Final = 30  # a float of 24 characters, with a sign and a comma
_BRACKETS: Final = 10  # {"t":[...]} and a comma
_ESCAPED: Final = 6  # \u00e9


def text_size(text: str) -> int:
    """Return the bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def written_size(value: Any) -> int:
    """Return a bound on the bytes of plain data as tagged JSON: not less than there are, nor more than `MOST_BYTES`."""
    size = 0
    pending = [value]
    while pending and size < MOST_BYTES:
        item = pending.pop()
        size += _SCALAR
        if isinstance(item, str):
            size += _ESCAPED * len(item) if not item.isascii() or "\\" in item else 2 * len(item)
        elif isinstance(item, bytes):
            size += 2 * len(item)
        elif isinstance(item, int):
            size += item.bit_length() // 4
        elif isinstance(item, dict):
            size += _BRACKETS
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, list | tuple | set | frozenset):
            size += _BRACKETS
            pending.extend(item)
    return min(size, MOST_BYTES)
