"""Runs a command for another process and leaves nothing of it behind, however that process ends.

A script of its own, of the standard library alone: `python -I -S keeper.py OWNER GRACE FOLDER COMMAND...`. It starts
the command in a process group of its own and waits for one of three things: the process OWNER is gone (even by
`kill -9`), standard input is closed (OWNER asks to stop), or the command ends by itself. Then all that the command has
started gets SIGTERM and, GRACE seconds later, SIGKILL. FOLDER ("" for none) is removed, but where the command ended by
itself: its owner may want to read there why. It ends with the command's own status.

`PR_SET_PDEATHSIG` in the command alone would not do: it fires when the *thread* that started the command ends, and it
reaches the command's first process only, while the engine and the workers of a server hold the memory.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> None:
    """Call `prctl`, where there is one."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def wait_for_end(owner: int, command: subprocess.Popen[bytes]) -> None:
    """Return when the owner is gone, standard input is closed or the command has ended."""
    try:
        watched = [os.pidfd_open(owner), os.pidfd_open(command.pid)]
    except (AttributeError, OSError):  # no pidfd here, or the owner is gone already
        watched = []
    if not watched and os.getppid() != owner:
        return
    poller = select.poll()
    for fd in (0, *watched):
        poller.register(fd, select.POLLIN | select.POLLHUP)
    while not poller.poll(None if watched else 500):
        if os.getppid() != owner or command.poll() is not None:
            return


def children() -> list[int]:
    """Return the processes whose parent this process is, adopted ones among them."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.append(int(name))
    return found


def send(group: int, sign: signal.Signals) -> None:
    """Send a signal to the command's process group and to whatever of it left that group and was adopted."""
    for kill, target in [(os.killpg, group), *((os.kill, child) for child in children())]:
        with suppress(ProcessLookupError, PermissionError):
            kill(target, sign)


def reap(command: subprocess.Popen[bytes]) -> bool:
    """Take the statuses of what has ended; return whether anything still runs."""
    running = command.poll() is None
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG) if not running else (0, 0)
        except ChildProcessError:
            return running
        if not pid:
            return running or bool(children())


def main() -> int:
    """Run the command that the arguments name."""
    owner, grace, folder = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # Ctrl-C is for the owner, who then tells us
        signal.signal(ignored, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    os.umask(0o077)  # sockets and files of the command are its user's alone

    def prepare() -> None:
        for default in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(default, signal.SIG_DFL)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # this process has one thread, so that it means what it says

    command = subprocess.Popen(sys.argv[4:], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=prepare)
    alone = False
    try:
        wait_for_end(owner, command)
        alone = command.poll() is not None and os.getppid() == owner
        send(command.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while reap(command) and time.monotonic() < deadline:
            time.sleep(0.05)
        while reap(command):
            send(command.pid, signal.SIGKILL)
            time.sleep(0.02)
    finally:
        if folder and not alone:
            shutil.rmtree(folder, ignore_errors=True)
    status = command.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
