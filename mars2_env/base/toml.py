"""Tables in TOML files: read with errors that name the file, and written so that they are read back as they were."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

from mars2_env.base.spec import members_of
from mars2_env.errors import ConfigError, unknown_name

_WORDS: Final[Mapping[Any, tuple[str, str]]] = {
    bool: ("true or false", "values that are true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    dict: ("a table", "tables"),
}
"""What a file's values are called, one and several."""


def read_toml(file: Path) -> dict[str, Any]:
    """Return what a TOML file says.

    Raises:
        ConfigError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}.") from None


def needed(value: Any, kind: Any) -> str:
    """Return what is needed in the place of a value that is not of a type, in words that end without a full stop.

    Args:
        value: as the file has it.
        kind: the type that it should have, as `msgspec.convert` takes it.
    """
    members = [one for one in members_of(kind) if one is not NoneType]
    names = [name for one in members for name in _names(one)]
    rows = [one for one in members if get_origin(one) in (list, tuple)]
    listed = [name for one in rows for inner in get_args(one) for name in _names(inner)]
    if names and isinstance(value, str):
        return unknown_name("value", value, names).removesuffix(".")
    if listed and isinstance(value, list):
        strange = next((one for one in value if one not in listed), None)
        if strange is not None:
            return unknown_name("value", strange, listed).removesuffix(".")
    example = f'; write ["{value}"]' if rows and isinstance(value, str) and value in (listed or [value]) else ""
    return f"{' or '.join(_called(one) for one in members)} is needed{example}"


def _names(kind: Any) -> tuple[str, ...]:
    """Return the texts that a type allows; none of a type that allows others."""
    return get_args(kind) if get_origin(kind) is Literal else ()


def _called(kind: Any) -> str:
    """Return what a value of a type is called."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin not in (list, tuple):
        return _WORDS.get(origin or kind, (f"a {getattr(kind, '__name__', kind)}", ""))[0]
    names = ", ".join(_names(inner[0]))
    several = f"names among {names}" if names else _WORDS.get(get_origin(inner[0]) or inner[0], ("", "values"))[1]
    count = f"{len(inner)} " if origin is tuple and inner[-1] is not ... else ""
    return f"a list of {count}{several}"


def toml_of(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the text of a TOML file with these tables; empty ones are left out."""
    return (
        "\n\n".join(
            "\n".join([f"[{name}]", *(f"{_key(key)} = {_value(value)}" for key, value in table.items())])
            for name, table in tables.items()
            if table
        )
        + "\n"
    )


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if is_dataclass(value):
        value = {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{_key(str(name))} = {_value(one)}" for name, one in value.items()) + " }"
            if value
            else "{}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return str(value)
