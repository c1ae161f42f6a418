"""What an algorithm is: a function from finished trees to what each policy learns from them.

    def algorithm(trees: Sequence[Tree], crew: Crew) -> Mapping[str, Lesson]

It sees logged trees and who plays for whom; what it returns is, of each policy, samples and the loss that they are
learnt by. How many of them make an update, old log-probabilities, a reference, new weights: the trainer's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

from torch import Tensor

from mars2_env.credit import Sample
from mars2_env.log import Tree
from mars2_env.tasks import Task
from mars2_env.types import Turn


@runtime_checkable
class Encodes(Protocol):
    """A policy that tells the tokens of what it would be asked and of what it could have answered."""

    def prompt_ids(self, turn: Turn) -> tuple[int, ...]:
        """Return the tokens that the policy would be asked with."""
        ...

    def completion_ids(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a reply of this text, the one that ends it included."""
        ...


@dataclass(frozen=True, slots=True)
class Crew:
    """Who plays.

    Attributes:
        policies: agent -> the name of the policy that acts for it; several agents may share one.
        encoders: policy -> what tells its tokens; needed by algorithms that write samples of their own.
        task: what is played, which has the problems and how they are asked; needed by the same.
    """

    policies: Mapping[str, str]
    encoders: Mapping[str, Encodes] = field(default_factory=dict)
    task: Task | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """A batch as a loss sees it: padded on the right, (sequences, tokens) where nothing else is said.

    What stands outside the mask means nothing and may be NaN.

    Attributes:
        logprob: of the policy that is trained; the gradient goes through it.
        old: the same as the batch was taken, before its first update.
        sampler: what the sampler told; NaN where it told none.
        reference: of the reference model; None where the lesson asks for none.
        mask: true at tokens that are trained.
        advantage: (sequences,).
        imitated: (sequences,), true where the sample is learnt as it stands, whatever its advantage.
        lag: (sequences,), by how many updates the weights that wrote it are older than those that learn it.
    """

    logprob: Tensor
    old: Tensor
    sampler: Tensor
    reference: Tensor | None
    mask: Tensor
    advantage: Tensor
    imitated: Tensor
    lag: Tensor


Loss: TypeAlias = Callable[[Scores], Tensor]
"""From a batch to one number, differentiable by `Scores.logprob`."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one policy learns.

    Attributes:
        samples: in order; they wait in the policy's buffer until they make a batch.
        loss: of such a batch.
        reference: whether the loss needs `Scores.reference`.
        left_out: reason -> how many nodes gave no sample.
    """

    samples: tuple[Sample, ...]
    loss: Loss
    reference: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)


Algorithm: TypeAlias = Callable[[Sequence[Tree], Crew], Mapping[str, Lesson]]
"""From finished trees and who plays for whom to what each policy learns."""


@runtime_checkable
class Remembers(Protocol):
    """An algorithm that goes by what it saw in steps before, which checkpoints keep for it."""

    @property
    def memory(self) -> Mapping[str, Any] | None:
        """What it goes by, as JSON has it; None where that is nothing."""
        ...

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Go on from what `memory` told."""
        ...
