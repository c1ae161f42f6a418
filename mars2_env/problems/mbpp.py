"""MBPP (Austin et al. 2021, arXiv 2108.07732): 974 small functions, each with three asserts.

Read are the original file (`mbpp.jsonl`: text, code, test_list), the sanitized one (`sanitized-mbpp.json`: prompt,
code, test_list) and the same records from the hub (`google-research-datasets/mbpp`). Tested on the original's real
records, the sanitized form on records written by hand.

Splits, by task number, as the authors drew them: `prompt` 1-10 and `train` 601-974 (training), `validation` 511-600 and
`test` 11-510 (evaluation; `test` is the default).

The asserts of `test_list` are read, never run. `f(x) == y` becomes the checker `python_equality`: what Python calls
equal, so 0 for False, no list for a tuple, no tolerance for floats. `set(f(x)) == set(y)` becomes the checker
`same_set`, `int(f(x)) == y` the checker `integer_part`, `math.isclose(f(x), y, rel_tol=0.001)` the checker
`relative_error_1e-3`. The further asserts of `challenge_test_list` are no part of the official Pass@1 and are not read.
The name of the function is the one that the asserts call and the reference defines; statements do not always tell it.

Evaluation: all three are hidden, the first two public (the official prompt shows all three). Training: one each.

Left out, of all 974: 367, 601 and 927, whose arguments are objects of classes that the reference defines; 533, whose
arguments are types; 596, which asks for `sys.getsizeof`, a number of the machine ("tests that cannot be read"); 713 and
862 of the train split, which repeat a test ("fewer than 3 tests").

All of the other 967 references pass. 123, whose reference takes 2.6 s, has 10 s of CPU time instead of 3.
"""

from __future__ import annotations

import ast
from collections import Counter
from typing import Any, Final

import msgspec

from mars2_env.problems.asserts import CallTest, NotReadableError, parsed, read_assert, value
from mars2_env.problems.base import ProblemSet
from mars2_env.problems.catalogue import SETS
from mars2_env.problems.collect import UNREADABLE, Collection
from mars2_env.problems.hub import rows
from mars2_env.problems.records import Place, as_row
from mars2_env.types import Call, Limits, TestCase

_SLOW: Final = (123,)
_LIMITS: Final = Limits(cpu_seconds=10.0, wall_seconds=60.0)
_RANGES: Final = {"prompt": (1, 10), "test": (11, 510), "validation": (511, 600), "train": (601, 974)}


class _Row(msgspec.Struct):
    task_id: int
    code: str
    test_list: list[str]
    text: str | None = None
    prompt: str | None = None


def load(
    *, path: str | None = None, split: str | None = None, hub: str | None = None, configuration: str | None = None
) -> ProblemSet:
    """Load one split of MBPP.

    Args:
        path: `mbpp.jsonl` or `sanitized-mbpp.json`; the hub's where it is left out.
        split: "train", "validation", "test" (the default) or "prompt".
        hub: Another place on the hub.
        configuration: "full" (the default) or "sanitized", for the hub.

    Raises:
        ConfigError: there is no such split or file, or no way to the hub.
        ProblemError: the file is malformed; names file, line and field.
    """
    info = SETS["mbpp"]
    chosen, use = info.choose(split)
    first, last = _RANGES[chosen]
    found = Collection(info, chosen, use)
    for place, record in rows(info, path, chosen, hub, configuration):
        row = as_row(place, record, _Row)
        if not first <= row.task_id <= last:
            continue
        statement = _statement(place, row)
        try:
            function, tests, checker = _tests(row)
        except NotReadableError:
            found.leave_out(UNREADABLE)
            continue
        found.add(
            place,
            f"Mbpp/{row.task_id}",
            statement,
            Call(function),
            [TestCase(test.arguments, test.expected) for test in tests],
            checker=checker,
            limits=_LIMITS if row.task_id in _SLOW else Limits(),
            reference=row.code.replace("\r\n", "\n"),
        )
    return found.done(path)


def _statement(place: Place, row: _Row) -> str:
    text = row.prompt if row.text is None else row.text
    if not text:
        place.fail("text", "is missing (the sanitized file calls it prompt).")
    return text


def _tests(row: _Row) -> tuple[str, list[CallTest], str | None]:
    """Return the function's name, the tests and the checker that all of them need.

    Raises:
        NotReadableError: an assert is of a form that is not known.
    """
    asserts = []
    for text in row.test_list:
        match parsed(text.strip()).body:
            case [ast.Assert() as statement]:
                asserts.append(statement)
            case _:
                raise NotReadableError(f"{text!r} is not one assert.")
    function = _function(row.code, asserts)
    found = [_test(statement, function) for statement in asserts]
    checkers = {checker for test, checker in found if test is not None}
    if len(checkers) > 1:
        raise NotReadableError("the asserts compare in different ways.")
    return function, [test for test, _ in found if test is not None], next(iter(checkers), None)


def _function(code: str, asserts: list[ast.Assert]) -> str:
    defined = {node.name for node in ast.walk(parsed(code)) if isinstance(node, ast.FunctionDef)}
    called = Counter(
        node.func.id
        for statement in asserts
        for node in ast.walk(statement.test)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined
    )
    if not called:
        raise NotReadableError("the asserts call no function of the reference.")
    return called.most_common(1)[0][0]


def _test(statement: ast.Assert, function: str) -> tuple[CallTest | None, str | None]:
    """Return a test, and the checker that compares as its assert does."""
    match statement.test:
        case ast.Compare(
            left=ast.Call(func=ast.Name(id="set"), args=[ast.Call() as call], keywords=[]),
            ops=[ast.Eq()],
            comparators=[right],
        ) if _calls(call, function):
            return _equal(call, value(right), function), "same_set"
        case ast.Compare(
            left=ast.Call(func=ast.Name(id="int"), args=[ast.Call() as call], keywords=[]),
            ops=[ast.Eq()],
            comparators=[right],
        ):
            return _equal(call, value(right), function), "integer_part"
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="math"), attr="isclose"),
            args=[call, right],
            keywords=[ast.keyword(arg="rel_tol", value=ast.Constant(value=0.001))],
        ):
            return _equal(call, value(right), function), "relative_error_1e-3"
    test = read_assert(statement, function)
    if test is not None and test.tolerance is not None:
        raise NotReadableError(f"an absolute error of {test.tolerance}.")
    return test, None if test is None else test.checker


def _calls(node: ast.Call, function: str) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == function


def _equal(call: ast.expr, expected: Any, function: str) -> CallTest:
    test = read_assert(ast.Assert(ast.Compare(call, [ast.Eq()], [ast.Constant(0)])), function)
    if test is None:
        raise NotReadableError("not a call.")
    return CallTest(test.arguments, expected)
