"""Selectors follow their published laws."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from mars2_env import ConfigError
from mars2_env.search import (
    AbMctsA,
    Beta,
    Choice,
    Gaussian,
    Guidance,
    Mars2,
    Posterior,
    RepeatedSampling,
    SearchTree,
    Selector,
    descend,
    make_selector,
    selector_config,
)
from mars2_env.search.posteriors import FEW, posterior_draws
from mars2_env.search.tree import EVERYONE


def small_tree() -> SearchTree:
    """Root with two children; the first has two children of its own."""
    tree = SearchTree(2)
    first = tree.add(0, 0, 1.0)
    tree.add(0, 1, 0.0)
    tree.add(first, 1, 1.0)
    tree.add(first, 0, 0.0)
    return tree


def chi_square(counts: Counter[Choice], expected: dict[Choice, float], draws: int) -> float:
    return sum((counts[key] - draws * p) ** 2 / (draws * p) for key, p in expected.items())


def beta_larger(a: tuple[float, float], b: tuple[float, float]) -> float:
    """P(X > Y) for X ~ Beta(a), Y ~ Beta(b), by integrating on a fine grid (an independent computation)."""
    u = (np.arange(200_000) + 0.5) / 200_000
    x = np.sin(math.pi * u / 2) ** 2  # Beta(1/2, 1/2) quantiles, so that the ends are resolved
    log_density = [
        (p - 0.5) * np.log(x) + (q - 0.5) * np.log1p(-x) + math.lgamma(p + q) - math.lgamma(p) - math.lgamma(q)
        for p, q in (a, b)
    ]
    weights = [np.exp(density) * math.pi for density in log_density]
    below = np.cumsum(weights[1]) / weights[1].sum()
    return float((weights[0] * below).sum() / weights[0].sum())


def test_ab_mcts_a_beta_chooses_node_and_agent_by_its_law() -> None:
    tree = small_tree()
    half = 0.5
    # scores: root's children 1, 0; node 1's children 1, 0; subtree of node 1: 1, 1, 0
    generate_at_root = beta_larger((half + 1, half + 1), (half + 1, half + 1))
    generate_at_first = beta_larger((half + 1, half + 1), (half, half))
    to_first = beta_larger((half + 2, half + 1), (half, half + 1))
    third_over_fourth = beta_larger((half + 1, half), (half, half + 1))
    node = {
        0: generate_at_root,
        2: (1 - generate_at_root) * (1 - to_first),
        1: (1 - generate_at_root) * to_first * generate_at_first,
        3: (1 - generate_at_root) * to_first * (1 - generate_at_first) * third_over_fourth,
        4: (1 - generate_at_root) * to_first * (1 - generate_at_first) * (1 - third_over_fourth),
    }
    agent = {0: half, 1: half}  # both wrote one 1 and one 0
    expected = {Choice(n, a): p * q for n, p in node.items() for a, q in agent.items()}
    assert math.isclose(sum(expected.values()), 1.0)
    rng = np.random.default_rng(7)
    draws = 8000
    counts = Counter(AbMctsA().select(tree, rng) for _ in range(draws))
    assert set(counts) <= set(expected)
    assert chi_square(counts, expected, draws) < 33.7  # 9 degrees of freedom, p = 0.0001


def test_an_agent_that_scores_better_is_drawn_more_often() -> None:
    tree = SearchTree(2)
    for _ in range(5):
        tree.add(0, 0, 1.0)
        tree.add(0, 1, 0.0)
    rng = np.random.default_rng(0)
    counts = Counter(AbMctsA().select(tree, rng).agent for _ in range(500))
    expected = beta_larger((5.5, 0.5), (0.5, 5.5))
    assert abs(counts[0] / 500 - expected) < 0.05


def test_the_gaussian_posterior_has_the_published_mean_and_spread() -> None:
    scores = np.array([0.2, 0.4, 0.9, 0.9])
    n, total, squares = len(scores), scores.sum(), (scores**2).sum()
    draws = Gaussian().draw(np.random.default_rng(0), *np.tile([[n], [total], [squares]], 200_000))
    k, v, mean = 1 + n, 1 + n, total / (1 + n)
    t = (0.1 + ((scores - scores.mean()) ** 2).sum() + n * scores.mean() ** 2 / k) / v
    assert abs(draws.mean() - mean) < 0.005
    assert abs(draws.var() / (t / k * v / (v - 2)) - 1) < 0.05


def test_the_beta_posterior_without_scores_is_its_prior() -> None:
    draws = Beta().draw(np.random.default_rng(0), *np.zeros((3, 200_000)))
    assert abs(draws.mean() - 0.5) < 0.005
    assert abs(draws.var() - 1 / 8) < 0.002


def test_an_empty_tree_expands_the_root() -> None:
    assert AbMctsA().select(SearchTree(3), np.random.default_rng(0)).parent == 0


def test_repeated_sampling_expands_the_root_with_agents_in_turn() -> None:
    tree, rng = SearchTree(3), np.random.default_rng(0)
    seen = []
    for _ in range(4):
        choice = RepeatedSampling().select(tree, rng)
        seen.append(choice)
        tree.add(*choice, 0.0)
    assert seen == [(0, 0), (0, 1), (0, 2), (0, 0)]
    assert RepeatedSampling().select(tree, rng, pending=(Choice(0, 1),)) == (0, 2)


def test_selectors_are_made_by_name_and_described() -> None:
    made = make_selector("ab_mcts_a", posterior="gaussian")
    assert made == AbMctsA("gaussian")
    assert make_selector(**selector_config(made)) == made


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ab_mtcs_a", {}, "Did you mean 'ab_mcts_a'"),
        ("ab_mcts_a", {"posterior": "gamma"}, "gamma"),
        ("ab_mcts_a", {"postrior": "beta"}, "Did you mean 'posterior'"),
    ],
)
def test_unknown_selectors_and_options_are_named(name: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_selector(name, **options)


@pytest.mark.parametrize("family", [Beta(), Beta(0.2, 0.8), Gaussian(), Gaussian(m0=0.3)])
def test_drawing_for_many_and_one_by_one_is_the_same(family: Posterior) -> None:
    tree = SearchTree(1)
    for score in (0.0, 0.3, 1.0, 0.25) * 10:
        tree.add(0 if len(tree) < 24 else len(tree) - 20, 0, score)
    triples = tree.child_triples(0)
    assert len(triples) > FEW
    one_by_one = [family.draw(rng, *row) for rng in [np.random.default_rng(3)] for row in triples.tolist()]
    together = posterior_draws(np.random.default_rng(3), family, triples)
    np.testing.assert_allclose(together, one_by_one, rtol=1e-12)
    few = posterior_draws(np.random.default_rng(3), family, triples[:FEW])
    np.testing.assert_allclose(few, one_by_one[:FEW], rtol=1e-12)


def test_an_agent_of_its_own_posteriors_sees_only_its_own_nodes() -> None:
    """Agent 0 did well below the first child and agent 1 below the second; everyone's scores together are equal."""
    tree = SearchTree(2)
    first, second = tree.add(0, 0, 0.5), tree.add(0, 0, 0.5)
    for _ in range(6):
        for child, good in ((first, 0), (second, 1)):
            tree.add(child, good, 1.0)
            tree.add(child, 1 - good, 0.0)
    rng = np.random.default_rng(0)

    def share_in_first(whose: int) -> float:
        chosen = Counter(descend(tree, rng, Beta(), whose=whose) for _ in range(2000))
        below = {child: {child, *tree.children(child)} for child in (first, second)}
        inside = {child: sum(chosen[node] for node in nodes) for child, nodes in below.items()}
        return inside[first] / (inside[first] + inside[second])

    good, bad = (0.5 + 6.5, 0.5 + 0.5), (0.5 + 0.5, 0.5 + 6.5)
    assert abs(share_in_first(0) - beta_larger(good, bad)) < 0.03
    assert share_in_first(1) < 0.05
    assert abs(share_in_first(EVERYONE) - 0.5) < 0.05


def test_with_posteriors_of_its_own_the_drawn_agent_walks_by_its_own_nodes() -> None:
    tree = SearchTree(2)
    first = tree.add(0, 0, 1.0)
    second = tree.add(0, 1, 1.0)
    for _ in range(8):
        tree.add(first, 0, 1.0)
        tree.add(second, 1, 1.0)
    rng = np.random.default_rng(0)
    seen = Counter(Mars2(per_agent=True).select(tree, rng) for _ in range(600))
    at = {agent: Counter({node: n for (node, by), n in seen.items() if by == agent}) for agent in (0, 1)}
    assert at[0][first] > 2 * at[0][second]
    assert at[1][second] > 2 * at[1][first]


@pytest.mark.parametrize(
    "name",
    [
        "ab_mcts_a",
        "ab_mcts_a,posterior=gaussian",
        "ab_mcts_a,agents=ucb",
        "mars2",
        "ab_mcts_a,agents=stack",
        "ab_mcts_m",
        "mars2,per_agent=true",
    ],
)
def test_depth_guidance_makes_every_thompson_selector_go_deeper(name: str) -> None:
    tree = SearchTree(1)
    for number in range(14):
        tree.add(0, 0, 0.5 + 0.01 * number)
    for parent in range(1, 5):
        tree.add(parent, 0, 0.5)

    def fresh(selector: Selector) -> float:
        rng = np.random.default_rng(1)
        return sum(selector.select(tree, rng).parent == 0 for _ in range(500)) / 500

    strong = Guidance(gamma=0.8)
    assert fresh(make_selector(name, guidance=strong)) < 0.7 * fresh(make_selector(name))
    assert fresh(make_selector(name, guidance=Guidance(gamma=1.0, decay=1.0))) == fresh(make_selector(name))
