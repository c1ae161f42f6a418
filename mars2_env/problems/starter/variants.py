"""From a template to problems: which constants go to which split, and the three groups of tests.

Everything is drawn from generators keyed by text, so the same code gives the same problems, bit for bit. Constants
belong to the train or the test split by a hash of their own, whatever the seed: no seed ever puts a training variant
into the test split.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2s
from itertools import count, islice
from random import Random
from typing import Any, Final, Literal, TypeAlias

from mars2_env.errors import ProblemError
from mars2_env.problems.starter.template import Arguments, Constants, Template
from mars2_env.types import Call, Problem, TestCase

Split: TypeAlias = Literal["train", "test"]

PUBLIC: Final = 3
UNSHOWN: Final = 12
"""Tests in each of the scoring and the hidden group."""
TRIES: Final = 10
"""Draws of one kind of input before the next kind gets its turn."""
SAME_OUTPUT: Final = 3
"""How often one expected output may occur within a group, so that a constant answer earns little."""


def variants(template: Template, split: Split, seed: int, number: int) -> list[Constants]:
    """Return the constants of the first `number` variants of a template in a split.

    Raises:
        ProblemError: the template has too few combinations of constants.
    """
    rng = Random(f"starter/{template.name}/{seed}/constants")
    found: dict[str, Constants] = {}
    for _ in range(200 * number):
        constants = template.constants(rng)
        key = f"{template.name}/{sorted(constants.items())}"
        if split == ("test" if blake2s(key.encode()).digest()[0] % 2 else "train"):
            found.setdefault(key, constants)
        if len(found) == number:
            return list(found.values())
    raise ProblemError(f"starter template {template.name!r} has fewer than {number} variants for the {split} split.")


def build(template: Template, constants: Constants, split: Split, seed: int, variant: int) -> Problem:
    """Return the problem that a template makes of one set of constants.

    Raises:
        ProblemError: the template's draws do not give enough different inputs.
    """
    groups = _tests(template, constants, Random(f"starter/{template.name}/{split}/{seed}/{variant}/tests"))
    public, scoring, hidden = groups
    return Problem(
        id=f"starter/{split}/{template.name}/{f'{seed}.' if seed else ''}{variant}",
        statement=template.words(template.statement, constants).strip() + "\n\n" + quote(template, public),
        interface=template.interface,
        public=tuple(public),
        scoring=tuple(scoring),
        hidden=tuple(hidden),
        starter_code=template.starter_code(constants),
        reference=template.program(template.reference, constants),
        metadata={"template": template.name, "band": template.band, "variant": variant},
    )


def quote(template: Template, public: list[TestCase]) -> str:
    """Return the public tests as the statement shows them."""
    interface = template.interface
    if isinstance(interface, Call):
        calls = (f">>> {interface.name}({_listed(t.input)})\n{literal(t.output)}\n" for t in public)
        return "Examples:\n\n" + "\n".join(calls)
    shown = (
        f"Example {i}\nInput:\n```\n{t.input}```\nOutput:\n```\n{t.output}```\n" for i, t in enumerate(public, start=1)
    )
    return "\n".join(shown)


def literal(value: Any) -> str:
    """Return plain data as a Python literal, the same in every process: sets are written in sorted order."""
    if isinstance(value, int | str):
        return repr(value)
    if isinstance(value, set | frozenset):
        inside = ", ".join(sorted(map(literal, value), key=lambda text: (len(text), text)))
        text = f"{{{inside}}}" if inside else "set()"
        return f"frozenset({text})" if isinstance(value, frozenset) else text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{_listed(value)}]"
    if isinstance(value, tuple):
        return f"({literal(value[0])},)" if len(value) == 1 else f"({_listed(value)})"
    return repr(value)


def _listed(values: list[Any] | tuple[Any, ...]) -> str:
    return ", ".join(map(literal, values))


def _sameness(value: Any) -> str:
    """Return a text that is equal for values that a judge may take for equal."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, dict):
        return literal(dict(sorted(value.items()))).replace("(", "[").replace(")", "]")
    return literal(value).replace("(", "[").replace(",)", "]").replace(")", "]")


def _tests(
    template: Template, constants: Constants, rng: Random
) -> tuple[list[TestCase], list[TestCase], list[TestCase]]:
    """Draw the public, scoring and hidden tests of one variant.

    Inputs differ from each other throughout. No unshown test shares its output with a public one, and none expects
    nothing, so that a program made of the quoted examples passes no hidden test whatever else it answers.
    """
    public: list[TestCase] = []
    scoring: list[TestCase] = []
    hidden: list[TestCase] = []
    seen: set[str] = set()
    shown: set[str] = {"", "None"}

    def new_test(kind: int, times: dict[str, int]) -> TestCase | None:
        for _ in range(TRIES):
            test = _test(template, constants, template.draws[kind % len(template.draws)](rng, constants))
            given, expected = _sameness(test.input), _sameness(test.output)
            if given not in seen and expected not in shown and times.get(expected, 0) < SAME_OUTPUT:
                seen.add(given)
                times[expected] = times.get(expected, 0) + 1
                return test
        return None

    def fill(group: list[TestCase], kinds: Iterator[int], times: dict[str, int]) -> None:
        for kind in kinds:
            test = new_test(kind, times)
            if test is not None:
                group.append(test)
                return
        raise ProblemError(f"starter template {template.name!r} runs out of inputs with constants {dict(constants)!r}.")

    for kind in range(PUBLIC):
        fill(public, islice(count(kind), 10), {})
        shown.add(_sameness(public[-1].output))
    times: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for kind in range(UNSHOWN):
        # Hidden first: where a kind of input has one instance only, such as the empty list, it is for evaluation.
        fill(hidden, islice(count(kind), 10), times[0])
        fill(scoring, islice(count(kind), 10), times[1])
    return public, scoring, hidden


def _test(template: Template, constants: Constants, arguments: Arguments) -> TestCase:
    output = template.solve(constants, *arguments)
    if template.layout is None:
        return TestCase(list(arguments), output)
    return TestCase(template.layout(*arguments), output)
