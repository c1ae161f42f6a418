"""The soak of the sandbox: it watches what it says, and over 2,000 tests of one program memory stays flat."""

from __future__ import annotations

import pytest
from mars2_bench.speed import sandbox_soak as bench

MIB = 2**20


def test_a_drift_is_the_last_tenth_over_the_first() -> None:
    seconds = [0.001] * 10 + [0.5] * 80 + [0.002] * 10
    assert bench.tenths(seconds) == (1.0, 2.0) and bench.drift(seconds) == 2.0
    soaked = bench.Soaked("x", seconds, [0.001] * 10, [bench.Memory(3 * MIB, None)] * 3, 1)
    assert bench.table([soaked]).splitlines()[-1] == (
        "| x | 1 | 3.0 / 3.0 / 3.0 (3.0) | - / - / - (-) | 1.00 / 2.00 | 2.00 | 1.00 |"
    )


@pytest.mark.docker
def test_each_run_and_each_container_is_counted() -> None:
    soaked = bench.soak("jobs", bench.jobs_in_a_row, 40, recycle_after=30)
    assert len(soaked.seconds) == 40 and len(soaked.floor) == 4 and len(soaked.memory) == 1 + bench.SAMPLES
    assert soaked.containers >= 2
    assert all(sample.host > MIB for sample in soaked.memory)
    assert any((sample.container or 0) > MIB for sample in soaked.memory)


@pytest.mark.slow
@pytest.mark.docker
def test_memory_is_flat_over_2000_tests_of_one_program() -> None:
    soaked = bench.soak("tests", bench.tests_of_one_program, 2_000, recycle_after=10_000)
    assert soaked.containers == 1
    host = [sample.host for sample in soaked.memory]
    container = [sample.container for sample in soaked.memory if sample.container is not None]
    assert len(container) == len(host)
    # A leak of 4 KiB a test, one page, would show as 8 MiB.
    assert max(host) - host[0] < 6 * MIB, host
    assert max(container) - container[0] < 6 * MIB, container
