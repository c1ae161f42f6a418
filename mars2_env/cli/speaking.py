"""Errors of the library in the words of the command line: of `--budget`, and not of an argument `budget`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints

from typer.models import OptionInfo

from mars2_env.base.checks import unsaid
from mars2_env.errors import Mars2Error

C = TypeVar("C", bound=Callable[..., Any])

ALIASES: Final = {
    "agents": "agent",
    "problems": "problem",
    "problem_options": "option",
    "kind": "sandbox",
    "how": "answer",
    "form": "format",
    "policies": "policy",
}
"""What the library's functions call an option that the commands have under another name."""

_ARGUMENT: Final = re.compile(r"^(\w+)=")
_SUBJECT: Final = re.compile(r"^(\w+) ?(?=['\"(])")


_ADVICE: Final = re.compile(r"\b([Gg]ive|[Ss]ay|or) (\w+)=('[^' ]*'|[^\s,;:]*[^\s,;:.])?")
"""An argument that a message says to give, such as `give path='FILE.jsonl'`."""


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


def spoken(message: str, flags: Mapping[str, str], options: Mapping[str, str] | None = None) -> str:
    """Return a message that speaks of arguments of the library as one that speaks of the options they came from.

    `rollout(limit=0): must be ...`, `budget='x': ...` and `budget 'x': ...` become `--limit 0: must be ...` and
    `--budget 'x': ...`; what begins otherwise begins as it did. `give path=FILE` becomes `give --path FILE`.

    Args:
        message: of the library.
        flags: parameter -> the option that is written for it.
        options: what `--option` said, name -> text: `limit=-1: ...` is of `--option limit=-1`.
    """
    return _ADVICE.sub(lambda match: _advised(match, flags), _begun(message, flags, options or {}))


def _advised(match: re.Match[str], flags: Mapping[str, str]) -> str:
    verb, name, value = match[1], match[2], (match[3] or "").strip("'")
    if name in ALIASES:
        return match[0]
    if name in flags:
        return f"{verb} {flags[name]}{value and ' '}{value}"
    return f"{verb} {flags['option']} {name}={value}" if name == "hub" and "option" in flags else match[0]


def _begun(message: str, flags: Mapping[str, str], options: Mapping[str, str]) -> str:
    """Return a message that begins with the option it is about."""
    for name, text in options.items():
        given = re.match(rf"(?:(?!rollout\b)\w+\()?{re.escape(name)}='?{re.escape(text)}'?(?!\w)\)?", message)
        if given and "option" in flags:
            return f"{flags['option']} {name}={text}{message[given.end() :]}"
    if (told := unsaid(message)) and told[0] in flags:
        return f"{flags[told[0]]} {told[1]}{told[2]}"
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
            options = dict(text.split("=", 1) for text in kwargs.get("option") or () if "=" in text)
            error.args = (spoken(str(error), flags, options), *error.args[1:])
            raise

    return speaking  # type: ignore[return-value]  # the same signature, which typer reads
