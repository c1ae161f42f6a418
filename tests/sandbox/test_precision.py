"""CPU limits are precise where the machine is busy: what keeps well within one passes, what exceeds one never does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from mars2_env.sandbox.base import Sandbox
from mars2_env.types import Limits

pytestmark = [pytest.mark.slow, pytest.mark.docker]

CPU_SECONDS = 0.4
LIMITS = Limits(cpu_seconds=CPU_SECONDS, wall_seconds=30)
BUSY = "import time\nend = float(input())\nwhile time.process_time() < end: pass\nprint('done')\n"


@pytest.fixture
def four_busy_loops() -> Iterator[None]:
    """Four processes that never rest, each in a session of its own: else the scheduler gives them the share of one."""
    command = [sys.executable, "-I", "-S", "-c", "while True: pass"]
    loops = [subprocess.Popen(command, start_new_session=True) for _ in range(4)]
    try:
        yield
        assert all(loop.poll() is None for loop in loops), "a loop ended before the test did"
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@pytest.mark.parametrize(("share", "status"), [(0.5, "ok"), (1.5, "time_limit")])
def test_a_busy_machine_changes_no_verdict_about_time(
    docker_sandbox: Sandbox, four_busy_loops: None, share: float, status: str
) -> None:
    runs = docker_sandbox.run(BUSY, [f"{share * CPU_SECONDS}\n"] * 100, limits=LIMITS)
    assert [run.status for run in runs] == [status] * 100
    if status == "ok":
        assert {run.output for run in runs} == {"done\n"}
        assert max(run.cpu_seconds for run in runs) < CPU_SECONDS
