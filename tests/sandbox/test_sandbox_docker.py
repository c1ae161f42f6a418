"""Containers come and go as they must: replaced when they fail, gone when their owner is, and hardened throughout."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mars2_env.errors import ConfigError, SandboxError, SandboxUnavailableError
from mars2_env.sandbox import Sandbox, check, make_sandbox
from mars2_env.sandbox.connection import INPUT_BYTES
from mars2_env.sandbox.docker import OWNER_LABEL, SANDBOX_LABEL, DockerSandbox
from mars2_env.sandbox.owner import Owner
from mars2_env.types import Call, Limits

ADD = "a, b = map(int, input().split())\nprint(a + b)\n"
SLOW = "import time\ntime.sleep(1.5)\nprint(input())"

_BUSY = """
import os, sys
limits = [open(f"/proc/{name}/limits").read() for name in os.listdir("/proc") if name.isdigit()]
sys.exit(not any(line.split()[3] != "unlimited" for text in limits for line in text.splitlines() if "cpu time" in line))
"""
"""Run inside: whether a run is in progress; a process that waits for its job has no limit on its CPU time yet."""


@pytest.fixture
def sandbox(docker_engine: None) -> Iterator[DockerSandbox]:
    with make_sandbox("docker", workers=1) as made:
        assert isinstance(made, DockerSandbox)
        yield made


def up(engine: Any, owner: str | None = None) -> set[str]:
    """The ids of all sandbox containers of an owner, by default this process, in any state."""
    found = engine.api.containers(all=True, filters={"label": [f"{OWNER_LABEL}={owner or Owner.this()}"]})
    return {container["Id"][:12] for container in found}


def kill_busy_containers(engine: Any, sandbox: DockerSandbox, times: int) -> None:
    """Kill the sandbox's container in the middle of a run, and so many of its successors."""
    killed: set[str] = set()
    while len(killed) < times:
        for name in set(sandbox.containers) - killed:
            container = engine.containers.get(name)
            if container.exec_run(["/python/bin/python3", "-S", "-c", _BUSY])[0] == 0:
                container.kill()
                killed.add(name)


def test_a_container_killed_in_the_middle_of_a_run_is_replaced_and_the_job_done(
    engine: Any, sandbox: DockerSandbox
) -> None:
    assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
    before = sandbox.containers
    with ThreadPoolExecutor() as threads:
        killing = threads.submit(kill_busy_containers, engine, sandbox, 1)
        runs = sandbox.run(SLOW, ["first", "second"])
        killing.result()
    assert [run.output for run in runs] == ["first\n", "second\n"]
    assert sandbox.containers != before and len(sandbox.containers) == 1


def test_a_run_whose_container_dies_twice_is_an_error_and_never_a_verdict(engine: Any, sandbox: DockerSandbox) -> None:
    with ThreadPoolExecutor() as threads:
        killing = threads.submit(kill_busy_containers, engine, sandbox, 2)
        with pytest.raises(SandboxError, match="two sandbox workers"):
            sandbox.run(SLOW, ["x"])
        killing.result()
    assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"


def test_an_idle_container_that_was_killed_costs_the_next_job_nothing(engine: Any, sandbox: DockerSandbox) -> None:
    for _ in range(2):
        assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
        engine.containers.get(sandbox.containers[0]).kill()


def test_a_paused_container_is_found_out_and_replaced(
    engine: Any, sandbox: DockerSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mars2_env.sandbox.jobs.HUNG_SECONDS", 0.5)
    monkeypatch.setattr("mars2_env.sandbox.jobs.most_seconds", lambda wall_seconds: 0.0)
    assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
    paused = sandbox.containers[0]
    engine.containers.get(paused).pause()
    assert sandbox.run(ADD, ["1 2"], limits=Limits(cpu_seconds=0.5, wall_seconds=1))[0].output == "3\n"
    assert paused not in sandbox.containers


def test_containers_are_replaced_after_so_many_runs(docker_engine: None) -> None:
    with make_sandbox("docker", workers=1, recycle_after=5) as sandbox:
        assert isinstance(sandbox, DockerSandbox)
        names = set()
        while len(names) < 3:
            assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
            names.update(sandbox.containers)


def test_close_leaves_no_container_and_refuses_what_comes(engine: Any) -> None:
    before = up(engine)
    sandbox = make_sandbox("docker", workers=2)
    stream = sandbox.stream(ADD, ["1 2", "3 4"])
    assert next(stream).output == "3\n"
    assert len(up(engine)) > len(before)
    sandbox.close()
    sandbox.close()
    assert up(engine) == before
    with pytest.raises(SandboxError):
        next(stream)
    with pytest.raises(SandboxError, match="closed"):
        sandbox.run(ADD, ["1 2"])


def test_an_exception_and_a_forgotten_sandbox_leave_no_container(engine: Any) -> None:
    before = up(engine)
    with pytest.raises(ZeroDivisionError), make_sandbox("docker", workers=1) as sandbox:
        sandbox.run("print(1)", [""])
        _ = 1 / 0
    assert up(engine) == before
    sandbox = make_sandbox("docker", workers=1)
    sandbox.run("print(1)", [""])
    del sandbox
    assert up(engine) == before


_OWNER = """
import sys
from mars2_env.sandbox import make_sandbox
from mars2_env.sandbox.owner import Owner
sandbox = make_sandbox("docker", workers=1)
print(sandbox.run("print(1)", [""])[0].output.strip(), Owner.this(), *sandbox.containers, flush=True)
for run in sandbox.stream("import time\\nprint(1)\\nif input(): time.sleep(8)", ["\\n", "x\\n"]):
    print("going", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_owner_that_dies_in_the_middle_of_a_run_leaves_no_container(engine: Any, number: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert owner.stdout is not None
    with owner:
        output, label, name = owner.stdout.readline().split()
        assert output == "1" and owner.stdout.readline() == "going\n"
        container = engine.containers.get(name)
        owner.send_signal(number)
        owner.wait(20)
    with pytest.MonkeyPatch.context() as patch:
        from docker.errors import NotFound

        patch.setattr(engine.api, "timeout", 20)
        with contextlib.suppress(NotFound):
            container.wait(condition="removed")
    assert up(engine, label) == set()


def test_containers_of_the_dead_are_removed_at_the_next_start_and_no_others(
    engine: Any, sandbox: DockerSandbox
) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    here = Owner.this()
    owners = {
        "dead": str(Owner(int(ended.stdout), "1", here.boot, here.namespace)),
        "reborn": str(Owner(here.pid, "1", here.boot, here.namespace)),
        "alive": str(Owner(1, Owner.of(1).start, here.boot, here.namespace)),
        "elsewhere": str(Owner(int(ended.stdout), "1", here.boot, "pid:[1]")),
        "nonsense": "x",
    }
    containers = {
        name: engine.containers.create(
            sandbox.image.name, "true", labels={SANDBOX_LABEL: "worker", OWNER_LABEL: label}, network_mode="none"
        )
        for name, label in owners.items()
    }
    try:
        with make_sandbox("docker", workers=1):
            left = {
                name for name, made in containers.items() if engine.containers.list(all=True, filters={"id": made.id})
            }
        assert left == {"alive", "elsewhere", "nonsense"}
    finally:
        for made in engine.containers.list(all=True, filters={"label": SANDBOX_LABEL}, ignore_removed=True):
            if made.id in {one.id for one in containers.values()}:
                made.remove(force=True)


def test_folders_of_the_dead_are_removed_at_the_next_start_and_no_others(
    docker_engine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    here = Owner.this()
    for name, owner in (("dead", Owner(here.pid, "1", here.boot, here.namespace)), ("alive", here)):
        (tmp_path / f"mars2-sandbox-{name}" / "run").mkdir(parents=True)
        (tmp_path / f"mars2-sandbox-{name}" / "owner").write_text(str(owner))
    with make_sandbox("docker", workers=1) as sandbox:
        assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
        assert [path.name for path in tmp_path.glob("mars2-sandbox-*")] == ["mars2-sandbox-alive"]


def test_closing_a_stream_early_frees_its_worker(sandbox: DockerSandbox) -> None:
    for program, interface, inputs in ((ADD, None, ["1 2"] * 9), ("def f(): return 1", Call("f"), [[]] * 9)):
        options = {"interface": interface} if interface else {}
        stream = sandbox.stream(program, inputs, **options)
        assert next(stream).status == "ok"
        stream.close()
        for run in sandbox.stream(program, inputs, **options):
            assert run.status == "ok"
            break
    assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"


def test_many_threads_share_few_workers(docker_sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(8) as threads:
        sums = threads.map(lambda n: docker_sandbox.run(ADD, [f"{n} {k}" for k in range(5)]), range(16))
        for n, runs in enumerate(sums):
            assert [run.output for run in runs] == [f"{n + k}\n" for k in range(5)]


def test_async_twins_share_few_workers(docker_sandbox: Sandbox) -> None:
    async def main() -> None:
        tasks = [docker_sandbox.arun(ADD, [f"{n} {k}" for k in range(3)]) for n in range(40)]
        for n, runs in enumerate(await asyncio.gather(*tasks)):
            assert [run.output for run in runs] == [f"{n + k}\n" for k in range(3)]
        first = [
            run.output async for run in docker_sandbox.astream("def f(x): return x", [[1], [2]], interface=Call("f"))
        ]
        assert first == [1, 2]

    asyncio.run(main())


def test_a_cancelled_task_frees_its_worker(sandbox: DockerSandbox) -> None:
    async def main() -> None:
        running = asyncio.create_task(sandbox.arun(SLOW, ["x"] * 100))
        waiting = asyncio.create_task(sandbox.arun(ADD, ["1 2"]))
        await asyncio.sleep(0)
        assert not (await asyncio.wait([running], timeout=0.3))[0]
        waiting.cancel()
        running.cancel()
        for task in (running, waiting):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (await sandbox.arun(ADD, ["1 2"]))[0].output == "3\n"

    asyncio.run(main())
    assert len(sandbox.containers) == 1


def test_an_interrupt_while_waiting_for_a_worker_loses_none(sandbox: DockerSandbox) -> None:
    assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
    holder = sandbox.stream(ADD, ["1 2", "3 4"])
    next(holder)
    interrupt = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            sandbox.run(ADD, ["1 2"])
        interrupt.join()
    finally:
        signal.signal(signal.SIGINT, before)
    holder.close()
    assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"


def test_containers_are_hardened(engine: Any, sandbox: DockerSandbox) -> None:
    sandbox.run(ADD, ["1 2"])
    inspected = engine.api.inspect_container(sandbox.containers[0])
    host, config = inspected["HostConfig"], inspected["Config"]
    assert host["NetworkMode"] == "none" and host["IpcMode"] == "none" and host["LogConfig"]["Type"] == "none"
    assert host["ReadonlyRootfs"] and not host["Privileged"] and not config["Tty"]
    assert host["Tmpfs"] == {"/box": "rw,size=64m,nr_inodes=4096,mode=711,nosuid,nodev"}
    assert [name.upper() for name in host["CapDrop"]] == ["ALL"]
    assert {name.upper().removeprefix("CAP_") for name in host["CapAdd"]} == {"SETUID", "SETGID", "KILL", "CHOWN"}
    assert "no-new-privileges" in host["SecurityOpt"]
    assert any(option.startswith("seccomp={") and "SCMP_ACT_ERRNO" in option for option in host["SecurityOpt"])
    assert host["PidsLimit"] == 128 and host["Memory"] == host["MemorySwap"] == 2**30 + INPUT_BYTES
    assert [(mount["Destination"], mount["RW"]) for mount in inspected["Mounts"]] == [("/run/mars2", False)]
    assert not os.path.exists(inspected["Mounts"][0]["Source"]), "the folder of the socket is gone"


def test_a_runtime_that_the_engine_does_not_know_is_an_error(docker_engine: None) -> None:
    with (
        make_sandbox("docker", workers=1, runtime="none-such") as sandbox,
        pytest.raises(SandboxError, match="none-such"),
    ):
        sandbox.run(ADD, ["1 2"])


def test_identity_is_short_and_repeats(docker_sandbox: Sandbox, sandbox: DockerSandbox) -> None:
    assert docker_sandbox.identity == sandbox.identity
    version = ".".join(map(str, sys.version_info[:3]))
    assert sandbox.identity == f"docker:python{version}:{sandbox.image.digest}:isolation=program"


def test_the_self_test_passes_and_says_what_is_in_force(docker_engine: None) -> None:
    report = check("docker")
    assert report.ok, str(report)
    for words in ("docker", "seccomp", "no capabilities", "network", "Python", "control group", "cgroup"):
        assert words in str(report)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("dokcer", {}, "Did you mean 'docker'"),
        ("bubblewrap", {"runtime": "runsc"}, "unexpected keyword argument 'runtime'"),
        ("docker", {"workers": 0}, "workers=0"),
        ("docker", {"isolation": "none"}, "isolation='none'"),
        ("docker", {"recycle_after": 0}, "recycle_after=0"),
        ("docker", {"memory_bytes": 1}, "memory_bytes=1"),
        ("docker", {"colour": "red"}, "colour"),
    ],
)
def test_what_makes_no_sense_is_refused(kind: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_sandbox(kind, **options)


def test_without_an_engine_the_message_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///none/such.sock")
    monkeypatch.setenv("PATH", "/none/such")
    for kind, words in (("docker", "make engine"), ("bubblewrap", "install -y bubblewrap")):
        for asked in (kind, "auto"):
            with pytest.raises(SandboxUnavailableError, match=words):
                make_sandbox(asked)


def test_a_missing_image_is_an_error_that_names_it(docker_engine: None) -> None:
    with (
        make_sandbox("docker", workers=1, image="mars2-none-such:1") as sandbox,
        pytest.raises(SandboxUnavailableError, match="mars2-none-such:1"),
    ):
        sandbox.run(ADD, ["1 2"])


def test_the_room_is_light_to_enter() -> None:
    code = "import mars2_env.sandbox, sys; print([name for name in ('docker', 'requests') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
