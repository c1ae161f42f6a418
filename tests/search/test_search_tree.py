"""The tree's running statistics are those of a recomputation from scratch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars2_env import ConfigError
from mars2_env.search import SearchTree
from mars2_env.search.tree import BELOW, CHILDREN, SUBTREE

growth = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 2), st.sampled_from([0.0, 0.25, 0.5, 1.0])), max_size=60
)


def grown(steps: list[tuple[int, int, float]]) -> SearchTree:
    tree = SearchTree(3, capacity=1)
    for place, agent, score in steps:
        tree.add(place % len(tree), agent, score)
    return tree


def triple(scores: list[float]) -> list[float]:
    return [len(scores), sum(scores), sum(score * score for score in scores)]


@given(growth)
def test_statistics_equal_a_recomputation_from_scratch(steps: list[tuple[int, int, float]]) -> None:
    tree = grown(steps)
    below: list[list[int]] = [[] for _ in range(len(tree))]
    for node in range(1, len(tree)):
        ancestor = int(tree.parent[node])
        while ancestor >= 0:
            below[ancestor].append(node)
            ancestor = int(tree.parent[ancestor])
    score = tree.score
    for node in range(len(tree)):
        direct = [float(score[n]) for n in below[node] if tree.parent[n] == node]
        further = [float(score[n]) for n in below[node] if tree.parent[n] != node]
        own = [float(score[node])] if node else []
        assert tree.stats[node, CHILDREN].tolist() == triple(direct)
        assert tree.stats[node, BELOW].tolist() == triple(further)
        assert tree.stats[node, SUBTREE].tolist() == triple(own + direct + further)
    for agent in range(3):
        wrote = [float(score[n]) for n in range(1, len(tree)) if tree.agent[n] == agent]
        assert tree.agent_stats[agent].tolist() == triple(wrote)


@given(growth)
def test_children_are_listed_in_order_and_one_level_down(steps: list[tuple[int, int, float]]) -> None:
    tree = grown(steps)
    for node in range(len(tree)):
        children = list(tree.children(node))
        assert children == sorted(np.flatnonzero(tree.parent == node).tolist())
        assert all(tree.depth[child] == tree.depth[node] + 1 for child in children)


@pytest.mark.parametrize(
    ("parent", "agent", "score"), [(5, 0, 0.5), (-1, 0, 0.5), (0, 2, 0.5), (0, 0, 1.5), (0, 0, float("nan"))]
)
def test_a_refused_node_leaves_the_tree_as_it_was(parent: int, agent: int, score: float) -> None:
    tree = SearchTree(2)
    tree.add(0, 1, 1.0)
    before = (len(tree), tree.stats.tolist(), tree.agent_stats.tolist())
    with pytest.raises(ConfigError):
        tree.add(parent, agent, score)
    assert (len(tree), tree.stats.tolist(), tree.agent_stats.tolist()) == before


def test_a_chain_of_2000_nodes_is_walked_without_recursion() -> None:
    tree = SearchTree(1)
    for node in range(2000):
        tree.add(node, 0, 1.0)
    assert tree.depth[-1] == 2000
    assert tree.stats[0, BELOW].tolist() == [1999, 1999, 1999]
