"""The work of `expansion --against`: whole logged rollouts, in a process of its own, on whichever tree is on its path.

Nothing here is newer than what it is compared with: it imports the environment alone, by names that have been there
since commit a7d1951. It reads orders, a line of JSON each, and answers each with one.

    {"do": "begin", "package": FOLDER, "problems": N}   ->  {"version": ...}
    {"do": "time", "texts": [...], "selector": ..., "budget": B, "seed": S}  ->  {"seconds": ..., "expansions": ...}
    {"do": "hook"}                                      ->  {}   from now on `time` tells the parts, too

Seconds are of CPU time, of all threads. Problems have 20 public tests, all of which are run; of two programs one passes
them and one fails the last.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from threading import local
from typing import Any, Final

import mars2_env
from mars2_env.testing import ScriptedSandbox

TESTS: Final = 20

PARTS: Final = (
    ("selector", ("search.ab_mcts:AbMctsA.select", "search.ab_mcts:Mars2.select", "search.baselines:Uct.select")),
    ("keyed draws", ("base.keys:key", "keys:key", "base.keys:generator", "keys:generator")),
    (
        "prompt",
        (
            "prompt:Prompts.messages",
            "episode.turns:place_context",
            "episode:place_context",
        ),
    ),
    ("extraction", ("episode.episode:extract_program", "episode:extract_program")),
    ("normal form", ("episode.episode:normal_form", "episode.state:normal_form", "episode:normal_form")),
    ("scripted grade", ("judge:Judge.grade",)),
    ("log", ("log:LogWriter.__call__",)),
    ("trace", ("log.trace:TraceWriter.__call__", "engine:append_trace")),
    ("the episode itself", ("episode:Episode.ask", "episode:Episode.submit", "episode:Episode.tell")),
)
"""Parts of an expansion, and what is timed for each, wherever it stands; a part has no share in what it calls."""


class Author:
    """Writes the programs that it was given, one after the other."""

    def __init__(self, texts: list[str]) -> None:
        self.texts: Iterator[str] = iter(texts)

    def act(self, turns: list[Any]) -> list[Any]:
        """Return one reply for each turn."""
        return [mars2_env.Reply(next(self.texts)) for _ in turns]


class Clock:
    """How long each part took, in CPU time of its thread, less what it called."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys((name for name, _ in PARTS), 0.0)
        self._threads = local()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that notes how long it takes."""
        seconds, threads, now = self.seconds, self._threads, time.thread_time

        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            start, outer = now(), getattr(threads, "inner", 0.0)
            threads.inner = 0.0
            try:
                return function(*arguments, **options)
            finally:
                spent = now() - start
                seconds[part] += spent - threads.inner
                threads.inner = outer + spent

        return call

    def hook(self) -> None:
        """Time the parts from now on."""
        for part, places in PARTS:
            for place in places:
                module, _, path = place.partition(":")
                try:
                    owner: Any = importlib.import_module(f"mars2_env.{module}")
                    *outer, name = path.split(".")
                    for step in outer:
                        owner = getattr(owner, step)
                    found = owner.__dict__[name]
                except (ImportError, AttributeError, KeyError):
                    continue  # it stands elsewhere in this tree
                setattr(owner, name, self.timed(part, found))


def outcome(program: str, input: str) -> str:
    """Return what a program writes: always what is expected, but for the last test."""
    return input if input[-2] != "x" or len(program) % 2 else "0\n"


def problem(number: int) -> Any:
    """Return a problem with 20 public tests, as long as contests' are."""
    tests = tuple(
        mars2_env.TestCase(f"{test} {number} {'7 ' * 20}{'x' if test == TESTS - 1 else 'y'}\n", "")
        for test in range(TESTS)
    )
    tests = tuple(mars2_env.TestCase(test.input, test.input) for test in tests)
    statement = f"Problem {number}. " + "Given n integers, print for each query the sum of its segment. " * 8
    return mars2_env.Problem(f"work/{number}", statement, public=tests, scoring=tests[:1], hidden=tests[:1])


def rollout(problems: Any, order: dict[str, Any]) -> tuple[float, int]:
    """Grow a logged tree for each problem, and return the CPU seconds that took and the number of expansions."""
    sandbox = ScriptedSandbox(outcome)
    task = mars2_env.task(
        problems,
        sandbox=sandbox,
        budget=order["budget"],
        selector=order["selector"],
        score_on="public",
        stop_on_solved=False,
    )
    author = Author([f"Here is my program:\n\n```python\n{text}```\n\nIt is quick." for text in order["texts"]])
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        count = sum(len(tree.nodes) for tree in mars2_env.rollout(task, author, out=folder, seed=order["seed"]))
        return time.process_time() - start, count


def main() -> None:
    """Do what is ordered until there are no more orders."""
    clock = Clock()
    problems: Any = None
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, Any] = {}
        if order["do"] == "begin":
            found = Path(mars2_env.__file__).resolve().parent.parent
            if found != Path(order["package"]).resolve():
                raise SystemExit(f"{found} is measured, not {order['package']}.")
            problems = mars2_env.ProblemSet("work", tuple(map(problem, range(order["problems"]))), split="train")
        elif order["do"] == "hook":
            clock.hook()
        else:
            clock.seconds.update(dict.fromkeys(clock.seconds, 0.0))
            seconds, count = rollout(problems, order)
            answer = {"seconds": seconds, "expansions": count, "parts": dict(clock.seconds)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
