"""Whether a busy machine changes verdicts: the same programs on a quiet one, throttled, paused, beside busy sessions.

    python -m mars2_bench.speed.busy                          # some 20 minutes; prints a Markdown table
    python -m mars2_bench.speed.busy --programs 20 --backend docker --condition paused

Each program's verdict is known: it uses 0.7 of its CPU limit, in its own process or in a child; it answers at once,
right or wrong; it sleeps or waits for ever; it spins. Two workers run them under each condition:

    none       nothing else is done to them
    throttled  each worker may use 15 % of a core
    paused     both workers are frozen for twice the wall limit, over and over
    busy       20 processes that never rest run beside them, each in a session of its own: to the kernel's scheduler
               a session counts as much as another, so that one with many processes would get no more than one with one

`changed` counts the programs whose verdict was another than it should be, `faults` those without a verdict
(`SandboxError`). Throttling and pausing need root where the workers are bubblewrap's, and control groups of version 1.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from mars2_env.errors import SandboxError
from mars2_env.sandbox import make_sandbox
from mars2_env.sandbox.base import Sandbox
from mars2_env.sandbox.bubblewrap import BubblewrapSandbox
from mars2_env.sandbox.docker import DockerSandbox, connect
from mars2_env.types import Limits

LIMITS: Final = Limits(cpu_seconds=0.3, wall_seconds=0.9)
WORKERS: Final = 2
SESSIONS: Final = 20
SHARE: Final = 0.15
"""Of a core, for a throttled worker."""
_PERIOD: Final = 100_000  # microseconds, the kernel's default

_NEAR: Final = f"""
import time
while time.process_time() < {0.7 * LIMITS.cpu_seconds}: pass
print(sum(map(int, input().split())))
"""
_CHILD: Final = f"""
import os, time
if os.fork() == 0:
    while time.process_time() < {0.7 * LIMITS.cpu_seconds}: pass
    os._exit(0)
os.wait()
print(sum(map(int, input().split())))
"""


@dataclass(frozen=True, slots=True)
class Known:
    """A program, and what comes of it on the input "20 22"."""

    name: str
    program: str
    status: str
    output: str = ""


PROGRAMS: Final = (
    Known("near the limit", _NEAR, "ok", "42\n"),
    Known("at once", "print(sum(map(int, input().split())))", "ok", "42\n"),
    Known("sleeps", "import time\ntime.sleep(1000)", "time_limit"),
    Known("child near the limit", _CHILD, "ok", "42\n"),
    Known("wrong", "print(len(input()))", "ok", "5\n"),
    Known("near the limit, wrong", _NEAR.replace("sum(", "max("), "ok", "22\n"),
    Known("waits to read", "import os\nread, write = os.pipe()\nos.read(read, 1)", "time_limit"),
    Known("near the limit, fails", _NEAR + "raise ValueError", "runtime_error", "42\n"),
    Known("spins", "while True: pass", "time_limit"),
    Known("near the limit, again", _NEAR, "ok", "42\n"),
    Known("deadlock", "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()", "time_limit"),
)


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of the programs under one condition."""

    programs: int
    changed: tuple[str, ...]
    faults: int
    seconds: float


class Workers(Protocol):
    """What is done to the workers of a sandbox from outside."""

    def throttle(self) -> AbstractContextManager[None]:
        """Give each a share of a core for as long as the context is open."""

    def pause(self) -> AbstractContextManager[None]:
        """Freeze all of them for as long as the context is open."""


class Containers:
    """Of a Docker sandbox: by the engine."""

    def __init__(self, sandbox: DockerSandbox) -> None:
        self._client = connect()
        self._sandbox = sandbox

    def _each(self) -> list[Any]:
        return [self._client.containers.get(name) for name in self._sandbox.containers]

    @contextlib.contextmanager
    def throttle(self) -> Iterator[None]:
        """Give each a share of a core, to the end."""
        for container in self._each():
            container.update(cpu_period=_PERIOD, cpu_quota=int(SHARE * _PERIOD))
        yield

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Freeze all of them, but for what the engine fails to freeze just then, for as long as the context is open."""
        from docker.errors import APIError

        paused = []
        try:
            for container in self._each():
                with contextlib.suppress(APIError):
                    container.pause()
                    paused.append(container)
            yield
        finally:
            for container in paused:
                container.unpause()


class Groups:
    """Of a bubblewrap sandbox: by control groups (version 1) that its workers are put into."""

    def __init__(self, sandbox: BubblewrapSandbox) -> None:
        self._sandbox = sandbox

    @contextlib.contextmanager
    def _grouped(self, controller: str) -> Iterator[list[Path]]:
        home = Path("/sys/fs/cgroup") / controller
        made = []
        for pid in self._sandbox.supervisors:
            folder = home / f"mars2-busy-{pid}"
            folder.mkdir()
            made.append(folder)
            for process in _descendants(pid):
                with contextlib.suppress(ProcessLookupError):
                    (folder / "cgroup.procs").write_text(str(process))
        try:
            yield made
        finally:
            for folder in made:
                while folder.exists():  # what is started meanwhile is in it too
                    for left in (folder / "cgroup.procs").read_text().split():
                        with contextlib.suppress(ProcessLookupError):
                            (home / "cgroup.procs").write_text(left)
                    with contextlib.suppress(OSError):
                        folder.rmdir()

    @contextlib.contextmanager
    def throttle(self) -> Iterator[None]:
        """Give each a share of a core for as long as the context is open."""
        with self._grouped("cpu") as folders:
            for folder in folders:
                (folder / "cpu.cfs_period_us").write_text(str(_PERIOD))
                (folder / "cpu.cfs_quota_us").write_text(str(int(SHARE * _PERIOD)))
            yield

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Freeze all of them for as long as the context is open."""
        with self._grouped("freezer") as folders:
            try:
                for folder in folders:
                    (folder / "freezer.state").write_text("FROZEN")
                yield
            finally:
                for folder in folders:
                    (folder / "freezer.state").write_text("THAWED")


def _descendants(pid: int) -> list[int]:
    """List a process and all below it."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
    return found


@contextlib.contextmanager
def nothing(workers: Workers) -> Iterator[None]:
    """Leave the workers alone."""
    yield


@contextlib.contextmanager
def throttled(workers: Workers) -> Iterator[None]:
    """Give each worker a share of a core."""
    with workers.throttle():
        yield


@contextlib.contextmanager
def paused(workers: Workers) -> Iterator[None]:
    """Freeze the workers for twice the wall limit, over and over, with as long in between."""
    over = threading.Event()

    def again_and_again() -> None:
        while not over.wait(2 * LIMITS.wall_seconds):
            with workers.pause():
                over.wait(2 * LIMITS.wall_seconds)

    with ThreadPoolExecutor(1) as threads:
        pausing = threads.submit(again_and_again)
        try:
            yield
        finally:
            over.set()
        pausing.result()


@contextlib.contextmanager
def busy(workers: Workers | None = None) -> Iterator[None]:
    """Run processes that never rest, each in a session of its own."""
    loops = [
        subprocess.Popen([sys.executable, "-I", "-S", "-c", "while True: pass"], start_new_session=True)
        for _ in range(SESSIONS)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


CONDITIONS: Final[dict[str, Callable[[Workers], AbstractContextManager[None]]]] = {
    "none": nothing,
    "throttled": throttled,
    "paused": paused,
    "busy": busy,
}


def verdicts(sandbox: Sandbox, programs: Sequence[Known], tick: Callable[[], None] = lambda: None) -> Counted:
    """Run the programs, as many at a time as there are workers, and count the verdicts that are not as they should."""

    def changed(known: Known) -> str | None:
        try:
            run = sandbox.run(known.program, ["20 22\n"], limits=LIMITS)[0]
        except SandboxError as error:
            return f"fault: {error}"
        finally:
            tick()
        if run.status == known.status and (not known.output or run.output == known.output):
            return None
        return f"{known.name}: {run.status} after {run.cpu_seconds:.2f} s of CPU time, {run.wall_seconds:.2f} s"

    began = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as threads:
        found = [what for what in threads.map(changed, programs) if what is not None]
    faults = sum(what.startswith("fault") for what in found)
    return Counted(len(programs), tuple(found), faults, time.monotonic() - began)


def handle(sandbox: Sandbox) -> Workers:
    """Return what throttles and pauses the workers of a sandbox."""
    if isinstance(sandbox, DockerSandbox):
        return Containers(sandbox)
    assert isinstance(sandbox, BubblewrapSandbox)
    return Groups(sandbox)


@contextlib.contextmanager
def under(condition: str, backend: str) -> Iterator[Sandbox]:
    """A sandbox whose workers are up and live under a condition."""
    with make_sandbox(backend, workers=WORKERS) as sandbox:
        streams = [sandbox.stream(PROGRAMS[1].program, ["1 2\n"]) for _ in range(WORKERS)]
        for stream in streams:
            next(stream)
        for stream in streams:
            list(stream)
        with CONDITIONS[condition](handle(sandbox)):
            yield sandbox


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--programs", type=int, default=300)
    parser.add_argument("--backend", action="append", choices=("docker", "bubblewrap"))
    parser.add_argument("--condition", action="append", choices=tuple(CONDITIONS))
    options = parser.parse_args()
    programs = list(itertools.islice(itertools.cycle(PROGRAMS), options.programs))
    console = Console(stderr=True)
    print("| back end | condition | programs | changed | of them faults | seconds |", flush=True)
    print("|---|---|---|---|---|---|", flush=True)
    for backend in options.backend or ("docker", "bubblewrap"):
        for condition in options.condition or CONDITIONS:
            with (
                Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=console) as progress,
                under(condition, backend) as sandbox,
            ):
                bar = progress.add_task(f"{backend}, {condition}", total=len(programs))
                counted = verdicts(sandbox, programs, lambda bar=bar: progress.advance(bar))  # type: ignore[misc]
            row = (backend, condition, counted.programs, len(counted.changed), counted.faults, f"{counted.seconds:.0f}")
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            for what in counted.changed[:10]:
                console.print(what, style="dim")


if __name__ == "__main__":
    main()
