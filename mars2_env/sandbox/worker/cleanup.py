"""What is done away with after a run that had a user id of its own: processes and files that it has left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import signal
import time
from collections.abc import Callable, Collection
from typing import Final

CLEANUP_SECONDS: Final = 5.0
"""So long it may take; a worker that is not clean by then is thrown away whole."""


_MOMENT: Final = 0.1


class Patience:
    """Runs out after so many seconds; a longer time in which this process itself could not look counts as a moment.

    So a container that was frozen in the middle of its clean-up is not thrown away for it.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._seen = time.monotonic()

    def is_over(self) -> bool:
        """Whether it has run out; to be asked at least every tenth of a second."""
        now = time.monotonic()
        self._left -= min(now - self._seen, _MOMENT)
        self._seen = now
        return self._left < 0


class LeftoversError(Exception):
    """Something of a run is left, and does not go away."""


def strays(known: Collection[int]) -> list[int]:
    """List the processes that are not `known` and no superuser's: what a run has left behind."""
    others = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in known]
    return [pid for pid in others if not is_root(pid)]  # an administrator may be looking around in here


def kill_once(known: Collection[int]) -> None:
    """Kill every stray process that can be seen now; the main one of a run is known."""
    for pid in strays(known):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def kill_strays(uid: int, known: Collection[int], patience: Patience) -> None:
    """Kill what a run of user `uid` has left behind, until there is nothing of it.

    Raises:
        LeftoversError: some of it is still there when the patience is over.
    """
    pause = 0.0
    while True:
        reap_orphans()
        left = strays(known)
        if not left:
            return
        if patience.is_over():
            raise LeftoversError(f"{len(left)} processes of a run did not die")
        kill_once(known)
        # From a process of that user all die in one system call, however fast they fork. They may stop or kill that
        # process too, if they are quick: then once more.
        as_user(uid, lambda: os.kill(-1, signal.SIGKILL), Patience(_MOMENT))
        time.sleep(pause)
        pause = 0.001


def as_user(uid: int, act: Callable[[], None], patience: Patience) -> None:
    """Do `act` in a process of user `uid`, as far as it gets until the patience is over."""
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
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if patience.is_over():
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.0005)


def wipe(box: str, uid: int, patience: Patience) -> None:
    """Remove the scratch folder: at once if it is empty, else as its owner, so that no link leads us astray.

    Raises:
        LeftoversError: it is still there when the patience is over.
    """
    try:
        os.rmdir(box)
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise LeftoversError(f"a scratch folder cannot be removed: {error}") from None
    as_user(uid, lambda: empty_folder(box), patience)
    try:
        os.rmdir(box)
    except OSError as error:
        raise LeftoversError(f"a scratch folder cannot be emptied: {error}") from None


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
