"""Small problems and a scripted sandbox for tests of the machinery: a program `print(X)` writes X on any input."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mars2_env import Problem, ProblemSet, Reply, Run, SandboxError, TestCase, Turn
from mars2_env.base.keys import seed
from mars2_env.testing import ScriptedSandbox


def problem(number: int) -> Problem:
    """A problem that `print(NUMBER)` solves; `print(public)` passes the public tests alone."""
    return Problem(
        f"toy/{number}",
        f"Print {number}.",
        public=(TestCase("first", str(number)), TestCase("second", str(number))),
        scoring=(TestCase("third", str(number)),),
        hidden=(TestCase("fourth", str(number)),),
    )


def problem_set(count: int = 4, **options: Any) -> ProblemSet:
    """A training set of toy problems."""
    return ProblemSet("toy", tuple(problem(number) for number in range(count)), split="train", **options)


def outcome(program: str, input: str) -> Run:
    """What the scripted sandbox says of a toy program."""
    match = re.search(r"print\((.*)\)", program)
    return Run("ok", output=match[1] if match else "")


def sandbox() -> ScriptedSandbox:
    """A sandbox that knows the toy programs."""
    return ScriptedSandbox(outcome)


class FaultySandbox(ScriptedSandbox):
    """Fails the first so many runs."""

    def __init__(self, faults: int) -> None:
        super().__init__(self._outcome)
        self.faults = faults

    def _outcome(self, program: str, input: str) -> Run:
        if self.faults > 0:
            self.faults -= 1
            raise SandboxError("the engine is gone")
        return outcome(program, input)


@dataclass
class Guesser:
    """A policy that is a function of (turn, seed): it prints a number from a small range."""

    choices: int = 6
    turns: list[Turn] = field(default_factory=list)

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Guess for each turn."""
        self.turns += turns
        return [self.reply(turn) for turn in turns]

    def reply(self, turn: Turn) -> Reply:
        """Guess for one turn, from its seed alone."""
        parent = None if turn.parent is not None else seed("parent", turn.seed) % (max(turn.parents) + 1)
        return Reply(f"I guess:\n```python\nprint({seed('guess', turn.seed) % self.choices})\n```", parent=parent)


class Generator(Guesser):
    """Guesses as `Guesser` does, turn by turn, after so many looks at what else the loop has to do."""

    identity = "guesser"

    def __init__(self, looks: Callable[[], int] = lambda: 1) -> None:
        super().__init__()
        self.looks = looks
        self.open = self.most = 0
        self.cancelled: list[Turn] = []

    async def generate(self, turn: Turn, *, priority: int) -> Reply:
        """Guess, at last."""
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            for _ in range(self.looks()):
                await asyncio.sleep(0)
            self.turns.append(turn)
            return self.reply(turn)
        except asyncio.CancelledError:
            self.cancelled.append(turn)
            raise
        finally:
            self.open -= 1


class Actor(Guesser):
    """The same guesses by `act` alone."""

    identity = "guesser"
