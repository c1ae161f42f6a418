"""Properties of the online rewards, over random trees with illegal turns and copies among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import problem

from mars2_env import Episode, Reply, Rules, Verdict
from mars2_env.rewards import Ledger, best_without, differences, paid, progress, score
from mars2_env.search.tree import SearchTree
from mars2_env.types import Outcome

AGENTS = ("a_0", "b_0", "c_0")
STEPS = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=10)
"""(parent, which may not exist; how many of four tests pass; program, of which there are only a few)."""


def verdict(passed: int) -> Verdict:
    outcomes: tuple[Outcome, ...] = tuple("passed" if number < passed else "wrong_answer" for number in range(4))
    return Verdict(groups={"public": outcomes})


def played(steps: list[tuple[int, int, int]], kind: str, share: str, seed: int | None = None) -> Any:
    """Play the steps in turn and return the episode and what each agent got at each step."""
    given = problem(1).public_view()
    if seed is not None:
        given = replace(given, seed_program="given = 1")
    rules = Rules(game="play", score="fraction")
    episode = Episode(given, AGENTS, None, len(steps), 0, rules=rules)
    if seed is not None:
        episode.plant(verdict(seed))
    ledger = Ledger(kind, share, episode)
    got = []
    for parent, passed, program in steps:
        turn = episode.ask()
        node = episode.tell(turn, Reply(f"x = {program}", parent=parent), verdict(passed))
        got.append((turn.agent, node, ledger.expanded(turn.agent, node)))
    return episode, got


def total(got: Any, agent: str) -> float:
    return float(sum(paid[agent] for _, _, paid in got))


@given(STEPS, st.none() | st.integers(0, 4))
def test_progress_telescopes_to_what_the_best_score_rose_by(steps: Any, seed: int | None) -> None:
    episode, got = played(steps, "progress", "own", seed)
    start = 0.0 if seed is None else seed / 4
    assert sum(total(got, agent) for agent in AGENTS) == episode.best_score - start
    assert all(reward >= 0 for _, _, paid in got for reward in paid.values())
    assert all(paid[agent] == 0 for actor, _, paid in got for agent in AGENTS if agent != actor)


@given(STEPS)
def test_a_team_gets_what_its_members_would(steps: Any) -> None:
    for kind in ("progress", "score"):
        _, own = played(steps, kind, "own")
        _, team = played(steps, kind, "team")
        for agent in AGENTS:
            assert total(team, agent) == sum(total(own, member) for member in AGENTS)


@given(STEPS)
def test_score_pays_each_node_its_score_and_nothing_for_copies_and_illegal_turns(steps: Any) -> None:
    episode, got = played(steps, "score", "own")
    for actor, node, gained in got:
        assert gained[actor] == (0.0 if node is None or node.duplicate_of is not None else node.score)
    wanted = sum(node.score for node in episode.nodes if node.duplicate_of is None)
    assert sum(total(got, agent) for agent in AGENTS) == pytest.approx(wanted)


@given(STEPS, st.none() | st.integers(0, 4))
def test_differences_telescope_to_what_the_best_score_owes_to_each_agent(steps: Any, seed: int | None) -> None:
    episode, got = played(steps, "difference", "own", seed)
    final = differences(episode.tree)
    for index, agent in enumerate(AGENTS):
        assert total(got, agent) == pytest.approx(final[index])
        assert 0.0 <= final[index] <= episode.best_score
        if not any(node.agent == agent for node in episode.nodes):
            assert all(paid[agent] == 0.0 for _, _, paid in got)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.floats(0, 1)), min_size=1, max_size=10))
def test_best_without_an_agent_is_that_of_the_tree_with_its_nodes_cut_off(rows: Any) -> None:
    tree = SearchTree(3)
    for parent, agent, value in rows:
        tree.add(parent % len(tree), agent, value)
    found = best_without(tree.parent.tolist(), tree.agent.tolist(), tree.score.tolist(), 3)
    for agent in range(3):
        kept = {0}
        for node in range(1, len(tree)):
            if int(tree.parent[node]) in kept and tree.agent[node] != agent:
                kept.add(node)
        assert found[agent] == max(float(tree.score[node]) for node in kept)


def test_an_agent_that_only_builds_on_another_owes_it_everything() -> None:
    tree = SearchTree(2)
    tree.add(0, 0, 0.0)  # the first agent's useless program ...
    tree.add(1, 1, 1.0)  # ... which the second makes right
    assert differences(tree) == [1.0, 1.0]
    tree.add(0, 0, 1.0)  # the first solves it alone as well
    assert differences(tree) == [1.0, 0.0]


def test_the_formulas() -> None:
    assert progress(0.25, 0.75) == 0.5
    assert score(None) == 0.0
    assert paid(["a_0", "b_0"], "a_0", 0.5, "own") == {"a_0": 0.5, "b_0": 0.0}
    assert paid(["a_0", "b_0"], "a_0", 0.5, "team") == {"a_0": 0.5, "b_0": 0.5}
