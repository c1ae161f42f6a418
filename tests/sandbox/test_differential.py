"""The sandbox and the judge against a straightforward oracle: mutated reference programs, verdict by verdict.

The oracle shares nothing with what it checks: a plain subprocess of this Python for each test, and a comparison of its
own. It has no defences, so it is for programs we wrote ourselves: references with slips.
"""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mars2_env.judge import Judge
from mars2_env.problems import load_problems
from mars2_env.sandbox import Sandbox
from mars2_env.testing.mutation import Reference
from mars2_env.types import Call, Limits, Problem, TestCase

LIMITS = Limits(cpu_seconds=2, wall_seconds=20)
TESTS_EACH = 12

_CALL = """
import sys
namespace = {"__name__": "program"}
exec(compile(open("program.py", encoding="utf-8", errors="surrogatepass").read(), "program.py", "exec"), namespace)
text = open("input", encoding="utf-8", errors="surrogatepass").read()
arguments = eval(text, {"nan": float("nan"), "inf": float("inf")})
answer = repr(namespace[FUNCTION](*arguments))
open("answer", "w", encoding="utf-8", errors="surrogatepass").write(answer)
"""


# Seconds of CPU time, kilobytes of memory, blocks of 512 bytes in a file.
_LIMITED = (
    f"ulimit -t {math.ceil(LIMITS.cpu_seconds)}; ulimit -v {(LIMITS.memory_bytes + 2**26) >> 10}; "
    f'ulimit -f {LIMITS.output_bytes >> 9}; exec "$0" "$@"'
)


@dataclass(frozen=True)
class Case:
    """A program to judge, under a name that says where it comes from."""

    name: str
    problem: Problem
    program: str


def cases(problems: list[Problem], count: int, seed: int) -> Iterator[Case]:
    """Draw programs: a reference with up to two slips, on at most `TESTS_EACH` of its problem's tests."""
    draw = random.Random(seed)
    references: dict[str, Reference] = {}
    for number in range(count):
        problem = draw.choice(problems)
        assert problem.reference is not None
        reference = references.setdefault(problem.id, Reference(problem.reference))
        sites = draw.sample(reference.sites, min(draw.choice((0, 1, 1, 1, 2)), len(reference.sites)))
        slips = {site.number: draw.randrange(len(site.variants)) for site in sites}
        tests = [*problem.public, *problem.scoring, *problem.hidden]
        chosen = tuple(draw.sample(tests, min(TESTS_EACH, len(tests))))
        judged = replace(problem, public=(), scoring=(), hidden=chosen, limits=LIMITS)
        yield Case(f"{number}: {problem.id} with slips {slips}", judged, reference.write(slips))


def passes(problem: Problem, program: str, test: TestCase, folder: Path) -> bool:
    """Whether `program` passes `test`, according to a plain subprocess in `folder`."""
    called = isinstance(problem.interface, Call)
    files = {"program.py": program, "input": repr(test.input) if called else test.input}
    if isinstance(problem.interface, Call):
        files["driver.py"] = _CALL.replace("FUNCTION", repr(problem.interface.name))
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    (folder / "answer").unlink(missing_ok=True)
    with (folder / "input").open("rb") as stdin, (folder / "output").open("wb") as stdout:
        code = subprocess.call(
            ["sh", "-c", _LIMITED, sys.executable, "-s", "driver.py" if called else "program.py"],
            cwd=folder,
            stdin=subprocess.DEVNULL if called else stdin,
            stdout=subprocess.DEVNULL if called else stdout,
            stderr=subprocess.DEVNULL,
            env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "PATH": os.environ.get("PATH", "")},
        )
    if code != 0:
        return False
    if not called:
        return same_text((folder / "output").read_text("utf-8", errors="replace"), test.output)
    answer = (folder / "answer").read_text("utf-8", errors="surrogatepass")
    try:
        value = eval(answer, {"__builtins__": {"set": set, "frozenset": frozenset}, "nan": math.nan, "inf": math.inf})
    except (SyntaxError, NameError, TypeError, ValueError):
        return False  # not plain data
    if problem.checker == "absolute_error_1e-6":
        return type(value) in (int, float) and abs(value - test.output) < 1e-6
    if problem.checker == "polynomial_root":
        return type(value) in (int, float) and abs(sum(c * value**n for n, c in enumerate(test.input[0]))) < 1e-4
    match problem.checker:
        case "python_equality":
            return bool(value == test.output)
        case "python_items":
            return isinstance(value, list | tuple | str | set | dict) and tuple(value) == tuple(test.output)
        case "python_truth":
            return bool(value) == test.output
        case "python_identity":
            return value is test.output
    assert problem.checker is None
    return same_value(value, test.output)


def same_text(ours: str, wanted: str) -> bool:
    """The oracle's own comparison of texts."""
    left, right = ours.strip("\n \t").split("\n"), wanted.strip("\n \t").split("\n")
    if len(right) == 1:
        left, right = ours.split(), wanted.split()
    return len(left) == len(right) and all(map(same_line, left, right))


def same_line(ours: str, wanted: str) -> bool:
    left, right = ours.split(), wanted.split()
    return len(left) == len(right) and all(map(same_word, left, right))


def same_word(ours: str, wanted: str) -> bool:
    if ours == wanted:
        return True
    try:
        one, two = float(ours), float(wanted)
    except ValueError:
        return False
    if set(".eE") & set(wanted):
        return abs(one - two) <= max(1e-6 * abs(two), min(1e-6, abs(two) / 1000), 1e-10 * (two == 0))
    return bool(set(".eE") & set(ours)) and one == two and len(wanted) < 16


def same_value(ours: Any, wanted: Any) -> bool:
    """The oracle's own comparison of values."""
    if isinstance(ours, bool) or isinstance(wanted, bool):
        return isinstance(ours, bool) and isinstance(wanted, bool) and ours is wanted
    if isinstance(ours, int | float) and isinstance(wanted, int | float):
        if ours == wanted or (ours != ours and wanted != wanted):
            return True
        near = isinstance(wanted, float) and math.isfinite(ours)
        return near and abs(ours - wanted) <= (1e-6 * abs(wanted) if wanted else 1e-10)
    if isinstance(ours, list | tuple) and isinstance(wanted, list | tuple):
        return len(ours) == len(wanted) and all(map(same_value, ours, wanted))
    if isinstance(ours, dict) and isinstance(wanted, dict):
        return ours.keys() == wanted.keys() and all(same_value(ours[key], wanted[key]) for key in wanted)
    if isinstance(ours, set | frozenset) and isinstance(wanted, set | frozenset):
        return ours == wanted
    return type(ours) is type(wanted) and bool(ours == wanted)


def disagreements(sandbox: Sandbox, drawn: list[Case], tmp_path: Path) -> tuple[list[str], int, int]:
    """Return what the oracle and the judge differ in, and how many tests both passed and both failed."""
    judge = Judge(sandbox)

    def compare(number: int, case: Case) -> tuple[list[str], int, int]:
        folder = tmp_path / str(number)
        folder.mkdir()
        verdict = judge.grade(case.problem, case.program, tests="hidden", stop="never")
        found, passed, failed = [], 0, 0
        for test, outcome in zip(case.problem.hidden, verdict.outcomes, strict=True):
            expected = passes(case.problem, case.program, test, folder)
            passed += expected
            failed += not expected
            if expected != (outcome == "passed"):
                says = "passes" if expected else "fails"
                found.append(f"{case.name}: {outcome}, and the oracle {says} it, on {test!r:.300}\n{case.program}")
        return found, passed, failed

    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(compare, range(len(drawn)), drawn))
    return [one for found, _, _ in results for one in found], sum(r[1] for r in results), sum(r[2] for r in results)


def check(sandbox: Sandbox, problems: list[Problem], count: int, seed: int, tmp_path: Path) -> None:
    drawn = list(cases(problems, count, seed))
    found, passed, failed = disagreements(sandbox, drawn, tmp_path)
    print(f"{count} programs, {passed + failed} tests: {passed} pass, {failed} fail, {len(found)} disagreements")
    assert not found, f"{len(found)} disagreements:\n" + "\n".join(found)
    assert passed > count and failed > count, "a check that sees both"


@pytest.fixture(scope="module")
def starter() -> list[Problem]:
    return list(load_problems("starter", split="train"))


@pytest.fixture(scope="module")
def humaneval(shared: Path) -> list[Problem]:
    return list(load_problems("humaneval", path=str(shared / "data" / "HumanEval.jsonl.gz")))


@pytest.mark.docker
def test_the_judge_agrees_with_an_oracle_on_slips_in_the_starter_set(
    docker_sandbox: Sandbox, starter: list[Problem], tmp_path: Path
) -> None:
    check(docker_sandbox, starter, 25, 2, tmp_path)


@pytest.mark.docker
def test_the_judge_agrees_with_an_oracle_on_slips_in_humaneval(
    docker_sandbox: Sandbox, humaneval: list[Problem], tmp_path: Path
) -> None:
    check(docker_sandbox, humaneval, 25, 1, tmp_path)


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.timeout(1800)
def test_the_judge_agrees_with_an_oracle_on_five_hundred_programs(
    docker_sandbox: Sandbox, starter: list[Problem], humaneval: list[Problem], tmp_path: Path
) -> None:
    check(docker_sandbox, starter + humaneval, 500, 0, tmp_path)
