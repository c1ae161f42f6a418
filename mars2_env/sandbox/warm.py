"""What back ends that keep warm workers have in common: their life cycle, their limits, how they run a program."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Final, Generic, Protocol, Self, TypeVar

from mars2_env.base.checks import whole_number
from mars2_env.base.machine import cores
from mars2_env.errors import ConfigError, SandboxError, SandboxUnavailableError
from mars2_env.sandbox import jobs
from mars2_env.sandbox.base import LIMITS, STDIN
from mars2_env.sandbox.connection import Worker
from mars2_env.sandbox.pool import PerProcess, Pool
from mars2_env.sandbox.worker.place import NAME
from mars2_env.types import Call, Interface, Limits, Run

PROCESSES: Final = 128
"""How many processes and threads a worker may hold, its own included."""

_PROCESSES_RESERVED: Final = 16
ENVIRONMENT: Final = {
    "PATH": "/python/bin:/bin",
    "LANG": "C.UTF-8",
    "LD_BIND_NOW": "1",  # symbols are looked up once, and not in every forked process
    "USER": NAME,  # their user id is drawn anew for each run
    "PYTHONHASHSEED": "0",
    "PYTHONINTMAXSTRDIGITS": "0",  # CPU time is limited; what a program prints, only by the output limit
    "PYTHON_CPU_COUNT": "2",  # as the zygote tells programs where Python is older than 3.13
    "MALLOC_ARENA_MAX": "1",  # an arena for each thread would use up a run's address space
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Of a worker, and so of the programs."""


_IMPORT_LIMITS: Final = Limits(cpu_seconds=30, wall_seconds=120)


class Launcher(Protocol):
    """Starts the workers of one process, and whatever they need."""

    def launch(self) -> Worker:
        """Start a worker and wait until it has run a known-good program."""
        ...

    def close(self) -> None:
        """Let go of what is left when every worker has been stopped."""
        ...


L = TypeVar("L", bound=Launcher)


@dataclass(frozen=True, slots=True)
class Opened(Generic[L]):
    """What one process has of a sandbox: its workers and its threads."""

    launcher: L
    pool: Pool
    executor: ThreadPoolExecutor
    pid: int

    def close(self) -> None:
        """Stop every worker. Idempotent; does nothing in another process, such as a forked one that ends."""
        if os.getpid() == self.pid:
            self.pool.close()
            self.executor.shutdown(wait=False)
            self.launcher.close()


class WarmSandbox(ABC, Generic[L]):
    """A sandbox with a pool of warm workers. Keeps the contract of `Sandbox`; thread-safe.

    No worker is shared between processes: in a forked process, and where it was unpickled, a sandbox starts workers of
    its own when it is first used. A job that was in progress at a fork goes on in the process it was begun in, and is a
    `SandboxError` in the other.

    Args:
        workers: How many runs go on at a time; None for one a core.
        isolation: In call mode, "program": one process for all inputs of a program, which may remember earlier ones and
            cannot look ahead; "input": a process for each input. In stdin mode each input always has its own.
        python_packages: Give programs these Python distributions, and those that they require.
        packages: Give programs the files of these Debian packages, and of what they depend on.
        memory_bytes: Memory of a worker; `memory_reserved` of it is its own, the rest a run's.
        recycle_after: Replace a worker after so many runs.

    Raises:
        ConfigError: an argument makes no sense.
    """

    memory_reserved: ClassVar[int]

    def __init__(
        self,
        workers: int | None,
        isolation: jobs.Isolation,
        python_packages: tuple[str, ...],
        packages: tuple[str, ...],
        memory_bytes: int,
        recycle_after: int,
    ) -> None:
        if workers is not None:
            whole_number("workers", workers)
        if isolation not in ("program", "input"):
            raise ConfigError(f'isolation={isolation!r}: must be "program" or "input".')
        if memory_bytes < 2 * self.memory_reserved:
            raise ConfigError(f"memory_bytes={memory_bytes!r}: a worker needs at least {2 * self.memory_reserved}.")
        whole_number("recycle_after", recycle_after)
        self._size = workers if workers is not None else cores()
        self._isolation: jobs.Isolation = isolation
        self._python_packages = python_packages
        self._packages = packages
        self._memory_bytes = memory_bytes
        self._recycle_after = recycle_after
        self._closed = False
        self._here: PerProcess[Opened[L]] = PerProcess()

    @abstractmethod
    def _launcher(self) -> L:
        """Return what starts the workers of this process."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """What decides behaviour, as a short stable text."""

    def _opened(self) -> Opened[L]:
        """Return what this process has of the sandbox; workers begin to start in the background the first time."""
        return self._here.get(self._open)

    def _open(self) -> Opened[L]:
        if self._closed:
            raise SandboxError("the sandbox is closed.")
        launcher = self._launcher()
        opened = Opened(
            launcher,
            Pool(launcher.launch, self._size, self._recycle_after),
            ThreadPoolExecutor(self._size, thread_name_prefix="mars2-sandbox"),
            os.getpid(),
        )
        weakref.finalize(self, opened.close)
        return opened

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the configuration."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_here", "_closed")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a configuration; workers start at the first use."""
        self.__dict__.update(state, _here=PerProcess(), _closed=False)

    @property
    def workers(self) -> int:
        """How many runs go on at a time."""
        return self._size

    def _names(self) -> tuple[str, ...]:
        """Return the names of this process's workers that are up."""
        opened = self._here.peek()
        return () if opened is None else opened.pool.names()

    def _facts(self) -> dict[str, Any]:
        """Return what a worker says of itself."""
        pool = self._opened().pool
        worker = pool.lease().result()
        facts = worker.facts
        pool.release(worker, usable=True)
        return facts

    def run(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> list[Run]:
        """Run `program` on each input; see `Sandbox.run`."""
        return list(self.stream(program, inputs, interface=interface, limits=limits))

    def stream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> Iterator[Run]:
        """Run `program` on one input after the other; see `Sandbox.stream`.

        Between two results the iterator holds a worker: finish it or close it.
        """
        self._check(program, inputs, limits)
        return jobs.stream(self._opened().pool, program, inputs, interface, limits, self._isolation)

    async def arun(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> list[Run]:
        """Async twin of `run`."""
        return [run async for run in self.astream(program, inputs, interface=interface, limits=limits)]

    def astream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> AsyncIterator[Run]:
        """Async twin of `stream`."""
        self._check(program, inputs, limits)
        here = self._opened()
        return jobs.astream(here.pool, here.executor, program, inputs, interface, limits, self._isolation)

    def _check(self, program: str, inputs: Sequence[Any], limits: Limits) -> None:
        if not isinstance(program, str):
            raise ConfigError(f"program={program!r:.100}: a program is a text, not {type(program).__name__}.")
        if isinstance(inputs, str | bytes) or not isinstance(inputs, Sequence):
            raise ConfigError(f"inputs={inputs!r:.100}: give a list of inputs, one for each run.")
        room = self._memory_bytes - self.memory_reserved
        if limits.memory_bytes > room:
            raise ConfigError(
                f"Limits(memory_bytes={limits.memory_bytes}): a run here may use at most {room}; make the sandbox with "
                f"memory_bytes={int(limits.memory_bytes) + self.memory_reserved} or more."
            )
        if limits.processes > PROCESSES - _PROCESSES_RESERVED:
            raise ConfigError(
                f"Limits(processes={limits.processes}): a run here may hold at most {PROCESSES - _PROCESSES_RESERVED}."
            )

    def close(self) -> None:
        """Stop every worker and wait until they are gone. Idempotent; also done when the program ends."""
        self._closed = True
        opened = self._here.peek()
        if opened is not None:
            opened.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def check_known_good(worker: Worker, imports: Sequence[str] = ()) -> None:
    """Run a program of each mode whose outcome is known, and one that imports what programs were to have.

    Raises:
        SandboxError: one of them ends otherwise.
    """
    for module in imports:
        job = jobs.Job(f"import {module}\n", [""], STDIN, _IMPORT_LIMITS, "program")
        run = job.step(worker, 0)
        worker.close_job()
        if run.status != "ok":
            why = run.traceback.rpartition("\n")[2] or run.status
            raise SandboxUnavailableError(f"python_packages: {module} cannot be imported in the sandbox: {why}.")
    for program, interface, value, expected in (
        ("a, b = map(int, input().split())\nprint(a + b)\n", STDIN, "20 22\n", "42\n"),
        ("def add(a, b):\n    return a + b\n", Call("add"), [20, 22], 42),
    ):
        job = jobs.Job(program, [value], interface, LIMITS, "program")
        run = job.step(worker, 0)
        worker.close_job()
        if run.status != "ok" or run.output != expected:
            raise SandboxError(f"a fresh sandbox container fails a known-good program: {run}")
