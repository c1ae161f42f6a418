"""A course of what is asked of a sandbox, written once and driven from a thread (`stream`) or from a task (`astream`).

A course is a generator without I/O. What it asks for it yields (`RunAll`, `Begin`, `Next`, `Wait`), and is sent the
answer, or thrown what went wrong in finding it; whatever else it yields is handed out. Of the streams that it begins
one is open at a time. Closing them is not its business: a driver does so when the next is begun, when the course ends,
however it ends, and when nobody takes what is handed out any more.

Any object that runs programs can be asked (`RunsPrograms`): where it has no stream, one is made of its `run`, an input
at a time, and where it has nothing async, its other methods run in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from mars2_env.base.abilities import keeps
from mars2_env.errors import ConfigError, SandboxError
from mars2_env.sandbox.base import (
    LIMITS,
    STDIN,
    Closes,
    ClosesAsync,
    Runs,
    RunsAsync,
    RunsPrograms,
    Streams,
    StreamsAsync,
)
from mars2_env.types import Interface, Limits, Run

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunAll:
    """Run `program` on every input; the answer is a list with a `Run` for each."""

    program: str
    inputs: Sequence[Any]
    interface: Interface = STDIN
    limits: Limits = LIMITS


@dataclass(frozen=True, slots=True)
class Begin:
    """Close the stream that is open, if one is, and begin one of `program` on these inputs; there is no answer."""

    program: str
    inputs: Sequence[Any]
    interface: Interface = STDIN
    limits: Limits = LIMITS


@dataclass(frozen=True, slots=True)
class Next:
    """Take the next run of the stream that is open; the answer is that `Run`, or None where it has ended."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for what another course is finding out; the answer is the result of `future`."""

    future: Future[Any]


Request: TypeAlias = Next | RunAll | Begin | Wait

Asking: TypeAlias = Generator[Request, Any, T]
"""A part of a course that hands nothing out and returns something."""

Course: TypeAlias = Generator[Request | T, Any, None]
"""A course that hands out things of this type, none of them a request."""


def stream(course: Course[T], sandbox: RunsPrograms) -> Iterator[T]:
    """Yield what a course hands out, asking `sandbox` in the thread that takes it.

    Raises:
        ConfigError: all that the sandbox has is async.
    """
    asked = _Blocking(sandbox)
    try:
        step = next(course)
        while True:
            if not isinstance(step, Request):
                yield step
                step = next(course)
                continue
            try:
                answer = asked.next() if isinstance(step, Next) else asked.answer(step)
            except BaseException as error:
                step = course.throw(error)
            else:
                step = course.send(answer)
    except StopIteration:
        return
    finally:
        course.close()
        asked.close()


async def astream(course: Course[T], sandbox: RunsPrograms) -> AsyncIterator[T]:
    """Async twin of `stream`: no thread is held where the sandbox has async methods."""
    asked = _Suspending(sandbox)
    try:
        step = next(course)
        while True:
            if not isinstance(step, Request):
                yield step
                step = next(course)
                continue
            try:
                answer = await asked.answer(step)
            except BaseException as error:
                step = course.throw(error)
            else:
                step = course.send(answer)
    except StopIteration:
        return
    finally:
        course.close()
        await asked.close()


class _Blocking:
    """Answers requests in the thread that asks."""

    def __init__(self, sandbox: RunsPrograms) -> None:
        self._sandbox = sandbox
        self._runs: Iterator[Run] | None = None

    def answer(self, request: Request) -> Any:
        match request:
            case RunAll():
                return _run_all(self._sandbox, request)
            case Begin():
                self.close()
                self._runs = _begun(self._sandbox, request)
                return None
            case Next():
                return self.next()
            case Wait():
                return request.future.result()

    def next(self) -> Run | None:
        """Answer `Next`, of which there is one for every test."""
        assert self._runs is not None
        return next(self._runs, None)

    def close(self) -> None:
        runs, self._runs = self._runs, None
        if keeps(runs, Closes):  # a generator can be closed, a plain iterator need not
            runs.close()


class _Suspending:
    """Answers requests without holding a thread, as far as the sandbox allows."""

    def __init__(self, sandbox: RunsPrograms) -> None:
        self._sandbox = sandbox
        self._runs: AsyncIterator[Run] | None = None

    async def answer(self, request: Request) -> Any:
        match request:
            case RunAll():
                return await _arun_all(self._sandbox, request)
            case Begin():
                await self.close()
                self._runs = _abegun(self._sandbox, request)
                return None
            case Next():
                assert self._runs is not None
                return await anext(self._runs, None)
            case Wait():
                # Shielded: what is found out is not for this task alone.
                return await asyncio.shield(asyncio.wrap_future(request.future))

    async def close(self) -> None:
        runs, self._runs = self._runs, None
        if keeps(runs, ClosesAsync):
            await runs.aclose()


def _run_all(sandbox: RunsPrograms, asked: RunAll | Begin) -> list[Run]:
    if keeps(sandbox, Runs):
        return sandbox.run(asked.program, asked.inputs, interface=asked.interface, limits=asked.limits)
    return list(_begun(sandbox, asked))


async def _arun_all(sandbox: RunsPrograms, asked: RunAll | Begin) -> list[Run]:
    if keeps(sandbox, RunsAsync):
        return await sandbox.arun(asked.program, asked.inputs, interface=asked.interface, limits=asked.limits)
    return [run async for run in _abegun(sandbox, asked)]


def _begun(sandbox: RunsPrograms, asked: RunAll | Begin) -> Iterator[Run]:
    if keeps(sandbox, Streams):
        return iter(sandbox.stream(asked.program, asked.inputs, interface=asked.interface, limits=asked.limits))
    if keeps(sandbox, Runs):
        return _one_by_one(sandbox, asked)
    raise ConfigError(f"{sandbox!r:.200} has async methods alone; ask it from async code (Judge.agrade).")


def _abegun(sandbox: RunsPrograms, asked: RunAll | Begin) -> AsyncIterator[Run]:
    if keeps(sandbox, StreamsAsync):
        return aiter(sandbox.astream(asked.program, asked.inputs, interface=asked.interface, limits=asked.limits))
    # A stream, which `_begun` takes too, may serve all inputs in one process: both ways are to come to one verdict.
    if keeps(sandbox, RunsAsync) and not keeps(sandbox, Streams):
        return _aone_by_one(sandbox, asked)
    return _in_a_thread(_begun(sandbox, asked))


def _one_by_one(sandbox: Runs, asked: RunAll | Begin) -> Iterator[Run]:
    for value in asked.inputs:
        yield _only(sandbox.run(asked.program, [value], interface=asked.interface, limits=asked.limits))


async def _aone_by_one(sandbox: RunsAsync, asked: RunAll | Begin) -> AsyncIterator[Run]:
    for value in asked.inputs:
        yield _only(await sandbox.arun(asked.program, [value], interface=asked.interface, limits=asked.limits))


def _only(runs: Any) -> Run:
    """Return the one run of a list of one; whoever wrote the sandbox is told what else it returned."""
    if not isinstance(runs, list | tuple) or len(runs) != 1 or not isinstance(runs[0], Run):
        count = f"{len(runs)} runs" if isinstance(runs, list | tuple) and len(runs) != 1 else f"{runs!r:.200}"
        raise SandboxError(f"the sandbox returned {count} for one input, not a list of one Run; this is its own fault.")
    return runs[0]


async def _in_a_thread(runs: Iterator[Run]) -> AsyncIterator[Run]:
    """Take one run after the other in a thread, while other tasks go on."""
    step: asyncio.Future[Run | None] | None = None
    try:
        while True:
            step = asyncio.get_running_loop().run_in_executor(None, next, runs, None)
            run = await asyncio.shield(step)
            if run is None:
                return
            yield run
    finally:
        if step is not None and not step.done():
            await asyncio.wait([step])  # cancelled: what goes on in a thread cannot be closed, and its limits end it
        if keeps(runs, Closes):
            runs.close()
