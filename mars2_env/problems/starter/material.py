"""The raw material of inputs: words, names and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from string import ascii_lowercase
from typing import TypeVar

Item = TypeVar("Item")

NAMES = (
    "Ada", "Ben", "Cleo", "Dario", "Edith", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Karim", "Lena", "Milo", "Nadia",
    "Oscar", "Paula", "Quinn", "Rosa", "Simon", "Tessa", "Ulla", "Vera", "Walter", "Xenia", "Yusuf", "Zoe",
)  # fmt: skip
GOODS = ("apples", "bolts", "candles", "drums", "eggs", "flour", "glue", "hooks", "ink", "jars", "kites", "lamps")
DISTINCT_LETTERS = ("blacksmith", "background", "duplicates", "importance", "lumberjack", "pathfinder", "playground")


def word(rng: Random, low: int, high: int, letters: str = ascii_lowercase) -> str:
    """Return a word of `low` to `high` letters."""
    return "".join(rng.choices(letters, k=rng.randint(low, high)))


def words(rng: Random, count: int, low: int, high: int, letters: str = ascii_lowercase) -> list[str]:
    """Return `count` words of `low` to `high` letters each."""
    return [word(rng, low, high, letters) for _ in range(count)]


def numbers(rng: Random, count: int, low: int, high: int) -> list[int]:
    """Return `count` whole numbers from `low` to `high`, both included."""
    return rng.choices(range(low, high + 1), k=count)


def distinct(rng: Random, count: int, low: int, high: int) -> list[int]:
    """Return `count` different whole numbers from `low` to `high`, both included."""
    return rng.sample(range(low, high + 1), count)


def shuffled(rng: Random, items: Sequence[Item]) -> list[Item]:
    """Return the items in random order."""
    return rng.sample(items, len(items))


def lines(*rows: object) -> str:
    """Return the rows as text, each ended by a newline."""
    return "".join(f"{row}\n" for row in rows)


def spaced(values: Sequence[object]) -> str:
    """Return the values on one line."""
    return " ".join(map(str, values))
