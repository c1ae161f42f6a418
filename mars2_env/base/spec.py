"""Specs: the one notation for parts and options in a text, `name:rest,key=value,key=value`.

`hf:smollm2,temperature=1.0` names the policy `hf` with the rest `smollm2` and one option, `uct,samples=3` a selector,
`chat,siblings=2,feedback=off` prompts, `nodes=60,coder_0.tokens=5000`, which has no name, a budget. What the text of
an option stands for is said by the type that is asked for (`typed`), as `msgspec.convert` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from mars2_env.errors import ConfigError

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SWITCH: Final = {"on": True, "off": False}
_WANTED: Final = {int: "a whole number", float: "a number", bool: "on or off, true or false"}


@dataclass(frozen=True, slots=True)
class Spec:
    """A parsed spec: which part, what of it, and its options as texts; `name` is "" where there is none."""

    name: str
    rest: str
    options: dict[str, str]


def parse_spec(text: str, what: str = "spec", *, named: bool = True) -> Spec:
    """Parse `name[:rest][,key=value]...`.

    Args:
        text: the spec.
        what: what messages call it, such as "budget".
        named: whether it has to begin with a name; else `key=value,...` alone will do.

    Raises:
        ConfigError: the name is missing, or an option is not `key=value` or is given twice.
    """
    if not isinstance(text, str):
        raise ConfigError(f"{what}={text!r:.200} is not a text of the form name:rest,key=value.")
    head, *pairs = text.split(",")
    if not named and "=" in head:
        head, pairs = "", [head, *pairs]
    name, _, rest = head.partition(":")
    if named and not name.strip():
        raise ConfigError(
            f"{what} {text!r:.200} has no name; write name:rest,key=value, for example hf:smollm2,temperature=0.8."
        )
    return Spec(name.strip(), rest.strip(), parse_pairs(pairs, f"{what} {text!r:.200}"))


def parse_pairs(texts: list[str], where: str, *, form: str = "key=value") -> dict[str, str]:
    """Return key -> value of `key=value` texts.

    Args:
        texts: the pairs.
        where: what messages begin with: what the pairs stand in.
        form: what a pair looks like, for the message.

    Raises:
        ConfigError: a text is not `key=value`, or a key is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise ConfigError(f"{where}: {text!r} is not {form}.")
        if key in found:
            raise ConfigError(f"{where} gives {key!r} twice.")
        found[key] = value
    return found


def typed(value: Any, kind: Any, where: str) -> Any:
    """Return an option's value as a type asks for it: a text by what it says, plain data by its fields.

    Switches are `on` and `off`, `true` and `false`, `1` and `0`; items of a tuple stand between slashes, as in
    `0.2/0.6`; `default` is an object as it is made where nothing is said.

    Args:
        value: a text, or plain data as a log's header has it; a value that is of the type already passes.
        kind: the type, as `msgspec.convert` takes it.
        where: what messages begin with, such as "selector 'uct': samples".

    Raises:
        ConfigError: it is no value of this type.
    """
    import msgspec  # here, since the sandbox's room, which finds its parts by name, needs no package besides this one

    given = value
    objects = [one for one in (kind, *get_args(kind)) if is_dataclass(one) and isinstance(one, type)]
    if objects and value in ("default", True):
        return objects[0]()
    if isinstance(value, str) and kind is bool:
        given = _SWITCH.get(value, value)
    elif isinstance(value, str) and get_origin(kind) is tuple:
        given = value.split("/") if value else []
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        said = str(error).partition(" - at")[0].replace("`", "").replace("Expected", "expected", 1)
        wanted = _wanted(kind, objects)
        raise ConfigError(f"{where}={value!r:.200} {wanted or f'is not right: {said}'}.") from None


def _wanted(kind: Any, objects: list[Any]) -> str:
    """Return what is wrong with a value that is not of this kind; "" where nothing better is known."""
    if kind in _WANTED:
        return f"is not {_WANTED[kind]}"
    if get_origin(kind) is Literal:
        return f"is not one of {', '.join(map(str, get_args(kind)))}"
    if objects:
        return f"is neither `default` nor, in Python, a {objects[0].__name__}(...)"
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        if item in _WANTED:
            return f"is not {_WANTED[item]}, or several between slashes, such as 0.2/0.6"
        return "is not what a text can say; build the part itself in Python"
    return ""


def typed_options(
    part: Callable[..., Any], options: Mapping[str, Any], where: str, *, otherwise: Callable[[Any], Any] | None = None
) -> dict[str, Any]:
    """Return options as the annotations of what takes them ask for.

    Args:
        part: a class or a function; what it says of a parameter's type decides (`typed`).
        options: texts, or plain data.
        where: what messages begin with.
        otherwise: reads the value of an option that has no annotation; it stays as it is where this is left out.

    Raises:
        ConfigError: a value is not of the type that is asked for.
    """
    try:
        kinds = get_type_hints(vars(part).get("__init__", part) if isinstance(part, type) else part)
    except (NameError, TypeError):  # annotations that cannot be looked up from here say nothing
        kinds = {}
    found = {}
    for name, value in options.items():
        kind = kinds.get(name, Any)
        if kind is Any:
            found[name] = value if otherwise is None else otherwise(value)
        else:
            takes_texts = isinstance(value, str) and str in (kind, *get_args(kind))
            found[name] = value if takes_texts else typed(value, kind, f"{where}: {name}")
    return found


def plain(text: Any) -> Any:
    """Return what an option's text stands for by its looks: true or false, a whole number, a number, or itself.

    What is no text stays as it is.
    """
    if not isinstance(text, str):
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
