"""Policies that generate, many at a time on one event loop: what they are asked, what fails, what never changes."""

from __future__ import annotations

import asyncio
import threading
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

import pytest
from toys import Actor, FaultySandbox, Generator, outcome, problem_set, sandbox

import mars2_env
from mars2_env import PolicyError, Reply, Run, SandboxError, Task, Tree, Trial, Turn
from mars2_env.engine import Job, ListFeed, driver
from mars2_env.episode import Failed
from mars2_env.log import log_path, read_trace
from mars2_env.testing import ScriptedSandbox


def task(count: int = 4, box: Any = None, **options: Any) -> Task:
    return mars2_env.task(problem_set(count), sandbox=box or sandbox(), **options)


def logs(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "trees").glob("*.jsonl")}


async def gathered(*args: Any, **options: Any) -> list[Tree]:
    return [tree async for tree in mars2_env.arollout(*args, **options)]


@pytest.mark.parametrize("in_flight", [1, 3])
@pytest.mark.parametrize("batch", [1, None])
def test_logs_are_the_same_bytes_whoever_is_asked_how_and_whatever_finishes_first(
    tmp_path: Path, in_flight: int, batch: int | None
) -> None:
    made = task(6, agents=["a", "b"], budget=9)
    list(mars2_env.rollout(made, Actor(), out=tmp_path / "plain", trees=1, in_flight=in_flight))
    plain = logs(tmp_path / "plain")
    assert len(plain) == 6
    for order in range(6):
        draw = Random(order)
        slow = threading.Semaphore(1)

        def judged(program: str, input: str, draw: Random = draw, slow: threading.Semaphore = slow) -> Run:
            with slow:
                sum(range(draw.choice((1, 20_000))))
            return outcome(program, input)

        def looks(draw: Random = draw) -> int:
            return draw.choice((0, 1, 5, 50))

        teams = [
            {"a_0": Generator(looks), "b_0": Actor()},
            {"a_0": Actor(), "b_0": Generator(looks)},
            {"a_0": Generator(looks), "b_0": Generator(looks)},
        ]
        out = tmp_path / str(order)
        played = task(6, ScriptedSandbox(judged), agents=["a", "b"], budget=9)
        options: dict[str, Any] = {"out": out, "trees": 4, "in_flight": in_flight, "batch": batch}
        list(mars2_env.rollout(played, teams[order % 3], **options))
        assert logs(out) == plain


def test_an_event_loop_gets_the_same_trees(tmp_path: Path) -> None:
    asyncio.run(gathered(task(), Generator(), out=tmp_path / "async"))
    list(mars2_env.rollout(task(), Generator(), out=tmp_path / "sync"))
    assert logs(tmp_path / "async") == logs(tmp_path / "sync") != {}


def test_rollout_works_where_an_event_loop_runs_as_in_a_notebook() -> None:
    async def cell() -> list[Tree]:
        return list(mars2_env.rollout(task(), Generator()))

    assert len(asyncio.run(cell())) == 4


def test_as_many_turns_are_generated_at_a_time_as_there_are_or_as_the_policy_wants() -> None:
    many = Generator(lambda: 20)
    list(mars2_env.rollout(task(agents=1), many, in_flight=2))
    assert many.most == 8
    few = Generator(lambda: 20)
    few.concurrency = 3  # type: ignore[attr-defined]
    list(mars2_env.rollout(task(agents=1), few, in_flight=2))
    assert few.most == 3


def test_the_turn_that_others_wait_for_is_asked_first() -> None:
    class One(Generator):
        concurrency = 1

    policy = One()
    (tree,) = mars2_env.rollout(task(1, agents=1, budget=12), policy, in_flight=3, trees=1)
    assert len(tree.nodes) == 12
    assert [turn.id for turn in policy.turns] == list(range(12))


def test_of_two_trees_the_earlier_goes_first_and_a_policy_is_told_what_is_urgent() -> None:
    class One(Generator):
        concurrency = 1
        seen: list[tuple[str, int, int]] = []  # noqa: RUF012

        async def generate(self, turn: Turn, *, priority: int) -> Reply:
            self.seen.append((turn.problem.id, turn.id, priority))
            return await super().generate(turn, priority=priority)

    list(mars2_env.rollout(task(2, agents=1, budget=2), One(), in_flight=2, trees=2))
    assert One.seen[0] == ("toy/0", 0, 0)
    assert One.seen[1] in [("toy/0", 1, 0), ("toy/1", 0, 0)]  # whichever nothing else is waited for by then
    assert all(priority <= 2 for _, _, priority in One.seen)


def test_what_a_solved_tree_waits_for_no_more_is_cancelled() -> None:
    class Solver(Generator):
        async def generate(self, turn: Turn, *, priority: int) -> Reply:
            if turn.id == 0:
                return Reply("```python\nprint(0)\n```")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.append(turn)
                raise
            raise AssertionError

    policy = Solver()
    (tree,) = mars2_env.rollout(task(1, agents=1, stop_on_solved=True), policy, in_flight=3)
    assert tree.ended == "solved"
    assert {turn.id for turn in policy.cancelled} >= {1, 2}


def test_leaving_early_calls_back_what_is_in_flight_and_the_rest_is_grown_later(tmp_path: Path) -> None:
    class Stuck(Generator):
        async def generate(self, turn: Turn, *, priority: int) -> Reply:
            if turn.problem.id != "toy/0":
                try:
                    await asyncio.Event().wait()
                finally:
                    self.cancelled.append(turn)
            return await super().generate(turn, priority=priority)

    async def leave() -> None:
        async with mars2_env.arollout(task(), stuck, out=tmp_path / "left") as trees:
            assert (await anext(trees)).problem == "toy/0"

    stuck = Stuck()
    with mars2_env.rollout(task(), stuck, out=tmp_path / "left") as trees:
        assert next(trees).problem == "toy/0"
    assert len(stuck.cancelled) == 3
    asyncio.run(leave())
    assert len(stuck.cancelled) == 6
    list(mars2_env.rollout(task(), Generator(), out=tmp_path / "left"))
    list(mars2_env.rollout(task(), Generator(), out=tmp_path / "whole"))
    assert logs(tmp_path / "left") == logs(tmp_path / "whole")


class Failing(Generator):
    """Fails on the calls whose numbers it is given, or on one problem."""

    def __init__(self, calls: Any = (), problem: str = "", error: BaseException | None = None) -> None:
        super().__init__()
        self.calls, self.problem, self.called = calls, problem, 0
        self.error = error or ConnectionError("the server hung up")

    async def generate(self, turn: Turn, *, priority: int) -> Reply:
        """Generate, or fail."""
        self.called += 1
        if self.called - 1 in self.calls or turn.problem.id == self.problem:
            raise self.error
        return await super().generate(turn, priority=priority)


def test_a_turn_that_fails_is_generated_again_and_the_log_does_not_know(tmp_path: Path) -> None:
    list(mars2_env.rollout(task(), Failing({0, 3}), out=tmp_path / "one"))
    list(mars2_env.rollout(task(), Failing(), out=tmp_path / "two"))
    assert logs(tmp_path / "one") == logs(tmp_path / "two")


def test_a_turn_that_fails_for_good_is_void_and_costs_other_trees_nothing() -> None:
    trees = {tree.problem: tree for tree in mars2_env.rollout(task(3, agents=1), Failing(problem="toy/1"))}
    assert {id: tree.ended for id, tree in trees.items()} == {"toy/0": "budget", "toy/1": "faults", "toy/2": "budget"}
    reasons = [event.reason for event in trees["toy/1"].events if isinstance(event, Failed)]
    assert reasons == ["the policy of agent_0 failed: ConnectionError: the server hung up"] * 3


@pytest.mark.parametrize("act", [False, True])
def test_a_policy_that_fails_on_every_turn_ends_the_run_and_trees_go_on_when_it_is_mended(
    tmp_path: Path, act: bool
) -> None:
    class Broken(Actor):
        def act(self, turns: list[Turn]) -> list[Reply]:
            raise ConnectionError("the server hung up")

    with pytest.raises(PolicyError, match=r"failed on 5 turns in a row.*the server hung up.*run the same again"):
        list(
            mars2_env.rollout(
                task(9), Broken() if act else Failing(range(999)), out=tmp_path / "cut", policy_failures=5
            )
        )
    mended = list(mars2_env.rollout(task(9), Actor(), out=tmp_path / "cut"))
    whole = list(mars2_env.rollout(task(9), Actor(), out=tmp_path / "whole"))
    assert {tree.problem: tree.nodes for tree in mended} == {tree.problem: tree.nodes for tree in whole}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), PolicyError("no such model")])
def test_what_is_no_fault_of_a_turn_ends_the_run_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)):
        list(mars2_env.rollout(task(), Failing({3}, error=error)))
    with pytest.raises(type(error)):
        asyncio.run(gathered(task(), Failing({3}, error=error)))


def test_what_is_no_reply_is_named() -> None:
    class Odd(Generator):
        async def generate(self, turn: Turn, *, priority: int) -> Any:
            return "print(1)"

    with pytest.raises(PolicyError, match=r"generated 'print\(1\)' for turn 0"):
        list(mars2_env.rollout(task(1), Odd()))


def test_a_policy_that_hangs_fails_its_turn_by_the_deadline(caplog: pytest.LogCaptureFixture) -> None:
    class Hanging(Generator):
        async def generate(self, turn: Turn, *, priority: int) -> Reply:
            if turn.problem.id == "toy/1" and turn.id == 1:
                await asyncio.Event().wait()
            return await super().generate(turn, priority=priority)

    trees = list(mars2_env.rollout(task(3, agents=1), Hanging(), deadline=0.05))
    failed = [event for tree in trees for event in tree.events if isinstance(event, Failed)]
    assert [event.reason for event in failed] == ["the policy of agent_0 failed: it has not answered within 0.05 s"]
    assert all(tree.ended == "budget" for tree in trees)


def test_an_act_that_hangs_is_left_behind_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    never = threading.Event()

    class Hanging(Actor):
        def act(self, turns: list[Turn]) -> list[Reply]:
            if turns[0].id == 1 and not never.is_set():
                never.wait()
            return super().act(turns)

    try:
        trees = mars2_env.rollout(task(1, agents=1), Hanging(), deadline=0.05)
        (tree,) = trees
    finally:
        never.set()
    assert tree.ended == "budget" and len(tree.nodes) == 8
    assert any("left behind in a thread" in record.getMessage() for record in caplog.records)


def test_a_fault_of_the_sandbox_is_no_reward_wherever_it_is_met() -> None:
    class Trying(Generator):
        async def generate(self, turn: Turn, *, priority: int, trial: Trial) -> Reply:  # type: ignore[override]
            await trial.arun(turn, "print(0)")
            return await super().generate(turn, priority=priority)

    (tree,) = mars2_env.rollout(task(1, FaultySandbox(999), agents=1), Trying())
    assert tree.ended == "faults" and tree.nodes == ()
    assert {event.kind for event in tree.events if isinstance(event, Failed)} == {"sandbox"}
    with pytest.raises(SandboxError, match="engine is gone"):
        list(mars2_env.rollout(task(1, FaultySandbox(999), on_fault="raise"), Trying()))


def test_the_time_of_tries_is_the_judges_and_not_the_models(tmp_path: Path) -> None:
    class Trying(Generator):
        async def generate(self, turn: Turn, *, priority: int, trial: Trial) -> Reply:  # type: ignore[override]
            verdict = await trial.arun(turn, "print(0)")
            assert set(verdict.groups) == {"public"}
            return self.reply(turn)

    list(mars2_env.rollout(task(1, agents=1, budget=3), Trying(), out=tmp_path))
    traces = read_trace(log_path(tmp_path, "toy/0", 0))
    assert len(traces) == 3 and all(trace.judge_seconds > 0 for trace in traces.values())


@pytest.mark.parametrize(("budget", "gives"), [("tokens=25", ["cost"]), ("cost=3", ["token_ids"])])
def test_a_budget_of_what_replies_do_not_tell_is_refused_before_the_first_turn(budget: str, gives: list[str]) -> None:
    policy = Generator()
    policy.gives = gives  # type: ignore[attr-defined]
    with pytest.raises(PolicyError, match=f"the budget limits {budget.partition('=')[0]}"):
        mars2_env.rollout(task(1, agents=1, budget=budget), policy)
    assert policy.turns == []


def test_policies_built_from_specs_are_closed_and_those_handed_in_are_not() -> None:
    class Closing(Actor):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    made: list[Closing] = []

    @mars2_env.register_policy("closing")
    def build(rest: str, *, problems: Any = None) -> Closing:
        made.append(Closing())
        return made[-1]

    ours = Closing()
    list(mars2_env.rollout(task(agents=["a", "b"]), {"a_0": "closing", "b_0": ours}))
    mars2_env.rollout(task(), "closing").close()
    assert [one.closed for one in made] == [1, 1]
    assert ours.closed == 0


def test_jobs_are_claimed_when_there_is_room_renewed_as_trees_grow_and_done_when_they_are_written(
    tmp_path: Path,
) -> None:
    said: list[tuple[str, str]] = []

    class Said(ListFeed):
        def claim(self) -> Job | None:
            job = super().claim()
            said.append(("claim", job.problem if job else ""))
            return job

        def renew(self, job: Job) -> None:
            said.append(("renew", job.problem))

        def done(self, job: Job) -> None:
            assert b'"ended"' in log_path(tmp_path, job.problem, 0).read_bytes().splitlines()[-1]
            said.append(("done", job.problem))

    feed = Said(["toy/2", "toy/0"])
    trees = list(mars2_env.rollout(task(budget=3), Actor(), feed=feed, trees=1, out=tmp_path))
    assert [tree.problem for tree in trees] == ["toy/2", "toy/0"]
    assert [one for one, _ in groupby(said)] == [
        *[("claim", "toy/2"), ("renew", "toy/2"), ("done", "toy/2")],
        *[("claim", "toy/0"), ("renew", "toy/0"), ("done", "toy/0")],
        ("claim", ""),
    ]
    assert said.count(("renew", "toy/0")) >= 3


def test_a_job_is_renewed_while_its_policy_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "HEARTBEAT", 0.001)

    class Renewed(ListFeed):
        renewals = 0
        often: asyncio.Event

        def renew(self, job: Job) -> None:
            self.renewals += 1
            if self.renewals > 20:
                self.often.set()

    class Slow(Generator):
        async def generate(self, turn: Turn, *, priority: int) -> Reply:
            await feed.often.wait()
            return await super().generate(turn, priority=priority)

    feed = Renewed(["toy/0"])
    feed.often = asyncio.Event()
    (tree,) = mars2_env.rollout(task(budget=1), Slow(), feed=feed)
    assert tree.ended == "budget" and feed.renewals > 20


def test_a_reward_model_that_hangs_ends_the_run_by_the_deadline() -> None:
    never = threading.Event()

    class Hanging:
        def score(self, problem: Any, programs: Any) -> list[float]:
            never.wait()
            return [0.5 for _ in programs]

    with (
        mars2_env.rollout(task(1, reward_model=Hanging()), Generator(), deadline=0.05) as trees,
        pytest.raises(PolicyError, match=r"reward model .* has not answered within 0.05 s"),
    ):
        next(trees)
    never.set()


def test_two_feeds_that_share_their_jobs_grow_each_tree_once(tmp_path: Path) -> None:
    feed = ListFeed(problem.id for problem in problem_set(6))
    runs = [mars2_env.rollout(task(6), Generator(), feed=feed, trees=1, out=tmp_path) for _ in range(2)]
    grown = [next(runs[0]), next(runs[1]), *runs[0], *runs[1]]
    assert sorted(tree.problem for tree in grown) == [problem.id for problem in problem_set(6)]


def test_new_trees_begin_only_as_finished_ones_are_taken() -> None:
    policy = Generator()
    trees = mars2_env.rollout(task(9, agents=1, budget=2), policy, trees=2)
    next(trees)
    begun = {turn.problem.id for turn in policy.turns}
    assert len(begun) <= 4
    assert len(list(trees)) == 8


def test_an_observer_that_fails_ends_the_run_as_it_is() -> None:
    def observer(header: Any, event: Any, trace: Any) -> None:
        raise RuntimeError("no room to draw")

    with pytest.raises(RuntimeError, match="no room to draw"):
        list(mars2_env.rollout(task(), Generator(), observer=observer))
