"""An event loop in a thread of its own, for policies that ask servers: it works wherever a loop runs already.

Connections belong to the loop that opened them. With one loop for all callers, whatever thread or loop they are on,
they are opened once, and a limit on how many requests are open holds for all of them together.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, TypeVar

from mars2_env.errors import PolicyError

T = TypeVar("T")


class PrivateLoop:
    """Runs coroutines in its thread, which begins with the first of them and ends with `close`.

    After a fork the child begins a thread of its own: its parent's is not there.

    Args:
        name: of the thread.
        reopens: whether work after `close` begins a new thread; else it is refused.
    """

    def __init__(self, name: str, *, reopens: bool = True) -> None:
        self._name = name
        self._reopens = reopens
        self._closed = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._last: list[Callable[[], Awaitable[Any]]] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine comes to; whoever is interrupted in waiting for it cancels it.

        Raises:
            PolicyError: the loop was closed, and does not reopen.
        """
        future = self._submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def arun(self, work: Coroutine[Any, Any, T]) -> T:
        """`run`, awaited on any loop; whoever is cancelled in waiting for it cancels it."""
        return await asyncio.wrap_future(self._submit(work))

    def at_end(self, act: Callable[[], Awaitable[Any]]) -> None:
        """Have something awaited when the loop ends, as connections are closed; called on the loop."""
        self._last.append(act)

    def close(self) -> None:
        """Cancel what is running and end the thread; more than once does no harm."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None and self._process == os.getpid():
            loop.call_soon_threadsafe(loop.stop)
            if thread is not threading.current_thread():  # as where the garbage collector calls this
                thread.join()

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            if self._closed and not self._reopens:
                work.close()
                raise PolicyError(f"{self._name} is closed.")
            if self._loop is None or self._process != os.getpid():
                self._loop, self._process, self._last = asyncio.new_event_loop(), os.getpid(), []
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop, self._last), name=self._name, daemon=True
                )
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)


def _serve(loop: asyncio.AbstractEventLoop, last: list[Callable[[], Awaitable[Any]]]) -> None:
    """Run a loop until it is stopped, then cancel what it runs and do what is to be done at the end."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(_wind_up(last))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _wind_up(last: list[Callable[[], Awaitable[Any]]]) -> None:
    running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    while last:
        await last.pop()()


class Gate:
    """Lets so many through at a time; of those that wait, the most urgent first. For one loop at a time.

    Args:
        width: how many.
    """

    def __init__(self, width: int) -> None:
        self._free = width
        self._order = count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def passing(self, priority: int) -> AsyncIterator[None]:
        """Wait until there is room, and hold it inside the block; the smaller the priority, the sooner."""
        await self._enter(priority)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, priority: int) -> None:
        if self._free:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), place))
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # given up just as it was let through
                self._leave()
            raise

    def _leave(self) -> None:
        while self._waiting:
            place = heapq.heappop(self._waiting)[-1]
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
