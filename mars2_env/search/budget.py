"""Budgets: what a tree may spend."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import Final

from mars2_env.errors import ConfigError

MAX_NODES: Final = 10**7


@dataclass(frozen=True, slots=True)
class Budget:
    """How much one tree may spend: `nodes` expansions (an illegal one counts too; a void one does not)."""

    nodes: int

    def __post_init__(self) -> None:
        if isinstance(self.nodes, bool) or not hasattr(self.nodes, "__index__") or not 1 <= self.nodes <= MAX_NODES:
            raise ConfigError(f"Budget(nodes={self.nodes!r}): must be a whole number of at least 1 and at most 10**7.")
        object.__setattr__(self, "nodes", index(self.nodes))
