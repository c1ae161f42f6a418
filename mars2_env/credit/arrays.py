"""What every function of credit is given, checked once: arrays that tell a tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mars2_env.errors import ConfigError

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Numbers: TypeAlias = Sequence[float] | NDArray[np.float64]


def as_rewards(rewards: Numbers, mask: Sequence[bool] | Bools | None, where: str) -> tuple[Floats, Bools]:
    """Return rewards as an array, and which of them count; those that do not may be anything, and are 0 here.

    Raises:
        ConfigError: they are no row of numbers, or one that counts is not finite.
    """
    try:
        found = np.array(rewards, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{where}(rewards={rewards!r:.200}): give one number a node.") from None
    if found.ndim != 1:
        raise ConfigError(f"{where}: rewards have shape {found.shape}; give one number a node.")
    counts = np.ones(len(found), bool) if mask is None else np.array(mask, dtype=bool)
    if counts.shape != found.shape:
        raise ConfigError(f"{where}: mask has shape {counts.shape}, and there are {len(found)} rewards; one each.")
    if not np.isfinite(found[counts]).all():
        place = int(np.flatnonzero(counts & ~np.isfinite(found))[0])
        raise ConfigError(f"{where}: the reward of node {place + 1} is {found[place]}; mask nodes that have none.")
    found[~counts] = 0.0
    return found, counts


def as_parents(parents: Sequence[int] | Ints, count: int, where: str) -> Ints:
    """Return the parents of a tree's nodes as an array.

    Raises:
        ConfigError: they are not one number a node, each that of the root (0) or of an earlier node.
    """
    given = np.array(parents)
    if given.shape != (count,) or (count and given.dtype.kind not in "iu"):
        raise ConfigError(f"{where}(parents={parents!r:.200}): give {count} node numbers, one a node; 0 is the root.")
    found = given.astype(np.int64)
    wrong = np.flatnonzero((found < 0) | (found > np.arange(count)))
    if len(wrong):
        node = int(wrong[0]) + 1
        raise ConfigError(
            f"{where}: the parent of node {node} is {found[node - 1]}; it must be 0, the root, or an earlier node."
        )
    return found


def as_labels(labels: Sequence[object] | NDArray[np.generic], count: int, what: str, where: str) -> Ints:
    """Return labels of any kind as numbers, equal where the labels are.

    Raises:
        ConfigError: there is not one for each node.
    """
    given = list(labels)
    if len(given) != count:
        raise ConfigError(f"{where}: {len(given)} {what} for {count} rewards; one each.")
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in given], dtype=np.int64)


def group_means(values: Floats, groups: Ints, counts: Bools) -> tuple[Floats, Ints]:
    """Return, for each node, the mean of those of its group that count, and how many they are."""
    size = int(groups.max()) + 1 if len(groups) else 0
    numbers = np.bincount(groups[counts], minlength=size)
    sums = np.bincount(groups[counts], weights=values[counts], minlength=size)
    means = np.divide(sums, numbers, out=np.zeros(size), where=numbers > 0)
    return means[groups], numbers[groups].astype(np.int64)


def outside(values: Floats, groups: Ints, counts: Bools) -> tuple[Floats, Ints]:
    """Return, for each node, the mean of the others of its group that count, and how many they are (0: a mean of 0)."""
    means, numbers = group_means(values, groups, counts)
    others = numbers - counts
    rest = means * numbers - np.where(counts, values, 0.0)
    return np.divide(rest, others, out=np.zeros(len(values)), where=others > 0), others
