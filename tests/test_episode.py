"""An episode: who is asked, what a reply comes to, and what every event does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import Guesser, problem

from mars2_env import Episode, EpisodeError, Feedback, Reply, Rules, Turn, Verdict
from mars2_env.episode import Asked, Ended, Event, Failed, Told
from mars2_env.errors import ConfigError
from mars2_env.search import AbMctsA, RepeatedSampling
from mars2_env.search.ab_mcts import PendingMode

PASSED = Verdict(groups={"public": ("passed", "passed")})
FAILED = Verdict(
    groups={"public": ("wrong_answer", "not_run")}, feedback=Feedback("wrong_answer", test=0, input="first")
)


def episode(
    budget: int = 6, *, game: str = "write", agents: Any = ("a_0", "b_0"), seed: int = 0, **rules: Any
) -> Episode:
    made = Rules(game=game, **rules)  # type: ignore[arg-type]
    return Episode(problem(1).public_view(), agents, AbMctsA() if game == "write" else None, budget, seed, rules=made)


def reply(number: int, parent: int | None = None) -> Reply:
    return Reply(f"```python\nprint({number})\n```", parent)


def grow(grown: Episode, verdict: Verdict = FAILED) -> None:
    while not grown.done:
        turn = grown.ask()
        grown.tell(turn, reply(grown.spent + 100, parent=turn.parents[-1]), verdict)


def test_a_budget_of_n_nodes_ends_after_n_nodes() -> None:
    grown = episode(5)
    grow(grown)
    assert len(grown.nodes) == 5
    assert grown.ended == "budget"
    with pytest.raises(EpisodeError, match="over"):
        grown.ask()


def test_stop_on_solved_ends_at_the_first_solution_and_takes_open_turns_back() -> None:
    events: list[Event] = []
    grown = Episode(
        problem(1).public_view(), ["a_0"], AbMctsA(), 9, 0, rules=Rules(stop_on_solved=True), on_event=events.append
    )
    first, second = grown.ask(), grown.ask()
    grown.tell(first, reply(1), PASSED)
    assert grown.ended == "solved"
    assert not grown.pending
    assert events[-1] == Ended("solved", "programs that pass: 1 of 1")
    with pytest.raises(EpisodeError):
        grown.tell(second, reply(2), PASSED)


def test_play_asks_agents_in_fixed_order_and_offers_every_node() -> None:
    grown = episode(6, game="play", agents=("a_0", "b_0", "c_0"))
    seen = []
    while not grown.done:
        turn = grown.ask()
        seen.append((turn.agent, turn.parents))
        grown.tell(turn, reply(grown.spent, parent=turn.parents[-1]), FAILED)
    assert [agent for agent, _ in seen] == ["a_0", "b_0", "c_0"] * 2
    assert [parents[-1] for _, parents in seen] == [0, 1, 2, 3, 4, 5]
    assert [node.parent for node in grown.nodes] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("parent", [None, -1, 1, 99])
def test_an_illegal_parent_costs_budget_and_adds_no_node(parent: int | None) -> None:
    grown = episode(2, game="play")
    turn = grown.ask()
    submission = grown.submit(turn, reply(1, parent=parent))
    assert submission.verdict is not None
    assert submission.verdict.outcome == "illegal"
    assert grown.tell(turn, reply(1, parent=parent), submission.verdict) is None
    assert (grown.spent, len(grown.nodes), grown.done) == (1, 0, False)
    assert grown.ask().agent == "b_0"


def test_a_reply_without_a_program_is_a_node_with_score_0() -> None:
    grown = episode(2)
    turn = grown.ask()
    verdict = grown.submit(turn, Reply("I cannot.")).verdict
    assert verdict is not None
    node = grown.tell(turn, Reply("I cannot."), verdict)
    assert node is not None
    assert (node.program, node.score, node.verdict.outcome) == (None, 0.0, "no_program")
    assert grown.answer() is None


def test_an_equal_program_gets_the_earlier_verdict_and_is_marked() -> None:
    grown = episode(3)
    grown.tell(grown.ask(), reply(1), PASSED)
    turn = grown.ask()
    again = Reply("```python\nprint( 1 )  # the same\n```")
    assert grown.submit(turn, again).verdict == PASSED
    node = grown.tell(turn, again, FAILED)
    assert node is not None
    assert (node.duplicate_of, node.score, node.verdict) == (1, 1.0, PASSED)


def test_a_refinement_turn_carries_the_parents_program_and_feedback_and_a_fresh_one_does_not() -> None:
    grown = episode(40, agents=("a_0",))
    fresh = refined = 0
    while not grown.done:
        turn = grown.ask()
        text = turn.messages[-1]["content"]
        if turn.parent == 0:
            fresh += 1
            assert turn.program is None
            assert turn.feedback is None
            assert "first" not in text
        else:
            refined += 1
            assert turn.program == grown.node(turn.parent or 0).program
            assert turn.feedback == FAILED.feedback
            assert str(turn.program) in text
            assert "first" in text
        grown.tell(turn, reply(grown.spent), FAILED)
    assert fresh > 3
    assert refined > 3


def test_a_fault_is_void_and_the_same_agent_is_asked_again_for_the_same_place_with_the_same_seed() -> None:
    grown = episode(20)
    for number in range(6):
        grown.tell(grown.ask(), reply(number), FAILED)
    turn = grown.ask()
    grown.fail(turn, "engine gone")
    again = grown.ask()
    assert (again.agent, again.parent, again.seed) == (turn.agent, turn.parent, turn.seed)
    assert grown.spent == 6


def test_an_episode_with_faults_grows_the_same_tree_as_one_without() -> None:
    calm, shaken = episode(12), episode(12)
    policy = Guesser()
    while not calm.done:
        turn = calm.ask()
        calm.tell(turn, policy.reply(turn), FAILED)
    count = 0
    while not shaken.done:
        turn = shaken.ask()
        count += 1
        if count % 3 == 0:
            shaken.fail(turn, "shaken")
        else:
            shaken.tell(turn, policy.reply(turn), FAILED)
    assert shaken.nodes == calm.nodes


def test_max_faults_in_a_row_end_the_episode() -> None:
    grown = episode(6, max_faults=2)
    for _ in range(2):
        grown.fail(grown.ask(), "gone")
    assert grown.ended == "faults"


def test_a_success_between_faults_starts_the_count_anew() -> None:
    grown = episode(6, max_faults=2, agents=("a_0",))
    for number in range(3):
        grown.fail(grown.ask(), "gone")
        grown.tell(grown.ask(), reply(number), FAILED)
    assert not grown.done


def test_cancelled_turns_leave_no_trace_in_tree_budget_or_luck() -> None:
    grown = episode(4, agents=("a_0",))
    first = grown.ask()
    grown.cancel(first)
    again = grown.ask()
    assert (again.parent, again.seed) == (first.parent, first.seed)
    assert grown.spent == 0


def test_the_seed_of_a_choice_does_not_depend_on_what_happened_elsewhere() -> None:
    def seeds(order: list[tuple[str, int]]) -> dict[tuple[str, int, int], int]:
        grown = episode(9, game="play", agents=("a_0", "b_0"))
        found: dict[tuple[str, int, int], int] = {}
        counts: dict[tuple[str, int], int] = {}
        for agent, parent in order:
            while (turn := grown.ask()).agent != agent:
                grown.tell(turn, reply(0, parent=99), FAILED)  # illegal: passes the turn on
            ordinal = counts.get((agent, parent), 0)
            counts[agent, parent] = ordinal + 1
            found[agent, parent, ordinal] = turn.at(parent).seed
            grown.tell(turn, reply(grown.spent, parent=parent), FAILED)
        return found

    one = seeds([("a_0", 0), ("b_0", 0), ("a_0", 0)])
    other = seeds([("b_0", 0), ("a_0", 0), ("a_0", 0)])
    assert one == other
    assert len(set(one.values())) == 3


def test_another_seed_or_problem_draws_otherwise() -> None:
    assert episode(seed=0).ask().seed != episode(seed=1).ask().seed


def test_a_play_turn_fills_in_the_place_that_the_agent_chose() -> None:
    grown = episode(4, game="play")
    grown.tell(grown.ask(), reply(7, parent=0), FAILED)
    turn = grown.ask()
    assert turn.parent is None
    placed = turn.at(1)
    assert (placed.parent, placed.program, placed.feedback) == (1, "print(7)\n", FAILED.feedback)
    assert turn.at(0).program is None
    assert turn.at(0).seed != placed.seed


@pytest.mark.parametrize("score", ["pass", "fraction"])
def test_scores_follow_the_rule(score: str) -> None:
    half = Verdict(groups={"public": ("passed", "passed"), "scoring": ("passed", "wrong_answer")})
    grown = episode(2, score=score, score_on="scoring")
    node = grown.tell(grown.ask(), reply(1), half)
    assert node is not None
    assert node.score == (0.5 if score == "fraction" else 0.0)


def test_the_answer_is_chosen_by_public_tests_alone_ties_to_the_latest() -> None:
    grown = episode(4, score_on="scoring")
    both = {"public": ("passed",), "scoring": ("passed",)}
    public = {"public": ("passed",), "scoring": ("wrong_answer",)}
    neither = {"public": ("wrong_answer",), "scoring": ("wrong_answer",)}
    for number, groups in enumerate((both, public, neither)):
        grown.tell(grown.ask(), reply(number), Verdict(groups=groups))  # type: ignore[arg-type]
    answer = grown.answer()
    assert answer is not None
    assert answer.id == 2


def test_a_verdict_without_the_scored_tests_is_refused_and_changes_nothing() -> None:
    grown = episode(2, score_on="scoring")
    turn = grown.ask()
    with pytest.raises(ConfigError, match="scoring"):
        grown.tell(turn, reply(1), PASSED)
    assert list(grown.pending) == [turn.id]
    assert grown.spent == 0


def test_an_event_whose_writing_fails_changes_nothing() -> None:
    def full(event: Event) -> None:
        if isinstance(event, Told):
            raise OSError("disk full")

    grown = Episode(problem(1).public_view(), ["a_0"], AbMctsA(), 3, 0, on_event=full)
    turn = grown.ask()
    with pytest.raises(OSError, match="disk full"):
        grown.tell(turn, reply(1), PASSED)
    assert (grown.spent, list(grown.pending)) == (0, [turn.id])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"agents": []}, "at least one agent"),
        ({"agents": ["a_0", "a_0"]}, "differ"),
        ({"budget": 0}, "at least 1"),
        ({"selector": None}, "selector"),
        ({"rules": Rules(game="play")}, "selector"),
    ],
)
def test_arguments_that_make_no_game_are_refused(arguments: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"agents": ["a_0"], "selector": RepeatedSampling(), "budget": 3}
    with pytest.raises(ConfigError, match=message):
        Episode(problem(1).public_view(), seed=0, **{**good, **arguments})


actions = st.lists(st.sampled_from(["ask", "tell", "tell_newest", "fail", "cancel"]), max_size=40)


@settings(max_examples=60, deadline=None)
@given(actions, st.sampled_from(["write", "play"]))
def test_folding_the_events_of_any_interleaving_gives_the_same_state_and_future(steps: list[str], game: str) -> None:
    events: list[Event] = []
    rules = Rules(game=game, max_faults=99)  # type: ignore[arg-type]
    selector = AbMctsA() if game == "write" else None
    view = problem(1).public_view()
    grown = Episode(view, ["a_0", "b_0"], selector, 8, 3, rules=rules, on_event=events.append)
    policy = Guesser()

    def act(where: Episode, step: str) -> None:
        open_turns: list[Turn] = list(where.pending.values())
        if step == "ask" and where.can_ask:
            where.ask()
        elif open_turns and step.startswith("tell"):
            turn = open_turns[-1 if step == "tell_newest" else 0]
            said = policy.reply(turn)
            where.tell(turn, said, where.submit(turn, said).verdict or (PASSED if turn.seed % 2 else FAILED))
        elif open_turns and step == "fail":
            where.fail(open_turns[0], "fault")
        elif open_turns and step == "cancel":
            where.cancel(open_turns[-1])

    for step in steps:
        act(grown, step)
    folded = Episode(view, ["a_0", "b_0"], selector, 8, 3, rules=rules)
    for event in events:
        folded.apply(event)
    assert folded.nodes == grown.nodes
    assert folded.pending == grown.pending
    assert folded.ended == grown.ended
    assert folded.tree.stats.tolist() == grown.tree.stats.tolist()
    for where in (grown, folded):
        while where.pending:
            act(where, "tell")
        while where.can_ask:
            act(where, "ask")
            act(where, "tell")
    assert folded.nodes == grown.nodes


def test_lone_surrogates_in_a_reply_are_replaced() -> None:
    grown = episode(2)
    turn = grown.ask()
    said = Reply("```python\nprint('\ud800')\n```")
    submission = grown.submit(turn, said)
    assert submission.program == "print('\ufffd')\n"
    grown.tell(turn, said, PASSED)
    grown.nodes[0].reply.encode()


def test_asked_and_failed_events_say_what_was_asked() -> None:
    events: list[Event] = []
    grown = Episode(problem(1).public_view(), ["a_0"], AbMctsA(), 3, 0, on_event=events.append)
    turn = grown.ask()
    grown.fail(turn, "why")
    assert events == [Asked(0, "a_0", 0, turn.seed, pending=0.0), Failed(0, "why")]  # a virtual loss


@pytest.mark.parametrize("mode", ["mean", "loss"])
def test_an_expansion_in_flight_counts_as_its_score_and_leaves_no_trace(mode: PendingMode) -> None:
    grown = Episode(problem(1).public_view(), ["a_0"], AbMctsA(pending=mode), 6, 0)
    grown.tell(grown.ask(), reply(1), PASSED)
    before = grown.tree.stats.tolist()
    first = grown.ask()
    assert first.parent is not None
    stands_for = 0.0 if mode == "loss" else 0.75 if first.parent == 0 else 0.5  # GEN saw one 1, or nothing
    counted = np.add(before[first.parent][0], [1, stands_for, stands_for**2]).tolist()
    assert grown.tree.stats[first.parent, 0].tolist() == counted
    second = grown.ask()
    grown.cancel(first)
    grown.fail(second, "gone")
    assert grown.tree.stats.tolist() == before


def test_expansions_in_flight_are_not_counted_where_the_selector_says_none() -> None:
    grown = Episode(problem(1).public_view(), ["a_0"], AbMctsA(pending="none"), 6, 0)
    grown.ask()
    grown.ask()
    assert grown.tree.stats[0].sum() == 0


def test_an_episode_takes_no_problem_with_its_hidden_tests() -> None:
    whole: Any = problem(1)
    with pytest.raises(ConfigError, match="public_view"):
        Episode(whole, ["coder_0"], "ab_mcts_a", 4, seed=0)


def test_what_is_no_turn_reply_verdict_or_snapshot_is_refused_and_changes_nothing() -> None:
    grown = episode(4)
    turn = grown.ask()
    wrong: list[Any] = [5, None, "print(1)"]
    for value in wrong:
        with pytest.raises(EpisodeError, match="is no turn"):
            grown.submit(value, reply(1))
        with pytest.raises(EpisodeError, match="is no reply"):
            grown.tell(turn, value, FAILED)
        with pytest.raises(EpisodeError, match="is no verdict"):
            grown.tell(turn, reply(1), value)
        with pytest.raises(EpisodeError, match="is no snapshot"):
            Episode.restore(value)
    assert grown.tell(turn, reply(1), FAILED) is not None
