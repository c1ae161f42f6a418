"""Engines that go away, faults that last, back ends that a run sticks to: nothing of it is a program's doing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toys import FaultySandbox, Guesser, outcome, problem_set, sandbox

import mars2_env
from mars2_env import LogError, Reply, Run, SandboxError, SandboxUnavailableError, Task, Turn
from mars2_env.base.journal import claim
from mars2_env.engine import on_its_sandbox, read_run
from mars2_env.episode import Failed
from mars2_env.errors import SandboxAwayError
from mars2_env.log import faults_path, log_path
from mars2_env.sandbox import Sandbox, kinds
from mars2_env.tasks import absence
from mars2_env.testing import ScriptedSandbox


class Away(ScriptedSandbox):
    """Its engine is away for the first so many runs after the first `before`."""

    def __init__(self, runs: int, before: int = 0) -> None:
        super().__init__(self._outcome)
        self.runs, self.before = runs, before

    def _outcome(self, program: str, input: str) -> Run:
        self.before -= 1
        if self.before < 0 and self.runs > 0:
            self.runs -= 1
            raise SandboxAwayError("no engine answers")
        return outcome(program, input)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for an engine by the clock here; it is tried three times more."""
    monkeypatch.setattr(absence, "PAUSES", (0.0, 0.0, 0.0))


def task(box: Sandbox, count: int = 2, **options: Any) -> Task:
    return mars2_env.task(problem_set(count), sandbox=box, **options)


def logs(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "trees").glob("*.jsonl")}


def whole(out: Path, **options: Any) -> dict[str, bytes]:
    """The logs of a run that met no fault."""
    list(mars2_env.rollout(task(sandbox()), Guesser(), out=out, **options))
    return logs(out)


def test_an_engine_that_comes_back_leaves_no_trace_in_a_log_and_is_spoken_of_once(
    at_once: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    list(mars2_env.rollout(task(Away(3, before=5)), Guesser(), out=tmp_path / "away", trees=1))
    assert logs(tmp_path / "away") == whole(tmp_path / "whole")
    said = [record.message for record in caplog.records]
    assert len(said) == 2 and "waiting up to" in said[0] and "no engine answers" in said[0] and "is back" in said[1]


@pytest.mark.parametrize("in_flight", [1, 3])
def test_an_engine_that_stays_away_ends_the_run_with_an_error_and_the_trees_go_on_later(
    at_once: None, tmp_path: Path, in_flight: int
) -> None:
    with pytest.raises(SandboxUnavailableError, match="no engine answers"):
        list(
            mars2_env.rollout(
                task(Away(1000, before=5)), Guesser(), out=tmp_path / "away", trees=1, in_flight=in_flight
            )
        )
    assert all(tree.ended is None for tree in mars2_env.read_log(tmp_path / "away"))
    list(mars2_env.rollout(task(sandbox()), Guesser(), out=tmp_path / "away", in_flight=in_flight))
    assert logs(tmp_path / "away") == whole(tmp_path / "whole", in_flight=in_flight)


def test_an_environment_raises_that_its_engine_is_away_and_takes_the_step_again(at_once: None) -> None:
    env = mars2_env.make(task(Away(4), api="aec"))
    env.reset(seed=0)
    with pytest.raises(SandboxUnavailableError):
        env.step({"program": "print(0)"})
    env.step({"program": "print(0)"})
    assert len(env.episode.nodes) == 1
    assert env.episode.asked == 2


def test_a_round_of_a_parallel_environment_is_taken_again_as_a_whole(at_once: None) -> None:
    env: Any = mars2_env.make(task(Away(8), game="play", api="parallel"))
    env.reset(seed=0)
    actions = {agent: {"parent": 0, "program": f"print({number})"} for number, agent in enumerate(env.agents)}
    with pytest.raises(SandboxUnavailableError):
        env.step(actions)
    assert env.episode.asked == 2 and not env.episode.nodes
    env.step(actions)
    assert [node.program for node in env.episode.nodes] == ["print(0)\n", "print(1)\n"]


@pytest.mark.parametrize("in_flight", [1, 2, 3])
@pytest.mark.parametrize("before", [0, 4, 9])
def test_a_tree_that_ended_by_faults_is_taken_up_again_as_if_it_had_met_none(
    tmp_path: Path, in_flight: int, before: int
) -> None:
    runs = 0

    def failing(program: str, input: str) -> Run:
        nonlocal runs
        runs += 1
        if runs > before:
            raise SandboxError("two workers failed")
        return outcome(program, input)

    out = tmp_path / "faulty"
    (tree,) = mars2_env.rollout(task(ScriptedSandbox(failing), 1), Guesser(), out=out, in_flight=in_flight)
    assert tree.ended == "faults"
    (again,) = mars2_env.rollout(task(sandbox(), 1), Guesser(), out=out, in_flight=in_flight)
    assert again.ended == "budget" and mars2_env.replay(again) == again
    if in_flight == 1 or before == 0:  # else copies, which need no running, were told between two faults and are kept
        list(mars2_env.rollout(task(sandbox(), 1), Guesser(), out=tmp_path / "whole", in_flight=in_flight))
        assert logs(out) == logs(tmp_path / "whole")
    assert faults_path(log_path(out, "toy/0", 0)).read_bytes().count(b"two workers failed") >= 3


def test_only_rollout_takes_up_a_tree_again_and_reading_changes_nothing(tmp_path: Path) -> None:
    made = task(FaultySandbox(1000), 1)
    (tree,) = mars2_env.rollout(made, Guesser(), out=tmp_path)
    before = logs(tmp_path)
    assert mars2_env.read_log(tmp_path) == [tree]
    env = mars2_env.make(made, out=tmp_path)
    with pytest.raises(LogError, match="holds this tree already"):
        env.reset(seed=0, options={"problem": "toy/0"})
    assert logs(tmp_path) == before


def test_a_run_says_which_kind_of_sandbox_it_is_in_and_auto_sticks_to_it(
    tmp_path: Path, docker_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = mars2_env.task(problem_set(1), sandbox="auto", budget=2)
    list(mars2_env.rollout(made, Guesser(), out=tmp_path))
    assert read_run(tmp_path)["sandbox"] == "docker"
    assert on_its_sandbox(made, tmp_path).sandbox == "docker"
    (tmp_path / "run.json").unlink()  # as of an earlier version: then a log says it
    assert on_its_sandbox(made, tmp_path).sandbox == "docker"
    assert on_its_sandbox(made, tmp_path / "new") is made
    claim(tmp_path / "played" / "run.json", {"sandbox": "scripted"})
    assert on_its_sandbox(made, tmp_path / "played") is made, "it sticks to none that runs nothing"
    monkeypatch.setattr("mars2_env.tasks.match._shared", {})
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(SandboxUnavailableError, match=r"was begun in docker.*no Docker engine answers"):
        mars2_env.rollout(made, Guesser(), out=tmp_path)


def _stand_in(works: bool) -> Callable[..., Sandbox]:
    def run(program: str, input: str) -> Run:
        if not works:
            raise SandboxError("its containers die")
        return Run("ok", output=input)

    return lambda **options: ScriptedSandbox(run)


@pytest.mark.parametrize(
    ("docker", "level"), [("mars2_env.sandbox.docker:DockerSandbox", logging.INFO), (_stand_in(False), logging.WARNING)]
)
def test_auto_says_what_it_takes_and_why(
    docker: Any, level: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setitem(kinds.SANDBOXES._own, "docker", docker)
    monkeypatch.setitem(kinds.SANDBOXES._own, "bubblewrap", _stand_in(True))
    box = mars2_env.make_sandbox("auto")
    said = kinds.why_taken(box)
    assert said.startswith("bubblewrap runs a known program as it must. docker: ")
    assert [(record.levelno, record.message) for record in caplog.records] == [(level, f"sandbox auto: {said}")]
    assert kinds.why_taken(ScriptedSandbox()) == ""


def test_a_policy_is_no_sandbox_and_its_faults_are_counted_apart() -> None:
    class Moody(Guesser):
        """Fails whenever the sandbox does not, for a while."""

        calls = 0

        def act(self, turns: list[Turn]) -> list[Reply]:
            Moody.calls += 1
            if Moody.calls % 2 and Moody.calls < 4:
                raise ValueError("a bad mood")
            return super().act(turns)

    made = task(FaultySandbox(2), 1, agents=1)
    (tree,) = mars2_env.rollout(made, Moody(), policy_retries=0)
    assert tree.ended == "budget"
    assert sum(isinstance(event, Failed) for event in tree.events) == 4
