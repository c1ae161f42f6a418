"""Budgets: what a tree may spend."""

from __future__ import annotations

from dataclasses import dataclass

from mars2_env.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Budget:
    """How much one tree may spend: `nodes` expansions (an illegal one counts too; a void one does not)."""

    nodes: int

    def __post_init__(self) -> None:
        if isinstance(self.nodes, bool) or not isinstance(self.nodes, int) or self.nodes < 1:
            raise ConfigError(f"Budget(nodes={self.nodes!r}): must be a whole number of at least 1.")
