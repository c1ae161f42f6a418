"""Pools on one machine share its cores: slots are taken, waited for, given back, and never waited for in vain."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mars2_env.sandbox import cores, make_sandbox
from mars2_env.sandbox.cores import Cores
from mars2_env.sandbox.pool import PerProcess

_HOLDER = """
import os, sys
from mars2_env.sandbox.cores import Cores
cores = Cores(sys.argv[1], 2)
with cores.slot(0) as one, cores.slot(0) as two, cores.slot(0) as three:
    FORK
    print(one, two, three, flush=True)
    input()
print("free", flush=True)
input()
"""


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """Slots of the test's own, two of them, that are gone afterwards."""
    found = f"{request.node.nodeid} {os.getpid()}"
    try:
        yield found
    finally:
        Cores(found, 2).remove()


def holder(name: str, fork: str = "") -> subprocess.Popen[str]:
    """Start a process that takes two slots, says so, and gives them back when it is sent a line."""
    command = [sys.executable, "-W", "ignore", "-c", _HOLDER.replace("FORK", fork), name]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_there_are_as_many_slots_as_cores_in_all_processes_together(name: str) -> None:
    ours = Cores(name, 2)
    with holder(name) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "True True False\n"
        with ours.slot(0) as there_was:
            assert not there_was
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(lambda: ours.slot(60).__enter__())
            process.stdin.write("\n")
            process.stdin.flush()
            assert waiting.result() is True
        process.communicate("\n")


def test_slots_of_a_killed_process_are_free_even_where_a_child_of_it_lives_on(name: str) -> None:
    ours = Cores(name, 2)
    with holder(name, "child = os.fork() or __import__('time').sleep(600)\n    print(child)") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            assert process.stdout.readline() == "True True False\n"
            process.kill()
            process.wait()
            with ours.slot(10) as one, ours.slot(10) as two:
                assert one and two
            os.kill(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_stopped_process_holds_nobody_up_for_longer_than_their_patience_and_only_once(name: str) -> None:
    ours, others = Cores(name, 2), Cores(name, 2)
    with holder(name) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        with ours.slot(0.05) as there_was:
            assert not there_was
        with others.slot(60):
            pass  # it finds that the slots are gone, at once
        with ours.slot(60) as one, others.slot(60) as two, ours.slot(0) as three:
            assert (one, two, three) == (True, True, False)
            process.send_signal(signal.SIGCONT)
            process.communicate("\n\n")  # what it gives back now is no slot of ours
            with ours.slot(0) as three:
                assert not three


def test_whoever_waits_when_the_slots_are_thrown_away_goes_on(name: str) -> None:
    ours = Cores(name, 2)
    with ours.slot(0), ours.slot(0), ThreadPoolExecutor() as threads:
        waiting = threads.submit(lambda: ours.slot(60).__enter__())
        with ours.slot(0.2) as there_was:
            assert not there_was
        waiting.result()


def test_threads_of_one_process_share_too(name: str) -> None:
    ours, lock = Cores(name, 2), threading.Lock()
    inside = most = 0

    def run(number: int) -> bool:
        nonlocal inside, most
        with ours.slot(60) as there_was:
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1
        return there_was

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(run, range(500)))
    assert 1 <= most <= 2
    with ours.slot(0) as one, ours.slot(0) as two, ours.slot(0) as three:
        assert (one, two, three) == (True, True, False)


def test_without_such_locks_nothing_is_shared_and_everything_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_here", PerProcess())
    monkeypatch.setattr("ctypes.CDLL", lambda *arguments, **options: object())
    with pytest.raises(OSError, match="semaphores"):
        Cores("any", 2)
    with cores.slot(), cores.slot():
        pass


@pytest.mark.docker
def test_two_pools_on_one_core_run_one_program_at_a_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here: PerProcess[Cores | None] = PerProcess()
    here.get(lambda: Cores(name, 1))
    monkeypatch.setattr(cores, "_here", here)
    program = "import time\nbegan = time.monotonic()\ntime.sleep(0.05)\nprint([began, time.monotonic()])"
    with make_sandbox("docker", workers=2) as one, make_sandbox("docker", workers=2) as other:
        with ThreadPoolExecutor(4) as threads:
            runs = list(threads.map(lambda sandbox: sandbox.run(program, [""] * 3), [one, other] * 3))
        spans = sorted(json.loads(run.output) for found in runs for run in found)
        assert len(spans) == 18
        assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))
        # A stream that is left in the middle holds a worker, and no slot.
        paused = one.stream(program, ["", ""])
        next(paused)
        assert other.run(program, [""])[0].status == "ok"
        paused.close()  # type: ignore[attr-defined]
