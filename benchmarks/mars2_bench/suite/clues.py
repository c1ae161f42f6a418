"""What controllers are told of a problem in numbers: a fingerprint of the template that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mars2_bench.suite.draws import uniforms
from mars2_env.base import keys
from mars2_env.base.checks import whole_number


class HasId(Protocol):
    """A problem, or its public view."""

    @property
    def id(self) -> str:
        """Its id."""
        ...


def template_of(problem: str) -> str:
    """Return the template of a problem of the starter set: `shift-code` of `starter/train/shift-code/3`."""
    return problem.split("/")[2]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Bits drawn by a problem's template: problems of one template have the same ones, whatever their numbers.

    Attributes:
        size: how many bits.
    """

    size: int = 16

    def __post_init__(self) -> None:
        whole_number("size", self.size, least=1, where="Fingerprint")

    @property
    def identity(self) -> str:
        """What it is called in a task's configuration."""
        return f"bank-fingerprint:size={self.size}"

    def __call__(self, problem: HasId) -> tuple[float, ...]:
        """Return the bits of a problem, each 0.0 or 1.0."""
        seed = np.array([keys.seed("fingerprint", template_of(problem.id))], np.uint64)
        return tuple((uniforms(seed, self.size)[0] < 0.5).astype(float).tolist())
