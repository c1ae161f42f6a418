"""Sharing of this machine's cores: all sandboxes of a user together run about as many programs at once as it has cores.

Each of several processes with a pool of one worker a core would else take all cores for itself, and programs would hit
their wall limits for want of CPU. So a run takes a slot while it lasts: a lock (`flock`) on one of as many files as
there are cores, in a folder of this user. It is a courtesy and no guarantee: who has waited for as long as a run may
last goes on without a slot, so that nothing ever waits for a process that was stopped; and what runs in another
container or as another user is not counted. Locks end with their process, so a crash leaves none behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mars2_env.sandbox.pool import PerProcess

_LOOK_AGAIN_SECONDS: Final = 0.002


class Cores:
    """The slots, as one process sees them. Thread-safe.

    Args:
        folder: Where the files are; whoever names the same one shares the slots.
        count: How many there are.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._waiting = 0
        self._files: list[int] = []
        for number in range(count):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._files.append(os.open(folder / f"core{number}", flags, 0o600))
        self._free = self._files.copy()
        _all.add(self)

    @contextlib.contextmanager
    def slot(self, patience: float) -> Iterator[bool]:
        """Hold a slot, waiting for it up to `patience` seconds; the value says whether there was one."""
        taken = self._take(patience)
        try:
            yield taken is not None
        finally:
            if taken is not None:
                fcntl.flock(taken, fcntl.LOCK_UN)
                with self._changed:
                    self._free.append(taken)
                    if self._waiting:
                        self._changed.notify()

    def _take(self, patience: float) -> int | None:
        with self._changed:
            taken = self._try()
            if taken is not None or patience <= 0:
                return taken
            deadline = time.monotonic() + patience
            self._waiting += 1
            try:
                while taken is None and time.monotonic() < deadline:
                    # Another process's slot makes no sound when it becomes free; together our waiters look every 2 ms.
                    self._changed.wait(_LOOK_AGAIN_SECONDS * self._waiting)
                    taken = self._try()
            finally:
                self._waiting -= 1
            return taken

    def _try(self) -> int | None:
        for index in range(len(self._free) - 1, -1, -1):
            try:
                fcntl.flock(self._free[index], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            return self._free.pop(index)
        return None

    def disown(self) -> None:
        """Close the files without unlocking them, for a forked process: the locks belong to the one forked from."""
        files, self._files, self._free = self._files, [], []
        for file in files:
            os.close(file)

    def __del__(self) -> None:
        """Close the files."""
        self.disown()


_all: Final[weakref.WeakSet[Cores]] = weakref.WeakSet()
_here: Final[PerProcess[Cores | None]] = PerProcess()


def folder() -> Path:
    """Return the folder of this user's slots, made if need be.

    Raises:
        OSError: there is none to be had, or what is in its place belongs to someone else.
    """
    place = os.environ.get("XDG_RUNTIME_DIR")
    if place and os.path.isdir(place):
        found = Path(place, "mars2-cores")
    else:
        found = Path(tempfile.gettempdir(), f"mars2-cores-{os.getuid()}")
    found.mkdir(mode=0o700, exist_ok=True)
    state = found.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise PermissionError(f"{found} belongs to someone else")
    return found


def _open() -> Cores | None:
    try:
        return Cores(folder(), os.cpu_count() or 1)
    except OSError:
        return None  # then there is no sharing


@contextlib.contextmanager
def slot(patience: float) -> Iterator[None]:
    """Hold one of this machine's slots while a program runs, after waiting for it up to `patience` seconds."""
    cores = _here.get(_open)
    if cores is None:
        yield
        return
    with cores.slot(patience):
        yield


def _disown_all() -> None:
    for cores in list(_all):
        cores.disown()


os.register_at_fork(after_in_child=_disown_all)
