"""The host's end of one worker: sends it programs and inputs, receives what came of them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from typing import Any, Final

from mars2_env.sandbox.worker.frames import (
    ACCOUNT,
    BEAT,
    CLEAN,
    CLOSE,
    DONE,
    DROP,
    FAULT,
    FRESH,
    INPUT,
    KEEP,
    NAMED,
    OPEN,
    READY,
    REASONS,
    FrameError,
    Reader,
    pack,
)

_START_SECONDS: Final = 120.0
_WAIT_SECONDS: Final = 1.0

KEPT_FROM: Final = 16 * 2**10
"""An input of at least so many bytes is kept by the worker that had it, and named the next time."""

KEPT_BYTES: Final = 128 * 2**20
"""How much of them a worker keeps; those used longest ago go first."""

MAX_INPUT: Final = 128 * 2**20
"""The largest input there may be, in bytes."""

INPUT_BYTES: Final = KEPT_BYTES + MAX_INPUT
"""What a worker has on top of a run's memory: for the inputs that it keeps, and for the one that the run reads."""


class WorkerLostError(Exception):
    """A worker died, hung or talked nonsense; its container is to be thrown away.

    `job_began` is False where it was still busy cleaning up after the run before: then the job met no fault of its own.
    """

    def __init__(self, message: str, *, job_began: bool = True) -> None:
        super().__init__(message)
        self.job_began = job_began


@dataclass(frozen=True, slots=True)
class Done:
    """A worker's account of one run, before anything is made of it.

    `reason` is why it ended: "exit" (the process ended), "answer" (a call was answered), "cpu", "wall", "memory" or
    "output" (a limit), "protocol" (more than one answer). `status` is the wait status of an ended process. `report` is
    what the driver, in the candidate's process, said: a kind (one byte) and data.
    """

    reason: str
    status: int | None
    cpu_seconds: float
    wall_seconds: float
    memory_bytes: int
    output: bytes
    stderr: bytes
    report: bytes


_workers: Final[weakref.WeakSet[Worker]] = weakref.WeakSet()


class Worker:
    """One warm worker. Not thread-safe: whoever has leased it uses it alone.

    Args:
        name: For people.
        sock: This end of its connection.
        discard: Ends it.
        paused: Says whether somebody has stopped all of it from outside, so that its silence is no fault of its own.
    """

    def __init__(
        self,
        name: str,
        sock: socket.socket,
        discard: Callable[[], None],
        paused: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = name
        self.runs = 0
        self.facts: dict[str, Any] = {}
        self._socket = sock
        self._reader = Reader(sock, lambda: self._wait_for(select.POLLIN))
        self._discard = discard
        self._paused = paused
        self._silence = _START_SECONDS
        self._pause = 0.0
        self._clean = True
        self._kept: OrderedDict[bytes, int] = OrderedDict()
        _workers.add(self)

    def greet(self, bundle: bytes) -> None:
        """Send a new worker its code and wait until it is ready."""
        kind, blobs = self._exchange(bundle)
        if kind != READY:
            raise WorkerLostError(f"worker {self.name} said {kind!r} instead of being ready")
        self.facts = json.loads(bytes(blobs[0]))

    def alive(self) -> bool:
        """Whether the worker is still there, as far as can be told without asking it."""
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        if not poller.poll(0):
            return True
        try:
            return self._socket.recv(1, socket.MSG_PEEK) != b""
        except OSError:
            return False

    def open(self, settings: dict[str, Any], program: bytes) -> None:
        """Begin a job: `program` under `settings`."""
        self._send(pack(OPEN, json.dumps(settings).encode(), program))

    def run(self, inputs: Sequence[bytes], *, fresh: bool, timeout: float, pause: float = 0.0) -> list[Done]:
        """Run the program on one input after the other; return what came of the first of them, at least one.

        Args:
            inputs: At most `MOST_TOGETHER`, encoded; only one that is to be kept (`KEPT_FROM`), and then alone. The
                worker stops at one that ends the process, and where they take long.
            fresh: In call mode, in a new process rather than that of the previous input.
            timeout: Seconds of silence after which the worker counts as hung. Where a run is kept from going on, the
                worker says every second, from the wall limit on, that it is still at it.
            pause: Seconds of silence for which one that is paused is waited for all the same.

        Raises:
            WorkerLostError: the worker is of no more use.
        """
        self._silence, self._pause = timeout, pause
        flags = FRESH if fresh else 0
        if len(inputs[0]) >= KEPT_FROM:
            inputs, flags = [self._keep(inputs[0])], flags | NAMED
        kind, blobs = self._exchange(pack(INPUT, bytes([flags]), *inputs))
        if kind != DONE or len(blobs) < 4 or len(blobs[0]) * 3 != (len(blobs) - 1) * ACCOUNT.size:
            raise WorkerLostError(f"worker {self.name} answered {kind!r}")
        done = []
        for number, (reason, ended, status, cpu, wall, memory) in enumerate(ACCOUNT.iter_unpack(blobs[0])):
            output, stderr, report = map(bytes, blobs[1 + 3 * number : 4 + 3 * number])
            self._clean = not ended
            done.append(Done(REASONS[reason], status if ended else None, cpu, wall, memory, output, stderr, report))
        self.runs += len(done)
        return done

    def _keep(self, data: bytes) -> bytes:
        """Have the worker keep an input, unless it does; return the name it goes by."""
        name = blake2b(data, digest_size=16).digest()
        if name in self._kept:
            self._kept.move_to_end(name)
            return name
        room = KEPT_BYTES - len(data)
        while self._kept and sum(self._kept.values()) > room:
            self._send(pack(DROP, self._kept.popitem(last=False)[0]))
        self._send(pack(KEEP, name, data))
        self._kept[name] = len(data)
        return name

    def close_job(self) -> None:
        """End the job; the worker cleans up while nobody waits for it."""
        self._send(pack(CLOSE))

    def stop(self) -> None:
        """Throw the worker away. Idempotent."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._discard()

    def disown(self) -> None:
        """Let go of the worker without a word to it, for a forked process: it belongs to the one forked from."""
        self._discard = _nothing
        self._socket.close()

    def _wait_for(self, event: int) -> None:
        """Wait until there are bytes to read, or room for some.

        Silence is counted in short waits that came to nothing, each for as much as was asked: where this process is
        stopped meanwhile, the worker gets its time nevertheless.

        Raises:
            TimeoutError: the worker was silent for too long.
        """
        poller = select.poll()
        poller.register(self._socket, event)
        began, silence = time.monotonic(), 0.0
        while not poller.poll(ceil(1000 * (wait := min(_WAIT_SECONDS, max(0.0, self._silence - silence))))):
            silence += wait
            if silence >= self._silence:
                if time.monotonic() - began > self._silence + self._pause or not self._paused():
                    raise TimeoutError
                silence = 0.0

    def _send(self, message: bytes) -> None:
        rest = memoryview(message)
        try:
            while rest:
                self._wait_for(select.POLLOUT)
                with contextlib.suppress(BlockingIOError):
                    rest = rest[self._socket.send(rest, socket.MSG_DONTWAIT) :]
        except TimeoutError:
            raise WorkerLostError(f"worker {self.name} takes no input") from None
        except (OSError, ValueError) as error:  # it was dead before it had all of this, or was stopped
            raise WorkerLostError(f"worker {self.name} is gone: {error}", job_began=False) from None

    def _exchange(self, message: bytes) -> tuple[bytes, list[memoryview]]:
        if self._socket.fileno() < 0:
            raise WorkerLostError(f"worker {self.name} was stopped", job_began=self._clean)
        self._send(message)
        try:
            kind, blobs = self._reader.read()
            while kind in (CLEAN, BEAT):
                self._clean = self._clean or kind == CLEAN
                kind, blobs = self._reader.read()
        except TimeoutError:
            raise WorkerLostError(f"worker {self.name} did not answer within {self._silence:.0f} s") from None
        except (EOFError, OSError, ValueError, FrameError) as error:
            raise WorkerLostError(f"worker {self.name} died: {error}", job_began=self._clean) from None
        if kind == FAULT:
            message_text = bytes(blobs[0]).decode("utf-8", "replace") if blobs else ""
            raise WorkerLostError(f"worker {self.name} gave up: {message_text}", job_began=self._clean)
        return kind, blobs


def _nothing() -> None:
    pass


def _disown_all() -> None:
    # A copy of the connection that a child kept open would also keep the container alive when its owner dies.
    for worker in list(_workers):
        worker.disown()


os.register_at_fork(after_in_child=_disown_all)
