"""What the sandbox's tests share: one container that must stay the same and clean, and a look inside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from mars2_env.sandbox import make_sandbox
from mars2_env.sandbox.docker import DockerSandbox
from mars2_env.sandbox.image import PYTHON

ADD = "a, b = map(int, input().split())\nprint(a + b)\n"

# Processes of other users than root, and every entry below /box and other places that may be writable.
_LOOK = """
import json, os
processes = []
for pid in os.listdir("/proc"):
    if pid.isdigit() and b"\\nUid:\\t0\\t" not in open(f"/proc/{pid}/status", "rb").read():
        processes.append(pid)
print(json.dumps({
    "processes": len(processes),
    "files": len(os.listdir("/box")),
    "inodes": (lambda found: found.f_files - found.f_ffree)(os.statvfs("/box")),
    "blocks": (lambda found: found.f_blocks - found.f_bfree)(os.statvfs("/box")),
    "ipc": [line for name in ("msg", "sem", "shm") for line in list(open("/proc/sysvipc/" + name))[1:]],
    "sockets": len(list(open("/proc/net/unix"))),
}))
"""


@pytest.fixture(scope="session")
def engine(docker_engine: None) -> Iterator[Any]:
    """A client of the Docker engine."""
    import docker

    with closing(docker.from_env()) as client:
        yield client


@pytest.fixture(scope="session")
def one_worker(docker_engine: None) -> Iterator[DockerSandbox]:
    """A sandbox with one container, for tests that look into it afterwards."""
    with make_sandbox("docker", workers=1) as sandbox:
        assert isinstance(sandbox, DockerSandbox)
        yield sandbox


@pytest.fixture(scope="session")
def look_inside(engine: Any) -> Callable[[str], dict[str, Any]]:
    """Return a function that says what is in a container: processes, files, IPC objects and sockets."""

    def look(name: str) -> dict[str, Any]:
        container = engine.containers.get(name)
        for _ in range(3):  # a busy engine has been seen to answer with status 0 and to lose the output
            code, output = container.exec_run([PYTHON, "-S", "-E", "-c", _LOOK])
            assert code == 0, output
            if output:
                break
        found: dict[str, Any] = json.loads(output)
        return found

    return look


@pytest.fixture
def clean_box(one_worker: DockerSandbox, look_inside: Callable[[str], dict[str, Any]]) -> Iterator[DockerSandbox]:
    """The sandbox with one container; whatever the test ran, the container must be the same and as clean afterwards."""
    assert one_worker.run(ADD, ["1 1"])[0].output == "2\n"
    names = one_worker.containers
    before = look_inside(names[0])
    yield one_worker
    runs = one_worker.run(ADD, ["20 22", "1 2"])
    assert [run.output for run in runs] == ["42\n", "3\n"]
    assert one_worker.containers == names, "the container was lost"
    assert look_inside(names[0]) == before


@pytest.fixture(scope="session")
def bubblewrap() -> None:
    """Bubblewrap, and a kernel that lets an ordinary user make user namespaces; else the test is skipped."""
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap (Debian and Ubuntu: apt-get install bubblewrap)")
    user: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    tried = subprocess.run(
        ["bwrap", "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"],
        capture_output=True,
        text=True,
        cwd="/",
        **user,
    )
    if tried.returncode != 0:
        pytest.skip(f"needs a kernel that lets an ordinary user make user namespaces: {tried.stderr.strip()}")
