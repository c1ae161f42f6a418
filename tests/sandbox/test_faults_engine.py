"""Faults of the engine itself, on one that the tests start, stop and start again, with data and processes its own."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import pytest

import mars2_env
from mars2_env.episode import Told
from mars2_env.errors import SandboxError, SandboxUnavailableError
from mars2_env.sandbox import make_sandbox
from mars2_env.sandbox.docker import DockerSandbox

ADD = "a, b = map(int, input().split())\nprint(a + b)\n"


class PrivateEngine:
    """A `dockerd` that shares nothing with the machine's own but the kernel."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"unix://{folder}/d.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers; raise `OSError` with its last words if it does not."""
        places = [f"--{name}={self.folder}/{name}" for name in ("data-root", "exec-root", "pidfile")]
        network = ["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["dockerd", f"--host={self.address}", *places, *network], stdout=log, stderr=log
            )
        pause = threading.Event()
        for _ in range(300):
            if self.process.poll() is not None:
                break
            # Not with the client, which leaks its socket when nobody answers.
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(10)
                probe.connect(f"{self.folder}/d.sock")
                probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                if b" 200 OK" in probe.recv(4096):
                    return
            pause.wait(0.1)
        self.stop()
        raise OSError((self.folder / "log").read_text(errors="replace").strip()[-300:])

    def stop(self) -> None:
        """End it, and with it every container it runs."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self) -> None:
        """Kill the engine and none of its containers."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        for name in ("pidfile", "exec-root/containerd/containerd.pid"):
            Path(self.folder, name).unlink(missing_ok=True)  # where nobody reaps, a dead process looks alive to it

    def client(self, timeout: int = 60) -> Any:
        """Return a new client of it."""
        return docker.DockerClient(base_url=self.address, timeout=timeout)

    def remove(self) -> None:
        """Leave nothing of it on the machine."""
        self.stop()
        for process in Path("/proc").glob("[0-9]*/cmdline"):  # what a killed engine left behind
            with contextlib.suppress(OSError):
                if f"{self.folder}/".encode() in process.read_bytes():
                    os.kill(int(process.parent.name), signal.SIGKILL)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((one for one in mounts if one.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def private(docker_engine: None) -> Iterator[PrivateEngine]:
    """An engine of the tests' own, running."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to start an engine of its own")
    if shutil.which("dockerd") is None:
        pytest.skip("needs dockerd, to start an engine of its own")
    engine = PrivateEngine(Path(tempfile.mkdtemp(prefix="mars2-d-")))  # a short path: sockets go into it
    try:
        try:
            engine.start()
        except OSError as error:
            pytest.skip(f"a second engine does not start here: {error}")
        yield engine
    finally:
        engine.remove()


@pytest.fixture
def sandbox(private: PrivateEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerSandbox]:
    """Two containers of the private engine; whatever a test did, they work afterwards, and close leaves nothing."""
    monkeypatch.setenv("DOCKER_HOST", private.address)
    with make_sandbox("docker", workers=2) as made:
        assert isinstance(made, DockerSandbox)
        streams = [made.stream(ADD, ["1 2", "3 4"]) for _ in range(2)]
        assert [next(stream).output for stream in streams] == ["3\n", "3\n"]
        assert [next(stream).output for stream in streams] == ["7\n", "7\n"]
        del streams
        assert len(made.containers) == 2
        yield made
        assert [run.output for run in made.run(ADD, ["20 22", "1 1"])] == ["42\n", "2\n"]
    with contextlib.closing(private.client()) as client:
        assert client.containers.list(all=True) == []


def test_two_hundred_jobs_over_a_restart_of_the_engine(private: PrivateEngine, sandbox: DockerSandbox) -> None:
    """Jobs 0 to 99 come before and at the stop, 100 to 119 while there is no engine, 120 to 199 when there is again."""
    in_the_middle, stopped, restarted = threading.Event(), threading.Event(), threading.Event()
    judged: list[int] = []

    def job(number: int) -> str:
        if number >= 100:
            (stopped if number < 120 else restarted).wait()
        program = ADD if number % 10 else f"import time\ntime.sleep(0.5)\n{ADD}"
        try:
            output = sandbox.run(program, [f"{number} 1"])[0].output
        except SandboxError:
            output = "fault"
        judged.append(number)
        if len(judged) == 30:
            in_the_middle.set()
        return str(output)

    with ThreadPoolExecutor(4) as threads:
        try:
            results = [threads.submit(job, number) for number in range(200)]
            in_the_middle.wait()
            private.stop()
            stopped.set()
            for late in results[100:120]:
                late.result()
            private.start()
        finally:
            stopped.set()
            restarted.set()
        outputs = [result.result() for result in results]
    assert sorted(judged) == list(range(200))
    assert all(output in (f"{number + 1}\n", "fault") for number, output in enumerate(outputs))
    assert outputs[:25].count("fault") == 0 and set(outputs[100:120]) == {"fault"}
    assert outputs[120:].count("fault") == 0


class Restarter(logging.Handler):
    """Starts the engine once somebody says that it is waited for."""

    def __init__(self, engine: PrivateEngine) -> None:
        super().__init__()
        self.engine = engine
        self.threads: list[threading.Thread] = []
        self.stopped = threading.Event()

    def start(self) -> None:
        """Start it as soon as it has stopped: one that is stopping answers no more, and is waited for already."""
        self.stopped.wait()
        self.engine.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Start it in a thread: whoever says so goes on waiting."""
        if record.getMessage().startswith("waiting up to"):
            self.threads.append(threading.Thread(target=self.start))
            self.threads[-1].start()


def test_a_search_over_restarts_of_the_engine_has_the_logs_of_one_without(
    private: PrivateEngine, sandbox: DockerSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It comes back in time once, and too late the second time: then the same run again goes on from there."""
    task = mars2_env.task("starter", sandbox=sandbox, budget=6)
    restarter, logger = Restarter(private), logging.getLogger("mars2_env.tasks.absence")

    def search(out: Path, stop_at: int = 0) -> dict[str, bytes]:
        told = 0

        def observer(header: Any, event: Any, trace: Any) -> None:
            nonlocal told
            told += isinstance(event, Told)
            if isinstance(event, Told) and told == stop_at:
                private.stop()  # while other programs are being judged
                restarter.stopped.set()

        trees = mars2_env.rollout(task, "noise:default", out=out, limit=4, trees=4, batch=1, observer=observer)
        assert [tree.ended for tree in trees] == ["budget"] * 4
        return {path.name: path.read_bytes() for path in (out / "trees").glob("*.jsonl")}

    whole = search(tmp_path / "whole")
    logger.addHandler(restarter)
    try:
        assert search(tmp_path / "cut", stop_at=7) == whole
    finally:
        logger.removeHandler(restarter)
        for thread in restarter.threads:
            thread.join()
    assert len(restarter.threads) == 1
    with monkeypatch.context() as patch:
        patch.setattr("mars2_env.tasks.absence.PAUSES", (0.0, 0.0))
        with pytest.raises(SandboxUnavailableError, match="no Docker engine answers"):
            search(tmp_path / "late", stop_at=9)
    private.start()
    assert search(tmp_path / "late") == whole


def test_an_engine_killed_outright_costs_jobs_that_run_nothing(private: PrivateEngine, sandbox: DockerSandbox) -> None:
    stream = sandbox.stream(ADD, [f"{number} 1" for number in range(50)])
    assert next(stream).output == "1\n"
    private.kill()
    assert [run.output for run in stream] == [f"{number + 1}\n" for number in range(1, 50)]
    private.start()


def test_an_image_removed_under_a_live_pool_is_built_again(private: PrivateEngine, sandbox: DockerSandbox) -> None:
    name, before = sandbox.image.name, sandbox.containers
    with contextlib.closing(private.client()) as client:
        client.images.remove(name, force=True)
        assert client.images.list(name) == []
        assert sandbox.run(ADD, ["1 2"])[0].output == "3\n", "those that are up go on"
        for container in before:
            client.containers.get(container).kill()
        assert sandbox.run(ADD, ["3 4"])[0].output == "7\n"
        assert len(client.images.list(name)) == 1


def test_an_image_of_ones_own_that_was_removed_is_an_error_that_names_it(
    private: PrivateEngine, sandbox: DockerSandbox
) -> None:
    with contextlib.closing(private.client()) as client:
        client.images.get(sandbox.image.name).tag("mine", "1")
        with make_sandbox("docker", workers=1, image="mine:1") as own:
            assert isinstance(own, DockerSandbox)
            assert own.run(ADD, ["1 2"])[0].output == "3\n"
            client.images.remove("mine:1", force=True)
            client.containers.get(own.containers[0]).kill()
            with pytest.raises(SandboxUnavailableError, match="mine:1"):
                own.run(ADD, ["1 2"])
            client.images.get(sandbox.image.name).tag("mine", "1")
            assert own.run(ADD, ["1 2"])[0].output == "3\n"


def test_a_sandbox_closes_and_an_error_is_clear_when_the_engine_is_gone(
    private: PrivateEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", private.address)
    with make_sandbox("docker", workers=2) as sandbox:
        assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
        private.stop()
        with pytest.raises(SandboxError, match="could not be started"):
            sandbox.run(ADD, ["1 2"])
        with pytest.raises(SandboxUnavailableError, match="no Docker engine answers"):
            make_sandbox("docker")
    private.start()
