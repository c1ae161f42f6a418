"""The bank: for each problem of the starter set a few real slips, and what every combination of them came to.

    slips.jsonl    a header, then one line for each problem: its families of slips, the slip of each, all outcomes

A program of the bank is a bitmask: bit f says whether it has the slip of the f-th family, and mask 0 is the reference
program. All programs of a problem differ from each other after normalisation, so that equal programs are equal masks.
Each was run once, by a real sandbox, on all tests; none reached a limit, so that a table holds on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from mars2_env.errors import ConfigError, LogError
from mars2_env.testing.mutation import Reference
from mars2_env.types import GROUPS, Outcome, TestGroup

SCHEMA: Final = 1
MOST_SLIPS: Final = 6
SLIPS_FILE: Final = Path(__file__).with_name("slips.jsonl")

LETTERS: Final[dict[Outcome, str]] = {"passed": "p", "wrong_answer": "w", "runtime_error": "e"}
"""How the outcome of one test is written down; a program with any other is not taken into the bank."""

OUTCOMES: Final = tuple(LETTERS)
"""Outcomes by their code in tables."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of the file.

    Attributes:
        problems: SHA-256 of the problem sets (`ProblemSet.hash`), by split.
        tests: how many tests each problem has in the groups public, scoring and hidden.
        sandbox: identity of the sandbox that ran the programs.
        package: version of mars2_env that built it.
        bank: version of this format.
    """

    problems: dict[str, str]
    tests: tuple[int, int, int]
    sandbox: str
    package: str
    bank: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Entry:
    """One problem.

    Attributes:
        problem: its id.
        families: the families of slips (`mutation.FAMILIES`), in alphabetical order: family f is bit f of a mask.
        slips: the slip of each family: number of the site and of the variant there (`mutation.Reference`).
        outcomes: for each mask in order a letter for each test (`LETTERS`): public, scoring, hidden, in listed order.
    """

    problem: str
    families: tuple[str, ...]
    slips: tuple[tuple[int, int], ...]
    outcomes: str

    def slips_of(self, mask: int) -> dict[int, int]:
        """Return the slips of a program, as `mutation.Reference.write` takes them."""
        return {site: variant for bit, (site, variant) in enumerate(self.slips) if mask >> bit & 1}

    def mask_of(self, reference: Reference, program: str) -> int | None:
        """Return the mask of a program; None if it is none of the bank's programs of this problem."""
        found = reference.slips(program)
        if found is None or not found.items() <= dict(self.slips).items():
            return None
        return sum(1 << bit for bit, (site, _) in enumerate(self.slips) if site in found)


@dataclass(frozen=True, eq=False)
class Bank:
    """All entries, and the tables made of them.

    Attributes:
        header: how it was built.
        entries: one for each problem, in the order of the problem sets, the training split first.
    """

    header: Header
    entries: tuple[Entry, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the entries as they are written: what an environment's id stands for."""
        return sha256(b"".join(line(entry) for entry in self.entries)).hexdigest()

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each problem in the tables."""
        return {entry.problem: place for place, entry in enumerate(self.entries)}

    @cached_property
    def codes(self) -> NDArray[np.uint8]:
        """Outcome (place in `OUTCOMES`) of each test: shape (problems, 64, tests); 0 beyond a problem's masks."""
        tests = sum(self.header.tests)
        codes = np.zeros((len(self.entries), 1 << MOST_SLIPS, tests), np.uint8)
        known = np.full(256, 255, np.uint8)
        for code, letter in enumerate(LETTERS.values()):
            known[ord(letter)] = code
        for place, entry in enumerate(self.entries):
            found = known[np.frombuffer(entry.outcomes.encode(), np.uint8)]
            if len(found) != tests << len(entry.families) or found.max() == 255:
                raise LogError(f"the bank's line on {entry.problem!r} is damaged; fetch the file anew.")
            codes[place, : 1 << len(entry.families)] = found.reshape(-1, tests)
        return codes

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many families of slips each problem has, shape (problems,)."""
        return np.array([len(entry.families) for entry in self.entries])

    def entry(self, problem: str) -> Entry:
        """Return the entry of a problem.

        Raises:
            ConfigError: the bank has none.
        """
        if problem not in self.places:
            raise ConfigError(
                f"the bank has no problem {problem!r}; it has the {len(self.entries)} of the starter set."
            )
        return self.entries[self.places[problem]]

    def scores(self, group: TestGroup) -> NDArray[np.float64]:
        """Return the share of a group's tests that each program passes, shape (problems, 64)."""
        part = self.codes[:, :, self._part((group,))]
        passed: NDArray[np.float64] = (part == 0).sum(axis=2) / part.shape[2]
        return passed

    def outcomes(self, groups: Sequence[TestGroup]) -> NDArray[np.uint8]:
        """Return the outcome of each program's first failing test in these groups, shape (problems, 64); else 0."""
        part = self.codes[:, :, self._part(groups)]
        first = (part != 0).argmax(axis=2)
        found: NDArray[np.uint8] = np.take_along_axis(part, first[:, :, None], axis=2)[:, :, 0]
        return found

    def _part(self, groups: Sequence[TestGroup]) -> NDArray[np.int64]:
        starts = np.cumsum([0, *self.header.tests])
        chosen = [at for at, group in enumerate(GROUPS) if group in groups]
        return np.concatenate([np.arange(starts[at], starts[at + 1]) for at in chosen])


def line(entry: Entry | Header) -> bytes:
    """Return an entry, or the header, as a line of the file."""
    return msgspec.json.encode(entry) + b"\n"


def write_bank(bank: Bank, path: Path = SLIPS_FILE) -> None:
    """Write a bank."""
    path.write_bytes(b"".join([line(bank.header), *map(line, bank.entries)]))


@cache
def read_bank(path: Path = SLIPS_FILE) -> Bank:
    """Return the bank of a file; by default the one of this package.

    Raises:
        LogError: it is not there, or is no bank of this version.
    """
    try:
        first, *others = path.read_bytes().splitlines()
        header = msgspec.json.decode(first, type=Header)
        if header.bank != SCHEMA:
            raise LogError(f"{path} is a bank of version {header.bank}, and this is version {SCHEMA}; build it anew.")
        return Bank(header, tuple(msgspec.json.decode(other, type=Entry) for other in others))
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise LogError(f"{path} holds no bank of slips: {error}.") from None
