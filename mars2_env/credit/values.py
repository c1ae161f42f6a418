"""Credit from the values of subtrees, and against siblings."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from mars2_env.credit.advantages import advantages
from mars2_env.credit.arrays import Bools, Floats, Ints, Numbers, as_labels, as_parents, as_rewards, outside


def tree_values(parents: Sequence[int] | Ints, rewards: Numbers) -> tuple[Floats, Ints]:
    """Return, for the root and each node, the mean reward of the leaves below it, and how many these are.

    A leaf is its own; the value of an empty tree's root is 0. Both arrays begin with the root.

    Raises:
        ConfigError: parents and rewards do not tell a tree.
    """
    raw, _ = as_rewards(rewards, None, "tree_values")
    above = as_parents(parents, len(raw), "tree_values")
    sums, leaves = np.zeros(len(raw) + 1), np.zeros(len(raw) + 1, np.int64)
    for node in range(len(raw), 0, -1):
        if not leaves[node]:
            sums[node], leaves[node] = raw[node - 1], 1
        sums[above[node - 1]] += sums[node]
        leaves[above[node - 1]] += leaves[node]
    return np.divide(sums, leaves, out=np.zeros(len(sums)), where=leaves > 0), leaves


def tree_rl(parents: Sequence[int] | Ints, rewards: Numbers) -> Floats:
    """Return (2 V(v) - V(root) - V(parent)) / sqrt(leaves below v): what a node gained on the whole and on its parent.

    V is the mean reward of the leaves below (`tree_values`).

    Source: TreeRL (arXiv 2506.11902).

    Raises:
        ConfigError: parents and rewards do not tell a tree.
    """
    values, leaves = tree_values(parents, rewards)
    above = np.asarray(parents, dtype=np.int64).reshape(-1)
    found: Floats = (2 * values[1:] - values[0] - values[above]) / np.sqrt(np.maximum(leaves[1:], 1))
    return found


def tree_rpo(parents: Sequence[int] | Ints, rewards: Numbers) -> Floats:
    """Return each node's value, backed up as the mean of its children's, normalised among its siblings.

    Source: TreeRPO (arXiv 2506.05183).

    Raises:
        ConfigError: parents and rewards do not tell a tree.
    """
    raw, _ = as_rewards(rewards, None, "tree_rpo")
    above = as_parents(parents, len(raw), "tree_rpo")
    values, sums, children = raw.copy(), np.zeros(len(raw) + 1), np.zeros(len(raw) + 1)
    for node in range(len(raw), 0, -1):
        if children[node]:
            values[node - 1] = sums[node] / children[node]
        sums[above[node - 1]] += values[node - 1]
        children[above[node - 1]] += 1
    return advantages(values, above.tolist())


def c3(
    parents: Sequence[int] | Ints,
    rewards: Numbers,
    agents: Sequence[Hashable],
    *,
    mask: Sequence[bool] | Bools | None = None,
) -> Floats:
    """Return each node's reward minus the mean of what the same agent made of the same parent otherwise.

    A node without such a sibling has 0, since nothing is known of what else the agent would have done there.

    Source: C3 (arXiv 2603.06859).

    Args:
        parents: the number of each node's parent.
        rewards: the raw reward of each node.
        agents: the agent of each.
        mask: which nodes count, all by default; the others have 0.

    Raises:
        ConfigError: the arguments do not tell a tree.
    """
    raw, counts = as_rewards(rewards, mask, "c3")
    above = as_parents(parents, len(raw), "c3")
    who = as_labels(agents, len(raw), "agents", "c3")
    places = as_labels(list(zip(above.tolist(), who.tolist(), strict=True)), len(raw), "agents", "c3")
    mean, others = outside(raw, places, counts)
    return np.where(counts & (others > 0), raw - mean, 0.0)
