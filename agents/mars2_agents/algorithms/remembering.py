"""Algorithms whose credit goes on from tree to tree: what it goes by is told to checkpoints, and taken from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mars2_agents.algorithms.lesson import Algorithm, Crew, Lesson
from mars2_env.credit import Credit, RunningBaselines
from mars2_env.log import Tree


@dataclass(frozen=True, slots=True)
class Remembering:
    """An algorithm, and the running means of agents that its credit compares with.

    Attributes:
        algorithm: what it is.
        baselines: those of its credit.
    """

    algorithm: Algorithm
    baselines: RunningBaselines = field(repr=False)

    def __call__(self, trees: Sequence[Tree], crew: Crew) -> Mapping[str, Lesson]:
        """Return the algorithm's own lessons."""
        return self.algorithm(trees, crew)

    @property
    def memory(self) -> Mapping[str, Any]:
        """Agent -> its mean."""
        return {str(agent): mean for agent, mean in self.baselines.means.items()}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Go on from such means."""
        self.baselines.means = {agent: float(mean) for agent, mean in memory.items()}


def remembering(algorithm: Algorithm, credit: Credit) -> Algorithm:
    """Return an algorithm that tells what its credit goes by; the same one, where that is nothing.

    Args:
        algorithm: an algorithm.
        credit: the one that it uses.
    """
    return Remembering(algorithm, credit.credit) if isinstance(credit.credit, RunningBaselines) else algorithm
