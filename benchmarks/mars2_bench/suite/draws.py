"""Random draws of the ordinary environment, made for whole arrays of trees: equal to its own, draw by draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mars2_env.base import keys

Words = NDArray[np.uint64]
_LOW: Final = np.uint64(0xFFFFFFFF)
_32: Final = np.uint64(32)
_MULTIPLIERS: Final = (np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157))
_WEYL: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B))
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def uniforms(seeds: Words, count: int) -> NDArray[np.float64]:
    """Return the first `count` draws of SplitMix64 from each seed, in [0, 1): shape (seeds, count), 53 bits each.

    Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (OOPSLA 2014). Draw k of a seed depends on
    nothing else.
    """
    z = seeds[:, None] + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64)
    z ^= z >> np.uint64(30)
    z *= _MIX[0]
    z ^= z >> np.uint64(27)
    z *= _MIX[1]
    z ^= z >> np.uint64(31)
    z >>= np.uint64(11)
    return z * 2.0**-53


def high_product(a: np.uint64, b: Words) -> Words:
    """Return the upper 64 bits of the 128-bit products."""
    a_high, a_low, b_high, b_low = a >> _32, a & _LOW, b >> _32, b & _LOW
    middle = a_high * b_low + (a_low * b_low >> _32)
    other = a_low * b_high + (middle & _LOW)
    return a_high * b_high + (middle >> _32) + (other >> _32)


def philox_words(low: Words, high: Words) -> Words:
    """Return the first 64-bit word of `np.random.Philox(key=...)` for keys given by their lower and upper words.

    Philox4x64 with 10 rounds at the counter (1, 0, 0, 0). Salmon et al.: Parallel Random Numbers: As Easy as 1, 2, 3
    (SC 2011).
    """
    first, second, third, fourth = np.ones_like(low), np.zeros_like(low), np.zeros_like(low), np.zeros_like(low)
    low, high = low.copy(), high.copy()
    for _ in range(10):
        one, two = high_product(_MULTIPLIERS[0], first), high_product(_MULTIPLIERS[1], third)
        first, second, third, fourth = (
            two ^ second ^ low,
            _MULTIPLIERS[1] * third,
            one ^ fourth ^ high,
            _MULTIPLIERS[0] * first,
        )
        low += _WEYL[0]
        high += _WEYL[1]
    return first


def integers(drawn: Sequence[int], count: int) -> NDArray[np.int64]:
    """Return `np.random.Generator(np.random.Philox(key=k)).integers(count)` for each key k.

    numpy takes the lower half x of the first word and returns x * count >> 32 (Lemire: Fast Random Integer Generation
    in an Interval, 2019), but where the lower half of that product is below `count`, which is left to numpy itself.
    """
    if count == 1:
        return np.zeros(len(drawn), np.int64)
    low = np.array([key & 0xFFFFFFFFFFFFFFFF for key in drawn], np.uint64)
    high = np.array([key >> 64 for key in drawn], np.uint64)
    product = (philox_words(low, high) & _LOW) * np.uint64(count)
    found = (product >> _32).astype(np.int64)
    for place in np.flatnonzero((product & _LOW) < np.uint64(count)).tolist():
        found[place] = np.random.Generator(np.random.Philox(key=drawn[place])).integers(count)
    return found


def problems(seeds: Sequence[int], count: int) -> NDArray[np.int64]:
    """Return the place of the problem that each episode seed draws among `count`, as environments draw it."""
    return integers([keys.key("problem", seed) for seed in seeds], count)
