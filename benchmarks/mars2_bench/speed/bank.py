"""How many expansions a second the bank's tables play on one core, full observations included.

    python -m mars2_bench.speed.bank            # a minute; prints two Markdown tables
    python -m mars2_bench.speed.bank --quick    # to see that it works

First two plain games: trees of `route` have 3 agents and 6 nodes, those of `place` 3 agents and 18 nodes in rounds;
then the named environments. Any agent expands any of the nodes there are; where agents may pass, one in three turns is
passed. A tree that is over begins anew in one step more (`NextStep`), which counts for nothing. Time is CPU time of
this process, which has one thread; memory is what a vector keeps, by Python's own count, its trees full and without the
bank that all vectors of a process share.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Literal

import numpy as np

import mars2_env
from mars2_bench.command import run as run_command
from mars2_bench.suite.authors import from_spec
from mars2_bench.suite.named import NAMED
from mars2_bench.suite.vector import BankRounds, BankRoute, make_vec
from mars2_env import Task
from mars2_env.errors import Mars2Error

BAR: Final = 150_000
"""Expansions a second that the suite asks of every game at `COUNT` environments."""

COUNT: Final = 1024
COUNTS: Final = (16, 128, COUNT, 8192)
AUTHORS: Final = ("able", "hopeless", "hopeless")
Game = Literal["route", "place"]
BUDGETS: Final[dict[Game, int]] = {"route": 6, "place": 18}
STEPS: Final = 32
"""Of a round of measuring: as many for a cycle of drawn numbers."""


def bank_task(game: Game) -> Task:
    """Return the task of a plain game."""
    return mars2_env.task(
        "starter",
        split="train",
        game=game,
        api="gymnasium" if game == "route" else "parallel",
        agents=["first_0", "second_0", "third_0"],
        generators=[from_spec(author) for author in AUTHORS],
        budget=BUDGETS[game],
        score="fraction",
        sandbox="scripted",
    )


class Player:
    """Plays a vector by numbers drawn beforehand, so that choosing costs next to nothing."""

    def __init__(self, task: Task, count: int) -> None:
        """Make a vector of so many environments and draw the numbers."""
        rng, agents = np.random.default_rng(0), len(task.agents)
        self.envs: BankRoute | BankRounds = make_vec(task, count)
        self._budget = task.budget.nodes
        self._shares = rng.random((STEPS, agents, count))
        self._actors = rng.integers(agents, size=(STEPS, count)) * (self._budget + 1)
        self._passes = (rng.random((STEPS, agents, count)) < 1 / 3) & (task.rules.rounds is not None)
        self._step = 0
        self.envs.reset(seed=0)

    def step(self) -> None:
        """Step all environments once."""
        at, size = self._step % STEPS, self.envs.trees.size
        self._step += 1
        if isinstance(self.envs, BankRoute):
            self.envs.step(self._actors[at] + (self._shares[at, 0] * size).astype(np.int64))
            return
        slots = np.where(self._passes[at], self._budget + 1, (self._shares[at] * size).astype(np.int64))
        self.envs.step(dict(zip(self.envs.agents, slots, strict=True)))


def rate(player: Player, seconds: float) -> float:
    """Return expansions per second of CPU time."""
    trees = player.envs.trees
    begun, start = trees.expansions, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        for _ in range(STEPS):
            player.step()
    return (trees.expansions - begun) / spent


def kept(task: Task, count: int) -> float:
    """Return the KiB that one environment of a vector keeps."""
    make_vec(task, 1)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    envs = make_vec(task, count)
    envs.reset(seed=0)
    full = range(task.budget.nodes if isinstance(envs, BankRoute) else task.budget.nodes // len(task.agents))
    for step in full:
        slots: Any = np.full(count, step)
        envs.step(slots if isinstance(envs, BankRoute) else dict.fromkeys(envs.agents, slots))
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / count / 1024


def measured(name: str, task: Callable[[], Task], counts: Sequence[int], seconds: float) -> bool:
    """Print a line for each number of environments, and return whether it is too slow at `COUNT`."""
    slow = False
    for count in counts:
        found = rate(Player(task(), count), seconds)
        slow |= count == COUNT and found < BAR
        print(f"| {name} | {count:,} | {found:,.0f} | {kept(task(), count):.1f} |", flush=True)
    return slow


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m mars2_bench.speed.bank",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="short rounds, to see that it works")
    parser.add_argument("--check", action="store_true", help=f"fail below {BAR:,} expansions a second")
    options = parser.parse_args(arguments)
    seconds = 0.1 if options.quick else 5.0
    head = "| {} | environments | expansions a second | KiB an environment |\n|---|---|---|---|"
    slow: list[str] = []
    print(head.format("game"), flush=True)
    for game in BUDGETS:
        if measured(game, partial(bank_task, game), (16, COUNT) if options.quick else COUNTS, seconds):
            slow.append(game)
    print("\n" + head.format("id"), flush=True)
    slow += [id for id, named in NAMED.items() if measured(id, named.task, (COUNT,), seconds)]
    if options.check and slow:
        raise Mars2Error(f"{', '.join(slow)}: below {BAR:,} expansions a second at {COUNT:,} environments.")
    return 0


if __name__ == "__main__":
    run_command(main)
