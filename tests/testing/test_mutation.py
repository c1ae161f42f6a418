"""Slips can be made in a program and found again, whatever its layout."""

from __future__ import annotations

import ast
import gzip
import json
from pathlib import Path
from random import Random

import pytest

from mars2_env.errors import ProblemError
from mars2_env.testing.mutation import FAMILIES, Reference, families
from mars2_env.testing.noise import PROFILES, fresh_slips

PROGRAM = '''
import sys

def best(values, low=0):
    """The best of the values above `low`."""
    total, count = 0, 1
    for index in range(1, len(values)):
        if values[index] > low and values[index - 1] % 2:
            total += values[index] * 3
            count = divmod(total, count)[0]
    while count < 10:
        count += 1
        if count == 7:
            break
    print(values[1:count])
    return min(total, count)
'''


def sites_of(program: str) -> list[tuple[str, list[str]]]:
    """The family of each site, and the programs that its variants give."""
    reference = Reference(program)
    return [
        (site.family, [reference.write({site.number: n}).strip() for n in range(len(site.variants))])
        for site in reference.sites
    ]


@pytest.mark.parametrize(
    ("program", "family", "expected"),
    [
        ("f(a, b)", "arguments", ["f(b, a)"]),
        ("x = min(a)", "arguments", ["x = max(a)"]),
        ("x = a // b", "arithmetic", ["x = a % b"]),
        ("x += y", "arithmetic", ["x -= y"]),
        ("x = a[b:]", "boundary", ["x = a[b + 1:]", "x = a[b - 1:]"]),
        ("x = a[0]", "boundary", ["x = a[1]", "x = a[-1]"]),
        (
            "for i in range(n): pass",
            "boundary",
            ["for i in range(n + 1):\n    pass", "for i in range(n - 1):\n    pass"],
        ),
        ("x = a <= b", "comparison", ["x = a < b"]),
        ("if a:\n    pass", "condition", ["if not a:\n    pass"]),
        ("x = a or b", "condition", ["x = a and b"]),
        ("f(3)", "constant", ["f(4)", "f(2)"]),
        ("x = 0", "initial", ["x = 1", "x = -1"]),
        ("print(a)", "statement", ["pass"]),
    ],
)
def test_each_family_makes_the_slip_it_is_named_after(program: str, family: str, expected: list[str]) -> None:
    assert (family, expected) in sites_of(program)


def test_return_gives_back_nothing() -> None:
    assert ("return", ["def f():\n    return"]) in sites_of("def f(): return x")


def test_every_family_is_known() -> None:
    assert set(families(Reference(PROGRAM).sites)) <= set(FAMILIES)


def test_without_slips_the_program_means_the_same() -> None:
    reference = Reference(PROGRAM)
    assert ast.dump(ast.parse(reference.write({}))) == ast.dump(ast.parse(PROGRAM))
    assert reference.slips(PROGRAM) == {}


def test_each_single_slip_is_found_again_in_another_layout() -> None:
    reference = Reference(PROGRAM)
    assert len(reference.sites) > 12
    for site in reference.sites:
        for number in range(len(site.variants)):
            text = reference.write({site.number: number})
            assert reference.slips("# a comment\n\n" + text.replace("    ", "\t")) == {site.number: number}


def test_several_slips_at_once_are_found_again() -> None:
    reference = Reference(PROGRAM)
    for seed in range(200):
        text = reference.write(fresh_slips(reference, PROFILES["weak"], Random(seed)))
        found = reference.slips(text)
        assert found is not None
        assert reference.write(found) == text


def test_another_program_is_not_the_reference_with_slips() -> None:
    reference = Reference(PROGRAM)
    assert reference.slips("print(1)") is None
    assert reference.slips("def best(:") is None
    assert reference.slips(PROGRAM.replace("total += values[index] * 3", "total += values[index] * 5")) is None


def test_no_slip_makes_a_loop_endless() -> None:
    for _, programs in sites_of(PROGRAM):
        for program in programs:
            assert "while count < 10:" in program
            assert "count += 1" in program
            assert "if count == 7:" in program


def test_docstrings_and_annotations_are_left_alone() -> None:
    for _, programs in sites_of('def f(x: "a[1]" = 2) -> "b[0]":\n    """Add 1."""\n    return x + 1'):
        assert all("x: 'a[1]'" in p and '"""Add 1."""' in p and "'b[0]'" in p for p in programs)


def test_a_program_with_nothing_to_mistake_can_still_lose_a_statement() -> None:
    assert sites_of("x = y")[0] == ("statement", ["pass"])


@pytest.mark.parametrize("program", ["def (", "", "import os"])
def test_a_reference_in_which_nothing_can_go_wrong_is_refused(program: str) -> None:
    with pytest.raises(ProblemError, match=r"does not parse|no statement"):
        Reference(program)


def test_slips_in_real_programs_are_found_again(shared: Path) -> None:
    with gzip.open(shared / "data" / "HumanEval.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    for record in records:
        reference = Reference(record["prompt"] + record["canonical_solution"])
        for seed in range(3):
            text = reference.write(fresh_slips(reference, PROFILES["weak"], Random(seed)))
            found = reference.slips(text)
            assert found is not None, record["task_id"]
            assert reference.write(found) == text
