"""A judge takes whatever can run programs: it asks in the way there is, and refuses what has none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest

from mars2_env.errors import ConfigError, SandboxError
from mars2_env.judge import Judge
from mars2_env.sandbox.base import Runs, RunsAsync, Streams, StreamsAsync
from mars2_env.types import Problem, Run, TestCase, Verdict

PROBLEM = Problem("p", "Say out.", public=tuple(TestCase(f"{i}", f"out {i}") for i in range(6)))
"""Its tests run in the order of the program, which is drawn."""


class Asked:
    """Answers rightly but to the inputs that are wrong, and lists what it was asked."""

    def __init__(self, *wrong: str) -> None:
        self.wrong = wrong
        self.ran: list[str] = []
        self.threads: set[int] = set()

    def answer(self, given: str) -> Run:
        self.ran.append(given)
        self.threads.add(threading.get_ident())
        return Run("ok", output=f"{'bad' if given in self.wrong else 'out'} {given}")


class OnlyRun(Asked):
    def run(self, program: str, inputs: Sequence[Any], **options: Any) -> list[Run]:
        return [self.answer(given) for given in inputs]


class OnlyStream(Asked):
    def stream(self, program: str, inputs: Sequence[Any], **options: Any) -> Iterator[Run]:
        return map(self.answer, inputs)


class OnlyAsyncRun(Asked):
    async def arun(self, program: str, inputs: Sequence[Any], **options: Any) -> list[Run]:
        return [self.answer(given) for given in inputs]


class OnlyAsyncStream(Asked):
    async def astream(self, program: str, inputs: Sequence[Any], **options: Any) -> AsyncIterator[Run]:
        for given in inputs:
            yield self.answer(given)


def graded(sandbox: Any, program: str = "program", **options: Any) -> Verdict:
    return Judge(sandbox).grade(PROBLEM, program, **options)


def agraded(sandbox: Any, program: str = "program", **options: Any) -> Verdict:
    return asyncio.run(Judge(sandbox).agrade(PROBLEM, program, **options))


WAYS = [
    (graded, OnlyRun),
    (graded, OnlyStream),
    (agraded, OnlyRun),
    (agraded, OnlyStream),
    (agraded, OnlyAsyncRun),
    (agraded, OnlyAsyncStream),
]


@pytest.mark.parametrize(("grade", "kind"), WAYS)
def test_one_way_of_running_programs_is_enough(grade: Callable[..., Verdict], kind: type[Asked]) -> None:
    sandbox = kind("3")
    assert grade(sandbox, stop="never").groups == {"public": ("passed",) * 3 + ("wrong_answer",) + ("passed",) * 2}
    assert sorted(sandbox.ran) == [str(i) for i in range(6)]


@pytest.mark.parametrize(("grade", "kind"), WAYS)
def test_whichever_way_grading_stops_at_the_first_failure(grade: Callable[..., Verdict], kind: type[Asked]) -> None:
    sandbox = kind(*(str(i) for i in range(6)))
    assert grade(sandbox).outcome == "wrong_answer"
    first = sandbox.ran[0]
    assert sandbox.ran[-1] == "0", "the first in listed order is what feedback names"
    assert sorted(sandbox.ran[1:], reverse=True) == sandbox.ran[1:]
    assert all(int(given) < int(first) for given in sandbox.ran[1:])


@pytest.mark.parametrize("kind", [OnlyRun, OnlyStream])
def test_what_is_not_async_runs_in_a_thread_while_the_loop_goes_on(kind: type[Asked]) -> None:
    met = threading.Event()

    class Meets(kind):  # type: ignore[misc,valid-type]
        def answer(self, given: str) -> Run:
            assert met.wait(30)
            return super().answer(given)  # type: ignore[no-any-return]

    async def side_by_side() -> Verdict:
        grading = asyncio.create_task(Judge(sandbox).agrade(PROBLEM, "program"))
        await asyncio.sleep(0)
        met.set()  # had the program run in this thread, nobody would have come here
        return await grading

    sandbox = Meets()
    assert asyncio.run(side_by_side()).passed
    assert threading.get_ident() not in sandbox.threads


def test_a_cancelled_grading_waits_for_the_run_in_its_thread_and_closes_the_stream() -> None:
    running, go_on = threading.Event(), threading.Event()
    said: list[str] = []

    class Slow:
        def stream(self, program: str, inputs: Sequence[Any], **options: Any) -> Iterator[Run]:
            try:
                for _ in inputs:
                    said.append("run")
                    running.set()
                    assert go_on.wait(30)
                    yield Run("ok")
            finally:
                said.append("closed")

    async def cancelled() -> None:
        grading = asyncio.create_task(Judge(Slow()).agrade(PROBLEM, "program"))
        await asyncio.to_thread(running.wait, 30)
        grading.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await grading
        assert said == ["run", "closed"]

    asyncio.run(cancelled())


@pytest.mark.parametrize("kind", [OnlyAsyncRun, OnlyAsyncStream])
def test_what_is_async_alone_cannot_be_asked_without_a_loop(kind: type[Asked]) -> None:
    with pytest.raises(ConfigError, match=r"async methods alone.*Judge\.agrade"):
        graded(kind())


def test_a_stream_goes_before_single_runs_so_that_both_ways_of_asking_come_to_one_verdict() -> None:
    class Remembers(OnlyAsyncRun):
        def stream(self, program: str, inputs: Sequence[Any], **options: Any) -> Iterator[Run]:
            return (Run("ok", output=f"out {given}") for given in inputs)

    sandbox = Remembers(*(str(i) for i in range(6)))
    assert graded(sandbox) == agraded(sandbox)
    assert sandbox.ran == []


@pytest.mark.parametrize("runs", [[], [Run("ok"), Run("ok")]])
def test_a_wrong_number_of_runs_is_a_fault_and_never_a_score(runs: list[Run]) -> None:
    class Miscounts:
        def run(self, program: str, inputs: Sequence[Any], **options: Any) -> list[Run]:
            return runs

        async def arun(self, program: str, inputs: Sequence[Any], **options: Any) -> list[Run]:
            return runs

    for grade in (graded, agraded):
        with pytest.raises(SandboxError, match=rf"returned {len(runs)} runs for one input"):
            grade(Miscounts())


@pytest.mark.parametrize("returned", [None, Run("ok"), ["1"], iter([Run("ok")])])
def test_what_is_no_list_of_runs_is_a_fault_that_names_it(returned: Any) -> None:
    class Careless:
        def run(self, program: str, inputs: Sequence[Any], **options: Any) -> Any:
            return returned

    for grade in (graded, agraded):
        with pytest.raises(SandboxError, match=r"the sandbox returned .* for one input, not a list of one Run"):
            grade(Careless())


def test_what_can_run_nothing_is_refused_before_anything_is_graded() -> None:
    class Idle:
        run = None

        def close(self) -> None: ...

    for nothing in (Idle(), 5, "docker", None):
        with pytest.raises(ConfigError, match=r"a sandbox is needed, such as mars2_env\.make_sandbox\(\)"):
            Judge(nothing)  # type: ignore[arg-type]


def test_an_ability_is_told_by_its_protocol() -> None:
    kinds = {OnlyRun: Runs, OnlyStream: Streams, OnlyAsyncRun: RunsAsync, OnlyAsyncStream: StreamsAsync}
    for kind, ability in kinds.items():
        assert [other for other in kinds.values() if isinstance(kind(), other)] == [ability]
