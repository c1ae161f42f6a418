"""Numeric features of a tree: what value functions and controllers see instead of texts."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mars2_env.episode import Episode

NODE_COLUMNS: Final = ("present", "parent", "depth", "score", "children", "best_below", "agent", "passed", "duplicate")
"""Per slot (slot 0 the root, slot i node i): 1 if the node exists; its parent's slot, depth and agent (index + 1) over
their largest values; its score; the number of its children over the budget; the best score in its subtree; whether it
passed the scored tests; whether it repeats an earlier program. All in [0, 1]."""

GLOBAL_COLUMNS: Final = ("budget_left", "best_score")
"""The share of the budget that is left, and the highest score in the tree. Both in [0, 1]."""


def state_size(budget: int) -> int:
    """Return the length of `state` for a budget of so many nodes."""
    return len(GLOBAL_COLUMNS) + len(NODE_COLUMNS) * (budget + 1)


def state(episode: Episode) -> NDArray[np.float32]:
    """Return the features of a tree, shape (state_size(budget),), float32 in [0, 1]: global ones, then by slot."""
    budget = episode.budget.nodes
    size = len(episode.tree)
    table = np.zeros((budget + 1, len(NODE_COLUMNS)), np.float32)
    tree = episode.tree
    table[:size, 0] = 1.0
    table[1:size, 1] = tree.parent[1:] / budget
    table[:size, 2] = tree.depth / budget
    table[:size, 3] = tree.score
    table[:size, 4] = [len(tree.children(node)) / budget for node in range(size)]
    best = tree.score.copy()
    for node in range(size - 1, 0, -1):  # children come after their parents
        best[tree.parent[node]] = max(best[tree.parent[node]], best[node])
    table[:size, 5] = best
    table[:size, 6] = (tree.agent + 1) / len(episode.agents)
    for found in episode.programs:
        table[found.id, 7] = found.score >= 1.0
        table[found.id, 8] = found.duplicate_of is not None
    left = np.array([1.0 - episode.spent / budget, episode.best_score], np.float32)
    return np.concatenate([left, table.ravel()])
