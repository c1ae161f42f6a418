"""The rules of the sources, as tables of pairs; where a source compares by Python's `==`, Python itself is asked."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from math import inf, nan
from typing import Any

import pytest

from mars2_env.judge import Judge
from mars2_env.judge.checkers import CHECKERS, checker, checks
from mars2_env.sandbox.scripted import ScriptedSandbox
from mars2_env.sandbox.worker.values import Opaque
from mars2_env.types import Call, Problem, Run, TestCase

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 3, 3.0, 0.3, 0.1 + 0.2, 3 + 0j, 1j, Fraction(1, 2), 0.5, 10**9, 10**9 + 900, 1e9),
    *("", "a", "1", b"a", [], [1], [1.0], [True], (), (1,), [(1,)], [[1]], {1}, {1.0}, set(), frozenset({1})),
    *({}, {"a": 1}, {"a": True}, {1: "a"}, {1.0: "a"}, inf, -inf, 7**6000, [7**6000], [1, 2], (1, 2), (2, 1)),
]


def accepts(name: str, output: Any, expected: Any) -> bool:
    return checks(name, checker(name), [1], output, expected)


def python_says(source: str, output: Any, expected: Any) -> bool:
    """Whether an assert holds, as the sources' own harnesses decide it."""
    try:
        exec(source, {"f": lambda: output, "y": expected})
    except Exception:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("python_equality", "assert f() == y"),
        ("python_items", "assert tuple(f()) == tuple(y)"),
        ("same_set", "assert set(f()) == set(y)"),
        ("integer_part", "assert int(f()) == y"),
    ],
)
def test_asserts_hold_for_the_same_values_as_in_python(name: str, source: str) -> None:
    for output, expected in product(VALUES, VALUES):
        if name == "integer_part" and (type(expected) is not int or isinstance(output, complex | Fraction | bytes)):
            continue
        assert accepts(name, output, expected) == python_says(source, output, expected), (output, expected)


@pytest.mark.parametrize("output", VALUES, ids=lambda value: type(value).__name__)
def test_truth_and_identity_are_those_of_python(output: Any) -> None:
    assert accepts("python_truth", output, True) == python_says("assert f()", output, None)
    assert accepts("python_truth", output, False) == python_says("assert not f()", output, None)
    for expected in (True, False, None):
        assert accepts("python_identity", output, expected) == python_says("assert f() is y", output, expected)


def test_what_is_no_plain_data_is_no_answer() -> None:
    for name in ("python_equality", "python_identity", "python_truth", "python_items", "same_set", "evalplus"):
        for expected in (True, False, None, 0, [], "T", [1]):
            assert not accepts(name, Opaque("T"), expected), (name, expected)


LIVECODEBENCH: list[tuple[str, str, bool]] = [
    ("1\n", "1", True),
    ("1.0", "1", True),
    ("1e3", "1000.00", True),
    ("007", "7", True),
    (" 1 2 \n\n", "1 2", True),
    ("  *\n***", "*\n***", True),
    ("1  2", "1 2", True),
    ("a  b", "a b", False),
    ("YES", "yes", False),
    ("1 2", "1\n2", False),
    ("1\n2", "1 2", False),
    ("1\n\n2", "1\n2", False),
    ("0.3333333333", "0.3333333334", False),
    ("50000000000000000", "50000000000000001", False),
    ("1000000900", "1000000000", False),
    ("a 1.0", "a 1", False),
    ("a 1", "a 1", True),
    ("nan", "nan", True),
    ("nan 1.0", "nan 1", False),
    ("inf 1.0", "inf 1", True),
    ("sNaN", "1", False),
    ("", "", True),
    ("", "1", False),
    ("9" * 6000 + ".0", "9" * 6000, True),
    ("9" * 6000, "9" * 5999 + "8", False),
]

CODECONTESTS: list[tuple[str, str, bool]] = [
    ("yes", "YES", True),
    ("1 2", "1\n2", True),
    (" 1\t2\r\n", "1\n2\n\n", True),
    ("1.0", "1", True),
    ("+1", "1", True),
    ("007", "7", True),
    ("0.5000099", "0.5", True),
    ("0.500011", "0.5", False),
    ("1.000009", "1", True),
    ("2", "1", False),
    ("1000000900", "1000000000", False),
    ("1000000000.001", "1000000000", False),
    ("100000000000000000", "100000000000000001", False),
    ("1e5", "100000", True),
    ("0x10", "16", False),
    ("1_0", "10", False),
    ("nan", "0.5", False),
    ("inf", "1e308", False),
    ("a", "a b", False),
    ("b a", "a b", False),
    ("\u0131", "I", False),
    ("9" * 6000, "9" * 6000, True),
    ("9" * 6000, "9" * 5999 + "8", False),
]

APPS: list[tuple[str, str, bool]] = [
    ("1\n", "1", True),
    (" 1 \n2 ", "1\n2", True),
    ("1\n\n2", "1\n2", True),
    ("1 2", "1  2", True),
    ("0.333333", "0.3333333", True),
    ("0.34", "0.33", False),
    ("1\n2.0", "1.0\n2", True),
    ("1.0 2", "1 2.0", True),
    ("2\n1", "1\n2", True),
    ("2 1", "1 2", True),
    ("1 1 2", "1 2 2", True),
    ("1 3", "1 2", False),
    ("a", "A", False),
    ("ab c", "a bc", False),
    ("0.12341 a", "0.12342 a", False),
    ("0.12341 5", "0.12342 5", True),
    ("nan", "1", False),
    ("", "1", False),
]

TACO: list[tuple[str, str, bool]] = [
    ("1\n", "1", True),
    ("\n 1 2\n", "1 2", True),
    ("10 \n20", "10\n20", False),
    ("10 20", "10  20", False),
    ("10.0", "10", False),
    ("20\n10", "10\n20", False),
    ("5", "5.0", True),
    ("2\n1\n", "1\n2", True),
    ("10", "1 0", True),
    ("12", "13", False),
    ("YES", "Yes", False),
]

STRIPPED: list[tuple[str, str, bool]] = [
    (" 1 2\n 3", "1 2\n3", True),
    ("5.0", "5", True),
    ("2\n1", "1\n2", False),
    ("2 1", "1 2", False),
    ("1000000900", "1000000000", False),
    ("0.3333333", "0.3333334", True),
]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("livecodebench_output", LIVECODEBENCH),
        ("codecontests_output", CODECONTESTS),
        ("apps_output", APPS),
        ("taco_output", TACO),
        ("stripped_lines", STRIPPED),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_texts_compare_by_the_rule_of_the_source(name: str, table: list[tuple[str, str, bool]]) -> None:
    for output, expected, right in table:
        assert accepts(name, output, expected) == right, (name, output, expected)


@pytest.mark.parametrize(
    ("name", "output", "expected", "right"),
    [
        ("livecodebench_value", (1, 2), [1, 2], True),
        ("livecodebench_value", [(1, 2)], [[1, 2]], False),
        ("livecodebench_value", True, 1, True),
        ("livecodebench_value", 0.1 + 0.2, 0.3, False),
        ("livecodebench_value", 10**9 + 900, 10**9, False),
        ("value_or_first_item", 2, [2], True),
        ("value_or_first_item", (2, 3), [2, 3], True),
        ("value_or_first_item", [(1, 2)], [[[1, 2]]], True),
        ("value_or_first_item", [(1, 2)], [[1, 2]], False),
        ("value_or_first_item", {3: 2}, [{"3": 2}], True),
        ("value_or_first_item", 2, [3, 2], False),
        ("value_or_first_item", [], [], True),
        ("value_or_first_item", 1.0000001, 1, False),
        ("evalplus", True, 1, True),
        ("evalplus", [1], (1,), False),
        ("evalplus", 0.3 + 1e-7, 0.3, True),
        ("evalplus", [0.3, 0.5], [0.30000001, 0.5], True),
        ("evalplus", [0.3, 1], [0.30000001, 1], False),
        ("evalplus", (0.3,), [0.30000001], False),
        ("evalplus", 10**9 + 1, 10**9, False),
        ("evalplus_1e-6", 3, 3.0000001, False),
        ("evalplus_1e-6", 3.0, 3.0000001, True),
        ("evalplus_1e-6", [[0.5], 1], [[0.5000001], 1], True),
        ("evalplus_1e-6", 0.5001, 0.5, False),
        ("evalplus_1e-4", 0.50005, 0.5, True),
        ("evalplus_1e-4", inf, inf, True),
        ("evalplus_1e-4", nan, nan, False),
        ("evalplus_1e-4", "a", "b", False),
        ("evalplus_1e-4", [7**6000], [0.5], False),
        ("absolute_error_1e-6", 0.5000009, 0.5, True),
        ("absolute_error_1e-6", 0.500001, 0.5, False),
        ("absolute_error_1e-6", [7**6000], 0.5, False),
    ],
)
def test_values_compare_by_the_rule_of_the_source(name: str, output: Any, expected: Any, right: bool) -> None:
    assert accepts(name, output, expected) == right


@pytest.mark.parametrize("name", [name for name in CHECKERS.names() if CHECKERS.owns(name)])
def test_no_output_makes_a_checker_fail(name: str) -> None:
    texts = name.endswith("_output") or name == "stripped_lines"
    outputs = (
        ["", "\x00", "\ud800", "nan " * 100, "1e999999", "-", "[" * 1000] if texts else [*VALUES, Opaque("T"), nan]
    )
    for output in outputs:
        for expected in ["1", "0.5", "a b", ""] if texts else [1, 0.5, "a", [1], None, True]:
            accepts(name, output, expected)  # a JudgeError would end the test


@pytest.mark.parametrize(
    "expected", [7**6000, 7**6000 + 1, [7**6000], {7**6000: 1}, 0.5, "a"], ids=lambda value: type(value).__name__
)
def test_a_wrong_answer_of_thousands_of_digits_is_no_error(expected: Any) -> None:
    big = 7**6000
    for output in (big, [big], {big: big}, (big, Fraction(1, 2))):
        problem = Problem("p", "s", interface=Call("f"), public=(TestCase([], expected),))
        verdict = Judge(ScriptedSandbox({"program": Run("ok", output=output)})).grade(problem, "program")
        assert verdict.passed == (output == expected)
        assert verdict.feedback is None or verdict.feedback.actual


def rule(name: str) -> Callable[[str, str], bool]:
    return lambda output, expected: accepts(name, output, expected)


@pytest.mark.parametrize("name", ["livecodebench_output", "codecontests_output", "apps_output", "taco_output"])
def test_whole_numbers_of_thousands_of_digits_are_compared(name: str) -> None:
    assert rule(name)("9" * 5000, "9" * 5000 + "\n")
    assert not rule(name)("8" + "9" * 4999, "9" * 5000)
