"""Whether the sandbox stays as it is: memory of host and container, and latency, over thousands of runs in a row.

    python -m mars2_bench.speed.sandbox_soak            # some minutes; prints a Markdown table
    python -m mars2_bench.speed.sandbox_soak --quick    # a twentieth of it, to see that it works

Two soaks, each in a sandbox of its own with one container, replaced after as many runs as users have it
(`recycle_after`):

    tests  one program, streamed over many inputs, as the judge does with the tests of a problem
    jobs   short programs, each different and a job of its own

Memory is sampled twenty times: of this process its resident set (RSS), of the container what its control group counts
(`memory.usage_in_bytes`, or `memory.current` in version 2), which includes files that the kernel caches for it. A drift
is the median latency of the last tenth over that of the first: 1.00 where nothing slows down. Beside it stands the
drift of a bare fork that runs such a program with no isolation (`floor.py`), timed after every tenth run: what the
machine's other work did to both.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from mars2_bench.command import run as run_command
from mars2_bench.speed.sandbox_throughput import Floor, check
from mars2_env.errors import Mars2Error
from mars2_env.sandbox import make_sandbox
from mars2_env.sandbox.base import Sandbox
from mars2_env.sandbox.docker import DockerSandbox, connect

TESTS: Final = 2_000
JOBS: Final = 10_000
SAMPLES: Final = 20
WARM_UP: Final = 20
EVERY_FLOOR: Final = 10
MIB: Final = 2**20
ADD: Final = "a, b = map(int, input().split())\nprint(a + b)\n"


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory at one moment, in bytes; the container's is None while it is being replaced."""

    host: int
    container: int | None


@dataclass(frozen=True, slots=True)
class Soaked:
    """What one soak came to: seconds of runs and of bare forks, and memory, in order; how many containers it took."""

    name: str
    seconds: Sequence[float]
    floor: Sequence[float]
    memory: Sequence[Memory]
    containers: int


def tenths(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the median milliseconds of the first and of the last tenth."""
    tenth = max(1, len(seconds) // 10)
    return median(seconds[:tenth]) * 1e3, median(seconds[-tenth:]) * 1e3


def drift(seconds: Sequence[float]) -> float:
    """Return the last tenth's median over the first's."""
    first, last = tenths(seconds)
    return last / first


def host_bytes() -> int:
    """Return the resident set of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def container_bytes(client: Any, name: str) -> int | None:
    """Return what a container's control group counts as its memory; None where the container is gone."""
    from docker.errors import APIError

    try:
        stats = client.api.stats(name, stream=False, one_shot=True)
    except (APIError, ValueError):  # an engine that is removing it may answer with nothing at all
        return None
    usage: int | None = stats.get("memory_stats", {}).get("usage")
    return usage


def tests_of_one_program(sandbox: Sandbox, count: int) -> Iterator[None]:
    """Run one program on one input after the other."""
    runs = iter(sandbox.stream(ADD, [f"{n} 1\n" for n in range(count)]))
    for n in range(count):
        check(next(runs).output, f"{n + 1}\n")
        yield


def jobs_in_a_row(sandbox: Sandbox, count: int) -> Iterator[None]:
    """Run short programs, each different, one after the other."""
    for n in range(count):
        (run,) = sandbox.run(f"print(int(input()) + {n})\n", ["1\n"])
        check(run.output, f"{n + 1}\n")
        yield


def soak(
    name: str,
    work: Callable[[Sandbox, int], Iterator[None]],
    count: int,
    *,
    tick: Callable[[], None] = lambda: None,
    **options: Any,
) -> Soaked:
    """Run `count` pieces of work in one container at a time, and watch memory and latency.

    Args:
        name: What to call it.
        work: Yields after each piece.
        count: How many pieces.
        tick: Called after each.
        options: Of the sandbox, such as `recycle_after`.
    """
    seconds, floor = array("d"), array("d")  # lists would grow as the memory that is watched
    memory: list[Memory] = []
    seen: set[str] = set()
    every = max(1, count // SAMPLES)
    with (
        contextlib.closing(connect()) as client,
        contextlib.closing(Floor()) as fork,
        make_sandbox("docker", workers=1, **options) as sandbox,
    ):
        assert isinstance(sandbox, DockerSandbox)

        def sample() -> None:
            names = sandbox.containers
            seen.update(names)
            memory.append(Memory(host_bytes(), container_bytes(client, names[0]) if names else None))

        for _ in work(sandbox, WARM_UP):
            fork()
        sample()
        pieces = work(sandbox, count)
        for done in range(1, count + 1):
            start = time.perf_counter()
            next(pieces)
            seconds.append(time.perf_counter() - start)
            if done % EVERY_FLOOR == 1:
                start = time.perf_counter()
                fork()
                floor.append(time.perf_counter() - start)
            tick()
            if done % every == 0:
                sample()
    return Soaked(name, seconds, floor, memory, len(seen))


def table(found: Sequence[Soaked]) -> str:
    """Return a Markdown table: memory in MiB at the start, the middle, the end and at most, and latency by tenths."""
    lines = [
        "| | containers | host RSS, MiB: start / middle / end (most) | container, MiB: start / middle / end (most) "
        "| median ms: first tenth / last tenth | drift | drift of a bare fork |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in found:
        first, last = tenths(one.seconds)
        host = _moments([sample.host for sample in one.memory])
        container = _moments([sample.container for sample in one.memory])
        lines.append(
            f"| {one.name} | {one.containers} | {host} | {container} | {first:.2f} / {last:.2f} "
            f"| {last / first:.2f} | {drift(one.floor):.2f} |"
        )
    return "\n".join(lines)


def _moments(samples: Sequence[int | None]) -> str:
    moments = (samples[0], samples[len(samples) // 2], samples[-1])
    known = [sample for sample in samples if sample is not None]
    most = f"{max(known) / MIB:.1f}" if known else "-"
    return " / ".join("-" if each is None else f"{each / MIB:.1f}" for each in moments) + f" ({most})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soaks and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m mars2_bench.speed.sandbox_soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a twentieth of the runs")
    parser.add_argument("--tests", type=int, default=TESTS, help=f"tests of one program (default {TESTS})")
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"short jobs in a row (default {JOBS})")
    parser.add_argument("--recycle-after", type=int, help="replace a container after so many runs (as shipped)")
    options = parser.parse_args(arguments)
    for name in ("tests", "jobs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: must be at least 1")
    given = {} if options.recycle_after is None else {"recycle_after": options.recycle_after}
    scale = 20 if options.quick else 1
    soaks = [
        ("tests of one program", tests_of_one_program, max(1, options.tests // scale)),
        ("short jobs", jobs_in_a_row, max(1, options.jobs // scale)),
    ]
    try:
        found = []
        with Progress(
            *Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True), transient=True
        ) as progress:
            for what, work, count in soaks:
                bar = progress.add_task(what, total=count)
                found.append(soak(f"{count} {what}", work, count, tick=partial(progress.advance, bar), **given))
    except Mars2Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        f"{len(os.sched_getaffinity(0))} cores, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f} at the "
        "end\n"
    )
    print(table(found))
    return 0


if __name__ == "__main__":
    run_command(main)
