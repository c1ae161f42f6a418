"""The judge: runs a program on the inputs of a problem's tests and compares on the host.

Only inputs go to the sandbox. Tests run in an order drawn from (problem id, program), so that process ids, counters or
timing tell a program nothing about which test it is facing; verdicts list them in the order of the problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

from mars2_env.base.checks import flag
from mars2_env.errors import ConfigError, JudgeError, SandboxError, unknown_name
from mars2_env.judge.checkers import checker, checks
from mars2_env.judge.compare import equal, same_output
from mars2_env.judge.facts import failing_test
from mars2_env.sandbox import stepping
from mars2_env.sandbox.base import RunsPrograms
from mars2_env.sandbox.stepping import Begin, Course, Next
from mars2_env.types import GROUPS, Feedback, Outcome, Problem, Run, Status, Stdin, TestCase, TestGroup, Tests, Verdict

Stop: TypeAlias = Literal["first_failure", "never"]

_STATUSES: Final = get_args(Status)
_STOPS: Final[tuple[Stop, ...]] = ("first_failure", "never")
_NEXT: Final = Next()
Acceptance: TypeAlias = Callable[[TestCase, Any], bool]


class Judge:
    """Grades programs with a sandbox.

    Args:
        sandbox: Where programs run: a `Sandbox`, or an object with one of its methods `run`, `stream`, `arun` and
            `astream`. One that only runs gets an input at a time, in a process each, so that grading stops early; one
            with no async method is asked in a thread by `agrade`, and one with no other cannot be asked by `grade`.
        strict_types: Ask returned values for the exact types and floats of the expected ones (`compare.equal`).

    Raises:
        ConfigError: `sandbox` has none of these methods.
    """

    def __init__(self, sandbox: RunsPrograms, *, strict_types: bool = False) -> None:
        if isinstance(sandbox, type) or not isinstance(sandbox, RunsPrograms):
            raise ConfigError(f"Judge({sandbox!r:.200}): a sandbox is needed, such as mars2_env.make_sandbox().")
        self.sandbox = sandbox
        self.strict_types = flag("strict_types", strict_types, where="Judge")
        self._listed: _Listed | None = None

    def grade(self, problem: Problem, program: str, tests: Tests = "public", stop: Stop = "first_failure") -> Verdict:
        """Grade `program` on the selected tests of `problem`.

        Args:
            problem: The problem.
            program: Python source.
            tests: A group ("public", "scoring", "hidden"), "all", or a sequence of groups; their union is run.
            stop: "first_failure" ends each selected group at its first failing test, in the order of running, so that
                a failing public test does not hide the result of the scoring group; then the public tests listed
                before a failing one are run too, so that feedback names the first in listed order. "never" runs all.

        Returns:
            The outcomes of the selected groups ("not_run" for tests that an early stop left out) and, where a public
            or scoring test failed, feedback. A program that does not compile fails every selected test as
            "compile_error" after a single run. Hidden results never cause feedback. Equal for equal arguments.

        Raises:
            JudgeError: there is no such group, stop or checker, or the selection is empty.
            SandboxError: the sandbox could not decide; nothing is known about the program.
        """
        (verdict,) = stepping.stream(_course(self._grading(problem, program, tests, stop)), self.sandbox)
        return verdict

    async def agrade(
        self, problem: Problem, program: str, tests: Tests = "public", stop: Stop = "first_failure"
    ) -> Verdict:
        """Async twin of `grade`."""
        course = _course(self._grading(problem, program, tests, stop))
        (verdict,) = [each async for each in stepping.astream(course, self.sandbox)]
        return verdict

    def _grading(self, problem: Problem, program: str, tests: Tests, stop: Stop) -> _Grading:
        """Begin a grading; a judge is mostly asked about one problem and one selection, program after program."""
        _check(problem, program, stop)
        groups = selected_groups(tests)
        listed = self._listed
        if listed is None or listed.problem is not problem or listed.groups != groups:
            self._listed = listed = _Listed(problem, groups)
        return _Grading(listed, program, stop, _acceptance(problem, self.strict_types))


class _Test(NamedTuple):
    group: TestGroup
    number: int
    case: TestCase
    name: bytes


class _Listed:
    """The tests that a selection of groups has in a problem, in listed order."""

    def __init__(self, problem: Problem, groups: tuple[TestGroup, ...]) -> None:
        self.problem = problem
        self.groups = groups
        self.tests = [
            _Test(group, number, case, f"{group} {number}".encode())
            for group in groups
            for number, case in enumerate(problem.tests(group))
        ]
        if not self.tests:
            raise JudgeError(
                f"problem {problem.id!r} has no tests in {', '.join(groups)}; select a group that has some: "
                + (", ".join(g for g in GROUPS if problem.tests(g)) or "it has none at all")
                + "."
            )


def _check(problem: object, program: object, stop: object) -> None:
    if not isinstance(problem, Problem):
        raise JudgeError(f"grade(problem={problem!r:.200}): a Problem is needed, with its tests.")
    if not isinstance(program, str):
        raise JudgeError(f"grade(program={program!r:.200}): a program is a text.")
    if stop not in _STOPS:
        raise JudgeError(unknown_name("stop rule", str(stop), _STOPS))


class _Grading:
    """One grading in progress: which tests are still needed, and what became of the others."""

    def __init__(self, listed: _Listed, program: str, stop: Stop, accepts: Acceptance) -> None:
        self.problem = listed.problem
        self.program = program
        self.groups = listed.groups
        self.order = run_order(self.problem.id, program, listed.tests)
        self.early = stop == "first_failure"
        self.accepts = accepts
        self.outcomes: dict[tuple[TestGroup, int], Outcome] = {}
        self.first_failing: dict[TestGroup, int] = {}
        self.failing_run: Run | None = None
        self.cpu_seconds = 0.0

    def needs(self, test: _Test) -> bool:
        """Whether this test has yet to be run."""
        if (test.group, test.number) in self.outcomes:
            return False
        if not self.early or test.group not in self.first_failing:
            return True
        return test.group == "public" and test.number < self.first_failing["public"]

    def batch(self) -> list[_Test]:
        """Return the tests that are needed as far as is known now, in the order of running.

        Those of one group alone where functions are called: one process serves a batch, it may remember its inputs, and
        what it returns for a public test is quoted.
        """
        needed = [test for test in self.order if self.needs(test)] if self.outcomes else self.order
        if isinstance(self.problem.interface, Stdin):
            return needed
        return [test for test in needed if test.group == needed[0].group]

    def record(self, test: _Test, run: Run | None) -> None:
        """Take in what the sandbox said about a test."""
        if run is None:
            raise SandboxError(
                f"the sandbox returned fewer runs than it was given inputs (problem {self.problem.id!r}); "
                "this is a fault of the sandbox, not of the program."
            )
        if run.status not in _STATUSES:
            raise SandboxError(
                f"the sandbox returned a run with status {run.status!r:.100}, which is none of {', '.join(_STATUSES)}; "
                "this is a fault of the sandbox, not of the program."
            )
        self.cpu_seconds += run.cpu_seconds
        if run.status == "compile_error":
            # It is the program that does not compile, whatever the input: one run settles every test.
            for each in self.order:
                self.outcomes[each.group, each.number] = "compile_error"
                self.first_failing[each.group] = 0
            self.failing_run = run
            return
        if run.status != "ok":
            outcome: Outcome = run.status
        elif self.accepts(test.case, run.output):
            self.outcomes[test.group, test.number] = "passed"
            return
        else:
            outcome = "wrong_answer"
        self.outcomes[test.group, test.number] = outcome
        if test.number > self.first_failing.get(test.group, test.number):
            return
        self.first_failing[test.group] = test.number
        if test.group == "public":
            self.failing_run = run

    def verdict(self) -> Verdict:
        """Return the verdict on all that was recorded."""
        return Verdict(
            groups={
                group: tuple(self.outcomes.get((group, i), "not_run") for i in range(len(self.problem.tests(group))))
                for group in self.groups
            },
            feedback=self._feedback(),
            cpu_seconds=self.cpu_seconds,
        )

    def _feedback(self) -> Feedback | None:
        if "public" in self.first_failing:
            index = self.first_failing["public"]
            assert self.failing_run is not None
            return failing_test(
                index,
                self.problem.public[index],
                self.failing_run,
                self.outcomes["public", index],
                self.problem.interface,
                self.problem.limits,
            )
        if "scoring" in self.first_failing:
            return Feedback(outcome="wrong_answer", unshown=True)
        return None


def _course(grading: _Grading) -> Course[Verdict]:
    """Ask a sandbox for the runs that a grading needs, one at a time; hand out the verdict."""
    problem = grading.problem
    while batch := grading.batch():
        yield Begin(grading.program, [test.case.input for test in batch], problem.interface, problem.limits)
        for test in batch:
            if grading.first_failing and not grading.needs(test):
                break
            grading.record(test, (yield _NEXT))
    yield grading.verdict()


def selected_groups(tests: Tests) -> tuple[TestGroup, ...]:
    """Return the test groups that `tests` selects, in the order public, scoring, hidden.

    Raises:
        JudgeError: one of them does not exist, or there is none.
    """
    if tests == "all":
        return GROUPS
    if not isinstance(tests, Iterable):
        raise JudgeError(f"tests={tests!r:.200}: choose of {', '.join(GROUPS)}, or all.")
    named = (tests,) if isinstance(tests, str) else tuple(tests)
    for name in named:
        if name not in GROUPS:
            raise JudgeError(unknown_name("test group", str(name), (*GROUPS, "all")))
    if not named:
        raise JudgeError(f"no test group is selected; choose of {', '.join(GROUPS)}, or all.")
    return tuple(group for group in GROUPS if group in named)


def run_order(problem_id: str, program: str, tests: list[_Test]) -> list[_Test]:
    """Return the tests in their order of running: a permutation keyed by (problem id, program).

    A test's place relative to another does not depend on which other groups are selected.
    """
    key = blake2b(digest_size=32)
    for text in (problem_id, program):
        data = text.encode("utf-8", "surrogatepass")
        key.update(len(data).to_bytes(8, "big") + data)
    keyed = blake2b(key=key.digest())
    places = []
    for test in tests:
        place = keyed.copy()  # cheaper than keying anew
        place.update(test.name)
        places.append(place.digest())
    return [test for _, test in sorted(zip(places, tests, strict=True), key=itemgetter(0))]


def _acceptance(problem: Problem, strict: bool) -> Acceptance:
    """Return what decides whether an output is right for a test of this problem."""
    if problem.checker is not None:
        name, check = problem.checker, checker(problem.checker, of=problem.id)
        return lambda case, output: checks(name, check, case.input, output, case.output)
    if isinstance(problem.interface, Stdin):
        return lambda case, output: isinstance(output, str) and same_output(output, case.output)
    return lambda case, output: equal(output, case.output, strict=strict)
