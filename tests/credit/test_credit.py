"""What each kind of credit promises: by hand on small trees, and as laws on any tree."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars2_env import ConfigError
from mars2_env.credit import (
    SCOPES,
    advantages,
    agent_difference,
    c3,
    node_difference,
    overlong_penalty,
    pass_at_k,
    pkpo,
    rae,
    scope_groups,
    shapley,
    shared_solutions,
    team_returns,
    tree_rl,
    tree_rpo,
    tree_shaping,
    tree_values,
)

Tree = tuple[list[int], list[float], list[str]]

#   root -- 1 (a, 0.0) -- 3 (b, 1.0)
#        \            \-- 4 (a, 0.5)
#         2 (b, 0.25)
PARENTS = [0, 0, 1, 1]
REWARDS = [0.0, 0.25, 1.0, 0.5]
AGENTS = ["a", "b", "b", "a"]


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    count = draw(st.integers(1, 12))
    parents = [draw(st.integers(0, node)) for node in range(count)]
    rewards = draw(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 1.0]), min_size=count, max_size=count))
    agents = draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count))
    return parents, rewards, agents


def test_shaping_by_hand() -> None:
    # node 1: sibling 2 alone: 0 + .5 (0 - .25); node 3: .5 * 0 + .5 * .5 = .25; node 4: .5 * 0 + .5 * 1 = .5
    assert tree_shaping(PARENTS, REWARDS).tolist() == [-0.125, 0.375, 1.375, 0.5]


def test_an_only_child_of_the_root_is_not_shaped_and_one_of_a_program_has_its_parent_alone() -> None:
    assert tree_shaping([0, 1], [0.5, 1.0]).tolist() == [0.5, 1.25]


def test_a_repair_problem_has_a_reward_at_its_root() -> None:
    assert tree_shaping([0], [1.0], root_reward=0.5).tolist() == [1.25]


def test_a_duplicate_is_left_out_of_its_siblings_means() -> None:
    shaped = tree_shaping([0, 0, 0], [0.0, 1.0, 1.0], mask=[True, True, False])
    assert shaped.tolist() == [-0.5, 1.5, 1.0]
    found = advantages([0.0, 1.0, 9.0], [0, 0, 0], mask=[True, True, False])
    assert found[2] == 0 and found[0] == -found[1]


def test_a_masked_node_may_have_no_reward_at_all() -> None:
    mask = [True, False, True]
    assert tree_shaping([0, 0, 2], [1.0, np.nan, 0.5], mask=mask).tolist() == [1.0, 0.0, 0.5]
    assert np.isfinite(advantages([1.0, np.nan, 0.5], [0, 0, 0], mask=mask)).all()


@given(trees(), st.randoms(use_true_random=False))
def test_shaping_does_not_depend_on_the_order_of_expansion(tree: Tree, rnd: Any) -> None:
    parents, rewards, _ = tree
    left, order = set(range(1, len(parents) + 1)), [0]
    while left:  # another order in which parents come before their children
        order.append(rnd.choice(sorted(node for node in left if parents[node - 1] not in left)))
        left.discard(order[-1])
    number = {old: new for new, old in enumerate(order)}
    moved = tree_shaping([number[parents[old - 1]] for old in order[1:]], [rewards[old - 1] for old in order[1:]])
    assert moved.tolist() == pytest.approx([tree_shaping(parents, rewards)[old - 1] for old in order[1:]], abs=1e-12)


@given(trees())
def test_credit_does_not_depend_on_the_names_of_agents(tree: Tree) -> None:
    parents, rewards, agents = tree
    renamed = [{"a": "x", "b": "a", "c": "q"}[agent] for agent in agents]
    fresh = [parent == 0 for parent in parents]
    for scope in SCOPES:
        of = ["t"] * len(agents)
        one = advantages(rewards, scope_groups(scope, of, agents, fresh, problems=of))
        other = advantages(rewards, scope_groups(scope, of, renamed, fresh, problems=of))
        assert one.tolist() == other.tolist()
    assert list(shapley(parents, rewards, agents).values()) == list(shapley(parents, rewards, renamed).values())


@given(trees())
def test_each_agent_has_a_mean_advantage_of_zero_where_it_is_normalised_alone(tree: Tree) -> None:
    parents, rewards, agents = tree
    groups = scope_groups("agent_in_tree", ["t"] * len(agents), agents, [parent == 0 for parent in parents])
    found = advantages(tree_shaping(parents, rewards), groups)
    for agent in set(agents):
        assert abs(found[[one == agent for one in agents]].mean()) < 1e-9


@given(trees())
def test_no_kind_of_credit_is_ever_nan(tree: Tree) -> None:
    parents, rewards, agents = tree
    for found in (
        tree_shaping(parents, rewards),
        advantages(rewards, agents),
        advantages(rewards, agents, estimator="rloo"),
        node_difference(parents, rewards),
        tree_rl(parents, rewards),
        tree_rpo(parents, rewards),
        c3(parents, rewards, agents),
        rae(rewards, agents, {})[0],
    ):
        assert np.isfinite(found).all() and found.shape == (len(parents),)


def test_advantages_are_cut_at_ten() -> None:
    rewards = [0.0] * 400 + [1.0]
    assert advantages(rewards, [0] * 401).max() == 10.0
    assert advantages(rewards, [0] * 401, clip=None).max() == pytest.approx(19.97, abs=0.01)


def test_scopes_compare_with_more_or_fewer() -> None:
    trees_, agents, fresh = ["t", "t", "t", "u"], ["a", "b", "a", "a"], [True, True, False, True]
    groups = {scope: scope_groups(scope, trees_, agents, fresh, problems=["p"] * 4) for scope in SCOPES}
    assert {scope: len(set(found)) for scope, found in groups.items()} == {
        "tree": 2,
        "agent_in_tree": 3,
        "agent": 2,
        "agent_kind": 4,
        "problem": 1,
        "batch": 1,
    }
    with pytest.raises(ConfigError, match="problem of each node"):
        scope_groups("problem", trees_, agents, fresh)


def test_node_difference_is_what_the_tree_would_lack() -> None:
    # best 1.0 is node 3, below node 1: without node 1 the best is .25, without 3 it is .5
    assert node_difference(PARENTS, REWARDS).tolist() == [0.375, 0.125, 0.75, 0.25]


@given(trees())
def test_node_difference_by_its_definition(tree: Tree) -> None:
    parents, rewards, _ = tree
    for node in range(1, len(parents) + 1):
        gone = {node}
        for other in range(node + 1, len(parents) + 1):
            if parents[other - 1] in gone:
                gone.add(other)
        rest = max((r for place, r in enumerate(rewards, start=1) if place not in gone), default=0.0)
        wanted = rewards[node - 1] / 2 + (max(rewards) - rest) / 2
        assert node_difference(parents, rewards)[node - 1] == pytest.approx(wanted)


def test_agent_difference_leaves_out_all_below_an_agents_nodes() -> None:
    assert agent_difference(PARENTS, REWARDS, AGENTS) == {"a": 0.75, "b": 0.5}


@given(trees())
def test_shapley_values_are_mean_marginals_over_all_orders_and_add_up(tree: Tree) -> None:
    parents, rewards, agents = tree
    names = list(dict.fromkeys(agents))

    def worth(group: set[str]) -> float:
        kept, best = {0}, 0.0
        for node, (parent, reward, agent) in enumerate(zip(parents, rewards, agents, strict=True), start=1):
            if agent in group and parent in kept:
                kept.add(node)
                best = max(best, reward)
        return best

    orders = list(permutations(names))
    found = shapley(parents, rewards, agents)
    for name in names:
        marginals = [
            worth({*order[: order.index(name) + 1]}) - worth({*order[: order.index(name)]}) for order in orders
        ]
        assert found[name] == pytest.approx(sum(marginals) / len(orders))
    assert sum(found.values()) == pytest.approx(max(rewards))


def test_tree_values_are_means_over_leaves() -> None:
    values, leaves = tree_values(PARENTS, REWARDS)
    assert leaves.tolist() == [3, 2, 1, 1, 1]
    assert values.tolist() == pytest.approx([1.75 / 3, 0.75, 0.25, 1.0, 0.5])


def test_tree_rl_by_hand() -> None:
    root, one = 1.75 / 3, 0.75
    wanted = [(2 * one - 2 * root) / 2**0.5, 0.5 - 2 * root, 2 - root - one, 1 - root - one]
    assert tree_rl(PARENTS, REWARDS).tolist() == pytest.approx(wanted)


def test_tree_rpo_normalises_backed_up_values_among_siblings() -> None:
    found = tree_rpo(PARENTS, REWARDS)
    assert found.tolist() == pytest.approx([0.5**0.5, -(0.5**0.5), 0.5**0.5, -(0.5**0.5)], abs=1e-6)


def test_c3_compares_with_what_the_same_agent_made_of_the_same_parent() -> None:
    found = c3([0, 0, 0, 1], [0.0, 1.0, 0.5, 1.0], ["a", "a", "b", "a"])
    assert found.tolist() == [-1.0, 1.0, 0.0, 0.0]


def test_pkpo_by_hand() -> None:
    # of the three others of a wrong sample two passed: Pass@1 of them is 2/3
    assert pkpo([True, False, False, True], 2).tolist() == pytest.approx([0.5, 1 / 3, 1 / 3, 0.5])
    assert pkpo([False] * 3, 3).tolist() == [0.0] * 3
    assert pkpo([True] * 3, 1).tolist() == pytest.approx([1 / 3] * 3)
    assert pkpo([], 1).tolist() == []


def test_rae_moves_each_agents_baseline() -> None:
    found, means = rae([1.0, 1.0, 0.0], ["a", "a", "b"], {"b": 0.5}, decay=0.5)
    assert found.tolist() == [1.0, 0.5, -0.5]
    assert means == {"a": 0.75, "b": 0.25}


def test_a_team_return_is_the_best_of_its_tree() -> None:
    found, best = team_returns(["t", "u", "t"], [0.5, 0.25, 1.0])
    assert found.tolist() == [1.0, 0.25, 1.0] and best == {"t": 1.0, "u": 0.25}


def test_a_policy_without_a_passing_fresh_node_learns_the_first_solution() -> None:
    policies = {"a": "p", "b": "q", "c": "q"}
    assert shared_solutions(PARENTS, REWARDS, AGENTS, policies) == {"p": 3, "q": 3}
    assert shared_solutions([0, 1], [1.0, 1.0], ["a", "b"], policies) == {"q": 1}
    assert shared_solutions([0, 1], [0.0, 0.5], ["a", "b"], policies) == {}


def test_the_penalty_begins_where_the_buffer_does() -> None:
    assert overlong_penalty([79, 80, 90, 100, 120], max_length=100, buffer=20).tolist() == [0, 0, -0.5, -1, -1]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: tree_shaping([0, 2], [1, 1]), "parent of node 2 is 2"),
        (lambda: tree_shaping([0], [1, 1]), "2 node numbers"),
        (lambda: tree_shaping([0], [np.nan]), "reward of node 1 is nan"),
        (lambda: tree_shaping([0], ["x"]), "one number a node"),
        (lambda: tree_shaping([0], [1], mix=2), "mix"),
        (lambda: tree_shaping([0.5], [1]), "node numbers"),
        (lambda: advantages([1, 2], [0]), "1 groups for 2 rewards"),
        (lambda: advantages([1], [0], estimator="grpo"), "group_norm"),
        (lambda: advantages([1, 2], [0, 0], mask=[True]), "mask has shape"),
        (lambda: scope_groups("team", [], [], []), "agent_in_tree"),
        (lambda: pass_at_k(3, 4, 1), "c=4"),
        (lambda: pkpo([0.5], 1), "true or false"),
        (lambda: shapley([0] * 13, [0.0] * 13, list(range(13))), "at most 12"),
        (lambda: shared_solutions([0], [1.0], ["a"], {}), "has no policy"),
        (lambda: overlong_penalty([1], max_length=10, buffer=0), "buffer"),
    ],
)
def test_what_makes_no_sense_is_said(call: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        call()


def test_trees_without_nodes_have_no_credit() -> None:
    assert tree_shaping([], []).tolist() == advantages([], []).tolist() == node_difference([], []).tolist() == []
    assert shapley([], [], []) == agent_difference([], [], []) == {}
