"""SIMULATED authors who write the bank's programs, as policies of the ordinary environment and as arrays of chances.

Which program comes out is a function of the turn's seed and of the parent's program: draw k of `uniforms(seed)`
decides about the k-th slip. So the tables (`trees`) and the ordinary environment meet the same luck. Spec:
`bank:AUTHOR`, with the options `fresh`, `mend` and `slip` for what the author is good at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import mars2_env
from mars2_bench.suite.bank import Bank, Entry, read_bank
from mars2_bench.suite.draws import uniforms
from mars2_bench.suite.staged import STAGES, Kinds
from mars2_env.base.checks import real_number
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.problems import ProblemSet
from mars2_env.prompt.programs import fenced
from mars2_env.testing.mutation import FAMILIES, Reference
from mars2_env.types import Call, Problem, Reply, Turn

Floats = NDArray[np.float64]
Masks = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Chances:
    """Probabilities for one family of slips.

    Attributes:
        fresh: that a fresh program of five families lacks its slip; `fresh ** sqrt(5 / n)` for one of n, as in
            `testing.Profile`: a longer program is harder, but not in proportion.
        mend: that a refinement mends it.
        slip: that a refinement of a program without it makes it.
    """

    fresh: float
    mend: float
    slip: float

    def __post_init__(self) -> None:
        for name in ("fresh", "mend", "slip"):
            object.__setattr__(self, name, real_number(name, getattr(self, name), least=0, most=1, where="Chances"))


NONE: Final = Chances(0.0, 0.0, 0.5)
PLAIN: Final = Kinds()
"""All real slips of a problem, and no others."""


@dataclass(frozen=True, slots=True)
class Skill:
    """What an author is good at.

    Attributes:
        own: its chances in its own kinds of slips.
        other: its chances in all others.
        families: its own kinds: families of real slips, or names of staged ones.
    """

    own: Chances
    other: Chances = NONE
    families: frozenset[str] = frozenset(FAMILIES)

    def __post_init__(self) -> None:
        if strange := self.families - {*FAMILIES, *STAGES}:
            raise ConfigError(unknown_name("family of slips", min(strange), (*FAMILIES, *STAGES)))

    def table(self, names: tuple[str, ...], kinds: Kinds = PLAIN) -> Floats:
        """Return fresh, mend and slip for a program whose bits stand for `names`; nothing goes wrong beyond them.

        Returns:
            Shape (3, kinds.bits).
        """
        table = np.array([[1.0], [1.0], [0.0]]).repeat(kinds.bits, axis=1)
        for bit, name in enumerate(names):
            chances = self.own if name in self.families else self.other
            table[:, bit] = chances.fresh ** kinds.power(len(names)), chances.mend, chances.slip
        return table

    def tables(self, bank: Bank, kinds: Kinds = PLAIN) -> Floats:
        """Return `table` for every problem of the bank, shape (3, problems, kinds.bits)."""
        return np.stack([self.table(kinds.names(bank, place), kinds) for place in range(len(bank.entries))], axis=1)


_SKILLED: Final = Chances(0.9, 0.8, 0.02)
_NUMBERS: Final = frozenset({"arithmetic", "constant", "initial"})
_BRANCHES: Final = frozenset({"boundary", "comparison", "condition"})

AUTHORS: Final[Mapping[str, Skill]] = MappingProxyType(
    {
        "able": Skill(Chances(0.5, 0.95, 0.05)),
        "hopeless": Skill(NONE),
        "numbers": Skill(_SKILLED, Chances(0.3, 0.1, 0.2), _NUMBERS),
        "branches": Skill(_SKILLED, Chances(0.3, 0.1, 0.2), _BRANCHES),
    }
)
"""Skills by name. `numbers` and `branches` complement each other."""


def fresh_masks(draws: Floats, fresh: Floats) -> Masks:
    """Return the slips of programs written afresh: the k-th comes unless its draw is below `fresh`.

    Args:
        draws: uniform draws, shape (n, bits).
        fresh: chances, the same shape.
    """
    return (draws >= fresh) @ _bits(draws.shape[1])


def refined_masks(parents: Masks, draws: Floats, mend: Floats, slip: Floats, staged: int = 0) -> Masks:
    """Return the slips of refinements of programs that have those of `parents`, shape (n,).

    A slip that is there stays unless it shows and its draw is below `mend`; one that is not comes if its draw is below
    `slip`. All slips show, but where there are some of the bits `staged` the lowest of those alone.
    """
    bits = _bits(draws.shape[1])
    has = (parents[:, None] & bits) != 0
    stays = draws >= mend
    if staged:
        first = parents & staged
        first &= -first
        stays |= (first[:, None] != 0) & (first[:, None] != bits)
    return np.where(has, stays, draws < slip) @ bits


@cache
def _bits(count: int) -> Masks:
    return 1 << np.arange(count)


class Programs:
    """The bank's programs of one problem as texts, and back."""

    def __init__(self, problem: Problem, entry: Entry, stages: tuple[str, ...], chosen: tuple[int, ...]) -> None:
        """Know a problem's programs.

        Args:
            problem: the problem.
            entry: what the bank has on it.
            stages: the staged slips.
            chosen: the real ones, as bits of the bank's masks (`Kinds.chosen`).
        """
        self._entry, self._chosen = entry, chosen
        self._stages = [STAGES[name] for name in stages]
        self._called = problem.interface.name if isinstance(problem.interface, Call) else None
        self._reference = Reference(problem.reference or "")
        self._texts: dict[int, str] = {}
        self._masks: dict[str, int | None] = {}

    def text(self, mask: int) -> str:
        """Return the program with these slips."""
        if mask not in self._texts:
            text = self._reference.write(self._entry.slips_of(self.real(mask)))
            for bit, stage in reversed(list(enumerate(self._stages))):
                text = stage.put(text, self._called) if mask >> bit & 1 else text
            self._masks[text.strip()] = mask
            self._texts[mask] = text
        return self._texts[mask]

    def mask(self, program: str) -> int | None:
        """Return the slips of a program; None if it is none of the bank's."""
        text = program.strip()
        if text not in self._masks:
            self._masks[text] = self._read(text)
        return self._masks[text]

    def real(self, mask: int) -> int:
        """Return the real slips of a mask, as the bank's own masks have them."""
        return sum(1 << bit for place, bit in enumerate(self._chosen, len(self._stages)) if mask >> place & 1)

    def _read(self, text: str) -> int | None:
        mask = 0
        for bit, stage in enumerate(self._stages):
            if (rest := stage.taken(text, self._called)) is not None:
                text, mask = rest, mask | 1 << bit
        real = self._entry.mask_of(self._reference, text)
        if real is None or real & ~sum(1 << bit for bit in self._chosen):
            return None
        return mask | sum(1 << at for at, bit in enumerate(self._chosen, len(self._stages)) if real >> bit & 1)


@cache
def _problems() -> dict[str, Problem]:
    sets = (mars2_env.load_problems("starter", split=split) for split in ("train", "test"))
    return {problem.id: problem for one in sets for problem in one}


@cache
def programs_of(bank: Bank, problem: str, kinds: Kinds = PLAIN) -> Programs:
    """Return the programs of a problem.

    Raises:
        ConfigError: the bank has no such problem.
    """
    entry = bank.entry(problem)
    return Programs(_problems()[problem], entry, kinds.stages, kinds.chosen(bank)[bank.places[problem]])


def written(bank: Bank, skill: Skill, turn: Turn, kinds: Kinds = PLAIN) -> Reply:
    """Return what an author of this skill writes in a turn.

    Where the agent chooses the parent, it takes one of those on offer, all equally likely. A parent whose program is
    none of the bank's is written afresh.

    Raises:
        ConfigError: the bank has no such problem.
    """
    draws = uniforms(np.array([turn.seed], np.uint64), kinds.bits)
    if turn.parent is None:
        parent = turn.parents[int(draws[0, 0] * len(turn.parents))]
        return replace(written(bank, skill, turn.at(parent), kinds), parent=parent)
    programs = programs_of(bank, turn.problem.id, kinds)
    fresh, mend, slip = skill.table(kinds.names(bank, bank.places[turn.problem.id]), kinds)
    before = None if turn.program is None else programs.mask(turn.program)
    if before is None:
        (mask,) = fresh_masks(draws, fresh[None])
    else:
        (mask,) = refined_masks(np.array([before]), draws, mend[None], slip[None], kinds.staged)
    return Reply(f"(simulated)\n\n{fenced(programs.text(int(mask)), 'python')}\n")


@dataclass(frozen=True)
class BankAuthor:
    """SIMULATED: writes the bank's programs by its skill (`written`); no model stands behind it.

    Attributes:
        skill: what it is good at.
        name: what `identity` calls it.
        bank: the bank; by default that of this package.
    """

    skill: Skill
    name: str = "own"
    bank: Bank = field(default_factory=read_bank, repr=False, compare=False)

    @property
    def identity(self) -> str:
        """The skill, and the bank's digest."""
        families = "+".join(sorted(self.skill.families))
        return f"bank:{self.name},{self.skill.own},{self.skill.other},{families},{self.bank.digest[:16]}"

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return one reply for each turn, in order.

        Raises:
            ConfigError: the bank has no such problem.
        """
        return [written(self.bank, self.skill, turn) for turn in turns]


def from_spec(rest: str, *, problems: ProblemSet | None = None, **options: str) -> BankAuthor:
    """Build the author of a spec `bank:AUTHOR,key=value,...`.

    Args:
        rest: a name in `AUTHORS`; empty means `able`.
        problems: the problems to be played.
        options: `fresh`, `mend` or `slip` in the author's own families, as texts.

    Raises:
        ConfigError: the author or an option is unknown, a value is no probability, or a problem is not in the bank.
    """
    name = rest or "able"
    if name not in AUTHORS:
        raise ConfigError(unknown_name("author of the bank", name, AUTHORS))
    values: dict[str, Any] = {}
    for option, text in options.items():
        if option not in ("fresh", "mend", "slip"):
            raise ConfigError(unknown_name("option of bank", option, ("fresh", "mend", "slip")))
        try:
            values[option] = float(text)
        except ValueError:
            raise ConfigError(f"bank option {option}={text!r}: not a number.") from None
    skill = AUTHORS[name]
    author = BankAuthor(
        replace(skill, own=replace(skill.own, **values)),
        ",".join([name, *(f"{key}={text}" for key, text in options.items())]),
    )
    for problem in problems or ():
        author.bank.entry(problem.id)
    return author
