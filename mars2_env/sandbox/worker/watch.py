"""The watch over one run: what it is fed, what it writes, and the limits it is stopped at."""

from __future__ import annotations

import array
import fcntl
import os
import select
import termios
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

from mars2_env.sandbox.worker.cleanup import CLEANUP_SECONDS, LeftoversError, Patience, reap_orphans
from mars2_env.sandbox.worker.clock import Clock, share_of_a_core
from mars2_env.sandbox.worker.driver import BEGUN
from mars2_env.sandbox.worker.frames import BEAT_SECONDS, CPU_GRACE, GOES_ON, most_seconds
from mars2_env.sandbox.worker.meter import Meter
from mars2_env.sandbox.worker.seat import Seat

_STDERR_HEAD: Final = 16 * 2**10
_STDERR_TAIL: Final = 16 * 2**10
_REPORT_CAP: Final = 64 * 2**10
PIECE: Final = 2**16
"""So many bytes are read or written at a time."""
_SAMPLE_SECONDS: Final = 0.01
_AMPLE: Final = 30
VACANT: Final = "vacant"
"""A process ended before it began its program."""


class WithheldError(Exception):
    """The machine has not let a run go on for so long that nothing can be said about it."""


class Buffer:
    """What one descriptor delivers, up to a cap; optionally the head and the tail of more than that."""

    def __init__(self, head: int, tail: int = 0) -> None:
        self.head, self.tail = head, tail
        self.data = bytearray()
        self.end = bytearray()
        self.total = 0

    def add(self, piece: bytes) -> None:
        """Append `piece`."""
        self.total += len(piece)
        room = self.head - len(self.data)
        if room > 0:
            self.data += piece[:room]
            piece = piece[room:]
        if piece and self.tail:
            self.end += piece
            del self.end[: -self.tail]

    def text(self) -> bytes:
        """Return what was kept."""
        left_out = self.total - len(self.data) - len(self.end)
        if left_out > 0 and self.tail:
            return bytes(self.data) + b"\n... %d bytes left out ...\n" % left_out + bytes(self.end)
        return bytes(self.data + self.end)


class Surroundings(NamedTuple):
    """What a run is watched from: the same for every run of a worker."""

    host: int
    """Descriptor of the host's socket: when it closes, nobody waits for the run any more."""
    zygote: int
    """Descriptor of the zygote's socket, on which it says that a process ended."""
    hear: Callable[[], None]
    """Takes one message from the zygote, which ends `Seat`s."""
    kill_others: Callable[[], None]
    """Kills what the run has started; does nothing under a guard, with which all of it ends."""
    meter: Meter
    others: Collection[int]
    """Processes here that are of no run: the supervisor and the zygote."""
    nice: int
    """The priority of a run."""
    beat: Callable[[], None]
    """Tells the host that the run goes on."""


class Watch:
    """Feeds one run, collects what it writes, and stops it at its limits.

    Args:
        surroundings: What it is watched from.
        job: The settings of the job, with its limits.
        seat: Where it runs.
        orders: What is written to its job pipe.
        cpu_before: CPU seconds on the meter before it.
        started: When it was begun, on the monotonic clock.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        job: dict[str, Any],
        seat: Seat,
        orders: Sequence[bytes | memoryview],
        cpu_before: float,
        started: float,
    ) -> None:
        self.surroundings, self.seat = surroundings, seat
        self.calls = job["calls"]
        self.cpu_before = cpu_before
        self.cpu_limit = job["cpu_seconds"] * CPU_GRACE
        self.wall_limit = job["wall_seconds"]
        self.clock = Clock(started, surroundings.others, surroundings.nice)
        self.give_up_at = started + most_seconds(self.wall_limit)
        self.beat_at = started + self.wall_limit
        self.memory_limit = job["memory_bytes"]
        self.output_limit = job["output_bytes"]
        self.output = Buffer(self.output_limit + 1)
        self.errors = Buffer(_STDERR_HEAD, _STDERR_TAIL)
        self.report = bytearray()
        self.report_cap = _REPORT_CAP + (self.output_limit if self.calls else 0)
        self.memory = 0
        self.wall = 0.0
        """Seconds by the run's own clock, when it is over."""
        self.reason = ""
        self.sample_at = started + _SAMPLE_SECONDS
        self.sent = 0
        self.pending = [memoryview(part) for part in orders if part]
        self.poller = select.poll()
        for fd in (seat.stdout, seat.stderr, seat.report):
            if fd in seat.open:
                self.poller.register(fd, select.POLLIN)
        if seat.job in seat.open:
            self.write()
            if seat.job in seat.open and self.pending:
                self.poller.register(seat.job, select.POLLOUT)
        if seat.end >= 0:
            self.poller.register(seat.end, select.POLLIN)
        self.poller.register(surroundings.zygote, select.POLLIN)
        self.poller.register(surroundings.host, select.POLLRDHUP)

    def write(self) -> None:
        """Write as much as the job pipe takes; close it when all is written, if nothing more will come."""
        rest = self.pending
        try:
            while rest:
                count = os.write(self.seat.job, rest[0][:PIECE])
                rest[0] = rest[0][count:]
                if not rest[0]:
                    del rest[0]
                self.sent += count
        except BlockingIOError:
            pass
        except BrokenPipeError:
            rest.clear()
        if not rest and not self.calls:
            self.seat.close(self.seat.job)

    def read(self, fd: int) -> bool:
        """Read once; return whether there may be more."""
        try:
            piece = os.read(fd, PIECE)
        except BlockingIOError:
            return False
        if not piece:
            self.poller.unregister(fd)
            self.seat.close(fd)
            return False
        if fd == self.seat.stdout:
            self.output.add(piece)
            if self.output.total > self.output_limit:
                self.reason = self.reason or "output"
        elif fd == self.seat.stderr:
            self.errors.add(piece)
        else:
            if not self.seat.begun:
                self.seat.begun, piece = True, piece[len(BEGUN) :]
            if len(self.report) <= self.report_cap:
                self.report += piece
        return True

    def step(self, timeout_ms: int) -> None:
        """Wait for something to happen, at most so long, and attend to it."""
        events = self.poller.poll(timeout_ms)
        self.clock.served = self.clock.served or any(fd in self.seat.open for fd, _ in events)
        for fd, event in events:
            if fd == self.surroundings.zygote:
                self.surroundings.hear()
            elif fd == self.surroundings.host:
                os._exit(0)
            elif fd == self.seat.end:
                self.poller.unregister(fd)
                self.seat.hear_guard()
            elif fd == self.seat.job:
                if event & select.POLLOUT:
                    self.write()
                else:
                    self.pending.clear()  # nobody will read it
                if fd not in self.seat.open or not self.pending:
                    self.poller.unregister(fd)
            elif fd in self.seat.open:
                self.read(fd)

    def nothing_was_read(self) -> bool:
        """Whether all that was sent to the process just now is still in the pipe."""
        unread = array.array("i", [0])
        fcntl.ioctl(self.seat.job, termios.FIONREAD, unread)
        return unread[0] == self.sent

    def sample(self, now: float) -> None:
        """Compare what the run has used with its limits.

        Raises:
            WithheldError: it has not been let go on, for too long.
        """
        reap_orphans()
        meter = self.surroundings.meter
        memory = meter.memory_bytes() - self.seat.base_memory
        if memory > self.memory_limit and meter.source == "proc":
            memory = min(memory, meter.shared_memory_counted_once())  # forked processes share most of theirs
        self.memory = max(self.memory, memory)
        self.sample_at = now + _SAMPLE_SECONDS
        if self.memory > self.memory_limit:
            self.reason = self.reason or "memory"
            return
        if meter.cpu_seconds() - self.cpu_before > self.cpu_limit:
            self.reason = self.reason or "cpu"
            return
        self.clock.look(now, at_once=self.clock.time(now) > self.wall_limit)
        if self.clock.is_over(self.wall_limit, now):
            self.reason = self.reason or "wall"
        elif now > self.give_up_at:
            self.reason = self.reason or self.overdue(now)
        elif now > self.beat_at:
            self.surroundings.beat()
            self.beat_at = now + BEAT_SECONDS

    def overdue(self, now: float) -> str:
        """Say why a run ends that has taken all the real time there is for it.

        Where a process that computes gets many times what a run within its CPU limit would have needed to be through
        by now, one that waits for cores all the time and yet uses none wakes up, or gives way, over and over: else a
        program could choose not to be judged wherever it is not alone.

        Raises:
            WithheldError: the machine has no cores to give.
        """
        took = now - self.clock.started
        most = self.give_up_at - self.clock.started
        if took - self.clock.frozen > most and share_of_a_core() > _AMPLE * self.cpu_limit / most:
            return "wall"
        raise WithheldError(f"a run was kept from going on for {self.clock.withheld:.0f} of {took:.0f} s")

    def result_arrived(self) -> bool:
        """Whether a whole answer to a call is there, or more than may be."""
        if len(self.report) < 5:
            return False
        size = int.from_bytes(self.report[:4], "big")
        return size > self.report_cap - 5 or len(self.report) >= 5 + size

    def until_done(self) -> str:
        """Wait for the end of the process, the answer to the call, or a limit; return which: a reason, or `VACANT`."""
        last, asked = self.clock.started, 0
        while self.seat.ended is None and not self.reason:
            if self.calls and self.result_arrived():
                return self.answered()
            now = time.monotonic()
            self.clock.passed(asked / 1000, now - last)
            last, asked = now, 0
            if now >= self.sample_at:
                self.sample(now)
                continue
            asked = max(1, int((self.sample_at - now) * 1000))
            self.step(asked)
        self.wall = self.clock.time(time.monotonic())
        self.end_process()
        # What it wrote before it ended is in the pipes; whoever else holds them is not waited for.
        for fd in (self.seat.stdout, self.seat.stderr, self.seat.report):
            pieces = 0
            while fd in self.seat.open and pieces < 64 and self.read(fd):
                pieces += 1
        if self.reason == "" and not self.seat.begun:
            return VACANT
        if self.calls and self.reason == "" and self.result_arrived():
            return self.answered()
        return self.reason or "exit"

    def answered(self) -> str:
        """Judge the answer to a call by its form alone."""
        self.wall = self.wall or self.clock.time(time.monotonic())
        size = int.from_bytes(self.report[:4], "big")
        if len(self.report) != 5 + size:
            # More than one answer, or one above every cap: the process is not to be trusted with another input.
            self.end_process()
            return "output" if size > self.report_cap - 5 else "protocol"
        if bytes(self.report[4:5]) not in GOES_ON:
            self.end_process()
        return "answer"

    def end_process(self) -> None:
        """Kill the main process of the run, unless it has ended, and wait for its end.

        Raises:
            LeftoversError: it does not die.
        """
        if self.seat.ended is None:
            self.seat.kill()
            if self.reason:
                self.surroundings.kill_others()  # they would go on using memory until the main process is gone
        patience = Patience(CLEANUP_SECONDS)
        while self.seat.ended is None:
            if patience.is_over():
                raise LeftoversError(f"process {self.seat.pid} did not die")
            self.step(10)

    def report_text(self) -> bytes:
        """Return what the driver reported: a kind (one byte) and data; empty if it reported nothing whole."""
        if not self.result_arrived() or len(self.report) > self.report_cap + 5:
            return b""
        return bytes(self.report[4 : 5 + int.from_bytes(self.report[:4], "big")])
