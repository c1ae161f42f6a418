"""Which test goes into which group: public, scoring, hidden."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, TypeAlias

from mars2_env.errors import ProblemError
from mars2_env.problems.base import Use
from mars2_env.sandbox.worker.values import encode
from mars2_env.types import TestCase

TOO_FEW_TESTS: Final = "fewer than 3 tests"
NO_TESTS: Final = "no tests"

_MAX_STATEMENT: Final = 100_000
_MAX_PLACES: Final = 1000

Groups: TypeAlias = tuple[tuple[TestCase, ...], tuple[TestCase, ...], tuple[TestCase, ...]]
"""Public, scoring and hidden tests."""


def split_tests(problem_id: str, tests: Sequence[TestCase]) -> Groups:
    """Split the tests of a training problem into (public, scoring, hidden), each in listed order.

    The first min(3, n // 3) are public. The rest is shared out evenly by a fixed hash of (problem id, test index); of
    an odd number hidden gets one more.

    Args:
        problem_id: The problem's id.
        tests: All n of its tests.

    Raises:
        ProblemError: there are fewer than 3: leave the problem out, and count it.
    """
    if len(tests) < 3:
        raise ProblemError(f"problem {problem_id!r} has {len(tests)} tests; three groups need at least 3.")
    public = min(3, len(tests) // 3)

    def rank(index: int) -> bytes:
        return blake2b(f"{index} {problem_id}".encode("utf-8", "surrogatepass"), digest_size=16).digest()

    rest = sorted(range(public, len(tests)), key=rank)
    scoring = set(rest[: len(rest) // 2])
    return (
        tuple(tests[:public]),
        tuple(tests[i] for i in range(public, len(tests)) if i in scoring),
        tuple(tests[i] for i in range(public, len(tests)) if i not in scoring),
    )


def grouped(problem_id: str, use: Use, official: Sequence[TestCase], shown: Sequence[TestCase] = ()) -> Groups | str:
    """Return the three groups of a problem's tests, or the reason why the problem has to be left out.

    Evaluation: all official tests are hidden, those that the statement shows are public (the first up to 2 where it
    shows none). Training: the shown ones come first, of tests with equal input only the first counts, so that no quoted
    test is a scoring or hidden one too, and `split_tests` shares them out.

    Args:
        problem_id: The problem's id.
        use: What the tests are for.
        official: All official tests, in the source's order.
        shown: Those of them, or further ones, that the statement shows.
    """
    if use == "evaluation":
        if not official:
            return NO_TESTS
        return tuple(shown) or tuple(official[:2]), (), tuple(official)
    first: dict[str | bytes, TestCase] = {}
    for test in (*shown, *official):
        # Not `repr`, which refuses integers of very many digits.
        first.setdefault(test.input if isinstance(test.input, str) else encode(test.input), test)
    tests = list(first.values())
    return split_tests(problem_id, tests) if len(tests) >= 3 else TOO_FEW_TESTS


def shown_in(statement: str, tests: Sequence[TestCase]) -> list[TestCase]:
    """Return the tests for standard input that a statement shows: "Input", the input, "Output", the output.

    They are compared word by word. Up to 40 characters may stand between the word and the text, as in "Input 1 -----".
    """
    if len(statement) > _MAX_STATEMENT:
        return []
    text = " ".join(statement.split()) + " "
    lower = text.lower()
    found = []
    for test in tests:
        if len(test.input) + len(test.output) > len(statement):
            continue
        given, wanted = " ".join(test.input.split()) + " ", " ".join(test.output.split()) + " "
        start = text.find(" " + given) if given.strip() and wanted.strip() else -1
        for _ in range(_MAX_PLACES):
            if start < 0:
                break
            end = start + len(given)
            then = text.find(wanted, end, end + 40 + len(wanted))
            if then >= 0 and "output" in lower[end:then] and "input" in lower[max(0, start - 40) : start]:
                found.append(test)
                break
            start = text.find(" " + given, start + 1)
    return found
