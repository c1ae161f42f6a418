"""Real programs in real containers: what the judge says of hostile ones, of honest ones, and that it stays healthy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mars2_bench.speed.humaneval_references import judge_references

from mars2_env.judge import Judge
from mars2_env.problems import load_problems
from mars2_env.sandbox.base import Sandbox
from mars2_env.types import Call, Limits, Problem, TestCase

pytestmark = pytest.mark.docker

PUBLIC = [(1, 2), (5, 6)]
HIDDEN = [(2, 2), (10, 20), (-1, 3), (123456789, 987654321)]
LIMITS = Limits(cpu_seconds=1, wall_seconds=4, memory_bytes=256 * 2**20)

STDIN_ADD = Problem(
    "exploits/stdin",
    "Read two integers and print their sum.",
    public=tuple(TestCase(f"{a} {b}\n", f"{a + b}\n") for a, b in PUBLIC),
    hidden=tuple(TestCase(f"{a} {b}\n", f"{a + b}\n") for a, b in HIDDEN),
    limits=LIMITS,
)
CALL_ADD = Problem(
    "exploits/call",
    "Add two integers.",
    Call("add"),
    public=tuple(TestCase([a, b], a + b) for a, b in PUBLIC),
    hidden=tuple(TestCase([a, b], a + b) for a, b in HIDDEN),
    limits=LIMITS,
)
RIGHT = {"stdin": "a, b = map(int, input().split())\nprint(a + b)\n", "call": "def add(a, b):\n    return a + b\n"}
PROBLEMS = {"stdin": STDIN_ADD, "call": CALL_ADD}


@pytest.fixture
def judge(docker_sandbox: Sandbox) -> Judge:
    return Judge(docker_sandbox)


@pytest.fixture(scope="module")
def exploits(shared: Path) -> dict[str, tuple[str, str, str]]:
    """Name -> (interface, allowed verdict, program)."""
    folder = shared / "exploits"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return {
        name: (entry["mode"], entry["expect"], (folder / f"{name}.py").read_text(encoding="utf-8"))
        for name, entry in manifest.items()
    }


def test_every_exploit_gets_a_verdict_that_its_manifest_allows(
    judge: Judge, exploits: dict[str, tuple[str, str, str]]
) -> None:
    def grade(name: str) -> tuple[str, bool, bool]:
        mode, _, program = exploits[name]
        problem = PROBLEMS[mode]
        hostile = judge.grade(problem, program, tests="all")
        honest = judge.grade(problem, RIGHT[mode], tests="all")
        return name, hostile.passed, honest.passed

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(grade, exploits))
    assert len(found) >= 45
    for name, passed, healthy in found:
        expected = exploits[name][1]
        assert expected == "any" or passed == (expected == "pass"), name
        assert healthy, f"after {name}"


def test_a_program_that_hard_codes_the_quoted_examples_fails_the_hidden_tests(
    judge: Judge, exploits: dict[str, tuple[str, str, str]]
) -> None:
    program = exploits["rh_hardcode_seen_inputs"][2]
    assert judge.grade(STDIN_ADD, program, tests="public").passed
    verdict = judge.grade(STDIN_ADD, program, tests="hidden", stop="never")
    assert set(verdict.outcomes) == {"wrong_answer"}
    assert verdict.feedback is None


@pytest.mark.parametrize("answer", ["nan", "inf", "1e999", "3_0", "0x3", "3.01", "3 3", "3 11", "11 3", "{3}"])
def test_no_numeral_trick_passes_for_a_sum(judge: Judge, answer: str) -> None:
    verdict = judge.grade(STDIN_ADD, f"print({answer!r})", stop="never")
    assert "passed" not in verdict.outcomes


@pytest.mark.parametrize(
    ("source", "passes"),
    [
        ("def add(a, b): return float(a + b)", True),
        ("def add(a, b): return a + b if a > 1 else True", False),
        ("def add(a, b): return str(a + b)", False),
        ("def add(a, b): return [a + b]", False),
        ("def add(a, b): return None", False),
        ("def add(a, b): return object()", False),
        ("class I(int):\n    def __eq__(self, other): return True\ndef add(a, b): return I(0)", False),
        ("add = 3", False),
        ("", False),
    ],
)
def test_returned_values_are_compared_on_the_host(judge: Judge, source: str, passes: bool) -> None:
    assert judge.grade(CALL_ADD, source, tests="all").passed is passes


def test_facts_of_a_wrong_answer_an_exception_and_a_program_that_does_not_compile(judge: Judge) -> None:
    wrong = judge.grade(STDIN_ADD, "a, b = map(int, input().split())\nprint(a * b)").feedback
    assert wrong is not None
    assert (wrong.outcome, wrong.test, wrong.input, wrong.expected, wrong.actual) == (
        "wrong_answer", 0, "1 2\n", "3\n", "2\n",
    )  # fmt: skip
    raised = judge.grade(CALL_ADD, "def add(a, b):\n    return a / (a - 5)\n").feedback
    assert raised is not None
    assert (raised.outcome, raised.test, raised.actual) == ("wrong_answer", 0, "-0.25")
    raised = judge.grade(CALL_ADD, "def add(a, b):\n    return a / (a - 1)\n").feedback
    assert raised is not None
    assert (raised.outcome, raised.test, raised.input) == ("runtime_error", 0, "add(1, 2)")
    assert (raised.error_type, raised.error_message) == ("ZeroDivisionError", "division by zero")
    assert "line 2" in raised.traceback
    broken = judge.grade(CALL_ADD, "def add(a, b)\n    return a\n", tests="all")
    assert set(broken.outcomes) == {"compile_error"}
    assert broken.feedback is not None
    assert broken.feedback.error_type == "SyntaxError"


def test_limits_become_outcomes(judge: Judge) -> None:
    endless = judge.grade(STDIN_ADD, "while True: pass")
    assert endless.outcome == "time_limit"
    assert endless.feedback is not None
    assert endless.feedback.limit == "1 s of CPU time or 4 s of wall time"
    assert judge.grade(STDIN_ADD, "print('x' * 2**21)").outcome == "output_limit"
    assert judge.grade(STDIN_ADD, "x = bytearray(2**30)").outcome in ("memory_limit", "runtime_error")


def test_the_same_program_gets_the_same_verdict_again_and_from_the_async_twin(judge: Judge) -> None:
    program = "import sys\na, b = map(int, input().split())\nif a > 4: raise ValueError(object())\nprint(a + b)\n"
    verdicts = [judge.grade(STDIN_ADD, program, tests="all") for _ in range(3)]
    verdicts.append(asyncio.run(judge.agrade(STDIN_ADD, program, tests="all")))
    assert all(verdict == verdicts[0] for verdict in verdicts)
    assert verdicts[0].feedback is not None
    assert verdicts[0].feedback.error_type == "ValueError"


def plain_values() -> Iterator[Any]:
    yield from [None, True, 3, 10**30, 0.1, float("inf"), 1 + 2j, "t\u00fc\ud800", b"\x00\xff", [1, (2, {3})], {1: "a"}]
    yield from [frozenset({1}), {(1, 2): {"k": [None]}}, [[]], "", {}]


def test_plain_data_of_every_type_crosses_the_border_and_comes_back(docker_sandbox: Sandbox) -> None:
    tests = tuple(TestCase([value], [value, type(value).__name__]) for value in plain_values())
    problem = Problem("echo", "Echo.", Call("f"), public=tests)
    verdict = Judge(docker_sandbox, strict_types=True).grade(problem, "def f(x): return [x, type(x).__name__]\n")
    assert verdict.passed, verdict


def test_all_humaneval_references_pass_and_all_stubs_fail(docker_sandbox: Sandbox, shared: Path) -> None:
    problems = load_problems("humaneval", path=shared / "data" / "HumanEval.jsonl.gz")
    report = judge_references(docker_sandbox, problems, threads=2)
    assert report.problems == 164
    assert report.failed_references == {}
    assert report.passed_stubs == ()


def test_a_called_program_that_remembers_its_inputs_cannot_bring_unshown_ones_into_feedback(judge: Judge) -> None:
    tests = {group: tuple(TestCase([f"{group}-{n}"], n) for n in range(3)) for group in ("public", "scoring", "hidden")}
    problem = Problem("remember", "s", Call("f"), **tests)
    for program in ("seen = []\ndef f(x):\n    seen.append(x)\n    return seen",
                    "seen = []\ndef f(x):\n    seen.append(x)\n    raise ValueError(seen)"):  # fmt: skip
        for stop in ("never", "first_failure"):
            feedback = judge.grade(problem, program, tests="all", stop=stop).feedback
            assert feedback is not None
            assert "public-0" in feedback.input
            assert "scoring" not in repr(feedback)
            assert "hidden" not in repr(feedback)
