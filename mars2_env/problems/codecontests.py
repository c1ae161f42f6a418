"""CodeContests (Li et al. 2022, arXiv 2203.07814): contest problems, read from standard input.

Read are records of the form that the hub has (`deepmind/code_contests`, Parquet), in Parquet or as lines of JSON: name,
description, public_tests, private_tests, generated_tests (each `{"input": [...], "output": [...]}` or a list of
`{"input", "output"}`), solutions, time_limit. Tested on records written by hand in that schema; the same problems in
rllm's JSON, of which there are real ones at hand, are read by `deepcoder`.

Splits: `train` (training), `valid` and `test` (evaluation). Official tests are the public, private and generated ones;
those that the statement shows are the public ones. The reference is the first solution in Python 3. CPU time is the
problem's own limit, but at least 3 s, since the limits were set for compiled languages.

Comparison is the source's (checker `codecontests_output`): words in order, upper or lower case, however they are laid
out; whole numbers are equal, of other numbers the difference is less than 1e-5.

Left out: problems that read or write files, and those with a test that was cut off.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from mars2_env.problems.base import ProblemSet
from mars2_env.problems.catalogue import SETS
from mars2_env.problems.collect import CUT, Collection, is_cut, time_limits
from mars2_env.problems.hub import rows
from mars2_env.problems.records import Place, as_row
from mars2_env.types import Stdin, TestCase

FILES: Final = "reads or writes files"
_PYTHON3: Final = 3


class _Pair(msgspec.Struct):
    input: str
    output: str


class _Pairs(msgspec.Struct):
    input: list[str]
    output: list[str]


class _Solutions(msgspec.Struct):
    language: list[int]
    solution: list[str]


class _Time(msgspec.Struct):
    seconds: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    nanos: Annotated[int, msgspec.Meta(ge=0, lt=10**9)] = 0

    def total(self) -> float:
        return self.seconds + self.nanos / 1e9


class _Row(msgspec.Struct):
    name: str
    description: str
    public_tests: _Pairs | list[_Pair]
    private_tests: _Pairs | list[_Pair]
    generated_tests: _Pairs | list[_Pair]
    solutions: _Solutions | None = None
    time_limit: _Time | None = None
    input_file: str | None = None
    output_file: str | None = None


def load(*, path: str | None = None, split: str | None = None, hub: str | None = None) -> ProblemSet:
    """Load one split of CodeContests.

    Args:
        path: A file or a folder of files; the hub's where it is left out.
        split: "train", "valid" or "test"; where the file's name tells it, it need not be said.
        hub: Another place on the hub.

    Raises:
        ConfigError: there is no such split or file, or no way to the hub.
        ProblemError: a record is malformed; names file, record, field and value.
    """
    info = SETS["codecontests"]
    chosen, use = info.choose(split, path)
    found = Collection(info, chosen, use)
    for place, record in rows(info, path, chosen, hub):
        row = as_row(place, record, _Row)
        if row.input_file or row.output_file:
            found.leave_out(FILES)
            continue
        shown = _tests(place, "public_tests", row.public_tests)
        official = [
            *shown,
            *_tests(place, "private_tests", row.private_tests),
            *_tests(place, "generated_tests", row.generated_tests),
        ]
        if any(is_cut(test.input) or is_cut(test.output) for test in official):
            found.leave_out(CUT)
            continue
        found.add(
            place,
            row.name,
            row.description,
            Stdin(),
            official,
            shown,
            checker="codecontests_output",
            limits=time_limits(row.time_limit.total() if row.time_limit else None),
            reference=_reference(row.solutions),
        )
    return found.done(path)


def _tests(place: Place, field: str, tests: _Pairs | list[_Pair]) -> list[TestCase]:
    if isinstance(tests, list):
        return [TestCase(test.input, test.output) for test in tests]
    if len(tests.input) != len(tests.output):
        place.fail(field, f"{len(tests.input)} inputs and {len(tests.output)} outputs.")
    return [TestCase(given, wanted) for given, wanted in zip(tests.input, tests.output, strict=True)]


def _reference(solutions: _Solutions | None) -> str | None:
    if solutions is None:
        return None
    pairs = zip(solutions.language, solutions.solution, strict=False)
    return next((solution for language, solution in pairs if language == _PYTHON3 and solution.strip()), None)
