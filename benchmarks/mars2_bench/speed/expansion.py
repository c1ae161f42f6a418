"""What one expansion costs beside the model and the programs, stage by stage.

python -m mars2_bench.speed.expansion            # some seconds; prints Markdown tables
python -m mars2_bench.speed.expansion --quick    # to see that it works
python -m mars2_bench.speed.expansion --against a7d1951 --scale    # beside another commit, or the folder of a checkout

stages   microseconds of CPU time of one logged expansion of the game `write`, the scripted sandbox judging: median
over the rounds. `ask` is the selector's draw, the event and the prompt; `submit` the program in the reply
and its normal form; `grade` the judge on scripted runs; `tell` the outcome; writing the log is in both.
turns    bytes of a pickled turn in trees of 30 nodes, by game, of one-line programs and of the starter set's.
reading  milliseconds of CPU time to read a log of 400 expansions, and how many prompts that renders.

With `--against` other tables: whole logged rollouts (ask, prompt, extract, submit, scripted grade, tell, log) by this
tree and the other in turns, a process for each: programs of 15 and of 40 lines of which no two are alike, 20 tests, all
of them run, four trees of 60 nodes. The parts are timed in rounds of their own, since timing costs time; `--scale` adds
trees of up to 2,000 nodes.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Final

import mars2_env
from mars2_bench.command import run as run_command
from mars2_bench.speed.env_cost import programs, table
from mars2_bench.speed.expansion_against import compared
from mars2_env.engine.play import trace_of
from mars2_env.prompt import ChatTemplates, Context
from mars2_env.tasks import Match
from mars2_env.testing import ScriptedSandbox
from mars2_env.types import Message, Reply, Run, Turn, Verdict

STAGES: Final = ("ask", "submit", "grade", "tell")
NODES: Final = 30


def sandbox() -> ScriptedSandbox:
    """Return a sandbox that answers every input at once, always wrongly."""
    return ScriptedSandbox(lambda program, input: Run("ok", output="0"))


def stages(budget: int, rounds: int) -> dict[str, list[float]]:
    """Return, for each stage, the CPU seconds of an expansion in each round: one logged tree of `budget` nodes."""
    task = mars2_env.task("starter", budget=budget, sandbox=sandbox())
    texts = programs()
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for number in range(rounds):
        spent = dict.fromkeys(STAGES, 0.0)
        with tempfile.TemporaryDirectory() as folder:
            match = Match(task, task.problems.problems[number].id, 0, out=folder)
            while not match.episode.done:
                marks = [time.process_time()]
                turn = match.episode.ask()
                marks.append(time.process_time())
                reply = Reply(f"Here it is:\n```python\n{next(texts)}```")
                begin = time.process_time()
                submission = match.episode.submit(turn, reply)
                marks.append(marks[-1] + time.process_time() - begin)
                begin = time.process_time()
                verdict = match.grade(submission)
                assert isinstance(verdict, Verdict)
                marks.append(marks[-1] + time.process_time() - begin)
                begin = time.process_time()
                assert match.traces is not None
                match.traces(trace_of(turn, reply, 0.0))
                match.tell(turn, reply, verdict)
                marks.append(marks[-1] + time.process_time() - begin)
                for stage, start, end in zip(STAGES, marks, marks[1:], strict=False):
                    spent[stage] += end - start
            match.close()
        for stage in STAGES:
            found[stage].append(spent[stage] / budget)
    return found


def turn_size(game: str, api: str, texts: Iterator[str]) -> int:
    """Return the bytes of a pickled turn in a tree of 30 nodes of these programs."""
    kind: dict[str, Any] = {"game": game, "api": api}
    env: Any = mars2_env.make("starter", budget=NODES + 2, sandbox=sandbox(), **kind)
    env.reset(seed=0)
    for number in range(NODES):
        action = {"program": next(texts), **({"parent": number // 2} if game == "play" else {})}
        env.step(action)
    turn: Turn = env.turn
    return len(pickle.dumps(turn))


class CountingTemplates(ChatTemplates):
    """The ordinary words, and how often they were asked for."""

    rendered = 0

    def __call__(self, context: Context) -> tuple[Message, ...]:
        """Return the prompt, and count it."""
        type(self).rendered += 1
        return super().__call__(context)


class Author:
    """Writes programs that are never the same twice."""

    def __init__(self) -> None:
        self.texts = programs()

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return one program for each turn."""
        return [Reply(next(self.texts)) for _ in turns]


def reading(expansions: int) -> tuple[float, int]:
    """Return the CPU seconds of reading a log of so many expansions, and how many prompts were rendered meanwhile."""
    task = mars2_env.task("starter", budget=expansions, sandbox=sandbox(), prompts=CountingTemplates())
    with tempfile.TemporaryDirectory() as folder:
        (tree,) = mars2_env.rollout(task, Author(), limit=1, out=folder)
        before = CountingTemplates.rendered
        start = time.process_time()
        (again,) = mars2_env.read_log(Path(folder))
        spent = time.process_time() - start
        assert again.nodes == tree.nodes
    return spent, CountingTemplates.rendered - before


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m mars2_bench.speed.expansion",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="short rounds, to see that it works")
    parser.add_argument("--against", metavar="COMMIT_OR_PATH", help="measure this tree beside another")
    parser.add_argument("--scale", action="store_true", help="with --against: large trees, too; some minutes")
    parser.add_argument("--rounds", type=int, default=15, help="with --against: rounds of each piece of work")
    options = parser.parse_args(arguments)
    if options.against is not None:
        rounds = 2 if options.quick else options.rounds
        print(compared(options.against, rounds=rounds, scale=options.scale, quick=options.quick))
        return 0
    budget, rounds = (8, 3) if options.quick else (32, 24)
    found = stages(budget, rounds)
    medians = {stage: median(found[stage]) * 1e6 for stage in STAGES}
    rows = [(stage, f"{value:.0f}") for stage, value in medians.items()]
    rows.append(("all", f"{median(map(sum, zip(*found.values(), strict=True))) * 1e6:.0f}"))
    print(table(f"stages: us of CPU time an expansion, trees of {budget} nodes", ("stage", "us"), rows))
    lines = [(game, *(turn_size(game, "aec", texts) for texts in (_lines(), programs()))) for game in ("write", "play")]
    print(table(f"turns: bytes pickled, {NODES} nodes", ("game", "one-line programs", "starter programs"), lines))
    spent, rendered = reading(40 if options.quick else 400)
    row = (40 if options.quick else 400, f"{spent * 1e3:.1f}", rendered)
    print(table("reading a log", ("expansions", "ms of CPU time", "prompts rendered"), [row]))
    return 0


def _lines() -> Iterator[str]:
    return (f"print({number})" for number in count())


if __name__ == "__main__":
    run_command(main)
