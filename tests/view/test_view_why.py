"""Why a selector chose: what is told of a choice is what decided it, for every selector and any tree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mars2_env.search import AbMctsA, AbMctsM, Choice, Guidance, Mars2, RepeatedSampling, SearchTree, Selector, Uct
from mars2_env.search.ab_mcts_m import arm_densities, draw_arms
from mars2_env.search.selectors import SELECTORS, make_selector
from mars2_env.view.why import CURVE, MOST_ARMS, Arm, Why, why

GUIDANCE = Guidance()
FEW = settings(max_examples=15)
THOMPSON = [
    AbMctsA(),
    AbMctsA(posterior="gaussian"),
    AbMctsA(guidance=GUIDANCE),
    AbMctsA(posterior="gaussian", guidance=GUIDANCE),
    AbMctsA(priors=(0.2, 0.6, 0.5)),
    AbMctsA(priors=(0.2, 0.6, 0.5), posterior="gaussian"),
    AbMctsA(agents="ucb"),
    AbMctsA(agents="stack"),
    AbMctsA(agents="stack", posterior="gaussian", guidance=GUIDANCE),
    Mars2(),
    Mars2(guidance=GUIDANCE),
    Mars2(per_agent=True, posterior="gaussian"),
    AbMctsM(),
    AbMctsM(guidance=GUIDANCE),
    AbMctsM(agents="ucb"),
]


def grown(seed: int) -> SearchTree:
    """A tree of up to 24 nodes and three agents, by chance."""
    rng = np.random.default_rng(seed)
    tree = SearchTree(n_agents=3)
    for size in range(1, int(rng.integers(1, 25))):
        parent = int(rng.integers(size)) if rng.random() < 0.7 else 0
        tree.add(parent, int(rng.integers(3)), float(rng.choice([0.0, 0.25, 0.5, 1.0])))
    return tree


trees = st.builds(grown, st.integers(0, 2**32))


def draws(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def told(selector: Selector, tree: SearchTree, seed: int) -> tuple[Why, Choice]:
    """What is told of a choice, and the choice as the selector makes it unwatched."""
    return why(selector, tree, draws(seed)), Choice(*map(int, selector.select(tree, draws(seed))))


def largest(arms: tuple[Arm, ...]) -> Arm:
    return max(arms, key=lambda arm: arm.value)


@pytest.mark.parametrize("name", sorted(SELECTORS))
@FEW
@given(tree=trees, seed=st.integers(0, 2**32))
def test_a_watched_selector_chooses_as_it_does_unwatched(name: str, tree: SearchTree, seed: int) -> None:
    found, choice = told(make_selector(name), tree, seed)
    assert found.choice == choice


@pytest.mark.parametrize("selector", THOMPSON, ids=repr)
@FEW
@given(tree=trees, seed=st.integers(0, 2**32))
def test_the_walk_that_is_told_of_leads_to_the_choice_by_the_largest_values(
    selector: Selector, tree: SearchTree, seed: int
) -> None:
    found, choice = told(selector, tree, seed)
    node = 0
    for stop in found.walk:
        assert stop.node == node
        if stop.agents:
            assert largest(stop.agents).who == stop.agent
        if stop.gen is not None:
            rival = stop.cont or (largest(stop.children) if stop.children else None)
            assert rival is not None
            on = rival.value > stop.gen.value if stop.cont else rival.value >= stop.gen.value
            assert (stop.to is not None) == on
        if stop.to is not None:
            assert largest(stop.children).who == stop.to
            assert tree.parent[stop.to] == node
            node = stop.to
    assert choice.parent == node
    if found.agents:
        assert largest(found.agents).who == choice.agent
    assert found.walk or not tree.child_count(0) or selector.name == "repeated_sampling"  # type: ignore[attr-defined]


@FEW
@given(tree=trees, seed=st.integers(0, 2**32))
def test_agents_that_may_not_be_asked_are_told_of_and_do_not_win(tree: SearchTree, seed: int) -> None:
    tree.allowed = np.array([False, True, True])
    found, choice = told(AbMctsA(), tree, seed)
    assert len(found.agents) == 3
    assert choice.agent == largest(found.agents[1:]).who


@FEW
@given(tree=trees, seed=st.integers(0, 2**32))
def test_the_bandit_of_repeated_sampling_is_told_by_its_agents(tree: SearchTree, seed: int) -> None:
    found, choice = told(RepeatedSampling(agents="thompson"), tree, seed)
    assert largest(found.agents).who == choice.agent


@FEW
@given(tree=trees, seed=st.integers(0, 2**32))
def test_uct_is_told_by_the_scores_of_children_at_the_start_of_a_batch(tree: SearchTree, seed: int) -> None:
    found, choice = told(Uct(), tree, seed)
    assert found.batch == ((len(tree) - 1) % 6 + 1, 6)
    for stop in found.walk:
        assert largest(stop.children).who == stop.to
    if found.walk:
        assert found.walk[-1].to == choice.parent


def test_a_beta_posterior_is_told_with_its_scores_and_its_draw() -> None:
    tree = SearchTree(n_agents=1)
    tree.add(0, 0, 1.0)
    tree.add(0, 0, 0.5)
    (stop, *_) = why(AbMctsA(), tree, draws(0)).walk
    assert stop.gen is not None and stop.cont is not None
    assert stop.gen.law == ("beta", 2.0, 1.0)  # a0 + S, b0 + n - S
    assert (stop.gen.n, stop.gen.mean) == (2, 0.75)
    assert stop.cont.law == ("beta", 0.5, 0.5)
    assert stop.cont.mean is None
    expected = draws(0)
    assert [stop.gen.draw, stop.cont.draw] == [expected.beta(2.0, 1.0), expected.beta(0.5, 0.5)]


def test_depth_guidance_is_told_by_its_weight() -> None:
    tree = SearchTree(n_agents=1)
    for _ in range(3):
        tree.add(0, 0, 0.5)
    (stop, *_) = why(AbMctsA(guidance=Guidance(0.9, 1.0)), tree, draws(1)).walk
    assert stop.gen is not None and stop.gen.draw is not None
    assert stop.gen.weight == pytest.approx(0.9**3)
    assert stop.gen.value == pytest.approx(stop.gen.draw * 0.9**3)


def test_of_many_children_the_best_are_told_and_the_rest_counted() -> None:
    tree = SearchTree(n_agents=1)
    for _ in range(100):
        tree.add(0, 0, 0.0)
    for node in range(1, 100):
        tree.add(node, 0, 1.0)
    stop = next(
        stop
        for seed in range(99)
        for stop in why(AbMctsA(), tree, draws(seed)).walk
        if stop.node == 0 and stop.children
    )
    assert len(stop.children) == MOST_ARMS
    assert stop.rest == 100 - MOST_ARMS
    assert stop.to in [arm.who for arm in stop.children]


def test_the_density_of_the_mixed_model_is_that_of_its_draws() -> None:
    groups = np.array([[3, 1.5, 1.0], [1, 1.0, 1.0]])
    rng = draws(3)
    drawn = np.array([draw_arms(rng, groups) for _ in range(2000)])
    at = np.linspace(-2, 3, 501)
    for place, density in enumerate(arm_densities(groups, range(3), at)):
        step = at[1] - at[0]
        assert density.sum() * step == pytest.approx(1, abs=1e-3)
        for value in (0.25, 0.5, 0.75):
            below = density[at <= value].sum() * step
            assert (drawn[:, place] <= value).mean() == pytest.approx(below, abs=0.04)


def test_a_mixed_model_is_told_by_the_curves_of_its_arms() -> None:
    tree = SearchTree(n_agents=2)
    tree.add(0, 0, 0.5)
    (stop, *_) = why(AbMctsM(), tree, draws(0)).walk
    assert stop.gen is not None and stop.cont is None
    assert [len(arm.law) for arm in (stop.gen, *stop.children)] == [1 + len(CURVE)] * 2


def test_a_selector_of_others_is_told_by_its_choice_alone() -> None:
    class Mine(AbMctsA):
        def select(self, tree: SearchTree, rng: np.random.Generator, pending: object = ()) -> Choice:
            rng.beta(1, 1)
            return Choice(0, 0)

    assert why(Mine(), SearchTree(n_agents=1), draws(0)) == Why(Choice(0, 0))
