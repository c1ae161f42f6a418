"""Tests read out of source text: what is read, what is refused, and that nothing is ever run."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from mars2_env.problems.asserts import CallTest, NotReadableError, parsed, read_check, read_examples, value


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("-3", -3),
        ("not 0", True),
        ("[1, (2, 'x'), {3}, {'k': None}]", [1, (2, "x"), {3}, {"k": None}]),
        ("3 * 19 * 19", 1083),
        ("2.0 / 3.0", 2.0 / 3.0),
        ("0 ** 0", 1),
        ("2 ** 100", 2**100),
        ("'ab' + 'c'", "abc"),
        ("'ab' * 3", "ababab"),
        ("3 * [0]", [0, 0, 0]),
        ("set()", set()),
        ("tuple([1, 2])", (1, 2)),
        ("len('abc')", 3),
        ("str(12)", "12"),
        ("round(2.567, 2)", 2.57),
        ("1 + 2j", 1 + 2j),
        ("b'x'", b"x"),
    ],
)
def test_plain_expressions_have_their_value(source: str, expected: Any) -> None:
    found = value(parsed(source, "eval").body)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "source",
    [
        "x",
        "...",
        "f(1)",
        "__import__('os')",
        "open('f')",
        "().__class__",
        "[x for x in (1, 2)]",
        "lambda: 1",
        "f'{1}'",
        "{**{}}",
        "[*(1, 2)]",
        "dict(a=1)",
        "1 if 1 else 2",
        "1 < 2",
        "(1, 2)[0]",
        "9 ** 9 ** 9",
        "10 ** 100000",
        "2.0 ** 100000",
        "1 << 10",
        "'a' * 10 ** 9",
        "[[0] * 1000] * 10 ** 6",
        "'%1000000000d' % 1",
        "'a' - 'b'",
        "1 / 0",
        "{[1]: 2}",
        "{[1]}",
        "len(3)",
        "round('x')",
        "-'x'",
        "range(10 ** 9)",
        "list(range(3))",
    ],
)
def test_all_else_is_refused(source: str) -> None:
    with pytest.raises(NotReadableError):
        value(parsed(source, "eval").body)


@pytest.mark.parametrize(
    "source", ["(" * 5000, "[" * 100 + "]" * 100 + "(", "1 +", "\0", "x" * (2**20 + 1), "-" * 90_000 + "1"]
)
def test_source_that_is_no_python_or_too_much_is_refused(source: str) -> None:
    with pytest.raises(NotReadableError):
        value(parsed(source, "eval").body)


def test_a_check_function_becomes_calls_and_values() -> None:
    tests = read_check(
        """
METADATA = {"author": "nobody"}

def check(candidate):
    "asserts"
    assert True, "always"
    assert candidate(1, [2]) == 3, "message"
    assert 4 == candidate()
    assert candidate("a")
    assert not candidate("b")
    assert candidate("c") is None
    assert tuple(candidate([1])) == tuple([1])
    assert abs(candidate(1.5) - 0.5) < 1e-6
    pass
"""
    )
    assert tests == [
        CallTest([1, [2]], 3),
        CallTest([], 4),
        CallTest(["a"], True, checker="python_truth"),
        CallTest(["b"], False, checker="python_truth"),
        CallTest(["c"], None, checker="python_identity"),
        CallTest([[1]], (1,), checker="python_items"),
        CallTest([1.5], 0.5, tolerance=1e-6),
    ]
    assert tests[2].expected is True


@pytest.mark.parametrize(
    "body",
    [
        "assert candidate(1) != 2",
        "assert candidate(1) < 2",
        "assert candidate(1) == candidate(2)",
        "assert candidate(x=1) == 2",
        "assert candidate(*[1]) == 2",
        "assert other(1) == 2",
        "assert candidate(1) == 2 == 2",
        "assert 0",
        "x = 3",
        "for x in (1, 2):\n        assert candidate(x) == x",
        "import os",
        "open('f', 'w')",
        "pass",
    ],
)
def test_other_forms_are_refused_with_the_piece_that_was_not_understood(body: str) -> None:
    with pytest.raises(NotReadableError):
        read_check(f"def check(candidate):\n    {body}\n")


def test_nothing_in_a_check_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    source = f"open({str(mark)!r}, 'w')\ndef check(candidate):\n    assert candidate(open({str(mark)!r}, 'w')) == 1\n"
    ast.parse(source)
    with pytest.raises(NotReadableError):
        read_check(source)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        (">>> f(1, [2])\n[3]", [1, [2]], [3]),
        (">>> f(1) # why\n'x'\n>>> g(2)", [1], "x"),
        (">>> f(1)\n[1,\n 2]\n", [1], [1, 2]),
        (">>> f(1)\n\nmore", [1], None),
        (">>> f('a)b')\n1", ["a)b"], 1),
        (">>> f(1) == 2", [1], 2),
        ("f(1) => true", [1], True),
        ("* f(1) ==> [2]", [1], [2]),
        ("f([\n  1,\n  2,\n]) == 3", [[1, 2]], 3),
        ("f(2) -> 1 + 1 = 2", [2], 2),
        ("f(2) = 2 (as it says)", [2], 2),
        ("f(2)   # returns 'db'", [2], "db"),
        ("f(2) should return 20.", [2], 20),
        ("f(2) returns [1] # because", [2], [1]),
        ("f('x') \u279e 'y'", ["x"], "y"),
    ],
)
def test_examples_of_a_statement_are_read(text: str, arguments: list[Any], expected: Any) -> None:
    statement = 'def f(x):\n    """Examples:\n    ' + text.replace("\n", "\n    ") + '\n    """\n'
    assert read_examples(statement, "f") == [CallTest(arguments, expected)]


@pytest.mark.parametrize(
    "text",
    [
        "f(n) == f(n - 1)",
        "half(1) == 2",
        "x.f(1) == 2",
        "f(1) is nice",
        "if f(1) == 2",
        "f(1 == 2",
        "f(a) => False",
        "f",
    ],
)
def test_what_is_no_example_is_passed_over(text: str) -> None:
    assert read_examples(f'def f(x):\n    """\n    {text}\n    """\n', "f") == []
