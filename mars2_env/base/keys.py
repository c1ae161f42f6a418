"""Keyed random draws: a draw is a function of names, not of how many draws came before.

The same choice then meets the same luck in two algorithms, which makes comparisons paired, and a resumed run draws what
the uninterrupted run would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import TypeAlias

import numpy as np

Part: TypeAlias = str | int


def encoded(*parts: Part) -> bytes:
    """Return the parts as bytes, one after the other.

    The encoding is injective (each part carries its type and length), so no two different lists of parts share one.
    """
    pieces: list[bytes] = []
    for part in parts:
        data = str(part).encode("utf-8", "surrogatepass")
        pieces += (b"%b%d:" % (type(part).__name__.encode(), len(data)), data)
    return b"".join(pieces)


def key(*parts: Part) -> int:
    """Return a 128-bit integer that depends on every part, its type and its place."""
    return key_of(encoded(*parts))


def key_of(code: bytes) -> int:
    """Return the key of parts that are `encoded` already."""
    return int.from_bytes(blake2b(code, digest_size=16).digest(), "big")


def keys_between(head: bytes, numbers: Iterable[int], tails: Iterable[bytes]) -> list[int]:
    """Return `key(*first, number, *last)` for each number, `encoded(*first)` and each `encoded(*last)` being given.

    It is for drivers of many trees at once, for which what `key` costs beside its one hash is too much.
    """
    found = []
    for number, tail in zip(numbers, tails, strict=True):
        data = b"%d" % number
        code = blake2b(b"%bint%d:%b%b" % (head, len(data), data, tail), digest_size=16)
        found.append(int.from_bytes(code.digest(), "big"))
    return found


def seed(*parts: Part) -> int:
    """Return a seed in [0, 2**63), which every library's seeding accepts, for these parts."""
    return key(*parts) >> 65


def generator(*parts: Part) -> np.random.Generator:
    """Return a fresh numpy generator (Philox, counter-based) for these parts."""
    return np.random.Generator(np.random.Philox(key=key(*parts)))
