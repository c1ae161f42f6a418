"""The finished trees of a run as iterators: one for event loops, and one for everybody else.

They have one driver. The synchronous iterator has an event loop of its own in a thread of its own, so it works where a
loop runs already, as in notebooks, and Ctrl-C interrupts whoever waits for a tree.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextvars import copy_context
from threading import Lock, Thread, current_thread
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakSet

from mars2_env.engine.driver import PATIENCE, Driver
from mars2_env.engine.workers import Daemons, Raised
from mars2_env.errors import Mars2Error
from mars2_env.log import Tree

_log = logging.getLogger(__name__)

_LAST: Final = 1.5 * PATIENCE + 0.3
"""Seconds after which a loop that does not end is left behind: something blocks it, such as an observer."""


class AsyncTrees(AsyncIterator[Tree]):
    """The finished trees of a run, for `async for`.

    The run goes on while nobody waits for a tree, but for what moves in step (`rollout`). Leave it by `aclose`, or by
    `async with`: then everything in flight is called back and logs are closed; so it is where the loop ends, or the
    run is forgotten. To be cancelled in waiting for a tree, as by a time-out, ends nothing: ask again. Any number may
    wait at a time, on the one loop that first asked for a tree.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def skipped(self) -> tuple[str, ...]:
        """The problems whose trees other runs are growing."""
        return tuple(self._driver.skipped)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Tree:
        if self._closed:
            raise StopAsyncIteration
        self._loop = self._loop or asyncio.get_running_loop()
        self._check_loop()
        came = await self._driver.next()
        if isinstance(came, Tree):
            return came
        self._closed = True
        if isinstance(came, Raised):
            raise came.error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the run. Idempotent.

        Raises:
            Mars2Error: it goes on on another loop.
        """
        if not self._driver.ended:
            self._check_loop()
        self._closed = True
        if not self._driver.ended:
            await self._driver.close()

    def _check_loop(self) -> None:
        if self._loop not in (None, asyncio.get_running_loop()):
            raise Mars2Error(
                "the trees of one arollout grow on the event loop that first asked for one, and this is another: ask "
                "for all of them in one asyncio.run. A run with `out` is gone on with by the same arollout made anew."
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if not self._closed and self._loop is not None and self._loop.is_running():
            driver, loop = self._driver, self._loop
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: loop.create_task(driver.close()))


class Trees(Iterator[Tree]):
    """The finished trees of a run.

    Nothing happens before the first is asked for. Threads of one process may share it. Leave it by `close`, by `with`,
    or by forgetting it: then everything in flight is called back and logs are closed.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._closed = False
        self._pid = os.getpid()
        self._lock = Lock()

    @property
    def skipped(self) -> tuple[str, ...]:
        """The problems whose trees other runs are growing."""
        return tuple(self._driver.skipped)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Tree:
        if self._thread is not None and os.getpid() != self._pid:
            raise Mars2Error(
                f"this rollout was begun in another process ({self._pid}), and grows its trees there; begin one of its "
                "own here, in an output folder of its own."
            )
        with self._lock:  # what is handed to the loop before it is closed is answered, or cancelled
            if self._closed:
                raise StopIteration
            asked = self._submit(self._driver.next())
        try:
            came = asked.result()
        except CancelledError:
            raise StopIteration from None  # somebody else has closed it
        except BaseException:  # an interrupt
            self.close()
            raise
        if isinstance(came, Tree):
            return came
        self.close()
        if isinstance(came, Raised):
            raise came.error
        raise StopIteration

    def close(self) -> None:
        """End the run, within some seconds whatever hangs. Idempotent."""
        if os.getpid() != self._pid:  # a forked process has none of its threads
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if current_thread() is self._thread:  # forgotten by what runs there
            assert self._loop is not None
            self._loop.create_task(self._driver.close()).add_done_callback(lambda _: self._stop())
            return
        try:
            if self._thread is not None or self._driver.closes:
                self._submit(self._driver.close()).result(_LAST)
        except TimeoutError:
            _log.warning("the run's event loop is blocked, by an observer or a feed perhaps; it is left behind.")
        finally:
            self._stop()
            if self._thread is not None:
                self._thread.join(0.2)
            _running.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not sys.is_finalizing():  # then its thread is frozen
            self.close()

    def _submit(self, what: Coroutine[Any, Any, Any]) -> Future[Any]:
        if self._loop is None:
            self._pid = os.getpid()
            self._loop = asyncio.new_event_loop()
            self._loop.set_default_executor(Daemons(1))
            self._thread = Thread(target=copy_context().run, args=(_run, self._loop), name="mars2-rollout", daemon=True)
            self._thread.start()
            _running.add(self)
        return asyncio.run_coroutine_threadsafe(what, self._loop)

    def _stop(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._loop.stop)


_running: Final[WeakSet[Trees]] = WeakSet()


@atexit.register
def _close_all() -> None:
    """Close what is running when the program ends, while its threads can still answer."""
    for trees in list(_running):
        trees.close()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped, and end it without waiting for what hangs."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=0.1))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
