"""APPS (Hendrycks et al. 2021, arXiv 2105.09938): 10,000 problems of contests and courses.

Read are the original folders (`train/0000/` with question.txt, input_output.json, solutions.json, starter_code.py) and
records of the hub's form (`codeparrot/apps`), in Parquet or as lines of JSON: problem_id (or id), question, solutions,
input_output, starter_code, the two in the middle as JSON texts. Tested on records written by hand in that schema.

Splits: `train` (training) and `test` (evaluation). The statement shows a test where input and output stand in it.

Tests. With a `fn_name` they are calls: `inputs` has a list of arguments for each, and an `output` may or may not be
wrapped in a list, which the file does not say; the checker `value_or_first_item` accepts both, as the official one
does, with what Python calls equal. A program may define the function, or a class `Solution` with a method of that name.
Else they are texts for standard input and output, or lists of lines. The reference is the first solution. As in the
official harness many imports stand before each program (not that of numpy).

Comparison of texts: in the test split the official one (checker `apps_output`), which ends in sets of words, so that it
accepts some wrong answers, such as lines in another order. Rewards in training must not: in the train split lines and
words count in order, and numbers by the judge's default rule (`stripped_lines`).

Left out: problems without tests, those whose tests are not readable JSON (or hold integers beyond Python's limit of
4300 digits), calls whose arguments are no list, and those with a test that was cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from mars2_env.errors import ProblemError
from mars2_env.problems import preludes
from mars2_env.problems.base import ProblemSet, Use
from mars2_env.problems.catalogue import SETS
from mars2_env.problems.collect import CUT, UNREADABLE, Collection, is_cut, time_limits
from mars2_env.problems.groups import NO_TESTS, shown_in
from mars2_env.problems.hub import rows
from mars2_env.problems.records import MAX_RECORD_BYTES, Place, as_row, loads
from mars2_env.types import Call, Interface, Stdin, TestCase

VALUES: Final = "value_or_first_item"
TEXTS: Final = "apps_output"
TEXTS_IN_TRAINING: Final = "stripped_lines"


class NotTestsError(ValueError):
    """A record's tests make none; the message is the reason under which it is counted."""


class _Row(msgspec.Struct):
    question: str
    input_output: Any = None
    solutions: Any = None
    starter_code: str | None = None
    problem_id: int | str | None = None
    id: int | str | None = None


def load(
    *, path: str | None = None, split: str | None = None, hub: str | None = None, configuration: str | None = None
) -> ProblemSet:
    """Load one split of APPS.

    Args:
        path: The folder `train` or `test` of the original, or a file of records; the hub's where it is left out.
        split: "train" or "test"; where the file's or folder's name tells it, it need not be said.
        hub: Another place on the hub.
        configuration: A difficulty of the hub's data: "introductory", "interview" or "competition"; all of them else.

    Raises:
        ConfigError: there is no such split or file, or no way to the hub.
        ProblemError: a record is malformed; names file, record, field and value.
    """
    info = SETS["apps"]
    chosen, use = info.choose(split, path)
    found = Collection(info, chosen, use)
    folders = _problem_folders(path)
    records = _original(folders) if folders else rows(info, path, chosen, hub, configuration)
    for number, (place, record) in enumerate(records):
        row = as_row(place, record, _Row)
        known = row.problem_id if row.problem_id is not None else row.id
        add(found, place, f"APPS/{chosen}/{number if known is None else known}", row)
    return found.done(None if folders else path)


def add(found: Collection, place: Place, id: str, row: Any, seconds: float | None = None, texts: str = TEXTS) -> None:
    """Add a problem whose record has the fields of APPS, or count it as left out; `texts` is the official checker."""
    try:
        interface, tests = read_tests(row.input_output)
    except NotTestsError as error:
        found.leave_out(str(error))
        return
    stdin = isinstance(interface, Stdin)
    found.add(
        place,
        id,
        row.question,
        interface,
        tests,
        shown_in(row.question, tests) if stdin else (),
        checker=checker_of(interface, found.use, texts),
        starter_code=row.starter_code or "",
        reference=_first(row.solutions),
        limits=time_limits(seconds),
    )


def checker_of(interface: Interface, use: Use, texts: str) -> str:
    """Return the checker of a problem; `texts` is the official one for texts, which may be too loose for rewards."""
    if isinstance(interface, Call):
        return VALUES
    return texts if use == "evaluation" else TEXTS_IN_TRAINING


def read_tests(input_output: Any) -> tuple[Interface, list[TestCase]]:
    """Return the interface and the tests that an `input_output` stands for: a JSON text or what it says.

    Raises:
        NotTestsError: it holds none, or none that can be read.
    """
    if isinstance(input_output, str):
        if not input_output.strip():
            raise NotTestsError(NO_TESTS)
        try:
            input_output = loads(input_output)
        except (ValueError, RecursionError):
            raise NotTestsError(UNREADABLE) from None
    if isinstance(input_output, dict):
        input_output = {key: _decoded(item) for key, item in input_output.items()}
    match input_output:
        case {"inputs": list() as inputs, "outputs": list() as outputs}:
            pass
        case None | [] | {}:
            raise NotTestsError(NO_TESTS)
        case _:
            raise NotTestsError(UNREADABLE)
    if not inputs or len(inputs) != len(outputs):
        raise NotTestsError(NO_TESTS if not inputs else UNREADABLE)
    function = input_output.get("fn_name")
    if function:
        return _call_tests(function, inputs, outputs)
    tests = [TestCase(_text(given), _text(wanted)) for given, wanted in zip(inputs, outputs, strict=True)]
    if any(is_cut(test.input) or is_cut(test.output) for test in tests):
        raise NotTestsError(CUT)
    return Stdin(preludes.APPS), tests


def _decoded(value: Any) -> Any:
    """Return the list that a text of JSON stands for; anything else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return loads(value)
    except (ValueError, RecursionError):
        raise NotTestsError(UNREADABLE) from None


def _call_tests(function: Any, inputs: list[Any], outputs: list[Any]) -> tuple[Interface, list[TestCase]]:
    try:
        interface = Call(function, preludes.APPS)
    except ProblemError:
        raise NotTestsError("calls of something that is no function's name") from None
    if not all(isinstance(arguments, list) for arguments in inputs):
        raise NotTestsError("calls whose arguments are no list")
    return interface, [
        TestCase([_int_keys(argument) for argument in arguments], _int_keys(wanted))
        for arguments, wanted in zip(inputs, outputs, strict=True)
    ]


def _int_keys(value: Any) -> Any:
    """Return a dict all of whose keys are digits with ints for them, as the official tests do: JSON has only texts."""
    if isinstance(value, dict) and value and all(key.isascii() and key.isdigit() for key in value):
        return {int(key): item for key, item in value.items()}
    return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(_text(item) for item in value)
    if isinstance(value, int | float):
        return str(value)
    raise NotTestsError(UNREADABLE)


def _first(solutions: Any) -> str | None:
    """Return the first solution of a JSON text of a list of them, or of a list."""
    if isinstance(solutions, str):
        try:
            solutions = loads(solutions) if solutions.strip() else None
        except (ValueError, RecursionError):
            return None
    first = solutions[0] if isinstance(solutions, list) and solutions else None
    return first if isinstance(first, str) and first.strip() else None


def _problem_folders(path: str | None) -> list[Path]:
    if path is None or not Path(path).is_dir():
        return []
    return sorted(folder for folder in Path(path).iterdir() if (folder / "question.txt").is_file())


def _original(folders: list[Path]) -> Iterator[tuple[Place, dict[str, Any]]]:
    for number, folder in enumerate(folders):
        place = Place(str(folder), number, "problem")
        record: dict[str, Any] = {"problem_id": folder.name}
        for name, field in _FILES.items():
            file = folder / name
            if not file.is_file():
                continue
            if file.stat().st_size > MAX_RECORD_BYTES:
                place.fail(field, f"{file} is larger than {MAX_RECORD_BYTES} bytes, the most that is read.")
            try:
                record[field] = file.read_text(encoding="utf-8-sig")
            except UnicodeDecodeError as error:
                place.fail(field, f"{file} is not UTF-8 text: {error}.")
        yield place, record


_FILES: Final = {
    "question.txt": "question",
    "input_output.json": "input_output",
    "solutions.json": "solutions",
    "starter_code.py": "starter_code",
}
