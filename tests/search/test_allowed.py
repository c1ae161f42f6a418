"""Agents that may not be asked, and agents that join: what selectors draw from."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from mars2_env import ConfigError
from mars2_env.search import SELECTORS, AbMctsA, PendingScore, SearchTree, make_selector

DRAWS_AGENTS = [
    "ab_mcts_a",
    "ab_mcts_a,posterior=gaussian",
    "ab_mcts_a,agents=ucb",
    "ab_mcts_a,agents=stack",
    "ab_mcts_m",
    "mars2",
    "repeated_sampling,agents=thompson",
    "random",
]


def grown(nodes: int = 12, agents: int = 4) -> SearchTree:
    tree, rng = SearchTree(agents), np.random.default_rng(0)
    for node in range(nodes):
        tree.add(int(rng.integers(len(tree))), node % agents, float(rng.random()))
    return tree


@pytest.mark.parametrize("selector", DRAWS_AGENTS)
@pytest.mark.parametrize("nodes", [0, 3, 12])
def test_an_agent_is_drawn_among_those_that_are_allowed(selector: str, nodes: int) -> None:
    tree = grown(nodes)
    tree.allowed = np.array([False, True, False, True])
    drawn = {make_selector(selector).select(tree, np.random.default_rng(seed)).agent for seed in range(60)}
    assert drawn <= {1, 3}
    if "ucb" not in selector:
        assert drawn == {1, 3}


@pytest.mark.parametrize("selector", sorted(SELECTORS))
def test_where_all_are_allowed_the_law_is_as_before(selector: str) -> None:
    free, told = grown(), grown()
    told.allowed = np.ones(4, bool)
    for seed in range(40):
        one, other = (make_selector(selector).select(tree, np.random.default_rng(seed)) for tree in (free, told))
        assert one == other


def test_thompson_draws_among_the_allowed_as_if_the_others_were_not_there() -> None:
    tree, fewer = SearchTree(3), SearchTree(2)
    for agent, scores in ((0, [1.0] * 9), (1, [0.0, 1.0]), (2, [0.0])):
        for score in scores:
            tree.add(0, agent, score)
            if agent:
                fewer.add(0, agent - 1, score)
    tree.allowed = np.array([False, True, True])
    select = make_selector("repeated_sampling,agents=thompson").select
    shares = []
    for one, agent in ((tree, 1), (fewer, 0)):
        shares.append(np.mean([select(one, np.random.default_rng(seed)).agent == agent for seed in range(3000)]))
    assert abs(shares[0] - shares[1]) < 0.05  # four standard errors of the difference


def test_an_agent_that_joins_has_no_scores_and_may_be_drawn() -> None:
    tree = grown()
    before = tree.agent_stats.tolist()
    assert tree.join() == 4
    assert tree.agent_stats.tolist() == [*before, [0.0, 0.0, 0.0]]
    drawn = {AbMctsA().select(tree, np.random.default_rng(seed)).agent for seed in range(60)}
    assert 4 in drawn
    tree.add(0, 4, 1.0)
    assert tree.agent_stats[4].tolist() == [1.0, 1.0, 1.0]


def test_priors_are_those_of_the_agents_that_began() -> None:
    tree = SearchTree(2)
    selector = AbMctsA(priors=(0.01, 0.01))
    tree.join()
    drawn = [selector.select(tree, np.random.default_rng(seed)).agent for seed in range(100)]
    assert drawn.count(2) > 80  # its prior expects 0.5
    with pytest.raises(ConfigError, match="2 agents"):
        AbMctsA(priors=(0.5, 0.5, 0.5)).select(tree, np.random.default_rng(0))


def test_a_copy_is_equal_and_independent() -> None:
    tree = grown()
    twin = tree.copy()

    def parts(one: SearchTree) -> list[Any]:
        arrays = (one.parent, one.agent, one.depth, one.score, one.stats, one.agent_stats)
        return [*(array.tolist() for array in arrays), [list(one.children(node)) for node in range(len(one))]]

    before = parts(tree)
    assert parts(twin) == before
    for node in range(200):
        twin.add(node % len(twin), 0, 1.0)
    twin.seed(0.5)
    assert parts(tree) == before
    assert tree.width(1) < twin.width(1)


def test_a_tree_of_any_depth_is_pickled_and_copied() -> None:
    chain = SearchTree(1)
    for node in range(5000):
        chain.add(node, 0, node % 2)
    chain.stats  # noqa: B018  # sums are made when they are read
    for twin in (pickle.loads(pickle.dumps(chain)), copy.deepcopy(chain), chain.copy()):
        for tree in (chain, twin):
            tree.set_pending([PendingScore(5000, 0, 0.5)])
        assert (twin.stats == chain.stats).all()
        twin.add(5000, 0, 1.0)
        assert twin.stats[0, 1, 0] == chain.stats[0, 1, 0] + 1
