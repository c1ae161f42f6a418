"""Problems on which public tests cannot tell a careful program from a hasty one, and logs of programs of both kinds."""

from __future__ import annotations

from pathlib import Path

from mars2_agents.models.examples import Example

import mars2_env
from mars2_env import Problem, ProblemSet, Reply, Run, TestCase, Turn
from mars2_env.testing import ScriptedSandbox

KINDS = ("careful", "hasty", "broken")


def program(kind: str, number: int) -> str:
    """A program: careful ones pass everything, hasty ones the public test alone, broken ones nothing."""
    return f"def solve(text):\n    return {kind}({number}, text)\n"


def problem(number: int, *, stem: str = "toy") -> Problem:
    """A problem with one public and one hidden test."""
    return Problem(
        f"{stem}/{number}",
        f"Solve puzzle number {number} of the {stem} collection.",
        public=(TestCase("shown", "right"),),
        scoring=(TestCase("unseen", "right"),),
        hidden=(TestCase("hidden", "right"),),
    )


def problem_set(count: int = 8, *, stem: str = "toy", use: str = "training") -> ProblemSet:
    """So many problems."""
    problems = tuple(problem(number, stem=stem) for number in range(count))
    return ProblemSet(stem, problems, split="train", use=use)  # type: ignore[arg-type]


def outcome(text: str, given: str) -> Run:
    """What the scripted sandbox says of a program."""
    if "broken" in text:
        return Run("runtime_error", error_type="NameError", error_message="name 'broken' is not defined")
    return Run("ok", output="right" if "careful" in text or given == "shown" else "wrong")


def sandbox() -> ScriptedSandbox:
    """A sandbox that knows these programs."""
    return ScriptedSandbox(outcome)


class Author:
    """Writes programs of all kinds in turn, each with a number of its own."""

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Write one for each turn, by its id and seed."""
        return [Reply(f"```python\n{program(KINDS[turn.seed % 3], turn.seed % 97)}```") for turn in turns]


def run(out: Path, problems: ProblemSet | None = None, *, budget: int = 12, evaluated: bool = True) -> ProblemSet:
    """Grow and evaluate a tree for each problem, and return the set."""
    played = problem_set() if problems is None else problems
    task = mars2_env.task(played, sandbox=sandbox(), agents=1, budget=budget, score_on="public")
    list(mars2_env.rollout(task, Author(), out=out))
    if evaluated:
        mars2_env.evaluate(out, problems=played, sandbox=sandbox())
    return played


def example(number: int, kind: str, text: int) -> Example:
    """An example as a log would give it."""
    shown = problem(number)
    return Example(
        shown.id,
        shown.statement,
        "passed" if kind != "broken" else "runtime_error\nNameError: name 'broken' is not defined",
        program(kind, text),
        kind == "careful",
        "failed" if kind == "broken" else "passed",
    )
