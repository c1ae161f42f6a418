"""Online rewards: what environments pay for one expansion. Credit for finished trees is `mars2_env.credit`'s."""

from __future__ import annotations

from collections.abc import Sequence

from mars2_env.types import Node


def progress(best_before: float, best_after: float) -> float:
    """Return the increase of the tree's best score; over an episode it telescopes to the best final score."""
    return best_after - best_before


def score(node: Node | None) -> float:
    """Return the new node's score; an illegal turn (no node) and a duplicate earn 0."""
    return 0.0 if node is None or node.duplicate_of is not None else node.score


def paid(agents: Sequence[str], actor: str, amount: float, share: str) -> dict[str, float]:
    """Return what each agent gets: the amount to the actor alone (`own`) or to every agent (`team`)."""
    return {agent: amount if share == "team" or agent == actor else 0.0 for agent in agents}
