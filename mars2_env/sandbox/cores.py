"""Sharing of this machine's cores: all sandboxes of a user together run about as many programs at once as it has cores.

Each of several processes with a pool of one worker a core would else take all cores for itself, and programs would hit
their wall limits for want of CPU. So a run holds a slot while it lasts: one unit of a System V semaphore, which hands
units out in the order of asking and takes back those of a process that dies (`SEM_UNDO`), as no other lock does both.

It is a courtesy and no guarantee. Whoever has waited for half a minute goes on without a slot and throws the semaphore
away, so that nothing waits long for a stopped process, or twice for anything; what runs as another user or in another
container is not counted; and where there are no such semaphores, nothing is shared.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import threading
import time
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final

from mars2_env.base.machine import allowed, cores
from mars2_env.sandbox.pool import PerProcess

PATIENCE_SECONDS: Final = 30.0
_CREATE: Final = 0o1000
_EXCLUSIVE: Final = 0o2000
_UNDO: Final = 0x1000
_REMOVE: Final = 0
_SET_VALUE: Final = 16
_GONE: Final = (errno.EINVAL, errno.EIDRM)


class _Operation(ctypes.Structure):
    _fields_ = (("number", ctypes.c_ushort), ("change", ctypes.c_short), ("flags", ctypes.c_short))


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class Cores:
    """The slots of a user on this machine. Thread-safe.

    Args:
        name: Which ones; processes that use the same name share them.
        count: How many there are.

    Raises:
        OSError: this system has no such semaphores, or does not allow them.
    """

    def __init__(self, name: str, count: int) -> None:
        digest = blake2b(f"{os.getuid()} {name}".encode(), digest_size=4).digest()
        self._key = ctypes.c_int(int.from_bytes(digest, "big") & 0x7FFFFFFF | 1)
        self._count = count
        self._libc: Any = ctypes.CDLL(None, use_errno=True)
        if not hasattr(self._libc, "semtimedop"):
            raise OSError(errno.ENOSYS, "no System V semaphores here")
        self._take = ctypes.byref(_Operation(0, -1, _UNDO))
        self._give = ctypes.byref(_Operation(0, 1, _UNDO))
        self._lock = threading.Lock()
        self._id = self._open()

    def _open(self) -> int:
        for _ in range(100):
            found: int = self._libc.semget(self._key, 1, 0o600 | _CREATE | _EXCLUSIVE)
            if found >= 0:
                self._libc.semctl(found, 0, _SET_VALUE, ctypes.c_long(self._count))
                return found
            if ctypes.get_errno() != errno.EEXIST:
                break
            found = self._libc.semget(self._key, 1, 0o600)
            if found >= 0:
                return found
            if ctypes.get_errno() != errno.ENOENT:  # else it was removed just now
                break
        raise OSError(ctypes.get_errno(), "semget")

    @contextlib.contextmanager
    def slot(self, patience: float) -> Iterator[bool]:
        """Hold a slot, after waiting for it up to `patience` seconds; the value says whether there was one.

        Who waited in vain throws all slots away; with a patience of 0 it is a mere attempt.
        """
        found = self._id
        held = self._acquire(found, patience)
        try:
            yield held
        finally:
            if held:
                self._libc.semtimedop(found, self._give, 1, None)  # fails where it was removed: that is as good

    def _acquire(self, found: int, patience: float) -> bool:
        deadline = time.monotonic() + patience
        left = patience
        while True:
            limit = _Time(int(left), int(left % 1 * 1e9))
            if self._libc.semtimedop(found, self._take, 1, ctypes.byref(limit)) == 0:
                return True
            reason = ctypes.get_errno()
            left = max(0.0, deadline - time.monotonic())
            if reason == errno.EAGAIN and patience > 0:
                self.remove(found)
                reason = errno.EIDRM
            if reason in _GONE:
                with self._lock, contextlib.suppress(OSError):
                    if self._id == found:
                        self._id = self._open()
            if reason != errno.EINTR:
                return False

    def remove(self, found: int | None = None) -> None:
        """Throw the semaphore away, by default the present one; the next to need one makes another."""
        self._libc.semctl(self._id if found is None else found, 0, _REMOVE, ctypes.c_long(0))


_here: Final[PerProcess[Cores | None]] = PerProcess()


def _open() -> Cores | None:
    try:  # processes that may use other cores than these do not share them
        return Cores(f"mars2_env {allowed()}", cores())
    except OSError:
        return None  # then nothing is shared


@contextlib.contextmanager
def slot() -> Iterator[None]:
    """Hold one of this machine's slots while a program runs, after waiting for it up to `PATIENCE_SECONDS`."""
    cores = _here.get(_open)
    if cores is None:
        yield
        return
    with cores.slot(PATIENCE_SECONDS):
        yield
