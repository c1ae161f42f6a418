"""The supervisor's side of a seat: a forked, confined process, and this end of its pipes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
from typing import Final

from mars2_env.sandbox.worker import guard

_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


def input_file() -> tuple[int, int]:
    """Make an empty file in memory for one run's standard input; return a descriptor to read it and one to write it.

    Judges give programs a regular file, and programs rely on it: they ask for its size, seek in it and map it. It has
    no name, so that it ends with the run, and what the run gets can only read. Its mode is for those that open
    /dev/stdin, who are not its owner where each run has a user id of its own.
    """
    write = os.memfd_create("input", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.fchmod(write, 0o444)
    return os.open(f"/proc/self/fd/{write}", os.O_RDONLY | os.O_CLOEXEC), write


def output_pipe() -> tuple[int, int]:
    """Make a pipe for what a run writes, which it can open again by its name (/dev/stdout), but only to write."""
    read, write = os.pipe()
    os.fchmod(write, 0o622)
    return read, write


class Seat:
    """A forked, confined process that waits for its job or is at it, and the supervisor's ends of its descriptors.

    Args:
        pid: Of the process, or under a guard of the guard; 0 until the zygote has said it.
        box: Path of its scratch folder.
        uid: Its user id; 0 under a guard, where it has none of its own.
        ends: Descriptors: orders and report, standard input (`input_file`), output and error.
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

    def feed(self, data: memoryview) -> None:
        """Make `data` its whole standard input, for good: nobody can write to the file any more, nor cut it."""
        while data:
            data = data[os.write(self.stdin, data) :]
        fcntl.fcntl(self.stdin, fcntl.F_ADD_SEALS, _SEALS)
        self.close(self.stdin)

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
