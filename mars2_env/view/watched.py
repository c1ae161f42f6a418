"""A selector's choice made again under watch: what it reads of the tree, and every draw, in order.

The selector itself is called, on the very tree and with the very source of randomness; nothing of any selector is
repeated here, so what is written down is what decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mars2_env.search.choice import Choice, Selector
from mars2_env.search.tree import BELOW, CHILDREN, EVERYONE, SUBTREE, SearchTree, Triple, Triples

Floats = NDArray[np.float64]

Law: TypeAlias = Literal["beta", "standard_t", "normal"]

READS = {CHILDREN: "gen", BELOW: "cont", SUBTREE: "own"}


@dataclass(frozen=True, slots=True)
class Read:
    """Triples that were read of a tree.

    Attributes:
        what: `gen` and `cont` of a node (CHILDREN and BELOW), `own` of it, `child` of each of its children, `agent` of
            each agent.
        node: the node; the root for agents.
        rows: shape (rows, 3), (n, S, Q) each.
    """

    what: str
    node: int
    rows: Triples


@dataclass(frozen=True, slots=True)
class Drawn:
    """One call of the source of randomness: the law, its parameters, and what came out, one value or more.

    Attributes:
        law: which of the source's laws.
        parameters: shape (parameters, values).
        values: shape (values,).
    """

    law: Law
    parameters: Floats
    values: Floats


Note: TypeAlias = Read | Drawn


class WatchedTree(SearchTree):
    """A tree that writes down what is read of it; it shares all data with the tree that it stands for."""

    def __init__(self, tree: SearchTree, notes: list[Note]) -> None:
        """Stand for a tree, as long as no node is added to it."""
        vars(self).update(vars(tree))
        self._notes = notes

    def _note(self, what: str, node: int, rows: ArrayLike) -> None:
        self._notes.append(Read(what, node, np.array(rows, np.float64).reshape(-1, 3)))

    def triple(self, node: int, which: int, whose: int = EVERYONE) -> Triple:
        """Return what the tree says, and write it down."""
        found = super().triple(node, which, whose)
        self._note(READS[which], node, found)
        return found

    def child_triples(self, node: int, whose: int = EVERYONE) -> Triples:
        """Return what the tree says, and write it down."""
        found = super().child_triples(node, whose)
        self._note("child", node, found)
        return found

    def few_child_triples(self, node: int, whose: int = EVERYONE) -> list[Triple]:
        """Return what the tree says, and write it down."""
        found = super().few_child_triples(node, whose)
        self._note("child", node, found)
        return found

    def agent_triples(self) -> list[Triple]:
        """Return what the tree says, and write it down; `agent_stats` reads it here too."""
        found = super().agent_triples()
        self._note("agent", 0, found)
        return found


class WatchedGenerator(np.random.Generator):
    """A source of randomness that writes down what it gave; its draws are those of the one it stands for."""

    def __init__(self, rng: np.random.Generator, notes: list[Note]) -> None:
        """Go on where a source stands."""
        super().__init__(rng.bit_generator)
        self._notes = notes

    def _note(self, law: Law, parameters: tuple[Any, ...], values: Any) -> Any:
        drawn = np.atleast_1d(np.asarray(values, np.float64))
        rows = [np.broadcast_to(np.asarray(one, np.float64), drawn.shape) for one in parameters]
        self._notes.append(Drawn(law, np.array(rows), drawn.copy()))
        return values

    def beta(self, a: Any, b: Any, size: Any = None) -> Any:
        """Draw as the source does, and write it down."""
        return self._note("beta", (a, b), super().beta(a, b, size))

    def standard_t(self, df: Any, size: Any = None) -> Any:
        """Draw as the source does, and write it down."""
        return self._note("standard_t", (df,), super().standard_t(df, size))

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Draw as the source does, and write it down."""
        return self._note("normal", (loc, scale), super().normal(loc, scale, size))


def watch(
    selector: Selector, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice]
) -> tuple[Choice, list[Note]]:
    """Return what a selector chooses, and what it read and drew on the way, in order."""
    notes: list[Note] = []
    return selector.select(WatchedTree(tree, notes), WatchedGenerator(rng, notes), pending), notes
