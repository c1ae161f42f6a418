"""LiveCodeBench (Jain et al. 2024, arXiv 2403.07974), code generation: contest problems with the dates of the contests.

Read are the release files (`test.jsonl`, `test2.jsonl`, ..., of `livecodebench/code_generation_lite` or the full
set): question_id, question_content, platform, contest_date, difficulty, starter_code, public_test_cases,
private_test_cases, metadata. Give one file, or a folder of them. Tested on records written by hand in that schema.

An evaluation set; its only split is `test`. `start_date` and `end_date` bound the contest's date, both included: with
problems from after a model's training data ended it cannot have seen them.

Tests: those of type `stdin` are texts; `functional` ones are calls of the method `func_name` of `class Solution` (or of
a function of that name) whose arguments are lines of JSON. Official are the public and the private ones; the
statement shows the public ones. Private tests are JSON, or a text of it that was pickled, compressed and written in
base64. That pickle is never loaded: a reader that can build nothing but plain data reads it
(`mars2_env.problems.pickled`), and what it may decompress to is bounded.

CPU time is 6 s, the official limit. As in the official harness many imports stand before each program, and the
recursion limit is 50,000; the starter code begins with the import of `typing`.

Comparison is the official one. Texts (checker `livecodebench_output`): stripped lines, in equal number, that are equal
or hold numbers of equal `Decimal` values. Values (`livecodebench_value`): what Python calls equal, a returned tuple
counting as a list.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from datetime import date, datetime
from typing import Any, Final

import msgspec

from mars2_env.errors import ConfigError, ProblemError
from mars2_env.problems import preludes
from mars2_env.problems.base import ProblemSet
from mars2_env.problems.catalogue import SETS
from mars2_env.problems.collect import CUT, Collection, call_of_lines, is_cut
from mars2_env.problems.hub import rows
from mars2_env.problems.pickled import UnreadablePickleError, read_pickle
from mars2_env.problems.records import Place, as_row, from_json_text, short
from mars2_env.types import Call, Interface, Limits, Stdin, TestCase

MAX_PRIVATE_BYTES: Final = 512 * 2**20
"""The most that the private tests of one problem may decompress to."""

_LIMITS: Final = Limits(cpu_seconds=6.0, wall_seconds=18.0)
_TYPING: Final = "from typing import *\n\n\n"


class _Row(msgspec.Struct):
    question_id: str
    question_content: str
    contest_date: str
    public_test_cases: str | list[Any]
    private_test_cases: str | list[Any]
    metadata: str | dict[str, Any] = ""
    starter_code: str | None = None
    platform: str = ""
    difficulty: str = ""


class _Test(msgspec.Struct):
    input: str
    output: str
    testtype: str


def load(
    *,
    path: str | None = None,
    split: str | None = None,
    hub: str | None = None,
    start_date: str | date | None = None,
    end_date: str | date | None = None,
    platform: str | None = None,
    difficulty: str | None = None,
) -> ProblemSet:
    """Load LiveCodeBench.

    Args:
        path: A release file or a folder of them; the hub's where it is left out.
        split: "test", the only one there is.
        hub: Another place on the hub.
        start_date: The first date of a contest that is taken, such as "2024-08-01".
        end_date: The last one.
        platform: Only problems of "leetcode", "atcoder" or "codeforces".
        difficulty: Only "easy", "medium" or "hard" ones.

    Raises:
        ConfigError: there is no such split or file, a date is none, or there is no way to the hub.
        ProblemError: a record is malformed; names file, record, field and value.
    """
    info = SETS["livecodebench"]
    chosen, use = info.choose(split)
    first, last = _date("start_date", start_date, date.min), _date("end_date", end_date, date.max)
    if first > last:
        raise ConfigError(f"livecodebench: start_date {first} is after end_date {last}.")
    found = Collection(info, chosen, use)
    for place, record in rows(info, path, chosen, hub):
        row = as_row(place, record, _Row)
        if not first <= _contest_date(place, row.contest_date) <= last:
            found.leave_out(f"contests outside {start_date or 'the beginning'} to {end_date or 'the end'}")
            continue
        if platform not in (None, row.platform) or difficulty not in (None, row.difficulty):
            found.leave_out(f"not {' '.join(filter(None, (difficulty, platform)))}")
            continue
        public = _decoded(place, "public_test_cases", row.public_test_cases)
        private = _decoded(place, "private_test_cases", row.private_test_cases)
        interface = _interface(place, row, public + private)
        shown = [_case(place, "public_test_cases", test, interface) for test in public]
        official = shown + [_case(place, "private_test_cases", test, interface) for test in private]
        if isinstance(interface, Stdin) and any(is_cut(test.input) or is_cut(test.output) for test in official):
            found.leave_out(CUT)
            continue
        starter = (row.starter_code or "").rstrip()
        found.add(
            place,
            row.question_id,
            row.question_content,
            interface,
            official,
            shown,
            checker="livecodebench_output" if isinstance(interface, Stdin) else "livecodebench_value",
            starter_code=f"{_TYPING}{starter}\n" if starter else "",
            limits=_LIMITS,
            metadata={"contest_date": row.contest_date, "platform": row.platform, "difficulty": row.difficulty},
        )
    return found.done(path)


def _date(name: str, given: str | date | None, otherwise: date) -> date:
    if given is None:
        return otherwise
    if isinstance(given, datetime):
        return given.date()
    if isinstance(given, date):
        return given
    try:
        return date.fromisoformat(given)
    except (TypeError, ValueError):
        raise ConfigError(f"livecodebench: {name}={given!r} is no date; write it as 2024-08-01.") from None


def _contest_date(place: Place, text: str) -> date:
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        place.fail("contest_date", f"{short(text)} is no date.")


def _decoded(place: Place, field: str, tests: str | list[Any]) -> list[_Test]:
    """Return the tests of a field: a list, JSON of one, or base64 of a compressed pickle of that JSON."""
    found: Any = tests
    if isinstance(tests, str):
        if not tests.lstrip().startswith("["):
            tests = _unpacked(place, field, tests)
        found = from_json_text(place, field, tests) if isinstance(tests, str) else tests
    try:
        return msgspec.convert(found, list[_Test])
    except msgspec.ValidationError as error:
        place.fail(field, f"{error}: {short(found)}.")


def _unpacked(place: Place, field: str, text: str) -> Any:
    try:
        packed = base64.b64decode(text, validate=True)
        inflate = zlib.decompressobj()
        data = inflate.decompress(packed, MAX_PRIVATE_BYTES)
        if inflate.unconsumed_tail or not inflate.eof:
            place.fail(field, f"is cut off, or holds more than {MAX_PRIVATE_BYTES} bytes, the most that is read.")
        return read_pickle(data)
    except (binascii.Error, ValueError, zlib.error) as error:
        if isinstance(error, ProblemError):
            raise
        kind = "" if isinstance(error, UnreadablePickleError) else "neither JSON nor packed tests: "
        place.fail(field, f"{kind}{error}: {short(text)}.")


def _interface(place: Place, row: _Row, tests: list[_Test]) -> Interface:
    kinds = {test.testtype for test in tests}
    if kinds <= {"stdin"}:
        return Stdin(preludes.LIVECODEBENCH)
    if kinds != {"functional"}:
        place.fail("testtype", f"must be 'stdin' or 'functional' for all tests, not {sorted(kinds)}.")
    metadata = row.metadata
    if isinstance(metadata, str):
        metadata = from_json_text(place, "metadata", metadata)
    name = metadata.get("func_name") if isinstance(metadata, dict) else None
    try:
        return Call(name, preludes.LIVECODEBENCH)  # type: ignore[arg-type]  # it checks
    except ProblemError:
        place.fail("metadata.func_name", f"must be the name of a function, not {short(name)}.")


def _case(place: Place, field: str, test: _Test, interface: Interface) -> TestCase:
    if isinstance(interface, Stdin):
        return TestCase(test.input, test.output)
    try:
        return call_of_lines(test.input, test.output)
    except (ValueError, RecursionError) as error:
        place.fail(field, f"a functional test that is not lines of JSON ({error}): {short(test.input)}.")
