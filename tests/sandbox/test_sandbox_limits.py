"""Each limit of a run has a status of its own, is summed over all its processes, and touches no other run."""

from __future__ import annotations

import pytest

from mars2_env.errors import ConfigError
from mars2_env.sandbox.docker import DockerSandbox
from mars2_env.types import Call, Limits, Run

LIMITS = Limits(cpu_seconds=0.4, wall_seconds=8, memory_bytes=200 * 2**20, output_bytes=10_000, processes=16)


def run(sandbox: DockerSandbox, program: str, limits: Limits = LIMITS) -> Run:
    return sandbox.run(program, [""], limits=limits)[0]


@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "x = 7 ** 10 ** 9",
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass",
        "import threading\nfor _ in range(4): threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()",
        "import os\nfor _ in range(4):\n    if os.fork() == 0:\n        while True: pass\nimport time; time.sleep(100)",
        # Many short-lived processes, reaped by nobody who would tell.
        "import os, signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nwhile True:\n"
        "    try:\n        if os.fork() == 0:\n            sum(range(10**6)); os._exit(0)\n    except OSError: pass",
    ],
)
def test_cpu_time_is_limited_over_all_processes(clean_box: DockerSandbox, program: str) -> None:
    result = run(clean_box, program)
    assert result.status == "time_limit"
    assert 0.4 < result.cpu_seconds < 1.5
    assert result.wall_seconds < 8


def test_sleeping_is_limited_by_the_wall(clean_box: DockerSandbox) -> None:
    result = run(clean_box, "import time\ntime.sleep(60)", Limits(cpu_seconds=0.3, wall_seconds=0.5))
    assert result.status == "time_limit" and result.cpu_seconds < 0.3
    assert 0.5 <= result.wall_seconds < 1.5


def test_a_stopped_process_is_limited_by_the_wall(clean_box: DockerSandbox) -> None:
    program = "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"
    assert run(clean_box, program, Limits(cpu_seconds=0.3, wall_seconds=0.5)).status == "time_limit"


@pytest.mark.parametrize(
    "program",
    [
        "x = bytearray(10**9)",
        "x = []\nwhile True: x.append(bytearray(10**6))",
        "import mmap\nm = [mmap.mmap(-1, 10**7) for _ in range(100)]\nfor x in m:\n"
        "    for i in range(0, 10**7, 4096): x[i] = 1",
        "import os, time\nfor _ in range(5):\n    if os.fork() == 0: break\nx = bytearray(60 * 10**6)\ntime.sleep(60)",
        "import os, time\nfor i in range(40): os.write(os.memfd_create('x'), b'x' * 8 * 10**6)\ntime.sleep(60)",
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(n): return f(n + 1) + 1\nf(0)",
    ],
)
def test_memory_is_limited_over_all_processes_and_kinds(clean_box: DockerSandbox, program: str) -> None:
    # Touching so much memory takes CPU time as well, which is not what is tested.
    limits = Limits(cpu_seconds=5, wall_seconds=15, memory_bytes=200 * 2**20)
    assert run(clean_box, program, limits).status == "memory_limit"


def test_memory_within_the_limit_is_there_to_use(clean_box: DockerSandbox) -> None:
    result = run(clean_box, "x = bytearray(150 * 2**20)\nprint(len(x))")
    assert result.status == "ok" and result.memory_bytes > 150 * 2**20


def test_output_is_limited(clean_box: DockerSandbox) -> None:
    result = run(clean_box, "while True: print('x' * 100)")
    assert result.status == "output_limit" and len(result.output) <= 10_001
    assert run(clean_box, "print('x' * 9_999)").status == "ok"
    assert run(clean_box, "print('x' * 10_001)").status == "output_limit"


def test_processes_and_threads_are_limited(clean_box: DockerSandbox) -> None:
    forks = (
        "import os, time\nn = 0\ntry:\n    while True:\n        if os.fork() == 0: time.sleep(60)\n"
        "        n += 1\nexcept OSError: print(n)"
    )
    assert run(clean_box, forks).output == "15\n"
    threads = forks.replace(
        "if os.fork() == 0: time.sleep(60)", "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    )
    assert (
        run(clean_box, threads.replace("import os", "import os, threading").replace("OSError", "RuntimeError")).output
        == "15\n"
    )


@pytest.mark.parametrize("extra", ["", "os.kill(-1, 9)", "os.kill(-1, 19)", "os.setsid()"])
def test_a_fork_bomb_ends_and_leaves_nothing(clean_box: DockerSandbox, extra: str) -> None:
    # It may go on after the end of its first process, fight the clean-up with the signals it is allowed, and hide.
    bomb = f"import os\nwhile True:\n    try:\n        os.fork()\n        {extra or 'pass'}\n    except OSError: pass"
    assert run(clean_box, bomb).status in ("time_limit", "runtime_error")
    assert run(clean_box, f"import os\nprint(1, flush=True)\nif os.fork(): os._exit(0)\n{bomb}").output == "1\n"


@pytest.mark.parametrize(
    "program",
    [
        "import os\n"
        "os.makedirs('a/b/c'); open('a/b/c/f', 'w').write('x'); os.chmod('a/b', 0); os.chmod('a', 0); os.chmod('.', 0)",
        "import os\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')",
        "import os\nn = 0\ntry:\n    while True: n += 1; open(f'f{n}', 'w')\nexcept OSError: pass",
        "for n in range(100):\n    try: open(f'f{n}', 'wb').write(b'x' * 4 * 2**20)\n    except OSError: break",
        "import os\n"
        "os.symlink('/', 'a'); os.symlink('/proc/1/root', 'b'); os.mkfifo('c'); os.link('c', 'd'); os.mkdir('e')\n"
        "os.symlink('..', 'e/f')",
        "import os\nfor n in range(1, 256): open(bytes([n]) * 200 if n != 47 else b'x', 'w')",
        "import socket\n"
        "s = socket.socket(socket.AF_UNIX); s.bind('here'); t = socket.socket(socket.AF_UNIX); t.bind('\\0there')",
    ],
)
def test_whatever_is_left_in_the_scratch_folder_is_wiped(clean_box: DockerSandbox, program: str) -> None:
    assert run(clean_box, program, Limits()).status == "ok"


def test_a_program_that_hits_a_limit_decides_no_other_input(clean_box: DockerSandbox) -> None:
    program = "if input() == 'spin':\n    while True: pass\nprint('fine')"
    runs = clean_box.run(program, ["\n", "spin\n", "\n"], limits=LIMITS)
    assert [result.status for result in runs] == ["ok", "time_limit", "ok"]
    program = "def f(spin):\n    while spin: pass\n    return 'fine'"
    runs = clean_box.run(program, [[0], [1], [0]], interface=Call("f"), limits=LIMITS)
    assert [result.status for result in runs] == ["ok", "time_limit", "ok"]


def test_cpu_time_is_counted_for_each_call(clean_box: DockerSandbox) -> None:
    program = (
        "import time\ndef f():\n    end = time.process_time() + 0.25\n"
        "    while time.process_time() < end: pass\n    return 1"
    )
    runs = clean_box.run(program, [[]] * 4, interface=Call("f"), limits=LIMITS)
    assert [result.status for result in runs] == ["ok"] * 4
    assert all(0.2 < result.cpu_seconds < 0.4 for result in runs)


def test_limits_that_a_container_cannot_grant_are_refused(clean_box: DockerSandbox) -> None:
    with pytest.raises(ConfigError, match="memory_bytes"):
        clean_box.run("print(1)", [""], limits=Limits(memory_bytes=2**31))
    with pytest.raises(ConfigError, match="processes"):
        clean_box.run("print(1)", [""], limits=Limits(processes=1000))
