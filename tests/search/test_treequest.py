"""Our selectors choose as TreeQuest 0.3.3 does: by the same frequencies, and step by step where no dice fall.

What TreeQuest chose is recorded in `treequest.json` and, by NUTS, in `treequest_m.json`; the benchmarks
`mars2_bench.peers.treequest_record` and `treequest_record_m` made them.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import problem

from mars2_env import Episode, Rules, Verdict
from mars2_env.episode.events import Asked, Told
from mars2_env.search import AbMctsA, AbMctsM, Mars2, SearchTree, Selector, make_selector

RECORD = json.loads(Path(__file__).with_name("treequest.json").read_text())
MIXED = json.loads(Path(__file__).with_name("treequest_m.json").read_text())
DRAWS = 4000
ASKS = 2000
LIMIT = 4.2
"""Standard deviations: passed by chance with p = 1.3e-5 a case, 0.2 % in all the cases here (Bonferroni)."""


def tree_of(case: dict[str, Any]) -> SearchTree:
    tree = SearchTree(case["agents"])
    for parent, agent, score in case["tree"]:
        tree.add(parent, agent, score)
    return tree


def surprise(ours: Counter[tuple[int, int]], theirs: Counter[tuple[int, int]]) -> float:
    """Return how many standard deviations the two-sample chi-square lies above what equal laws give.

    Rare outcomes (fewer than 8 expected) are pooled; the chi-square is made normal by Wilson and Hilferty's cube root.
    """
    n, m = ours.total(), theirs.total()
    cells: list[tuple[float, float]] = []
    rare = (0.0, 0.0)
    for key in {*ours, *theirs}:
        a, b = float(ours[key]), float(theirs[key])
        if (a + b) * n / (n + m) < 8:
            rare = (rare[0] + a, rare[1] + b)
        else:
            cells.append((a, b))
    if sum(rare):
        cells.append(rare)
    freedom = len(cells) - 1
    if freedom == 0:
        return 0.0
    chi_square = sum((a * math.sqrt(m / n) - b * math.sqrt(n / m)) ** 2 / (a + b) for a, b in cells)
    return float(((chi_square / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom)))


def drawn(selector: Selector, tree: SearchTree, seed: int, draws: int = DRAWS) -> Counter[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    return Counter((parent, agent) for parent, agent in (selector.select(tree, rng) for _ in range(draws)))


def name_of(case: dict[str, Any]) -> str:
    return "-".join([case["name"], case["posterior"], case["choice"], *(["priors"] if case["priors"] else [])])


@pytest.mark.parametrize("draws", [DRAWS, pytest.param(20_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", range(len(RECORD["cases"])), ids=lambda number: name_of(RECORD["cases"][number]))
def test_ab_mcts_a_chooses_as_treequest_does(number: int, draws: int) -> None:
    case = RECORD["cases"][number]
    selector = AbMctsA(case["posterior"], agents=case["choice"], priors=tuple(case["priors"]))
    theirs = Counter({(node, agent): count for node, agent, count in case["counts"]})
    assert surprise(drawn(selector, tree_of(case), number, draws), theirs) < LIMIT


def asked(case: dict[str, Any], selector: Selector, seed: int) -> Counter[tuple[int, int]]:
    """Choices of an episode that has the case's tree, each taken back after it was asked."""
    agents = [f"agent_{number}" for number in range(case["agents"])]
    episode = Episode(problem(1).public_view(), agents, selector, 10**6, seed, rules=Rules(score="fraction"))
    for number, (parent, agent, score) in enumerate(case["tree"]):
        episode.apply(Asked(number, agents[agent], parent, 0))
        episode.apply(Told(number, number + 1, parent, score, Verdict(settled="no_program"), f"reply {number}"))
    found: Counter[tuple[int, int]] = Counter()
    for _ in range(ASKS):
        turn = episode.ask()
        assert turn.parent is not None
        found[turn.parent, agents.index(turn.agent)] += 1
        episode.cancel(turn)
    return found


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, id=name_of(case), marks=() if case["name"] in ("small", "wide") else pytest.mark.slow)
        for number, case in enumerate(RECORD["cases"])
    ],
)
def test_an_episode_asks_as_treequest_chooses(number: int) -> None:
    case = RECORD["cases"][number]
    selector = AbMctsA(case["posterior"], agents=case["choice"], priors=tuple(case["priors"]))
    theirs = Counter({(node, agent): count for node, agent, count in case["counts"]})
    assert surprise(asked(case, selector, number), theirs) < LIMIT


@pytest.mark.parametrize("posterior", ["beta", "gaussian"])
def test_mars2_chooses_by_the_law_of_ab_mcts_a_with_thompson(posterior: str) -> None:
    case = next(
        c for c in RECORD["cases"] if (c["name"], c["posterior"], c["choice"]) == ("small", posterior, "thompson")
    )
    theirs = Counter({(node, agent): count for node, agent, count in case["counts"]})
    assert surprise(drawn(Mars2(posterior), tree_of(case), 1), theirs) < LIMIT


@pytest.mark.parametrize("draws", [2000, pytest.param(20_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", MIXED["cases"], ids=lambda case: case["name"])
def test_ab_mcts_m_on_a_grid_chooses_as_treequest_does_by_nuts(case: dict[str, Any], draws: int) -> None:
    # TreeQuest 0.3.3 takes every agent for an untried one (docs/search.md): the nodes are what can be compared.
    theirs: Counter[int] = Counter()
    errors: Counter[int] = Counter()
    for node, _, p, error in case["choices"]:
        theirs[node] += p
        errors[node] += error
    ours: Counter[int] = Counter()
    for (node, _), count in drawn(AbMctsM(), tree_of(case), 0, draws).items():
        ours[node] += count
    assert set(ours) <= set(theirs)
    # Each probability of theirs has a standard error from a few repeats; pooled over a case it is a fair one.
    pooled = math.sqrt(sum(error**2 for error in errors.values()) / len(errors))
    for node, p in theirs.items():
        assert abs(ours[node] / draws - p) < LIMIT * math.sqrt(p * (1 - p) / draws + pooled**2)


def test_the_comparison_tells_two_laws_apart() -> None:
    by_choice = {c["choice"]: c for c in RECORD["cases"] if (c["name"], c["posterior"]) == ("fractions", "beta")}
    theirs = Counter({(node, agent): count for node, agent, count in by_choice["stack"]["counts"]})
    assert surprise(drawn(AbMctsA(agents="thompson"), tree_of(by_choice["stack"]), 0), theirs) > 10


@pytest.mark.parametrize("run", RECORD["runs"], ids=lambda run: f"{run['selector']}-{run['agents']}")
def test_searches_without_dice_go_step_by_step_as_treequests(run: dict[str, Any]) -> None:
    selector = make_selector(run["selector"], **run["options"])
    tree, rng = SearchTree(run["agents"]), np.random.default_rng(0)
    steps = run["steps"]
    if run["selector"] == "breadth_first":
        # TreeQuest gives the root one child, whatever the size (a fault): that child is our root
        steps = [(parent - 1, agent, score) for parent, agent, score in steps[1:]]
    for parent, agent, score in steps:
        assert selector.select(tree, rng) == (parent, agent)
        tree.add(parent, agent, score)
