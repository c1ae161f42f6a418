"""The guard of a run: process 1 of namespaces of its own, where there are no user ids to tell runs apart by.

Under bubblewrap all processes of a worker are one user's, who may do to another process of his what he likes. So each
run has a user, a process and a mount namespace: it sees no process but its guard and its own, has a /proc and a scratch
file system to itself, and all of it is gone, files and processes alike, as soon as the guard ends: the kernel sees to
that. The guard ends with the run's first process. It is immune to signals from within (it is process 1), and its memory
and descriptors are closed to the run (it is not dumpable).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from typing import Final

ENDED: Final = struct.Struct("!idQ")
"""Wait status of the run's first process, CPU seconds and peak memory in bytes of all that the guard waited for."""

_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_NEW_USER, _NEW_PID, _NEW_MOUNTS = 0x10000000, 0x20000000, 0x00020000
_NO_SUID_DEV_EXEC: Final = 2 | 4 | 8
_NO_SUID_DEV: Final = 2 | 4
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_SCRATCH: Final = b"size=64m,nr_inodes=4096,mode=700"
_libc: Final = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock: no other thread may come between


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def fork() -> int:
    """Fork as `os.fork` does, without Python's own work in the child, which touches hundreds of pages.

    That work is for programs with threads, which a zygote is not: the interpreter's lock is held and no other is. What
    `os.fork` would draw anew, the state of `random`, stays as it is.
    """
    pid: int = _libc.fork()
    _check(pid, "fork")
    return pid


def clone() -> int:
    """Fork into new namespaces; return as `os.fork` does.

    The kernel's call, since `unshare` would leave the caller itself unable to make a second one. The child is to do
    little before it forks as usual.
    """
    flags = _NEW_USER | _NEW_PID | _NEW_MOUNTS | signal.SIGCHLD
    pid = int(_libc.syscall(_CLONE[os.uname().machine], flags, 0, 0, 0, 0))
    _check(pid, "clone into new namespaces")
    return pid


def stand(box: bytes, uid: int, gid: int, fds: list[int]) -> list[int]:
    """Make the namespaces a run's own, fork its first process, and guard it until it ends.

    Args:
        box: Where the scratch file system goes.
        uid: The user's id outside, and inside.
        gid: Likewise the group's.
        fds: The seat's descriptors, and as the last one where to write the end to.

    Returns:
        The seat's descriptors; only in the new process.
    """
    *seat, end = fds
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    # Of /proc, only what is about processes; kernels before 5.8 cannot leave out the rest.
    if _libc.mount(b"proc", b"/proc", b"proc", _NO_SUID_DEV_EXEC, b"subset=pid") != 0:
        _check(_libc.mount(b"proc", b"/proc", b"proc", _NO_SUID_DEV_EXEC, None), "mount /proc")
    _check(_libc.mount(b"tmpfs", box, b"tmpfs", _NO_SUID_DEV, _SCRATCH), "mount the scratch file system")
    # Before the fork: there is no moment at which the run could open its guard's files.
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl(PR_SET_DUMPABLE)")
    interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)  # what process 1 has no handler for does not reach it
    pid = fork()
    if pid == 0:
        signal.signal(signal.SIGINT, interrupt)
        _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl(PR_SET_DUMPABLE)")
        os.close(end)
        return seat
    try:
        os.closerange(0, end)
        os.closerange(end + 1, 2**31 - 1)
        ended = 0
        while ended != pid:
            ended, status, _ = os.wait4(-1, 0)  # reaps the orphans of the run as well
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        os.write(end, ENDED.pack(status, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024))
    finally:
        os._exit(0)


def install_filter(program: bytes) -> None:
    """Confine this process and all it starts to the system calls that `program`, a compiled filter, allows."""
    structure = _Program(len(program) // 8, program)
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(structure), 0, 0), "prctl(PR_SET_SECCOMP)")
