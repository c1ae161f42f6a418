"""An exhaustive search: every node gets the same number of children, level by level, whatever comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mars2_env.base.checks import whole_number
from mars2_env.search.choice import Choice
from mars2_env.search.tree import SearchTree


@dataclass(frozen=True, slots=True)
class Exhaustive:
    """Every node gets `children` of each agent: the root first, then the others in order of their numbers.

    A tree of all nodes down to a depth takes `full_size` of them. Replies are recorded by this search.
    """

    name: ClassVar[str] = "exhaustive"
    children: int = 2

    def __post_init__(self) -> None:
        whole_number("children", self.children)

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return the next child that is due; where its parent is still in flight, one more of the newest node's."""
        parent, place = divmod(len(tree) - 1 + len(pending), self.children * tree.n_agents)
        return Choice(min(parent, len(tree) - 1), place // self.children)


def full_size(agents: int, children: int, depth: int) -> int:
    """Return how many nodes there are down to a depth: sum over d = 1..depth of (agents * children) ** d.

    Args:
        agents: how many agents there are.
        children: how many children each of them writes under a node.
        depth: the depth of the deepest; children of the root have depth 1.
    """
    return sum((agents * children) ** level for level in range(1, depth + 1))
