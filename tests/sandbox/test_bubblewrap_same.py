"""Under bubblewrap programs end as they do under Docker: the same tests, on the other back end.

Left out: what a test says of containers (`test_sandbox_docker.py`), images, and the pool, which is the same object.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mars2_env.sandbox import BubblewrapSandbox, Sandbox, make_sandbox

ADD = "a, b = map(int, input().split())\nprint(a + b)\n"

for _module in (
    "test_contest_programs",
    "test_sandbox_call",
    "test_sandbox_exploits",
    "test_sandbox_limits",
    "test_sandbox_stdin",
):
    globals().update(
        {name: value for name, value in vars(importlib.import_module(_module)).items() if name.startswith("test_")}
    )


def below(pid: int) -> set[int]:
    """The process and all its descendants."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parents[int(name)] = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


@pytest.fixture(scope="session")
def bubblewrap_worker(bubblewrap: None) -> Iterator[BubblewrapSandbox]:
    """A sandbox with one worker."""
    with make_sandbox("bubblewrap", workers=1) as sandbox:
        assert isinstance(sandbox, BubblewrapSandbox)
        yield sandbox


@pytest.fixture
def clean_box(bubblewrap_worker: BubblewrapSandbox) -> Iterator[BubblewrapSandbox]:
    """The sandbox with one worker; whatever the test ran, the worker must be the same and as clean afterwards."""
    assert bubblewrap_worker.run(ADD, ["1 1"])[0].output == "2\n"
    workers = bubblewrap_worker.supervisors
    yield bubblewrap_worker
    runs = bubblewrap_worker.run(ADD, ["20 22", "1 2"])
    assert [run.output for run in runs] == ["42\n", "3\n"]
    assert bubblewrap_worker.supervisors == workers, "the worker was lost"
    # Supervisor, zygote, and the guard and the seat of the next run, which is made while nobody waits.
    deadline = time.monotonic() + 120  # a bound for what hangs, not a measure of speed
    while len(found := below(workers[0])) != 4:
        assert time.monotonic() < deadline, f"processes left: {sorted(found)}"
        os.sched_yield()


@pytest.fixture
def one_worker(bubblewrap_worker: BubblewrapSandbox) -> BubblewrapSandbox:
    return bubblewrap_worker


@pytest.fixture(scope="module")
def docker_sandbox(bubblewrap: None) -> Iterator[Sandbox]:
    """The name under which the shared tests ask for a sandbox of several workers."""
    with make_sandbox("bubblewrap") as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def per_input(bubblewrap: None) -> Iterator[Any]:
    with make_sandbox("bubblewrap", workers=1, isolation="input") as sandbox:
        yield sandbox
