"""Courses of requests: what a driver closes, and when, and what becomes of what goes wrong on the way."""

from __future__ import annotations

import asyncio
import base64
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest

from mars2_env.errors import SandboxError
from mars2_env.sandbox import CachedSandbox, Language, LanguageSandbox, Sandbox
from mars2_env.sandbox.language_sandbox import _Checks
from mars2_env.sandbox.stepping import Begin, Course, Next, astream, stream
from mars2_env.testing import ScriptedSandbox
from mars2_env.types import Run

SHELL = Language("shell", "program.sh", known_good="42", check=("/bin/sh", "-n"), run=("/bin/sh",))


class Watched(ScriptedSandbox):
    """A scripted sandbox that lists the streams that were opened and closed; it knows the checks of any language."""

    def __init__(self, behaviour: Callable[[Any], Any] = str) -> None:
        super().__init__(lambda program, given: "+" + CHECKED if "subprocess.call" in program else behaviour(given))
        self.streams: list[str] = []

    def stream(self, program: str, inputs: Sequence[Any], **options: Any) -> Iterator[Run]:
        self.streams.append("opened")
        try:
            yield from super().stream(program, inputs, **options)
        finally:
            self.streams.append("closed")

    async def astream(self, program: str, inputs: Sequence[Any], **options: Any) -> AsyncIterator[Run]:
        self.streams.append("opened")
        try:
            async for run in super().astream(program, inputs, **options):
                yield run
        finally:
            self.streams.append("closed")

    def run(self, program: str, inputs: Sequence[Any], **options: Any) -> list[Run]:
        return list(super().stream(program, inputs, **options))


CHECKED = base64.b64encode(zlib.compress(b"a program")).decode()


def language(behind: Sandbox) -> LanguageSandbox:
    box = LanguageSandbox(behind, SHELL)
    box._here.get(_Checks).works = True  # as if its known-good program had been run
    return box


@pytest.fixture(params=[CachedSandbox, language])
def around(request: pytest.FixtureRequest) -> Callable[[Sandbox], Sandbox]:
    made: Callable[[Sandbox], Sandbox] = request.param
    return made


def test_a_stream_that_is_closed_early_closes_the_one_behind_it(around: Callable[[Sandbox], Sandbox]) -> None:
    behind = Watched()
    runs = around(behind).stream("p", ["a", "b", "c"])
    assert next(runs).output == "a"
    runs.close()  # type: ignore[attr-defined]  # it is a generator
    assert behind.streams == ["opened", "closed"]
    assert [given for _, given in behind.calls if given != "p"] == ["a"]


def test_an_async_stream_that_is_closed_early_closes_the_one_behind_it(around: Callable[[Sandbox], Sandbox]) -> None:
    behind = Watched()

    async def first() -> Run:
        runs = around(behind).astream("p", ["a", "b", "c"])
        try:
            return await anext(runs)
        finally:
            await runs.aclose()  # type: ignore[attr-defined]  # it is a generator

    assert asyncio.run(first()).output == "a"
    assert behind.streams == ["opened", "closed"]
    assert [given for _, given in behind.calls if given != "p"] == ["a"]


def test_what_is_closed_early_is_counted_as_far_as_it_was_reached() -> None:
    box = CachedSandbox(Watched())
    box.run("p", ["a"])
    runs = box.stream("p", ["a", "b", "c"])
    next(runs), next(runs)
    runs.close()  # type: ignore[attr-defined]  # it is a generator
    assert (box.hits, box.misses) == (1, 2)


def test_a_stream_that_nobody_began_opens_nothing(around: Callable[[Sandbox], Sandbox]) -> None:
    behind = Watched()
    around(behind).stream("p", ["a"])
    assert (behind.streams, behind.calls) == ([], [])


@pytest.mark.parametrize("error", [SandboxError("gone"), KeyboardInterrupt()])
def test_what_goes_wrong_behind_a_stream_is_raised_and_the_stream_closed(
    around: Callable[[Sandbox], Sandbox], error: BaseException
) -> None:
    def fails(given: str) -> str:
        if given == "b":
            raise error
        return given

    behind = Watched(fails)
    with pytest.raises(type(error)) as raised:
        around(behind).run("p", ["a", "b", "c"])
    assert raised.value is error
    assert behind.streams == ["opened", "closed"]


def test_a_task_that_is_cancelled_while_it_waits_closes_the_stream_it_waits_for(
    around: Callable[[Sandbox], Sandbox],
) -> None:
    class Endless(Watched):
        async def astream(self, program: str, inputs: Sequence[Any], **options: Any) -> AsyncIterator[Run]:
            self.streams.append("opened")
            try:
                self.waits.set()
                await asyncio.Event().wait()
                yield Run("ok")
            finally:
                self.streams.append("closed")

    behind = Endless()

    async def cancelled() -> None:
        behind.waits = asyncio.Event()  # type: ignore[attr-defined]
        task = asyncio.create_task(around(behind).arun("p", ["a"]))  # type: ignore[arg-type]
        await behind.waits.wait()  # type: ignore[attr-defined]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert behind.streams == ["opened", "closed"]


def test_a_check_that_is_interrupted_is_made_again() -> None:
    interrupts = [KeyboardInterrupt()]

    class Interrupted(Watched):
        def run(self, program: str, inputs: Sequence[Any], **options: Any) -> list[Run]:
            if "subprocess.call" in program and interrupts:
                raise interrupts.pop()
            return super().run(program, inputs, **options)

    box = language(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        box.run("p", ["a"])
    assert box.run("p", ["a"])[0].output == "a"


def test_a_check_whose_task_is_cancelled_is_made_by_the_task_that_waits_for_it() -> None:
    class Slow(Watched):
        checks = 0

        async def arun(self, program: str, inputs: Sequence[Any], **options: Any) -> list[Run]:
            self.checks += 1
            if self.checks == 1:
                await asyncio.Event().wait()
            return self.run(program, inputs, **options)

    behind = Slow()
    box = language(behind)

    async def both() -> list[Run]:
        first = asyncio.create_task(box.arun("p", ["a"]))  # type: ignore[arg-type]
        second = asyncio.create_task(box.arun("p", ["b"]))  # type: ignore[arg-type]
        while not behind.checks:
            await asyncio.sleep(0)
        first.cancel()
        runs: list[Run] = await second
        assert first.cancelled()
        return runs

    assert asyncio.run(both())[0].output == "b"
    assert behind.checks == 2


def test_a_stream_that_ends_too_soon_is_a_fault_and_not_an_end() -> None:
    class Short(Watched):
        def stream(self, program: str, inputs: Sequence[Any], **options: Any) -> Iterator[Run]:
            return super().stream(program, inputs[:1], **options)

        def astream(self, program: str, inputs: Sequence[Any], **options: Any) -> AsyncIterator[Run]:
            return super().astream(program, inputs[:1], **options)

    box = CachedSandbox(Short())
    with pytest.raises(SandboxError, match="fewer runs than it was given inputs"):
        box.run("p", ["a", "b"])
    with pytest.raises(SandboxError, match="fewer runs than it was given inputs"):
        asyncio.run(box.arun("p", ["c", "d"]))  # type: ignore[arg-type]


def twice() -> Course[str]:
    """Open two streams, one after the other, and take one run of each."""
    for program in ("p", "q"):
        yield Begin(program, ["a", "b"])
        run = yield Next()
        yield run.output


def test_a_stream_is_closed_when_the_next_is_begun_and_the_last_when_the_course_ends() -> None:
    behind = Watched()
    assert list(stream(twice(), behind)) == ["a", "a"]
    assert behind.streams == ["opened", "closed"] * 2

    async def taken() -> list[str]:
        return [output async for output in astream(twice(), behind)]

    assert asyncio.run(taken()) == ["a", "a"]
    assert behind.streams == ["opened", "closed"] * 4
