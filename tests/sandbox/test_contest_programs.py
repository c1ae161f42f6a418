"""What programs do on the judges they were written for works here: how they read, recurse, end, and ask where they are.

Each row is a program with its input and the output that it has on a judge; `test_bubblewrap_same.py` runs them all on
the other back end.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from mars2_env import Call, Judge, Problem, TestCase
from mars2_env.sandbox.base import Sandbox
from mars2_env.types import Limits, Outcome

Rows = dict[str, tuple[str, str, str]]
"""Name -> program, input, output."""

ROOMY = Limits(cpu_seconds=10, wall_seconds=60)

INPUT: Rows = {
    "size": ("import os\nprint(os.read(0, os.fstat(0).st_size))", "21\n", "b'21\\n'"),
    "size by stat": ("import os\nprint(os.stat(0).st_size, os.path.getsize('/dev/stdin'))", "21\n", "3 3"),
    "no input": ("import os\nprint(os.fstat(0).st_size, os.read(0, 1))", "", "0 b''"),
    "a regular file": ("import os, stat\nprint(stat.S_ISREG(os.fstat(0).st_mode), os.isatty(0))", "", "True False"),
    "mapped": ("import mmap\nprint(mmap.mmap(0, 0, access=mmap.ACCESS_READ).readline())", "21\n", "b'21\\n'"),
    "mapped privately": ("import mmap\nm = mmap.mmap(0, 0, mmap.MAP_PRIVATE)\nm[0] = 57\nprint(m[:])", "21", "b'91'"),
    "read twice": (
        "import sys\na = sys.stdin.read()\nsys.stdin.seek(0)\nprint(a == sys.stdin.read())",
        "2\n1\n",
        "True",
    ),
    "lines twice": (
        "import sys\na = list(sys.stdin)\nsys.stdin.seek(0)\nprint(a == list(sys.stdin))",
        "2\n1\n",
        "True",
    ),
    "seek in bytes": ("import sys\nb = sys.stdin.buffer\nb.read(1)\nprint(b.tell(), b.seekable())", "21", "1 True"),
    "lseek": ("import os\nos.read(0, 1)\nos.lseek(0, 0, 0)\nprint(os.read(0, 9))", "21", "b'21'"),
    "open(0)": ("print(open(0).read())", "21", "21"),
    "array.fromfile": ("import array\na = array.array('b')\na.fromfile(open(0, 'rb'), 2)\nprint(a[0])", "21", "50"),
    "/dev/stdin": ("print(open('/dev/stdin').read(), open('/dev/stdin').read())", "21", "21 21"),
    "/dev/fd/0": ("print(open('/dev/fd/0').read())", "21", "21"),
    "/proc/self/fd/0": ("print(open('/proc/self/fd/0').read())", "21", "21"),
    "sys.stdin = open": ("import sys\nsys.stdin = open('/dev/stdin')\nprint(input())", "21", "21"),
    "fileinput": ("import fileinput\nprint(sum(map(int, fileinput.input())))", "1\n2\n", "3"),
    "poll": ("import select\np = select.poll()\np.register(0, select.POLLIN)\nprint(len(p.poll()))", "21", "1"),
    "end of file": ("input()\ntry:\n    input()\nexcept EOFError:\n    print('end')", "21\n", "end"),
    "a child reads it": ("import subprocess\nsubprocess.run(['/bin/sh', '-c', 'read x; echo $x'])", "21\n", "21"),
}

OUTPUT: Rows = {
    "sys.stdout = None": ("import sys\nprint(1)\nsys.stdout = None", "", "1"),
    "no streams at all": ("import sys\nprint(1)\nsys.stdout = sys.__stdout__ = sys.stderr = None", "", "1"),
    "del sys.stdout": ("import sys\nprint(1)\ndel sys.stdout", "", "1"),
    "closed": ("import sys\nprint(1)\nsys.stdout.close()", "", "1"),
    "descriptor closed": ("import os\nos.write(1, b'1')\nos.close(1)", "", "1"),
    "/dev/stdout": ("open('/dev/stdout', 'w').write('42')", "", "42"),
    "appended": ("open('/dev/stdout', 'a').write('42')", "", "42"),
    "/dev/fd/1": ("open('/dev/fd/1', 'w').write('42')", "", "42"),
    "/dev/stderr": ("open('/dev/stderr', 'w').write('no')\nprint(1)", "", "1"),
    "dup2 and back": (
        "import os\nkept = os.dup(1)\nnull = os.open('/dev/null', os.O_WRONLY)\nos.dup2(null, 1)\nos.write(1, b'no')\n"
        "os.dup2(kept, 1)\nprint(1)",
        "",
        "1",
    ),
    "by atexit": ("import atexit, os\natexit.register(os.write, 1, b'1')", "", "1"),
    "exit in atexit": ("import atexit, sys\natexit.register(sys.exit)\nprint(1)", "", "1"),
    "exit in a thread": ("import sys, threading\nt = threading.Thread(target=sys.exit)\nt.start()\nprint(1)", "", "1"),
    "exit(False)": ("print(1)\nexit(False)", "", "1"),
    "a daemon thread": (
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\nprint(1)",
        "",
        "1",
    ),
}

SOURCE: Rows = {
    "latin-1": ("# -*- coding: latin-1 -*-\nprint(len('é'), 'é')", "", "1 é"),
    "gbk": ("# coding: gbk\n# 中文\nprint('中')", "", "中"),
    "ascii with more in it": ("# coding=ascii\n# é\nprint(1)", "", "1"),
    "in the second line": ("#!/usr/bin/env python\n# vim: set fileencoding=cp1252 :\nprint('“')", "", "“"),
    "byte order mark": ("\ufeffprint(1)", "", "1"),
    "byte order mark and cookie": ("\ufeff# coding: cp1252\nprint('“')", "", "“"),
    "form feeds": ("\x0cimport sys\n\x0c\ndef f():\n\x0c    return 1\nprint(f())", "", "1"),
    "old line ends": ("x = 1\rif x:\r    print(x)\r", "", "1"),
    "its own file": (
        "import os\nprint(open(__file__).read(5), os.path.exists(os.path.abspath(__file__)))",
        "",
        "impor True",
    ),
    "its own source": ("import inspect\ndef f(): return 1\nprint(inspect.getsource(f))", "", "def f(): return 1"),
    "its own source elsewhere": (
        "import inspect, os\nos.mkdir('d')\nos.chdir('d')\ndef f(): return 1\nprint(inspect.getsource(f))",
        "",
        "def f(): return 1",
    ),
    "run again": (
        "import subprocess, sys\nif len(sys.argv) > 1:\n    print('child')\nelse:\n"
        "    print(subprocess.check_output([sys.executable, __file__, 'again'], text=True))",
        "",
        "child",
    ),
}

_RAISED = "import resource as r, sys\nr.setrlimit(r.RLIMIT_STACK, {})\nsys.setrecursionlimit(10**6)\n"
_DEEP = "def d(n):\n    return 0 if n == 0 else 1 + d(n - 1)\n"
_IN_THREAD = (
    "import functools, sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size({})\n"
    "@functools.lru_cache(None)\n"
    + _DEEP
    + "t = threading.Thread(target=lambda: print(d(40000)))\nt.start()\nt.join()\n"
)
STACK: Rows = {
    limits: (_RAISED.format(limits) + _DEEP + "print(d(20000))", "", "20000")
    for limits in ("(-1, -1)", "(2**29, -1)", "(2**29, r.RLIM_INFINITY)", "(2**29, 2**30)", "(2**31, 2**31)")
} | {f"thread of {size}": (_IN_THREAD.format(size), "", "40000") for size in ("2**27", "2**29", "10**9", "2**30")}

PLACE: Rows = {
    "zoneinfo": (
        "from zoneinfo import ZoneInfo\nfrom datetime import datetime\n"
        "print(datetime(2020, 7, 1, tzinfo=ZoneInfo('America/New_York')).utcoffset())",
        "",
        "-1 day, 20:00:00",
    ),
    "TZ": ("import os, time\nos.environ['TZ'] = 'Asia/Tokyo'\ntime.tzset()\nprint(time.tzname[0])", "", "JST"),
    "locale": ("import locale\nprint(locale.setlocale(locale.LC_ALL, ''))", "", "C.UTF-8"),
    "getuser": ("import getpass\nprint(getpass.getuser())", "", "candidate"),
    "pwd": (
        "import os, pwd\np = pwd.getpwuid(os.getuid())\nprint(p.pw_name, p.pw_dir == os.getcwd())",
        "",
        "candidate True",
    ),
    "grp": ("import grp, os\nprint(grp.getgrgid(os.getgid()).gr_name)", "", "candidate"),
    "owner of a file": (
        "from pathlib import Path\np = Path('f')\np.touch()\nprint(p.owner(), p.group())",
        "",
        "candidate candidate",
    ),
    "home": (
        "import os\nprint(os.path.expanduser('~') == os.path.expanduser('~candidate') == os.getcwd())",
        "",
        "True",
    ),
    "cores": ("import multiprocessing, os\nprint(os.cpu_count(), multiprocessing.cpu_count())", "", "2 2"),
    "temporary files": ("import tempfile\nwith tempfile.TemporaryFile() as f:\n    print(f.write(b'12'))", "", "2"),
    "a shell": ("import os\nos.system('echo 5')", "", "5"),
    "the same Python": (
        "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', '']).returncode)",
        "",
        "0",
    ),
    "thread pool": ("from multiprocessing.pool import ThreadPool\nprint(sum(ThreadPool().map(int, '12')))", "", "3"),
    "process pool": (
        "from multiprocessing import Pool\nif __name__ == '__main__':\n"
        "    with Pool() as p:\n        print(p.map(int, '12'))",
        "",
        "[1, 2]",
    ),
    "process pool executor": (
        "from concurrent.futures import ProcessPoolExecutor as Pool\nif __name__ == '__main__':\n"
        "    with Pool(2) as p:\n        print(list(p.map(int, '12')))",
        "",
        "[1, 2]",
    ),
    "spawned processes": (
        "import multiprocessing\ndef f(x):\n    return 2 * x\nif __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as p:\n        print(p.map(f, [1, 2]))",
        "",
        "[2, 4]",
    ),
    "lock, queue and value": (
        "import multiprocessing as m\ndef f(q, v):\n    with v.get_lock():\n        v.value += 1\n    q.put(v.value)\n"
        "q, v = m.Queue(), m.Value('i', 1)\np = m.Process(target=f, args=(q, v))\np.start()\nprint(q.get())\np.join()",
        "",
        "2",
    ),
    "shared memory": (
        "from multiprocessing.shared_memory import SharedMemory\nm = SharedMemory(create=True, size=9)\nm.buf[0] = 5\n"
        "n = SharedMemory(m.name)\nprint(n.buf[0])\nn.close()\nm.close()\nm.unlink()",
        "",
        "5",
    ),
    "asyncio": (
        "import asyncio\nasync def f():\n    return await asyncio.to_thread(input)\nprint(asyncio.run(f()))",
        "21",
        "21",
    ),
}


@pytest.mark.parametrize(
    ("program", "text", "output"),
    [
        pytest.param(*row, id=f"{kind}: {name}")
        for kind, rows in (
            ("input", INPUT),
            ("output", OUTPUT),
            ("source", SOURCE),
            ("stack", STACK),
            ("place", PLACE),
        )
        for name, row in rows.items()
    ],
)
def test_a_program_does_what_it_does_on_a_judge(docker_sandbox: Sandbox, program: str, text: str, output: str) -> None:
    run = docker_sandbox.run(program, [text], limits=ROOMY)[0]
    assert (run.status, run.output.split()) == ("ok", output.split()), run


@pytest.mark.parametrize("program", ["print(1)\0", "x = 1\0\nprint(x)", "print(1\n", "print('\ud800')"])
def test_what_is_no_source_is_a_compile_error(docker_sandbox: Sandbox, program: str) -> None:
    assert docker_sandbox.run(program, [""])[0].status == "compile_error"


def test_standard_input_can_neither_be_changed_nor_carried_to_another_run(clean_box: Sandbox) -> None:
    attempts = (
        "import fcntl, mmap, os\n"
        "def attempt(act):\n"
        "    try:\n        act()\n    except (OSError, ValueError):\n        return\n    print('done')\n"
        "def reopen(path):\n"
        "    try:\n        os.chmod(path, 0o666)\n    except OSError:\n        pass\n"
        "    os.write(os.open(path, os.O_RDWR), b'x')\n"
        "attempt(lambda: os.write(0, b'x'))\n"
        "attempt(lambda: os.truncate('/proc/self/fd/0', 0))\n"
        "attempt(lambda: os.ftruncate(os.open('/dev/stdin', os.O_RDWR), 9))\n"
        "attempt(lambda: reopen('/dev/stdin'))\n"
        "attempt(lambda: reopen('/proc/self/fd/0'))\n"
        "attempt(lambda: mmap.mmap(0, 0))\n"
        "attempt(lambda: os.setxattr('/proc/self/fd/0', 'user.note', b'x'))\n"
        "print(os.fstat(0).st_nlink, open('/dev/stdin').read())"
    )
    for text in ("21", "22"):
        assert clean_box.run(attempts, [text])[0].output.split() == ["0", text]


def test_large_inputs_are_mapped_and_read_whole_and_are_no_memory_of_the_run(docker_sandbox: Sandbox) -> None:
    text = "7 " * (40 * 2**19)
    program = "import mmap\nm = mmap.mmap(0, 0, access=mmap.ACCESS_READ)\nprint(len(m), m[-2:])"
    limits = Limits(cpu_seconds=5, wall_seconds=60, memory_bytes=64 * 2**20)
    for _ in range(3):
        run = docker_sandbox.run(program, [text], limits=limits)[0]
        assert (run.status, run.output) == ("ok", f"{len(text)} b'7 '\n"), run


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(_IN_THREAD.format("2**33"), id="a stack beyond everything"),
        pytest.param("import threading\nthreading.Thread(target=lambda: [0] * 10**10).start()", id="in a thread"),
        pytest.param(
            "from concurrent.futures import ThreadPoolExecutor\n"
            "print(ThreadPoolExecutor().submit(lambda: [0] * 10**10).result())",
            id="in a future",
        ),
        pytest.param(
            "import asyncio\nasync def fill():\n    return [0] * 10**10\n"
            "async def main():\n    async with asyncio.TaskGroup() as group:\n        group.create_task(fill())\n"
            "asyncio.run(main())",
            id="in a group of tasks",
        ),
        pytest.param("import mmap\nmmap.mmap(-1, 2**36)", id="mapped"),
        pytest.param(
            "import threading\ndef fill():\n    kept = []\n    while True:\n        kept.append('x' * 10**6)\n"
            "t = threading.Thread(target=fill)\nt.start()\nt.join()",
            id="bit by bit in a thread",
        ),
    ],
)
def test_want_of_memory_is_told_as_such_wherever_it_shows(docker_sandbox: Sandbox, program: str) -> None:
    run = docker_sandbox.run(program, [""], limits=ROOMY)[0]
    assert run.status == "memory_limit" and run.wall_seconds < ROOMY.wall_seconds, run


def test_want_of_memory_that_the_program_deals_with_is_its_own_affair(docker_sandbox: Sandbox) -> None:
    program = "try:\n    [0] * 10**11\nexcept MemoryError:\n    print('less, then')"
    assert docker_sandbox.run(program, [""])[0].output == "less, then\n"


def test_too_many_threads_are_an_error_of_the_program(docker_sandbox: Sandbox) -> None:
    program = (
        "import threading\nwait = threading.Event().wait\n"
        "for _ in range(99):\n    threading.Thread(target=wait, daemon=True).start()"
    )
    run = docker_sandbox.run(program, [""], limits=Limits(processes=8))[0]
    assert (run.status, run.error_type) == ("runtime_error", "RuntimeError"), run


# Numbers

LONG = 7**120_000
LONG_TEXT = "".join(
    str(part).rjust(4000, "0") for part in reversed([LONG // 10 ** (4000 * k) % 10**4000 for k in range(26)])
).lstrip("0")


def outcome(sandbox: Sandbox, program: str, value: Any, wanted: Any) -> Outcome:
    stdin = isinstance(value, str)
    problem = Problem(
        "contest/long",
        "Say it.",
        **({} if stdin else {"interface": Call("f")}),
        public=(TestCase(value, wanted),),
    )
    return Judge(sandbox).grade(problem, program).outcome


@pytest.mark.parametrize(
    ("program", "value", "wanted", "expected"),
    [
        ("print(7**int(input()))", "120000", LONG_TEXT, "passed"),
        ("print(f'{int(input())}')", LONG_TEXT, LONG_TEXT, "passed"),
        ("print(int(input()) + 1)", LONG_TEXT, LONG_TEXT, "wrong_answer"),
        ("def f(n): return 7**n", [120_000], LONG, "passed"),
        ("def f(n): return n == 7**120000", [LONG], True, "passed"),
        ("def f(n): return -n", [LONG], -LONG, "passed"),
        ("def f(n): return str(n)", [LONG], LONG_TEXT, "passed"),
        ("def f(n): return {n: [n, (n, {n})]}", [LONG], {LONG: [LONG, (LONG, {LONG})]}, "passed"),
        ("def f(n): return n + 1", [LONG], LONG, "wrong_answer"),
        ("def f(n): return {n: [n, (n, {n + 1})]}", [LONG], {LONG: [LONG, (LONG, {LONG})]}, "wrong_answer"),
        ("def f(n): return 1.5", [LONG], LONG, "wrong_answer"),
        ("def f(n): return float('inf')", [LONG], LONG, "wrong_answer"),
        ("def f(n): return n", [LONG], 1.5, "wrong_answer"),
        ("def f(n): raise ValueError(n)", [LONG], 1, "runtime_error"),
        ("def f(n): return 1 << 10**7", [LONG], 1, "output_limit"),
    ],
    ids=lambda value: value if type(value) is str and len(value) < 60 else type(value).__name__,
)
def test_numbers_of_a_hundred_thousand_digits_are_numbers(
    docker_sandbox: Sandbox, program: str, value: Any, wanted: Any, expected: Outcome
) -> None:
    assert len(LONG_TEXT) > 100_000
    assert outcome(docker_sandbox, program, value, wanted) == expected


# Functions

_F = "def f(n):\n    '''\n    >>> f(1)\n    2\n    '''\n    return n + 1\n"


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(_F + "import doctest\ndoctest.testmod()", id="doctest"),
        pytest.param("import __main__\n" + _F + "assert __main__.f is f", id="import __main__"),
        pytest.param(_F + "import unittest\nunittest.main(exit=False, argv=['x'])", id="unittest"),
        pytest.param(
            _F
            + "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(f(1), 2)\n"
            + "unittest.main()",
            id="unittest that exits",
        ),
        pytest.param(_F + "if __name__ == '__main__':\n    print(f(int(input())))", id="behind the guard"),
        pytest.param(_F + "exit()", id="exit at the bottom"),
        pytest.param(_F + "import sys\nsys.exit(print(f(1)))", id="sys.exit(main())"),
        pytest.param(_F + "import sys\nsys.stdout = None", id="no standard output"),
        pytest.param("f = 0\nclass Solution:\n    def f(self, n): return n + 1", id="a number beside the method"),
        pytest.param(
            "def f(a, b): return a + b\nclass Solution:\n    def f(self, n): return f(n, 1)", id="a helper beside it"
        ),
        pytest.param("class Solution:\n    @staticmethod\n    def f(n): return n + 1", id="static method"),
        pytest.param("class B:\n    def f(self, n): return n + 1\nclass Solution(B): pass", id="inherited method"),
        pytest.param("class Solution:\n    def __init__(self): self.f = lambda n: n + 1", id="an attribute"),
        pytest.param("class Solution: pass\n" + _F, id="a class of that name and a function"),
        pytest.param(
            "from collections import namedtuple\nSolution = namedtuple('Solution', 'f g')\n" + _F, id="a record"
        ),
        pytest.param(
            "import pickle\nclass A: pass\npickle.loads(pickle.dumps(A()))\n" + _F, id="pickle of its own class"
        ),
        pytest.param("text = open(__file__).read()\n" + _F, id="its own file"),
        pytest.param("import inspect\ndef f(n): return n + ('+' in inspect.getsource(f))", id="its own source, called"),
        pytest.param(_RAISED.format("(-1, -1)") + _F, id="stack limit"),
    ],
)
def test_functions_are_found_in_programs_that_do_more(docker_sandbox: Sandbox, program: str) -> None:
    assert outcome(docker_sandbox, program, [1], 2) == "passed"


@pytest.mark.parametrize("status", ["1", "'no'", "True"])
def test_a_program_that_gives_up_defines_nothing(docker_sandbox: Sandbox, status: str) -> None:
    assert outcome(docker_sandbox, _F + f"import sys\nsys.exit({status})", [1], 2) == "runtime_error"


# Modules

_IMPORT_ALL = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
missing = []
for name in sorted(sys.stdlib_module_names - {"antigravity", "this"}):
    try:
        importlib.import_module(name)
    except ImportError:
        missing.append(name)
print(json.dumps(missing))
"""
LEFT_OUT = {"_tkinter", "ensurepip", "idlelib", "lib2to3", "tkinter", "turtle", "turtledemo"}
"""What docs/sandbox.md says that programs do not find."""


def test_every_standard_module_is_there_but_those_that_are_named(docker_sandbox: Sandbox) -> None:
    interpreter = getattr(sys, "_base_executable", sys.executable)
    here = subprocess.run([interpreter, "-I", "-c", _IMPORT_ALL], capture_output=True, text=True, check=True).stdout
    run = docker_sandbox.run(_IMPORT_ALL, [""], limits=ROOMY)[0]
    assert run.status == "ok", run
    assert set(json.loads(run.output.splitlines()[-1])) - set(json.loads(here.splitlines()[-1])) <= LEFT_OUT
