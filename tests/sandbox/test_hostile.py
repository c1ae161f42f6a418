"""Our own hostile programs (`hostile/FAMILY/NAME.py`): each gets a verdict that its header allows, and harms nobody.

The header of a program states its mode (stdin or call), the outcomes that are allowed (`pass`, `fail`, `any`, or names
of outcomes) and what must not happen. All of them are handed the sum of two numbers to compute. Where a program says
`EXPECT: pass` it attempts something, prints the right answer only if that was denied, and what it got otherwise.

Before each program the worker runs a job that holds a canary, a random text, in its program, input and files; the
programs look for its pattern wherever they can. Afterwards the worker must be the same one, in health, and as clean as
before. Calls are tried under both isolations. The programs selected are run two at a time, each in a container that
nobody else uses meanwhile, when the first test asks for what was found.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, get_args

import pytest

from mars2_env.judge import Judge
from mars2_env.sandbox import make_sandbox
from mars2_env.sandbox.base import LIMITS, STDIN
from mars2_env.sandbox.docker import DockerSandbox
from mars2_env.types import Call, Interface, Limits, Outcome, Problem, Run, TestCase, Verdict

pytestmark = pytest.mark.docker

FOLDER = Path(__file__).with_name("hostile")
LANES = 2
HEADER = re.compile(r"# MODE: (stdin|call).*\n# EXPECT: (.+)\n# MUST NOT: (.+)\.\n")
CANARY = re.compile("CANARY[0-9a-f]{32}")
RUN_LIMITS = Limits(cpu_seconds=0.5, wall_seconds=1.5, memory_bytes=256 * 2**20, output_bytes=2**17, processes=32)
PUBLIC = ((1, 2), (5, 6))
HIDDEN = ((2, 2), (10, 20), (-1, 3), (123456789, 987654321))
PROBLEMS = {
    "stdin": Problem(
        "hostile/stdin",
        "Read two integers and print their sum.",
        public=[TestCase(f"{a} {b}\n", f"{a + b}\n") for a, b in PUBLIC],
        hidden=[TestCase(f"{a} {b}\n", f"{a + b}\n") for a, b in HIDDEN],
        limits=RUN_LIMITS,
    ),
    "call": Problem(
        "hostile/call",
        "Add two integers.",
        interface=Call("add"),
        public=[TestCase([a, b], a + b) for a, b in PUBLIC],
        hidden=[TestCase([a, b], a + b) for a, b in HIDDEN],
        limits=RUN_LIMITS,
    ),
}
RIGHT = {"stdin": "a, b = map(int, input().split())\nprint(a + b)\n", "call": "def add(a, b):\n    return a + b\n"}


@dataclass(frozen=True)
class Case:
    """A hostile program, and the isolation that it is tried under."""

    path: Path
    mode: str
    expect: str
    isolation: str

    def __str__(self) -> str:
        name = f"{self.path.parent.name}/{self.path.stem}"
        return name if self.isolation == "program" else f"{name}-{self.isolation}"

    def allows(self, verdict: Verdict) -> bool:
        """Whether the header allows this verdict."""
        if self.expect in ("pass", "fail"):
            return verdict.passed == (self.expect == "pass")
        return self.expect == "any" or verdict.outcome in self.expect.split(", ")


@dataclass
class Found:
    """What came of a case."""

    verdict: Verdict
    runs: list[Run]
    healthy: Verdict
    containers: tuple[tuple[str, ...], tuple[str, ...]]
    traces: tuple[dict[str, Any], dict[str, Any]]


@dataclass
class Recorded:
    """A sandbox that keeps every run of it, for the judge."""

    inner: DockerSandbox
    runs: list[Run] = field(default_factory=list)

    def stream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> Iterator[Run]:
        for run in self.inner.stream(program, inputs, interface=interface, limits=limits):
            self.runs.append(run)
            yield run

    def astream(self, *arguments: Any, **options: Any) -> AsyncIterator[Run]:
        raise NotImplementedError


def cases() -> Iterator[Case]:
    for path in sorted(FOLDER.rglob("*.py")):
        header = HEADER.match(path.read_text(encoding="utf-8"))
        assert header is not None, f"{path}: a hostile program begins with MODE, EXPECT and MUST NOT"
        for isolation in ("program", "input") if header[1] == "call" else ("program",):
            yield Case(path, header[1], header[2], isolation)


CASES = list(cases())


def leave_a_canary(sandbox: DockerSandbox) -> None:
    """Run an honest job whose program, input, arguments, files and variables all hold a random text."""
    canary = f"CANARY{secrets.token_hex(16)}"
    script = (
        f"import os\nkept = [input() for _ in range(2)]\nos.environ['KEPT'] = '{canary}'\n"
        f"open('{canary}', 'w').write(kept[0] * 100)\nprint(len(kept))\n"
    )
    assert sandbox.run(script, [f"{canary}\n" * 2])[0].output == "2\n"
    function = f"KEPT = ['{canary}']\ndef keep(text):\n    KEPT.append(text)\n    return len(KEPT)"
    assert sandbox.run(function, [[canary], [canary]], interface=Call("keep"))[0].output == 2


def settled(
    look: Callable[[str], dict[str, Any]], name: str, clean: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Look into a worker until it is clean: it cleans up after it has answered. Gives up after a few looks."""
    for _ in range(8):
        if clean(found := look(name)):
            break
    return found


def attempt(
    case: Case,
    sandbox: DockerSandbox,
    look: Callable[[str], dict[str, Any]],
    clean: dict[tuple[str, ...], dict[str, Any]],
) -> Found:
    """Run one hostile program and look into its worker; `clean` says what was found in each worker when it was new."""
    leave_a_canary(sandbox)
    containers = sandbox.containers
    if containers not in clean:
        clean[containers] = settled(look, containers[0], lambda found: found["processes"] <= 1 and found["files"] <= 1)
    traces = clean[containers]
    recorded = Recorded(sandbox)
    problem = PROBLEMS[case.mode]
    program = case.path.read_text(encoding="utf-8")
    verdict = Judge(recorded).grade(problem, program, tests=("public", "hidden"))  # type: ignore[arg-type]
    healthy = Judge(sandbox).grade(problem, RIGHT[case.mode], tests="all")
    after = sandbox.containers
    left = settled(look, after[0], lambda found: found == traces)
    return Found(verdict, recorded.runs, healthy, (containers, after), (traces, left))


@pytest.fixture(scope="module")
def found(
    docker_engine: None, look_inside: Callable[[str], dict[str, Any]], request: pytest.FixtureRequest
) -> dict[Case, Found | BaseException]:
    """What came of each case that is selected in this session."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    selected = [item.callspec.params["case"] for item in items if "found" in item.fixturenames]
    results: dict[Case, Found | BaseException] = {}
    clean: dict[tuple[str, ...], dict[str, Any]] = {}
    with ExitStack() as stack:
        idle: dict[str, SimpleQueue[DockerSandbox]] = {}
        for isolation in sorted({case.isolation for case in selected}):
            idle[isolation] = SimpleQueue()
            for _ in range(LANES):
                sandbox = stack.enter_context(make_sandbox("docker", workers=1, isolation=isolation))
                assert isinstance(sandbox, DockerSandbox)
                idle[isolation].put(sandbox)

        def take(case: Case) -> None:
            sandbox = idle[case.isolation].get()
            try:
                results[case] = attempt(case, sandbox, look_inside, clean)
            except Exception as error:
                results[case] = error
            finally:
                idle[case.isolation].put(sandbox)

        with ThreadPoolExecutor(LANES) as lanes:
            list(lanes.map(take, selected))
    return results


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_hostile_program_gets_an_allowed_verdict_and_harms_nobody(
    case: Case, found: dict[Case, Found | BaseException]
) -> None:
    result = found[case]
    if isinstance(result, BaseException):
        raise result
    assert case.allows(result.verdict), f"{result.verdict} of {result.runs}"
    assert not any(CANARY.search(repr(run)) for run in result.runs), "another job's data was found"
    assert max(run.wall_seconds for run in result.runs) <= RUN_LIMITS.wall_seconds + 1
    assert result.healthy.passed, result.healthy
    assert result.containers[0] == result.containers[1], "the worker was lost"
    assert result.traces[0] == result.traces[1], "something was left behind"


@pytest.mark.parametrize("name", ["memory_files_of_small_processes", "out_of_memory_elsewhere"])
def test_a_program_that_uses_up_the_memory_never_takes_the_worker_with_it(name: str, docker_engine: None) -> None:
    program = (FOLDER / "resources" / f"{name}.py").read_text(encoding="utf-8").replace("sleep(0.6)", "sleep(1.5)")
    limits = Limits(cpu_seconds=4, wall_seconds=8, processes=64)
    with make_sandbox("docker", workers=1) as sandbox:
        assert isinstance(sandbox, DockerSandbox)
        leave_a_canary(sandbox)
        before = sandbox.containers
        runs = sandbox.run(program, ["1 2\n"] * 2, limits=limits)
        assert {run.status for run in runs} <= {"memory_limit", "time_limit"}
        leave_a_canary(sandbox)
        assert sandbox.containers == before


def test_every_program_says_what_is_expected_of_it() -> None:
    assert len({case.path for case in CASES}) >= 90
    for case in CASES:
        assert case.expect in ("pass", "fail", "any") or set(case.expect.split(", ")) <= set(get_args(Outcome)), case
