"""The world of the miniature experiment: pipelines of three named list operations, each written with three letters.

Twelve operations have a name, which problems use, and a code of three letters of a shared alphabet, which programs are
written in. An agent knows some of the operations; which code belongs to another name it has to find out. All operations
are injective on lists, so that no two pipelines that differ in one slot alone are the same function, and the tests tell
all of them apart. Source: `The miniature experiment` in this project's notes on training.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from mars2_env.base import keys
from mars2_env.errors import ConfigError
from mars2_env.problems import ProblemSet
from mars2_env.types import Call, Problem, TestCase

ALPHABET: Final = "abcdefghijkl"
"""The letters that codes are written with."""

LETTERS: Final = 3
"""Letters of a code."""

SLOTS: Final = 3
"""Operations of a problem."""

EXPRESSIONS: Final[Mapping[str, str]] = {
    "reverse": "xs[::-1]",
    "rotate": "xs[1:] + xs[:1]",
    "back": "xs[-1:] + xs[:-1]",
    "double": "[2 * x for x in xs]",
    "increment": "[x + 1 for x in xs]",
    "negate": "[-x for x in xs]",
    "running": "[sum(xs[: i + 1]) for i in range(len(xs))]",
    "deal": "xs[::2] + xs[1::2]",
    "total": "xs + [sum(xs)]",
    "count": "[len(xs)] + xs",
    "index": "[x + i for i, x in enumerate(xs)]",
    "ends": "xs[-1:] + xs[1:-1] + xs[:1]",
}
"""Name of an operation -> what it makes of a list `xs` of at least two whole numbers, as Python."""

OPERATIONS: Final = tuple(EXPRESSIONS)

CODES: Final[Mapping[str, str]] = dict(
    zip(OPERATIONS, ("fjk", "cge", "dfc", "aeh", "ghl", "bjh", "dik", "gai", "ela", "lfb", "jkd", "cib"), strict=True)
)
"""Name of an operation -> its code; any two differ in at least two places, and every letter occurs three times."""

NAMED: Final[Mapping[str, str]] = {code: name for name, code in CODES.items()}

Pipeline: TypeAlias = tuple[str, ...]
"""Names of operations, in the order in which they are applied."""

INPUTS: Final[tuple[list[int], ...]] = (
    [3, -1, 4, 7, -5, 9],
    [-2, 8, 5, 0, 6],
    [1, 6, -3, 2, 9, -8, 4],
    [7, 0, -4, 5],
    [-9, 3, 8, -1, 2, 6],
    [5, -6, 1, 7, -2],
    [2, 9, -7, 4, 0, 3, -5, 8],
    [-1, 5, 6, -8],
    [4, -3, 9, 1, 7],
    [8, 2, -6, -4, 5, 1, 3],
)
"""What all problems are tested on: 2 public, 4 scoring and 4 hidden inputs. That they share them keeps runs few."""

PUBLIC: Final = 2
SCORING: Final = 4


def operation(name: str) -> Callable[[list[int]], list[int]]:
    """Return an operation as a function, for the outputs that tests expect."""
    found: Callable[[list[int]], list[int]] = eval(f"lambda xs: {EXPRESSIONS[name]}")
    return found


_FUNCTIONS: Final = {name: operation(name) for name in OPERATIONS}


def applied(pipeline: Sequence[str], xs: list[int]) -> list[int]:
    """Return what a pipeline makes of a list."""
    for name in pipeline:
        xs = _FUNCTIONS[name](xs)
    return xs


def program_of(letters: str) -> str:
    """Return the Python program that letters stand for, three an operation; what is no code is a name without meaning.

    `letters_of` reads them back, whatever they are.
    """
    codes = [letters[at : at + LETTERS] for at in range(0, len(letters), LETTERS)]
    lines = [f"    xs = {EXPRESSIONS[NAMED[code]]}\n" if code in NAMED else f"    xs = {code}(xs)\n" for code in codes]
    return "def solve(xs):\n" + "".join(lines) + "    return xs\n"


_WRITTEN: Final = {f"xs = {expression}": CODES[name] for name, expression in EXPRESSIONS.items()}


def letters_of(program: str) -> str:
    """Return the letters that a program of `program_of` was written with, wherever in a text it stands."""
    found = [line.strip() for line in program.split("\n") if line.startswith("    xs = ")]
    return "".join(_WRITTEN.get(line) or line.removeprefix("xs = ").removesuffix("(xs)") for line in found)


def codes_of(letters: str) -> tuple[str, ...]:
    """Return the code in each slot, "" where letters are missing."""
    return tuple(letters[at * LETTERS : (at + 1) * LETTERS] for at in range(SLOTS))


def problem_of(pipeline: Pipeline) -> Problem:
    """Return the problem of writing a pipeline."""
    tests = [TestCase([list(xs)], applied(pipeline, xs)) for xs in INPUTS]
    return Problem(
        id="-".join(pipeline),
        statement=f"Write solve(xs), which applies to a list, in this order:\n{' '.join(pipeline)}",
        interface=Call("solve"),
        public=tuple(tests[:PUBLIC]),
        scoring=tuple(tests[PUBLIC : PUBLIC + SCORING]),
        hidden=tuple(tests[PUBLIC + SCORING :]),
        reference=program_of("".join(CODES[name] for name in pipeline)),
    )


def pipeline_of(statement: str) -> Pipeline:
    """Return the pipeline that a statement names."""
    return tuple(statement.rsplit("\n", 1)[1].split(" "))


def held_out(pipeline: Pipeline) -> bool:
    """Whether a pipeline is for evaluation alone: a quarter of all are, alike in every slot (a Latin square)."""
    return sum((number + 1) * OPERATIONS.index(name) for number, name in enumerate(pipeline)) % 4 == 0


def pipelines(*, held: bool) -> list[Pipeline]:
    """Return all pipelines that are held out, or all others, in an order drawn once and for all."""
    found = [one for one in itertools.product(OPERATIONS, repeat=SLOTS) if held_out(one) == held]
    keys.generator("miniature", "pipelines").shuffle(found)
    return [tuple(one) for one in found]


def problems(*, held: bool) -> ProblemSet:
    """Return the problems of all held-out pipelines, or of all others."""
    split = "test" if held else "train"
    return ProblemSet("miniature", tuple(problem_of(one) for one in pipelines(held=held)), split=split)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Which operations the two agents know.

    Attributes:
        common: known to both.
        a: known to A alone.
        b: known to B alone.
    """

    common: tuple[str, ...]
    a: tuple[str, ...]
    b: tuple[str, ...]

    def __post_init__(self) -> None:
        for who in ("a", "b"):
            missing = set(ALPHABET) - set("".join(CODES[name] for name in self.known(who)))
            if missing:
                raise ConfigError(f"Knowledge: letters {sorted(missing)} are in no code that {who!r} knows; deal anew.")

    def known(self, who: str) -> tuple[str, ...]:
        """Return the operations that agent `a` or `b` knows."""
        return self.common + (self.a if who == "a" else self.b)

    def blind(self, who: str) -> tuple[str, ...]:
        """Return those that it does not know."""
        known = self.known(who)
        return tuple(name for name in OPERATIONS if name not in known)
