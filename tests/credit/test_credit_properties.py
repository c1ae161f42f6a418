"""Laws of all kinds of credit on any tree: order of siblings, names of agents, degenerate trees, composition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars2_env import ConfigError
from mars2_env.credit import (
    CREDITS,
    ESTIMATORS,
    SCOPES,
    Credit,
    RunningBaselines,
    c3,
    node_credit,
    rae,
    told,
    tree_rl,
)
from mars2_env.credit.samples import DUPLICATES, advantages_of
from mars2_env.errors import PartError
from mars2_env.log import Header, Tree
from mars2_env.types import Node, Verdict

NAMED = tuple(name for name in CREDITS.names() if CREDITS.owns(name))
KINDS = ("shaping", *NAMED)


def tree_of(
    parents: list[int],
    rewards: list[float],
    agents: list[str],
    *,
    duplicates: tuple[int, ...] = (),
    seed: int = 0,
    problem: str = "toy/0",
) -> Tree:
    """A tree as a log would tell it; nodes count from 1."""
    depth = [0]
    nodes = []
    for number, (parent, reward, agent) in enumerate(zip(parents, rewards, agents, strict=True), start=1):
        depth.append(depth[parent] + 1)
        copy = 1 if number in duplicates else None
        nodes.append(Node(number, parent, depth[-1], agent, "", "x", Verdict(), reward, duplicate_of=copy))
    return Tree(Header(problem, seed, {}, "", "", "", ""), (), tuple(nodes), "budget", None)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    count = draw(st.integers(1, 10))
    parents = [draw(st.integers(0, node)) for node in range(count)]
    rewards = draw(st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0]), min_size=count, max_size=count))
    agents = draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count))
    duplicates = draw(st.sets(st.integers(2, max(2, count)), max_size=3))
    return tree_of(parents, rewards, agents, duplicates=tuple(duplicates))


def shuffled(tree: Tree, rnd: Any) -> tuple[Tree, list[int]]:
    """Return a tree whose nodes were expanded in another order, and which node of the first each one was."""
    left, order = {node.id for node in tree.nodes}, [0]
    while left:
        order.append(rnd.choice(sorted(one for one in left if tree.nodes[one - 1].parent not in left)))
        left.discard(order[-1])
    number = {old: new for new, old in enumerate(order)}
    nodes = [
        replace(tree.nodes[old - 1], id=number[old], parent=number[tree.nodes[old - 1].parent]) for old in order[1:]
    ]
    return replace(tree, nodes=tuple(nodes)), order[1:]


def renamed(tree: Tree) -> Tree:
    names = {"a": "x", "b": "a", "c": "q"}
    return replace(tree, nodes=tuple(replace(node, agent=names[node.agent]) for node in tree.nodes))


def advantages_in(trees: list[Tree], credit: Credit) -> list[float]:
    return [value for found in advantages_of(trees, credit)[1] for value in found.tolist()]


@given(trees(), st.sampled_from([kind for kind in KINDS if kind != "rae"]), st.randoms(use_true_random=False))
def test_no_credit_depends_on_the_order_in_which_siblings_were_expanded(tree: Tree, kind: str, rnd: Any) -> None:
    moved, order = shuffled(tree, rnd)
    one, other = (advantages_in([some], Credit(credit=kind)) for some in (tree, moved))
    assert other == pytest.approx([one[old - 1] for old in order], abs=1e-9)


@given(trees(), st.sampled_from(KINDS), st.sampled_from(SCOPES))
def test_no_credit_depends_on_the_names_of_agents(tree: Tree, kind: str, scope: Any) -> None:
    one, other = (advantages_in([some], Credit(credit=kind, scope=scope)) for some in (tree, renamed(tree)))
    assert one == other


@given(
    trees(), st.sampled_from(KINDS), st.sampled_from(SCOPES), st.sampled_from(ESTIMATORS), st.sampled_from(DUPLICATES)
)
def test_no_choice_of_credit_scope_and_estimator_is_ever_nan(
    tree: Tree, kind: str, scope: Any, estimator: Any, duplicates: Any
) -> None:
    other = replace(tree, header=replace(tree.header, seed=1), nodes=tree.nodes[:1])
    credit = Credit(credit=kind, scope=scope, estimator=estimator, duplicates=duplicates)
    assert np.isfinite(advantages_in([tree, other], credit)).all()


@given(trees(), st.sampled_from(KINDS))
def test_each_agent_has_a_mean_of_zero_where_it_is_normalised_alone_whatever_the_credit(tree: Tree, kind: str) -> None:
    found = advantages_in([tree], Credit(credit=kind, scope="agent_in_tree", duplicates="keep"))
    for agent in {node.agent for node in tree.nodes}:
        own = [value for value, node in zip(found, tree.nodes, strict=True) if node.agent == agent]
        assert abs(sum(own) / len(own)) < 1e-9


@given(trees())
def test_what_was_masked_moves_nobody_else(tree: Tree) -> None:
    copies = [node.id for node in tree.nodes if node.duplicate_of is not None]
    other = replace(
        tree,
        nodes=tuple(replace(node, score=1 - node.score) if node.id in copies else node for node in tree.nodes),
    )
    leaves = not any(node.parent in copies for node in tree.nodes)
    if leaves:  # a masked program is still the parent of what was made of it
        for kind in ("shaping", "c3"):
            assert advantages_in([tree], Credit(credit=kind)) == advantages_in([other], Credit(credit=kind))


@given(trees())
def test_named_credit_is_the_function_of_its_name(tree: Tree) -> None:
    parents, rewards, agents = told(tree)
    assert node_credit("tree_rl", tree).tolist() == tree_rl(parents, rewards).tolist()
    assert node_credit("c3", tree).tolist() == c3(parents, rewards, agents).tolist()


SMALL = tree_of([0, 0, 1, 1], [0.0, 0.25, 1.0, 0.5], ["a", "b", "b", "a"])


def test_credit_by_name_is_what_samples_are_worth() -> None:
    by_name = {
        "node_difference": [0.375, 0.125, 0.75, 0.25],
        "agent_difference": [0.75, 0.5, 0.5, 0.75],
        "shapley": [0.625, 0.375, 0.375, 0.625],
        "team_return": [1.0] * 4,
        "pkpo,k=2": [1 / 6, 1 / 6, 0.5, 1 / 6],
    }
    for name, wanted in by_name.items():
        (shaped,), (gained,) = advantages_of([SMALL], Credit(credit=name, estimator="none"))
        assert shaped.tolist() == gained.tolist() == pytest.approx(wanted)


def test_credit_is_composed_of_others() -> None:
    def half(tree: Tree) -> Any:
        return (node_credit("node_difference", tree) + node_credit("tree_rl", tree)) / 2

    wanted = (node_credit("node_difference", SMALL) + node_credit("tree_rl", SMALL)) / 2
    assert advantages_in([SMALL], Credit(credit=half, estimator="none")) == pytest.approx(wanted.tolist())


def test_the_penalty_on_length_comes_on_top_of_any_credit() -> None:
    credit = Credit(credit="node_difference", estimator="none", max_length=4, buffer=2)
    (shaped,), _ = advantages_of([SMALL], credit, [[4, 3, 2, 1]])
    assert shaped.tolist() == pytest.approx([0.375 - 1, 0.125 - 0.5, 0.75, 0.25])


def test_magrpo_compares_the_returns_of_a_teams_plays_of_one_problem() -> None:
    won, lost = SMALL, tree_of([0, 0, 1, 1], [0.0, 0.5, 0.5, 0.0], ["a", "b", "b", "a"], seed=1)
    other = tree_of([0], [1.0], ["a"], problem="toy/1")
    credit = Credit(credit="team_return", scope="problem", estimator="dr_grpo")
    assert advantages_in([won, lost, other], credit) == pytest.approx([0.25] * 4 + [-0.25] * 4 + [0.0])


def test_running_baselines_go_on_from_tree_to_tree() -> None:
    baselines = RunningBaselines(decay=0.5)
    credit = Credit(credit=baselines, estimator="none", clip=None)
    first, second = advantages_in([SMALL], credit), advantages_in([SMALL], credit)
    _, rewards, agents = told(SMALL)
    whole, means = rae(rewards * 2, agents * 2, {}, decay=0.5)
    assert first + second == pytest.approx(whole.tolist()) and baselines.means == means
    again = RunningBaselines(decay=0.5, means=means)
    assert again(SMALL).tolist() == pytest.approx(baselines(SMALL).tolist())


def test_running_means_alone_go_by_the_order_in_which_nodes_came() -> None:
    late, early = tree_of([0, 0], [0.0, 1.0], ["a", "a"]), tree_of([0, 0], [1.0, 0.0], ["a", "a"])
    assert node_credit("rae,decay=0.5", late).tolist() == [0.0, 1.0]
    assert node_credit("rae,decay=0.5", early).tolist() == [1.0, -0.5]


def test_running_baselines_have_a_name_and_each_credit_has_its_own() -> None:
    one, other = (Credit(credit="rae,decay=0.5", estimator="none", clip=None) for _ in range(2))
    first, second = advantages_in([SMALL], one), advantages_in([SMALL], one)
    _, rewards, agents = told(SMALL)
    assert first + second == pytest.approx(rae(rewards * 2, agents * 2, {}, decay=0.5)[0].tolist())
    assert advantages_in([SMALL], other) == first
    assert node_credit("rae,decay=0.5", SMALL).tolist() == pytest.approx(first)
    with pytest.raises(ConfigError, match="decay"):
        Credit(credit="rae,decay=2")


def test_a_masked_duplicate_moves_no_running_mean() -> None:
    nodes = tuple(replace(node, duplicate_of=1 if node.id == 3 else None) for node in SMALL.nodes)
    with_copy = replace(SMALL, nodes=nodes)
    _, rewards, agents = told(SMALL)
    for duplicates in ("mask", "keep"):
        credit = Credit(credit="rae,decay=0.5", estimator="none", clip=None, duplicates=duplicates)
        advantages_in([with_copy], credit)
        assert isinstance(credit.credit, RunningBaselines)
        counted = [place for place in range(len(rewards)) if duplicates == "keep" or place != 2]
        _, means = rae([rewards[place] for place in counted], [agents[place] for place in counted], {}, decay=0.5)
        assert credit.credit.means == pytest.approx(means)


def test_pass_at_k_of_a_tree_that_was_cut_short_takes_what_there_is() -> None:
    cut = tree_of([0, 0], [1.0, 0.0], ["a", "b"])
    assert node_credit("pkpo,k=8", cut).tolist() == node_credit("pkpo,k=2", cut).tolist()


def test_a_tree_without_nodes_is_worth_nothing() -> None:
    empty = tree_of([], [], [])
    for name in NAMED:
        assert node_credit(name, empty).tolist() == []
    assert advantages_in([empty, empty], Credit(credit="c3")) == advantages_in([], Credit()) == []


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Credit(credit="tree_r1"), "tree_rl"),
        (lambda: Credit(credit="shapping"), "'shaping'"),
        (lambda: Credit(credit="pkpo,n=3"), "k, solved"),
        (lambda: Credit(credit="pkpo,k=0"), "k=0"),
        (lambda: Credit(credit="pkpo:3"), "key=value"),
        (lambda: Credit(credit="shaping,gamma=1"), "gamma and mix"),
        (lambda: Credit(credit=3), "function of a tree"),
        (lambda: Credit(gamma=-1), "gamma"),
        (lambda: Credit(mix=2), "mix"),
        (lambda: Credit(max_length=10, buffer=20), "max_length"),
        (lambda: Credit(estimator="mean"), "group_norm"),
        (lambda: node_credit(lambda tree: [1.0], SMALL), "4 nodes"),
        (lambda: node_credit(lambda tree: "no", SMALL), "4 nodes"),
        (lambda: advantages_in([SMALL], Credit(credit=lambda tree: [np.nan] * 4)), "nan"),
    ],
)
def test_a_slip_is_known_before_any_tree_is_grown(make: Any, says: str) -> None:
    with pytest.raises((ConfigError, PartError), match=says):
        make()
