"""Leasing, replacing and second chances, with workers that are played."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from mars2_env.errors import SandboxAwayError, SandboxError
from mars2_env.sandbox import jobs
from mars2_env.sandbox.connection import Done, WorkerLostError
from mars2_env.sandbox.masking import mask
from mars2_env.sandbox.pool import Pool
from mars2_env.types import Call, Interface, Limits, Stdin

LIMITS = Limits(cpu_seconds=1.0, wall_seconds=5)


def done(
    cpu: float = 0.01, reason: str = "exit", status: int | None = 0, output: bytes = b"", report: bytes = b""
) -> Done:
    return Done(reason, status, cpu, cpu, 1000, output, b"", report)


class Played:
    """A worker that answers with what is in its script; an exception there is raised."""

    def __init__(self, *script: Done | Exception, alive: bool = True) -> None:
        self.script = list(script)
        self.runs = 0
        self.name = f"played{id(self)}"
        self.fresh: list[bool] = []
        self.opened = 0
        self.stopped = threading.Event()
        self.is_alive = alive

    def alive(self) -> bool:
        return self.is_alive

    def open(self, settings: dict[str, Any], program: bytes) -> None:
        self.opened += 1

    def run(self, inputs: Sequence[bytes], *, fresh: bool, timeout: float, pause: float) -> list[Done]:
        """Answer the first input alone, as a worker may."""
        self.runs += 1
        self.fresh.append(fresh)
        found = self.script.pop(0) if self.script else done(output=inputs[0])
        if isinstance(found, Exception):
            raise found
        return [found]

    def close_job(self) -> None:
        pass

    def stop(self) -> None:
        self.stopped.set()


def pool_of(*workers: Played | Exception, size: int = 1, recycle_after: int = 1000) -> Pool:
    queue = list(workers)

    def launch() -> Any:
        made = queue.pop(0) if queue else Played()
        if isinstance(made, Exception):
            raise made
        return made

    return Pool(launch, size, recycle_after)


def run(pool: Pool, inputs: list[Any], interface: Interface | None = None) -> list[Any]:
    return list(jobs.stream(pool, "", inputs, interface or Stdin(), LIMITS, "program"))


def test_a_lost_worker_is_replaced_and_the_input_sent_again() -> None:
    first, second = Played(done(output=b"a"), WorkerLostError("died")), Played()
    outputs = [one.output for one in run(pool_of(first, second), ["a", "b", "c"])]
    assert outputs == ["a", "b", "c"]
    assert first.stopped.wait(5) and second.opened == 1 and second.runs == 2


def test_two_lost_workers_on_one_input_are_an_error() -> None:
    pool = pool_of(Played(WorkerLostError("died")), Played(WorkerLostError("hung")), Played())
    with pytest.raises(SandboxError, match="hung"):
        run(pool, ["a"])
    assert run(pool, ["a"])[0].output == "a"


def test_lost_workers_on_different_inputs_are_forgiven_each_time() -> None:
    lost = WorkerLostError("died")
    pool = pool_of(Played(lost), Played(done(output=b"a"), lost), Played())
    assert [one.output for one in run(pool, ["a", "b"])] == ["a", "b"]


def test_a_worker_that_dies_of_the_run_before_counts_against_nobody() -> None:
    busy = WorkerLostError("was cleaning up", job_began=False)
    pool = pool_of(Played(busy), Played(busy), Played(WorkerLostError("died")), Played())
    assert run(pool, ["a"])[0].output == "a"


def test_a_dead_idle_worker_is_not_handed_out() -> None:
    dead, living = Played(), Played()
    pool = pool_of(dead, living)
    assert run(pool, ["a"])[0].output == "a"
    dead.is_alive = False
    assert run(pool, ["b"])[0].output == "b"
    assert living.runs == 1 and dead.stopped.wait(5)


def test_a_start_that_fails_by_chance_is_tried_again_and_nobody_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mars2_env.sandbox.pool.PAUSES", (0.0, 0.0))
    outcomes: list[Any] = [SandboxError("died while it started"), ValueError("odd"), Played()]
    pool = Pool(lambda: started(outcomes), 1, recycle_after=1000)
    assert run(pool, ["a"])[0].output == "a" and not outcomes


def test_an_engine_that_is_away_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mars2_env.sandbox.pool.PAUSES", (600.0, 600.0))
    somebody_waits = threading.Event()
    outcomes: list[Any] = [SandboxAwayError("no engine")]

    def launch() -> Any:
        somebody_waits.wait(10)
        return started(outcomes)

    pool = Pool(launch, 1, recycle_after=1000)
    waiting = pool.lease()
    somebody_waits.set()
    with pytest.raises(SandboxAwayError, match="no engine"):
        waiting.result(60)


def test_a_pool_that_is_closed_does_not_wait_for_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mars2_env.sandbox.pool.PAUSES", (600.0, 600.0))
    tried = threading.Event()

    def launch() -> Any:
        tried.set()
        raise SandboxError("died while it started")

    pool = Pool(launch, 1, recycle_after=1000)
    waiting = pool.lease()
    assert tried.wait(60)
    pool.close()
    with pytest.raises(SandboxError):
        waiting.result(60)


def started(outcomes: list[Any]) -> Any:
    """Return or raise what comes of the next start."""
    outcome = outcomes.pop(0)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def test_workers_that_cannot_start_are_an_error_to_whoever_waits_and_are_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mars2_env.sandbox.pool.PAUSES", (0.0, 0.0))
    somebody_waits = threading.Semaphore(0)
    outcomes: list[Any] = [*[SandboxError("no engine")] * 3, *[ValueError("odd")] * 3, Played()]

    def launch() -> Any:
        somebody_waits.acquire(timeout=10)
        return started(outcomes)

    pool = Pool(launch, 1, recycle_after=1000)
    for words in ("no engine", "ValueError: odd"):
        waiting = pool.lease()
        somebody_waits.release(3)
        with pytest.raises(SandboxError, match=words):
            waiting.result(10)
    waiting = pool.lease()
    somebody_waits.release()
    pool.release(waiting.result(10), usable=True)
    assert run(pool, ["a"])[0].output == "a"


def test_a_worn_worker_serves_until_its_successor_is_there() -> None:
    may_start, workers = threading.Event(), [Played(), Played()]
    made: list[Played] = []

    def launch() -> Any:
        if made:
            may_start.wait(10)
        made.append(workers[len(made)])
        return made[-1]

    pool = Pool(launch, 1, recycle_after=2)
    for _ in range(6):
        run(pool, ["a"])
    assert workers[0].runs == 6
    may_start.set()
    assert workers[0].stopped.wait(10)
    run(pool, ["a"])
    assert workers[1].runs == 1 and pool.names() == (workers[1].name,)


def test_a_closed_pool_stops_its_workers_and_refuses() -> None:
    worker = Played()
    pool = pool_of(worker)
    held = pool.lease().result(5)
    waiting = pool.lease()
    pool.close()
    assert worker.stopped.is_set()
    for future in (waiting, pool.lease()):
        with pytest.raises(SandboxError, match="closed"):
            future.result(5)
    pool.release(held, usable=True)
    assert pool.names() == ()


def test_whoever_stops_waiting_takes_no_worker() -> None:
    pool = pool_of(Played())
    held = pool.lease().result(5)
    given_up, waiting = pool.lease(), pool.lease()
    assert given_up.cancel()
    pool.release(held, usable=True)
    assert waiting.result(5) is held


@pytest.mark.parametrize(
    ("times", "status", "runs"),
    [
        ((0.9,), "ok", 1),
        ((1.1, 0.8), "ok", 2),
        ((1.1, 1.15), "time_limit", 2),
        ((1.3,), "time_limit", 1),
    ],
)
def test_close_calls_on_cpu_time_are_run_once_more(times: tuple[float, ...], status: str, runs: int) -> None:
    worker = Played(*(done(cpu) for cpu in times))
    assert run(pool_of(worker), ["a"])[0].status == status
    assert worker.runs == runs


def test_the_second_run_of_a_close_call_starts_from_scratch() -> None:
    report = b"V1"
    worker = Played(done(1.1, "answer", None, report=report), done(0.7, "answer", None, report=report))
    found = run(pool_of(worker), [[1]], Call("f"))[0]
    assert found.status == "ok" and found.cpu_seconds == 0.7
    assert worker.fresh == [False, True]


def test_a_close_call_that_is_killed_the_second_time_keeps_its_first_outcome() -> None:
    worker = Played(done(1.1), done(1.2, "cpu", 9))
    assert run(pool_of(worker), ["a"])[0].status == "time_limit"


def test_a_program_that_does_not_compile_is_run_once() -> None:
    worker = Played(done(status=256, report=b'C["SyntaxError","bad","SyntaxError: bad"]'))
    found = run(pool_of(worker), ["a", "b", "c"])
    assert [one.status for one in found] == ["compile_error"] * 3 and worker.runs == 1


@pytest.mark.parametrize(
    ("interface", "played", "expected"),
    [
        (Stdin(), done(), ("ok", "")),
        (Stdin(), done(report=b"V3"), ("ok", "")),
        (Stdin(), done(status=256), ("runtime_error", "SystemExit")),
        (Stdin(), done(status=11), ("runtime_error", "SIGSEGV")),
        (Stdin(), done(status=256, report=b'E["X","m","t"]'), ("runtime_error", "X")),
        (Stdin(), done(status=256, report=b'E["X",1,"t"]'), ("runtime_error", "SystemExit")),
        (Stdin(), done(status=256, report=b"E[[[["), ("runtime_error", "SystemExit")),
        (Stdin(), done(status=256, report=b"V3"), ("runtime_error", "SystemExit")),
        (Stdin(), done(status=256, report=b"M"), ("memory_limit", "MemoryError")),
        (Stdin(), done(reason="memory", status=9), ("memory_limit", "")),
        (Stdin(), done(reason="wall", status=9), ("time_limit", "")),
        (Stdin(), done(reason="output", status=0), ("output_limit", "")),
        (Stdin(), done(status=24), ("time_limit", "")),
        (Call("f"), done(reason="answer", status=None, report=b"V3"), ("ok", "")),
        (Call("f"), done(reason="answer", status=None, report=b"V{"), ("runtime_error", "ValueError")),
        (Call("f"), done(reason="answer", status=None, report=b"?3"), ("runtime_error", "")),
        (
            Call("f"),
            done(reason="answer", status=None, report=b'T["TooLargeError","m","t"]'),
            ("output_limit", "TooLargeError"),
        ),
        (Call("f"), done(reason="exit", status=0, report=b"V3"), ("runtime_error", "SystemExit")),
        (Call("f"), done(reason="exit", status=0), ("runtime_error", "SystemExit")),
        (Call("f"), done(reason="protocol", status=9, report=b"V3"), ("runtime_error", "ProtocolError")),
    ],
)
def test_how_a_run_is_read(interface: Interface, played: Done, expected: tuple[str, str]) -> None:
    found = jobs.interpret(played, interface, LIMITS)
    assert (found.status, found.error_type) == expected
    assert isinstance(interface, Stdin) or (found.output == 3) == (found.status == "ok")


def test_masking_leaves_other_texts_alone() -> None:
    assert mask("<object at 0x7f12ab34cd56> in /box/0123456789abcdef/x") == "<object at 0x...> in /box/x"
    assert mask("0x1f and 0xzz and /box/short") == "0x1f and 0xzz and /box/short"
