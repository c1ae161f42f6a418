"""Errors of the library in the words of the command line: of `--budget`, and not of an argument `budget`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints

from typer.models import OptionInfo

from mars2_env.errors import Mars2Error

C = TypeVar("C", bound=Callable[..., Any])

ALIASES: Final = {
    "agents": "agent",
    "problems": "problem",
    "problem_options": "option",
    "kind": "sandbox",
    "how": "answer",
}
"""What the library's functions call an option that the commands have under another name."""

_CALL: Final = re.compile(r"^\w+\((\w+)=(.*?)\)(?=:| is | must )", re.DOTALL)
_ARGUMENT: Final = re.compile(r"^(\w+)=")
_SUBJECT: Final = re.compile(r"^(\w+) ?(?=['\"(])")


def flags_of(command: Callable[..., Any]) -> dict[str, str]:
    """Return parameter -> the option that is written for it, such as `stop_on_solved` -> `--stop-on-solved`."""
    kinds = get_type_hints(command, include_extras=True)
    found = {}
    for name in signature(command).parameters:
        kind = kinds.get(name)
        infos = [one for one in get_args(kind) if isinstance(one, OptionInfo)] if get_origin(kind) is Annotated else []
        for info in infos:
            long = [text for text in info.param_decls or () if text.startswith("--")]
            found[name] = long[0] if long else f"--{name.replace('_', '-')}"
    return found | {alias: found[name] for alias, name in ALIASES.items() if name in found}


def spoken(message: str, flags: Mapping[str, str]) -> str:
    """Return a message that begins with an argument of the library as one that begins with the option it came from.

    `rollout(limit=0): must be ...`, `budget='x': ...` and `budget 'x': ...` become `--limit 0: must be ...` and
    `--budget 'x': ...`; what begins otherwise stays as it is.
    """
    if (match := _CALL.match(message)) and match[1] in flags:
        return f"{flags[match[1]]} {match[2]}{message[match.end() :]}"
    if (match := _ARGUMENT.match(message)) and match[1] in flags:
        return f"{flags[match[1]]} {message[match.end() :]}"
    if (match := _SUBJECT.match(message)) and match[1].lower() in flags:
        return f"{flags[match[1].lower()]} {message[match.end() :]}"
    return message


def speaks_of_options(command: C) -> C:
    """Return a command whose errors speak of its options."""
    flags = flags_of(command)

    @wraps(command)
    def speaking(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except Mars2Error as error:
            error.args = (spoken(str(error), flags), *error.args[1:])
            raise

    return speaking  # type: ignore[return-value]  # the same signature, which typer reads
