"""The bubblewrap back end itself: its life cycle, its limits without control groups, ordinary users, its filter."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import pickle
import platform
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from test_bubblewrap_same import ADD, below

import mars2_env
from mars2_env.errors import ConfigError, SandboxError, SandboxUnavailableError
from mars2_env.sandbox import BubblewrapSandbox, check, make_sandbox
from mars2_env.sandbox import bubblewrap as back_end
from mars2_env.sandbox.filter import compile_profile, compiled_filter
from mars2_env.sandbox.owner import Owner
from mars2_env.types import Call, Limits

SLOW = "import time\ntime.sleep(1.0)\nprint(input())"


def gone(pid: int) -> bool:
    """Whether there is no such process; one that nobody has waited for yet does not run any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until_gone(pids: set[int]) -> None:
    deadline = time.monotonic() + 120  # a bound for what hangs, not a measure of speed
    while not all(map(gone, pids)):
        assert time.monotonic() < deadline, f"still there: {[pid for pid in pids if not gone(pid)]}"
        os.sched_yield()


@pytest.fixture
def sandbox(bubblewrap: None) -> Iterator[BubblewrapSandbox]:
    with make_sandbox("bubblewrap", workers=1) as made:
        assert isinstance(made, BubblewrapSandbox)
        yield made


@pytest.fixture(scope="module")
def ungrouped(bubblewrap: None) -> Iterator[BubblewrapSandbox]:
    """A sandbox whose worker has no control group, as where none is delegated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(back_end, "own_groups", lambda: (1, {}))
        with make_sandbox("bubblewrap", workers=1) as made:
            assert isinstance(made, BubblewrapSandbox)
            assert made.describe()["measured by"].startswith("sums over /proc")
            yield made


# Life cycle


def test_a_worker_killed_in_the_middle_of_a_run_is_replaced_and_the_job_done(sandbox: BubblewrapSandbox) -> None:
    assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
    killed = sandbox.supervisors[0]
    stream = sandbox.stream("import time\nif input() == 'wait': time.sleep(1)\nprint(1)", ["\n", "wait\n", "\n"])
    assert next(stream).output == "1\n"
    with ThreadPoolExecutor() as threads:
        second = threads.submit(next, stream)
        os.kill(killed, signal.SIGKILL)
        assert second.result().output == "1\n"
    assert next(stream).output == "1\n"
    assert sandbox.supervisors != (killed,)
    wait_until_gone({killed})


def test_an_idle_worker_that_was_killed_costs_the_next_job_nothing(sandbox: BubblewrapSandbox) -> None:
    for _ in range(2):
        assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
        os.kill(sandbox.supervisors[0], signal.SIGKILL)


def test_a_stopped_worker_is_found_out_and_replaced(
    sandbox: BubblewrapSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mars2_env.sandbox.jobs.HUNG_SECONDS", 0.5)
    assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
    stopped = sandbox.supervisors[0]
    os.kill(stopped, signal.SIGSTOP)
    assert sandbox.run(ADD, ["1 2"], limits=Limits(cpu_seconds=0.5, wall_seconds=1))[0].output == "3\n"
    assert stopped not in sandbox.supervisors


def test_workers_are_replaced_after_so_many_runs(bubblewrap: None) -> None:
    with make_sandbox("bubblewrap", workers=1, recycle_after=5) as sandbox:
        assert isinstance(sandbox, BubblewrapSandbox)
        seen = set()
        while len(seen) < 3:
            assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
            seen.update(sandbox.supervisors)


def groups() -> set[Path]:
    """Control groups of this process's workers."""
    label = str(Owner.this()).replace("/", ".")
    return {path for home in back_end.own_groups()[1].values() for path in home.glob(f"*{label}*")}


def test_close_leaves_no_process_and_no_control_group_and_refuses_what_comes(bubblewrap: None) -> None:
    before = groups()
    sandbox = make_sandbox("bubblewrap", workers=2)
    assert isinstance(sandbox, BubblewrapSandbox)
    stream = sandbox.stream("import os\nos.fork() or __import__('time').sleep(60)\nprint(1)", ["1", "2"])
    assert next(stream).output == "1\n"
    processes = set().union(*map(below, sandbox.supervisors))
    assert len(processes) >= 2
    sandbox.close()
    sandbox.close()
    assert all(map(gone, processes)), "close waits until they are gone"
    assert groups() == before
    with pytest.raises(SandboxError):
        next(stream)
    with pytest.raises(SandboxError, match="closed"):
        sandbox.run(ADD, ["1 2"])


_OWNER = """
import sys
from mars2_env.sandbox import make_sandbox
sandbox = make_sandbox("bubblewrap", workers=1)
print(sandbox.run("print(1)", [""])[0].output.strip(), *sandbox.supervisors, flush=True)
for run in sandbox.stream("import time\\nprint(1)\\nif input(): time.sleep(20)", ["\\n", "x\\n"]):
    print("going", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_owner_that_dies_in_the_middle_of_a_run_leaves_no_process(bubblewrap: None, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        assert owner.stdout is not None
        output, pid = owner.stdout.readline().split()
        assert output == "1" and owner.stdout.readline() == "going\n"
        processes = below(int(pid))
        owner.send_signal(number)
        owner.wait(20)
    wait_until_gone(processes)


def test_control_groups_of_the_dead_are_removed_and_no_others() -> None:
    homes = back_end.own_groups()[1]
    if not homes or not all(os.access(home, os.W_OK) for home in homes.values()):
        pytest.skip("needs control groups that this user may make")
    here = Owner.this()
    owners = {"dead": Owner(here.pid, "1", here.boot, here.namespace), "alive": here}
    for home in homes.values():
        made = {name: home / f"mars2-sandbox.{str(owner).replace('/', '.')}.{name}" for name, owner in owners.items()}
        for folder in made.values():
            folder.mkdir()
        try:
            back_end.remove_groups_of_the_dead()
            assert [name for name, folder in made.items() if folder.exists()] == ["alive"]
        finally:
            for folder in made.values():
                with contextlib.suppress(OSError):
                    folder.rmdir()


def test_a_pickled_sandbox_opens_again_elsewhere(sandbox: BubblewrapSandbox) -> None:
    with pickle.loads(pickle.dumps(sandbox)) as again:
        assert again.run(ADD, ["1 2"])[0].output == "3\n"
        assert again.supervisors != sandbox.supervisors
        assert again.identity == sandbox.identity


def test_async_twins_share_few_workers(sandbox: BubblewrapSandbox) -> None:
    async def main() -> None:
        tasks = [sandbox.arun(ADD, [f"{n} {k}" for k in range(3)]) for n in range(10)]
        for n, runs in enumerate(await asyncio.gather(*tasks)):
            assert [run.output for run in runs] == [f"{n + k}\n" for k in range(3)]

    asyncio.run(main())


def test_identity_names_back_end_python_files_and_isolation(sandbox: BubblewrapSandbox) -> None:
    kind, python, digest, isolation = sandbox.identity.split(":")
    assert (kind, python, isolation) == ("bubblewrap", f"python{platform.python_version()}", "isolation=program")
    assert len(digest) == 12 and int(digest, 16) >= 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "workers=0"),
        ({"isolation": "none"}, "isolation='none'"),
        ({"recycle_after": 0}, "recycle_after=0"),
        ({"memory_bytes": 1}, "memory_bytes=1"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_sandbox("bubblewrap", **options)


# Which back end


def test_auto_takes_bubblewrap_where_no_engine_answers(bubblewrap: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///none/such.sock")
    with make_sandbox("auto", workers=1) as sandbox:
        assert isinstance(sandbox, BubblewrapSandbox)
        assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"


def test_a_bubblewrap_that_does_not_work_is_refused_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(back_end.shutil, "which", lambda name: str(broken))
    monkeypatch.setenv("DOCKER_HOST", "unix:///none/such.sock")
    monkeypatch.setattr(back_end, "_unused_user", lambda: 0)  # who may enter the test's folder
    with pytest.raises(SandboxUnavailableError, match=r"make engine[\s\S]*No permissions[\s\S]*userns_clone"):
        make_sandbox("auto", workers=1)


# Without control groups


def test_every_probe_ends_as_it_must_with_and_without_control_groups(
    ungrouped: BubblewrapSandbox, sandbox: BubblewrapSandbox
) -> None:
    from mars2_env.sandbox.check import check_sandbox

    for one in (ungrouped, sandbox):
        report = check_sandbox(one)
        assert report.ok, str(report)


LIMITS = Limits(cpu_seconds=0.4, wall_seconds=8, memory_bytes=200 * 2**20, output_bytes=10_000, processes=16)


@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "import threading\nfor _ in range(4): threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()",
        "import os\nfor _ in range(4):\n    if os.fork() == 0:\n        while True: pass\nimport time; time.sleep(100)",
        # Reaped by nobody who would tell, and reaped by a parent.
        "import os, signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nwhile True:\n"
        "    try:\n        if os.fork() == 0:\n            sum(range(10**6)); os._exit(0)\n    except OSError: pass",
        "import os\nwhile True:\n    if os.fork() == 0:\n        sum(range(10**6)); os._exit(0)\n    os.wait()",
    ],
)
def test_cpu_time_is_summed_over_processes_without_control_groups(ungrouped: BubblewrapSandbox, program: str) -> None:
    result = ungrouped.run(program, [""], limits=LIMITS)[0]
    assert result.status == "time_limit"
    assert 0.4 < result.cpu_seconds < 1.5 and result.wall_seconds < 8
    assert ungrouped.run(ADD, ["1 2"])[0].output == "3\n"


def test_cpu_time_of_children_is_counted_once_without_control_groups(ungrouped: BubblewrapSandbox) -> None:
    program = (
        "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n        end = time.process_time() + 0.1\n"
        "        while time.process_time() < end: pass\n        os._exit(0)\n    os.wait()\nprint(1)"
    )
    result = ungrouped.run(program, [""], limits=Limits(cpu_seconds=2))[0]
    assert result.status == "ok" and 0.35 < result.cpu_seconds < 0.7


@pytest.mark.parametrize(
    "program",
    [
        "x = bytearray(10**9)",
        "x = []\nwhile True: x.append(bytearray(10**6))",
        "import os, time\nfor _ in range(5):\n    if os.fork() == 0: break\nx = bytearray(60 * 10**6)\ntime.sleep(60)",
    ],
)
def test_memory_is_summed_over_processes_without_control_groups(ungrouped: BubblewrapSandbox, program: str) -> None:
    limits = Limits(cpu_seconds=5, wall_seconds=15, memory_bytes=200 * 2**20)
    assert ungrouped.run(program, [""], limits=limits)[0].status == "memory_limit"


def test_memory_that_processes_share_is_counted_once_without_control_groups(ungrouped: BubblewrapSandbox) -> None:
    program = (
        "import os, time\nx = bytearray(100 * 2**20)\nfor _ in range(5):\n    if os.fork() == 0:\n"
        "        time.sleep(0.2); os._exit(0)\nfor _ in range(5): os.wait()\nprint(1)"
    )
    result = ungrouped.run(program, [""], limits=Limits(memory_bytes=200 * 2**20))[0]
    assert result.status == "ok" and result.memory_bytes >= 100 * 2**20


def test_files_in_memory_are_denied_without_control_groups(ungrouped: BubblewrapSandbox) -> None:
    result = ungrouped.run("import os\nos.memfd_create('x')", [""])[0]
    assert result.error_type == "PermissionError"


# Isolation of runs


def test_a_run_sees_no_process_but_its_guard_and_its_own_and_cannot_harm_the_guard(sandbox: BubblewrapSandbox) -> None:
    program = """
import os, resource, signal
print(sorted(int(name) for name in os.listdir('/proc') if name.isdigit()))
for number in range(1, 65):
    try: os.kill(1, number)
    except OSError: pass
for name in ('mem', 'environ', 'maps', 'fd', 'fd/0', 'root', 'cwd', 'exe'):
    try: (os.listdir if name in ('fd', 'root', 'cwd') else open)('/proc/1/' + name)
    except OSError: continue
    print(name)
for path in ('/proc/self/uid_map', '/proc/self/oom_score_adj', '/proc/1/oom_score_adj'):
    try: os.write(os.open(path, os.O_WRONLY), b'0 0 1' if 'map' in path else b'-1000')
    except OSError: continue
    print(path)
"""
    workers = sandbox.supervisors
    result = sandbox.run(program, [""])[0]
    assert (result.status, result.output) == ("ok", "[1, 2]\n")
    assert sandbox.supervisors == workers or workers == ()


def test_a_run_that_ends_its_own_guard_fails_and_no_other_does(sandbox: BubblewrapSandbox) -> None:
    # All processes are one user's, so a run may set its guard's limits: that can only end the run itself.
    program = "import resource, time\nresource.prlimit(1, resource.RLIMIT_CPU, (0, 0))\ntime.sleep(0.1)\nprint(input())"
    sandbox.run(program, ["x"])
    program = "import os\n" + program.replace("time.sleep(0.1)", "os._exit(0) if os.fork() else time.sleep(9)")
    runs = sandbox.run(program, ["x", "y"])
    assert all(run.status in ("ok", "runtime_error") for run in runs)
    assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"


def test_scratch_files_are_gone_and_capped(sandbox: BubblewrapSandbox) -> None:
    leave = "import os\nopen('left', 'w').write('x')\nprint(sorted(os.listdir('.')))"
    runs = sandbox.run(leave, ["", ""])
    assert [run.output for run in runs] == ["['left', 'program.py']\n"] * 2
    fill = "n = 0\ntry:\n    while True: open(f'f{n}', 'w'); n += 1\nexcept OSError: print(n)"
    assert 4000 < int(sandbox.run(fill, [""])[0].output) <= 4096
    fill = (
        "n = 0\ntry:\n    while True:\n        with open(f'f{n}', 'wb') as f: f.write(bytes(2**20))\n"
        "        n += 1\nexcept OSError: print(n)"
    )
    assert int(sandbox.run(fill, [""])[0].output) <= 64


def test_files_of_the_host_are_not_there(sandbox: BubblewrapSandbox) -> None:
    program = (
        "import os\nprint(*sorted(os.listdir('/')))\nprint(*sorted(os.listdir('/etc')))\nprint(*os.listdir('/tmp'))"
    )
    top, etc, tmp = sandbox.run(program, [""])[0].output.split("\n")[:3]
    assert not {"root", "home", "var", "opt", "srv", "mnt"} & set(top.split())
    assert etc == "group passwd" and tmp == ""


# An ordinary user


_AS_USER = """
import sys
from mars2_env.sandbox import check
from mars2_env.sandbox.bubblewrap import BubblewrapSandbox
import os
assert os.getuid() != 0
report = check("bubblewrap")
print(report)
sys.exit(0 if report.ok else 1)
"""


def test_it_works_as_an_ordinary_user(bubblewrap: None) -> None:
    if os.geteuid() != 0:
        pytest.skip("this user is an ordinary one: every test here has shown it")
    # This Python may be where only root can go, so the user gets a copy of it: the unpacked root folder is one.
    root = Path(back_end.unpack().name)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        packages = folder / "packages"
        shutil.copytree(Path(mars2_env.__file__).parent, packages / "mars2_env")
        (packages / "mars2_env" / "__init__.py").write_text("")  # the sandbox alone needs no other package
        libraries = folder / "libraries"
        libraries.mkdir()
        for library in root.glob("**/libpython*.so*"):
            shutil.copy(library, libraries)
        home = folder / "home"
        home.mkdir()
        shutil.chown(home, 65534, 65534)
        folder.chmod(0o755)
        done = subprocess.run(
            [root / "python/bin/python3", "-c", _AS_USER],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "PYTHONPATH": str(packages),
                "LD_LIBRARY_PATH": str(libraries),
            },
            user=65534,
            group=65534,
            extra_groups=[],
            capture_output=True,
            text=True,
            cwd="/",
        )
    assert done.returncode == 0, done.stdout + done.stderr


# The filter


def test_the_filter_does_what_the_profile_says_for_each_machine() -> None:
    profile = json.loads(Path(back_end.__file__).with_name("seccomp.json").read_text())
    numbers = json.loads(Path(back_end.__file__).with_name("syscalls.json").read_text())
    for machine, arch in (("x86_64", 0xC000003E), ("aarch64", 0xC00000B7)):
        program = compile_profile(profile, numbers[machine], machine)

        def verdict(name: str, *arguments: int, arch: int = arch, program: bytes = program) -> int:
            call = numbers[machine].get(name, -1) if isinstance(name, str) else name  # noqa: B023
            return interpret(program, call, arch, arguments)

        for entry in profile["syscalls"]:
            for name in entry["names"]:
                if name in numbers[machine] and not entry.get("args"):
                    expected = 0x7FFF0000 if entry["action"] == "SCMP_ACT_ALLOW" else 0x50000 | entry["errnoRet"]
                    assert verdict(name) == expected, name
        allowed, denied = 0x7FFF0000, 0x50001
        assert [verdict("socket", family) for family in (1, 2, 10, 16, 17, 40, 2**32 + 1)] == [allowed, *[denied] * 6]
        assert verdict("clone", 0x1200011) == verdict("clone", 0x3D0F00) == allowed
        assert {verdict("clone", 1 << bit) for bit in (17, 25, 26, 27, 28, 29, 30)} == {denied}
        assert verdict("clone3") == 0x50000 | 38
        assert verdict("ioctl", 0, 0x5401) == allowed and verdict("ioctl", 0, 0x5412) == denied
        assert verdict("personality", 0xFFFFFFFF) == allowed and verdict("personality", 0x40000) == denied
        assert interpret(program, 0xFFFFFFF, arch, ()) == denied
        assert interpret(program, 0, arch ^ 1, ()) == 0x80000000
        assert interpret(program, 0x40000000, arch, ()) == denied
        without = compile_profile(profile, numbers[machine], machine, ("memfd_create",))
        assert verdict("memfd_create") == allowed and verdict("memfd_create", program=without) == denied


def interpret(program: bytes, number: int, arch: int, arguments: tuple[int, ...]) -> int:
    """Run a filter as the kernel does."""
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    at = value = 0
    while True:
        operation, yes, no, operand = struct.unpack_from("=HBBI", program, 8 * at)
        at += 1
        if operation == 0x20:
            (value,) = struct.unpack_from("=I", data, operand)
        elif operation == 0x54:
            value &= operand
        elif operation == 0x06:
            return int(operand)
        else:
            at += yes if (value == operand if operation == 0x15 else value >= operand) else no


def test_the_numbers_of_system_calls_are_this_kernels_own() -> None:
    numbers = json.loads(Path(back_end.__file__).with_name("syscalls.json").read_text())[platform.machine()]
    libc = ctypes.CDLL(None)
    assert libc.syscall(numbers["getpid"]) == os.getpid()
    assert libc.syscall(numbers["getppid"]) == os.getppid()
    assert libc.syscall(numbers["geteuid"]) == os.geteuid()
    assert len(compiled_filter()) % 8 == 0
    for machine in json.loads(Path(back_end.__file__).with_name("syscalls.json").read_text()).values():
        assert len(set(machine.values())) == len(machine), "a number belongs to one call"


def test_check_says_which_limits_are_in_force(bubblewrap: None) -> None:
    facts = check("bubblewrap").facts
    assert facts["measured by"].startswith(("control group", "sums over /proc"))
    assert ("rlimits" in facts["limited by"]) and facts["identity"].startswith("bubblewrap:")


def test_call_mode_with_a_process_for_each_input(bubblewrap: None) -> None:
    with make_sandbox("bubblewrap", workers=1, isolation="input") as sandbox:
        program = "seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)"
        assert [run.output for run in sandbox.run(program, [[1], [2], [3]], interface=Call("f"))] == [1, 1, 1]
