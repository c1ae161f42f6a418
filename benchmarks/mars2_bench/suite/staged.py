"""Slips in stages: artificial ones before the real ones of a problem, so that the score is 0 until the last is mended.

While a program has staged slips, the first of them decides what it comes to, and it alone can be mended: what an
outcome shows is what there is to go by. Staged slips are lines around the real program, which a real sandbox runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import lru_cache
from math import sqrt
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mars2_bench.suite.bank import MOST_SLIPS, OUTCOMES, Bank
from mars2_env.base.checks import whole_number
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.types import Outcome, TestGroup


@dataclass(frozen=True, slots=True)
class Stage:
    """A staged slip.

    Attributes:
        outcome: what every test of a program comes to in which it is the first slip.
        before: the lines that stand before the program.
        called: in a program whose function `{name}` is called, the lines after it instead; None: the same as elsewhere.
    """

    outcome: Outcome
    before: str
    called: str | None = None

    def put(self, program: str, name: str | None) -> str:
        """Return a program with this slip; `name` is that of the function by which it is called, if it is."""
        if name is None or self.called is None:
            return self.before + program
        return program + self.called.format(name=name)

    def taken(self, program: str, name: str | None) -> str | None:
        """Return a program without this slip; None if it has not got it. Blanks at its ends are gone."""
        if name is None or self.called is None:
            return program.removeprefix(self.before) if program.startswith(self.before) else None
        end = self.called.format(name=name).rstrip()
        return program.removesuffix(end) if program.endswith(end) else None


STAGES: Final[Mapping[str, Stage]] = MappingProxyType(
    {
        "syntax": Stage("compile_error", "def unfinished(:\n"),
        "crash": Stage("runtime_error", 'raise RuntimeError("this part is not written yet")\n'),
        "flood": Stage(
            "output_limit",
            'print("still looking for the slip " * 100_000)\n',
            '\n\ndef {name}(*given):\n    return "still looking for the slip " * 100_000\n',
        ),
    }
)
"""Staged slips by name, in the order in which they hide each other."""

SHOWN: Final[tuple[Outcome, ...]] = (
    *OUTCOMES,
    *(stage.outcome for stage in STAGES.values() if stage.outcome not in OUTCOMES),
)
"""Outcomes by their code in the tables of staged programs; the first are those of the bank."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """The slips that the programs of a game can have: bit k of a mask is the k-th of them, staged ones first.

    Attributes:
        stages: names in `STAGES`, in their order.
        real: how many of each problem's real slips; None: all that it has. Those come first that leave some scoring
            tests passing, then those that come to wrong answers, as no staged slip does, then those that leave the
            nearest to half of the tests.
    """

    stages: tuple[str, ...] = ()
    real: int | None = None

    def __post_init__(self) -> None:
        for name in self.stages:
            if name not in STAGES:
                raise ConfigError(unknown_name("stage", str(name), STAGES))
        if list(self.stages) != [name for name in STAGES if name in self.stages]:
            raise ConfigError(f"stages={self.stages!r}: each at most once, in the order {', '.join(STAGES)}.")
        if self.real is not None:
            whole_number("real", self.real, least=1, most=3, where="Kinds")  # every problem of the bank has three

    @property
    def bits(self) -> int:
        """How many bits a mask has."""
        return len(self.stages) + (MOST_SLIPS if self.real is None else self.real)

    @property
    def staged(self) -> int:
        """The bits of the staged slips."""
        return (1 << len(self.stages)) - 1

    def chosen(self, bank: Bank) -> tuple[tuple[int, ...], ...]:
        """Return for each problem of the bank which of its real slips there are, as bits of the bank's masks."""
        return _chosen(bank, self.real)

    def names(self, bank: Bank, place: int) -> tuple[str, ...]:
        """Return what each bit of a problem's masks stands for: a stage, or a family of slips."""
        families = bank.entries[place].families
        return self.stages + tuple(families[bit] for bit in self.chosen(bank)[place])

    def power(self, count: int) -> float:
        """Return the power of `Chances.fresh`: sqrt(5 / n) for a program of n slips, 1 where all have as many."""
        return sqrt(5 / count) if self.real is None else 1.0

    def scores(self, bank: Bank, group: TestGroup) -> NDArray[np.float64]:
        """Return the share of a group's tests that each program passes, shape (problems, 2 ** bits)."""
        found = np.zeros((len(bank.entries), 1 << self.bits))
        found[:, :: 1 << len(self.stages)] = np.take_along_axis(bank.scores(group), self._masks(bank), axis=1)
        return found

    def outcomes(self, bank: Bank, tests: tuple[TestGroup, ...]) -> NDArray[np.uint8]:
        """Return each program's first outcome that is none of `passed`, as its place in `SHOWN`; else 0."""
        found = np.zeros((len(bank.entries), 1 << self.bits), np.uint8)
        found[:, :: 1 << len(self.stages)] = np.take_along_axis(bank.outcomes(tests), self._masks(bank), axis=1)
        for bit, name in reversed(list(enumerate(self.stages))):
            found[:, (np.arange(1 << self.bits) >> bit & 1) == 1] = SHOWN.index(STAGES[name].outcome)
        return found

    def _masks(self, bank: Bank) -> NDArray[np.int64]:
        """Return the bank's mask of each program without staged slips, shape (problems, 2 ** real)."""
        count = self.bits - len(self.stages)
        chosen = np.zeros((len(bank.entries), count), np.int64)
        for place, bits in enumerate(self.chosen(bank)):
            chosen[place, : len(bits)] = [1 << bit for bit in bits]
        return chosen @ (np.arange(1 << count) >> np.arange(count)[:, None] & 1)

    def config(self) -> dict[str, Any]:
        """Return what decides numbers, as plain data."""
        return {"stages": [[name, *astuple(STAGES[name])] for name in self.stages], "real": self.real}


@lru_cache(maxsize=8)
def _chosen(bank: Bank, real: int | None) -> tuple[tuple[int, ...], ...]:
    """Return `Kinds.chosen`."""
    counts, scores, outcomes = bank.counts.tolist(), bank.scores("scoring"), bank.outcomes(("public", "scoring"))
    if real is None:
        return tuple(tuple(range(count)) for count in counts)
    found = []
    for place, count in enumerate(counts):
        singles = scores[place, 1 << np.arange(count)]
        wrong = outcomes[place, 1 << np.arange(count)] == OUTCOMES.index("wrong_answer")
        order = np.lexsort((np.arange(count), abs(singles - 0.5), ~wrong, singles == 0))
        found.append(tuple(sorted(order[:real].tolist())))
    return tuple(found)
