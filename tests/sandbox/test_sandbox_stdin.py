"""A program on standard input runs as `python program.py` would in a pipeline, and is told about in its own lines."""

from __future__ import annotations

import signal

import pytest

from mars2_env.sandbox.base import Sandbox
from mars2_env.types import Limits, Run


def run(sandbox: Sandbox, program: str, text: str = "", limits: Limits | None = None) -> Run:
    return sandbox.run(program, [text], limits=limits or Limits())[0]


@pytest.mark.parametrize(
    "program",
    [
        "print(input()[::-1])",
        "import sys\nprint(sys.stdin.read().strip()[::-1])",
        "import sys\nprint(sys.stdin.readline().strip()[::-1])",
        "import sys\nsys.stdout.write(sys.stdin.buffer.read().decode().strip()[::-1] + '\\n')",
        "import os\nos.write(1, os.read(0, 100).strip()[::-1] + b'\\n')",
        "print(open(0).read().strip()[::-1])",
        "import sys\nfor line in sys.stdin: print(line.strip()[::-1])",
        "import fileinput\nfor line in fileinput.input(): print(line.strip()[::-1])",
        "import sys\nclass Out:\n    def __init__(self): self.f = open(1, 'w')\nout = Out()\n"
        "out.f.write(input()[::-1] + '\\n')",
        "import atexit\natexit.register(lambda: print(text[::-1]))\ntext = input()",
        "import threading\nt = threading.Thread(target=lambda: print(input()[::-1]))\nt.start()",
        "if __name__ == '__main__':\n    print(input()[::-1])",
        "print(input()[::-1])\nexit()",
        "print(input()[::-1])\nquit(0)",
        "import io, os, sys\nsys.stdin = io.BytesIO(os.read(0, os.fstat(0).st_size or 99))\n"
        "print(sys.stdin.read().decode().strip()[::-1])",
        "import subprocess, sys\n"
        "print(subprocess.run([sys.executable, '-c', 'print(input()[::-1])'],"
        " capture_output=True, text=True).stdout, end='')",
        "import os\nos.system('read x; echo $x | { read y; echo cba; }')",
        "import tempfile\nwith tempfile.TemporaryFile('w+') as f:\n"
        "    f.write(input()); f.seek(0); print(f.read()[::-1])",
    ],
)
def test_usual_ways_to_read_and_write_work(docker_sandbox: Sandbox, program: str) -> None:
    result = run(docker_sandbox, program, "abc\n")
    assert (result.status, result.output) == ("ok", "cba\n"), result


def test_one_run_for_each_input_in_order(docker_sandbox: Sandbox) -> None:
    runs = docker_sandbox.run("print(int(input()) ** 2)", [f"{n}\n" for n in range(5)])
    assert [result.output for result in runs] == ["0\n", "1\n", "4\n", "9\n", "16\n"]
    assert docker_sandbox.run("print(1)", []) == []


def test_megabytes_flow_both_ways(docker_sandbox: Sandbox) -> None:
    text = "x" * 3_000_000
    limits = Limits(output_bytes=8_000_000)
    result = run(
        docker_sandbox,
        "import sys\nfor _ in range(2): sys.stdout.write(data := sys.stdin.read() or data)",
        text,
        limits,
    )
    assert result.status == "ok" and result.output == text * 2
    assert run(docker_sandbox, "print('ignored it')", text).output == "ignored it\n"


def test_texts_survive_and_undecodable_output_is_marked(docker_sandbox: Sandbox) -> None:
    assert run(docker_sandbox, "print(input())", "žluťoučký 🐎 \x00\n").output == "žluťoučký 🐎 \x00\n"
    assert run(docker_sandbox, "import os\nos.write(1, b'a\\xffb')").output == "a\ufffdb"


def test_each_run_has_a_process_and_folder_of_its_own(docker_sandbox: Sandbox) -> None:
    program = (
        "import os\nprint(os.getuid() > 0, os.listdir('.'), os.environ['HOME'] == os.getcwd())\n"
        "open('left', 'w').write('x')\nimport math\nmath.pi = 3\n"
    )
    runs = docker_sandbox.run(program + "print(math.pi)", [""] * 3)
    assert [result.output for result in runs] == ["True ['program.py'] True\n3\n"] * 3
    assert run(docker_sandbox, "import math\nprint(math.pi)").output == "3.141592653589793\n"


def test_our_own_code_is_not_there_to_import_or_to_walk_to(docker_sandbox: Sandbox) -> None:
    program = (
        "import sys\nf = sys._getframe(); names = set()\nwhile f.f_back:\n    f = f.f_back; names |= set(f.f_locals)\n"
        "print([n for n in sys.modules if 'mars2' in n], [n for n in names if n in ('host', 'settings', 'program')])\n"
        "try:\n    import mars2_env\nexcept ImportError:\n    print('none')\n"
    )
    assert run(docker_sandbox, program).output == "[] []\nnone\n"


def test_runs_repeat_exactly(docker_sandbox: Sandbox) -> None:
    program = "import random\nprint(hash('a'), list({'x', 'y', 'z'}), random.random(), random.sample(range(99), 5))"
    first, second = docker_sandbox.run(program, ["", ""])
    assert first == second and first.status == "ok"


def test_recursion_goes_as_deep_as_in_a_plain_interpreter(docker_sandbox: Sandbox) -> None:
    program = "def f(n): return 0 if n == 0 else 1 + f(n - 1)\nprint(f(996))"
    assert run(docker_sandbox, program).output == "996\n"
    assert run(docker_sandbox, program.replace("996", "1000")).error_type == "RecursionError"


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("import sys; sys.exit(0)", 0),
        ("import os; os._exit(0)", 0),
        ("import sys; sys.exit()", 0),
        ("raise SystemExit", 0),
    ],
)
def test_an_exit_with_status_zero_is_an_ordinary_end(docker_sandbox: Sandbox, ending: str, code: int) -> None:
    result = run(docker_sandbox, f"print(7, flush=True)\n{ending}")
    assert (result.status, result.output, result.exit_code) == ("ok", "7\n", code)


@pytest.mark.parametrize(
    ("ending", "error", "code"),
    [
        ("import sys; sys.exit(3)", "SystemExit", 3),
        ("import sys; sys.exit('no')", "SystemExit", 1),
        ("import os; os._exit(4)", "SystemExit", 4),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL", -signal.SIGKILL),
        ("import os; os.abort()", "SIGABRT", -signal.SIGABRT),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV", -signal.SIGSEGV),
        ("raise ValueError('x')", "ValueError", 1),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", 1),
        ("assert 1 == 2", "AssertionError", 1),
        ("import sys; sys.stdin = None; input()", "RuntimeError", 1),
        ("input()", "EOFError", 1),
    ],
)
def test_any_other_end_is_a_runtime_error(docker_sandbox: Sandbox, ending: str, error: str, code: int) -> None:
    result = run(docker_sandbox, f"print(7, flush=True)\n{ending}")
    assert (result.status, result.output, result.error_type, result.exit_code) == ("runtime_error", "7\n", error, code)


def test_output_that_cannot_be_written_is_an_error(docker_sandbox: Sandbox) -> None:
    assert run(docker_sandbox, "import os\nprint(3)\nos.close(1)").status == "runtime_error"


def test_a_traceback_names_the_programs_own_lines(docker_sandbox: Sandbox) -> None:
    program = "import json\n\ndef load(text):\n    return json.loads(text)\n\nprint(load('{'))\n"
    result = run(docker_sandbox, program)
    assert result.error_type == "JSONDecodeError"
    assert result.traceback == (
        "Traceback (most recent call last):\n"
        '  File "program.py", line 6, in <module>\n'
        "    print(load('{'))\n"
        '  File "program.py", line 4, in load\n'
        "    return json.loads(text)\n"
        f"JSONDecodeError: {result.error_message}"
    )
    assert "line 1 column 2" in result.error_message


def test_long_tracebacks_are_cut_in_the_middle(docker_sandbox: Sandbox) -> None:
    result = run(docker_sandbox, "def f(): f()\nf()")
    assert result.error_type == "RecursionError"
    assert "more frames" in result.traceback and result.traceback.count("\n") < 40


def test_addresses_and_scratch_paths_are_masked(docker_sandbox: Sandbox) -> None:
    program = "import os, sys\nprint(object(), file=sys.stderr)\nraise ValueError(object(), os.getcwd())"
    first, second = docker_sandbox.run(program, ["", ""])
    assert first == second
    assert "0x..." in first.error_message and "'/box'" in first.error_message and "0x..." in first.stderr


def test_hostile_exceptions_are_reported_as_far_as_they_go(docker_sandbox: Sandbox) -> None:
    program = (
        "class E(Exception):\n    def __str__(self): raise self\n"
        "    __traceback__ = property(lambda self: 1 / 0)\nraise E"
    )
    result = run(docker_sandbox, program)
    assert (result.status, result.error_type) == ("runtime_error", "E")
    assert "line 4" in result.traceback


@pytest.mark.parametrize(
    ("program", "error", "where"),
    [
        ("x = 1\nif x\n    pass\n", "SyntaxError", "line 2"),
        ("def f():\n  x = 1\n\ty = 2\n", "TabError", "line 3"),
        ("return 1", "SyntaxError", "line 1"),
        ("x = '\ud800'", "SyntaxError", ""),
        ("# coding: none-such\n", "SyntaxError", ""),
        ("a = 1\x00", "ValueError", ""),
        ("(" * 500 + ")" * 500, "SyntaxError", "line 1"),
        ("-" * 500_000 + "1", "MemoryError", ""),
    ],
)
def test_what_does_not_compile_is_a_compile_error(
    docker_sandbox: Sandbox, program: str, error: str, where: str
) -> None:
    first, second = docker_sandbox.run(program, ["", ""])
    assert first.status == second.status == "compile_error"
    if error != "MemoryError":
        assert first.error_type == error or (error == "ValueError" and first.error_type == "SyntaxError")
    assert where in first.traceback


def test_an_error_inside_code_that_a_program_compiles_is_its_own(docker_sandbox: Sandbox) -> None:
    result = run(docker_sandbox, "print(1)\neval('1 +')")
    assert (result.status, result.error_type) == ("runtime_error", "SyntaxError")


def test_standard_error_is_kept_up_to_a_cap(docker_sandbox: Sandbox) -> None:
    program = "import sys\nsys.stderr.write('first' + 'e' * 10**7 + 'last')\nprint(1)"
    result = run(docker_sandbox, program)
    assert result.status == "ok" and result.output == "1\n"
    assert result.stderr.startswith("first") and result.stderr.endswith("last") and len(result.stderr) < 40_000


def test_ordinary_programs_work_under_the_system_call_filter(docker_sandbox: Sandbox) -> None:
    program = """
import asyncio, concurrent.futures, ctypes, hashlib, multiprocessing
import os, signal, socket, sqlite3, time
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(abs, range(-9, 0))))
async def main():
    await asyncio.sleep(0.001)
    return 1
print(asyncio.run(main()))
def child(end): end.send(os.getpid() != 1); end.close()
ours, theirs = multiprocessing.Pipe()
process = multiprocessing.get_context("fork").Process(target=child, args=(theirs,)); process.start()
print(ours.recv()); process.join()
left, right = socket.socketpair(); left.send(b"x"); print(right.recv(1))
print(sqlite3.connect(":memory:").execute("select 6 * 7").fetchone())
signal.signal(signal.SIGALRM, lambda *a: print("alarm")); signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(0.05)
print(ctypes.CDLL(None).abs(-3), hashlib.sha256(b"").hexdigest()[:6], len(bytearray(200 * 10**6)))
"""
    result = run(docker_sandbox, program)
    assert result.output == "45\n1\nTrue\nb'x'\n(42,)\nalarm\n3 e3b0c4 200000000\n", result
