"""How a learner's work is divided: among no others here, among processes in `mars2_agents.learners.sharding`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from mars2_agents.learners.scoring import packed


@dataclass(frozen=True, slots=True)
class Row:
    """Samples that go through the model together.

    Attributes:
        places: which of the batch.
        counts: whether the pass is made for its result, and not because other processes make one.
    """

    places: tuple[int, ...]
    counts: bool = True


class Division(Protocol):
    """Divides the passes of a batch and the weights of a model. Every process calls the same methods alike."""

    @property
    def rank(self) -> int:
        """The number of this process; 0 writes files."""
        ...

    @property
    def factor(self) -> float:
        """What a gradient is multiplied with, where summing up divides it."""
        ...

    def spread(self, scorer: Any) -> None:
        """Divide the weights of a module, in place."""
        ...

    def rows(self, lengths: Sequence[int], budget: int) -> list[Row]:
        """Return the passes of this process: samples of these lengths, at most `budget` tokens together."""
        ...

    def gathered(self, found: Mapping[int, Tensor], sizes: Sequence[int]) -> list[Tensor]:
        """Return what all processes found, (sizes[place],) by place, from what this one did."""
        ...

    def whole(self, tensor: Tensor) -> Tensor:
        """Return a tensor as one."""
        ...

    def placed(self, tensor: Tensor, like: Tensor) -> Tensor:
        """Return a whole tensor divided, and where and of the kind that another is."""
        ...

    def by_one(self, act: Callable[[], None]) -> None:
        """Let process 0 act while the others wait; what it raises stops all."""
        ...


class Alone:
    """One process that has and does everything."""

    rank = 0
    factor = 1.0

    def spread(self, scorer: Any) -> None:
        """Leave the weights where they are."""

    def rows(self, lengths: Sequence[int], budget: int) -> list[Row]:
        """Return all passes."""
        return [Row(tuple(places)) for places in packed(lengths, budget)]

    def gathered(self, found: Mapping[int, Tensor], sizes: Sequence[int]) -> list[Tensor]:
        """Return what was found, in order."""
        return [found[place] for place in range(len(sizes))]

    def whole(self, tensor: Tensor) -> Tensor:
        """Return the tensor."""
        return tensor

    def placed(self, tensor: Tensor, like: Tensor) -> Tensor:
        """Return a tensor where, and of the kind that, another is."""
        return tensor.to(like)

    def by_one(self, act: Callable[[], None]) -> None:
        """Act."""
        act()
