"""A turn is plain data: it can be pickled, is small, and says the same wherever it lands, however the tree goes on."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest
from toys import Guesser, problem, problem_set, sandbox

import mars2_env
from mars2_env import Episode, Generation, Reply, Rules, Turn, Verdict
from mars2_env.episode import Event, State
from mars2_env.prompt import ChatTemplates, Context, Prompts
from mars2_env.testing import ScriptedSandbox
from mars2_env.types import Message

NODES = 30
GAMES = ("write", "play", "place", "route")
WRONG = Verdict(groups={"public": ("wrong_answer", "not_run"), "scoring": ("passed",)})
HALF = Verdict(groups={"public": ("passed", "passed"), "scoring": ("wrong_answer",)})


def asked(episode: Episode) -> Turn:
    return episode.ask("a_0" if episode.rules.game == "route" else None)


def grown(game: str, nodes: int = NODES, program: str = "print({})", **rules: Any) -> tuple[Episode, list[Event]]:
    """An episode of two agents in which so many nodes were written, with the events that it has met."""
    events: list[Event] = []
    episode = Episode(
        problem(1).public_view(),
        ["a_0", "b_0"],
        "ab_mcts_a" if game == "write" else None,
        nodes + 4,
        7,
        rules=Rules(game=game, score_on="scoring", **rules),  # type: ignore[arg-type]
        on_event=events.append,
    )
    for number in range(nodes):
        turn = asked(episode)
        generation = Generation((1,) * 500, (2,) * 500, (0.0,) * 500)
        parent = number // 2 if turn.parent is None else None
        reply = Reply(f"```python\n{program.format(number)}\n```", parent, generation)
        episode.tell(turn, reply, HALF if number % 3 else WRONG)
    return episode, events


def everything(turn: Turn) -> list[Any]:
    """All that a turn says: of itself, and at each place that it leaves open."""
    places = [] if turn.parent is not None else [turn.at(parent) for parent in turn.parents]
    return [replace(one, places=None) for one in (turn, *places)]


@pytest.mark.parametrize("game", GAMES)
def test_a_pickled_turn_says_the_same_and_is_small(game: str) -> None:
    episode, _ = grown(game)
    turn = asked(episode)
    data = pickle.dumps(turn)
    assert everything(pickle.loads(data)) == everything(turn)
    assert len(data) < 10_000


def test_a_pickled_turn_is_small_with_programs_of_real_size_too() -> None:
    lines = "\n".join(f"    total += value * {number} if value % {number + 2} else {{0}}" for number in range(15))
    episode, _ = grown("play", program=f"def solve(value):\n    total = 0\n{lines}\n    return total")
    assert len(pickle.dumps(asked(episode))) < 10_000


def test_a_turn_of_an_environment_that_logs_can_be_pickled(tmp_path: Any) -> None:
    env: Any = mars2_env.make(problem_set(), game="play", sandbox=sandbox(), out=tmp_path)
    env.reset(seed=0)
    env.step({"program": "print(0)", "parent": 0})
    assert everything(pickle.loads(pickle.dumps(env.turn))) == everything(env.turn)
    env.close()


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("observe", ["all", "own"])
def test_a_turn_is_about_the_tree_as_it_stood_when_it_was_asked_for(game: str, observe: str) -> None:
    episode, _ = grown(game, 6, observe=observe)
    first, second = asked(episode), asked(episode)
    before = everything(first), everything(second)
    reply = Reply("```python\nprint('late')\n```", 1 if first.parent is None else None)
    episode.tell(first, reply, WRONG)
    assert everything(second) == before[1]
    assert everything(episode.pending[second.id]) == before[1]


@pytest.mark.parametrize("game", GAMES)
def test_a_turn_that_is_served_after_a_log_was_folded_is_the_one_that_was_asked_for(game: str) -> None:
    episode, events = grown(game, 6, observe="own")
    open_turns = [asked(episode), asked(episode)]
    reply = Reply("```python\nprint('late')\n```", 2 if open_turns[0].parent is None else None)
    episode.tell(open_turns[0], reply, WRONG)
    again, _ = grown(game, 0, observe="own")
    again.budget = episode.budget
    for event in events:
        again.apply(event)
    assert [everything(turn) for turn in again.pending.values()] == [everything(open_turns[1])]


def test_a_turn_of_the_partially_observed_game_carries_nothing_of_other_agents() -> None:
    episode, _ = grown("play", 8, program="print('SECRET {}')", observe="own")
    turn = asked(episode)
    assert turn.places is not None
    seen = {node.agent: node.program for node in turn.places.nodes}  # type: ignore[attr-defined]
    other = next(agent for agent in episode.agents if agent != turn.agent)
    assert seen[other] is None
    assert "SECRET" in str(seen[turn.agent])


def test_a_turn_carries_no_outcome_of_tests_that_are_never_quoted() -> None:
    verdict = Verdict(groups={"public": ("passed", "passed"), "scoring": ("passed", "time_limit", "not_run")})
    episode, _ = grown("play", 0)
    episode.tell(asked(episode), Reply("```python\nprint(5)\n```", 0), verdict)
    turn = asked(episode)
    assert turn.places is not None
    (node,) = turn.places.nodes  # type: ignore[attr-defined]
    assert (node.verdict.groups, node.generation) == ({"public": ("passed",), "scoring": ("wrong_answer",)}, None)


class Counting(ChatTemplates):
    """The ordinary words, counted."""

    rendered = 0

    def __call__(self, context: Context) -> tuple[Message, ...]:
        type(self).rendered += 1
        return super().__call__(context)


def test_reading_and_resuming_a_log_renders_no_prompt_but_those_that_are_served() -> None:
    _, events = grown("write", 20)
    Counting.rendered = 0
    state = State("toy/1", {"a_0": "", "b_0": ""}, mars2_env.Budget(24), 7, Rules(score_on="scoring"))
    for event in events:
        state.apply(event)
    assert len(state.nodes) == 20
    resumed = Episode(
        problem(1).public_view(),
        ["a_0", "b_0"],
        "ab_mcts_a",
        24,
        7,
        rules=Rules(score_on="scoring"),
        prompts=Prompts(Counting()),
    )
    for event in events:
        resumed.apply(event)
    assert Counting.rendered == 0
    resumed.ask()
    assert Counting.rendered == 1


@pytest.mark.parametrize("game", ["play", "place", "route"])
def test_a_place_that_is_not_on_offer_is_refused(game: str) -> None:
    turn = asked(grown(game, 3)[0])
    for wrong in (-1, 4, "a"):
        with pytest.raises(mars2_env.EpisodeError, match=f"node {wrong!r} is not on offer; nodes 0 to 3 are"):
            turn.at(wrong)  # type: ignore[arg-type]


def test_a_copy_of_a_state_goes_its_own_way() -> None:
    episode, events = grown("write", 5)
    turn = episode.ask()
    heard = len(events)
    twin = episode.copy()
    twin.cancel(turn)
    assert len(events) == heard, "nobody listens to a copy"
    twin = episode.copy()
    episode.tell(turn, Reply("```python\nprint(99)\n```"), WRONG)
    episode.ask()
    assert (len(twin.nodes), list(twin.open), len(twin.tree)) == (5, [5], 6)
    assert twin.account("a_0") != episode.account("a_0") or twin.account("b_0") != episode.account("b_0")


def test_the_cost_of_a_reply_is_kept_where_a_generator_writes_at_a_chosen_place() -> None:
    class Costly:
        def act(self, turns: list[Turn]) -> list[Reply]:
            return [Reply("```python\nprint(0)\n```", cost=0.25) for _ in turns]

    from mars2_env.envs.views import written

    episode, _ = grown("route", 0)
    turn = episode.ask("a_0")
    (reply,) = written({"a_0": Costly()}, [(turn, 0)])
    assert (reply.cost, reply.parent) == (0.25, 0)


def test_two_runs_of_play_with_different_batches_grow_the_same_trees() -> None:
    def trees(batch: int) -> list[Any]:
        task = mars2_env.task(problem_set(3), game="play", budget=12, sandbox=ScriptedSandbox())
        found = mars2_env.rollout(task, PlacesByLuck(), in_flight=4, batch=batch)
        return sorted((tree.problem, tree.nodes) for tree in found)

    assert trees(1) == trees(3) == trees(12)


class PlacesByLuck(Guesser):
    """Guesses by the luck of the place that it chooses, as a policy does that draws from `Turn.seed`."""

    def reply(self, turn: Turn) -> Reply:
        parent = super().reply(turn).parent or 0
        return replace(super().reply(turn.at(parent)), parent=parent)
