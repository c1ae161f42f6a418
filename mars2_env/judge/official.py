"""How the sources of problem sets compare, so that "solved on hidden tests" is their official Pass@1.

Each function restates one source's rule, from what its published harness does, on plain data: for texts what a program
printed, for calls what it returned. The docstrings of the loaders say which set follows which rule. All take time near
linear in the size of the output.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from mars2_env.judge.compare import digest, same_output

_PLAIN_ITERABLES: Final = (list, tuple, str, bytes, set, frozenset, dict)
_NUMBERS: Final = (bool, int, float, complex, Fraction)

# Asserts of Python (HumanEval, MBPP, LeetCodeDataset, QuixBugs).


def python_equality(input: Any, output: Any, expected: Any) -> bool:
    """Accept what `output == expected` accepts in Python: 1 for True, 3.0 for 3, no list for a tuple, no tolerance."""
    return bool(output == expected)


def python_identity(input: Any, output: Any, expected: Any) -> bool:
    """Accept what `output is expected` accepts for an expected True, False or None: that value alone."""
    return type(output) is type(expected) and bool(output == expected)


def python_truth(input: Any, output: Any, expected: Any) -> bool:
    """Accept plain data that is as true as expected (`assert f(x)`, `assert not f(x)`)."""
    return (output is None or isinstance(output, (*_NUMBERS, *_PLAIN_ITERABLES))) and bool(output) == expected


def python_items(input: Any, output: Any, expected: Any) -> bool:
    """Accept a list, tuple or other collection of the expected items in order (`assert tuple(f(x)) == tuple(y)`)."""
    return isinstance(output, _PLAIN_ITERABLES) and tuple(output) == tuple(expected)


def same_set(input: Any, output: Any, expected: Any) -> bool:
    """Accept a collection of the expected elements in any order and number (`assert set(f(x)) == set(y)`).

    Elements that Python cannot put into a set are none of those expected.
    """
    return isinstance(output, _PLAIN_ITERABLES) and _elements(output) == _elements(expected)


def _elements(items: Iterable[Any]) -> set[bytes]:
    # Digests, not the elements: numbers can be chosen so that a table of them is built in quadratic time.
    found = set()
    for item in items:
        hash(item)  # a TypeError for a list, as in the source
        found.add(digest(int(item) if isinstance(item, bool) else item))
    return found


# LiveCodeBench.


def livecodebench_output(input: str, output: str, expected: str) -> bool:
    """Accept a text line by line, white space at both ends of texts and lines left out.

    Two lines are the same if they are equal, or if the words of both are numbers (as `decimal.Decimal` reads them) of
    exactly equal values.
    """
    ours, wanted = _stripped_lines(output), _stripped_lines(expected)
    return len(ours) == len(wanted) and all(
        a == e or _or_false(lambda a=a, e=e: _decimals(a) == _decimals(e))  # type: ignore[misc]
        for a, e in zip(ours, wanted, strict=True)
    )


def _stripped_lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _decimals(line: str) -> list[Decimal]:
    """Return the numbers of a line; an `ArithmeticError` where a word is none."""
    return [Decimal(word) for word in line.split()]


def livecodebench_value(input: Any, output: Any, expected: Any) -> bool:
    """Accept what Python calls equal; a returned tuple counts as a list, one inside another value does not."""
    return bool((list(output) if isinstance(output, tuple) else output) == expected)


# CodeContests.

_SPACES: Final = re.compile(r"[ \n\t\r\v]+")
_LOWER: Final = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})
_REAL: Final = re.compile(r"[+-]?(?:inf(?:inity)?|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?)", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_CODECONTESTS_ERROR: Final = 1e-5


def codecontests_output(input: str, output: str, expected: str) -> bool:
    """Accept a text word by word, upper or lower case, however they are laid out.

    Two whole numbers have to be equal; of other numbers the difference has to be less than 1e-5. (The source compares
    whole numbers as doubles too, which beyond 2**53 are not exact; here they are.)
    """
    ours, wanted = _words(output), _words(expected)
    return ours == wanted or (
        len(ours) == len(wanted) and all(a == e or _near(a, e) for a, e in zip(ours, wanted, strict=True))
    )


def _words(text: str) -> list[str]:
    return [word for word in _SPACES.split(text.translate(_LOWER)) if word]


def _near(actual: str, expected: str) -> bool:
    if _INTEGER.fullmatch(actual) and _INTEGER.fullmatch(expected):
        return Decimal(actual) == Decimal(expected)
    if not (_REAL.fullmatch(actual) and _REAL.fullmatch(expected)):
        return False
    return abs(float(actual) - float(expected)) < _CODECONTESTS_ERROR


# APPS and TACO.


def value_or_first_item(input: Any, output: Any, expected: Any) -> bool:
    """Accept what Python calls equal to the expected value, or to the first item of an expected list.

    The rule of APPS and TACO, whose files wrap some expected values in a list and do not say which. A returned tuple
    counts as a list; so do the tuples of a returned list, where they are compared with the first item. Where that item
    is a dict, keys that are texts of whole numbers stand for the numbers: JSON has no others.
    """
    expected = _with_whole_keys(expected)
    ours = list(output) if isinstance(output, tuple) else output
    if ours == expected:
        return True
    if not isinstance(expected, list) or not expected:
        return False
    if ours == expected[0]:
        return True
    of_tuples = isinstance(ours, list) and bool(ours) and isinstance(ours[0], tuple)
    return of_tuples and bool([list(item) for item in ours] == expected[0])


def _with_whole_keys(expected: Any) -> Any:
    """Return a list that begins with a dict whose keys are texts of whole numbers as one of the dict with the numbers.

    What follows the dict is left out, as the source does.
    """
    first = expected[0] if isinstance(expected, list) and expected else None
    if not isinstance(first, dict) or not first:
        return expected
    if not all(isinstance(key, str) and key.isascii() and key.isdigit() for key in first):
        return expected
    return [{int(key): item for key, item in first.items()}]


def apps_output(input: str, output: str, expected: str) -> bool:
    """Accept a text as the harness of APPS does, which tries ever looser readings.

    White space at both ends of the texts and of lines does not count, nor do empty lines. Then lines that are all
    numbers may be off by 1e-5 of their size and 1e-8. At last lines and the words in them may come in any order and
    number, compared as they are or as numbers rounded to three digits.
    """
    lines = output.splitlines()
    if expected.strip() in ("\n".join(lines).strip(), "\n".join(line.strip() for line in lines).strip()):
        return True
    ours = [line for line in lines if line]
    wanted = _wanted_lines(expected)
    return wanted in (lines, ours) or _loosely(ours, [line.split() for line in ours if line.strip()], wanted)


def taco_output(input: str, output: str, expected: str) -> bool:
    """Accept a text as the harness of TACO does: equal but for white space at both ends.

    It then tries the looser readings of APPS on the whole text instead of its lines, and so on its single characters:
    that accepts `5` for `5.0`, and words of one character in any order, hardly anything else.
    """
    return output.strip() == expected.strip() or _loosely(list(output), output.split(), _wanted_lines(expected))


def _wanted_lines(expected: str) -> list[str]:
    return [line.strip() for line in expected.split("\n") if line]


def _loosely(numbers: list[str], groups: Iterable[Iterable[str]], wanted: list[str]) -> bool:
    if _or_false(lambda: _all_close(numbers, wanted)):
        return True
    ours, theirs = [list(group) for group in groups], [line.split() for line in wanted]
    return _sets(ours, str) == _sets(theirs, str) or _or_false(lambda: _sets(ours, _rounded) == _sets(theirs, _rounded))


def _or_false(says: Callable[[], bool]) -> bool:
    """Return what `says` says; False where it stumbles over what is no number."""
    try:
        return says()
    except (ValueError, ArithmeticError):
        return False


def _all_close(ours: list[str], wanted: list[str]) -> bool:
    numbers, expected = [_finite(word) for word in ours], [_finite(word) for word in wanted]
    return len(numbers) == len(expected) and all(
        abs(a - e) <= 1e-8 + 1e-5 * abs(e) for a, e in zip(numbers, expected, strict=True)
    )


def _finite(word: str) -> float:
    # In the source all numbers beyond every float are equal: two different ones of 400 digits. Not here.
    number = float(word)
    if not math.isfinite(number):
        raise ValueError(f"{word[:40]!r} is beyond every float")
    return number


def _sets(groups: list[list[str]], read: Callable[[str], Any]) -> set[frozenset[Any]]:
    return {frozenset(map(read, group)) for group in groups}


def _rounded(word: str) -> float:
    return round(_finite(word), 3)


def stripped_lines(input: str, output: str, expected: str) -> bool:
    """Accept a text by the default rule, however its lines are indented."""
    return same_output(output, expected, indented=False)


# HumanEval+ and MBPP+.


def evalplus_value(tolerance: float) -> Callable[[Any, Any, Any], bool]:
    """Return the rule of EvalPlus for a task that allows this absolute error, 0 for none.

    Accepted is what Python calls equal. Where the task allows an error, or a float or a list or tuple of floats is
    expected (then it allows 1e-6), also a value of the expected type whose numbers are all that near, or within 1e-7 of
    their size.
    """

    def rule(input: Any, output: Any, expected: Any) -> bool:
        if output == expected:
            return True
        error = tolerance or (1e-6 if _floats(expected) else 0.0)
        return error != 0 and type(output) is type(expected) and _close(output, expected, error)

    return rule


def _floats(value: Any) -> bool:
    items = value if isinstance(value, list | tuple) else [value]
    return bool(items) and all(type(item) is float for item in items)


def _close(actual: Any, expected: Any, error: float) -> bool:
    if isinstance(expected, list | tuple):
        return (
            isinstance(actual, list | tuple)
            and len(actual) == len(expected)
            and all(_close(a, e, error) for a, e in zip(actual, expected, strict=True))
        )
    if not isinstance(actual, _NUMBERS) or not isinstance(expected, _NUMBERS):
        return False
    if actual == expected:
        return True
    finite = all(math.isfinite(part) for x in (actual, expected) for part in (complex(x).real, complex(x).imag))
    return finite and abs(actual - expected) <= error + 1e-7 * abs(expected)  # type: ignore[operator]
