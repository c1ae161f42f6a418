"""An event loop in a thread of its own, for clients that must live on one loop whoever calls them, and from where."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from threading import Lock, Thread
from typing import Any, TypeVar

from mars2_env.errors import PolicyError

T = TypeVar("T")


class BackgroundLoop:
    """Runs coroutines on one event loop, for threads that wait (`run`) and for other loops (`await_`).

    The thread starts with the first coroutine. After a fork the child starts one of its own.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._process = 0
        self._closed = False

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise PolicyError(f"{self._name} is closed.")
            if self._loop is None or self._process != os.getpid():
                self._loop = asyncio.new_event_loop()
                self._process = os.getpid()
                self._thread = Thread(target=self._loop.run_forever, name=self._name, daemon=True)
                self._thread.start()
            return self._loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns; what interrupts the wait cancels it.

        Raises:
            PolicyError: the loop is closed.
        """
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._running())
        except PolicyError:
            work.close()
            raise
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def await_(self, work: Coroutine[Any, Any, T]) -> T:
        """`run`, awaited on another loop: who is cancelled there cancels the coroutine here.

        Raises:
            PolicyError: the loop is closed.
        """
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._running())
        except PolicyError:
            work.close()
            raise
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Cancel what runs and end the thread; more than once does no harm."""
        with self._lock:
            loop, thread, self._closed = self._loop, self._thread, True
            self._loop = None
        if loop is None or thread is None or self._process != os.getpid():
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
