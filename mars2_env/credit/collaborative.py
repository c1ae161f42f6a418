"""Credit for what an agent or a node was to the whole tree."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from math import factorial
from typing import Any, Final

import numpy as np

from mars2_env.credit.arrays import Bools, Floats, Ints, Numbers, as_labels, as_parents, as_rewards
from mars2_env.errors import ConfigError

MOST_AGENTS: Final = 12
"""Shapley values are exact, over all sets of agents: 4,096 of them at most."""


def agent_difference(
    parents: Sequence[int] | Ints, rewards: Numbers, agents: Sequence[Hashable]
) -> dict[Hashable, float]:
    """Return, for each agent, the best reward of the tree minus the best without its nodes and all below them.

    Source: difference rewards (Wolpert and Tumer, Optimal payoff functions for members of collectives, 2001).

    Args:
        parents: the number of each node's parent.
        rewards: the raw reward of each node.
        agents: the agent of each.

    Raises:
        ConfigError: the arguments do not tell a tree.
    """
    raw, above, who, names = _tree(parents, rewards, agents, "agent_difference")
    top = best_outside(above, raw, np.zeros(len(raw), bool))
    return {name: top - best_outside(above, raw, who == number) for number, name in enumerate(names)}


def best_outside(parents: Ints, rewards: Floats, left_out: Bools) -> float:
    """Return the best reward of a tree without the nodes left out and all below them; 0 where nothing is left."""
    gone = np.zeros(len(parents) + 1, bool)
    for node, parent in enumerate(parents, start=1):
        gone[node] = left_out[node - 1] or gone[parent]
    kept = rewards[~gone[1:]]
    return float(kept.max()) if len(kept) else 0.0


def node_difference(parents: Sequence[int] | Ints, rewards: Numbers) -> Floats:
    """Return r(v) / 2 + (best of the tree - best without v and all below it) / 2.

    The second half is what the tree would not have reached without this node; the first keeps a gradient where another
    node reached as much.

    Args:
        parents: the number of each node's parent.
        rewards: the raw reward of each node.

    Raises:
        ConfigError: the arguments do not tell a tree.
    """
    raw, _ = as_rewards(rewards, None, "node_difference")
    above = as_parents(parents, len(raw), "node_difference")
    below = [[] for _ in range(len(raw) + 1)]  # type: list[list[int]]
    for node, parent in enumerate(above, start=1):
        below[parent].append(node)
    end = np.zeros(len(raw) + 1, np.int64)
    order: list[int] = []
    stack = [(0, False)]
    start = np.zeros(len(raw) + 1, np.int64)
    while stack:
        node, left = stack.pop()
        if left:
            end[node] = len(order)
            continue
        start[node] = len(order)
        order.append(node)
        stack.append((node, True))
        stack += [(child, False) for child in reversed(below[node])]
    # In this order a subtree is a stretch: the best outside it is the best before it or behind it.
    laid = np.array([-np.inf if node == 0 else raw[node - 1] for node in order])
    before = np.concatenate(([-np.inf], np.maximum.accumulate(laid)))
    behind = np.concatenate((np.maximum.accumulate(laid[::-1])[::-1], [-np.inf]))
    rest = np.maximum(before[start[1:]], behind[end[1:]])
    rest = np.where(np.isfinite(rest), rest, 0.0)
    top = float(raw.max()) if len(raw) else 0.0
    return raw / 2 + (top - rest) / 2


def shapley(parents: Sequence[int] | Ints, rewards: Numbers, agents: Sequence[Hashable]) -> dict[Hashable, float]:
    """Return each agent's Shapley value: its mean marginal best reward over all orders in which agents could join.

    A set of agents is worth the best reward among the nodes that it wrote alone, ancestors included. The values add up
    to the best reward of the tree; an agent without nodes has none.

    Source: Shapley, A value for n-person games, 1953.

    Args:
        parents: the number of each node's parent.
        rewards: the raw reward of each node, at least 0.
        agents: the agent of each; at most 12 different ones.

    Raises:
        ConfigError: the arguments do not tell a tree, or there are too many agents.
    """
    raw, above, who, names = _tree(parents, rewards, agents, "shapley")
    count = len(names)
    if count > MOST_AGENTS:
        raise ConfigError(f"shapley: {count} agents have 2^{count} sets; at most {MOST_AGENTS} can be gone through.")
    wrote = [0]  # of each node, as bits: the agents of its path
    best = np.zeros(1 << count)
    for parent, agent, reward in zip(above.tolist(), who.tolist(), raw.tolist(), strict=True):
        wrote.append(wrote[parent] | 1 << agent)
        best[wrote[-1]] = max(best[wrote[-1]], reward)
    for agent in range(count):  # the best of every set, from those of its subsets
        for group in range(1 << count):
            if group >> agent & 1:
                best[group] = max(best[group], best[group ^ 1 << agent])
    found = {}
    for number, name in enumerate(names):
        rest = [other for other in range(count) if other != number]
        value = 0.0
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for chosen in combinations(rest, size):
                group = sum(1 << other for other in chosen)
                value += weight * (best[group | 1 << number] - best[group])
        found[name] = float(value)
    return found


def team_returns(
    trees: Sequence[Hashable], rewards: Numbers, *, mask: Sequence[bool] | Bools | None = None
) -> tuple[Floats, dict[Hashable, float]]:
    """Return for every node the best reward of its tree, one return for the whole team, and that of each tree.

    Normalised among trees of one problem (`advantages`) it is the credit of MAGRPO (arXiv 2508.04652).

    Args:
        trees: the tree of each node.
        rewards: the raw reward of each node.
        mask: which nodes count, all by default.

    Raises:
        ConfigError: there is not one tree for each reward, or a reward that counts is not finite.
    """
    raw, counts = as_rewards(rewards, mask, "team_returns")
    as_labels(trees, len(raw), "trees", "team_returns")
    best: dict[Hashable, float] = {}
    for tree, reward, counted in zip(trees, raw.tolist(), counts.tolist(), strict=True):
        best[tree] = max(best.get(tree, 0.0), reward if counted else 0.0)
    return np.array([best[tree] for tree in trees], dtype=np.float64), best


def shared_solutions(
    parents: Sequence[int] | Ints,
    rewards: Numbers,
    agents: Sequence[Hashable],
    policies: Mapping[Any, Hashable],
    *,
    solved: float = 1.0,
) -> dict[Hashable, int]:
    """Return policy -> the node whose program it learns as a fresh answer; policies that need none are not in it.

    A policy with no passing fresh node of its own in a tree learns the first passing program of the tree, whoever wrote
    it and where, by its negative log-likelihood as the answer to the bare problem.

    Source: this project; compare arXiv 2603.02604.

    Args:
        parents: the number of each node's parent.
        rewards: the raw reward of each node.
        agents: the agent of each node.
        policies: agent -> the policy that acts for it, of all agents of the tree.
        solved: the reward from which on a program passes.

    Raises:
        ConfigError: the arguments do not tell a tree, or an agent has no policy.
    """
    where = "shared_solutions"
    raw, above, _, names = _tree(parents, rewards, agents, where)
    for name in names:
        if name not in policies:
            raise ConfigError(f"{where}: agent {name!r} has no policy; policies are given for {list(policies)!r:.200}.")
    passing = np.flatnonzero(raw >= solved)
    if not len(passing):
        return {}
    able = {policies[agents[place]] for place in passing.tolist() if above[place] == 0}
    return {policy: int(passing[0]) + 1 for policy in dict.fromkeys(policies.values()) if policy not in able}


def _tree(
    parents: Sequence[int] | Ints, rewards: Numbers, agents: Sequence[Hashable], where: str
) -> tuple[Floats, Ints, Ints, list[Hashable]]:
    """Return rewards, parents, the number of each node's agent, and the agents by number."""
    raw, _ = as_rewards(rewards, None, where)
    above = as_parents(parents, len(raw), where)
    return raw, above, as_labels(agents, len(raw), "agents", where), list(dict.fromkeys(agents))
