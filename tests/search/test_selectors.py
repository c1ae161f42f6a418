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
    RepeatedSampling,
    SearchTree,
    make_selector,
    selector_config,
)


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
