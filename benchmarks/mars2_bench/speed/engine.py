"""What the rollout engine costs beside the calls that it makes, and how busy it keeps a model.

    python -m mars2_bench.speed.engine            # a few minutes; prints Markdown tables
    python -m mars2_bench.speed.engine --quick    # small, to see that it works

overhead   CPU time of an expansion in the engine, over that of a plain loop that makes the same calls (episode, policy,
           judge, log) one after the other: the scripted sandbox runs nothing, the policy answers at once. Median over
           rounds in which both take turns. `act` is a policy called on batches, `generate` one asked turn by turn.
open       the same, of 512 open turns over 16.
processes  nodes a second of wall time of one process, and of two at a time.
busy       the share of a simulated server's 64 slots that are busy over the middle 60 % of the time, in virtual time:
           generations of 2 s in the mean, log-normal; judging takes 0.05 s, and 3.2 s for programs that loop; 16 cores
           judge; 64 trees at a time. Beside the engine the batch-synchronous one that it replaced, and one expansion
           of a tree at a time.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Final

import mars2_env
from mars2_bench.command import run as run_command
from mars2_bench.speed.env_cost import programs, table
from mars2_bench.speed.virtual import ENGINES, Author, Box, World, pass_at_1
from mars2_env.engine.play import trace_of
from mars2_env.errors import Mars2Error
from mars2_env.tasks import Match, Task
from mars2_env.testing import ScriptedSandbox
from mars2_env.types import Reply, Run, Turn, Verdict

BUDGET: Final = 8
BAR, BAR_OPEN = 1.15, 1.25
BARS: Final = {0.5: 0.95, 1.0: 0.90}


class Instant:
    """Answers every turn at once, with a program that nobody has written before."""

    def __init__(self) -> None:
        self._texts = programs()

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return one program for each turn."""
        return [Reply(f"Here it is:\n```python\n{next(self._texts)}```") for _ in turns]


class Generating(Instant):
    """The same, turn by turn."""

    async def generate(self, turn: Turn, *, priority: int) -> Reply:
        """Return one program."""
        return self.act([turn])[0]


def many(count: int) -> Task:
    """Return a task of so many problems, none of which is ever solved."""
    starter = list(mars2_env.load_problems("starter"))
    problems = [replace(one, id=f"{one.id}/{lap}") for lap in range(1 + count // len(starter)) for one in starter]
    problem_set = mars2_env.ProblemSet("many", tuple(problems[:count]), split="train")
    box = ScriptedSandbox(lambda program, input: Run("ok", output="0"))
    return mars2_env.task(problem_set, budget=BUDGET, sandbox=box)


def by_hand(task: Task, policy: Instant, out: str) -> None:
    """Make the calls of a run, one after the other."""
    for problem in task.problems:
        match = Match(task, problem.id, 0, out=out)
        while not match.episode.done:
            turn = match.episode.ask()
            (reply,) = policy.act([turn])
            verdict = match.grade(match.episode.submit(turn, reply))
            assert isinstance(verdict, Verdict) and match.traces is not None
            match.traces(trace_of(turn, reply, 0.0))
            match.tell(turn, reply, verdict)
        match.close()


def by_engine(trees: int) -> Callable[[Task, Instant, str], None]:
    """Return what has the engine make them, so many trees at a time."""

    def grown(task: Task, policy: Instant, out: str) -> None:
        for _ in mars2_env.rollout(task, policy, out=out, trees=trees):
            pass

    return grown


def cpu(grow: Callable[[Task, Instant, str], None], task: Task, policy: Instant) -> float:
    """Return the CPU seconds of an expansion."""
    with tempfile.TemporaryDirectory() as out:
        start = time.process_time()
        grow(task, policy, out)
        return (time.process_time() - start) / (len(task.problems) * BUDGET)


def overhead(rounds: int, problems: int) -> list[tuple[object, ...]]:
    """Return a row for each kind of policy and number of trees."""
    rows: list[tuple[object, ...]] = []
    task = many(problems)
    for kind, trees in itertools.product((Instant, Generating), (1, 16, 128)):
        pairs = [(cpu(by_hand, task, kind()), cpu(by_engine(trees), task, kind())) for _ in range(rounds)]
        ratio = median(engine / plain for plain, engine in pairs)
        plain, engine = (median(column) * 1e6 for column in zip(*pairs, strict=True))
        name = "act" if kind is Instant else "generate"
        met = "yes" if ratio <= BAR else "NO"
        rows.append((name, trees, f"{plain:.0f}", f"{engine:.0f}", f"{ratio:.3f}", BAR, met))
    return rows


def open_turns(rounds: int, most: int) -> list[tuple[object, ...]]:
    """Return a row for each kind of policy: what an expansion costs among many open turns, and among few."""
    rows: list[tuple[object, ...]] = []
    task = many(most)
    for kind in (Instant, Generating):
        pairs = [(cpu(by_engine(16), task, kind()), cpu(by_engine(most), task, kind())) for _ in range(rounds)]
        ratio = median(many / few for few, many in pairs)
        few, much = (median(column) * 1e6 for column in zip(*pairs, strict=True))
        name = "act" if kind is Instant else "generate"
        met = "yes" if ratio <= BAR_OPEN else "NO"
        rows.append((name, most, f"{few:.0f}", f"{much:.0f}", f"{ratio:.3f}", BAR_OPEN, met))
    return rows


WORKER: Final = """
import sys, tempfile, time
from mars2_bench.speed.engine import Generating, by_engine, many
task = many(int(sys.argv[1]))
by_engine(16)(many(2), Generating(), tempfile.mkdtemp())
print("ready", flush=True)
input()
by_engine(16)(task, Generating(), tempfile.mkdtemp())
print("done", flush=True)
"""


def nodes_per_second(processes: int, problems: int) -> float:
    """Return the expansions a second of wall time of so many processes at a time."""
    command = [sys.executable, "-c", WORKER, str(problems)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    start = time.perf_counter()
    for process in started:  # all begin before any is waited for
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        process.communicate()
        if process.returncode:
            raise Mars2Error(f"a process of the benchmark ended with status {process.returncode}; it says why above.")
    return processes * problems * BUDGET / (time.perf_counter() - start)


def busy(problems: int, budget: int, slots: int) -> list[tuple[object, ...]]:
    """Return a row for each engine, spread of the generations, and share of looping programs."""
    starter = mars2_env.load_problems("starter")
    chosen = mars2_env.ProblemSet(starter.name, tuple(starter)[:problems], split=starter.split)
    author = Author(chosen)
    rows: list[tuple[object, ...]] = []
    for sigma, looping, (name, (grow, in_flight)) in itertools.product(BARS, (0.01, 0.1), ENGINES.items()):
        world = World(sigma, looping, slots)
        box = Box(world, chosen)
        task = mars2_env.task(chosen, budget=budget, sandbox=box)
        trees = grow(task, world, author, slots, in_flight)
        share, end = world.share_busy(), max(stop for _, stop in world.busy)
        bar = BARS[sigma] if name.startswith("engine, 2") else None
        met = "" if bar is None else "yes" if share >= bar else "NO"
        rate = sum(len(tree.nodes) for tree in trees) / end
        passed = pass_at_1(trees, box)
        rows.append(
            (
                sigma,
                f"{looping:.0%}",
                name,
                f"{share:.3f}",
                bar or "",
                met,
                f"{end:.0f}",
                f"{rate:.1f}",
                f"{passed:.3f}",
            )
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m mars2_bench.speed.engine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small, to see that it works")
    parser.add_argument("--only", choices=("overhead", "open", "processes", "busy"), help="one of the tables")
    options = parser.parse_args(arguments)
    quick = options.quick

    def wanted(name: str) -> bool:
        return options.only in (None, name)

    header = ("policy", "trees", "us by hand", "us in the engine", "ratio", "bar", "met")
    if wanted("overhead"):
        print(
            table("overhead: CPU time of an expansion", header, overhead(*((1, 4) if quick else (5, 128)))), flush=True
        )
    if wanted("open"):
        header = ("policy", "open turns", "us, 16 open", "us, all open", "ratio", "bar", "met")
        print(table("open turns: CPU time of an expansion", header, open_turns(*((1, 32) if quick else (3, 512)))))
    if wanted("processes"):
        one, two = (nodes_per_second(count, 4 if quick else 256) for count in (1, 2))
        pair = [("1", f"{one:.0f}", ""), ("2", f"{two:.0f}", f"{two / one:.2f}")]
        print(table("processes: nodes a second of wall time", ("processes", "nodes/s", "times one"), pair), flush=True)
    if wanted("busy"):
        columns = (
            "sigma",
            "looping",
            "engine",
            "busy",
            "bar",
            "met",
            "virtual s",
            "nodes/s",
            "Pass@1(MCTS), simulated",
        )
        rows = busy(*((12, 4, 4) if quick else (250, 16, 64)))
        print(table("busy: share of the slots, middle 60 % of the time", columns, rows), flush=True)
    return 0


if __name__ == "__main__":
    run_command(main)
