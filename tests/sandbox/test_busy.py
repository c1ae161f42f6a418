"""A busy machine changes no verdict: throttled, paused and starved workers judge as those on a quiet one do.

The programs and what is done to their workers are `mars2_bench.speed.busy`'s, which prints how many verdicts changed.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from mars2_bench.speed.busy import CONDITIONS, PROGRAMS, Counted, Groups, under, verdicts

from mars2_env.sandbox import make_sandbox
from mars2_env.sandbox.bubblewrap import BubblewrapSandbox, is_frozen
from mars2_env.sandbox.connection import Worker, WorkerLostError
from mars2_env.sandbox.docker import DockerSandbox
from mars2_env.sandbox.worker.frames import ACCOUNT, BEAT, CLEAN, DONE, pack
from mars2_env.types import Limits

ADD = "a, b = map(int, input().split())\nprint(a + b)\n"
ANSWER = pack(DONE, ACCOUNT.pack(0, True, 0, 0.0, 0.0, 0), b"42\n", b"", b"")


@pytest.fixture(params=["docker", "bubblewrap"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each back end that works here."""
    request.getfixturevalue("docker_engine" if request.param == "docker" else request.param)
    return str(request.param)


def needs_groups() -> None:
    """Skip where what is done to bubblewrap's workers cannot be done."""
    if os.geteuid() != 0 or not Path("/sys/fs/cgroup/freezer").is_dir():
        pytest.skip("needs root and control groups of version 1")


def judge(backend: str, condition: str, programs: int) -> Counted:
    """Run so many programs under a condition, where it can be brought about here."""
    if backend == "bubblewrap" and condition in ("throttled", "paused"):
        needs_groups()
    with under(condition, backend) as sandbox:
        return verdicts(sandbox, list(itertools.islice(itertools.cycle(PROGRAMS), programs)))


@pytest.mark.parametrize("condition", [name for name in CONDITIONS if name != "none"])
def test_no_verdict_changes_where_the_machine_is_busy(backend: str, condition: str) -> None:
    assert judge(backend, condition, len(PROGRAMS)).changed == ()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_no_verdict_of_three_hundred_changes(backend: str, condition: str) -> None:
    assert judge(backend, condition, 300).changed == ()


@pytest.mark.docker
@pytest.mark.slow
def test_a_container_with_15_percent_of_a_core_changes_no_verdict_within_the_usual_limits(engine: Any) -> None:
    program = "import time\nwhile time.process_time() < float(input()): pass\nprint('done')"
    program = program.replace("float(input())", "1.6")
    with make_sandbox("docker", workers=1) as sandbox:
        assert isinstance(sandbox, DockerSandbox)
        assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
        engine.containers.get(sandbox.containers[0]).update(cpu_period=100_000, cpu_quota=15_000)
        run = sandbox.run(program, [""])[0]
        assert (run.status, run.output) == ("ok", "done\n")


@pytest.mark.docker
def test_a_container_that_is_paused_for_longer_than_one_waits_for_it_answers_when_it_goes_on(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mars2_env.sandbox.jobs.HUNG_SECONDS", 0.1)
    limits = Limits(cpu_seconds=0.3, wall_seconds=0.5)
    with make_sandbox("docker", workers=1) as sandbox, ThreadPoolExecutor(1) as threads:
        assert isinstance(sandbox, DockerSandbox)
        assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
        container = engine.containers.get(sandbox.containers[0])
        asked: list[bool] = []

        def unpause_when_asked(is_paused: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
            def ask(launcher: Any, found: Any) -> bool:
                asked.append(is_paused(launcher, found))
                if len(asked) == 2:
                    container.unpause()
                return asked[-1]

            return ask

        kind = type(sandbox._opened().launcher)
        monkeypatch.setattr(kind, "_is_paused", unpause_when_asked(kind._is_paused))
        container.pause()
        running = threads.submit(sandbox.run, ADD, ["20 22"], limits=limits)
        assert running.result()[0].output == "42\n"
        assert asked[:2] == [True, True]
        assert sandbox.containers == (container.id[:12],)


def test_a_frozen_control_group_is_waited_for_until_it_is_thawed(
    bubblewrap: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_groups()
    monkeypatch.setattr("mars2_env.sandbox.jobs.HUNG_SECONDS", 0.1)
    limits = Limits(cpu_seconds=0.3, wall_seconds=0.5)
    with make_sandbox("bubblewrap", workers=1) as sandbox, ExitStack() as frozen:
        assert isinstance(sandbox, BubblewrapSandbox)
        assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
        before = sandbox.supervisors
        asked: list[bool] = []

        def thaw_when_asked(pid: int) -> bool:
            asked.append(is_frozen(pid))
            if len(asked) == 2:
                frozen.close()
            return asked[-1]

        monkeypatch.setattr("mars2_env.sandbox.bubblewrap.is_frozen", thaw_when_asked)
        frozen.enter_context(Groups(sandbox).pause())
        assert sandbox.run(ADD, ["20 22"], limits=limits)[0].output == "42\n"
        assert asked[:2] == [True, True]
        assert sandbox.supervisors == before


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a worker's connection."""
    with ExitStack() as stack:
        ours, theirs = socket.socketpair()
        yield stack.enter_context(ours), stack.enter_context(theirs)


def ask(worker: Worker, pause: float = 0.0) -> str:
    """Return what a worker says comes of a run, after hardly any patience."""
    return worker.run([b"20 22"], fresh=False, timeout=0.01, pause=pause)[0].output.decode()


def test_a_worker_that_says_it_is_still_at_a_run_is_waited_for(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(pack(CLEAN) + 3 * pack(BEAT) + ANSWER)
    assert ask(Worker("one", ours, lambda: None)) == "42\n"


def test_a_silent_worker_is_lost(ends: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(WorkerLostError, match="did not answer"):
        ask(Worker("one", ends[0], lambda: None), pause=1000.0)


def test_a_silent_worker_that_is_paused_is_waited_for_within_bounds(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    asked: list[int] = []

    def paused() -> bool:
        asked.append(1)
        if len(asked) == 3:
            theirs.sendall(ANSWER)
        return True

    assert ask(Worker("one", ours, lambda: None, paused), pause=1000.0) == "42\n"
    with pytest.raises(WorkerLostError, match="did not answer"):
        ask(Worker("one", ours, lambda: None, lambda: True), pause=0.0)


def test_time_in_which_the_host_itself_was_stopped_is_no_silence(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = ends
    worker = Worker("one", ours, lambda: None)
    waits: list[int] = []

    class Stopped:
        """Comes back from each wait much later than was asked for; the answer is there after the third."""

        def register(self, sock: socket.socket, event: int) -> None:
            self.event = event

        def poll(self, milliseconds: int) -> list[int]:
            if self.event == select.POLLOUT:
                return [1]
            waits.append(milliseconds)
            if len(waits) == 3:
                theirs.sendall(ANSWER)
            return [1] if len(waits) >= 3 else []

    monkeypatch.setattr("mars2_env.sandbox.connection.select.poll", Stopped)
    assert worker.run([b"20 22"], fresh=False, timeout=2.5)[0].output == b"42\n"
    assert waits == [1000, 1000, 500]
