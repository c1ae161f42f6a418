"""How many expansions a second the bank's tables play on one core, full observations included.

    python -m mars2_bench.speed.bank            # a minute; prints a Markdown table
    python -m mars2_bench.speed.bank --quick    # to see that it works

Actions are drawn beforehand: any agent, any of the slots there are. Trees of `route` have 3 agents and 6 nodes, those
of `place` 3 agents and 18 nodes in rounds; one step more begins the next trees (`NextStep`) and counts for nothing.
Time is CPU time of this process, which has one thread; memory is what a vector keeps, by Python's own count, its trees
full and without the bank that all vectors of a process share.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np

import mars2_env
from mars2_bench.command import run as run_command
from mars2_bench.suite.authors import from_spec
from mars2_bench.suite.vector import BankRounds, BankRoute, make_vec
from mars2_env import Task
from mars2_env.errors import Mars2Error

BAR: Final = 150_000
"""Expansions a second that the suite asks of both games at `COUNT` environments."""

COUNT: Final = 1024
AUTHORS: Final = ("able", "hopeless", "hopeless")
Game = Literal["route", "place"]
BUDGETS: Final[dict[Game, int]] = {"route": 6, "place": 18}


def bank_task(game: Game) -> Task:
    """Return the task that is timed."""
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


def drawn(game: Game, steps: int, count: int) -> list[Any]:
    """Return the actions of each step of a tree: any agent, any of the nodes that there are then."""
    rng, slots = np.random.default_rng(0), BUDGETS[game] + 1
    if game == "route":
        return [rng.integers(3, size=count) * slots + rng.integers(step + 1, size=count) for step in range(steps)]
    agents = ("first_0", "second_0", "third_0")
    return [{agent: rng.integers(3 * step + 1, size=count) for agent in agents} for step in range(steps)]


def rate(envs: BankRoute | BankRounds, game: Game, seconds: float) -> float:
    """Return expansions per second of CPU time."""
    count = envs.num_envs
    steps = BUDGETS[game] if game == "route" else BUDGETS[game] // 3
    actions: Any = drawn(game, steps, count)
    actions.append(actions[0])  # that of the step in which the next trees begin
    each = count if game == "route" else 3 * count
    envs.reset(seed=0)
    played, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        for action in actions:
            envs.step(action)
        played += steps * each
    return played / spent


def kept(game: Game, count: int) -> float:
    """Return the KiB that one environment of a vector keeps, its trees full."""
    task = bank_task(game)
    make_vec(task, 1)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    envs = make_vec(task, count, autoreset_mode="Disabled")
    envs.reset(seed=0)
    for action in drawn(game, BUDGETS[game] if game == "route" else BUDGETS[game] // 3, count):
        envs.step(action)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / count / 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m mars2_bench.speed.bank",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="short rounds, to see that it works")
    parser.add_argument("--check", action="store_true", help=f"fail below {BAR:,} expansions a second")
    options = parser.parse_args(arguments)
    seconds = 0.1 if options.quick else 5.0
    slow = False
    print("| game | environments | expansions a second | KiB an environment |\n|---|---|---|---|", flush=True)
    for game in BUDGETS:
        for count in (16, COUNT) if options.quick else (16, 128, COUNT, 8192):
            found = rate(make_vec(bank_task(game), count), game, seconds)
            slow |= count == COUNT and found < BAR
            print(f"| {game} | {count:,} | {found:,.0f} | {kept(game, count):.1f} |", flush=True)
    if options.check and slow:
        raise Mars2Error(f"fewer than {BAR:,} expansions a second at {COUNT:,} environments.")
    return 0


if __name__ == "__main__":
    run_command(main)
