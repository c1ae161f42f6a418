"""What a verdict says, which tests are run for it, and what the sandbox and the feedback get to see.

The sandbox here is a recording stand-in that computes a run from the input, so that every case can be forced; real
programs in real containers are judged in `test_judge_docker.py`.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from types import TracebackType
from typing import Any

import pytest

from mars2_env.errors import ConfigError, JudgeError, SandboxError
from mars2_env.judge import Judge, register_checker
from mars2_env.problems import load_problems
from mars2_env.sandbox.base import LIMITS, STDIN, Sandbox
from mars2_env.sandbox.worker.values import Opaque
from mars2_env.testing import ScriptedSandbox
from mars2_env.types import Call, Feedback, Interface, Limits, Problem, Run, TestCase

Behaviour = Callable[[Any], Run]


class RecordingSandbox:
    """Answers each input by `behaviour`; keeps everything it was ever given."""

    identity = "recording"

    def __init__(self, behaviour: Behaviour, yields: int | None = None) -> None:
        self.behaviour = behaviour
        self.yields = yields
        self.given: list[tuple[str, list[Any], Interface, Limits]] = []
        self.ran: list[Any] = []
        self.closed_streams = 0

    def stream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> Iterator[Run]:
        self.given.append((program, list(inputs), interface, limits))
        try:
            for input in islice(inputs, self.yields):
                self.ran.append(input)
                yield self.behaviour(input)
        finally:
            self.closed_streams += 1

    async def astream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> AsyncIterator[Run]:
        for run in self.stream(program, inputs, interface=interface, limits=limits):
            await asyncio.sleep(0)
            yield run

    def run(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> list[Run]:
        return list(self.stream(program, inputs, interface=interface, limits=limits))

    async def arun(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> list[Run]:
        return self.run(program, inputs, interface=interface, limits=limits)

    def close(self) -> None:
        return None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def wrong_on(*inputs: str) -> Behaviour:
    """Answer an input `x` with `out x`, with `bad x` where it is one of `inputs`."""
    return lambda text: Run("ok", output=f"{'bad' if text in inputs else 'out'} {text}", cpu_seconds=0.5)


def cases(prefix: str, count: int) -> tuple[TestCase, ...]:
    return tuple(TestCase(f"{prefix}{i}", f"out {prefix}{i}") for i in range(count))


PROBLEM = Problem("p", "Say out.", public=cases("p", 6), scoring=cases("s", 5), hidden=cases("h", 4))


def test_a_right_program_passes_and_gets_no_feedback() -> None:
    sandbox = RecordingSandbox(wrong_on())
    verdict = Judge(sandbox).grade(PROBLEM, "program", tests="all")
    assert verdict.passed
    assert verdict.feedback is None
    assert verdict.fraction == 1.0
    assert {name: len(outcomes) for name, outcomes in verdict.groups.items()} == {
        "public": 6,
        "scoring": 5,
        "hidden": 4,
    }
    assert verdict.cpu_seconds == pytest.approx(7.5)
    assert len(sandbox.given) == 1


def test_public_tests_are_the_default_selection() -> None:
    sandbox = RecordingSandbox(wrong_on())
    assert set(Judge(sandbox).grade(PROBLEM, "program").groups) == {"public"}
    assert sorted(sandbox.ran) == [case.input for case in PROBLEM.public]


def test_the_sandbox_gets_inputs_and_never_an_expected_output() -> None:
    limits = Limits(cpu_seconds=1, wall_seconds=5)
    problem = replace(PROBLEM, limits=limits, reference="REFERENCE", metadata={"note": "METADATA"})
    sandbox = RecordingSandbox(wrong_on("p3", "s2"))
    Judge(sandbox).grade(problem, "program", tests="all")
    inputs = {case.input for case in problem.public + problem.scoring + problem.hidden}
    for program, given, interface, found in sandbox.given:
        assert (program, interface, found) == ("program", STDIN, limits)
        assert set(given) <= inputs
    assert b"out " not in pickle.dumps(sandbox.given)


def test_each_group_stops_at_its_own_first_failure() -> None:
    sandbox = RecordingSandbox(wrong_on(*(f"p{i}" for i in range(6))))
    verdict = Judge(sandbox).grade(PROBLEM, "program", tests=["scoring", "public"])
    assert verdict.groups["scoring"] == ("passed",) * 5
    assert "wrong_answer" in verdict.groups["public"]
    assert not verdict.passed
    assert list(verdict.groups) == ["public", "scoring"]

    sandbox = RecordingSandbox(lambda text: Run("ok", output="no"))
    verdict = Judge(sandbox).grade(PROBLEM, "program", tests="hidden")
    assert sorted(verdict.groups["hidden"]) == ["not_run"] * 3 + ["wrong_answer"]
    assert verdict.fraction is None
    assert len(sandbox.ran) == 1
    assert sandbox.closed_streams == 1


def test_never_stopping_runs_everything() -> None:
    verdict = Judge(RecordingSandbox(wrong_on("p1", "s0", "h0", "h3"))).grade(PROBLEM, "program", "all", stop="never")
    assert verdict.groups["public"] == ("passed", "wrong_answer", *["passed"] * 4)
    assert verdict.groups["hidden"] == ("wrong_answer", "passed", "passed", "wrong_answer")
    assert verdict.fraction == pytest.approx(11 / 15)


@pytest.mark.parametrize("program", [f"program {i}" for i in range(12)])
@pytest.mark.parametrize("stop", ["first_failure", "never"])
def test_feedback_names_the_first_failing_public_test_in_listed_order(program: str, stop: Any) -> None:
    sandbox = RecordingSandbox(wrong_on("p1", "p4", "p5", "s0"))
    verdict = Judge(sandbox).grade(PROBLEM, program, tests=["public", "scoring"], stop=stop)
    assert verdict.feedback == Feedback("wrong_answer", test=1, input="p1", expected="out p1", actual="bad p1")
    assert verdict.groups["public"][:2] == ("passed", "wrong_answer")
    assert len(set(sandbox.ran)) == len(sandbox.ran)


def test_an_early_stop_runs_only_what_feedback_needs() -> None:
    sandbox = RecordingSandbox(wrong_on("p5"))
    for i in range(20):
        sandbox.ran.clear()
        Judge(sandbox).grade(PROBLEM, f"program {i}")
        assert set(sandbox.ran) == {f"p{k}" for k in range(6)}  # the failing test is listed last: all before it are run
    sandbox = RecordingSandbox(wrong_on("p0"))
    Judge(sandbox).grade(PROBLEM, "program")
    assert sandbox.ran[-1] == "p0"  # the failing test is listed first: nothing is run after it


def test_tests_run_in_an_order_of_their_own_for_each_program_and_problem() -> None:
    def order(problem: Problem, program: str) -> list[str]:
        sandbox = RecordingSandbox(wrong_on())
        Judge(sandbox).grade(problem, program, tests="all")
        return sandbox.ran

    assert order(PROBLEM, "a") == order(PROBLEM, "a")
    assert sorted(order(PROBLEM, "a")) == sorted(order(PROBLEM, "b"))
    assert len({tuple(order(PROBLEM, f"program {i}")) for i in range(20)}) == 20
    assert order(PROBLEM, "a") != order(replace(PROBLEM, id="q"), "a")
    groups = [text[0] for text in order(PROBLEM, "a")]
    assert groups != sorted(groups, key="psh".index)


def test_failures_of_unquoted_tests_give_one_bit_and_always_the_same() -> None:
    statuses: list[Run] = [
        Run("ok", output="SECRET"),
        Run("runtime_error", error_type="ValueError", error_message="SECRET", traceback="SECRET"),
        Run("time_limit"),
        Run("memory_limit"),
        Run("output_limit", output="SECRET"),
    ]
    for failed in statuses:
        for place in ("s0", "s4"):

            def behave(text: str, failed: Run = failed, place: str = place) -> Run:
                return failed if text == place else Run("ok", output=f"out {text}")

            verdict = Judge(RecordingSandbox(behave)).grade(PROBLEM, "program", tests=["public", "scoring"])
            assert verdict.feedback == Feedback("wrong_answer", unshown=True)


def test_hidden_results_never_cause_feedback() -> None:
    judge = Judge(RecordingSandbox(wrong_on("h0", "h1", "h2", "h3")))
    assert judge.grade(PROBLEM, "program", tests="hidden").feedback is None
    assert judge.grade(PROBLEM, "program", tests="all").feedback is None
    both = Judge(RecordingSandbox(wrong_on("h0", "s1")))
    assert both.grade(PROBLEM, "program", tests="all").feedback == Feedback("wrong_answer", unshown=True)


def test_facts_of_an_exception_are_quoted() -> None:
    run = Run("runtime_error", error_type="ZeroDivisionError", error_message="division by zero", traceback="line 1")
    feedback = Judge(RecordingSandbox(lambda text: run)).grade(PROBLEM, "program").feedback
    assert feedback == Feedback(
        "runtime_error", test=0, input="p0", expected="out p0",
        error_type="ZeroDivisionError", error_message="division by zero", traceback="line 1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "limit"),
    [
        ("time_limit", "3 s of CPU time or 9 s of wall time"),
        ("memory_limit", "512 MB of memory"),
        ("output_limit", "1 MB of output"),
    ],
)
def test_limits_are_named_and_partial_output_is_not_quoted(status: Any, limit: str) -> None:
    judge = Judge(RecordingSandbox(lambda text: Run(status, output="as far as I got")))
    verdict = judge.grade(PROBLEM, "program", stop="never")
    assert verdict.outcomes == (status,) * 6
    assert verdict.feedback == Feedback(status, test=0, input="p0", expected="out p0", limit=limit)


def test_a_program_that_does_not_compile_fails_every_test_after_one_run() -> None:
    run = Run("compile_error", error_type="SyntaxError", error_message="invalid syntax", traceback="line 1")
    for stop in ("first_failure", "never"):
        sandbox = RecordingSandbox(lambda text: run)
        verdict = Judge(sandbox).grade(PROBLEM, "program", tests="all", stop=stop)
        assert set(verdict.outcomes) == {"compile_error"}
        assert len(verdict.outcomes) == 15
        assert verdict.fraction == 0.0
        assert len(sandbox.ran) == 1
        assert verdict.feedback == Feedback(
            "compile_error", error_type="SyntaxError", error_message="invalid syntax", traceback="line 1"
        )
    assert Judge(sandbox).grade(PROBLEM, "program", tests="hidden").feedback is None


def test_quoted_texts_are_bounded() -> None:
    problem = Problem("p", "s", public=[TestCase("x" * 50_000, "y" * 50_000)])
    run = Run("ok", output="z" * 50_000)
    feedback = Judge(RecordingSandbox(lambda text: run)).grade(problem, "program").feedback
    assert feedback is not None
    for text in (feedback.input, feedback.expected, feedback.actual):
        assert len(text) <= 1000
        assert "characters left out" in text


def test_call_values_are_compared_as_values_and_quoted_as_reprs() -> None:
    problem = Problem("p", "s", Call("f"), public=[TestCase([1, "a"], {"k": (1.0, 2)})])

    def grade(output: Any, strict: bool = False) -> Any:
        sandbox = RecordingSandbox(lambda text: Run("ok", output=output))
        return Judge(sandbox, strict_types=strict).grade(problem, "program")

    assert grade({"k": [1, 2.0]}).passed
    assert not grade({"k": [1, 2.0]}, strict=True).passed
    assert grade({"k": (1.0, 2)}, strict=True).passed
    assert grade(Opaque("Spam")).feedback == Feedback(
        "wrong_answer", test=0, input="f(1, 'a')", expected="{'k': (1.0, 2)}", actual="<Spam object>"
    )
    assert grade(None).feedback.actual == "None"
    assert not grade(True).passed


def test_a_stdin_run_without_output_is_a_wrong_answer() -> None:
    problem = Problem("p", "s", public=[TestCase("x", "")])
    verdict = Judge(RecordingSandbox(lambda text: Run("ok", output=None))).grade(problem, "program")
    assert verdict.outcomes == ("wrong_answer",)


def test_a_fault_of_the_sandbox_is_an_error_and_never_a_score() -> None:
    def fails(text: str) -> Run:
        raise SandboxError("the worker died twice.")

    with pytest.raises(SandboxError, match="died twice"):
        Judge(RecordingSandbox(fails)).grade(PROBLEM, "program")
    with pytest.raises(SandboxError, match="fewer runs"):
        Judge(RecordingSandbox(wrong_on(), yields=3)).grade(PROBLEM, "program")


def test_requests_that_make_no_sense_are_errors_that_say_so() -> None:
    judge = Judge(RecordingSandbox(wrong_on()))
    bare = Problem("bare", "s", public=cases("p", 1))
    with pytest.raises(JudgeError, match=r"'bare' has no tests in scoring.*public"):
        judge.grade(bare, "program", tests="scoring")
    with pytest.raises(JudgeError, match="no test group is selected"):
        judge.grade(bare, "program", tests=[])
    with pytest.raises(JudgeError, match=r"unknown test group 'publik'. Did you mean 'public'"):
        judge.grade(bare, "program", tests="publik")
    with pytest.raises(JudgeError, match="unknown stop rule 'always'"):
        judge.grade(bare, "program", stop="always")
    with pytest.raises(JudgeError, match=r"unknown checker 'absolute_error_1e6'. Did you mean 'absolute_error_1e-6'"):
        judge.grade(replace(bare, checker="absolute_error_1e6"), "program")


def test_an_empty_group_beside_a_full_one_is_no_obstacle() -> None:
    bare = Problem("bare", "s", public=cases("p", 1), hidden=cases("h", 2))
    verdict = Judge(RecordingSandbox(wrong_on())).grade(bare, "program", tests="all")
    assert verdict.passed
    assert verdict.groups == {"public": ("passed",), "scoring": (), "hidden": ("passed", "passed")}


@pytest.mark.parametrize("wrong", [(), ("p3",), ("p0", "s1", "h2"), ("s0", "s1", "s2")])
def test_the_async_twin_gives_the_same_verdict_and_runs_the_same_tests(wrong: tuple[str, ...]) -> None:
    one, other = RecordingSandbox(wrong_on(*wrong)), RecordingSandbox(wrong_on(*wrong))
    verdict = Judge(one).grade(PROBLEM, "program", tests="all")
    twin = asyncio.run(Judge(other).agrade(PROBLEM, "program", tests="all"))
    assert verdict == twin
    assert verdict.cpu_seconds == twin.cpu_seconds
    assert one.given == other.given
    assert one.ran == other.ran


@register_checker("test-any-permutation")
def permutation(input: Any, output: Any, expected: Any) -> bool:
    return len(output) == len(expected) and sorted(output) == sorted(expected)


@register_checker("test-broken")
def broken(input: Any, output: Any, expected: Any) -> bool:
    return undefined_name  # noqa: F821


@register_checker("test-not-a-bool")
def not_a_bool(input: Any, output: Any, expected: Any) -> bool:
    return "yes"


def judged_by(name: str, output: Any) -> Any:
    problem = Problem("p", "s", Call("f"), public=[TestCase([3], [1, 2, 3])], checker=name)
    return Judge(RecordingSandbox(lambda text: Run("ok", output=output))).grade(problem, "program")


def test_a_registered_checker_decides() -> None:
    assert judged_by("test-any-permutation", [3, 1, 2]).passed
    assert judged_by("test-any-permutation", [3, 1, 1]).outcome == "wrong_answer"


@pytest.mark.parametrize("weird", [None, 3, [None, "a", 1], Opaque("T"), [[], {}, 1]])
def test_an_output_that_a_checker_trips_over_is_a_wrong_answer(weird: Any) -> None:
    assert judged_by("test-any-permutation", weird).outcome == "wrong_answer"


def test_a_broken_checker_is_an_error_and_never_a_score() -> None:
    with pytest.raises(JudgeError, match="'test-broken' failed with NameError"):
        judged_by("test-broken", [1, 2, 3])
    with pytest.raises(JudgeError, match="'test-not-a-bool' returned str"):
        judged_by("test-not-a-bool", [1, 2, 3])


def test_a_checker_name_is_taken_once() -> None:
    register_checker("test-broken")(broken)
    with pytest.raises(ConfigError, match="'test-broken' is registered already"):
        register_checker("test-broken")(permutation)


@pytest.mark.parametrize(
    ("output", "right"), [(-0.5, True), (-0.50001, True), (-0.6, False), ("x", False), (float("nan"), False),
                          (True, False), (10**400, False), (None, False), ([-0.5], False)]
)  # fmt: skip
def test_a_root_of_the_polynomial_is_any_number_at_which_it_vanishes(output: Any, right: bool) -> None:
    problem = Problem("p", "s", Call("f"), public=[TestCase([[1, 2]], -0.5)], checker="polynomial_root")
    assert Judge(RecordingSandbox(lambda text: Run("ok", output=output))).grade(problem, "x").passed is right


def test_what_is_no_sandbox_problem_or_program_is_refused_by_name() -> None:
    wrong: Any = 5
    with pytest.raises(ConfigError, match=r"Judge\(5\): a sandbox is needed"):
        Judge(wrong)
    judge = Judge(ScriptedSandbox())
    with pytest.raises(JudgeError, match="a program is a text"):
        judge.grade(load_problems("starter", limit=1).problems[0], wrong)
    with pytest.raises(JudgeError, match="a Problem is needed"):
        judge.grade(wrong, "print(1)")
