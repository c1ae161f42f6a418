"""The profile of system calls: an allow-list as it stands in the file, and what it denies and leaves to programs here.

The static checks hold for any engine. The others run system calls inside the sandbox and look at the error number: the
profile answers EPERM (clone3: ENOSYS), while the kernel itself would answer something else to the arguments chosen, or
do as asked. That the kernel here would is shown by the same calls in a container without the profile.
"""

from __future__ import annotations

import errno
import json
import platform
import socket
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from mars2_env.sandbox.docker import DockerSandbox
from mars2_env.sandbox.filter import seccomp_profile
from mars2_env.sandbox.image import PYTHON
from mars2_env.types import Limits, Run

PROFILE = json.loads(files("mars2_env.sandbox").joinpath("seccomp.json").read_text("utf-8"))
ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""

# fmt: off
DENIED = {
    "namespaces": {"unshare", "setns"},
    "mounts": {"mount", "umount", "umount2", "pivot_root", "chroot", "fsopen", "fsmount", "fsconfig", "open_tree",
               "move_mount", "mount_setattr", "name_to_handle_at", "open_by_handle_at"},
    "other processes": {"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp",
                        "move_pages", "migrate_pages"},
    "rings": {"io_uring_setup", "io_uring_enter", "io_uring_register", "io_setup", "io_submit"},
    "System V": {"shmget", "shmat", "shmctl", "shmdt", "msgget", "msgsnd", "msgrcv", "msgctl", "semget", "semop",
                 "semctl", "semtimedop", "ipc"},
    "POSIX queues": {"mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr"},
    "keyrings": {"keyctl", "add_key", "request_key"},
    "kernel programs": {"bpf", "perf_event_open", "userfaultfd", "fanotify_init", "seccomp", "lookup_dcookie"},
    "modules and boot": {"init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
                         "create_module"},
    "system": {"swapon", "swapoff", "syslog", "acct", "quotactl", "quotactl_fd", "sethostname", "setdomainname",
               "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "vhangup", "nfsservctl",
               "uselib", "ustat"},
    "processor": {"modify_ldt", "iopl", "ioperm", "vm86", "vm86old", "set_thread_area", "set_mempolicy", "mbind"},
    "attributes": {"setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"},
    "scheduling": {"sched_setscheduler", "sched_setattr", "sched_setparam", "ioprio_set"},
}
# fmt: on
CONDITIONAL = {"clone", "socket", "socketpair", "ioctl", "personality"}

# Name: (number on x86_64, number on aarch64, arguments as Python; `b` is a buffer of zeros). None: there is none.
CALLS: dict[str, tuple[int | None, int, str]] = {
    "unshare": (272, 97, "0x10000000"),
    "setns": (308, 268, "-1, 0"),
    "mount": (165, 40, "0, 0, 0, 0, 0"),
    "chroot": (161, 51, "0"),
    "open_tree": (428, 428, "-1, 0, 0"),
    "ptrace": (101, 117, "0, 0, 0, 0"),
    "process_vm_readv": (310, 270, "1, b, 0, b, 0, 0"),
    "pidfd_getfd": (438, 438, "-1, 0, 0"),
    "kcmp": (312, 272, "1, 1, 99, 0, 0"),
    "io_uring_setup": (425, 425, "0, 0"),
    "io_setup": (206, 0, "0, 0"),
    "shmget": (29, 194, "0, 0, 0"),
    "msgget": (68, 186, "0, 0x3B6"),
    "semget": (64, 190, "0, 1, 0x3B6"),
    "mq_open": (240, 180, "0, 0, 0, 0"),
    "keyctl": (250, 219, "9999, 0, 0, 0, 0"),
    "add_key": (248, 217, "0, 0, 0, 0, 0"),
    "bpf": (321, 280, "9999, 0, 0"),
    "perf_event_open": (298, 241, "0, 0, -1, -1, 0"),
    "userfaultfd": (323, 282, "0x40000000"),
    "seccomp": (317, 277, "99, 0, 0"),
    "init_module": (175, 105, "0, 0, 0"),
    "reboot": (169, 142, "0, 0, 0, 0"),
    "sethostname": (170, 161, "b, 1"),
    "mbind": (237, 235, "1, 0, 0, 0, 0, 0"),
    "setxattr": (188, 5, "0, 0, 0, 0, 0"),
    "sched_setscheduler": (144, 119, "0, 0, 0"),
    "AF_INET": (41, 198, "2, 1, 0"),
    "AF_INET6": (41, 198, "10, 2, 0"),
    "AF_NETLINK": (41, 198, "16, 3, 0"),
    "AF_PACKET": (41, 198, "17, 3, 0"),
    "AF_ALG": (41, 198, "38, 5, 0"),
    "AF_VSOCK": (41, 198, "40, 1, 0"),
    "clone of a namespace": (56, 220, "0x10000011, 0, 0, 0, 0"),
    "ioctl TIOCSTI": (16, 29, "0, 0x5412, b"),
    "personality": (135, 92, "0x0040000"),
    "clone3": (435, 435, "0, 0"),
}
PROBE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
b = ctypes.addressof(ctypes.create_string_buffer(256))
ctypes.set_errno(0)
result = libc.syscall(%d, %s)
if result == 0 and %d in (56, 220):
    os._exit(0)
print(ctypes.get_errno() if result < 0 else 0)
"""


def probe(name: str) -> str:
    """Return the program that makes a call and prints the error number, 0 if there was none."""
    number = CALLS[name][0 if platform.machine() == "x86_64" else 1]
    assert number is not None
    return PROBE % (number, CALLS[name][2], number)


def unconditional() -> set[str]:
    """The names of all calls that are allowed whatever their arguments."""
    return {
        name
        for entry in PROFILE["syscalls"]
        if entry["action"] == ALLOW and not entry.get("args")
        for name in entry["names"]
    }


def rules(name: str) -> list[dict[str, Any]]:
    """The entries of the profile for one call."""
    return [entry for entry in PROFILE["syscalls"] if name in entry["names"]]


def test_what_is_not_named_is_denied() -> None:
    assert PROFILE["defaultAction"] == ERRNO and PROFILE["defaultErrnoRet"] == errno.EPERM
    assert {entry["action"] for entry in PROFILE["syscalls"]} == {ALLOW, ERRNO}
    assert json.loads(seccomp_profile()) == PROFILE, "what is shipped is what is applied"


@pytest.mark.parametrize("family", DENIED)
def test_no_call_of_a_denied_family_is_named(family: str) -> None:
    named = {name for entry in PROFILE["syscalls"] for name in entry["names"]}
    assert not named & DENIED[family]


def test_calls_that_depend_on_their_arguments_are_allowed_only_with_conditions() -> None:
    assert not unconditional() & CONDITIONAL
    for family in ("socket", "socketpair"):
        [rule] = rules(family)
        assert rule["args"] == [{"index": 0, "value": socket.AF_UNIX, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]
    assert {rule["args"][0]["value"] for rule in rules("personality")} == {0, 0xFFFFFFFF}
    assert all(rule["args"][0]["index"] == 1 and rule["args"][0]["op"] == "SCMP_CMP_EQ" for rule in rules("ioctl"))
    assert 0x5412 not in {rule["args"][0]["value"] for rule in rules("ioctl")}, "TIOCSTI types into a terminal"


def test_no_namespace_can_be_asked_for() -> None:
    [rule] = rules("clone")
    assert rule["args"] == [{"index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    [rule] = rules("clone3")  # its flags are in memory, where no filter can see them
    assert rule["action"] == ERRNO and rule["errnoRet"] == errno.ENOSYS


def test_other_ways_into_the_kernel_have_no_architecture() -> None:
    assert {entry["architecture"]: entry["subArchitectures"] for entry in PROFILE["archMap"]} == {
        "SCMP_ARCH_X86_64": [],
        "SCMP_ARCH_AARCH64": [],
    }


@pytest.mark.docker
@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_denied_here(name: str, one_worker: DockerSandbox) -> None:
    run = one_worker.run(probe(name), [""])[0]
    assert run.output == f"{errno.ENOSYS if name == 'clone3' else errno.EPERM}\n", run


@pytest.mark.docker
def test_it_is_the_profile_that_denies(engine: Any, one_worker: DockerSandbox) -> None:
    # Only what a kernel answers to anybody without privileges; some of the others it may lack, or refuse itself.
    names = [
        "shmget", "msgget", "semget", "mq_open", "keyctl", "add_key", "seccomp", "process_vm_readv", "kcmp", "io_setup",
        "setns", "pidfd_getfd", "ptrace", "AF_INET", "AF_NETLINK", "ioctl TIOCSTI", "personality", "clone3",
    ]  # fmt: skip
    program = "import subprocess, sys\n" + "".join(
        f"print({name!r}, subprocess.run([sys.executable, '-S', '-c', {probe(name)!r}], capture_output=True).stdout)\n"
        for name in names
    )
    said = engine.containers.run(
        one_worker.image.name, [PYTHON, "-S", "-c", program], user="12345:12345", network_mode="none", remove=True,
        cap_drop=["ALL"], security_opt=["no-new-privileges", "seccomp=unconfined"], read_only=True, mem_limit=2**28,
        pids_limit=64, detach=False,
    ).decode()  # fmt: skip
    answers = dict(line.rsplit(" ", 1) for line in said.splitlines())
    assert set(answers) == set(names)
    for name, answer in answers.items():
        assert answer not in (f"b'{errno.EPERM}\\n'", "b''"), (name, answer)


ORDINARY = {
    "threads": "import threading\nn = []\nts = [threading.Thread(target=n.append, args=(i,)) for i in range(20)]\n"
    "[t.start() for t in ts]\n[t.join() for t in ts]\nprint(sum(n) == 190)",
    "a thread with a large stack": "import sys, threading\n"
    "sys.setrecursionlimit(10**6)\nthreading.stack_size(64 << 20)\n"
    "def f(n): return 0 if n == 0 else 1 + f(n - 1)\n"
    "t = threading.Thread(target=lambda: print(f(50_000) == 50_000))\nt.start()\nt.join()",
    "deep recursion": "import sys\nsys.setrecursionlimit(10**5)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)\n"
    "print(f(20_000) == 20_000)",
    "much memory": "x = bytearray(400 << 20)\nprint(len(x) == 400 << 20)",
    "other programs": "import subprocess, sys\n"
    "print(subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True, text=True).stdout == '1\\n')",
    "a shell": "import os\nprint(os.system('exit 3') >> 8 == 3)",
    "temporary files": "import tempfile\nwith tempfile.TemporaryFile() as f:\n"
    "    f.write(b'x')\n    f.seek(0)\n    print(f.read() == b'x')",
    "decimals": "from decimal import Decimal, getcontext\ngetcontext().prec = 50\n"
    "print(str(Decimal(1) / 3).count('3') == 50)",
    "pipes and selectors": "import os, selectors\ns = selectors.DefaultSelector()\nr, w = os.pipe()\n"
    "s.register(r, 1)\nos.write(w, b'x')\nprint(len(s.select(1)) == 1)",
    "asynchronous code": "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return True\n"
    "print(asyncio.run(f()))",
    "timers and signals": "import signal\ngot = []\nsignal.signal(signal.SIGALRM, lambda *a: got.append(1))\n"
    "signal.setitimer(signal.ITIMER_REAL, 0.01)\nsignal.pause()\nprint(got == [1])",
    "processes by multiprocessing": "import multiprocessing\nr, w = multiprocessing.Pipe(False)\n"
    "p = multiprocessing.get_context('fork').Process(target=w.send, args=(7,))\n"
    "p.start()\nprint(r.recv() == 7)\np.join()",
    "a pool of threads": "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as pool:\n"
    "    print(list(pool.map(abs, [-1, 2])) == [1, 2])",
    "random numbers of the kernel": "import os, secrets, uuid\n"
    "print(len(os.urandom(8)) == 8 and len(secrets.token_hex(4)) == 8 and uuid.uuid4().version == 4)",
    "files mapped into memory": "import mmap\nopen('f', 'wb').write(b'x' * 4096)\n"
    "with open('f', 'r+b') as f, mmap.mmap(f.fileno(), 0) as m:\n    m[0:1] = b'y'\n    print(m[:2] == b'yx')",
    "local sockets": "import socket\na, b = socket.socketpair()\na.send(b'x')\nprint(b.recv(1) == b'x')",
}


@pytest.mark.docker
@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_programs_work(name: str, one_worker: DockerSandbox) -> None:
    run = one_worker.run(ORDINARY[name], [""], limits=Limits(cpu_seconds=3, wall_seconds=15))[0]
    assert run.status == "ok" and run.output == "True\n", run


@pytest.mark.docker
def test_what_processes_share_ends_with_the_run(clean_box: DockerSandbox) -> None:
    # Semaphores and shared memory are files in /dev/shm, which is the scratch folder of the run and no other's.
    leave = (
        "import multiprocessing, os\nfrom multiprocessing import resource_tracker, shared_memory\n"
        "resource_tracker.register = lambda *a: None\nprint(os.listdir('/dev/shm'))\n"
        "shared_memory.SharedMemory('left', create=True, size=9)\nmultiprocessing.Lock()\n"
        "print(sorted(os.listdir('/dev/shm')), os.path.realpath('/dev/shm') == os.getcwd())"
    )
    runs = clean_box.run(leave, ["", ""])
    assert [run.output for run in runs] == ["['program.py']\n['left', 'program.py'] True\n"] * 2


@pytest.fixture(scope="module")
def with_numpy(docker_engine: None) -> Iterator[DockerSandbox]:
    from mars2_env.sandbox import make_sandbox

    with make_sandbox("docker", workers=1, numpy=True) as sandbox:
        assert isinstance(sandbox, DockerSandbox)
        yield sandbox


@pytest.mark.docker
def test_numpy_works_in_its_image(with_numpy: DockerSandbox) -> None:
    program = (
        "import numpy as np\nrng = np.random.default_rng(0)\na = rng.random((200, 200))\n"
        "print(np.allclose(np.linalg.solve(a, a @ np.ones(200)), 1), np.fft.ifft(np.fft.fft(a[0])).real.shape)"
    )
    runs: list[Run] = with_numpy.run(program, [""] * 2)
    assert [run.output for run in runs] == ["True (200,)\n"] * 2, runs
