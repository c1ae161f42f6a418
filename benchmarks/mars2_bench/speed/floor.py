"""The floor that sandboxes are measured against: a lean, warmed Python forks a process for each test, not isolated.

Run as a script of its own (`python -I -S floor.py MODULES`), so that the process that forks is as small as it can be.
It takes jobs on its standard input and answers each on its standard output; all parts have their length in front.

    job: program, input    answer: standard output of the program
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import sys
from typing import NoReturn


def take(fd: int) -> bytes:
    """Return one part; exit when there are no more."""
    data = b""
    wanted = 4
    while len(data) < wanted:
        piece = os.read(fd, wanted - len(data))
        if not piece:
            os._exit(0)
        data += piece
        if wanted == 4 and len(data) == 4:
            wanted += int.from_bytes(data, "big")
    return data[4:]


def run(program: bytes) -> NoReturn:
    """Run the program as a script and exit."""
    status = 0
    try:
        exec(compile(program, "program.py", "exec", dont_inherit=True), {"__name__": "__main__"})
        sys.stdout.flush()
    except BaseException:
        status = 1
    os._exit(status)


def fork_and_run(program: bytes, data: bytes) -> bytes:
    """Run the program in a process of its own, with pipes for its standard streams, and return what it wrote."""
    (in_r, in_w), (out_r, out_w), (err_r, err_w) = (os.pipe() for _ in range(3))
    pid = os.fork()
    if pid == 0:
        for target, fd in enumerate((in_r, out_w, err_w)):
            os.dup2(fd, target)
        for target in (0, 1):
            stream = open(target, "r" if target == 0 else "w", closefd=False)  # noqa: SIM115
            setattr(sys, ("stdin", "stdout")[target], stream)
        os.closerange(3, 64)
        run(program)
    for fd in (in_r, out_w, err_w):
        os.close(fd)
    output = b""
    poller = select.poll()
    for fd in (out_r, err_r):
        poller.register(fd, select.POLLIN)
    os.write(in_w, data)  # a test's input fits into a pipe here
    os.close(in_w)
    left = 2
    while left:
        for fd, _ in poller.poll():
            piece = os.read(fd, 65536)
            if not piece:
                poller.unregister(fd)
                os.close(fd)
                left -= 1
            elif fd == out_r:
                output += piece
    os.waitpid(pid, 0)
    return output


def main() -> NoReturn:
    """Import the modules that are named, then serve."""
    for name in sys.argv[1].split(","):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    jobs, answers = os.dup(0), os.dup(1)
    while True:
        output = fork_and_run(take(jobs), take(jobs))
        os.write(answers, len(output).to_bytes(4, "big") + output)


if __name__ == "__main__":
    main()
