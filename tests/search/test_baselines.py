"""The plain searches, each by a run that a reader can follow, and the options of AB-MCTS."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mars2_env import ConfigError
from mars2_env.search import (
    SELECTORS,
    AbMctsA,
    AbMctsM,
    Beta,
    BreadthFirst,
    Choice,
    Guidance,
    Random,
    RepeatedSampling,
    Schedule,
    SearchTree,
    SequentialRefinement,
    descend,
    make_selector,
    selector_config,
    ucb_agent,
)
from mars2_env.search.ab_mcts_m import draw_arms

RNG = np.random.default_rng


def grown(*nodes: tuple[int, int, float], agents: int = 2) -> SearchTree:
    tree = SearchTree(agents)
    for parent, agent, score in nodes:
        tree.add(parent, agent, score)
    return tree


def play(selector: object, scores: list[float], agents: int = 1) -> list[tuple[int, int]]:
    tree, steps = SearchTree(agents), []
    for score in scores:
        choice = selector.select(tree, RNG(0))  # type: ignore[attr-defined]
        steps.append(tuple(choice))
        tree.add(*choice, score)
    return steps


def test_breadth_first_expands_the_best_of_each_level() -> None:
    steps = play(BreadthFirst(breadth=2, size=3), [0.1, 0.9, 0.5, *[0.0] * 3, *[0.2] * 3, 0.7], agents=1)
    assert [parent for parent, _ in steps] == [0, 0, 0, 2, 2, 2, 3, 3, 3, 7]


def test_breadth_first_shares_a_nodes_children_out_among_agents() -> None:
    steps = play(BreadthFirst(breadth=1, size=4), [0.1, 0.9, 0.5, 0.3, 0, 0, 0, 0], agents=2)
    assert steps == [(0, 0), (0, 0), (0, 1), (0, 1), (2, 0), (2, 0), (2, 1), (2, 1)]


def test_sequential_refinement_is_one_chain_with_agents_in_turn() -> None:
    assert play(SequentialRefinement(), [0.0] * 4, agents=2) == [(0, 0), (1, 1), (2, 0), (3, 1)]


def test_a_schedule_is_followed_whatever_comes_out() -> None:
    plan = Schedule(steps=((0, 1), (1, 0), (1, 1)))
    assert play(plan, [0.0, 1.0, 0.5, 0.1], agents=2) == [(0, 1), (1, 0), (1, 1), (0, 1)]
    with pytest.raises(ConfigError, match="agent 3"):
        play(Schedule(steps=((0, 3),)), [0.0], agents=2)


def test_random_reaches_every_node_and_agent() -> None:
    tree, rng = grown((0, 0, 0.0), (1, 1, 0.0)), RNG(0)
    seen = Counter(Random().select(tree, rng) for _ in range(600))
    assert set(seen) == {(node, agent) for node in range(3) for agent in range(2)}
    assert min(seen.values()) > 60


def test_a_bandit_at_the_root_favours_the_better_agent() -> None:
    tree = grown(*[(0, agent, float(agent)) for agent in (0, 1) * 4])
    rng, bandit = RNG(0), RepeatedSampling(agents="thompson")
    seen = Counter(bandit.select(tree, rng) for _ in range(200))
    assert seen[Choice(0, 1)] > 150
    assert {parent for parent, _ in seen} == {0}


def test_ucb_tries_every_agent_first_and_then_weighs_mean_and_doubt() -> None:
    assert ucb_agent(np.array([[2, 1, 1], [0, 0, 0], [0, 0, 0]], float)) == 1
    triples = np.array([[8, 4, 4], [2, 1, 1]], float)  # equal means: the one tried less
    assert ucb_agent(triples) == 1
    n, total = triples[:, 0], triples[:, 1]
    assert ucb_agent(np.array([[50, 45, 45], [50, 5, 5]], float)) == 0
    assert math.isclose(
        float(np.max(total / n + math.sqrt(2) * np.sqrt(math.log(10) / n))), 0.5 + math.sqrt(math.log(10))
    )


def test_depth_guidance_makes_each_further_child_at_a_depth_less_likely() -> None:
    wide = grown(*[(0, 0, 0.5)] * 12, (1, 0, 0.5), (1, 0, 0.5))

    def fresh(guidance: Guidance | None) -> float:
        rng = RNG(1)
        return sum(descend(wide, rng, Beta(), guidance) == 0 for _ in range(1500)) / 1500

    assert fresh(Guidance(gamma=0.9)) < fresh(Guidance()) < fresh(None)
    assert abs(fresh(Guidance(gamma=1.0, decay=1.0)) - fresh(None)) < 1e-12


def test_depth_guidance_has_the_documented_weights() -> None:
    guidance = Guidance(gamma=0.98, decay=0.95)
    assert math.isclose(guidance.log_weight(0, 3), 3 * math.log(0.98))
    assert math.isclose(guidance.log_weight(2, 4), 4 * math.log(0.98 * 0.95**2))
    tree = grown((0, 0, 0.5), (0, 0, 0.5))
    assert math.isclose(guidance.weigh(0.6, None, tree, 0), 0.6 * 0.98**2)
    assert math.isclose(guidance.weigh(-0.1, 0.3, tree, 0), -0.1 + 0.3 * 2 * math.log(0.98))


def test_ab_mcts_m_draws_agree_with_a_brute_force_posterior() -> None:
    groups = np.array([[3.0, 2.4, 1.98], [1.0, 0.1, 0.01]])
    scores = [np.array([0.9, 0.9, 0.6]), np.array([0.1])]
    assert math.isclose(sum(scores[0] ** 2), 1.98)
    rng = RNG(0)
    # importance sampling from the prior: an independent computation of P(argmax)
    count = 400_000
    s_a = np.abs(rng.normal(0, 0.2, count))
    s_y = np.maximum(np.abs(rng.normal(0, 0.3, count)), 0.01)
    mu = rng.normal(0.5, 0.2, count)
    alpha = mu[:, None] + s_a[:, None] * rng.normal(size=(count, 3))
    log_weight = np.zeros(count)
    for group, y in enumerate(scores):
        log_weight += (-((y - alpha[:, [group]]) ** 2) / (2 * s_y[:, None] ** 2) - np.log(s_y[:, None])).sum(axis=1)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    y = alpha + s_y[:, None] * rng.normal(size=(count, 3))
    draws = np.stack([draw_arms(rng, groups) for _ in range(6000)])
    for arm in range(3):  # the arms' marginal laws: mean and spread
        mean = float((weight * y[:, arm]).sum())
        spread = math.sqrt(float((weight * (y[:, arm] - mean) ** 2).sum()))
        assert abs(draws[:, arm].mean() - mean) < 0.02
        assert abs(draws[:, arm].std() - spread) < 0.02


def test_ab_mcts_m_goes_into_a_child_that_does_well() -> None:
    tree, rng = grown(*[(0, 0, 1.0)], *[(1, 0, 1.0)] * 6, *[(0, 1, 0.0)] * 3), RNG(0)
    seen = Counter(AbMctsM().select(tree, rng).parent for _ in range(300))
    assert seen[0] < 150
    equal = grown(*[(0, 0, 0.5)] * 5)
    assert all(0 <= AbMctsM().select(equal, rng).parent <= 5 for _ in range(50))


steps = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 2), st.sampled_from([0.0, 0.3, 0.5, 1.0])), max_size=25
)
flights = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 2)), max_size=5)


@settings(max_examples=60, deadline=None)
@given(steps, flights, st.sampled_from(sorted(SELECTORS)), st.integers(0, 99))
def test_every_selector_chooses_a_node_and_an_agent_of_any_tree(
    nodes: list[tuple[int, int, float]], flights: list[tuple[int, int]], name: str, seed: int
) -> None:
    tree = SearchTree(3)
    for place, agent, score in nodes:
        tree.add(place % len(tree), agent, score)
    pending = tuple(Choice(place % len(tree), agent) for place, agent in flights)
    selector = make_selector(name)
    choice = selector.select(tree, RNG(seed), pending)
    assert 0 <= choice.parent < len(tree)
    assert 0 <= choice.agent < 3
    assert choice == selector.select(tree, RNG(seed), pending)


@pytest.mark.parametrize(
    "text",
    [
        "ab_mcts_a,posterior=gaussian,agents=ucb,guidance=default",
        "ab_mcts_a,priors=0.2/0.8",
        "ab_mcts_a,agents=stack,guidance=default",
        "ab_mcts_m,guidance=default,pending=loss",
        "mars2,per_agent=true,guidance=default",
        "uct,samples=3,weight=1.0",
        "breadth_first,breadth=2,size=4",
        "repeated_sampling,agents=thompson",
        "schedule",
        *sorted(SELECTORS),
    ],
)
def test_a_selector_is_made_again_from_its_configuration(text: str) -> None:
    made = make_selector(text)
    assert make_selector(**selector_config(made)) == made


@pytest.mark.parametrize(
    "text",
    [
        "ab_mcts_a,agents=dice",
        "ab_mcts_a,priors=0.2/1.8",
        "ab_mcts_m,pending=half",
        "mars2,per_agent=perhaps",
        "uct,samples=0",
        "uct,samples=two",
        "breadth_first,size=-1",
        "repeated_sampling,agents=all",
        "schedule,steps=",
    ],
)
def test_options_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        make_selector(text).select(grown((0, 0, 0.5)), RNG(0))


def test_priors_must_fit_the_agents() -> None:
    with pytest.raises(ConfigError, match="one for each of the 2"):
        AbMctsA(priors=(0.5,)).select(grown((0, 0, 0.5)), RNG(0))
