"""What a selector decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from mars2_env.search.tree import SearchTree


class Choice(NamedTuple):
    """Where the tree grows next, and by whom: a node to expand and the index of an agent."""

    parent: int
    agent: int


@runtime_checkable
class Selector(Protocol):
    """Picks the node to expand and the agent that expands it.

    `tree.allowed` says which agents may be chosen (an agent may have left, or spent a budget of its own). A selector
    that draws the agent draws among these; the turn of any other goes to the next agent in order that is allowed.
    """

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return the next choice.

        Args:
            tree: the tree with every outcome that is known so far.
            rng: the source of all randomness of this choice.
            pending: expansions that were asked for and have no outcome yet, oldest first.
        """
        ...


@runtime_checkable
class Scores(Protocol):
    """A selector that says what an expansion in flight counts as until its outcome is told; an optional ability."""

    def pending_score(self, tree: SearchTree, choice: Choice) -> float | None:
        """Return the score that an expansion stands in for, in [0, 1]; None if it is not to be counted."""
        ...
