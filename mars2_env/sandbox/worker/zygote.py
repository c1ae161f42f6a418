"""The zygote: a lean Python with the usual modules imported that forks a confined process for each run.

It is forked from the supervisor before any payload arrives and never sees one, so that no child inherits another job's
bytes. A child (a *seat*) is forked ahead of its run, gives up every privilege, and waits for its job on a pipe whose
other end only the supervisor holds.

Supervisor to zygote, for each seat: struct `SEAT` (user id, niceness), then the path of its scratch folder, and with it
the descriptors: orders, report, standard input, output and error, and under a guard where to write its end.
Zygote to supervisor, as struct `REPLY`: kind (S a seat was forked, X a process ended), pid, wait status, CPU seconds
(it and the children it waited for), peak memory in bytes.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without the enumerations of `signal`
import contextlib
import ctypes
import fcntl
import gc
import importlib
import marshal
import os
import random
import resource
import select
import signal
import site
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from typing import Any, Final, TypeAlias

from mars2_env.sandbox.worker import driver, guard
from mars2_env.sandbox.worker.seat import input_file

Act: TypeAlias = Callable[[], Any]
"""What a process does next, when all frames of what it has been doing are left; returns another one, or never."""

SEAT: Final = struct.Struct("!IB")
REPLY: Final = struct.Struct("!cIidQ")
SEATED: Final = b"S"
ENDED: Final = b"X"

# fmt: off
USUAL_MODULES: Final = (
    "abc", "array", "ast", "base64", "bisect", "cmath", "collections", "collections.abc", "contextlib", "copy",
    "csv", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "gc", "hashlib", "heapq",
    "inspect", "io", "itertools", "json", "linecache", "math", "numbers", "operator", "os", "pprint", "queue",
    "random", "re", "select", "shutil", "signal", "socket", "statistics", "string", "struct", "subprocess",
    "sys", "tempfile", "textwrap", "threading", "time", "timeit", "traceback", "types", "typing", "unicodedata",
    "unittest", "uuid", "warnings", "weakref", "zlib",
)
# fmt: on

_CORES: Final = 2
"""What programs are told of the machine's cores, so that they start as many processes on any machine."""

_STACK: Final = 256 * 2**20
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAP_SETUID_SETGID: Final = (1 << 7) | (1 << 6)
_HIGH: Final = 100
_environment: Final[dict[bytes, bytes]] = os.environ._data  # type: ignore[attr-defined]
SIGCHLD: Final = int(signal.SIGCHLD)
SIG_DFL: Final = int(signal.SIG_DFL)
_libc: Final = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def set_no_new_privileges() -> None:
    """Forbid this process and all it starts to gain privileges by running a file."""
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")


def _keep_capabilities(mask: int) -> None:
    """Give up every capability outside `mask` (bits below 32)."""
    header = _CapHeader(0x20080522, 0)
    data = (_CapData * 2)()
    if _libc.capget(ctypes.byref(header), data) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    for index, keep in ((0, mask), (1, 0)):
        data[index].effective &= keep
        data[index].permitted &= keep
        data[index].inheritable = 0
    if _libc.capset(ctypes.byref(header), data) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _standard_streams() -> None:
    """Replace the standard streams by ones made on a file to read and pipes to write, as a judge makes them."""
    standard_input, unused = input_file()
    read, write = os.pipe()
    os.dup2(standard_input, 0)
    os.dup2(write, 1)
    os.dup2(write, 2)
    for fd in (standard_input, unused, read, write):
        os.close(fd)
    for fd, name, errors in ((0, "stdin", "strict"), (1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        raw = FileIO(fd, "r" if fd == 0 else "w", closefd=False)
        raw.name = f"<{name}>"
        buffer: Any = BufferedReader(raw) if fd == 0 else BufferedWriter(raw)
        stream = TextIOWrapper(buffer, encoding="utf-8", errors=errors, line_buffering=fd == 2)
        stream.mode = "r" if fd == 0 else "w"  # type: ignore[misc]
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _warm_up(packages: str, imports: Sequence[str]) -> None:
    for name in USUAL_MODULES:
        importlib.import_module(name)
    # With -S these names are missing, which programs expect from every Python.
    site.setquit()
    site.setcopyright()
    site.sethelper()
    if os.path.isdir(packages):
        sys.path.append(packages)
        os.environ["PYTHONPATH"] = packages  # of the Pythons that programs start
        for name in imports:
            with contextlib.suppress(Exception):  # the host asks a run for it, and says what that says
                importlib.import_module(name)
    sys.argv = [driver.FILENAME]
    os.cpu_count = lambda: _CORES
    driver.make_room_for_stacks()
    random.seed(0)  # programs that draw without a seed of their own get the same verdict every time
    exec(compile("import math\nfor i in range(2): f'{i}'\n", driver.FILENAME, "exec"), {})
    gc.collect()
    gc.freeze()


def main(sock: socket.socket, packages: str, imports: Sequence[str], confine: bytes) -> Act:
    """Serve the supervisor at the other end of `sock` (SOCK_SEQPACKET) until it closes it.

    Returns only in a seat that has its job: what runs it, to be called when all frames of ours are left.

    Args:
        sock: Where requests for seats come from.
        packages: Folder of packages that programs may import, if there is one.
        imports: Modules in it to import ahead of the programs.
        confine: A compiled filter of system calls for each run, which then has namespaces of its own (`guard`); empty
            where a run has a user id of its own instead, and the engine's filter.
    """
    high = socket.socket(fileno=_raise_descriptor(sock.detach()))
    _standard_streams()
    _keep_capabilities(0 if confine else _CAP_SETUID_SETGID)
    _warm_up(packages, imports)
    wake_read, wake_write = (_raise_descriptor(fd) for fd in os.pipe())
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    poller = select.poll()
    poller.register(high, select.POLLIN)
    poller.register(wake_read, select.POLLIN)
    with open("/proc/self/statm") as statm:
        base_memory = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    uid, gid = os.getuid(), os.getgid()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mars2_env", "__main__")]:
        del sys.modules[name]
    high.send(REPLY.pack(SEATED, 0, 0, 0.0, 0))
    while True:
        for fd, _ in poller.poll():
            if fd == wake_read:
                os.read(wake_read, 4096)
                _reap(high)
                continue
            request, fds, _, _ = socket.recv_fds(high, 4096, 8)
            if not request:
                os._exit(0)
            pid = guard.clone() if confine else guard.fork()
            if pid == 0:
                try:
                    high.detach()  # closed below, with all others: freed open it would be worth a warning
                    seat_uid, nice = SEAT.unpack_from(request)
                    box = request[SEAT.size :]
                    if confine:
                        fds = guard.stand(box, uid, gid, fds)
                    return _sit(seat_uid, nice, box, fds, base_memory, confine)
                except BaseException:
                    os._exit(70)
            for received in fds:
                os.close(received)
            high.send(REPLY.pack(SEATED, pid, 0, 0.0, 0))


def _raise_descriptor(fd: int) -> int:
    """Move a descriptor out of the way of 0, 1 and 2 and of those that a seat is given."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    os.close(fd)
    return moved


def _reap(sock: socket.socket) -> None:
    while True:
        try:
            pid, status, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        sock.send(REPLY.pack(ENDED, pid, status, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024))


def _sit(uid: int, nice: int, box: bytes, fds: list[int], base_memory: int, confine: bytes) -> Act:
    """Become the process of one run: confine itself, wait for the job, return what runs it.

    All that is done here touches pages that are then copied for this process alone, so little is done, and plainly.
    """
    os.nice(nice)
    signal.set_wakeup_fd(-1)
    _signal.signal(SIGCHLD, SIG_DFL)
    os.setsid()
    orders, report, *standard = fds
    for target, fd in enumerate(standard):
        os.dup2(fd, target)
    low, high = sorted((orders, report))
    os.closerange(3, low)
    os.closerange(low + 1, high)
    os.closerange(high + 1, 2**31 - 1)
    os.set_inheritable(orders, False)
    os.set_inheritable(report, False)
    first_to_go = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    os.write(first_to_go, b"1000")
    os.close(first_to_go)
    if confine:
        _keep_capabilities(0)
        guard.install_filter(confine)
    else:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.umask(0o077)
    os.chdir(box)
    for name in (b"HOME", b"TMPDIR"):
        os.putenv(name, box)
        _environment[name] = box
    threading.main_thread()._set_native_id()  # type: ignore[attr-defined]  # what `fork` above has left out
    settings = marshal.loads(driver.read_exactly(orders, int.from_bytes(driver.read_exactly(orders, 4), "big")))
    source = driver.read_exactly(orders, settings["size"])
    used = resource.getrusage(resource.RUSAGE_SELF)
    # Stacks are reserved at once and used little: `driver.make_room_for_stacks` raises the limit for them.
    space = int(base_memory + settings["memory_bytes"])
    resource.setrlimit(resource.RLIMIT_AS, (space, space + settings["stacks_bytes"]))
    # A stack is memory like any other: programs may raise its limit as they do on judges, and gain nothing by it.
    most = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (_STACK if most == resource.RLIM_INFINITY else min(_STACK, most), most))
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, settings["processes"] + bool(confine)),  # the guard counts
        (resource.RLIMIT_FSIZE, 64 * 2**20),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_CPU, used.ru_utime + used.ru_stime + settings["rlimit_cpu"]),
    ):
        resource.setrlimit(kind, (int(value), int(value)))
    os.write(report, driver.BEGUN)
    prelude = settings["prelude"]
    if settings["calls"]:
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.close(null)
        function, cap = settings["function"], settings["output_bytes"]
        return lambda: driver.serve_calls(source, function, orders, report, cap, prelude)
    os.close(orders)
    return lambda: driver.run_script(source, report, prelude)
