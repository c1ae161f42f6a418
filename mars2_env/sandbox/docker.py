"""The Docker back end: one hardened, warm container for each worker.

A container has no network, a read-only image, a small scratch file system, four capabilities (which only the supervisor
keeps), a seccomp profile, and limits on memory and processes. It talks to the host over one unix socket in a private
folder that is mounted alone and removed before the first job. When that socket closes, for whatever reason, the
supervisor exits and the engine removes the container: so SIGTERM and `kill -9` leave nothing behind either, and no
signal handler of the user's program is touched. What a crash of the engine or the machine left behind is removed at the
next start.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from mars2_env.errors import ConfigError, SandboxAwayError, SandboxError, SandboxUnavailableError
from mars2_env.sandbox import jobs
from mars2_env.sandbox.base import LIMITS, STDIN, ClosesAsync
from mars2_env.sandbox.bundle import BOOT, bundle
from mars2_env.sandbox.connection import INPUT_BYTES, Worker, WorkerLostError
from mars2_env.sandbox.distributions import modules, names_of
from mars2_env.sandbox.filter import allowed_calls, seccomp_profile
from mars2_env.sandbox.image import BOX, PACKAGES, PYTHON, Image, build_image
from mars2_env.sandbox.owner import Owner
from mars2_env.sandbox.warm import ENVIRONMENT, PROCESSES, WarmSandbox, check_known_good
from mars2_env.types import Interface, Limits, Run

SANDBOX_LABEL: Final = "mars2_env.sandbox"
OWNER_LABEL: Final = "mars2_env.owner"
SOCKET: Final = "/run/mars2/socket"
_FOLDER_PREFIX: Final = "mars2-sandbox-"
_ACCEPT_SECONDS: Final = 120.0
_LOOK_AGAIN_SECONDS: Final = 2.0


def connect() -> Any:
    """Return a `docker.DockerClient` for the engine that `DOCKER_HOST` names, by default the local one.

    Raises:
        SandboxUnavailableError: no engine answers there.
    """
    import docker
    from docker.errors import DockerException

    address = _address()
    if not address.startswith("unix://"):
        raise SandboxUnavailableError(
            f"the Docker engine at {address} (DOCKER_HOST) is remote; this version needs one on the same machine."
        )
    try:
        _knock(address)
        return docker.from_env(timeout=60)
    except PermissionError:
        reason = f"permission denied on {address}: is this user in the group `docker`?"
    except (OSError, DockerException) as error:
        reason = f"{address}: {error}"
    raise SandboxUnavailableError(
        f"no Docker engine answers ({reason}). In a checkout `make engine` starts one, and on Debian and Ubuntu "
        "installs it first; elsewhere start Docker, for instance with `sudo systemctl start docker`."
    )


def _address() -> str:
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def _knock(address: str) -> None:
    """Raise `OSError` if nobody listens at `address`; asked of the client, it would leak a socket then."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(10)
        probe.connect(address.removeprefix("unix://"))


def container_options(image: str, folder: str, *, memory_bytes: int, runtime: str | None) -> dict[str, Any]:
    """Return the keyword arguments of `client.containers.create` for one worker; `folder` holds the socket."""
    from docker.types import LogConfig, Mount, Ulimit

    options: dict[str, Any] = {
        "image": image,
        "command": [PYTHON, "-s", "-S", "-B", "-P", "-X", "utf8", "-c", BOOT, SOCKET],
        "entrypoint": [],
        "user": "0:0",
        "working_dir": BOX,
        "hostname": "sandbox",
        "environment": ENVIRONMENT,
        "network_mode": "none",
        "read_only": True,
        "tmpfs": {BOX: "rw,size=64m,nr_inodes=4096,mode=711,nosuid,nodev"},
        "cap_drop": ["ALL"],
        "cap_add": ["SETUID", "SETGID", "KILL", "CHOWN"],
        "security_opt": ["no-new-privileges", f"seccomp={seccomp_profile()}"],
        "pids_limit": PROCESSES,
        "mem_limit": memory_bytes + INPUT_BYTES,
        "memswap_limit": memory_bytes + INPUT_BYTES,
        "ipc_mode": "none",
        "log_config": LogConfig(type=LogConfig.types.NONE),
        "ulimits": [Ulimit(name="core", soft=0, hard=0), Ulimit(name="stack", soft=8 * 2**20, hard=-1)],
        "mounts": [Mount(target=str(Path(SOCKET).parent), source=folder, type="bind", read_only=True)],
        "labels": {SANDBOX_LABEL: "worker", OWNER_LABEL: str(Owner.this())},
        "auto_remove": True,
        "stop_signal": "SIGKILL",  # process 1 ignores others: an engine that shuts down would wait for it in vain
    }
    if runtime is not None:
        options["runtime"] = runtime
    return options


class DockerSandbox(WarmSandbox["_Launcher"]):
    """Runs untrusted programs in warm Docker containers. Keeps the contract of `Sandbox`; thread-safe.

    No container is shared between processes (`WarmSandbox`).

    Args:
        workers: How many containers, hence how many runs at a time; by default one for each core.
        isolation: In call mode, "program": one process for all inputs of a program, which may remember earlier ones and
            cannot look ahead; "input": a process for each input. In stdin mode each input always has its own.
        numpy: The same as "numpy" among the `python_packages`.
        packages: Use an image with the files of these Debian packages, as installed here, and of what they depend on.
        python_packages: Use an image with these Python distributions, as installed in this Python, and with those that
            they require: names as `pip install` takes them, such as "sortedcontainers".
        image: Name of an image to use instead of the one made from this host's Python.
        memory_bytes: Memory of a container; a run may use 256 MiB less.
        runtime: An OCI runtime that the engine knows, such as "runsc" (gVisor).
        recycle_after: Replace a container after so many runs.

    Raises:
        SandboxUnavailableError: no engine answers, or the image cannot be built.
        ConfigError: an argument makes no sense.
    """

    memory_reserved = 256 * 2**20

    def __init__(
        self,
        workers: int | None = None,
        *,
        isolation: jobs.Isolation = "program",
        numpy: bool = False,
        packages: tuple[str, ...] = (),
        python_packages: Sequence[str] = (),
        image: str | None = None,
        memory_bytes: int = 2**30,
        runtime: str | None = None,
        recycle_after: int = 2000,
    ) -> None:
        python_packages = names_of(python_packages, numpy=numpy)
        if image is not None and python_packages:
            raise ConfigError(
                f"image={image!r}: it is used as it is, without {', '.join(python_packages)}; build one that has them "
                f"in {PACKAGES}, or leave one of the two arguments out."
            )
        super().__init__(workers, isolation, python_packages, packages, memory_bytes, recycle_after)
        self._image_name = image
        self._runtime = runtime
        self._opened()

    def _launcher(self) -> _Launcher:
        launcher = _Launcher(
            connect(), self._image_name, self._python_packages, self._packages, self._memory_bytes, self._runtime
        )
        launcher.reap_orphans()
        return launcher

    @property
    def containers(self) -> tuple[str, ...]:
        """The ids of this process's containers that are up."""
        return self._names()

    @property
    def image(self) -> Image:
        """The image in use; the first to ask may wait for it to be built."""
        return self._opened().launcher.image()

    @property
    def identity(self) -> str:
        """What decides behaviour: back end, Python, hash of the image, isolation of calls."""
        runtime = f":runtime={self._runtime}" if self._runtime else ""
        return f"docker:{self.image.identity}:isolation={self._isolation}{runtime}"

    def stream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> Iterator[Run]:
        """Run `program` on one input after the other; see `Sandbox.stream`.

        Raises:
            SandboxAwayError: no engine answers any more, which is why workers are lost or cannot be started.
        """
        return self._told(super().stream(program, inputs, interface=interface, limits=limits))

    def _told(self, runs: Iterator[Run]) -> Iterator[Run]:
        try:
            yield from runs
        except SandboxError as error:
            if (away := self._absence(error)) is not None:
                raise away from error
            raise

    def astream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> AsyncIterator[Run]:
        """Async twin of `stream`."""
        return self._told_later(super().astream(program, inputs, interface=interface, limits=limits))

    async def _told_later(self, runs: AsyncIterator[Run]) -> AsyncIterator[Run]:
        try:
            async for run in runs:
                yield run
        except SandboxError as error:
            if (away := self._absence(error)) is not None:
                raise away from error
            raise
        finally:
            if isinstance(runs, ClosesAsync):
                await runs.aclose()

    def _absence(self, error: SandboxError) -> SandboxAwayError | None:
        """Return what a fault is if the engine is away: one that stops ends its containers, no program's doing."""
        opened = self._here.peek()
        if self._closed or opened is None or isinstance(error, SandboxAwayError):
            return None
        return opened.launcher.away(str(error))

    def describe(self) -> dict[str, str]:
        """Say which isolation is in force, for people to read."""
        engine = self._opened().launcher.client.info()
        facts = self._facts()
        own_ids = "user" not in str(engine.get("SecurityOptions"))
        return {
            "back end": f"docker {engine.get('ServerVersion')}, runtime {self._runtime or 'runc'}",
            "image": f"{self.image.name}, Python {facts['python']}",
            "workers": f"{self.workers}, one container and one run at a time each",
            "system calls": f"our allow-list of {len(allowed_calls())} (seccomp)"
            + ("" if any("seccomp" in option for option in engine.get("SecurityOptions") or ()) else ": NOT SUPPORTED"),
            "privileges": "none: a user id of its own for each run, no capabilities, no_new_privs"
            + ("" if own_ids else "; ids are mapped by a user namespace"),
            "network": "none, and no sockets but AF_UNIX",
            "files": "read-only image; 64 MB of scratch in memory, wiped after each run",
            "measured by": "control group" if facts["meter"] == "cgroup" else "sums over /proc (no control group seen)",
            "cgroup": f"version {engine.get('CgroupVersion', '1')}, memory {self._memory_bytes >> 20} MiB a container",
            "identity": self.identity,
        }


class _ImageGoneError(SandboxError):
    """The image was there and is no more."""


class _Launcher:
    """Starts containers and removes them; everything that talks to the engine."""

    def __init__(
        self,
        client: Any,
        image: str | None,
        python_packages: tuple[str, ...],
        packages: tuple[str, ...],
        memory_bytes: int,
        runtime: str | None,
    ) -> None:
        self.client = client
        self.runtime = runtime
        self._address = _address()
        self._name = image
        self._python_packages = python_packages
        self._packages = packages
        self._memory_bytes = memory_bytes
        self._image: Image | None = None
        self._lock = threading.Lock()

    def image(self) -> Image:
        """Return the image to use, building it the first time."""
        with self._lock:
            if self._image is None:
                self._image = (
                    self._named_image()
                    if self._name
                    else build_image(self.client, python_packages=self._python_packages, packages=self._packages)
                )
            return self._image

    def _named_image(self) -> Image:
        from docker.errors import ImageNotFound

        assert self._name is not None
        try:
            found = self.client.images.get(self._name)
        except ImageNotFound:
            raise SandboxUnavailableError(f"the engine has no image {self._name!r}; pull or build it first.") from None
        labels = found.labels or {}
        return Image(self._name, found.id.removeprefix("sha256:")[:12], labels.get("mars2_env.image.python", ""))

    def launch(self) -> Worker:
        """Start a container and wait until its worker has run a known-good program."""
        try:
            return self._launch(self.image())
        except _ImageGoneError:
            with self._lock:
                self._image = None
            return self._launch(self.image())  # builds it again; an image of the user's own is an error that names it

    def _launch(self, image: Image) -> Worker:
        from docker.errors import ImageNotFound

        folder = tempfile.mkdtemp(prefix=_FOLDER_PREFIX)
        container: Any = None
        try:
            Path(folder, "owner").write_text(str(Owner.this()))
            inner = Path(folder, "run")
            inner.mkdir()
            inner.chmod(0o777)  # the container's root may be nobody to this file system; `folder` keeps others out
            with _listen(inner) as listener:
                _knock(self._address)
                options = container_options(
                    image.name, str(inner), memory_bytes=self._memory_bytes, runtime=self.runtime
                )
                container = self.client.containers.create(**options)
                container.start()
                sock = self._accept(listener, container)
            worker = Worker(
                container.id[:12], sock, lambda: self._remove(container), lambda: self._is_paused(container)
            )
        except BaseException as error:
            if container is not None:
                self._remove(container)
            if not isinstance(error, Exception):
                raise
            if isinstance(error, SandboxError):
                if (away := self.away(str(error))) is not None:
                    raise away from error
                raise
            if isinstance(error, ImageNotFound):
                raise _ImageGoneError(f"the sandbox image {image.name!r} was removed from the engine.") from error
            said = f"a sandbox container could not be started: {error}"
            raise self.away(said) or SandboxError(said) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        try:
            imports = modules(self._python_packages)
            worker.greet(bundle({"box": BOX, "packages": PACKAGES, "imports": imports}))
            check_known_good(worker, imports)
        except BaseException as error:
            worker.stop()
            if isinstance(error, WorkerLostError):
                raise SandboxError(f"a fresh sandbox container does not work: {error}") from None
            raise
        return worker

    def away(self, what: str) -> SandboxAwayError | None:
        """Return the error that says that no engine answers, and that `what` came of it; None if one does."""
        try:
            _knock(self._address)
        except OSError as error:
            return SandboxAwayError(f"no Docker engine answers at {self._address} any more ({error}): {what}")
        return None

    def _accept(self, listener: socket.socket, container: Any) -> socket.socket:
        """Wait until a container that was just started calls back; one that has died meanwhile is not waited for."""
        listener.settimeout(_LOOK_AGAIN_SECONDS)
        deadline = time.monotonic() + _ACCEPT_SECONDS
        while time.monotonic() < deadline:
            try:
                return listener.accept()[0]
            except TimeoutError:
                container.reload()
                if container.status not in ("created", "running"):
                    raise SandboxError(f"a sandbox container is {container.status} before it called back.") from None
        raise SandboxError(
            f"a sandbox container did not call back within {_ACCEPT_SECONDS:.0f} s; is the engine on this machine, "
            "and does it see this machine's temporary folder?"
        )

    def _is_paused(self, container: Any) -> bool:
        """Whether somebody has paused a container; not where the engine does not say so."""
        with contextlib.suppress(Exception):
            _knock(self._address)
            container.reload()
            return bool(container.status == "paused")
        return False

    def _remove(self, container: Any) -> None:
        from docker.errors import APIError, NotFound

        try:
            _knock(self._address)
            container.remove(force=True)
        except NotFound:
            return
        except (APIError, OSError):
            pass  # being removed already, since its supervisor has exited; else the engine is gone
        with contextlib.suppress(Exception):
            _knock(self._address)
            container.wait(condition="removed", timeout=20)

    def reap_orphans(self) -> list[str]:
        """Remove containers, and folders of sockets, whose owner is dead; return the containers' ids."""
        for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
            with contextlib.suppress(OSError):
                owner = Owner.parse(Path(folder, "owner").read_text())
                if folder.stat().st_uid == os.getuid() and owner is not None and owner.is_dead(running=False):
                    shutil.rmtree(folder, ignore_errors=True)
        reaped = []
        with contextlib.suppress(Exception):
            for found in self.client.api.containers(all=True, filters={"label": [f"{SANDBOX_LABEL}=worker"]}):
                owner = Owner.parse((found.get("Labels") or {}).get(OWNER_LABEL, ""))
                if owner is not None and owner.is_dead(running=found.get("State") == "running"):
                    with contextlib.suppress(Exception):
                        self.client.api.remove_container(found["Id"], force=True)
                    reaped.append(found["Id"])
        return reaped

    def close(self) -> None:
        """Close the connection to the engine."""
        with contextlib.suppress(Exception):
            self.client.close()


def _listen(folder: Path) -> socket.socket:
    """Listen on a socket in `folder`, whose path may be longer than a socket's name."""
    listener = socket.socket(socket.AF_UNIX)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{handle}/{Path(SOCKET).name}")
    finally:
        os.close(handle)
    Path(folder, Path(SOCKET).name).chmod(0o777)
    listener.listen(1)
    return listener
