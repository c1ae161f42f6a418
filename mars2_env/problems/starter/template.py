"""What a problem template is: one problem with holes in it, filled by constants that a seed draws.

A template writes its answer down twice, on purpose: `solve` is a Python function that computes the expected outputs on
the host, `reference` the text of a program that has to find the same answers in the sandbox. The tests of this package
hold one against the other, so a slip in either shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from string import Template as Holes
from typing import Any, Literal, TypeAlias

from mars2_env.types import Call, Interface, Stdin

Band: TypeAlias = Literal["easy", "medium", "hard"]

Constants: TypeAlias = Mapping[str, Any]
"""The constants of one variant, by name."""

Arguments: TypeAlias = tuple[Any, ...]
"""One input as plain data: the positional arguments of a `Call`, or what `layout` writes out for `Stdin`."""

Draw: TypeAlias = Callable[[Random, Constants], Arguments]
"""Draws one input of some kind: typical, with ties, at the limits."""

Edit: TypeAlias = tuple[str, str]
"""A replacement in the reference text: what to replace (it occurs exactly once), and with what."""


@dataclass(frozen=True, slots=True)
class Term:
    """A constant that reads one way in the statement and another in programs.

    `slip` is the code of the mistake that lies nearest, such as `>=` for a `>`; programs name it `${constant}_slip`.
    """

    words: str
    code: str
    slip: str = ""


def _spoken(value: Any) -> str:
    if isinstance(value, tuple):
        *others, last = map(str, value)
        return f"{', '.join(others)} and {last}"
    return value.words if isinstance(value, Term) else str(value)


def always(constants: Constants) -> bool:
    """Accept any combination of constants."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One problem with holes in it.

    `choices` maps each constant to the values it may take, `valid` refuses combinations that make no sense.
    `statement`, `summary`, `reference` and `wrong` hold `$name` where constants go: as words in the statement and the
    summary, as Python literals in programs. A wrong program is an edit of the reference, or a whole text.

    `draws` are the kinds of inputs: the public tests take the first three kinds (again from the start where there are
    fewer), the scoring and hidden tests take turns through all. `solve(constants, *arguments)` is the expected output.
    A template with a `signature` (such as `total(values: list[int]) -> int`) and a one-line `summary` is a `Call`
    problem; one with a `layout`, which writes arguments as the text of standard input, is a `Stdin` problem.
    """

    name: str
    band: Band
    choices: Mapping[str, Sequence[Any]]
    statement: str
    reference: str
    wrong: tuple[Edit | str, ...]
    solve: Callable[..., Any]
    draws: tuple[Draw, ...]
    signature: str = ""
    summary: str = ""
    layout: Callable[..., str] | None = None
    valid: Callable[[Constants], bool] = always

    @property
    def interface(self) -> Interface:
        """How programs take their input."""
        return Call(self.signature.partition("(")[0]) if self.signature else Stdin()

    def constants(self, rng: Random) -> Constants:
        """Draw one valid combination of constants."""
        while True:
            drawn = {name: rng.choice(values) for name, values in self.choices.items()}
            if self.valid(drawn):
                return drawn

    def words(self, text: str, constants: Constants) -> str:
        """Fill the holes of `text` for a reader."""
        return Holes(text).substitute({name: _spoken(value) for name, value in constants.items()})

    def program(self, text: str, constants: Constants) -> str:
        """Fill the holes of `text` for Python."""
        codes: dict[str, str] = {}
        for name, value in constants.items():
            codes[name] = value.code if isinstance(value, Term) else repr(value)
            if isinstance(value, Term):
                codes[name + "_slip"] = value.slip
        return Holes(text).substitute(codes).strip() + "\n"

    def starter_code(self, constants: Constants) -> str:
        """Return the head of the function to write; nothing for `Stdin`."""
        if not self.signature:
            return ""
        return f'def {self.signature}:\n    """{self.words(self.summary, constants)}"""\n'

    def wrong_texts(self) -> tuple[str, ...]:
        """Return the wrong programs, holes still open."""
        return tuple(text if isinstance(text, str) else self.reference.replace(*text) for text in self.wrong)
