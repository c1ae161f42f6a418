"""The tree's running statistics are those of a recomputation from scratch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars2_env import ConfigError
from mars2_env.search import Beta, PendingScore, SearchTree, descend, make_selector
from mars2_env.search.tree import BELOW, CHILDREN, SUBTREE

SCORES = [0.0, 0.1, 0.25, 1 / 3, 0.5, 1.0]
growth = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 2), st.sampled_from(SCORES)), max_size=60)


def grown(steps: list[tuple[int, int, float]]) -> SearchTree:
    tree = SearchTree(3, capacity=1)
    for place, agent, score in steps:
        tree.add(place % len(tree), agent, score)
    return tree


def triple(scores: list[float]) -> list[float]:
    """Count, sum and sum of squares, computed from scratch in exact fractions of 2**39."""
    unit = 2**39
    exact = [(round(score * unit), round(score * score * unit)) for score in scores]
    return [len(scores), sum(s for s, _ in exact) / unit, sum(q for _, q in exact) / unit]


def check_from_scratch(tree: SearchTree, pending: list[PendingScore] = []) -> None:  # noqa: B006
    """Hold every triple of a tree against a recomputation from its nodes and what is in flight."""
    scored = [(int(tree.parent[n]), int(tree.agent[n]), float(tree.score[n]), n) for n in range(1, len(tree))]
    scored += [(flight.parent, flight.agent, flight.score, -1) for flight in pending]
    data: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for parent, agent, score, node in scored:
        if node >= 0:
            data.setdefault((node, SUBTREE), []).append((agent, score))
        data.setdefault((parent, CHILDREN), []).append((agent, score))
        ancestor, which = parent, None
        while ancestor >= 0:
            data.setdefault((ancestor, SUBTREE), []).append((agent, score))
            if which is not None:
                data.setdefault((ancestor, BELOW), []).append((agent, score))
            ancestor, which = int(tree.parent[ancestor]), BELOW
    stats = tree.stats
    for node in range(len(tree)):
        for which in (CHILDREN, BELOW, SUBTREE):
            found = data.get((node, which), [])
            expected = triple([score for _, score in found])
            assert stats[node, which].tolist() == expected
            assert list(tree.triple(node, which)) == expected
            for whose in range(3):
                expected = triple([score for agent, score in found if agent == whose])
                assert list(tree.triple(node, which, whose)) == expected
    for agent in range(3):
        assert tree.agent_stats[agent].tolist() == triple([score for _, by, score, _ in scored if by == agent])


@given(growth)
def test_statistics_equal_a_recomputation_from_scratch(steps: list[tuple[int, int, float]]) -> None:
    check_from_scratch(grown(steps))


acts = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 10**6), st.integers(0, 2), st.sampled_from(SCORES)),
        st.tuples(st.just("tell"), st.integers(0, 10**6), st.sampled_from(SCORES), st.none()),
        st.tuples(st.just("drop"), st.integers(0, 10**6), st.none(), st.none()),
        st.tuples(st.just("read"), st.integers(-1, 2), st.none(), st.none()),
    ),
    max_size=40,
)


@given(acts)
def test_statistics_are_right_after_any_interleaving_of_asked_told_and_dropped(acts: list[tuple[Any, ...]]) -> None:
    tree = SearchTree(3, capacity=1)
    flights: list[PendingScore] = []
    for act, number, what, score in acts:
        if act == "ask":
            flights.append(PendingScore(number % len(tree), what, score))
        elif act == "read":
            tree.triple(0, SUBTREE, number)
        elif flights:
            flight = flights.pop(number % len(flights))
            if act == "tell":
                tree.add(flight.parent, flight.agent, what)
        tree.set_pending(flights)
    check_from_scratch(tree, flights)
    tree.set_pending([])
    check_from_scratch(tree)


@given(growth)
def test_a_tree_is_the_same_loaded_copied_and_grown(steps: list[tuple[int, int, float]]) -> None:
    tree = grown(steps)
    assert tree.triple(0, CHILDREN)  # sums some now and, in the copy, the rest later
    loaded = SearchTree.load(tree.parent[1:], tree.agent[1:], tree.score[1:], n_agents=3)
    copied = tree.copy()
    for twin in (loaded, copied):
        assert twin.stats.tolist() == tree.stats.tolist()
        assert twin.agent_stats.tolist() == tree.agent_stats.tolist()
        assert [twin.children(node) for node in range(len(tree))] == [tree.children(node) for node in range(len(tree))]
    copied.add(0, 0, 1.0)
    assert len(copied) == len(tree) + 1
    check_from_scratch(tree)
    check_from_scratch(copied)


def test_what_cannot_be_loaded_is_named() -> None:
    with pytest.raises(ConfigError, match="2, 1, 2 parents, agents and scores"):
        SearchTree.load([0, 0], [0], [0.5, 0.5], n_agents=1)
    with pytest.raises(ConfigError, match="parent 2 is not a node"):
        SearchTree.load([0, 2], [0, 0], [0.5, 0.5], n_agents=1)


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


@pytest.mark.parametrize("selector", ["ab_mcts_a", "ab_mcts_a,agents=stack", "mars2,per_agent=true", "uct"])
def test_a_chain_of_depth_100_000_is_loaded_and_stepped(selector: str) -> None:
    depth = 100_000
    scores = np.where(np.arange(depth) % 3 == 0, 0.7, 1.0)
    tree = SearchTree.load(np.arange(depth), np.arange(depth) % 2, scores, n_agents=2)
    assert tree.depth[-1] == depth
    tree.add(depth, 0, 1.0)  # one more, which is counted along the whole chain
    assert tree.triple(0, BELOW)[0] == depth
    assert tree.triple(depth - 1, BELOW) == (1.0, 1.0, 1.0)
    choice = make_selector(selector).select(tree, np.random.default_rng(0))
    assert 0 <= choice.parent <= depth + 1


def test_a_chain_is_walked_to_its_end_without_recursion() -> None:
    depth = 50_000
    tree = SearchTree.load(np.arange(depth), np.zeros(depth, int), np.zeros(depth), n_agents=1)

    class Onward(Beta):
        """Goes on wherever there is more below than right here."""

        def draw(self, rng: np.random.Generator, n: Any, s: Any, q: Any) -> Any:
            return n

    assert descend(tree, np.random.default_rng(0), Onward()) == depth - 2  # one child and one below: GEN wins ties
