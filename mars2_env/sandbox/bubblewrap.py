"""The bubblewrap back end: for machines without a container engine, as root and as an ordinary user alike.

One bubblewrap sandbox for each worker, and in it the same supervisor, zygote and driver as in a container. It has
namespaces of its own (users, processes, network, IPC, host name, control groups), no capabilities, no network, and of
files only a copy of this host's Python, read-only: interpreter, standard library and their shared libraries, the same
list as the container image's. It talks to the host over an inherited socket. It dies with its owner: the kernel kills
it when the thread that started it ends (`--die-with-parent`), and the supervisor exits when the socket closes.

What differs from Docker:

- There is one user id, not one for each run (root starts each worker as an otherwise unused, unprivileged one). So each
  run has a user, a process and a mount namespace of its own, with a guard as its process 1: see `worker/guard.py`. A
  run sees no process of ours or of another run; a signal to process 1 is not refused but has no effect.
- The scratch folder is a file system of the run's own: it is not wiped but gone. Its name is always the same.
- The allow-list of system calls is applied to each run, not to the worker, since making a run's namespaces takes calls
  that the list denies. Supervisor and zygote, which run no candidate's code, are not filtered.
- Memory and processes of a worker are limited and measured by a control group where this process may make one; else
  each process by RLIMIT_AS, their sum by looking every 10 ms, and the number of a run's processes by RLIMIT_NPROC in
  its user namespace (Linux 5.14 or newer; older kernels count the user's processes on the whole machine). Files in
  memory (`memfd_create`), which belong to no process's size, are denied there.
- A run may open its own pipes the other way, and change limits and priority of its own guard: all it can end so is
  itself. It owns a few empty folders that it cannot write, and finds no /proc/net.
- There is no image: what `python_packages` and `packages` name is unpacked beside Python.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import platform
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from mars2_env.errors import SandboxError, SandboxUnavailableError
from mars2_env.sandbox import jobs
from mars2_env.sandbox.bundle import BOOT, bundle
from mars2_env.sandbox.connection import INPUT_BYTES, Worker, WorkerLostError
from mars2_env.sandbox.distributions import modules, names_of
from mars2_env.sandbox.filter import allowed_calls, compiled_filter
from mars2_env.sandbox.image import BOX, PACKAGES, PYTHON, Image, content_hash, fingerprint, tar_entries, write_tar
from mars2_env.sandbox.owner import Owner
from mars2_env.sandbox.warm import ENVIRONMENT, PROCESSES, WarmSandbox, check_known_good
from mars2_env.sandbox.worker import place
from mars2_env.sandbox.worker.frames import GUARDED_BOX
from mars2_env.sandbox.worker.users import unused_users

_DEVICES: Final = ("null", "zero", "full", "random", "urandom")
_INSIDE: Final = str(place.GUARDED_UID)
"""User and group id in the sandbox."""
_GROUP_PREFIX: Final = "mars2-sandbox."
_CONTROLLERS: Final = ("memory", "cpuacct", "pids")


class BubblewrapSandbox(WarmSandbox["_Launcher"]):
    """Runs untrusted programs in warm bubblewrap sandboxes. Keeps the contract of `Sandbox`; thread-safe.

    No worker is shared between processes (`WarmSandbox`).

    Args:
        workers: How many sandboxes, hence how many runs at a time; by default one for each core.
        isolation: As in `DockerSandbox`.
        numpy: As in `DockerSandbox`.
        packages: As in `DockerSandbox`.
        python_packages: As in `DockerSandbox`.
        memory_bytes: Memory of a worker; a run may use 128 MiB less.
        recycle_after: Replace a worker after so many runs.

    Raises:
        SandboxUnavailableError: bubblewrap is not installed, or this is not Linux on x86_64 or aarch64. Whether the
            kernel lets this user make namespaces shows at the first use.
        ConfigError: an argument makes no sense.
    """

    memory_reserved = 128 * 2**20

    def __init__(
        self,
        workers: int | None = None,
        *,
        isolation: jobs.Isolation = "program",
        numpy: bool = False,
        packages: tuple[str, ...] = (),
        python_packages: Sequence[str] = (),
        memory_bytes: int = 2**30,
        recycle_after: int = 2000,
    ) -> None:
        names = names_of(python_packages, numpy=numpy)
        super().__init__(workers, isolation, names, packages, memory_bytes, recycle_after)
        self._opened()

    def _launcher(self) -> _Launcher:
        return _Launcher(self._python_packages, self._packages, self._memory_bytes)

    @property
    def supervisors(self) -> tuple[int, ...]:
        """The process ids, on this machine, of the supervisors that are up."""
        return tuple(map(int, self._names()))

    @property
    def identity(self) -> str:
        """What decides behaviour: back end, Python, hash of its files, isolation of calls."""
        return f"bubblewrap:{self._opened().launcher.root().identity}:isolation={self._isolation}"

    def describe(self) -> dict[str, str]:
        """Say which isolation is in force, for people to read."""
        launcher = self._opened().launcher
        facts = self._facts()
        grouped = facts["meter"] == "cgroup"
        version = subprocess.run([launcher.program, "--version"], capture_output=True, text=True, check=False)
        user = "an unprivileged user id of its own for each worker" if os.geteuid() == 0 else "this user's"
        return {
            "back end": version.stdout.strip(),
            "files": f"{launcher.root().name}, read-only, Python {facts['python']}; 64 MB of scratch in memory, "
            "a file system of its own for each run",
            "workers": f"{self.workers}, one sandbox and one run at a time each",
            "system calls": f"our allow-list of {len(allowed_calls())} (seccomp)"
            + ("" if grouped else ", less memfd_create"),
            "privileges": f"none: {user}; user, process and mount namespaces of its own for each run, no capabilities, "
            "no_new_privs",
            "network": "none, and no sockets but AF_UNIX",
            "measured by": "control group" if grouped else "sums over /proc (no control group may be made here)",
            "limited by": f"control group, {self._memory_bytes >> 20} MiB and {PROCESSES} processes a worker; rlimits"
            if grouped
            else "rlimits (RLIMIT_AS, RLIMIT_NPROC) and looking every 10 ms",
            "identity": self.identity,
        }


class _Launcher:
    """Starts workers and removes them."""

    def __init__(self, python_packages: tuple[str, ...], packages: tuple[str, ...], memory_bytes: int) -> None:
        program = shutil.which("bwrap")
        if not sys.platform.startswith("linux") or program is None:
            raise SandboxUnavailableError(
                "bubblewrap (the command bwrap) is not installed here. On Debian and Ubuntu: "
                "sudo apt-get install -y bubblewrap; on Fedora: sudo dnf install -y bubblewrap."
            )
        compiled_filter()
        self.program = program
        self._python_packages = python_packages
        self._packages = packages
        self._memory_bytes = memory_bytes
        self._root: Image | None = None
        self._lock = threading.Lock()
        # `--die-with-parent` is about the thread that starts a process: this one lives as long as the sandbox.
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="mars2-bubblewrap")
        remove_groups_of_the_dead()

    def root(self) -> Image:
        """Return the unpacked root folder, unpacking it the first time."""
        with self._lock:
            if self._root is None:
                self._root = unpack(python_packages=self._python_packages, packages=self._packages)
            return self._root

    def launch(self) -> Worker:
        """Start a worker and wait until it has run a known-good program of each mode."""
        root = self.root()
        group = Group.make(self._memory_bytes + INPUT_BYTES)
        errors = tempfile.TemporaryFile()  # noqa: SIM115
        started: _Started | None = None
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                started = self._start(root, group, theirs, errors)
            pid = started.pid
            worker = Worker(str(pid), ours, started.stop, lambda: is_frozen(pid))
            try:
                group.add(started.pid)
                denied = () if group.limits_memory else ("memfd_create",)
                imports = modules(self._python_packages)
                settings = {
                    "box": BOX,
                    "packages": PACKAGES,
                    "imports": imports,
                    "filter": base64.b64encode(compiled_filter(denied)).decode(),
                }
                worker.greet(bundle(settings))
                check_known_good(worker, imports)
            except BaseException:
                worker.stop()
                raise
            return worker
        except (WorkerLostError, OSError) as error:
            if started is None:
                ours.close()
                group.remove()
            errors.seek(0)
            said = errors.read(2000).decode("utf-8", "replace").strip()
            raise SandboxUnavailableError(
                f"a bubblewrap sandbox does not work here: {said or error}. The kernel must let this user make user "
                "namespaces (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces, "
                "kernel.apparmor_restrict_unprivileged_userns; in a container also its seccomp profile and a /proc "
                "that is not masked); otherwise use Docker."
            ) from error
        finally:
            errors.close()

    def _start(self, root: Image, group: Group, theirs: socket.socket, errors: Any) -> _Started:
        info, info_w = os.pipe()
        options: dict[str, Any] = {}
        if os.geteuid() == 0:
            number = _unused_user()
            options = {"user": number, "group": number, "extra_groups": []}
        command = arguments(self.program, Path(root.name), theirs.fileno(), info_w, group)
        try:
            process: subprocess.Popen[bytes] = self._spawner.submit(
                lambda: subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    pass_fds=(theirs.fileno(), info_w),
                    cwd="/",
                    env={},
                    **options,
                )
            ).result()
        except RuntimeError as error:
            os.close(info)
            raise SandboxError(f"the sandbox is closed: {error}") from None
        finally:
            os.close(info_w)
        with open(info, "rb") as file:
            text = b""
            while not text.rstrip().endswith(b"}"):
                piece = file.read1(4096)
                if not piece:
                    process.kill()
                    process.wait()
                    raise OSError(f"bwrap ended with exit status {process.returncode}")
                text += piece
        return _Started(process, int(json.loads(text)["child-pid"]), group)

    def close(self) -> None:
        """End the thread that starts workers; those that are left die with it."""
        self._spawner.shutdown(wait=False)


class _Started:
    """One running bubblewrap: its outer process, and the supervisor, process 1 of all inside."""

    def __init__(self, process: subprocess.Popen[bytes], pid: int, group: Group) -> None:
        self.process, self.pid, self.group = process, pid, group
        self._lock = threading.Lock()
        self._handle = -1
        with contextlib.suppress(OSError):
            self._handle = os.pidfd_open(pid)

    def stop(self) -> None:
        """Kill everything inside and wait until it is gone. Idempotent."""
        with self._lock:
            if self.process.returncode is not None:
                return
            # The kernel kills all in a process namespace with its process 1, before that one's parent learns of it.
            with contextlib.suppress(OSError):
                if self._handle >= 0:
                    signal.pidfd_send_signal(self._handle, signal.SIGKILL)
                else:
                    self.process.kill()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            if self._handle >= 0:
                os.close(self._handle)
                self._handle = -1
            self.group.remove()


def arguments(program: str, root: Path, sock: int, info: int, group: Group) -> list[str]:
    """Return the command that starts a worker.

    Args:
        program: Path of bwrap.
        root: The unpacked root folder.
        sock: Descriptor of the worker's end of its connection.
        info: Descriptor that bwrap tells the supervisor's process id on.
        group: The worker's control group.
    """
    command = [program, "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    command += [
        "--unshare-cgroup-try",
        "--uid",
        _INSIDE,
        "--gid",
        _INSIDE,
        "--hostname",
        "sandbox",
        "--cap-drop",
        "ALL",
    ]
    command += ["--die-with-parent", "--new-session", "--as-pid-1", "--info-fd", str(info), "--clearenv"]
    for name, value in ENVIRONMENT.items():
        command += ["--setenv", name, value]
    for entry in sorted(root.iterdir()):
        inside = f"/{entry.name}"
        if entry.is_symlink():
            command += ["--symlink", os.readlink(entry), inside]
        elif any(entry.iterdir()):
            command += ["--ro-bind", str(entry), inside]
    command += ["--proc", "/proc", "--tmpfs", "/dev"]
    for name in _DEVICES:
        command += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        command += ["--symlink", f"/proc/self/fd/{number}", f"/dev/{name}"]
    command += ["--symlink", "/proc/self/fd", "/dev/fd", "--symlink", f"{BOX}/{GUARDED_BOX}", place.SHARED_MEMORY]
    command += ["--symlink", place.GUARDED_USERS, place.USERS, "--symlink", place.GUARDED_GROUPS, place.GROUPS]
    command += ["--remount-ro", "/dev", "--dir", "/tmp"]
    # The folder of scratch folders: to be passed through, not listed; nothing can be made in it.
    command += ["--tmpfs", BOX, "--dir", f"{BOX}/{GUARDED_BOX}", "--chmod", "0111", BOX, "--remount-ro", BOX]
    for folder, inside in group.shown():
        command += ["--ro-bind", str(folder), inside]
    command += ["--remount-ro", "/", "--chdir", BOX]
    return [*command, "--", PYTHON, "-s", "-S", "-B", "-P", "-X", "utf8", "-c", BOOT, str(sock)]


def _unused_user() -> int:
    """Draw a user id that nobody has."""
    first, last = unused_users()
    return first + secrets.randbelow(last - first)


# Control groups


class Group:
    """A control group for each controller (version 1), or one (version 2), around one worker; or none."""

    _numbers: Final = itertools.count()

    def __init__(self, folders: dict[str, Path], version: int) -> None:
        self._folders = folders
        self._version = version

    @property
    def limits_memory(self) -> bool:
        """Whether memory is limited and measured by a control group."""
        return bool(self._folders)

    @classmethod
    def make(cls, memory_bytes: int) -> Group:
        """Make a group below this process's own where that is allowed, with limits set; else one that does nothing."""
        label = f"{_GROUP_PREFIX}{str(Owner.this()).replace('/', '.')}.{next(cls._numbers)}"
        version, homes = own_groups()
        made: dict[str, Path] = {}
        limits = {
            1: (
                ("memory", "memory.limit_in_bytes", memory_bytes),
                ("memory", "memory.memsw.limit_in_bytes", memory_bytes),
                ("pids", "pids.max", PROCESSES),
            ),
            2: (("", "memory.max", memory_bytes), ("", "memory.swap.max", 0), ("", "pids.max", PROCESSES)),
        }
        try:
            for name, home in homes.items():
                folder = home / label
                folder.mkdir()
                made[name] = folder
            for name, file, value in limits[version]:
                path = made[name] / file
                if path.exists() or not ("swap" in file or "memsw" in file):
                    path.write_text(str(value))
        except (OSError, KeyError):
            cls(made, version).remove()
            return cls({}, version)
        return cls(made, version)

    def add(self, pid: int) -> None:
        """Put a process, before it starts others, into the group."""
        for folder in self._folders.values():
            (folder / "cgroup.procs").write_text(str(pid))

    def shown(self) -> list[tuple[Path, str]]:
        """Return the folders that the supervisor's meter reads, with the places it looks for them at."""
        if self._version == 2:
            return [(folder, "/sys/fs/cgroup") for folder in self._folders.values()]
        return [(folder, f"/sys/fs/cgroup/{name}") for name, folder in self._folders.items() if name != "pids"]

    def remove(self) -> None:
        """Remove the group; its processes are gone."""
        for folder in self._folders.values():
            with contextlib.suppress(OSError):
                folder.rmdir()


def own_groups() -> tuple[int, dict[str, Path]]:
    """Return the version of control groups in use, and the folders in which this process's own groups are."""
    root = Path("/sys/fs/cgroup")
    homes: dict[str, Path] = {}
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        if (root / "cgroup.controllers").exists():
            path = next(line for line in lines if line.startswith("0::"))[3:]
            return 2, {"": root / path.lstrip("/")}
        for line in lines:
            _, names, path = line.split(":", 2)
            for name in names.split(","):
                folder = root / name / path.lstrip("/")
                if name in _CONTROLLERS and folder.is_dir():
                    homes[name] = folder
    return (1, homes) if len(homes) == len(_CONTROLLERS) else (1, {})


def is_frozen(pid: int) -> bool:
    """Whether a process is in a control group that somebody has frozen, itself or one above it."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            inside = path.lstrip("/")
            if names == "":
                events = Path("/sys/fs/cgroup", inside, "cgroup.events")
                if events.exists() and "frozen 1" in events.read_text():
                    return True
            elif "freezer" in names.split(","):
                state = Path("/sys/fs/cgroup/freezer", inside, "freezer.state")
                if state.exists() and state.read_text().strip() != "THAWED":
                    return True
    return False


def remove_groups_of_the_dead() -> None:
    """Remove empty groups whose owner is dead: one that was killed could not."""
    for home in own_groups()[1].values():
        for folder in home.glob(f"{_GROUP_PREFIX}*"):
            owner = Owner.parse("/".join(folder.name.removeprefix(_GROUP_PREFIX).split(".")[:4]))
            if owner is not None and owner.is_dead(running=False):
                with contextlib.suppress(OSError):
                    folder.rmdir()


# Files


def _cache() -> Path:
    """Return a folder of this user's own for unpacked roots; root's can be entered by the users that workers are."""
    user = os.geteuid()
    home = Path("/var/cache") if user == 0 else Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    for folder in (home / "mars2-sandbox", Path(tempfile.gettempdir(), f"mars2-sandbox-root-{user}")):
        with contextlib.suppress(OSError, RuntimeError):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == user:
                folder.chmod(0o755)
                return folder
    raise SandboxUnavailableError(f"there is no place to unpack the sandbox's files: {home} cannot be written.")


def unpack(*, python_packages: Sequence[str] = (), packages: tuple[str, ...] = ()) -> Image:
    """Return a folder with what a sandbox image would hold, unpacking it where it is not there yet (3 to 10 s).

    Two processes that ask at once get the same folder; the second waits for the first.

    Args:
        python_packages: Add these Python distributions, and those that they require.
        packages: Add the files of these Debian packages, and of what they depend on.

    Raises:
        SandboxUnavailableError: there is no place for it, or this host's Python cannot be packed.
    """
    cache = _cache()
    label = cache / f"{fingerprint(python_packages=python_packages, packages=packages)}.digest"

    def found() -> Image | None:
        with contextlib.suppress(OSError):
            digest = label.read_text().strip()
            if (cache / digest / PYTHON.lstrip("/")).exists():
                return Image(str(cache / digest), digest, platform.python_version())
        return None

    with open(os.open(cache / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        image = found()
        if image is not None:
            return image
        entries = tar_entries(python_packages=python_packages, packages=packages)
        digest = content_hash(entries)
        with tempfile.TemporaryDirectory(dir=cache) as folder, tempfile.TemporaryFile() as file:
            write_tar(entries, file)
            file.seek(0)
            target = Path(folder, "root")
            with tarfile.open(fileobj=file) as tar:
                if hasattr(tarfile, "tar_filter"):
                    tar.extractall(target, filter="tar")
                else:  # Python 3.11.3 and older; the archive was written just above
                    tar.extractall(target)
            shutil.rmtree(cache / digest, ignore_errors=True)
            target.chmod(0o755)
            target.rename(cache / digest)
        label.write_text(digest)
        return Image(str(cache / digest), digest, platform.python_version())
