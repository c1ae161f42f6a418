"""Registered checkers: how problems with several right answers are judged.

A checker is a function of OURS (or of the library's user): it runs on the host, on plain data, and is named by a
problem. Code from a data file never becomes a checker.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from mars2_env.errors import ConfigError, JudgeError, unknown_name
from mars2_env.judge.compare import digest, equal

Checker: TypeAlias = Callable[[Any, Any, Any], bool]
"""`(input, output, expected) -> whether the output is right`. For `Stdin` problems all three are texts; for `Call`
problems the list of arguments, the returned value and the expected one. `output` is whatever a hostile program cared to
produce, up to the output limit: a checker must take it apart carefully, in time near linear in its size."""

_WEIRD: Final = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)

_CHECKERS: Final[dict[str, Checker]] = {}


def register_checker(name: str) -> Callable[[Checker], Checker]:
    """Return a decorator that registers a checker as `name`.

    Raises:
        ConfigError: another checker has this name.
    """

    def register(check: Checker) -> Checker:
        if _CHECKERS.setdefault(name, check) is not check:
            raise ConfigError(f"a checker named {name!r} is registered already; choose another name.")
        return check

    return register


def checker(name: str) -> Checker:
    """Return the checker registered as `name`.

    Raises:
        JudgeError: there is none.
    """
    try:
        return _CHECKERS[name]
    except KeyError:
        raise JudgeError(
            unknown_name("checker", name, _CHECKERS) + " Register it with mars2_env.judge.register_checker."
        ) from None


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


@register_checker("absolute_error_1e-6")
def absolute_error(input: Any, output: Any, expected: Any) -> bool:
    """Accept a number less than 1e-6 away from an expected finite one; compare anything else as values are."""
    if _finite(expected) and type(output) in (int, float):
        return bool(abs(output - expected) < 1e-6)
    return equal(output, expected)


@register_checker("polynomial_root")
def polynomial_root(input: Any, output: Any, expected: Any) -> bool:
    """Accept a number at which the polynomial with coefficients `input[0]`, constant first, is less than 1e-4.

    The sum is that of HumanEval/32: `sum(c * x ** i)`, in floats.
    """
    if type(output) not in (int, float):
        return False
    (coefficients,) = input
    x = float(output)
    return bool(abs(sum(c * x**i for i, c in enumerate(coefficients))) < 1e-4)


@register_checker("relative_error_1e-3")
def relative_error(input: Any, output: Any, expected: Any) -> bool:
    """Accept a number that `math.isclose(output, expected, rel_tol=1e-3)` accepts, nothing else."""
    return type(output) in (int, float) and math.isclose(output, expected, rel_tol=1e-3)


@register_checker("integer_part")
def integer_part(input: Any, output: Any, expected: Any) -> bool:
    """Accept a number whose integer part, as `int` takes it, is the expected one."""
    return type(output) in (int, float) and bool(math.trunc(output) == expected)


@register_checker("same_set")
def same_set(input: Any, output: Any, expected: Any) -> bool:
    """Accept a list, tuple or set of the expected elements in any order and number; floats have no tolerance."""
    if not isinstance(output, list | tuple | set | frozenset):
        return False
    return {digest(item) for item in output} == {digest(item) for item in expected}


@register_checker("value_or_first_item")
def value_or_first_item(input: Any, output: Any, expected: Any) -> bool:
    """Accept the expected value, or the first item of an expected list.

    The rule of APPS and TACO, whose files wrap some expected values in a list and do not say which.
    """
    return equal(output, expected) or (isinstance(expected, list) and bool(expected) and equal(output, expected[0]))


@register_checker("within_last_argument")
def within_last_argument(input: Any, output: Any, expected: Any) -> bool:
    """Accept a number within the last argument of the call, or within 1e-6 of its size, of the expected one."""
    return type(output) in (int, float) and math.isclose(output, expected, rel_tol=1e-6, abs_tol=input[-1])


@register_checker("absolute_error_1e-4")
def absolute_error_four_digits(input: Any, output: Any, expected: Any) -> bool:
    """Accept a number at most 1e-4 (or 1e-7 of its size) away from a finite one; compare all else as values are."""
    if _finite(expected) and type(output) in (int, float):
        return bool(abs(output - expected) <= 1e-4 + 1e-7 * abs(expected))
    return equal(output, expected)


@register_checker("truth_or_not_none")
def truth_or_not_none(input: Any, output: Any, expected: Any) -> bool:
    """Accept the expected bool, or for True anything and for False nothing but None (MBPP+, of matches)."""
    return bool((output if isinstance(output, bool) else output is not None) == expected)


@register_checker("expected_or_zero")
def expected_or_zero(input: Any, output: Any, expected: Any) -> bool:
    """Accept the expected value, or the number 0 (Mbpp/295 in MBPP+)."""
    return equal(output, expected) or equal(output, 0)


@register_checker("pyramid_surface")
def pyramid_surface(input: Any, output: Any, expected: Any) -> bool:
    """Accept the expected surface, or that for a height that is the distance from base to apex (Mbpp/581 in MBPP+)."""
    base, height = input
    return equal(output, expected) or equal(output, round(base**2 + 2 * base * math.hypot(base / 2, height)))


@register_checker("digit_distance")
def digit_distance(input: Any, output: Any, expected: Any) -> bool:
    """Accept the expected sum, or that of the differences of digits place by place (Mbpp/558 in MBPP+)."""
    first, second = (str(number) for number in input)
    width = max(len(first), len(second))
    pairs = zip(first.zfill(width), second.zfill(width), strict=True)
    return equal(output, expected) or equal(output, sum(abs(int(a) - int(b)) for a, b in pairs))
