"""The JSON of rllm, on which DeepCoder was trained: problems of several sources with their tests.

Read are rllm's files (`train_*.json`, `test_*.json`: arrays of `{"problem", "tests"}`) and the records of the hub
(`agentica-org/DeepCoder-Preview-Dataset`, configurations taco, primeintellect, lcbv5, codeforces). Tests come in three
forms, as JSON or as texts of it:
    {"inputs": [...], "outputs": [...], "fn_name": ...}                     as in APPS and TACO, with the same rules
    [{"type": "stdin_stdout" | "function_call", "fn_name", "input", "output"}, ...]    also with no "type", where a
                                                                            "fn_name" tells calls from texts
    [{"testtype": "stdin" | "functional", "input", "output", "metadata": {"func_name"}}, ...]  as in LiveCodeBench
Tested on the real file of CodeContests' test split (165 records), the other forms on records written by hand.

Splits: `train` (training) and `test` (evaluation). There are no ids: `DeepCoder/0` is the first record of the file. The
statement shows a test where input and output stand in it. There are no references in rllm's files.

Comparison is that of rllm's rewards. The first two forms follow TACO (`mars2_env.problems.taco`; in the train split
texts follow `stripped_lines`, as there), the third LiveCodeBench (`livecodebench_output`, `livecodebench_value`).
Before each program stand the imports of the harness in question.

Left out: records with a test that was cut off (of the real file one, number 39: outputs of an interactive problem that
end in "..."), and as in APPS.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from mars2_env.errors import ProblemError
from mars2_env.problems import preludes
from mars2_env.problems.apps import NotTestsError, checker_of, read_tests
from mars2_env.problems.base import ProblemSet, Use
from mars2_env.problems.catalogue import SETS
from mars2_env.problems.collect import UNREADABLE, Collection, call_of_lines
from mars2_env.problems.groups import NO_TESTS, shown_in
from mars2_env.problems.hub import rows
from mars2_env.problems.records import as_row, loads
from mars2_env.problems.taco import TEXTS
from mars2_env.types import Call, Interface, Stdin, TestCase


class _Row(msgspec.Struct):
    problem: str
    tests: Any
    starter_code: str | None = None
    metadata: Any = None


def load(
    *, path: str | None = None, split: str | None = None, hub: str | None = None, configuration: str | None = None
) -> ProblemSet:
    """Load one file of rllm's.

    Args:
        path: The file; the hub's where it is left out.
        split: "train" or "test"; where the file's name tells it, it need not be said.
        hub: Another place on the hub.
        configuration: "taco" (the default), "primeintellect", "lcbv5" or "codeforces", for the hub.

    Raises:
        ConfigError: there is no such split or file, or no way to the hub.
        ProblemError: a record is malformed; names file, record, field and value.
    """
    info = SETS["deepcoder"]
    chosen, use = info.choose(split, path)
    found = Collection(info, chosen, use)
    for number, (place, record) in enumerate(rows(info, path, chosen, hub, configuration)):
        row = as_row(place, record, _Row)
        try:
            interface, tests, checker = _tests(row, found.use)
        except NotTestsError as error:
            found.leave_out(str(error))
            continue
        stdin = isinstance(interface, Stdin)
        found.add(
            place,
            f"DeepCoder/{number}",
            row.problem,
            interface,
            tests,
            shown_in(row.problem, tests) if stdin else (),
            checker=checker,
            starter_code=row.starter_code or "",
        )
    return found.done(path)


def _tests(row: _Row, use: Use) -> tuple[Interface, list[TestCase], str]:
    """Return the interface, the tests, and the checker of the harness that goes with their form."""
    tests = _decoded(_decoded(row.tests))
    if isinstance(tests, list):
        tests = [_decoded(test) for test in tests]
        if any(isinstance(test, dict) and "testtype" in test for test in tests):
            interface, cases = _of_livecodebench(row, tests)
            return interface, cases, f"livecodebench_{'output' if isinstance(interface, Stdin) else 'value'}"
    interface, cases = read_tests(tests) if not isinstance(tests, list) else _listed(tests)
    return interface, cases, checker_of(interface, use, TEXTS)


def _listed(tests: list[Any]) -> tuple[Interface, list[TestCase]]:
    _check(tests)
    kinds = {test.get("type") for test in tests}
    functions = {test.get("fn_name") for test in tests}
    inputs, outputs = [test["input"] for test in tests], [test["output"] for test in tests]
    if kinds <= {"stdin", "stdin_stdout"} or (kinds <= {"stdin", "stdin_stdout", None} and not any(functions)):
        return read_tests({"inputs": inputs, "outputs": outputs})
    if kinds <= {"function_call", None}:
        return read_tests({"fn_name": tests[0].get("fn_name"), "inputs": inputs, "outputs": outputs})
    raise NotTestsError(UNREADABLE)


def _check(tests: list[Any]) -> None:
    if not tests:
        raise NotTestsError(NO_TESTS)
    if not all(isinstance(test, dict) and "input" in test and "output" in test for test in tests):
        raise NotTestsError(UNREADABLE)


def _of_livecodebench(row: _Row, tests: list[Any]) -> tuple[Interface, list[TestCase]]:
    _check(tests)
    kinds = {test.get("testtype") for test in tests}
    if kinds == {"stdin"}:
        interface, cases = read_tests({"inputs": [t["input"] for t in tests], "outputs": [t["output"] for t in tests]})
        return replace(interface, prelude=preludes.LIVECODEBENCH), cases
    if kinds == {"functional"}:
        return _functional(row, tests)
    raise NotTestsError(UNREADABLE)


def _functional(row: _Row, tests: list[dict[str, Any]]) -> tuple[Interface, list[TestCase]]:
    """Return calls whose arguments are the lines of a text, each of them JSON."""
    for metadata in (tests[0].get("metadata"), _decoded(row.metadata) if row.metadata else None):
        if isinstance(metadata, dict) and isinstance(metadata.get("func_name"), str):
            try:
                interface = Call(metadata["func_name"], preludes.LIVECODEBENCH)
                return interface, [call_of_lines(test["input"], test["output"]) for test in tests]
            except (ValueError, RecursionError, AttributeError, TypeError, ProblemError):
                break
    raise NotTestsError(UNREADABLE)


def _decoded(value: Any) -> Any:
    """Return the JSON that a text is; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return loads(value)
    except (ValueError, RecursionError):
        raise NotTestsError(UNREADABLE) from None
