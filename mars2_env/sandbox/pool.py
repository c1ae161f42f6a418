"""A pool of warm workers: started side by side in the background, leased one job at a time, replaced when they fail."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Generic, TypeVar

from mars2_env.errors import SandboxAwayError, SandboxError
from mars2_env.sandbox.connection import Worker

Launch = Callable[[], Worker]
"""Starts one worker and checks that it works; takes a second or so, raises `SandboxError`."""

_pools: Final[weakref.WeakSet[Pool]] = weakref.WeakSet()

Made = TypeVar("Made")

MAX_WORKERS: Final = 1024
"""How many workers a sandbox of the library's own may have; each is a container, or as good as one."""

PAUSES: Final = (0.1, 0.5)
"""Seconds before a worker that could not be started is tried again, once for each: a start that fails by chance costs
no job a fault."""


class PerProcess(Generic[Made]):
    """Holds a thing that a forked process must not share: each process that asks for it makes its own."""

    def __init__(self) -> None:
        self._made: tuple[int, Made] | None = None
        self._locks: dict[int, threading.Lock] = {}

    def peek(self) -> Made | None:
        """Return this process's own, if it has been made."""
        made = self._made
        return made[1] if made is not None and made[0] == os.getpid() else None

    def get(self, make: Callable[[], Made]) -> Made:
        """Return this process's own, made by `make` the first time."""
        pid = os.getpid()
        made = self._made
        if made is not None and made[0] == pid:
            return made[1]
        # A lock for each process: one that some thread held at the time of a fork stays locked in the child.
        with self._locks.setdefault(pid, threading.Lock()):
            made = self._made
            if made is None or made[0] != pid:
                made = self._made = (pid, make())
            return made[1]


class Pool:
    """Keeps up to `size` workers. Thread-safe.

    In a process forked from the one that made it, a pool is closed: its workers still belong to the other.

    Args:
        launch: Starts one worker.
        size: How many.
        recycle_after: Replace a worker after so many runs.
    """

    def __init__(self, launch: Launch, size: int, recycle_after: int) -> None:
        self._launch = launch
        self._size = size
        self._recycle_after = recycle_after
        self._lock = threading.RLock()
        self._idle: list[Worker] = []
        self._leased: set[Worker] = set()
        self._waiting: deque[Future[Worker]] = deque()
        self._starting = 0
        self._spare = 0
        self._threads: set[threading.Thread] = set()
        self._closed = False
        self._closing = threading.Event()
        self._refusal = "the sandbox is closed."
        _pools.add(self)
        with self._lock:
            self._refill()

    @property
    def size(self) -> int:
        """How many workers the pool keeps."""
        return self._size

    def names(self) -> tuple[str, ...]:
        """Return the names of the workers there are."""
        with self._lock:
            return tuple(worker.name for worker in (*self._idle, *self._leased))

    def lease(self) -> Future[Worker]:
        """Ask for a worker; the future resolves to one that is alive, in the order of asking.

        Give it back with `release`, in any case. A future that is cancelled before it resolves takes none.
        """
        future: Future[Worker] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(SandboxError(self._refusal))
                return future
            self._waiting.append(future)
            dead = self._serve()
            self._refill()
        for worker in dead:
            worker.stop()
        return future

    def release(self, worker: Worker, *, usable: bool) -> None:
        """Give a worker back; one that is not usable any more is replaced."""
        with self._lock:
            self._leased.discard(worker)
            worn = worker.runs >= self._recycle_after
            if usable and worn and self._spare == 0 and self._starting == 0 and not self._closed:
                self._spare += 1
                self._start()  # it goes on working until its successor is there
            retire = worn and self._spare > 0 and self._starting == 0
            dead = [worker]
            if usable and not retire and not self._closed:
                self._idle.append(worker)
                dead = []
            elif retire:
                self._spare -= 1
            dead += self._serve()
            self._refill()
        for one in dead:
            self._in_background(one.stop)  # in a forked process this only closes what it inherited

    def close(self) -> None:
        """Stop every worker, wait for those that are just starting, and refuse what comes. Idempotent."""
        self._closing.set()
        with self._lock:
            self._closed = True
            workers = [*self._idle, *self._leased]
            self._idle.clear()
            self._leased.clear()
            waiting, self._waiting = self._waiting, deque()
            threads = tuple(self._threads)
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(SandboxError("the sandbox was closed."))
        for worker in workers:
            worker.stop()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(timeout=60)

    def abandon(self) -> None:
        """Forget every worker without a word to it; for a forked process, whose other threads are gone."""
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._closing.set()
        self._closed = True
        self._refusal = "this job was begun before a fork; it goes on in the process that was forked, not here."
        self._idle.clear()
        self._leased.clear()
        self._waiting.clear()
        self._threads.clear()

    def _serve(self) -> list[Worker]:
        """Hand idle workers to whoever waits; return those found dead, to be stopped outside the lock."""
        dead = []
        while self._waiting and self._idle:
            worker = self._idle.pop()
            if not worker.alive():
                dead.append(worker)
                continue
            future = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                self._leased.add(worker)
                future.set_result(worker)
            else:
                self._idle.append(worker)
        return dead

    def _refill(self) -> None:
        while not self._closed and len(self._idle) + len(self._leased) + self._starting < self._size:
            self._start()

    def _start(self) -> None:
        self._starting += 1
        self._in_background(self._start_one)

    def _start_one(self) -> None:
        try:
            worker = self._launched()
        except Exception as error:
            self._failed(error)
            return
        with self._lock:
            self._starting -= 1
            closed = self._closed
            dead = []
            if not closed:
                self._idle.append(worker)
                worn = next((one for one in self._idle if one.runs >= self._recycle_after), None)
                if self._spare and worn is not None:
                    self._spare -= 1
                    self._idle.remove(worn)
                    dead = [worn]
            dead += self._serve()
        for one in (*dead, *([worker] if closed else [])):
            one.stop()

    def _launched(self) -> Worker:
        """Start one worker, in as many tries as it takes and `PAUSES` allows."""
        for pause in PAUSES:
            try:
                return self._launch()
            except SandboxAwayError:
                raise  # whoever waits for a worker knows how long the engine is worth waiting for
            except Exception:  # the next one may be luckier, whatever it was
                if self._closing.wait(pause):
                    raise
        return self._launch()

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, SandboxError):
            error = SandboxError(f"a sandbox worker could not be started: {type(error).__name__}: {error}")
        with self._lock:
            self._starting -= 1
            self._spare = 0
            stranded: list[Future[Worker]] = []
            if not self._idle and not self._leased and not self._starting:
                stranded, self._waiting = list(self._waiting), deque()
        for future in stranded:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _in_background(self, act: Callable[[], None]) -> None:
        def run() -> None:
            try:
                act()
            finally:
                self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=run, name="mars2-sandbox", daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down
            self._threads.discard(thread)
            act()


def _abandon_all() -> None:
    for pool in list(_pools):
        pool.abandon()


os.register_at_fork(after_in_child=_abandon_all)
