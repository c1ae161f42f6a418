"""An episode is exact: its statistics are those of its nodes, and from any event it goes on to the same bits."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import Guesser, problem

from mars2_env import Budget, Episode, Rules, Usage, Verdict
from mars2_env.base.keys import seed as key_seed
from mars2_env.episode import Snapshot
from mars2_env.episode.events import Event
from mars2_env.log import decode_event, encode_event
from mars2_env.search import SELECTORS, AbMctsA, make_selector
from mars2_env.search.tree import SearchTree

POLICY = Guesser(choices=9)
ACTS = ("ask", "ask", "ask", "tell", "tell", "tell_newest", "fail", "cancel", "join", "leave")
NAMES = ("a_0", "b_0", "c_0", "d_0")
STEPS = 70


def begun(
    selector: str | None = "ab_mcts_a", on_event: Callable[[Event], None] | None = None, seed: int = 0, **rules: Any
) -> Episode:
    budget = Budget(24, tokens=400, agents={"b_0": Budget(9)})
    made = Rules(game="write" if selector else "play", score="fraction", max_faults=99, model_weight=0.5, **rules)
    chosen = None if selector is None else make_selector(selector)
    return Episode(problem(1).public_view(), NAMES[:2], chosen, budget, seed, rules=made, on_event=on_event)


def eighths(name: str, reply: str) -> float:
    """A score whose sums and squares are exact in floating point, in any order; equal for equal programs."""
    return key_seed(name, reply) % 9 / 8


def act(episode: Episode, step: str) -> None:
    """Do one thing to an episode, if it can be done now; what comes of it depends on nothing but its state."""
    pending = list(episode.pending.values())
    present = episode.present
    match step:
        case "ask" if episode.can_ask:
            episode.ask()
        case "tell" | "tell_newest" if pending:
            turn = pending[-1 if step == "tell_newest" else 0]
            said = POLICY.reply(turn)
            verdict = episode.submit(turn, said).verdict or Verdict(groups={"public": ("wrong_answer", "passed")})
            scores = {name: eighths(name, said.text) for name in ("score", "model_score")}
            episode.tell(turn, said, verdict, usage=Usage(turn.seed % 30), **scores)
        case "fail" if pending:
            episode.fail(pending[0], "fault")
        case "cancel" if pending:
            episode.cancel(pending[-1])
        case "join" if not episode.done and len(present) < len(NAMES):
            name = next(name for name in NAMES if name not in present)
            episode.join(name, f"You are {name}.", budget="tokens=90" if name == "d_0" else None)
        case "leave" if not episode.done and len(present) > 1:
            episode.leave(present[0])
        case _:
            pass


def go_on(episode: Episode, events: list[Event], seed: int, last: int = STEPS) -> None:
    """Drive an episode by what its number of events says, so that a driver that begins anew does the same."""
    idle = 0
    while not episode.done and len(events) < last and idle < 50:
        before = len(events)
        act(episode, ACTS[key_seed("step", seed, before, idle) % len(ACTS)])
        idle = 0 if len(events) > before else idle + 1


def state_of(episode: Episode) -> dict[str, Any]:
    """Everything that an episode's future depends on."""
    tree = episode.tree
    return {
        "nodes": list(episode.nodes),
        "pending": dict(episode.pending),
        "ended": (episode.ended, episode.end_detail),
        "stats": tree.stats.tolist(),
        "agents": tree.agent_stats.tolist(),
        "places": (tree.parent.tolist(), tree.agent.tolist(), tree.score.tolist()),
        "roles": dict(episode.roles),
        "spent": (episode.spent, episode.usage, episode.stale, episode.solved, episode.best_score),
        "may_ask": {agent: episode.may_ask(agent) for agent in episode.agents},
    }


def triples_from_scratch(tree: SearchTree) -> tuple[list[Any], list[Any]]:
    """The triples by their definition, from nothing but parents, authors and values of the nodes."""
    size = len(tree)
    ancestors: list[list[int]] = [[]]
    for node in range(1, size):
        parent = int(tree.parent[node])
        ancestors.append([parent, *ancestors[parent]])
    values = tree.score.tolist()

    def triple(nodes: list[int]) -> list[float]:
        return [float(len(nodes)), sum(values[node] for node in nodes), sum(values[node] ** 2 for node in nodes)]

    rows = []
    for node in range(size):
        children = [other for other in range(1, size) if ancestors[other][0] == node]
        below = [other for other in range(1, size) if node in ancestors[other][1:]]
        own = [node] if node else []
        rows.append([triple(children), triple(below), triple(own + children + below)])
    authors = [triple([n for n in range(1, size) if tree.agent[n] == a]) for a in range(tree.n_agents)]
    return rows, authors


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(ACTS), max_size=60), st.sampled_from(["ab_mcts_a", "ab_mcts_a,pending=none", None]))
def test_after_any_interleaving_the_statistics_are_those_of_the_nodes(steps: list[str], selector: str | None) -> None:
    grown = begun(selector)
    for step in steps:
        act(grown, step)
    values = [(node.score + (node.score if node.model_score is None else node.model_score)) / 2 for node in grown.nodes]
    assert grown.tree.score[1:].tolist() == values
    for turn in list(grown.pending.values()):
        grown.cancel(turn)
    stats, agents = triples_from_scratch(grown.tree)
    assert grown.tree.stats.tolist() == stats
    assert grown.tree.agent_stats.tolist() == agents


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(ACTS), max_size=40))
def test_what_is_in_flight_counts_as_its_pending_scores(steps: list[str]) -> None:
    events: list[Event] = []
    grown = begun(on_event=events.append)
    for step in steps:
        act(grown, step)
    in_flight = SearchTree(grown.tree.n_agents)
    stands_for = {event.turn: event.pending for event in events if hasattr(event, "pending")}
    for node in grown.nodes:
        in_flight.add(node.parent, grown.agents.index(node.agent), float(grown.tree.score[node.id]))
    for turn in grown.pending.values():
        assert turn.parent is not None
        in_flight.add(turn.parent, grown.agents.index(turn.agent), stands_for[turn.id] or 0.0)
    size = len(grown.tree)
    np.testing.assert_allclose(grown.tree.stats, in_flight.stats[:size], rtol=0, atol=1e-12)
    np.testing.assert_allclose(grown.tree.agent_stats, in_flight.agent_stats, rtol=0, atol=1e-12)


@pytest.mark.parametrize("selector", [*sorted(SELECTORS), "ab_mcts_a,agents=stack", "ab_mcts_a,agents=ucb", None])
def test_from_any_event_of_a_log_an_episode_goes_on_to_the_same_bits(selector: str | None) -> None:
    whole: list[Event] = []
    grown = begun(selector, whole.append, seed=3)
    go_on(grown, whole, 5)
    lines = [encode_event(event) for event in whole]
    assert len(whole) > 50
    for cut in range(0, len(whole), 3):
        events = [decode_event(line) for line in lines[:cut]]
        again = begun(selector, events.append, seed=3)
        for event in list(events):
            again.apply(event)
        again.settle()
        go_on(again, events, 5)
        assert [encode_event(event) for event in events] == lines
        assert state_of(again) == state_of(grown)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.sampled_from(["ab_mcts_a", "mars2,posterior=gaussian", None]))
def test_any_run_goes_on_from_any_of_its_events(seed: int, share: float, selector: str | None) -> None:
    whole: list[Event] = []
    rules = {"patience": 9, "stop_on_solved": 2}
    grown = begun(selector, whole.append, seed, **rules)
    go_on(grown, whole, seed)
    events = whole[: int(share * len(whole))]
    again = begun(selector, events.append, seed, **rules)
    for event in list(events):
        again.apply(event)
    again.settle()
    go_on(again, events, seed)
    assert events == whole
    assert state_of(again) == state_of(grown)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, STEPS), st.sampled_from(["ab_mcts_a", "uct", None]))
def test_a_restored_snapshot_goes_on_to_the_same_bits_and_touches_nothing_else(
    seed: int, moment: int, selector: str | None
) -> None:
    before: list[Event] = []
    grown = begun(selector, before.append, seed)
    go_on(grown, before, seed, moment)
    at_moment = state_of(grown)
    snapshot = grown.snapshot()
    kept = pickle.loads(pickle.dumps(snapshot))
    first = list(before)
    go_on(Episode.restore(snapshot, first.append), first, seed)
    assert state_of(grown) == at_moment  # the original has not moved
    go_on(grown, before, seed)
    assert before == first
    for one in (snapshot, kept):  # nor has the snapshot, by either of them
        assert isinstance(one, Snapshot)
        assert state_of(Episode.restore(one)) == at_moment


def test_a_restored_play_turn_fills_in_its_place_from_its_own_tree() -> None:
    grown = begun(None)
    for step in ("ask", "tell", "ask"):
        act(grown, step)
    restored = Episode.restore(grown.snapshot())
    (turn,) = restored.pending.values()
    act(grown, "tell")
    placed = turn.at(1)
    assert placed.program == restored.node(1).program
    assert [len(grown.nodes), len(restored.nodes), turn.parents] == [2, 1, (0, 1)]


def test_a_snapshot_shares_with_the_episode_what_cannot_change() -> None:
    grown = Episode(problem(1).public_view(), ["a_0"], AbMctsA(), 30, 0)
    while not grown.done:
        act(grown, "ask")
        act(grown, "tell")
    restored = Episode.restore(grown.snapshot())
    assert restored.nodes is not grown.nodes
    assert all(one is other for one, other in zip(restored.nodes, grown.nodes, strict=True))
