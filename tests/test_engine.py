"""Rollouts: teams, batches, faults, resume, and that nothing depends on what finishes first."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import FaultySandbox, Guesser, outcome, problem, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, LogError, PolicyError, ProblemSet, Reply, Run, Sandbox, SandboxError, Task, Tree
from mars2_env.log import log_path, read_trace
from mars2_env.tasks import Match
from mars2_env.testing import ScriptedPolicy, ScriptedSandbox

HERE = Path(__file__).parent


def task(box: Any = None, count: int = 4, **options: Any) -> Task:
    return mars2_env.task(problem_set(count), sandbox=box or sandbox(), **options)


def logs(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "trees").glob("*.jsonl")}


def test_every_problem_gets_a_tree_of_the_whole_budget() -> None:
    trees = list(mars2_env.rollout(task(budget=5), Guesser()))
    assert sorted(tree.problem for tree in trees) == ["toy/0", "toy/1", "toy/2", "toy/3"]
    assert all(len(tree.nodes) == 5 and tree.ended == "budget" for tree in trees)


def test_a_limit_or_a_list_of_ids_chooses_the_problems() -> None:
    assert [tree.problem for tree in mars2_env.rollout(task(), Guesser(), limit=2)] == ["toy/0", "toy/1"]
    assert [tree.problem for tree in mars2_env.rollout(task(), Guesser(), problems=["toy/3"])] == ["toy/3"]


def test_a_split_can_be_chosen_at_rollout() -> None:
    starter = mars2_env.task("starter", sandbox=sandbox())
    (tree,) = mars2_env.rollout(starter, Guesser(), split="test", limit=1)
    assert tree.problem.startswith("starter/test/")
    with pytest.raises(ConfigError, match="not loaded by name"):
        mars2_env.rollout(task(), Guesser(), split="test")


def test_each_agent_is_played_by_its_own_policy() -> None:
    one, other = Guesser(), Guesser()
    list(mars2_env.rollout(task(agents=["a", "b"]), {"a_0": one, "b_0": other}))
    assert {turn.agent for turn in one.turns} == {"a_0"}
    assert {turn.agent for turn in other.turns} == {"b_0"}


def test_turns_of_different_trees_come_in_one_batch() -> None:
    sizes = []

    class Counting(Guesser):
        def act(self, turns: list[mars2_env.Turn]) -> list[Reply]:
            sizes.append(len(turns))
            return super().act(turns)

    list(mars2_env.rollout(task(agents=1, budget=3), Counting(), trees=4))
    assert sizes == [4, 4, 4]
    sizes.clear()
    list(mars2_env.rollout(task(agents=1, budget=3), Counting(), trees=4, batch=2))
    assert max(sizes) == 2


def test_policies_that_share_a_model_act_together() -> None:
    calls = []

    class Shared(Guesser):
        batch_key = "one model"

        @staticmethod
        def act_together(pairs: list[tuple[Any, mars2_env.Turn]]) -> list[Reply]:
            calls.append({id(policy) for policy, _ in pairs})
            return [policy.reply(turn) for policy, turn in pairs]

    first, second = Shared(), Shared()
    list(
        mars2_env.rollout(task(agents=["a", "b"], selector="repeated_sampling", count=2), {"a_0": first, "b_0": second})
    )
    apart = list(mars2_env.rollout(task(agents=["a", "b"], count=2), Guesser()))
    assert {id(first), id(second)} == set().union(*calls)
    together = list(mars2_env.rollout(task(agents=["a", "b"], count=2), {"a_0": first, "b_0": second}))
    assert [tree.nodes for tree in together] == [tree.nodes for tree in apart]


@pytest.mark.parametrize("in_flight", [1, 3])
def test_logs_do_not_depend_on_which_judgement_finishes_first(tmp_path: Path, in_flight: int) -> None:
    rng = random.Random(0)
    lock = threading.Lock()
    slow = threading.Semaphore(1)

    def shuffled(program: str, input: str) -> Run:
        with lock:
            wait = rng.random() < 0.5
        if wait:
            with slow:
                os.stat(".")
                sum(range(20_000))
        return outcome(program, input)

    for number, box in enumerate((sandbox(), ScriptedSandbox(shuffled), ScriptedSandbox(shuffled))):
        list(mars2_env.rollout(task(box), Guesser(), out=tmp_path / str(number), in_flight=in_flight, batch=2))
    assert logs(tmp_path / "0") == logs(tmp_path / "1") == logs(tmp_path / "2")


def test_a_fault_is_retried_and_the_tree_is_the_same() -> None:
    calm = list(mars2_env.rollout(task(count=1), Guesser()))
    shaken = list(mars2_env.rollout(task(FaultySandbox(2), count=1), Guesser()))
    assert shaken[0].nodes == calm[0].nodes
    assert len(shaken[0].events) > len(calm[0].events)


def test_lasting_faults_end_a_tree_and_are_not_scores() -> None:
    (tree,) = mars2_env.rollout(task(FaultySandbox(1000), count=1), Guesser())
    assert tree.ended == "faults"
    assert tree.nodes == ()


def test_on_fault_raise_raises() -> None:
    with pytest.raises(SandboxError, match="engine is gone"):
        list(mars2_env.rollout(task(FaultySandbox(1), count=1, on_fault="raise"), Guesser()))


def test_the_trace_holds_what_each_turn_cost(tmp_path: Path) -> None:
    (tree,) = mars2_env.rollout(task(count=1), Guesser(), out=tmp_path)
    traces = read_trace(log_path(tmp_path, "toy/0", 0))
    assert set(traces) == set(range(len(tree.nodes)))
    assert all(trace.policy_seconds > 0 for trace in traces.values())


def test_a_finished_run_is_read_and_not_played_again(tmp_path: Path) -> None:
    first = list(mars2_env.rollout(task(), Guesser(), out=tmp_path))
    idle = Guesser()
    again = list(mars2_env.rollout(task(), idle, out=tmp_path))
    assert sorted(again, key=lambda tree: tree.problem) == sorted(first, key=lambda tree: tree.problem)
    assert idle.turns == []


def test_an_interrupted_run_goes_on_inside_its_trees(tmp_path: Path) -> None:
    class Interrupted(Guesser):
        def act(self, turns: list[mars2_env.Turn]) -> list[Reply]:
            if len(self.turns) > 10:
                raise KeyboardInterrupt
            return super().act(turns)

    Interrupted.__qualname__ = Guesser.__qualname__  # the run folder holds it, and refuses another policy
    list(mars2_env.rollout(task(), Guesser(), out=tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        list(mars2_env.rollout(task(), Interrupted(), out=tmp_path / "cut"))
    after = Guesser()
    list(mars2_env.rollout(task(), after, out=tmp_path / "cut"))
    assert 0 < len(after.turns) < 32
    assert logs(tmp_path / "cut") == logs(tmp_path / "whole")


def test_another_team_or_seed_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    list(mars2_env.rollout(task(), Guesser(), out=tmp_path))
    with pytest.raises(LogError, match="seed was 0 and is now 1"):
        mars2_env.rollout(task(), Guesser(), out=tmp_path, seed=1)
    with pytest.raises(LogError, match=r"team\.agent_0"):
        mars2_env.rollout(task(), ScriptedPolicy(["x"]), out=tmp_path)


def test_an_observer_sees_every_event_those_of_earlier_runs_included(tmp_path: Path) -> None:
    def events_seen() -> tuple[list[Any], list[Tree]]:
        seen: list[Any] = []
        return seen, list(
            mars2_env.rollout(
                task(count=2), Guesser(), out=tmp_path, observer=lambda header, event, trace: seen.append(event)
            )
        )

    for _ in range(2):
        seen, trees = events_seen()
        assert len(seen) == sum(len(tree.events) for tree in trees)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"team": {"agent_0": Guesser()}}, ConfigError, "agent_1"),
        ({"team": {"agent_0": Guesser(), "agent_1": 5}}, PolicyError, "act"),
        ({"team": "nosie:default"}, ConfigError, "Did you mean 'noise'"),
        ({"problems": ["toy/99"]}, ConfigError, "toy/99"),
        ({"trees": 0}, ConfigError, "trees=0"),
        ({"seed": -1}, ConfigError, "seed=-1"),
        ({"out": 5}, ConfigError, "out=5"),
    ],
)
def test_arguments_are_checked_before_anything_runs(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        mars2_env.rollout(task(), **{"team": Guesser(), **arguments})


@pytest.mark.parametrize("loading", [{"problem_options": 5}, {"path": 5}])
def test_what_a_set_is_loaded_with_is_checked(loading: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(loading))):
        mars2_env.task("starter", **loading)


@pytest.mark.parametrize("replies", [[], [Reply("x")] * 9, "text", [None] * 4])
def test_a_policy_that_does_not_return_one_reply_a_turn_is_named(replies: Any) -> None:
    class Broken:
        def act(self, turns: list[mars2_env.Turn]) -> Any:
            return replies

    with pytest.raises(PolicyError, match="Broken"):
        list(mars2_env.rollout(task(), Broken()))


KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
import mars2_env
from toys import Guesser, problem_set, sandbox
left = int(sys.argv[1])
def count(header, event, trace):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
task = mars2_env.task(problem_set(), sandbox=sandbox())
list(mars2_env.rollout(task, Guesser(), out=sys.argv[2], in_flight=2, observer=count))
"""


def test_a_run_killed_with_sigkill_at_five_moments_ends_with_the_same_logs(tmp_path: Path) -> None:
    list(mars2_env.rollout(task(), Guesser(), out=tmp_path / "whole", in_flight=2))
    rng = random.Random(5)
    out = tmp_path / "killed"
    for _ in range(5):
        # events read back count too, so each run gets further than the one before
        done = sum(data.count(b"\n") - 1 for data in logs(out).values()) if out.exists() else 0
        script = KILLED.format(here=str(HERE))
        process = subprocess.run([sys.executable, "-c", script, str(done + rng.randint(1, 10)), str(out)], check=False)
        assert process.returncode == -9
    list(mars2_env.rollout(task(), Guesser(), out=out, in_flight=2))
    assert logs(out) == logs(tmp_path / "whole")


def test_a_program_whose_error_holds_a_lone_surrogate_is_a_failing_program_and_nothing_more(
    tmp_path: Path, docker_sandbox: Sandbox
) -> None:
    program = "raise ValueError('\\ud800')"
    policy = ScriptedPolicy(lambda turn: f"```python\nn = {turn.id}\n{program}\n```")
    made = mars2_env.task(problem_set(1), sandbox=docker_sandbox, budget=2)
    (tree,) = mars2_env.rollout(made, policy, out=tmp_path)
    assert [node.verdict.outcome for node in tree.nodes] == ["runtime_error"] * 2
    feedback = tree.nodes[0].verdict.feedback
    assert feedback is not None
    assert "\ufffd" in feedback.error_message
    assert mars2_env.read_log(tmp_path) == [tree]


def test_a_tree_that_another_run_grows_is_left_out_and_said_and_the_others_are_grown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Match(task(), "toy/1", 0, out=tmp_path)
    trees = mars2_env.rollout(task(), Guesser(), out=tmp_path)
    assert [tree.problem for tree in trees] == ["toy/0", "toy/2", "toy/3"]
    assert trees.skipped == ("toy/1",)
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("toy/1 is left out (1 by now)") and "is being written by another run" in said
    other.close()
    assert len(list(mars2_env.rollout(task(), Guesser(), out=tmp_path))) == 4


def test_a_problem_that_is_named_twice_is_played_once() -> None:
    assert len(list(mars2_env.rollout(task(), Guesser(), problems=["toy/1", "toy/1"]))) == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"text": None},
        {"text": b"x"},
        {"text": "x", "parent": "a"},
        {"text": "x", "parent": 1.0},
        {"text": "x", "cost": -1},
    ],
)
def test_a_malformed_reply_is_refused_where_it_is_made(broken: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        Reply(**broken)
    assert type(Reply("x", parent=np.int64(2)).parent) is int


@pytest.mark.parametrize("choice", [None, (0,), (0.5, 0), ("0", "0"), (99, 0), (0, 9)])
def test_a_selector_that_chooses_nothing_sensible_is_named(choice: Any) -> None:
    class Odd:
        def select(self, tree: Any, rng: Any, pending: Any = ()) -> Any:
            return choice

    with pytest.raises(ConfigError, match="Odd"):
        list(mars2_env.rollout(task(selector=Odd()), Guesser()))


def test_a_selector_that_adds_nodes_of_its_own_is_named() -> None:
    class Gardener:
        def select(self, tree: Any, rng: Any, pending: Any = ()) -> Any:
            return tree.add(0, 0, 0.5), 0

    with pytest.raises(ConfigError, match=r"Gardener.*added 1 nodes"):
        list(mars2_env.rollout(task(selector=Gardener()), Guesser()))


def test_problems_with_long_names_are_logged(tmp_path: Path) -> None:
    names = ["x" * 400, "x" * 401, "\u00e9" * 200]
    problems = ProblemSet("long", tuple(replace(problem(1), id=name) for name in names), split="train")
    made = mars2_env.task(problems, sandbox=sandbox(), budget=2)
    list(mars2_env.rollout(made, Guesser(), out=tmp_path))
    assert sorted(tree.problem for tree in mars2_env.read_log(tmp_path)) == sorted(names)
