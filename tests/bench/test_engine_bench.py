"""The benchmark of the engine: virtual time is exact, and the engines that it compares grow the same trees."""

from __future__ import annotations

import asyncio

import pytest
from mars2_bench.speed import engine as bench
from mars2_bench.speed.virtual import Author, Box, VirtualLoop, World, batch_synchronous, engine

import mars2_env


def test_in_virtual_time_waiting_takes_no_time_and_happens_in_order() -> None:
    seen: list[float] = []

    async def waits() -> None:
        async def one(seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append(asyncio.get_running_loop().time())

        await asyncio.gather(one(3e6), one(1e6), one(2e6))

    loop = VirtualLoop()
    loop.run_until_complete(waits())
    loop.close()
    assert seen == [1e6, 2e6, 3e6]


def test_the_engine_keeps_a_model_busier_than_batches_do_and_grows_the_same_trees() -> None:
    starter = mars2_env.load_problems("starter")
    problems = mars2_env.ProblemSet(starter.name, tuple(starter)[:24], split=starter.split)
    author = Author(problems)

    def run(grow: object) -> tuple[float, dict[str, object]]:
        world = World(1.0, 0.1, slots=4)
        task = mars2_env.task(problems, budget=4, sandbox=Box(world, problems))
        trees = grow(task, world, author, 4, 2)  # type: ignore[operator]
        return world.share_busy(), {tree.problem: tree.events for tree in trees}

    (ours, trees), (again, same), (theirs, others) = run(engine), run(engine), run(batch_synchronous)
    assert (ours, trees) == (again, same)
    assert trees == others
    assert 0 < theirs < ours < 1


@pytest.mark.slow
def test_the_benchmark_prints_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    for row in ("| act | 1 |", "| generate | 128 |", "| generate | 32 |", "| 1.0 | 10% | engine, 2 in flight |"):
        assert row in printed
