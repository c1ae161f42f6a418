"""The self-test of a sandbox: which isolation is in force, and whether known programs end as they must."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mars2_env.errors import ConfigError
from mars2_env.sandbox.base import STDIN, Describes, Sandbox
from mars2_env.sandbox.kinds import make_sandbox
from mars2_env.types import Call, Interface, Limits, Run


@dataclass(frozen=True, slots=True)
class Probe:
    """A program whose outcome is known: what it shows, how it is run, and whether a `Run` of it is as it must be."""

    shows: str
    program: str
    value: Any
    right: Callable[[Run], bool]
    interface: Interface = STDIN


@dataclass(frozen=True, slots=True)
class Report:
    """What a self-test found. `facts` say which isolation is in force; `probes` what was tried, and what came of it."""

    facts: Mapping[str, str]
    probes: tuple[tuple[str, bool, str], ...]

    @property
    def ok(self) -> bool:
        """Whether every probe ended as it must."""
        return all(right for _, right, _ in self.probes)

    def __str__(self) -> str:
        """The report, to be read."""
        width = max(map(len, self.facts), default=0)
        lines = [f"{name:<{width}}  {value}" for name, value in self.facts.items()]
        lines += [""] + [f"{'ok  ' if right else 'FAIL'}  {shows}{note}" for shows, right, note in self.probes]
        return "\n".join(lines)


_DENIED: Final = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
found = []
def attempt(name, act):
    try:
        act()
    except OSError:
        return
    found.append(name)
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError
for family in ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"):
    attempt(family, lambda: socket.socket(getattr(socket, family), socket.SOCK_RAW))
    attempt(family, lambda: socket.socket(getattr(socket, family), socket.SOCK_STREAM))
unshare = 272 if os.uname().machine == "x86_64" else 97
attempt("a new user namespace", lambda: call(unshare, 0x10000000))
for pid in (1, os.getppid()):
    # Refused, or without effect: this program goes on, and so does its worker.
    for number in (9, 19):
        try:
            os.kill(pid, number)
        except OSError:
            pass
attempt("user id 0", lambda: os.setuid(0))
attempt("memory of the supervisor", lambda: open("/proc/1/mem", "rb").read(1))
attempt("scratch folders of others", lambda: os.listdir("/box"))
for path in ("/x", "/tmp/x", "/python/x", "/dev/x", "/run/mars2/x", "/box/x"):
    attempt("file " + path, lambda: open(path, "w"))
print(found)
"""

PROBES: Final = (
    Probe(
        "a right program passes (stdin)",
        "a, b = map(int, input().split())\nprint(a + b)",
        "20 22\n",
        lambda run: run.status == "ok" and run.output == "42\n",
    ),
    Probe(
        "a right program passes (call)",
        "def add(a, b): return a + b",
        [20, 22],
        lambda run: run.status == "ok" and run.output == 42,
        Call("add"),
    ),
    Probe(
        "an error is told with its line",
        "x = 1\nx / 0",
        "",
        lambda run: run.error_type == "ZeroDivisionError" and "line 2" in run.traceback,
    ),
    Probe("CPU time is limited", "while True: pass", "", lambda run: run.status == "time_limit"),
    Probe("memory is limited", "x = bytearray(10**9)", "", lambda run: run.status == "memory_limit"),
    Probe("output is limited", "while True: print('x' * 1000)", "", lambda run: run.status == "output_limit"),
    Probe(
        "processes are limited",
        "import os, time\nfor i in range(200):\n    if os.fork() == 0: time.sleep(60)",
        "",
        lambda run: run.error_type == "BlockingIOError",
    ),
    Probe(
        "network, namespaces, other users' processes and files are out of reach",
        _DENIED,
        "",
        lambda run: run.status == "ok" and run.output == "[]\n",
    ),
    Probe(
        "nothing of earlier runs is left",
        "import os\nprint([p for p in os.listdir('/proc') if p.isdigit() and p not in ('1', str(os.getpid()))\n"
        "       and b'\\nUid:\\t0\\t' not in open(f'/proc/{p}/status', 'rb').read()])",
        "",
        # The seat of the next run may be waiting.
        lambda run: run.status == "ok" and run.output.count("'") <= 2,
    ),
)


def check(kind: str = "auto", **options: Any) -> Report:
    """Make a sandbox of this kind, with these options, run every probe in it, and report.

    Raises:
        SandboxError: it cannot be made, or not start.
    """
    if kind == "scripted":
        raise ConfigError('check("scripted"): a scripted sandbox runs nothing, so there is no isolation to check.')
    with make_sandbox(kind, workers=1, **options) as sandbox:
        return check_sandbox(sandbox)


def check_sandbox(sandbox: Sandbox) -> Report:
    """Run every probe in `sandbox` and report."""
    limits = Limits(cpu_seconds=0.5, wall_seconds=10, memory_bytes=256 * 2**20)
    found = []
    for probe in PROBES:
        run = sandbox.run(probe.program, [probe.value], interface=probe.interface, limits=limits)[0]
        right = probe.right(run)
        found.append((probe.shows, right, "" if right else f": {run}"))
    facts = sandbox.describe() if isinstance(sandbox, Describes) else {"identity": sandbox.identity}
    return Report(facts, tuple(found))
