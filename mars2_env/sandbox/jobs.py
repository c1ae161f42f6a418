"""A job: one program on its inputs, one after the other, in a leased worker; and what each run came to."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from math import ceil
from typing import Any, Final, Literal, Protocol, TypeAlias

from mars2_env.errors import ConfigError, SandboxError
from mars2_env.sandbox import cores
from mars2_env.sandbox.connection import KEPT_FROM, MAX_INPUT, Done, Worker, WorkerLostError
from mars2_env.sandbox.masking import mask
from mars2_env.sandbox.pool import Pool
from mars2_env.sandbox.worker.frames import (
    COMPILE_ERROR,
    CPU_GRACE,
    ERROR,
    FATAL_ERROR,
    MEMORY_ERROR,
    MOST_TOGETHER,
    RESULT,
    TOGETHER_SECONDS,
    TOO_LARGE,
    most_seconds,
)
from mars2_env.sandbox.worker.values import ValuesError, decode, encode
from mars2_env.types import Call, Interface, Limits, Run, Status, Stdin

Isolation: TypeAlias = Literal["program", "input"]
"""In call mode: one process for a program (it may remember earlier inputs), or one for each input."""

_MOST_LOSSES: Final = 6
"""How many workers are tried for one run where they die before they have its input; later deaths count in full."""

_TOGETHER_AT_FIRST: Final = 4
"""How many calls of a program are sent together at first; more and more where it answers quickly."""

HUNG_SECONDS: Final = 15.0
"""After a silence so much longer than the wall limit a run's worker counts as hung, unless it is paused."""

_STOPPED: Final[dict[str, Status]] = {
    "cpu": "time_limit",
    "wall": "time_limit",
    "memory": "memory_limit",
    "output": "output_limit",
}


def encode_input(value: Any, interface: Interface) -> bytes:
    """Return an input as a worker takes it.

    Raises:
        ConfigError: it is not a text (`Stdin`), not a list of plain data (`Call`), or too large (`MAX_INPUT`).
    """
    if isinstance(interface, Stdin):
        if not isinstance(value, str):
            raise ConfigError(f"an input for Stdin() is a text, not {type(value).__name__}.")
        data = value.encode("utf-8", "surrogatepass")
        if len(data) > MAX_INPUT:
            raise ConfigError(f"an input of {len(data)} bytes cannot be sent: at most {MAX_INPUT} can.")
        return data
    if not isinstance(value, list | tuple):
        raise ConfigError(f"an input for {interface} is a list of positional arguments, not {type(value).__name__}.")
    try:
        return encode(list(value), strict=True, max_bytes=MAX_INPUT)
    except ValuesError as error:
        raise ConfigError(f"an input for {interface} cannot be sent: {error}.") from None


def _settings(interface: Interface, limits: Limits, inputs: int) -> dict[str, Any]:
    calls = isinstance(interface, Call)
    return {
        "calls": calls,
        "function": interface.name if isinstance(interface, Call) else "",
        "prelude": interface.prelude,
        "cpu_seconds": limits.cpu_seconds,
        "wall_seconds": limits.wall_seconds,
        "memory_bytes": int(limits.memory_bytes),
        "output_bytes": int(limits.output_bytes),
        "processes": int(limits.processes),
        # The kernel counts whole seconds over the life of one process: a backstop.
        "rlimit_cpu": (ceil(limits.cpu_seconds * CPU_GRACE) + 2) * (max(1, inputs) if calls else 1),
    }


def interpret(done: Done, interface: Interface, limits: Limits) -> Run:
    """Return what one run came to. Only the exit status and the worker's own measurements decide how it ended."""
    run = Run(
        "ok",
        stderr=mask(done.stderr.decode("utf-8", "replace")),
        cpu_seconds=done.cpu_seconds,
        wall_seconds=done.wall_seconds,
        memory_bytes=done.memory_bytes,
    )
    if isinstance(interface, Stdin):
        run = replace(run, output=done.output.decode("utf-8", "replace"))
    if done.status is not None:
        run = replace(run, exit_code=os.waitstatus_to_exitcode(done.status))
    if done.reason in _STOPPED:
        return replace(run, status=_STOPPED[done.reason])
    if done.cpu_seconds > limits.cpu_seconds or run.exit_code == -signal.SIGXCPU:
        return replace(run, status="time_limit")
    if isinstance(interface, Stdin) and run.exit_code == 0:
        return run
    return _with_report(run, done, interface, limits)


def _with_report(run: Run, done: Done, interface: Interface, limits: Limits) -> Run:
    kind, data = done.report[:1], done.report[1:]
    if isinstance(interface, Call) and done.reason == "answer" and kind == RESULT:
        try:
            return replace(run, output=decode(data, int(limits.output_bytes)))
        except ValuesError as error:
            return replace(run, status="runtime_error", error_type="ValueError", error_message=str(error))
    if kind == TOO_LARGE:
        run = replace(run, status="output_limit")
    elif kind == MEMORY_ERROR:
        return replace(run, status="memory_limit", error_type="MemoryError", traceback="MemoryError")
    elif kind == COMPILE_ERROR:
        run = replace(run, status="compile_error")
    else:
        run = replace(run, status="runtime_error")
    if kind in (ERROR, FATAL_ERROR, COMPILE_ERROR, TOO_LARGE):
        try:
            error_type, message, traceback = decode(data, 2**17, 8, 16)
            if all(type(text) is str for text in (error_type, message, traceback)):
                return replace(run, error_type=mask(error_type), error_message=mask(message), traceback=mask(traceback))
        except (ValuesError, ValueError, TypeError):
            pass  # the candidate wrote it: then it is left without details
    code = run.exit_code
    if done.reason == "protocol":
        return replace(run, error_type="ProtocolError", error_message="more than one result for one call")
    if code is None:
        return run
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return replace(run, error_type=name, error_message=f"killed by {name}")
    ended = "exited before it returned" if isinstance(interface, Call) else "exited"
    return replace(run, error_type="SystemExit", error_message=f"the process {ended}, with exit code {code}")


class Job:
    """Steps through the inputs of one job; the worker to use is given at each step."""

    def __init__(self, program: str, inputs: Sequence[Any], interface: Interface, limits: Limits, isolation: Isolation):
        self.source = program.encode("utf-8", "surrogatepass")
        self.inputs = inputs
        self.interface = interface
        self.limits = limits
        self.settings = _settings(interface, limits, len(inputs))
        self.fresh = isolation == "input"
        self.opened_in: Worker | None = None
        self.timeout = limits.wall_seconds + HUNG_SECONDS
        self.pause = most_seconds(limits.wall_seconds)
        self.settled: Run | None = None
        self.most_together = MOST_TOGETHER if isinstance(interface, Call) and not self.fresh else 1
        self.together = min(_TOGETHER_AT_FIRST, self.most_together)
        self.ahead: deque[Done] = deque()

    def step(self, worker: Worker, index: int) -> Run:
        """Run on input `index` in `worker`; the inputs are to be taken in order."""
        if self.settled is not None:
            return self.settled
        if worker is not self.opened_in:
            worker.open(self.settings, self.source)
            self.opened_in = worker
            self.ahead.clear()
        if not self.ahead:
            inputs = self._next(index)
            self.ahead.extend(self._exchange(worker, inputs, self.fresh))
            # A program that answers quickly is asked more at a time; the worker still asks it one after the other.
            took = sum(done.wall_seconds for done in self.ahead)
            quick = self.ahead[-1].reason == "answer" and took < TOGETHER_SECONDS
            self.together = min(2 * self.together, self.most_together) if quick else 1
        done = self.ahead.popleft()
        if done.reason in ("exit", "answer"):
            limit = self.limits.cpu_seconds
            if limit < done.cpu_seconds <= limit * CPU_GRACE:
                # Close calls are run once more, from scratch, so that a busy machine does not change a verdict.
                again = self._exchange(worker, [encode_input(self.inputs[index], self.interface)], fresh=True)
                done = min(done, *again, key=lambda one: (one.reason not in ("exit", "answer"), one.cpu_seconds))
        run = interpret(done, self.interface, self.limits)
        if run.status == "compile_error":
            self.settled = run
        return run

    def _exchange(self, worker: Worker, inputs: list[bytes], fresh: bool) -> list[Done]:
        """Run when one of this machine's cores is free of other runs, or has not been for long."""
        with cores.slot():
            return worker.run(inputs, fresh=fresh, timeout=self.timeout, pause=self.pause)

    def _next(self, index: int) -> list[bytes]:
        """Return input `index`, encoded, and those after it that are sent together with it."""
        inputs = [encode_input(self.inputs[index], self.interface)]
        size = len(inputs[0])
        for value in self.inputs[index + 1 : index + self.together]:
            try:
                inputs.append(encode_input(value, self.interface))
            except ConfigError:
                break  # it is raised when its turn comes
            size += len(inputs[-1])
            if size >= KEPT_FROM:
                del inputs[-1]
                break
        return inputs


class _Lease:
    """Holds a worker for a job, replaces one that fails (once for an input that it had), and gives it back."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.worker: Worker | None = None
        self.usable = False
        self.failures = 0
        self.losses = 0

    def lost(self, error: WorkerLostError) -> None:
        """Throw the worker away; raise if this was the second one that failed on the same input."""
        self.give_back()
        self.failures += error.job_began
        self.losses += 1
        if self.failures > 1 or self.losses > _MOST_LOSSES:
            raise SandboxError(f"two sandbox workers failed on one run; the last: {error}.") from error

    def give_back(self) -> None:
        """Return the worker to the pool, if there is one."""
        worker, self.worker = self.worker, None
        if worker is None:
            return
        if self.usable:
            try:
                worker.close_job()
            except WorkerLostError:
                self.usable = False
        self.pool.release(worker, usable=self.usable)

    def give_back_after(self, step: Future[Run]) -> None:
        """Return the worker when `step`, which nobody waits for any more, has ended: its limits see to that."""
        held = _Lease(self.pool)
        held.worker, self.worker = self.worker, None

        def ended(done: Future[Run]) -> None:
            held.usable = not done.cancelled() and done.exception() is None
            held.give_back()

        step.add_done_callback(ended)


class _Waiting(Protocol):
    """How the course of a job waits: for a worker, and for a step of the job."""

    async def for_worker(self, pool: Pool) -> Worker: ...

    async def for_step(self, job: Job, lease: _Lease, index: int) -> Run: ...


class _Blocking:
    """Waits in the thread that asks: its coroutines never suspend, so that no event loop is needed (`_at_once`)."""

    async def for_worker(self, pool: Pool) -> Worker:
        future = pool.lease()
        try:
            return future.result()
        except KeyboardInterrupt:
            _decline(pool, future)
            raise

    async def for_step(self, job: Job, lease: _Lease, index: int) -> Run:
        assert lease.worker is not None
        return job.step(lease.worker, index)


class _Suspending:
    """Waits for a worker without holding a thread, and for a step in one of `executor`, which has one a worker."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def for_worker(self, pool: Pool) -> Worker:
        future = pool.lease()
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            _decline(pool, future)
            raise

    async def for_step(self, job: Job, lease: _Lease, index: int) -> Run:
        assert lease.worker is not None
        step = self._executor.submit(job.step, lease.worker, index)
        try:
            return await asyncio.wrap_future(step)
        except asyncio.CancelledError:
            lease.give_back_after(step)
            raise


async def _run(job: Job, lease: _Lease, index: int, waiting: _Waiting) -> Run:
    """Run on input `index`, in the worker that is held or, if it is lost before it has answered, in another."""
    lease.failures = lease.losses = 0
    while True:
        if lease.worker is None:
            lease.worker = await waiting.for_worker(lease.pool)
        lease.usable = False
        try:
            run = await waiting.for_step(job, lease, index)
        except WorkerLostError as error:
            lease.lost(error)
            continue
        except ConfigError:
            lease.usable = True
            raise
        lease.usable = True
        return run


def _at_once(coroutine: Coroutine[Any, Any, Run]) -> Run:
    """Return what a coroutine that never suspends comes to."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        run: Run = ended.value
        return run
    raise RuntimeError("a blocking wait was suspended")


def stream(
    pool: Pool, program: str, inputs: Sequence[Any], interface: Interface, limits: Limits, isolation: Isolation
) -> Iterator[Run]:
    """Yield one `Run` for each input; see `Sandbox.stream`. The sync face of the same course as `astream`'s."""
    job, lease, waiting = Job(program, inputs, interface, limits, isolation), _Lease(pool), _Blocking()
    try:
        for index in range(len(inputs)):
            yield _at_once(_run(job, lease, index, waiting))
    finally:
        lease.give_back()


async def astream(
    pool: Pool,
    executor: Executor,
    program: str,
    inputs: Sequence[Any],
    interface: Interface,
    limits: Limits,
    isolation: Isolation,
) -> AsyncIterator[Run]:
    """Async twin of `stream`; `executor` has a thread for each worker."""
    job, lease, waiting = Job(program, inputs, interface, limits, isolation), _Lease(pool), _Suspending(executor)
    try:
        for index in range(len(inputs)):
            yield await _run(job, lease, index, waiting)
    finally:
        lease.give_back()


def _decline(pool: Pool, future: Future[Worker]) -> None:
    """Give up waiting for a worker; one that was granted in the meantime goes back."""

    def give_back(done: Future[Worker]) -> None:
        if not done.cancelled() and done.exception() is None:
            pool.release(done.result(), usable=True)

    if not future.cancel():
        future.add_done_callback(give_back)
