"""HumanEval+ and MBPP+ (Liu et al. 2023, arXiv 2305.01210): the functions of HumanEval and MBPP with many more tests.

Read are two forms, as lines of JSON or Parquet:
    of the hub (`evalplus/humanevalplus`, `evalplus/mbppplus`): `test` is a source with lists `inputs` and `results`;
        a few have no `results` but compute them, which is done as below where there is a sandbox, or they are left out
    of the releases (`HumanEvalPlus.jsonl.gz`, `MbppPlus.jsonl.gz`): base_input, plus_input, canonical_solution, atol.
        They hold no expected values: these are what the canonical solution returns, which is run for it in a sandbox,
        `load_problems("evalplus", path=..., sandbox=mars2_env.make_sandbox())`. Write the set to a file of ours with
        `write_jsonl` to do that once.
Tested on records written by hand in these schemas.

An evaluation set; its only split is `test`. hidden: the base and the plus inputs. public: the examples of the
statement, else the first two. Comparison is the source's (checkers `evalplus`, `evalplus_1e-6`, `evalplus_1e-4`): what
Python calls equal, or where floats are expected, or the task allows an absolute error, a value of the expected type
within it (1e-6 for floats) or within 1e-7 of its size. Where the source compares in a way of its own (sets, matches,
two readings of a statement), a checker does too. What a prompt of HumanEval+ holds beside the function is there when a
program runs, even where the program leaves it out.

In the release form MBPP+'s inputs are JSON, which has no tuples, sets and complex numbers; they are made again, by the
number of the task, as the source's own reader does.

Left out: a task for which the source accepts any answer (Mbpp/164), tests that cannot be read, and a canonical solution
that does not return plain data within 10 s.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from mars2_env.errors import ConfigError, ProblemError
from mars2_env.problems import preludes
from mars2_env.problems.asserts import CallTest, Floats, NotReadableError, parsed, quotable, read_examples, value
from mars2_env.problems.base import ProblemSet
from mars2_env.problems.catalogue import SETS
from mars2_env.problems.collect import UNREADABLE, Collection, can_cross
from mars2_env.problems.hub import rows
from mars2_env.problems.plain import to_json
from mars2_env.problems.records import Place, as_row
from mars2_env.sandbox.worker.values import ValuesError
from mars2_env.types import Call, Interface, Limits, Run, TestCase

MAX_SOURCE: Final = 16 * 2**20
ANY_ANSWER: Final = "the source accepts any answer"
COMPUTED: Final = "expected values are computed; sandbox= runs the canonical solution for them"
NO_VALUE: Final = "the canonical solution does not return plain data in time"

_LIMITS: Final = Limits(cpu_seconds=10.0, wall_seconds=30.0, output_bytes=16 * 2**20)


class Runs(Protocol):
    """What is needed of a sandbox."""

    def run(self, program: str, inputs: Sequence[Any], *, interface: Interface, limits: Limits) -> list[Run]:
        """Run a program on each input."""
        ...


class _Row(msgspec.Struct):
    task_id: str | int
    prompt: str
    canonical_solution: str | None = None
    code: str | None = None
    entry_point: str | None = None
    test: str | None = None
    base_input: list[list[Any]] | None = None
    plus_input: list[list[Any]] | dict[str, Any] | None = None
    atol: float = 0.0


def load(
    *, path: str | None = None, split: str | None = None, hub: str | None = None, sandbox: Runs | None = None
) -> ProblemSet:
    """Load HumanEval+ or MBPP+.

    Args:
        path: A file of either form; the hub's HumanEval+ where it is left out.
        split: "test", the only one there is.
        hub: Another place on the hub, such as "evalplus/mbppplus".
        sandbox: What runs canonical solutions where there are no expected values.

    Raises:
        ConfigError: there is no such split or file, no way to the hub, or no sandbox where one is needed.
        ProblemError: a record is malformed; names file, record, field and value.
        SandboxError: the sandbox could not run a solution.
    """
    info = SETS["evalplus"]
    chosen, use = info.choose(split)
    found = Collection(info, chosen, use)
    for place, record in rows(info, path, chosen, hub):
        row = as_row(place, record, _Row)
        id = row.task_id if isinstance(row.task_id, str) else f"Mbpp/{row.task_id}"
        if id == "Mbpp/164":
            found.leave_out(ANY_ANSWER)
            continue
        program = row.code or row.prompt + (row.canonical_solution or "")
        tests: list[CallTest] | None
        try:
            if row.base_input is None:
                function, tests, tolerance = _written(place, row, program, sandbox)
            else:
                function, tests, tolerance = _computed(place, row, id, program, sandbox)
            prompt = row.prompt if id.startswith("HumanEval/") else ""
            interface = Call(function, preludes.of_source(prompt, without=function))
            checker = _checker(function, tolerance)
        except _ComputedError:
            found.leave_out(COMPUTED)
            continue
        except (NotReadableError, ProblemError) as error:
            if isinstance(error, ProblemError) and str(place) in str(error):
                raise
            found.leave_out(UNREADABLE)
            continue
        if tests is None:
            found.leave_out(NO_VALUE)
            continue
        examples = quotable(read_examples(row.prompt, function), tests)
        found.add(
            place,
            id,
            row.prompt.strip().strip('"').strip() + "\n" if id.startswith("Mbpp/") else row.prompt,
            interface,
            [TestCase(test.arguments, test.expected) for test in tests],
            [TestCase(test.arguments, test.expected) for test in examples],
            checker=checker,
            starter_code=row.prompt if id.startswith("HumanEval/") else "",
            reference=program,
        )
    return found.done(path)


def _checker(function: str, tolerance: float) -> str:
    if function in _CHECKERS:
        return _CHECKERS[function]
    match tolerance:
        case 0:
            return "evalplus"
        case 1e-6:
            return "evalplus_1e-6"
        case 1e-4:
            return "evalplus_1e-4"
    raise NotReadableError(f"an absolute error of {tolerance}; only 1e-6 and 1e-4 are known.")


_CHECKERS: Final = {
    "find_zero": "polynomial_root",
    "sum_div": "expected_or_zero",
    "surface_Area": "pyramid_surface",
    "digit_distance_nums": "digit_distance",
    **dict.fromkeys(("check_str", "text_match_three", "text_starta_endb"), "truth_or_not_none"),
    **dict.fromkeys(
        (
            "similar_elements",
            "find_char_long",
            "common_in_nested_lists",
            "extract_singly",
            "larg_nnum",
            "intersection_array",
            "find_dissimilar",
            "Diff",
        ),
        "same_set",
    ),
}


def _written(place: Place, row: _Row, program: str, sandbox: Runs | None) -> tuple[str, list[CallTest] | None, float]:
    """Return the function, the tests and the absolute error of the hub's form; None for tests where there is no value.

    Raises:
        NotReadableError: it is of another form, or has no expected values and there is no sandbox.
    """
    if row.test is None:
        place.fail("test", "is missing (as is base_input).")
    body = parsed(row.test, most=MAX_SOURCE).body
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == "check":
            body = node.body
    lists: dict[str, Any] = {}
    call: ast.Call | None = None
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)], value=listed) if target in ("inputs", "results"):
                try:
                    lists[target] = value(Floats().visit(listed))
                except RecursionError:
                    raise NotReadableError("a list that is nested too deeply.") from None
            case ast.For(body=[ast.Expr(value=ast.Call(func=ast.Name(id="assertion")) as call)]):
                pass
    inputs, results = lists.get("inputs"), lists.get("results")
    if not isinstance(inputs, list):
        raise NotReadableError("there is no list `inputs`.")
    match call:
        case ast.Call(args=[ast.Call(func=ast.Name(id=name)), ast.Name(id="exp"), bound]) if isinstance(results, list):
            if len(inputs) != len(results):
                raise NotReadableError("`inputs` and `results` are not two lists of one length.")
            tests = [CallTest(list(arguments), wanted) for arguments, wanted in zip(inputs, results, strict=True)]
            return row.entry_point or name, tests, float(value(bound))
        case ast.Call(args=[ast.Call(func=ast.Name(id=name)), _, bound]):
            function, tolerance = row.entry_point or name, float(value(bound))
        case _:
            function, tolerance = row.entry_point or "", 0.0
    if function not in _CHECKERS and call is None:
        raise NotReadableError("no loop of `assertion(f(*inp), exp, atol)`.")
    if sandbox is None:
        raise _ComputedError
    return function, _returned(program, function, [list(arguments) for arguments in inputs], sandbox), tolerance


class _ComputedError(NotReadableError):
    """Expected values are computed, and there is no sandbox to do so."""


def _computed(
    place: Place, row: _Row, id: str, program: str, sandbox: Runs | None
) -> tuple[str, list[CallTest] | None, float]:
    """Return the function, the tests and the absolute error of the release form, by running the canonical solution."""
    if sandbox is None:
        raise ConfigError(
            f"evalplus: {place.path} holds no expected values. Pass sandbox=mars2_env.make_sandbox(), which runs the "
            "canonical solutions for them, or give a file of the hub's form (evalplus/humanevalplus)."
        )
    if row.entry_point is None:
        place.fail("entry_point", "is missing.")
    plus = row.plus_input if isinstance(row.plus_input, list) else []
    inputs = [_typed(place, id, arguments) for arguments in (row.base_input or []) + plus]
    return row.entry_point, _returned(program, row.entry_point, inputs, sandbox), row.atol


def _returned(program: str, function: str, inputs: list[list[Any]], sandbox: Runs) -> list[CallTest] | None:
    """Return tests that expect what a program returns; None where it fails, or returns what is no plain data."""
    if not all(can_cross(TestCase(arguments, None)) for arguments in inputs):
        raise NotReadableError("an argument beyond what a sandbox takes.")
    runs = sandbox.run(program, inputs, interface=Call(function), limits=_LIMITS)
    if any(run.status != "ok" for run in runs):
        return None
    try:
        for run in runs:
            to_json(run.output)
    except ValuesError:
        return None
    return [CallTest(arguments, run.output) for arguments, run in zip(inputs, runs, strict=True)]


def _typed(place: Place, id: str, arguments: list[Any]) -> list[Any]:
    """Return arguments of MBPP+ with the types that JSON lacks."""
    convert = _TYPES.get(id)
    if convert is None:
        return arguments
    try:
        return convert(arguments)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        place.fail("base_input", f"arguments of {id} of an unexpected form ({error}): {str(arguments)[:80]}.")


def _each(arguments: list[Any]) -> list[Any]:
    return [tuple(argument) for argument in arguments]


def _items(arguments: list[Any]) -> list[Any]:
    return [[tuple(item) for item in argument] for argument in arguments]


def _items_and_each(arguments: list[Any]) -> list[Any]:
    return [tuple(tuple(item) for item in argument) for argument in arguments]


def _items_of_first(arguments: list[Any]) -> list[Any]:
    return [[tuple(item) for item in arguments[0]], arguments[1]]


def _first(arguments: list[Any]) -> list[Any]:
    return [tuple(arguments[0]), *arguments[1:]]


def _second(arguments: list[Any]) -> list[Any]:
    return [arguments[0], tuple(arguments[1])]


def _deep(value: Any) -> Any:
    return tuple(_deep(item) for item in value) if isinstance(value, list) else value


_BY_FORM: Final[list[tuple[Callable[[list[Any]], list[Any]], tuple[int, ...]]]] = [
    (
        _each,
        (2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809),
    ),
    (_items, (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780)),
    (_items_of_first, (75, 413, 444, 753)),
    (_second, (106, 750)),
    (_first, (250, 307, 405, 446, 617, 720, 763, 808)),
    (_items_and_each, (259, 401, 445)),
    (lambda a: [[set(item) if isinstance(item, list) and item else {} for item in a[0]]], (115,)),
    (lambda a: [float(a[0]), complex(a[1])], (124,)),
    (lambda a: [complex(a[0])], (252,)),
    (lambda a: [tuple(tuple(item) if isinstance(item, list) else item for item in a[0])], (278,)),
    (lambda a: [{key: tuple(item) for key, item in a[0].items()}, *a[1:]], (722,)),
    (lambda a: [_deep(item) for item in a], (580, 615, 791)),
]

_TYPES: Final = {f"Mbpp/{number}": convert for convert, numbers in _BY_FORM for number in numbers}
"""Id -> what makes a task's arguments of their JSON: facts of the source, told by nothing in its records."""
