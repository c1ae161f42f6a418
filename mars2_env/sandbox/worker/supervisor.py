"""The supervisor: process 1 of a worker.

It takes jobs from the host, has the zygote fork a process for each run (`seat`), watches its CPU time, wall time,
memory and output (`watch`, `meter`), kills all that is left of it, and wipes its scratch folder (`cleanup`). It never
runs, compiles or decodes anything that a candidate wrote. When it cannot clean up it exits, and the container with it;
when the host goes away, likewise.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import marshal
import os
import secrets
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from mars2_env.sandbox.worker import place, zygote
from mars2_env.sandbox.worker.cleanup import CLEANUP_SECONDS, LeftoversError, Patience, kill_once, kill_strays, wipe
from mars2_env.sandbox.worker.frames import (
    ACCOUNT,
    BEAT,
    CLEAN,
    CLOSE,
    DONE,
    DROP,
    FAULT,
    FRESH,
    GUARDED_BOX,
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
from mars2_env.sandbox.worker.meter import Meter
from mars2_env.sandbox.worker.seat import Seat, input_file, output_pipe
from mars2_env.sandbox.worker.users import unused_users
from mars2_env.sandbox.worker.watch import PIECE, VACANT, Surroundings, Watch, WithheldError
from mars2_env.sandbox.worker.zygote import Act

STACKS_BYTES: Final = 4 * 2**30
"""So much address space may be reserved for threads' stacks, where memory that is in use is what is limited."""


class Supervisor:
    """One worker: at most one run at a time."""

    def __init__(self, host: socket.socket, settings: dict[str, Any]) -> None:
        self.host = host
        self.settings = settings
        self.confine = base64.b64decode(settings.get("filter", ""))
        self.meter = Meter()
        self.known = {os.getpid()}  # the processes that are to be here
        self.uids: set[int] = set()
        self.first_uid, self.last_uid = unused_users()
        self.next_seat: Seat | None = None
        self.seat: Seat | None = None  # of the run; kept between two inputs where functions are called
        self.job: dict[str, Any] = {}
        self.program = b""
        self.kept: dict[bytes, memoryview] = {}

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
            packages, imports = self.settings["packages"], self.settings.get("imports", ())
            return functools.partial(zygote.main, theirs, packages, imports, self.confine)
        theirs.close()
        self.zygote = ours
        self.known.add(pid)
        self.surroundings = Surroundings(
            self.host.fileno(),
            self.zygote.fileno(),
            self.hear,
            self.kill_others,
            self.meter,
            frozenset(self.known),
            min(19, os.getpriority(os.PRIO_PROCESS, 0) + self.meter.nice),
            lambda: self.host.sendall(pack(BEAT)),
        )
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
        """Have the zygote fork a seat for this user and folder, with descriptors of its own."""
        pipes = [os.pipe(), os.pipe(), input_file(), output_pipe(), output_pipe()]
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
        first = self.seat is None
        if self.seat is None:
            self.seat, self.next_seat = self.next_seat or self.prepare(), None
            if not calls:
                self.seat.feed(data)  # before memory is looked at: an input is no memory of the run
        seat = self.seat
        cpu_before, memory_before, kills_before = (
            self.meter.cpu_seconds(),
            self.meter.memory_bytes(),
            self.meter.out_of_memory_kills(),
        )
        payload = b""
        if first:
            stacks = STACKS_BYTES if self.meter.source == "cgroup" else 0
            settings = marshal.dumps({**self.job, "size": len(self.program), "stacks_bytes": stacks})
            payload = len(settings).to_bytes(4, "big") + settings + self.program
            seat.base_memory = memory_before
            if not self.confine:
                place.settle(seat.uid, seat.box)
        started = time.monotonic()
        if calls:
            seat.close(seat.stdin)
            head = payload + len(data).to_bytes(4, "big")
            orders: list[bytes | memoryview] = [head, data] if len(data) > PIECE else [head + bytes(data)]
            watch = Watch(self.surroundings, self.job, seat, orders, cpu_before, started)
        else:
            watch = Watch(self.surroundings, self.job, seat, [payload], cpu_before, started)
        reason = watch.until_done()
        if reason == VACANT:
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
        account = ACCOUNT.pack(REASONS.index(reason), ended is not None, status, cpu, watch.wall, watch.memory)
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
        patience = Patience(CLEANUP_SECONDS)
        while not seat.gone:
            if select.select([self.zygote], [], [], 0.1)[0]:
                self.hear()
            elif patience.is_over():
                self.give_up(f"process {seat.pid} did not die")
        seat.close(seat.end)
        self.seat = None
        self.known.discard(seat.pid)
        if not self.confine:  # else the kernel has done it when the guard ended
            kill_strays(seat.uid, self.known, patience)
            wipe(seat.box, seat.uid, patience)
        if self.next_seat is None:
            self.next_seat = self.prepare()
        self.host.sendall(pack(CLEAN))

    def kill_others(self) -> None:
        """Kill what the run has started, as far as it can be seen now; under a guard all of it ends with the guard."""
        if not self.confine:
            kill_once(self.known)

    def give_up(self, message: str) -> NoReturn:
        """Tell the host and exit: what cannot be cleaned is thrown away whole."""
        with contextlib.suppress(OSError):
            self.host.sendall(pack(FAULT, message.encode()))
        os._exit(1)


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
    except (LeftoversError, WithheldError) as error:
        supervisor.give_up(str(error))
    except BaseException as error:
        supervisor.give_up(f"{type(error).__name__}: {error}")
