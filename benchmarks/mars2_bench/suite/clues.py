"""What controllers are told of a problem in numbers: a fingerprint of the template that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mars2_bench.suite.draws import uniforms
from mars2_env.base import keys
from mars2_env.base.checks import real_number, whole_number


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
    """Bits drawn by a problem's template, some of them turned over by the problem itself.

    So problems of one template look alike, and not the same; of a template that was never seen they tell nothing.

    Attributes:
        size: how many bits.
        noise: the probability that a problem turns a bit over.
    """

    size: int = 16
    noise: float = 0.0

    def __post_init__(self) -> None:
        whole_number("size", self.size, least=1, where="Fingerprint")
        object.__setattr__(self, "noise", real_number("noise", self.noise, least=0, most=0.5, where="Fingerprint"))

    @property
    def identity(self) -> str:
        """What it is called in a task's configuration."""
        return f"bank-fingerprint:size={self.size},noise={self.noise}"

    def __call__(self, problem: HasId) -> tuple[float, ...]:
        """Return the bits of a problem, each 0.0 or 1.0."""
        names = ("fingerprint", template_of(problem.id)), ("fingerprint of", problem.id)
        drawn = uniforms(np.array([keys.seed(*name) for name in names], np.uint64), self.size)
        return tuple(((drawn[0] < 0.5) != (drawn[1] < self.noise)).astype(float).tolist())
