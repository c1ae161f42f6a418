"""Keyed random draws: a draw is a function of names, not of how many draws came before.

The same choice then meets the same luck in two algorithms, which makes comparisons paired, and a resumed run draws what
the uninterrupted run would have drawn.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TypeAlias

import numpy as np

Part: TypeAlias = str | int


def key(*parts: Part) -> int:
    """Return a 128-bit integer that depends on every part, its type and its place.

    The encoding is injective (each part carries its type and length), so no two different lists of parts share one.
    """
    pieces: list[bytes] = []
    for part in parts:
        data = str(part).encode("utf-8", "surrogatepass")
        pieces += (b"%b%d:" % (type(part).__name__.encode(), len(data)), data)
    return int.from_bytes(blake2b(b"".join(pieces), digest_size=16).digest(), "big")


def seed(*parts: Part) -> int:
    """Return a seed in [0, 2**63), which every library's seeding accepts, for these parts."""
    return key(*parts) >> 65


def generator(*parts: Part) -> np.random.Generator:
    """Return a fresh numpy generator (Philox, counter-based) for these parts."""
    return np.random.Generator(np.random.Philox(key=key(*parts)))
