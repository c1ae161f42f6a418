"""The luck of a tree: every random draw is keyed by names, so that the same choice meets the same luck everywhere.

A node's key depends on the path to it: for each step who wrote the node, and which of its author's children under that
parent it is. The seed of the turn that writes a node is made of its key; the draw of the t-th choice depends on t.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from mars2_env.base import keys

_CHILD: Final = keys.encoded("child")


def root_key(seed: int, problem: str) -> int:
    """Return the key of the root of a problem's tree."""
    return keys.key("tree", seed, problem)


def child_key(parent: int, agent: str, ordinal: int) -> int:
    """Return the key of a child.

    Args:
        parent: the key of its parent.
        agent: who writes it.
        ordinal: how many children the agent wrote under this parent before it.
    """
    return keys.key("child", parent, agent, ordinal)


def child_tail(agent: str, ordinal: int) -> bytes:
    """Return what tells a child from others of its parent, as `child_keys` takes it."""
    return keys.encoded(agent, ordinal)


def child_keys(parents: Iterable[int], tails: Iterable[bytes]) -> list[int]:
    """Return the keys of many children at once: `child_key(parent, agent, ordinal)` for each.

    Args:
        parents: the keys of their parents.
        tails: for each its `child_tail(agent, ordinal)`.
    """
    return keys.keys_between(_CHILD, parents, tails)


def seed_of(key: int) -> int:
    """Return the seed of the turn that writes the node of a key, in [0, 2**63)."""
    return key >> 65


def root_path(problem: str) -> int:
    """Return what the root is named by in the paths of turns: as `root_key`, but whatever the seed.

    Those of its descendants are made of it by `child_key`, as keys are.
    """
    return keys.key("path", problem)


def path_of(key: int) -> int:
    """Return the path of a turn that expands the node of a key that began with `root_path`, in [0, 2**63)."""
    return key >> 65


def choosing_seed(seed: int, problem: str, agent: str, nodes: int, spent: int, passes: int = 0) -> int:
    """Return the seed of a turn whose agent chooses the place.

    It depends on how many nodes the agent wrote, the tree has spent, and turns the agent let pass: who passed is not to
    meet the same luck again.
    """
    return keys.seed("turn", seed, problem, agent, nodes, spent, *([passes] if passes else []))


def choice_draws(seed: int, problem: str, number: int) -> np.random.Generator:
    """Return the source of randomness of a selector's choice, by how many were drawn before it."""
    return keys.generator("select", seed, problem, number)
