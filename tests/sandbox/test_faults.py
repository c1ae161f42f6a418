"""Faults, one after the other: each job ends in a right verdict or in `SandboxError`, and the pool works afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import mars2_env
from mars2_env.episode import Asked, Cancelled, Ended, Failed, Told
from mars2_env.errors import SandboxError
from mars2_env.judge import Judge
from mars2_env.sandbox import Sandbox, make_sandbox
from mars2_env.sandbox.connection import Reader
from mars2_env.sandbox.docker import DockerSandbox, _Launcher
from mars2_env.sandbox.image import PYTHON
from mars2_env.types import Call, Limits

ADD = "a, b = map(int, input().split())\nprint(a + b)\n"
SLOW = "import time\ntime.sleep(1.5)\nprint(len(input()))"
MEGABYTES = 2**23

_BUSY = """
import os, sys
limits = [open(f"/proc/{name}/limits").read() for name in os.listdir("/proc") if name.isdigit()]
sys.exit(not any(line.split()[3] != "unlimited" for text in limits for line in text.splitlines() if "cpu time" in line))
"""
"""As in `test_sandbox_docker`."""

_KILL_ZYGOTE = """
import os
for name in os.listdir("/proc"):
    if name.isdigit():
        status = open(f"/proc/{name}/status").read()
        if "\\nPPid:\\t1\\n" in status and "\\nUid:\\t0\\t" in status:
            os.kill(int(name), 9)
"""
_FILL = """
import itertools
try:
    for number in itertools.count():
        open(f"FOLDER/full{number}", "x").close()
except OSError:
    pass
"""
_HOG = "kept = [bytearray(b'x' * 2**20) for _ in range(1000)]"


@pytest.fixture
def sandbox(docker_engine: None) -> Iterator[DockerSandbox]:
    """One container, which ends well: whatever a test did, the pool works afterwards."""
    with make_sandbox("docker", workers=1) as made:
        assert isinstance(made, DockerSandbox)
        assert made.run(ADD, ["1 2"])[0].output == "3\n"
        yield made
        assert [run.output for run in made.run(ADD, ["20 22", "1 1"])] == ["42\n", "2\n"]
        assert len(made.containers) == 1


def inside(engine: Any, name: str, program: str) -> int:
    """Run `program` as the container's root, beside its worker; return the exit status."""
    code: int = engine.containers.get(name).exec_run([PYTHON, "-S", "-c", program])[0]
    return code


def wait_until_busy(engine: Any, sandbox: DockerSandbox) -> str:
    """Return the name of the sandbox's container once a run is going on in it."""
    while True:
        for name in sandbox.containers:
            if inside(engine, name, _BUSY) == 0:
                return name


def gone(engine: Any, name: str) -> None:
    """Wait until a container is removed."""
    from docker.errors import NotFound

    with contextlib.suppress(NotFound):
        engine.containers.get(name).wait(condition="removed", timeout=30)


def test_a_worker_killed_in_the_middle_of_its_answer_is_replaced(
    engine: Any, sandbox: DockerSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, killed = Reader._take, list[str]()

    def cut(self: Reader, count: int) -> bytes:
        if count > MEGABYTES and not killed:  # its length has arrived; the rest does not fit into the socket
            killed.extend(sandbox.containers)
            engine.containers.get(killed[0]).kill()
        return take(self, count)

    monkeypatch.setattr(Reader, "_take", cut)
    limits = Limits(output_bytes=2 * MEGABYTES)
    runs = sandbox.run(f"print('x' * {MEGABYTES} + input())", ["a", "b"], limits=limits)
    assert [run.output == "x" * MEGABYTES + end for run, end in zip(runs, ("a\n", "b\n"), strict=True)] == [True, True]
    assert len(killed) == 1 and killed[0] not in sandbox.containers


@pytest.mark.parametrize("kind", ["docker", "auto"])
def test_a_container_that_dies_while_it_starts_is_started_again_and_costs_no_job_a_fault(
    docker_engine: None, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    accept, deaths = _Launcher._accept, [2, 3]

    def dying(self: _Launcher, listener: Any, container: Any) -> Any:
        if deaths[0]:
            deaths[0] -= 1
            container.kill()
        return accept(self, listener, container)

    monkeypatch.setattr(_Launcher, "_accept", dying)
    with make_sandbox(kind, workers=1) as sandbox:
        assert isinstance(sandbox, DockerSandbox)
        assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
    assert deaths.pop(0) == 0
    with make_sandbox("docker", workers=1) as sandbox:
        with pytest.raises(SandboxError):
            sandbox.run(ADD, ["1 2"])
        assert deaths == [0], "it is not tried without end"
        assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"


@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_a_worker_whose_zygote_is_killed_is_replaced(engine: Any, sandbox: DockerSandbox, busy: bool) -> None:
    before = sandbox.containers
    with ThreadPoolExecutor() as threads:
        if busy:
            runs = threads.submit(sandbox.run, SLOW, ["a", "bb"])
            inside(engine, wait_until_busy(engine, sandbox), _KILL_ZYGOTE)
        else:
            inside(engine, before[0], _KILL_ZYGOTE)
            runs = threads.submit(sandbox.run, SLOW, ["a", "bb"])
        assert [run.output for run in runs.result()] == ["1\n", "2\n"]
    assert sandbox.containers != before


@pytest.mark.parametrize("size", [1, MEGABYTES], ids=["in the run", "in the input"])
def test_a_container_paused_in_the_middle_of_a_job_is_replaced_and_removed(
    engine: Any, sandbox: DockerSandbox, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("mars2_env.sandbox.jobs.HUNG_SECONDS", 0.5)
    monkeypatch.setattr("mars2_env.sandbox.jobs.most_seconds", lambda wall_seconds: 0.0)
    name = sandbox.containers[0]
    limits = Limits(cpu_seconds=1, wall_seconds=3)
    with ThreadPoolExecutor() as threads:
        stream = sandbox.stream(SLOW, ["ab", "x" * size], limits=limits)
        assert next(stream).output == "2\n"
        if size == 1:
            runs = threads.submit(list, stream)
            wait_until_busy(engine, sandbox)
            engine.containers.get(name).pause()
        else:
            engine.containers.get(name).pause()  # now the input does not fit into the socket
            runs = threads.submit(list, stream)
        assert [run.output for run in runs.result()] == [f"{size}\n"]
    gone(engine, name)


def test_a_container_that_is_paused_for_a_moment_gives_the_same_verdict(engine: Any, sandbox: DockerSandbox) -> None:
    with ThreadPoolExecutor() as threads:
        runs = threads.submit(sandbox.run, SLOW, ["ab"])
        container = engine.containers.get(wait_until_busy(engine, sandbox))
        container.pause()
        container.unpause()
        assert runs.result()[0].output == "2\n"
    assert sandbox.containers == (container.id[:12],)


def test_a_container_whose_supervisor_the_kernel_kills_for_memory_is_replaced(engine: Any) -> None:
    limits, began = Limits(memory_bytes=2**26), time.time()
    with make_sandbox("docker", workers=1, memory_bytes=2**29) as sandbox:
        assert isinstance(sandbox, DockerSandbox)
        stream = sandbox.stream(ADD, ["1 2", "3 4"], limits=limits)
        assert next(stream).output == "3\n"
        name = sandbox.containers[0]
        score = Path(f"/proc/{engine.api.inspect_container(name)['State']['Pid']}/oom_score_adj")
        if not os.access(score, os.W_OK):
            pytest.skip("needs to be root, in the engine's pid namespace, to make the kernel choose the supervisor")
        score.write_text("1000")
        assert inside(engine, name, _HOG) != 0
        assert [run.output for run in stream] == ["7\n"]
        found = engine.events(since=began, until=time.time() + 1, decode=True, filters={"container": name})
        assert "oom" in {event["Action"] for event in found}
        assert sandbox.run(ADD, ["1 2"], limits=limits)[0].output == "3\n" and name not in sandbox.containers


_JUNK = """
import os, random, struct, sys
def junk():
    draw = random.Random(SEED)
    frames = [b"BEGUN", b"D", b"V42", b"K", b"F", b"X", b"S"]
    frames += [struct.pack("!I", len(text)) + text for text in tuple(frames)]
    frames += [struct.pack("!IcB", 6 + len(text), kind, 1) + struct.pack("!I", len(text)) + text
               for kind in (b"D", b"K", b"F", b"R") for text in (b"{}", b"[]", b"\\xff" * 9)]
    frames += [draw.randbytes(draw.choice((1, 4, 5, 100, 5000))) for _ in range(20)]
    draw.shuffle(frames)
    places = [int(name) for name in os.listdir("/proc/self/fd")]
    for who in ("1", str(os.getppid()), *os.listdir("/proc")):
        try:
            places += [f"/proc/{who}/fd/{name}" for name in os.listdir(f"/proc/{who}/fd")]
        except OSError:
            pass
    places += ["/run/mars2/socket", "/dev/fd/3", "/dev/fd/4"]
    for place in places:
        for frame in frames:
            try:
                fd = place if isinstance(place, int) else os.open(place, os.O_WRONLY | os.O_NONBLOCK)
                os.write(fd, frame)
            except OSError:
                break
"""


@pytest.mark.parametrize("seed", range(4))
def test_junk_on_every_descriptor_decides_nothing_but_the_runs_own_verdict(clean_box: DockerSandbox, seed: int) -> None:
    head = _JUNK.replace("SEED", str(seed))
    before_end = head + "junk()\nprint('right')"
    from_child = head + "if os.fork() == 0:\n    junk()\n    os._exit(0)\nos.wait()\nprint('right')"
    for program in (before_end, from_child):
        assert all("right" not in (run.output or "").splitlines()[:1] for run in clean_box.run(program, ["", ""]))
        assert clean_box.run(ADD, ["1 2"])[0].output == "3\n"
    called = head + "def f(x):\n    junk()\n    return 'right'\n"
    child = (
        head
        + "def f(x):\n    if os.fork() == 0:\n        junk()\n        os._exit(0)\n    os.wait()\n    return 'right'\n"
    )
    for program in (called, child):
        assert all(run.output != "right" for run in clean_box.run(program, [[1], [2]], interface=Call("f")))
        honest = clean_box.run("def f(x): return x", [[1], [2]], interface=Call("f"))
        assert [run.output for run in honest] == [1, 2]


def test_a_container_without_room_in_its_scratch_space_goes_on_or_is_replaced(
    engine: Any, sandbox: DockerSandbox
) -> None:
    # Each run's folder takes the place of the one before; a run that wants more than that finds none.
    assert inside(engine, sandbox.containers[0], _FILL.replace("FOLDER", "/box")) == 0
    assert [run.output for run in sandbox.run(ADD, ["1 2", "3 4"])] == ["3\n", "7\n"]
    assert sandbox.run("open('mine', 'x')", [""])[0].error_type == "OSError"
    assert [run.output for run in sandbox.run(ADD, ["1 2", "3 4"])] == ["3\n", "7\n"]


def test_a_run_that_fills_the_scratch_space_leaves_all_of_it_to_the_next(clean_box: DockerSandbox) -> None:
    bytes_full = "file = open('full', 'wb', buffering=0)\nwhile True: file.write(bytes(2**20))"
    for greedy in (_FILL.replace("FOLDER", ".") + "open('one more', 'x')", bytes_full):
        honest = "open('file', 'w').write('x' * 10**7)\nprint(len(open('file').read()))"
        assert clean_box.run(greedy, [""])[0].error_type == "OSError"
        assert clean_box.run(honest, [""])[0].output == "10000000\n"


def test_a_host_without_room_for_a_socket_is_an_error_until_there_is_some(
    sandbox: DockerSandbox, engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = sandbox.containers[0]
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        engine.containers.get(name).kill()
        with pytest.raises(SandboxError, match="could not be started"):
            sandbox.run(ADD, ["1 2"])
    assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"


def test_jobs_cancelled_with_their_event_loop_lose_no_worker(docker_engine: None) -> None:
    with make_sandbox("docker", workers=2) as sandbox:
        assert isinstance(sandbox, DockerSandbox)

        async def main(stop_after: int) -> None:
            results = Counter[str]()

            async def job(number: int) -> None:
                async for run in sandbox.astream(ADD, [f"{number} {k}" for k in range(5)]):
                    results[run.output] += 1
                    if results.total() >= stop_after:
                        raise ZeroDivisionError

            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(job(number))

        sandbox.run(ADD, ["1 2"])
        for stop_after in (1, 2, 3, 7, 30):
            with pytest.raises(ExceptionGroup):
                asyncio.run(main(stop_after))
            with ThreadPoolExecutor(2) as threads:
                streams = [sandbox.stream(ADD, ["1 2", "3 4"]) for _ in range(2)]
                assert [run.output for run in threads.map(next, streams)] == ["3\n", "3\n"]  # both workers at once
                assert [run.output for stream in streams for run in stream] == ["7\n", "7\n"]


_OWNER = """
import os, sys, time
from mars2_env.sandbox import make_sandbox
sandbox = make_sandbox("docker", workers=1)
assert sandbox.run("print(1)", [""])[0].output == "1\\n"
FORK
print(*sandbox.containers, flush=True)
for line in sys.stdin:
    print(sandbox.run("print(input())", [line])[0].output, end="", flush=True)
"""


@contextlib.contextmanager
def owner(fork: str = "") -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process that owns a sandbox and runs what it is told on it; and what it said first: its container."""
    command = [sys.executable, "-W", "ignore", "-c", _OWNER.replace("FORK", fork)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().split()
        finally:
            process.kill()


def test_orphans_of_a_killed_process_are_reaped_at_the_next_start_and_those_of_a_living_one_are_not(
    engine: Any, docker_engine: None
) -> None:
    with owner() as (killed, (orphan,)), owner() as (living, (kept,)):
        engine.containers.get(orphan).pause()  # so that its supervisor cannot see that its owner is gone
        killed.kill()
        killed.wait()
        assert engine.containers.get(orphan).status == "paused"
        with make_sandbox("docker", workers=1) as sandbox:
            assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
        gone(engine, orphan)
        assert living.stdin is not None and living.stdout is not None
        living.stdin.write("still here\n")
        living.stdin.flush()
        assert living.stdout.readline() == "still here\n"
        assert engine.containers.get(kept).status == "running"


def test_a_forked_child_keeps_no_container_of_its_killed_parent(engine: Any, docker_engine: None) -> None:
    fork = "pid = os.fork()\nif pid == 0:\n    time.sleep(600)\nprint(pid, end=' ')"
    with owner(fork) as (parent, (child, name)):
        try:
            parent.kill()
            parent.wait()
            gone(engine, name)
            os.kill(int(child), 0)  # it is still there
        finally:
            os.kill(int(child), signal.SIGKILL)


_FORKED_IN_A_JOB = """
import os, sys
from mars2_env.errors import SandboxError
from mars2_env.sandbox import make_sandbox
program = "print(input())"
with make_sandbox("docker", workers=1) as sandbox:
    stream = sandbox.stream(program, ["a", "b", "c"])
    assert next(stream).output == "a\\n"
    mine = sandbox.containers
    pid = os.fork()
    if pid == 0:
        assert sandbox.containers == ()
        assert sandbox.run(program, ["child"])[0].output == "child\\n"
        assert sandbox.containers and sandbox.containers != mine
        try:
            next(stream)
        except SandboxError as error:
            assert "fork" in str(error), error
            sys.exit(7)
        sys.exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert [run.output for run in stream] == ["b\\n", "c\\n"]
    assert sandbox.containers == mine
    pid = os.fork()
    if pid == 0:
        sys.exit(8)  # never used, it closes what it has: nothing
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 8
    assert sandbox.run(program, ["d"])[0].output == "d\\n" and sandbox.containers == mine
sandbox.close()
pid = os.fork()
if pid == 0:
    try:
        sandbox.run(program, ["e"])
    except SandboxError:
        os._exit(9)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
print("done")
"""


def test_a_fork_in_the_middle_of_a_job_leaves_the_job_to_the_parent(docker_engine: None) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORKED_IN_A_JOB], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "done\n", done.stderr


def settled_once(path: Path) -> list[mars2_env.Tree]:
    """Return the trees of a run, having checked that each turn that was asked was settled exactly once."""
    trees = mars2_env.read_log(path)
    for tree in trees:
        asked = [event.turn for event in tree.events if isinstance(event, Asked)]
        settled = Counter(event.turn for event in tree.events if isinstance(event, Told | Failed | Cancelled))
        assert settled == Counter(asked) and isinstance(tree.events[-1], Ended)
        nodes = [event.node for event in tree.events if isinstance(event, Told)]
        assert nodes == list(range(1, len(tree.nodes) + 1))
    return trees


def test_a_search_whose_containers_keep_dying_judges_each_program_once_and_right(
    engine: Any, docker_sandbox: Sandbox, tmp_path: Path
) -> None:
    with make_sandbox("docker", workers=2) as dying:
        assert isinstance(dying, DockerSandbox)
        task = mars2_env.task(sandbox=dying, budget=6, max_faults=50)
        told = 0

        def kill_all(header: Any, event: Any, trace: Any) -> None:
            nonlocal told
            told += isinstance(event, Told)
            if isinstance(event, Told) and told in (7, 14, 21, 28):
                for name in dying.containers:
                    with contextlib.suppress(Exception):
                        engine.containers.get(name).kill()

        trees = list(
            mars2_env.rollout(
                task, "noise:default", seed=3, out=tmp_path, limit=6, trees=3, batch=1, in_flight=2, observer=kill_all
            )
        )
        assert dying.run(ADD, ["1 2"])[0].output == "3\n"
    assert told == 36 and all(tree.ended == "budget" for tree in trees)
    judge = Judge(docker_sandbox)
    for tree in settled_once(tmp_path):
        problem = task.problem(tree.problem)
        for node in tree.nodes:
            if node.program is not None and node.duplicate_of is None:
                again = judge.grade(problem, node.program, tests=task.rules.tests, stop=task.rules.stop)
                assert again == node.verdict


def test_two_hundred_jobs_on_containers_that_keep_dying(engine: Any, docker_engine: None) -> None:
    with make_sandbox("docker", workers=2) as sandbox:
        assert isinstance(sandbox, DockerSandbox)
        enough = threading.Event()
        done = 0

        def job(number: int) -> str:
            nonlocal done
            try:
                return str(sandbox.run(ADD, [f"{number} 1"])[0].output)
            except SandboxError:
                return "fault"
            finally:
                done += 1
                if done % 40 == 0:
                    for name in sandbox.containers:
                        with contextlib.suppress(Exception):
                            engine.containers.get(name).kill()
                if done == 200:
                    enough.set()

        with ThreadPoolExecutor(4) as threads:
            results = list(threads.map(job, range(200)))
        assert enough.is_set()
        assert all(result in (f"{number + 1}\n", "fault") for number, result in enumerate(results))
        assert results.count("fault") < 20
        assert sandbox.run(ADD, ["1 2"])[0].output == "3\n"
