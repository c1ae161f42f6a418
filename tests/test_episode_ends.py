"""What ends an episode or an agent's part in it: budgets, stop rules, agents that leave; and what is logged of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import Guesser, problem, problem_set, sandbox

import mars2_env
from mars2_env import Budget, ConfigError, Episode, EpisodeError, Generation, Reply, Rules, Turn, Usage, Verdict
from mars2_env.episode.events import Cancelled, Ended, Event, Joined, Left, Told
from mars2_env.log import log_path
from mars2_env.search import SELECTORS, AbMctsA

PASSED = Verdict(groups={"public": ("passed", "passed")})
HALF = Verdict(groups={"public": ("passed", "wrong_answer")})
WRONG = Verdict(groups={"public": ("wrong_answer", "wrong_answer")})


class Tokens(Guesser):
    """Guesses, with as many tokens behind each reply as its agent's share says, at one cent each."""

    def __init__(self, **shares: int) -> None:
        super().__init__()
        self.shares = shares

    def reply(self, turn: Turn) -> Reply:
        count = self.shares.get(turn.agent, 10)
        generation = Generation((1,), tuple(range(count)), (0.0,) * count)
        return Reply(super().reply(turn).text, generation=generation, cost=0.01 * count)


def started(budget: Any = 20, agents: Any = ("a_0", "b_0"), **options: Any) -> tuple[Episode, list[Event]]:
    events: list[Event] = []
    options.setdefault("selector", AbMctsA())
    return Episode(problem(1).public_view(), agents, budget=budget, seed=0, on_event=events.append, **options), events


def told(grown: Episode, verdict: Verdict = WRONG, number: int | None = None, **options: Any) -> None:
    text = f"```python\nprint({100 + grown.spent if number is None else number})\n```"
    grown.tell(grown.ask(), Reply(text), verdict, **options)


def trees(policy: Any, **options: Any) -> list[mars2_env.Tree]:
    out = options.pop("out", None)
    task = mars2_env.task(problem_set(2), sandbox=sandbox(), agents=["a", "b"], **options)
    return list(mars2_env.rollout(task, policy, out=out))


# budgets


@pytest.mark.parametrize(
    ("budget", "usage", "nodes", "detail"),
    [
        ("tokens=25", Usage(tokens=10), 3, "tokens: 30 of 25"),
        ("model_seconds=1", Usage(model_seconds=0.5), 2, "model_seconds: 1 of 1"),
        ("judge_seconds=1", Usage(judge_seconds=0.25), 4, "judge_seconds: 1 of 1"),
        ("cost=2", Usage(cost=0.75), 3, "cost: 2.25 of 2"),
        ("nodes=2,tokens=25", Usage(tokens=10), 2, "nodes: 2 of 2"),
    ],
)
def test_a_tree_ends_with_the_first_limit_that_is_reached(budget: str, usage: Usage, nodes: int, detail: str) -> None:
    grown, events = started(budget)
    while not grown.done:
        told(grown, usage=usage)
    assert len(grown.nodes) == nodes
    assert events[-1] == Ended("budget", detail)
    assert (grown.ended, grown.end_detail) == ("budget", detail)


def test_an_agent_that_has_spent_its_own_budget_is_not_asked_any_more() -> None:
    grown, _ = started(Budget(20, agents={"a_0": Budget(tokens=30)}))
    while not grown.done:
        told(grown, usage=Usage(tokens=10))
    assert [node.agent for node in grown.nodes].count("a_0") == 3
    assert len(grown.nodes) == 20
    assert not grown.may_ask("a_0")
    assert grown.may_ask("b_0")


def test_a_tree_ends_where_every_agent_has_spent_its_own_budget() -> None:
    grown, events = started(Budget(agents={"a_0": Budget(2), "b_0": Budget(3)}))
    while not grown.done:
        told(grown)
    assert events[-1] == Ended("budget", "a_0: nodes: 2 of 2; b_0: nodes: 3 of 3")


def test_own_nodes_in_flight_count_and_a_cancelled_turn_gives_them_back() -> None:
    grown, _ = started(Budget(10, agents={"a_0": Budget(1), "b_0": Budget(1)}))
    first, second = grown.ask(), grown.ask()
    assert {first.agent, second.agent} == {"a_0", "b_0"}
    assert not grown.can_ask
    with pytest.raises(EpisodeError, match="waiting for 2 turns"):
        grown.ask()
    grown.cancel(first)
    assert grown.ask().agent == first.agent


@pytest.mark.parametrize("selector", sorted(SELECTORS))
def test_no_selector_asks_an_agent_without_budget(selector: str) -> None:
    grown, _ = started(Budget(30, agents={"b_0": Budget(2)}), ["a_0", "b_0", "c_0"], selector=selector)
    while not grown.done:
        told(grown)
    assert [node.agent for node in grown.nodes].count("b_0") <= 2
    assert len(grown.nodes) == 30


def test_agents_that_take_turns_go_on_without_the_one_that_is_done() -> None:
    rules = Rules(game="play")
    grown, _ = started(Budget(7, agents={"b_0": Budget(1)}), ["a_0", "b_0", "c_0"], selector=None, rules=rules)
    while not grown.done:
        turn = grown.ask()
        grown.tell(turn, Reply(f"```python\nprint({grown.spent})\n```", parent=0), WRONG)
    wrote = [node.agent for node in grown.nodes]
    assert wrote == ["a_0", "b_0", "c_0", "a_0", "c_0", "a_0", "c_0"]


def test_agents_that_take_turns_take_in_one_that_joins_with_the_next_round() -> None:
    grown, _ = started(11, selector=None, rules=Rules(game="play"))
    wrote = []
    while not grown.done:
        turn = grown.ask()
        wrote.append(turn.agent)
        grown.tell(turn, Reply(f"```python\nprint({grown.spent})\n```", parent=0), WRONG)
        if len(wrote) == 3:
            grown.join("c_0")
        if len(wrote) == 8:
            grown.leave("a_0")
    assert wrote == ["a_0", "b_0", "a_0", "b_0", "a_0", "b_0", "c_0", "a_0", "b_0", "c_0", "b_0"]


def test_usage_must_be_told_where_a_budget_limits_it_and_is_logged_only_there() -> None:
    grown, events = started("nodes=5,tokens=100")
    with pytest.raises(ConfigError, match=r"limits tokens.*usage="):
        told(grown)
    assert grown.spent == 0
    grown.tell(grown.pending[0], Reply("x = 1"), WRONG, usage=Usage(7, 1.5, 2.5))
    assert events[-1] == Told(0, 1, 0, 0.0, WRONG, "x = 1", "x = 1\n", usage=Usage(7))
    plain, events = started(5)
    told(plain, usage=Usage(7, 1.5, 2.5))
    assert isinstance(events[-1], Told)
    assert events[-1].usage is None


def test_an_unknown_agent_in_a_budget_is_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'a_0'"):
        started(Budget(5, agents={"a_1": Budget(1)}), ["a_0"])
    with pytest.raises(ConfigError, match="agent_7"):
        mars2_env.task(problem_set(), budget="5,agent_7.nodes=1")


def test_the_engine_meters_what_policies_and_judge_use(tmp_path: Path) -> None:
    for tree in trees(Tokens(a_0=10, b_0=30), budget="nodes=40,tokens=100", out=tmp_path):
        spent = sum({"a_0": 10, "b_0": 30}[node.agent] for node in tree.nodes)
        assert 100 <= spent < 130
        assert (tree.ended, tree.detail) == ("budget", f"tokens: {spent} of 100")
        assert mars2_env.replay(tree) == tree
    for tree in trees(Tokens(), budget="nodes=40,cost=0.35"):
        assert tree.detail == "cost: 0.4 of 0.35"
    for tree in trees(Tokens(), budget="nodes=400,model_seconds=1e-9"):
        assert len(tree.nodes) == 1
    for tree in trees(Tokens(), budget="nodes=400,judge_seconds=1e-9"):
        assert tree.detail.startswith("judge_seconds: ")


@pytest.mark.parametrize(("budget", "missing"), [("tokens=50", "generation"), ("nodes=5,agent_1.cost=1", "cost")])
def test_a_policy_that_does_not_tell_what_the_budget_limits_is_named(budget: str, missing: str) -> None:
    task = mars2_env.task(problem_set(1), sandbox=sandbox(), budget=budget)
    with pytest.raises(mars2_env.PolicyError, match=rf"agent_\d does not say .* Reply\({missing}="):
        list(mars2_env.rollout(task, Guesser()))


def test_a_run_with_metered_budgets_resumes_at_any_byte_to_the_same_end(tmp_path: Path) -> None:
    budget = "nodes=20,tokens=90,a_0.tokens=40"
    trees(Tokens(), budget=budget, out=tmp_path / "whole")
    whole = log_path(tmp_path / "whole", "toy/1", 0).read_bytes()
    assert b'"usage":{"tokens":10}' in whole
    for number, cut in enumerate(range(0, len(whole), 307)):
        path = log_path(tmp_path / str(number), "toy/1", 0)
        path.parent.mkdir(parents=True)
        path.write_bytes(whole[:cut])
        trees(Tokens(), budget=budget, out=tmp_path / str(number))
        assert path.read_bytes() == whole


def test_a_log_of_clock_times_is_read_and_replayed_though_no_second_run_is_like_it(tmp_path: Path) -> None:
    (tree, _) = trees(Tokens(), budget="nodes=6,judge_seconds=100,model_seconds=100", out=tmp_path)
    assert b"judge_seconds" in log_path(tmp_path, tree.problem, 0).read_bytes()
    assert tree in mars2_env.read_log(tmp_path)
    assert mars2_env.replay(tree) == tree


@pytest.mark.parametrize("budget", ["tokens=50", "nodes=8,tokens=50", "nodes=8,agent_0.nodes=4"])
@pytest.mark.parametrize("game", ["write", "play"])
def test_environments_take_a_number_of_nodes_and_say_so(budget: str, game: str) -> None:
    with pytest.raises(ConfigError, match="environment's budget is a number of nodes"):
        mars2_env.make(problem_set(), sandbox=sandbox(), budget=budget, game=game)


# stop rules


def test_solved_k_times_counts_different_programs() -> None:
    grown, _ = started(rules=Rules(stop_on_solved=3))
    for number in (1, 1, 1, 2):
        told(grown, PASSED, number)
    assert (grown.solved, grown.duplicates, grown.done) == (2, 2, False)
    told(grown, PASSED, 3)
    assert (grown.ended, grown.end_detail) == ("solved", "programs that pass: 3 of 3")


def test_no_improvement_in_k_expansions_ends_the_tree() -> None:
    grown, _ = started(rules=Rules(score="fraction", patience=3))
    told(grown, WRONG)
    told(grown, HALF)
    told(grown, HALF, number=7)
    told(grown, WRONG)
    assert (grown.stale, grown.done) == (2, False)
    told(grown, HALF, number=8)
    assert (grown.ended, grown.end_detail) == ("no_improvement", "expansions: 3 of 3")


def test_a_rule_of_ones_own_ends_the_tree_and_its_reason_is_in_the_log(tmp_path: Path) -> None:
    def enough(episode: Episode) -> str | None:
        return "two agents wrote" if len({node.agent for node in episode.nodes}) == 2 else None

    found = trees(Guesser(), stop_when=enough, budget=9, out=tmp_path)
    assert {(tree.ended, tree.detail) for tree in found} == {("stopped", "two agents wrote")}
    assert mars2_env.read_log(tmp_path) == sorted(found, key=lambda tree: tree.problem)
    for tree in found:
        assert mars2_env.replay(tree) == tree
    with pytest.raises(mars2_env.LogError, match="stop_when"):
        trees(Guesser(), budget=9, out=tmp_path)


def test_a_rule_that_returns_true_is_named() -> None:
    grown, _ = started(stop_when=lambda episode: len(episode.nodes) == 2)
    told(grown)
    told(grown)
    assert grown.ended == "stopped"
    assert "lambda" in grown.end_detail


def test_rules_compose_and_the_first_that_holds_ends_the_tree() -> None:
    options: dict[str, Any] = {"budget": 9, "patience": 4, "stop_on_solved": 2}
    reasons = {tree.ended for seed in range(1) for tree in trees(Guesser(choices=4), score_on="public", **options)}
    assert reasons <= {"solved", "no_improvement"}
    grown, _ = started(4, rules=Rules(stop_on_solved=1, patience=1))
    told(grown, PASSED)
    assert grown.ended == "solved"


def test_an_episode_can_be_stopped_from_outside() -> None:
    grown, events = started()
    told(grown)
    grown.ask()
    grown.stop("the user pressed a key")
    assert events[-2:] == [Cancelled(1), Ended("stopped", "the user pressed a key")]
    with pytest.raises(EpisodeError, match="over already"):
        grown.stop("again")


@pytest.mark.parametrize(
    "rules",
    [{"stop_on_solved": -1}, {"stop_on_solved": 1.5}, {"patience": 0}, {"patience": True}, {"model_weight": 1.5}],
)
def test_rules_that_make_no_sense_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(rules))):
        Rules(**rules)


# scores


@pytest.mark.parametrize("score", [0, 1, 0.25, True, 1e-300])
def test_any_number_from_0_to_1_is_a_score(score: float) -> None:
    grown, events = started()
    told(grown, score=score)
    assert grown.nodes[0].score == float(score)
    assert type(grown.nodes[0].score) is float
    assert isinstance(events[-1], Told)
    assert events[-1].given


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), float("inf"), "1", [0.5]])
@pytest.mark.parametrize("name", ["score", "model_score"])
def test_anything_else_is_refused_before_the_tree_changes(score: Any, name: str) -> None:
    grown, events = started()
    turn = grown.ask()
    before = list(events)
    with pytest.raises(ConfigError, match=name):
        grown.tell(turn, Reply("x = 1"), WRONG, **{name: score})
    assert (events, list(grown.pending), len(grown.tree), grown.spent) == (before, [0], 1, 0)
    grown.tell(turn, Reply("x = 1"), WRONG)


# agents that join and leave


def test_an_agent_that_joins_is_asked_and_one_that_leaves_is_not() -> None:
    grown, events = started(40)
    for _ in range(10):
        told(grown)
    grown.join("c_0", "You are new.")
    grown.leave("a_0")
    assert events[-2:] == [Joined("c_0", "You are new."), Left("a_0")]
    assert grown.present == ("b_0", "c_0")
    first = len(grown.nodes)
    seen = set()
    while not grown.done:
        turn = grown.ask()
        seen.add(turn.agent)
        if turn.agent == "c_0":
            assert "You are new." in turn.messages[0]["content"]
        grown.tell(turn, Reply(f"print({grown.spent})"), WRONG)
    assert seen == {"b_0", "c_0"}
    assert "a_0" in {node.agent for node in grown.nodes[:first]}
    assert grown.tree.agent_stats[:, 0].sum() == 40


def test_the_turns_of_one_that_leaves_are_taken_back_and_leave_no_trace() -> None:
    grown, _ = started(20)
    while {turn.agent for turn in grown.pending.values()} != {"a_0", "b_0"}:
        grown.ask()
    grown.leave("a_0")
    assert {turn.agent for turn in grown.pending.values()} == {"b_0"}
    for turn in list(grown.pending.values()):
        grown.cancel(turn)
    assert not grown.tree.stats.any()
    failing = grown.ask()
    grown.fail(failing, "gone")
    grown.join("a_0")
    grown.leave("b_0")
    assert grown.ask().agent == "a_0"


def test_one_that_comes_back_has_its_nodes_its_role_and_its_budget() -> None:
    grown, _ = started(Budget(20, agents={"a_0": Budget(4)}), {"a_0": "First.", "b_0": ""})
    grown.leave("b_0")
    for _ in range(3):
        told(grown)
    grown.leave("a_0")
    with pytest.raises(EpisodeError, match="every one has left"):
        grown.ask()
    grown.join("a_0")
    turn = grown.ask()
    assert "First." in turn.messages[0]["content"]
    grown.tell(turn, Reply("print(0)"), WRONG)
    assert grown.ended == "budget"
    assert grown.tree.agent_stats[0, 0] == 4


def test_one_that_joins_may_bring_a_budget() -> None:
    grown, _ = started(12)
    grown.join("c_0", budget="tokens=20")
    assert grown.metered == {"tokens"}
    while not grown.done:
        told(grown, usage=Usage(10))
    assert [node.agent for node in grown.nodes].count("c_0") == 2


def test_joining_and_leaving_wrongly_is_refused() -> None:
    grown, events = started(1)
    for act, message in (
        (lambda: grown.join("a_0"), "takes part already"),
        (lambda: grown.leave("x_0"), "does not take part"),
        (lambda: grown.join("c_0", budget={"nodes": 5, "agents": {"a_0": 1}}), "no agents in it"),
    ):
        with pytest.raises((EpisodeError, ConfigError), match=message):
            act()
    with pytest.raises(ConfigError, match="name"):
        grown.join("")
    assert events == []
    told(grown)
    with pytest.raises(EpisodeError, match="over"):
        grown.join("c_0")


@pytest.mark.parametrize("api", ["aec", "parallel"])
def test_environments_refuse_joining_and_leaving(api: str) -> None:
    env: Any = mars2_env.make(problem_set(), sandbox=sandbox(), game="play", api=api)
    env.reset(seed=0)
    with pytest.raises(EpisodeError, match="environment is fixed"):
        env.episode.join("new_0")
    with pytest.raises(EpisodeError, match="environment is fixed"):
        env.episode.leave("agent_0")
    assert env.episode.present == ("agent_0", "agent_1")


def test_a_turn_lost_to_a_fault_is_not_asked_again_of_one_that_has_spent_its_budget_or_left() -> None:
    grown, _ = started(Budget(20, agents={"a_0": Budget(tokens=10)}), selector="repeated_sampling")
    first, other, second = grown.ask(), grown.ask(), grown.ask()
    assert [turn.agent for turn in (first, other, second)] == ["a_0", "b_0", "a_0"]
    grown.fail(first, "gone")
    grown.tell(second, Reply("x = 1"), WRONG, usage=Usage(10))
    assert {grown.ask().agent for _ in range(4)} == {"b_0"}

    played, _ = started(selector=None, rules=Rules(game="play", max_faults=2))
    played.tell(played.ask(), Reply("x = 1", parent=0), WRONG)
    played.fail(played.ask(), "gone")  # it was b_0's
    played.leave("b_0")
    played.join("b_0")
    turn = played.ask()
    assert turn.agent == "a_0"
    played.tell(turn, Reply("x = 2", parent=0), WRONG)
    played.fail(played.ask(), "gone")  # the first in a row since it came back
    assert not played.done


# what would never end


class Free(Guesser):
    """Guesses, for nothing."""

    def reply(self, turn: Turn) -> Reply:
        generation = Generation(completion_tokens=0)
        return Reply(f"```python\nprint({turn.id})\n```", generation=generation, cost=0.0)


@pytest.mark.parametrize("budget", ["cost=10", "tokens=10", "a_0.cost=10,b_0.cost=1", "a_0.nodes=3,b_0.cost=1"])
def test_a_tree_whose_expansions_use_nothing_of_the_budget_ends_and_says_why(
    budget: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mars2_env.episode.ends.MAX_IDLE", 7)
    for tree in trees(Free(), budget=budget):
        assert tree.ended == "budget"
        assert "nothing was used by 7 expansions in a row; limit nodes too (nodes=60)" in tree.detail
        assert mars2_env.replay(tree) == tree


@pytest.mark.parametrize(
    "options",
    [{"budget": "cost=10,nodes=20"}, {"budget": "cost=10", "patience": 12}, {"budget": "a.nodes=9,b.nodes=9"}],
)
def test_a_tree_that_something_else_ends_may_use_nothing_of_its_budget(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mars2_env.episode.ends.MAX_IDLE", 7)
    options = {**options, "budget": options["budget"].replace("a.", "a_0.").replace("b.", "b_0.")}
    assert all("nothing was used" not in tree.detail for tree in trees(Free(), **options))


def test_an_expansion_that_uses_something_begins_the_count_anew() -> None:
    grown, _ = started(budget="cost=10")
    for cost in (0.0, 0.0, 0.5, 0.0):
        told(grown, usage=Usage(cost=cost))
    assert grown.idle == 1
    assert Episode.restore(grown.snapshot()).idle == 1


def test_a_thousand_such_expansions_end_a_tree() -> None:
    grown, _ = started(budget="cost=10", agents=["a_0"], selector="uct")
    while not grown.done:
        told(grown, number=1, usage=Usage())
    assert (grown.ended, grown.spent) == ("budget", 1000)


async def later(episode: Episode) -> bool:
    return True


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (float("nan"), "returned nan; give True or a text"),
        (np.array([True, False]), "returned array"),
        (1, "returned 1; give True or a text"),
        ([], r"returned \[\]; give"),
    ],
)
def test_a_stop_rule_that_returns_neither_a_bool_nor_a_text_is_named(returned: Any, message: str) -> None:
    def mine(episode: Episode) -> Any:
        return returned

    grown, _ = started(stop_when=mine)
    with pytest.raises(ConfigError, match=f"stop_when .*mine {message}"):
        told(grown)


def test_an_async_stop_rule_is_named() -> None:
    grown, _ = started(stop_when=later)
    with pytest.raises(ConfigError, match="stop_when later returned a coroutine"):
        told(grown)


@pytest.mark.parametrize(("returned", "ends"), [(None, False), ("", False), (np.False_, False), (np.True_, True)])
def test_what_a_stop_rule_may_return(returned: Any, ends: bool) -> None:
    grown, _ = started(stop_when=lambda episode: returned)
    told(grown)
    assert grown.done == ends
