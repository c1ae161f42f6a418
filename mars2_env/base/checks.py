"""Checks of arguments, each said once: what was wrong, with which value, and what is wanted.

A bool is no number here, though Python has it for one: `budget=True` is a slip of the pen. Whatever has an index, such
as numpy's integers, is a whole number, and numpy's floats are numbers: each is returned as Python's own.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from numbers import Real
from operator import index
from types import UnionType
from typing import Any, Final

from mars2_env.errors import ConfigError, Mars2Error

_SAID: Final = re.compile(r"^\w+\((\w+)=(.*?)\)(?=:| is | must )", re.DOTALL)


def shown(value: object) -> str:
    """Return a value as it is written in Python, in at most 200 characters, for a message."""
    try:
        return f"{value!r:.200}"
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return f"({type(value).__name__} of too many digits)"


def said(name: str, value: object, where: str = "") -> str:
    """Return an argument as it was given, `name=value` or `where(name=value)`, for a message."""
    given = f"{name}={shown(value)}"
    return f"{where}({given})" if where else given


def unsaid(message: str) -> tuple[str, str, str] | None:
    """Return the argument that a message begins with: its name, its value as it was given, and what follows it.

    None where a message does not begin as `said` has it, `where(name=value)`.
    """
    found = _SAID.match(message)
    return None if found is None else (found[1], found[2], message[found.end() :])


def is_whole(value: object) -> bool:
    """Whether a value is a whole number."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return False
    try:
        index(value)
    except TypeError:  # an array of several has one by name
        return False
    return True


def whole_number(
    name: str,
    value: Any,
    *,
    least: int = 1,
    most: int | None = None,
    where: str = "",
    error: type[Mars2Error] = ConfigError,
) -> int:
    """Return a whole number from `least` to `most` as an int.

    Args:
        name: of the argument.
        value: as it was given.
        least: the least that makes sense.
        most: the most; None for no bound.
        where: whose argument it is, such as a function's or a class's name.
        error: what is raised.

    Raises:
        Mars2Error: it is none; of the kind `error`.
    """
    if is_whole(value):
        number = index(value)
        if number >= least and (most is None or number <= most):
            return number
    bound = "" if most is None else f" and at most {most}"
    raise error(f"{said(name, value, where)}: must be a whole number of at least {least}{bound}.")


def real_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    where: str = "",
    error: type[Mars2Error] = ConfigError,
) -> float:
    """Return a finite number of at least `least`, or above `above`, and at most `most`; an int stays one.

    Raises:
        Mars2Error: it is none; of the kind `error`.
    """
    number = _plain_number(value)
    if (
        number is not None
        and (least is None or number >= least)
        and (above is None or number > above)
        and (most is None or number <= most)
    ):
        return number
    if least is not None and most is not None:
        wanted = f"a number from {least} to {most}"
    else:
        bounds = ((least, "of at least"), (above, "above"), (most, "of at most"))
        wanted = " and ".join(["a finite number", *(f"{text} {bound}" for bound, text in bounds if bound is not None)])
        wanted = wanted.replace("number and ", "number ", 1)
    raise error(f"{said(name, value, where)}: must be {wanted}.")


def _plain_number(value: Any) -> float | None:
    """Return a finite number, one of numpy's too, as an int or a float; None for what is none."""
    if isinstance(value, bool):
        return None
    if not isinstance(value, int | float):
        if not hasattr(value, "dtype"):
            return None
        if is_whole(value):
            value = index(value)
        elif isinstance(value, Real):
            value = float(value)
        else:
            return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer beyond every float
        return None


def flag(name: str, value: Any, *, where: str = "", error: type[Mars2Error] = ConfigError) -> bool:
    """Return a bool.

    Raises:
        Mars2Error: it is none; of the kind `error`.
    """
    if not isinstance(value, bool):
        raise error(f"{said(name, value, where)}: must be True or False.")
    return value


def text(name: str, value: Any, *, empty: bool = True, where: str = "", error: type[Mars2Error] = ConfigError) -> None:
    """Check that a value is a text, and one that says something where `empty` is False.

    Raises:
        Mars2Error: it is none; of the kind `error`.
    """
    if not isinstance(value, str) or not (empty or value):
        raise error(f"{said(name, value, where)}: must be a text{'' if empty else ' that is not empty'}.")


def instance(
    name: str,
    value: Any,
    kind: type | UnionType | tuple[type, ...],
    wanted: str,
    *,
    where: str = "",
    error: type[Mars2Error] = ConfigError,
) -> None:
    """Check that a value is of a kind, which `wanted` says in words, such as "a Judge, or None".

    Raises:
        Mars2Error: it is not; of the kind `error`.
    """
    if not isinstance(value, kind):
        raise error(f"{said(name, value, where)}: must be {wanted}.")


def function(
    name: str, value: Any, *, optional: bool = False, where: str = "", error: type[Mars2Error] = ConfigError
) -> None:
    """Check that a value can be called, or is None where it is `optional`.

    Raises:
        Mars2Error: it cannot; of the kind `error`.
    """
    if not (callable(value) or (optional and value is None)):
        raise error(f"{said(name, value, where)}: must be a function{', or None' if optional else ''}.")


def is_path(value: object) -> bool:
    """Whether a value names a file or folder: a text or a path that is not empty and that a file system can hold."""
    if not isinstance(value, str | os.PathLike):
        return False
    path = os.fspath(value)
    if not isinstance(path, str) or not path or "\0" in path:
        return False
    try:
        os.fsencode(path)
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def one_of(
    name: str, value: Any, known: Iterable[Any], *, where: str = "", error: type[Mars2Error] = ConfigError
) -> None:
    """Check that a value is one of the known ones.

    Raises:
        Mars2Error: it is not; of the kind `error`.
    """
    names = tuple(known)
    if value not in names:
        raise error(f"{said(name, value, where)} is not one of {', '.join(map(str, names))}.")
