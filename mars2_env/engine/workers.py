"""Threads that work for an event loop: a bounded number, none of which keeps the process from ending.

The threads of `concurrent.futures` are waited for when the interpreter ends, and so a policy that hangs would keep
Ctrl-C from ending a run. These are daemons: one that does not come back is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Raised:
    """In the place of what a piece of work came to: it raised this."""

    error: BaseException


Work: TypeAlias = Callable[[], Any]
Done: TypeAlias = Callable[[Any], None]


class Inbox:
    """Brings what threads have done into an event loop: however much comes in at a time wakes the loop once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._came: deque[tuple[Done, Any]] = deque()
        self._woken = False

    def put(self, done: Done, outcome: Any) -> None:
        """Have `done(outcome)` called in the loop; from any thread. Nothing happens where the loop is gone."""
        self._came.append((done, outcome))
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        self._woken = False  # first, so that what comes in from now on wakes the loop again
        while self._came:
            done, outcome = self._came.popleft()
            done(outcome)


class Workers:
    """At most `size` daemon threads, each started when there is work that no other is free for.

    All methods are for the thread of the event loop.

    Args:
        size: how many pieces of work are done at a time.
        name: what the threads are called.
        inbox: where what they come to goes.
    """

    def __init__(self, size: int, name: str, inbox: Inbox) -> None:
        self._size = size
        self._name = name
        self._inbox = inbox
        self._queue: SimpleQueue[tuple[Work, Done] | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._undone = 0

    def submit(self, work: Work, done: Done) -> None:
        """Have `work()` done in a thread, and then `done` called in the loop with what it returned, or `Raised`."""
        self._undone += 1
        self._queue.put((work, done))
        if self._undone > len(self._threads) < self._size:
            # a thread of ours is in the context of who started the run, as a coroutine would be
            thread = Thread(target=copy_context().run, args=(self._work,), name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def future(self, work: Work) -> asyncio.Future[Any]:
        """Return `work()` done in a thread, to be awaited."""
        found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def done(outcome: Any) -> None:
            if found.done():  # nobody waits any more
                return
            if isinstance(outcome, Raised):
                found.set_exception(outcome.error)
            else:
                found.set_result(outcome)

        self.submit(work, done)
        return found

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            work, done = item
            outcome: Any
            try:
                outcome = work()
            except BaseException as error:  # whoever asked for it decides
                outcome = Raised(error)
            self._inbox.put(self._done, (done, outcome))
            del item, work, done, outcome  # a thread that waits holds on to nothing

    def _done(self, came: tuple[Done, Any]) -> None:
        self._undone -= 1
        done, outcome = came
        done(outcome)

    def close(self) -> None:
        """Begin nothing any more: threads end when they are done with what they are at."""
        with contextlib.suppress(Empty):
            while True:
                self._queue.get_nowait()
        for _ in self._threads:
            self._queue.put(None)

    @property
    def alive(self) -> int:
        """How many threads have not ended yet."""
        return sum(thread.is_alive() for thread in self._threads)


class Daemons(ThreadPoolExecutor):
    """Does each piece of work in a daemon thread of its own: the executor of a loop that nothing may keep from ending.

    What `asyncio.to_thread` runs in it is left behind when it hangs.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it, at once."""
        found: Future[Any] = Future()

        def run() -> None:
            if not found.set_running_or_notify_cancel():
                return
            try:
                outcome = fn(*args, **kwargs)
            except BaseException as error:
                found.set_exception(error)
            else:
                found.set_result(outcome)

        Thread(target=run, name="mars2-policy", daemon=True).start()
        return found
