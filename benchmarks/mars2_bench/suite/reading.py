"""Reading what controllers observe, for many trees at once: columns by their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mars2_env.features import SLOT_COLUMNS, Layout

Vectors = NDArray[np.float32]
Ints = NDArray[np.int64]

_PLACE: Final = {column.name: place for place, column in enumerate(SLOT_COLUMNS)}


@dataclass(frozen=True, slots=True)
class Reading:
    """Observations of n trees with S slots.

    Attributes:
        layout: of each vector; that of an agent's own observation where it is one.
        vectors: shape (n, layout.size).
    """

    layout: Layout
    vectors: Vectors

    def slots(self, column: str) -> Vectors:
        """Return a column of each slot, such as `score`, shape (n, S)."""
        return self._rows()[:, :, _PLACE[column]]

    def numbers(self, column: str) -> Ints:
        """Return a column that is given over the budget (`parent`, `depth`, `children`), shape (n, S)."""
        return np.rint(self.slots(column) * self.layout.budget).astype(np.int64)

    def written_by(self) -> NDArray[np.bool_]:
        """Return who wrote each slot, shape (n, S, agents)."""
        return self._rows()[:, :, len(SLOT_COLUMNS) :] > 0

    def nodes(self) -> NDArray[np.bool_]:
        """Return which slots hold a program, shape (n, S)."""
        found = self.slots("present") > 0
        found[:, 0] = False
        return found

    def size(self) -> Ints:
        """Return how many slots there are that can be expanded, shape (n,)."""
        return np.asarray((self.slots("present") > 0).sum(1))

    def head(self, name: str) -> Vectors:
        """Return a number that comes before the slots, such as `rounds_left`, shape (n,)."""
        return self.vectors[:, self.layout.names.index(name)]

    def card(self) -> Vectors:
        """Return the observers' cards, shape (n, numbers of a card)."""
        return self.vectors[:, self.layout.head - self.layout.card : self.layout.head]

    def _rows(self) -> Vectors:
        return self.vectors[:, self.layout.head :].reshape(-1, self.layout.budget + 1, self.layout.width)
