"""The supervisor: process 1 of a worker.

It takes jobs from the host, has the zygote fork a process for each run, watches its CPU time, wall time, memory and
output, kills all that is left of it, and wipes its scratch folder. It never runs, compiles or decodes anything that a
candidate wrote. When it cannot clean up it exits, and the container with it; when the host goes away, likewise.
"""

from __future__ import annotations

import array
import base64
import contextlib
import errno
import fcntl
import functools
import json
import marshal
import os
import secrets
import select
import signal
import socket
import struct
import sys
import termios
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from mars2_env.sandbox.worker import guard, zygote
from mars2_env.sandbox.worker.driver import BEGUN, GOES_ON
from mars2_env.sandbox.worker.frames import (
    ACCOUNT,
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
    TOGETHER_SECONDS,
    Reader,
    pack,
)
from mars2_env.sandbox.worker.zygote import Act

_STDERR_HEAD: Final = 16 * 2**10
_STDERR_TAIL: Final = 16 * 2**10
_REPORT_CAP: Final = 64 * 2**10
_PIECE: Final = 2**16
_SAMPLE_SECONDS: Final = 0.01
_CLEANUP_SECONDS: Final = 5.0
GUARDED_BOX: Final = "0" * 16
"""Name of the scratch folder under a guard: each run has a file system of its own there."""
_VACANT: Final = "vacant"
"""A process ended before it began its program."""
_CPU_GRACE: Final = 1.2
"""A run is stopped at 1.2 times its CPU limit; the host runs what ended above the limit, but below that, once more."""


class Meter:
    """CPU time and memory of everything in the container: exact from its control group, else summed over /proc."""

    def __init__(self) -> None:
        self._cpu = self._open("cpuacct/cpuacct.usage", "cpu,cpuacct/cpuacct.usage", "cpu.stat")
        self._memory = self._open("memory/memory.usage_in_bytes", "memory.current")
        self._kills = self._open("memory/memory.oom_control", "memory.events")
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._seen: dict[tuple[int, bytes], float] = {}
        self._live = self._total = 0.0
        self.source = "cgroup" if self._cpu >= 0 and self._memory >= 0 else "proc"
        shares = ("/sys/fs/cgroup/cpu/cpu.shares", "/sys/fs/cgroup/cpu,cpuacct/cpu.shares", "/sys/fs/cgroup/cpu.weight")
        # Processors are shared out among containers first: this makes runs give way to us, and to nobody else.
        self.nice = 10 if any(map(os.path.exists, shares)) else 0

    @staticmethod
    def _open(*names: str) -> int:
        for name in names:
            with contextlib.suppress(OSError):
                fd = os.open(f"/sys/fs/cgroup/{name}", os.O_RDONLY | os.O_CLOEXEC)
                os.pread(fd, 64, 0)
                return fd
        return -1

    def cpu_seconds(self) -> float:
        """CPU time used by everything but the supervisor itself, from some fixed moment on."""
        if self._cpu < 0:
            return self._proc_cpu()
        text = os.pread(self._cpu, 256, 0)
        used = int(text.split()[1]) / 1e6 if text.startswith(b"usage_usec") else int(text) / 1e9
        return used - time.process_time()

    def memory_bytes(self) -> int:
        """Memory in use, in files under /box and memory files too where there is a control group."""
        if self._memory < 0:
            return self._proc_memory()
        return int(os.pread(self._memory, 64, 0))

    def out_of_memory_kills(self) -> int:
        """How many processes the kernel has killed here for want of memory."""
        if self._kills < 0:
            return 0
        for line in os.pread(self._kills, 512, 0).splitlines():
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
        return 0

    def _stats(self) -> list[tuple[int, list[bytes]]]:
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and name != "1":
                with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                    found.append((int(name), file.read().rpartition(b")")[2].split()))
        return found

    def _proc_cpu(self) -> float:
        # What has ended is either in the account of the parent that waited for it or, where nobody did, in what was
        # last seen of it: each is too little, never too much, so the larger growth counts.
        live = 0.0
        grown = 0.0
        stats = self._stats()
        for pid, fields in stats:
            own = (int(fields[11]) + int(fields[12])) / self._ticks
            live += own + (int(fields[13]) + int(fields[14])) / self._ticks
            grown += own - self._seen.get((pid, fields[19]), 0.0)
            self._seen[pid, fields[19]] = own
        self._total += max(live - self._live, grown, 0.0)
        self._live = live
        if len(self._seen) > 2 * len(stats) + 1000:
            alive = {(pid, fields[19]) for pid, fields in stats}
            self._seen = {key: own for key, own in self._seen.items() if key in alive}
        return self._total

    def _proc_memory(self) -> int:
        return sum(int(fields[21]) for _, fields in self._stats()) * self._page

    def shared_memory_counted_once(self) -> int:
        """Memory of all processes where there is no control group: each page once, however many processes share it."""
        total = 0
        for pid, _ in self._stats():
            with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith(b"Pss:")) * 1024
        return total


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


class Seat:
    """A forked, confined process that waits for its job, and the supervisor's ends of its pipes."""

    def __init__(self, pid: int, box: str, uid: int, ends: tuple[int, int, int, int, int], end: int = -1) -> None:
        self.pid, self.box, self.uid = pid, box, uid
        self.job, self.report, self.stdin, self.stdout, self.stderr = ends
        self.open = set(ends)
        self.end = end  # where a guard writes how the process ended
        if end >= 0:
            ends = (*ends, end)  # type: ignore[assignment]
            self.open.add(end)
        self.begun = False
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


class Supervisor:
    """One worker: at most one run at a time."""

    def __init__(self, host: socket.socket, settings: dict[str, Any]) -> None:
        self.host = host
        self.settings = settings
        self.confine = base64.b64decode(settings.get("filter", ""))
        self.meter = Meter()
        self.known = {os.getpid()}
        self.uids: set[int] = set()
        self.first_uid, self.last_uid = self._uid_range()
        self.next_seat: Seat | None = None
        self.seat: Seat | None = None  # that of a program being called, between two inputs
        self.job: dict[str, Any] = {}
        self.program = b""
        self.kept: dict[bytes, memoryview] = {}

    @staticmethod
    def _uid_range() -> tuple[int, int]:
        # Where the kernel maps all ids, use high ones: process limits count a user's processes on the whole host.
        with open("/proc/self/uid_map") as file:
            top = max(int(line.split()[0]) + int(line.split()[2]) for line in file)
        return (2**20, 2**30) if top > 2**30 else (10_000, min(top, 65_000))

    # Start

    def start(self) -> Act | None:
        """Fork the zygote and tell the host that this worker is ready; in the zygote, return what serves as one."""
        zygote.set_no_new_privileges()
        if not self.confine:
            os.chmod(self.settings["box"], 0o711)  # the engine may have given it the mode of the image's folder
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            self.host.close()
            ours.close()
            return functools.partial(zygote.main, theirs, self.settings["packages"], self.confine)
        theirs.close()
        self.zygote = ours
        self.known.add(pid)
        if not self.zygote.recv(zygote.REPLY.size):
            self.give_up("the zygote did not start")
        self.next_seat = self.prepare()
        facts = {"python": sys.version.split()[0], "meter": self.meter.source, "uids": [self.first_uid, self.last_uid]}
        self.host.sendall(pack(READY, json.dumps(facts).encode()))
        return None

    def prepare(self) -> Seat:
        """Have the zygote fork the next seat, with a user id, a scratch folder and pipes of its own."""
        if self.confine:
            return self.ask_for_seat(0, f"{self.settings['box']}/{GUARDED_BOX}")
        uid = self.first_uid + secrets.randbelow(self.last_uid - self.first_uid)
        while uid in self.uids:
            uid = self.first_uid + secrets.randbelow(self.last_uid - self.first_uid)
        self.uids.add(uid)
        box = f"{self.settings['box']}/{secrets.token_hex(8)}"
        os.mkdir(box, 0o700)
        os.chown(box, uid, uid)
        return self.ask_for_seat(uid, box)

    def ask_for_seat(self, uid: int, box: str) -> Seat:
        """Have the zygote fork a seat for this user and folder, with pipes of its own."""
        pipes = [os.pipe() for _ in range(5)]
        (job_r, job_w), (report_r, report_w), (in_r, in_w), (out_r, out_w), (err_r, err_w) = pipes
        theirs = [job_r, report_w, in_r, out_w, err_w]
        end = -1
        if self.confine:
            end, end_w = os.pipe()
            theirs.append(end_w)
        socket.send_fds(self.zygote, [zygote.SEAT.pack(uid, self.meter.nice) + box.encode()], theirs)
        for fd in theirs:
            os.close(fd)
        seat = Seat(0, box, uid, (job_w, report_r, in_w, out_r, err_r), end)
        while seat.pid == 0:
            self.hear(seat)
        self.known.add(seat.pid)
        return seat

    def hear(self, waiting: Seat | None = None) -> None:
        """Take one message from the zygote."""
        message = self.zygote.recv(zygote.REPLY.size)
        if not message:
            self.give_up("the zygote died")
        kind, pid, status, cpu, memory = zygote.REPLY.unpack(message)
        if kind == zygote.SEATED:
            if waiting is None:
                self.give_up("a seat that nobody asked for")
            waiting.pid = pid
            return
        for seat in (self.seat, self.next_seat):
            if seat is not None and seat.pid == pid:
                seat.has_gone(status, cpu, memory)
                return
        if waiting is None or waiting.pid != pid:
            self.give_up(f"an unknown process {pid} ended")
        waiting.has_gone(status, cpu, memory)

    # Jobs

    def serve(self) -> NoReturn:
        """Do what the host asks until it goes away."""
        reader = Reader(self.host)
        while True:
            kind, blobs = reader.read()
            if kind == OPEN:
                self.end_calls()
                self.job = json.loads(bytes(blobs[0]))
                self.program = bytes(blobs[1])
            elif kind == INPUT:
                flags = blobs[0][0]
                inputs = [self.kept[bytes(name)] for name in blobs[1:]] if flags & NAMED else blobs[1:]
                self.answer(inputs, fresh=bool(flags & FRESH))
            elif kind == KEEP:
                self.kept[bytes(blobs[0])] = blobs[1]
            elif kind == DROP:
                del self.kept[bytes(blobs[0])]
            elif kind == CLOSE:
                self.end_calls()
                self.program = b""
            else:
                self.give_up(f"a message of unknown kind {kind!r}")

    def answer(self, inputs: Sequence[memoryview], *, fresh: bool) -> None:
        """Run the program on one input after the other and tell the host what came of them.

        Where a run ends its process, or they have taken long, that was the last one: the host decides what is next.
        """
        began = time.monotonic()
        accounts, texts = b"", []
        for data in inputs:
            if self.seat is not None and select.select([self.zygote], [], [], 0)[0]:
                self.hear()
            if self.seat is not None and (fresh or self.seat.ended):
                self.end_calls()
            account, *what = self.run(data)
            accounts += account
            texts += what
            if self.seat is None or self.seat.ended or time.monotonic() - began > TOGETHER_SECONDS:
                break
        self.host.sendall(pack(DONE, accounts, *texts))
        if self.seat is not None and self.seat.ended:
            self.finish(self.seat)

    def run(self, data: memoryview, *, again: bool = False) -> tuple[bytes, bytes, bytes, bytes]:
        """Run the program on one input, in a process of its own, or call it once more in the one it has.

        Returns its account, what it wrote to standard output and to standard error, and its report.
        """
        calls = self.job["calls"]
        cpu_before, memory_before, kills_before = (
            self.meter.cpu_seconds(),
            self.meter.memory_bytes(),
            self.meter.out_of_memory_kills(),
        )
        started = time.monotonic()
        payload = b""
        first = self.seat is None
        if self.seat is None:
            self.seat, self.next_seat = self.next_seat or self.prepare(), None
            settings = marshal.dumps({**self.job, "size": len(self.program)})
            payload = len(settings).to_bytes(4, "big") + settings + self.program
            self.base = memory_before
        seat = self.seat
        if calls:
            seat.close(seat.stdin)
            head = payload + len(data).to_bytes(4, "big")
            orders: list[bytes | memoryview] = [head, data] if len(data) > _PIECE else [head + bytes(data)]
            watch = Watch(self, seat, orders, [], cpu_before, started)
        else:
            watch = Watch(self, seat, [payload], [data], cpu_before, started)
        reason = watch.until_done()
        if reason == _VACANT:
            # The kernel may have taken the waiting seat when the run before used up the memory.
            if again:
                self.give_up("two processes ended before they began their program")
            self.finish(seat)
            return self.run(data, again=True)
        if calls and not first and reason == "exit" and watch.nothing_was_read():
            # It died of an earlier input, before it could know of this one: that decides nothing about this one.
            self.finish(seat)
            return self.run(data)
        cpu = self.meter.cpu_seconds() - cpu_before
        wall = time.monotonic() - started
        ended = seat.ended
        status = 0
        if ended is not None:
            status, own_cpu, memory = ended
            watch.memory = max(watch.memory, memory)
            if not calls and cpu - own_cpu < 0.05 + 0.05 * own_cpu:
                cpu = own_cpu  # one process: its own account is finer than the control group's
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            if reason == "exit" and killed and self.meter.out_of_memory_kills() > kills_before:
                reason = "memory"
        account = ACCOUNT.pack(REASONS.index(reason), ended is not None, status, cpu, wall, watch.memory)
        return account, watch.output.text(), watch.errors.text(), watch.report_text()

    def end_calls(self) -> None:
        """End the process that a program is called in, if there is one."""
        if self.seat is not None:
            if self.seat.ended is None:
                self.seat.kill()
            self.finish(self.seat)

    # Clean-up

    def finish(self, seat: Seat) -> None:
        """Leave nothing of a run: processes, files, descriptors."""
        for fd in tuple(seat.open):
            if fd != seat.end:
                seat.close(fd)
        deadline = time.monotonic() + _CLEANUP_SECONDS
        while not seat.gone:
            if not select.select([self.zygote], [], [], max(0.0, deadline - time.monotonic()))[0]:
                self.give_up(f"process {seat.pid} did not die")
            self.hear()
        seat.close(seat.end)
        self.seat = None
        self.known.discard(seat.pid)
        if not self.confine:  # else the kernel has done it when the guard ended
            self.kill_strays(seat.uid, deadline)
            self.wipe(seat, deadline)
        if self.next_seat is None:
            self.next_seat = self.prepare()
        self.host.sendall(pack(CLEAN))

    def strays(self) -> list[int]:
        """List the processes that belong to no one: what a run has left behind."""
        strays = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in self.known]
        return [pid for pid in strays if not is_root(pid)]  # an administrator may be looking around in here

    def kill_once(self) -> None:
        """Kill every process of the run that can be seen now, but the main one."""
        for pid in self.strays():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def kill_strays(self, uid: int, deadline: float) -> None:
        """Kill every process of `uid`, until there is none."""
        pause = 0.0
        while True:
            reap_orphans()
            strays = self.strays()
            if not strays:
                return
            if time.monotonic() > deadline:
                self.give_up(f"{len(strays)} processes of a run did not die")
            self.kill_once()
            # From a process of that user all die in one system call, however fast they fork. They may stop or kill that
            # process too, if they are quick: then once more.
            self.as_user(uid, lambda: os.kill(-1, signal.SIGKILL), min(deadline, time.monotonic() + 0.1))
            time.sleep(pause)
            pause = 0.001

    def as_user(self, uid: int, act: Callable[[], None], deadline: float) -> None:
        """Do `act` in a process of user `uid`, as far as it gets until the deadline."""
        try:
            pid = os.fork()
        except OSError:
            return
        if pid == 0:
            try:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                act()
            finally:
                os._exit(0)
        self.known.add(pid)
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.0005)
        self.known.discard(pid)

    def wipe(self, seat: Seat, deadline: float) -> None:
        """Remove the scratch folder: at once if it is empty, else as its owner, so that no link leads us astray."""
        try:
            os.rmdir(seat.box)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                self.give_up(f"a scratch folder cannot be removed: {error}")
        self.as_user(seat.uid, lambda: empty_folder(seat.box), deadline)
        try:
            os.rmdir(seat.box)
        except OSError as error:
            self.give_up(f"a scratch folder cannot be emptied: {error}")

    def give_up(self, message: str) -> NoReturn:
        """Tell the host and exit: what cannot be cleaned is thrown away whole."""
        with contextlib.suppress(OSError):
            self.host.sendall(pack(FAULT, message.encode()))
        os._exit(1)


class Watch:
    """Feeds one run, collects what it writes, and stops it at its limits."""

    def __init__(
        self,
        supervisor: Supervisor,
        seat: Seat,
        orders: Sequence[bytes | memoryview],
        data: Sequence[bytes | memoryview],
        cpu_before: float,
        started: float,
    ) -> None:
        job = supervisor.job
        self.supervisor, self.seat = supervisor, seat
        self.calls = job["calls"]
        self.cpu_before = cpu_before
        self.cpu_limit = job["cpu_seconds"] * _CPU_GRACE
        self.deadline = started + job["wall_seconds"]
        self.memory_limit = job["memory_bytes"]
        self.output_limit = job["output_bytes"]
        self.output = Buffer(self.output_limit + 1)
        self.errors = Buffer(_STDERR_HEAD, _STDERR_TAIL)
        self.report = bytearray()
        self.report_cap = _REPORT_CAP + (self.output_limit if self.calls else 0)
        self.memory = 0
        self.reason = ""
        self.sample_at = started + _SAMPLE_SECONDS
        self.sent = 0
        self.pending = {
            seat.job: [memoryview(part) for part in orders if part],
            seat.stdin: [memoryview(part) for part in data if part],
        }
        self.poller = select.poll()
        for fd in (seat.stdout, seat.stderr, seat.report):
            if fd in seat.open:
                self.poller.register(fd, select.POLLIN)
        for fd in (seat.job, seat.stdin):
            if fd in seat.open:
                self.write(fd)
                if fd in seat.open and self.pending[fd]:
                    self.poller.register(fd, select.POLLOUT)
        if seat.end >= 0:
            self.poller.register(seat.end, select.POLLIN)
        self.poller.register(supervisor.zygote, select.POLLIN)
        self.poller.register(supervisor.host, select.POLLRDHUP)

    def write(self, fd: int) -> None:
        """Write as much as the pipe takes; close it when all is written, if nothing more will come."""
        rest = self.pending[fd]
        try:
            while rest:
                count = os.write(fd, rest[0][:_PIECE])
                rest[0] = rest[0][count:]
                if not rest[0]:
                    del rest[0]
                if fd == self.seat.job:
                    self.sent += count
        except BlockingIOError:
            pass
        except BrokenPipeError:
            rest.clear()
        if not rest and not (fd == self.seat.job and self.calls):
            self.seat.close(fd)

    def read(self, fd: int) -> bool:
        """Read once; return whether there may be more."""
        try:
            piece = os.read(fd, 65536)
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
        for fd, event in self.poller.poll(timeout_ms):
            if fd == self.supervisor.zygote.fileno():
                self.supervisor.hear()
            elif fd == self.supervisor.host.fileno():
                os._exit(0)
            elif fd == self.seat.end:
                self.poller.unregister(fd)
                self.seat.hear_guard()
            elif fd in self.pending:
                if event & select.POLLOUT:
                    self.write(fd)
                else:
                    self.pending[fd].clear()  # nobody will read it
                if fd not in self.seat.open or not self.pending[fd]:
                    self.poller.unregister(fd)
            elif fd in self.seat.open:
                self.read(fd)

    def nothing_was_read(self) -> bool:
        """Whether all that was sent to the process just now is still in the pipe."""
        unread = array.array("i", [0])
        fcntl.ioctl(self.seat.job, termios.FIONREAD, unread)
        return unread[0] == self.sent

    def sample(self, now: float) -> None:
        """Compare what the run has used with its limits."""
        reap_orphans()
        meter = self.supervisor.meter
        memory = meter.memory_bytes() - self.supervisor.base
        if memory > self.memory_limit and meter.source == "proc":
            memory = min(memory, meter.shared_memory_counted_once())  # forked processes share most of theirs
        self.memory = max(self.memory, memory)
        self.sample_at = now + _SAMPLE_SECONDS
        if self.memory > self.memory_limit:
            self.reason = self.reason or "memory"
        elif meter.cpu_seconds() - self.cpu_before > self.cpu_limit:
            self.reason = self.reason or "cpu"
        elif now > self.deadline:
            self.reason = self.reason or "wall"

    def result_arrived(self) -> bool:
        """Whether a whole answer to a call is there, or more than may be."""
        if len(self.report) < 5:
            return False
        size = int.from_bytes(self.report[:4], "big")
        return size > self.report_cap - 5 or len(self.report) >= 5 + size

    def until_done(self) -> str:
        """Wait for the end of the process, the answer to the call, or a limit; return which: a reason."""
        while self.seat.ended is None and not self.reason:
            if self.calls and self.result_arrived():
                return self.answered()
            now = time.monotonic()
            if now >= self.sample_at:
                self.sample(now)
                continue
            self.step(max(1, int((self.sample_at - now) * 1000)))
        self.end_process()
        # What it wrote before it ended is in the pipes; whoever else holds them is not waited for.
        for fd in (self.seat.stdout, self.seat.stderr, self.seat.report):
            pieces = 0
            while fd in self.seat.open and pieces < 64 and self.read(fd):
                pieces += 1
        if self.reason == "" and not self.seat.begun:
            return _VACANT
        if self.calls and self.reason == "" and self.result_arrived():
            return self.answered()
        return self.reason or "exit"

    def answered(self) -> str:
        """Judge the answer to a call by its form alone."""
        size = int.from_bytes(self.report[:4], "big")
        if len(self.report) != 5 + size:
            # More than one answer, or one above every cap: the process is not to be trusted with another input.
            self.end_process()
            return "output" if size > self.report_cap - 5 else "protocol"
        if bytes(self.report[4:5]) not in GOES_ON:
            self.end_process()
        return "answer"

    def end_process(self) -> None:
        """Kill the main process of the run, unless it has ended, and wait for its end."""
        if self.seat.ended is None:
            self.seat.kill()
            if self.reason and not self.supervisor.confine:
                self.supervisor.kill_once()  # they would go on using memory until the main process is gone
        deadline = time.monotonic() + _CLEANUP_SECONDS
        while self.seat.ended is None:
            if time.monotonic() > deadline:
                self.supervisor.give_up(f"process {self.seat.pid} did not die")
            self.step(10)

    def report_text(self) -> bytes:
        """Return what the driver reported: a kind (one byte) and data; empty if it reported nothing whole."""
        if not self.result_arrived() or len(self.report) > self.report_cap + 5:
            return b""
        return bytes(self.report[4 : 5 + int.from_bytes(self.report[:4], "big")])


def reap_orphans() -> None:
    """Reap what has become our child by the death of its parent: dead processes count against a run's own limit."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def is_root(pid: int) -> bool:
    """Whether a process is the superuser's, or gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return b"\nUid:\t0\t0\t" in file.read()
    except OSError:
        return True


def empty_folder(path: str) -> None:
    """Delete all that is in a folder, whatever its modes and depth; follows no link, needs no recursion."""
    os.chmod(path, 0o700)
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    serial = 0
    while True:
        folders = []
        for name in os.listdir(root):
            try:
                os.unlink(name, dir_fd=root)
            except OSError:
                folders.append(name)
        if not folders:
            return
        for name in folders:
            # `chmod` would follow a link, but what cannot be unlinked is a folder.
            os.chmod(name, 0o700, dir_fd=root)
            inside = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
            for inner in os.listdir(inside):
                try:
                    os.unlink(inner, dir_fd=inside)
                except OSError:
                    # A folder in it comes up to the top, so that no nesting is too deep.
                    os.chmod(inner, 0o700, dir_fd=inside)
                    serial += 1
                    os.rename(inner, f".{serial}.{secrets.token_hex(4)}", src_dir_fd=inside, dst_dir_fd=root)
            os.close(inside)
            os.rmdir(name, dir_fd=root)


def main(host: socket.socket, settings: dict[str, Any]) -> Act:
    """Serve `host` until it closes the connection; returns only in the zygote, what serves as one."""
    supervisor = Supervisor(host, settings)
    try:
        serve_seats = supervisor.start()
        if serve_seats is not None:
            return serve_seats
        supervisor.serve()
    except (EOFError, ConnectionError):
        os._exit(0)
    except BaseException as error:
        supervisor.give_up(f"{type(error).__name__}: {error}")
