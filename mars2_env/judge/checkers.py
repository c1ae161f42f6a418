"""Registered checkers: how problems with several right answers are judged.

A checker is a function of OURS (or of the library's user): it runs on the host, on plain data, and is named by a
problem. Code from a data file never becomes a checker.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from mars2_env.base.parts import Parts
from mars2_env.errors import JudgeError, Mars2Error, unknown_name
from mars2_env.judge import official

Checker: TypeAlias = Callable[[Any, Any, Any], bool]
"""`(input, output, expected) -> whether the output is right`. For `Stdin` problems all three are texts; for `Call`
problems the list of arguments, the returned value and the expected one. `output` is whatever a hostile program cared to
produce, up to the output limit: a checker must take it apart carefully, in time near linear in its size."""

C = TypeVar("C", bound=Checker)

_WEIRD: Final = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)


def register_checker(name: str) -> Callable[[C], C]:
    """Return a decorator that registers a checker as `name`, for as long as the process lives.

    Raises:
        ConfigError: another checker has this name, or it is no name.
    """
    return CHECKERS.decorator(name)


def checker(name: str, *, of: str | None = None) -> Checker:
    """Return the checker of this name: the library's own, a registered one, or one that an installed package offers.

    Args:
        name: the name.
        of: the id of a problem that asks for it, for the message where there is none.

    Raises:
        JudgeError: there is none, or what is offered cannot be had.
    """
    if not isinstance(name, str):  # what is kept by name needs one that can be a key
        raise JudgeError(f"checker={name!r:.200} is not a name. Known: {', '.join(CHECKERS.names())}.")
    try:
        return _checker(name)
    except JudgeError as error:
        if of is None:
            raise
        raise JudgeError(f"problem {of!r}: {error}") from error


@functools.cache
def _checker(name: str) -> Checker:
    if name not in CHECKERS:
        raise JudgeError(
            unknown_name("checker", name, CHECKERS.names())
            + " Register it with mars2_env.judge.register_checker before the task is made."
        )
    try:
        found = CHECKERS.find(name)
    except Mars2Error as error:
        raise JudgeError(str(error)) from error
    if not callable(found):
        # Called, it would be a TypeError, which counts against the program.
        raise JudgeError(f"checker {name!r} is {found!r:.200}, which is no function; mend the package that offers it.")
    check: Checker = found
    return check


def checks(name: str, check: Checker, input: Any, output: Any, expected: Any) -> bool:
    """Return whether `check`, registered as `name`, accepts the output.

    An output so unlike an answer that the checker trips over it (a `TypeError`, `ValueError`, `KeyError`, `IndexError`,
    `AttributeError`, `ZeroDivisionError`, `OverflowError`, `RecursionError`) is a wrong answer.

    Raises:
        JudgeError: the checker failed in any other way, or returned something else than a bool: it is broken, and
            nothing can be said about the program.
    """
    try:
        right = check(input, output, expected)
    except _WEIRD:
        return False
    except Exception as error:
        raise JudgeError(f"checker {name!r} failed with {type(error).__name__}: {error}; mend the checker.") from error
    if not isinstance(right, bool):
        raise JudgeError(f"checker {name!r} returned {type(right).__name__}, not a bool; mend the checker.")
    return right


def _finite(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def absolute_error(input: Any, output: Any, expected: Any) -> bool:
    """Accept a number less than 1e-6 away from an expected finite one; of anything else what Python calls equal."""
    if _finite(expected) and type(output) in (bool, int, float):
        return bool(abs(output - expected) < 1e-6)
    return bool(output == expected)


def polynomial_root(input: Any, output: Any, expected: Any) -> bool:
    """Accept a number at which the polynomial with coefficients `input[0]`, constant first, is less than 1e-4.

    The sum is that of HumanEval/32: `sum(c * x ** i)`, in floats.
    """
    if type(output) not in (int, float):
        return False
    (coefficients,) = input
    x = float(output)
    return bool(abs(sum(c * x**i for i, c in enumerate(coefficients))) < 1e-4)


def relative_error(input: Any, output: Any, expected: Any) -> bool:
    """Accept a number that `math.isclose(output, expected, rel_tol=1e-3)` accepts, nothing else."""
    return type(output) in (bool, int, float) and math.isclose(output, expected, rel_tol=1e-3)


def integer_part(input: Any, output: Any, expected: Any) -> bool:
    """Accept a number (or a text of one) whose integer part, as `int` takes it, is the expected one."""
    return type(output) in (bool, int, float, str) and bool(int(output) == expected)


def within_last_argument(input: Any, output: Any, expected: Any) -> bool:
    """Accept a number within the last argument of the call, or within 1e-6 of its size, of the expected one."""
    return type(output) in (int, float) and math.isclose(output, expected, rel_tol=1e-6, abs_tol=input[-1])


def truth_or_not_none(input: Any, output: Any, expected: Any) -> bool:
    """Accept the expected bool, or for True anything and for False nothing but None (MBPP+, of matches)."""
    return bool((output if isinstance(output, bool) else output is not None) == expected)


def expected_or_zero(input: Any, output: Any, expected: Any) -> bool:
    """Accept the expected value, or the number 0 (Mbpp/295 in MBPP+)."""
    return bool(output == expected) or bool(output == 0)


def pyramid_surface(input: Any, output: Any, expected: Any) -> bool:
    """Accept the expected surface, or that for a height that is the distance from base to apex (Mbpp/581 in MBPP+)."""
    base, height = input
    return bool(output == expected) or bool(output == round(base**2 + 2 * base * math.hypot(base / 2, height)))


def digit_distance(input: Any, output: Any, expected: Any) -> bool:
    """Accept the expected sum, or that of the differences of digits place by place (Mbpp/558 in MBPP+)."""
    first, second = (str(number) for number in input)
    width = max(len(first), len(second))
    pairs = zip(first.zfill(width), second.zfill(width), strict=True)
    return bool(output == expected) or bool(output == sum(abs(int(a) - int(b)) for a, b in pairs))


CHECKERS: Final = Parts(
    "checker",
    "mars2_env.checkers",
    {
        "absolute_error_1e-6": absolute_error,
        "polynomial_root": polynomial_root,
        "relative_error_1e-3": relative_error,
        "integer_part": integer_part,
        "same_set": official.same_set,
        "value_or_first_item": official.value_or_first_item,
        "within_last_argument": within_last_argument,
        "truth_or_not_none": truth_or_not_none,
        "expected_or_zero": expected_or_zero,
        "pyramid_surface": pyramid_surface,
        "digit_distance": digit_distance,
        "python_equality": official.python_equality,
        "python_identity": official.python_identity,
        "python_truth": official.python_truth,
        "python_items": official.python_items,
        "livecodebench_output": official.livecodebench_output,
        "livecodebench_value": official.livecodebench_value,
        "codecontests_output": official.codecontests_output,
        "apps_output": official.apps_output,
        "taco_output": official.taco_output,
        "stripped_lines": official.stripped_lines,
        "absolute_error_1e-4": official.evalplus_value(1e-4),  # its name in files that were written before
        "evalplus": official.evalplus_value(0.0),
        "evalplus_1e-6": official.evalplus_value(1e-6),
        "evalplus_1e-4": official.evalplus_value(1e-4),
    },
    in_specs=False,
)
"""The library's own checkers, and those that programs and packages add."""
