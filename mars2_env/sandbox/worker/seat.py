"""The supervisor's side of a seat: a forked, confined process, and this end of its pipes."""

from __future__ import annotations

import contextlib
import os
import signal
import struct

from mars2_env.sandbox.worker import guard


class Seat:
    """A forked, confined process that waits for its job or is at it, and the supervisor's ends of its pipes.

    Args:
        pid: Of the process, or under a guard of the guard; 0 until the zygote has said it.
        box: Path of its scratch folder.
        uid: Its user id; 0 under a guard, where it has none of its own.
        ends: Descriptors: orders and report, standard input, output and error.
        end: Where a guard writes how the process ended; -1 without one.
    """

    def __init__(self, pid: int, box: str, uid: int, ends: tuple[int, int, int, int, int], end: int = -1) -> None:
        self.pid, self.box, self.uid = pid, box, uid
        self.job, self.report, self.stdin, self.stdout, self.stderr = ends
        self.open = set(ends)
        self.end = end
        if end >= 0:
            ends = (*ends, end)  # type: ignore[assignment]
            self.open.add(end)
        self.begun = False
        self.base_memory = 0  # in use in the whole worker before its job
        self.ended: tuple[int, float, int] | None = None
        self.gone = False  # it was reaped, and under a guard with all it left behind
        for fd in ends:
            os.set_blocking(fd, False)

    def hear_guard(self) -> None:
        """Take from the guard, before it ends itself, how the process ended, if it has said so."""
        if self.ended is None and self.end >= 0:
            with contextlib.suppress(OSError, struct.error):
                self.ended = guard.ENDED.unpack(os.read(self.end, guard.ENDED.size))

    def has_gone(self, status: int, cpu: float, memory: int) -> None:
        """Take the end of the process, or of its guard."""
        self.gone = True
        self.hear_guard()
        if self.ended is None:
            # A guard that has said nothing was killed, and the process with it.
            self.ended = (status if self.end < 0 else int(signal.SIGKILL), cpu, memory)

    def kill(self) -> None:
        """Kill the process; it may be dead, and the zygote's word of it on the way."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self, fd: int) -> None:
        """Close one of its pipes, if it is open."""
        if fd in self.open:
            self.open.remove(fd)
            os.close(fd)
