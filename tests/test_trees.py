"""Who takes the trees of a run: many at a time, cancelled ones, threads, and none but its own loop and process."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from toys import Actor, Generator, problem_set, sandbox

import mars2_env
from mars2_env import Mars2Error, Reply, Task, Tree, Turn


def task(count: int = 4, **options: Any) -> Task:
    return mars2_env.task(problem_set(count), sandbox=sandbox(), **options)


class Stuck(Generator):
    """Never answers, and says when it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def generate(self, turn: Turn, *, priority: int) -> Reply:
        self.asked.set()
        try:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            self.cancelled.append(turn)
            raise


def test_a_wait_that_is_cancelled_ends_nothing() -> None:
    async def run() -> list[Tree]:
        go = asyncio.Event()

        class Waiting(Generator):
            async def generate(self, turn: Turn, *, priority: int) -> Reply:
                await go.wait()
                return await super().generate(turn, priority=priority)

        trees = mars2_env.arollout(task(3, budget=2), Waiting())
        waiting = asyncio.ensure_future(anext(trees))
        await asyncio.sleep(0)
        waiting.cancel()
        assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], asyncio.CancelledError)
        go.set()
        return [tree async for tree in trees]

    assert len(asyncio.run(run())) == 3


def test_many_may_wait_for_trees_at_a_time_and_each_tree_goes_to_one() -> None:
    async def run() -> list[Any]:
        trees = mars2_env.arollout(task(3), Generator())
        found = await asyncio.gather(*(anext(trees, None) for _ in range(5)))
        return [tree and tree.problem for tree in found]

    for _ in range(3):
        assert sorted(asyncio.run(run()), key=str) == [None, None, "toy/0", "toy/1", "toy/2"]


def test_threads_share_a_rollout_and_each_tree_goes_to_one() -> None:
    for _ in range(5):
        trees = mars2_env.rollout(task(6), Actor())
        with ThreadPoolExecutor(4) as pool:
            taken = list(pool.map(lambda _, trees=trees: [tree.problem for tree in trees], range(4)))
        assert sorted(name for names in taken for name in names) == [f"toy/{number}" for number in range(6)]


def test_a_run_ends_with_the_loop_that_it_is_on(tmp_path: Path) -> None:
    policy = Stuck()

    async def begin() -> Any:
        trees = mars2_env.arollout(task(2, budget=3), policy, out=tmp_path)
        waiting = asyncio.ensure_future(anext(trees))
        await policy.asked.wait()
        return trees, waiting  # neither waited for, nor closed

    asyncio.run(begin())
    assert policy.cancelled
    assert len(list(mars2_env.rollout(task(2, budget=3), Actor(), out=tmp_path))) == 2  # its logs are let go of


def test_trees_of_one_run_are_asked_for_on_one_loop() -> None:
    trees = mars2_env.arollout(task(3), Generator(), trees=1)

    async def one() -> Tree:
        return await anext(trees)

    asyncio.run(one())
    with pytest.raises(Mars2Error, match="event loop that first asked"):
        asyncio.run(one())
    asyncio.run(trees.aclose())  # does no harm


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_run_that_another_process_began_is_refused_at_once() -> None:
    with mars2_env.rollout(task(3), Actor(), trees=1) as trees:
        next(trees)
        read, write = os.pipe()
        if not (child := os.fork()):
            try:
                next(trees)
            except Mars2Error as error:
                os.write(write, str(error).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(write)
        with os.fdopen(read) as said:
            assert "was begun in another process" in said.read()
        assert len(list(trees)) == 2


@pytest.mark.parametrize("kind", [Generator, Actor])
def test_a_policy_that_raises_a_cancellation_has_failed_on_its_turn(
    kind: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Cancelled(kind):  # type: ignore[misc]
        def reply(self, turn: Turn) -> Reply:
            if turn.problem.id == "toy/0":
                raise asyncio.CancelledError("of its own")
            return super().reply(turn)  # type: ignore[no-any-return]

    trees = list(mars2_env.rollout(task(2, budget=2), Cancelled(), policy_retries=0))
    assert {tree.problem: tree.ended for tree in trees} == {"toy/0": "faults", "toy/1": "budget"}
    assert "was cancelled of its own" in caplog.text
