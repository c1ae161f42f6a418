r"""Specs: the one notation for parts and options in a text, `name:rest,key=value,key=value`.

`hf:smollm2,temperature=1.0` names the policy `hf` with the rest `smollm2` and one option, `uct,samples=3` a selector,
`chat,siblings=2,feedback=off` prompts, `nodes=60,coder_0.tokens=5000`, which has no name, a budget. What the text of
an option stands for is said by the type that is asked for (`typed`), as `msgspec.convert` reads it.

A rest or a value that holds a comma, or white space at an end, stands between double quotes, in which `""` is one of
them and nothing else is special: `openai:gpt-x,system="Short, please."`, `replay:"C:\runs\a,b"`. Colons and equals
signs need none: the first of each separates, and all others are part of what follows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from mars2_env.errors import ConfigError

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_OPENED: Final = re.compile(r'\s*[^,:="]*[:=]\s*"')
"""A piece of a spec as far as the quote that opens its rest or its value."""
_CLOSED: Final = re.compile(r'("(?:[^"]|"")*")\s*(,|\Z)')
"""A text between quotes, and the comma behind it, if there is one."""
_SWITCH: Final = {"on": True, "off": False}
_WORDS: Final[dict[Any, str]] = {
    int: "a whole number",
    float: "a number",
    bool: "on or off, true or false",
    str: "a text",
    type(None): "none",
}


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
    head, *pairs = _split(text, f"{what} {text!r:.200}")
    if not named and "=" in head:
        head, pairs = "", [head, *pairs]
    elif not named and (":" in head or (pairs and not head.strip())):
        raise ConfigError(f"{what} {text!r:.200}: {head!r} is not key=value, nor a name.")
    name, _, rest = head.partition(":")
    if named and not name.strip():
        raise ConfigError(
            f"{what} {text!r:.200} has no name; write name:rest,key=value, for example hf:smollm2,temperature=0.8."
        )
    where = f"{what} {text!r:.200}"
    return Spec(name.strip(), _unquoted(rest.strip(), where), parse_pairs(pairs, where))


def write_spec(spec: Spec) -> str:
    """Return the text that `parse_spec` reads as a spec, with quotes only where they are needed."""
    head = f"{spec.name}:{_quoted(spec.rest)}" if spec.rest else spec.name
    pairs = [f"{key}={_quoted(value)}" for key, value in spec.options.items()]
    return ",".join(([head] if head else []) + pairs)


def _split(text: str, where: str) -> list[str]:
    """Return what stands between commas; those between quotes separate nothing.

    A quote opens where a rest or a value begins, behind the first colon or equals sign, and nowhere else.

    Raises:
        ConfigError: a quote is opened and not closed, or something follows the one that closes.
    """
    pieces: list[str] = []
    start = 0
    while True:
        begun = _OPENED.match(text, start)
        closed = None if begun is None else _CLOSED.match(text, begun.end() - 1)
        if begun is not None and closed is None:
            raise ConfigError(
                f"{where}: the quote that is opened in {text[start:]!r:.80} is not closed at the end or before a "
                'comma; write "" for a quote between quotes.'
            )
        end = closed.start(2) if closed is not None else text.find(",", start)
        if end in (-1, len(text)):
            return [*pieces, text[start:]]
        pieces.append(text[start:end])
        start = end + 1


def _unquoted(text: str, where: str) -> str:
    """Return what a rest or a value says, without the quotes that it may stand between."""
    if not text.startswith('"'):
        return text
    if not (len(text) > 1 and _CLOSED.fullmatch(text)):
        raise ConfigError(f'{where}: {text!r:.200} is not closed by a quote; write "" for a quote between quotes.')
    return text[1:-1].replace('""', '"')


def _quoted(text: str) -> str:
    """Return a rest or a value as it is written in a spec."""
    if "," in text or text.startswith('"') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


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
        value = _unquoted(value, f"{where}: {key}")
        if not equals or not key:
            raise ConfigError(f"{where}: {text!r} is not {form}.")
        if key in found:
            raise ConfigError(f"{where} gives {key!r} twice.")
        found[key] = value
    return found


def typed(value: Any, kind: Any, where: str) -> Any:
    """Return an option's value as a type asks for it: a text by what it says, plain data by its fields.

    Switches are `on` and `off`, `true` and `false`, `1` and `0`; items of a tuple or list stand between slashes, as in
    `0.2/0.6`; `none` is None, and `default` an object as it is made where nothing is said, where the type has them.

    Args:
        value: a text, or plain data as a log's header has it; a value that is of the type already passes.
        kind: the type, as `msgspec.convert` takes it.
        where: what messages begin with, such as "selector 'uct': samples".

    Raises:
        ConfigError: it is no value of this type.
    """
    import msgspec  # here, since the sandbox's room, which finds its parts by name, needs no package besides this one

    kinds = members_of(kind)
    if isinstance(value, str) and str in kinds:
        return value
    objects = [one for one in kinds if is_dataclass(one) and isinstance(one, type)]
    if objects and value in ("default", True):
        return objects[0]()
    try:
        return msgspec.convert(_read(value, kinds) if isinstance(value, str) else value, kind, strict=False)
    except (msgspec.ValidationError, ValueError):
        raise ConfigError(f"{where}={value!r:.200} is not {_wanted(kind)}.") from None
    except TypeError:  # no type that msgspec knows: then it says nothing about the value
        return value


def members_of(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type alone."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _read(text: str, kinds: tuple[Any, ...]) -> Any:
    """Return what a text says, as far as `msgspec.convert` would not find it out."""
    if type(None) in kinds and text.lower() == "none":
        return None
    if bool in kinds and text in _SWITCH:
        return _SWITCH[text]
    if int in kinds and (float not in kinds or _WHOLE.fullmatch(text)):
        return int(text)
    if float in kinds:
        return float(text)
    rows = [one for one in kinds if get_origin(one) in (tuple, list, Sequence)]
    if not rows:
        return text
    items = text.split("/") if text else []
    return [_read(item, members_of(get_args(rows[0])[0])) for item in items]


def _wanted(kind: Any) -> str:
    """Return a type in words."""
    if kind in _WORDS:
        return _WORDS[kind]
    if len(members := members_of(kind)) > 1:
        return " or ".join(map(_wanted, members))
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) is tuple and ... not in get_args(kind):
        return f"a list of {' and '.join(map(_wanted, get_args(kind)))}"
    if get_origin(kind) in (tuple, list, Sequence):
        item = get_args(kind)[0]
        if item in _WORDS:
            return f"{_WORDS[item]}, or several between slashes, such as 0.2/0.6"
        return "what a text can say; build the part itself in Python"
    name = getattr(kind, "__name__", kind)
    return f"`default` or, in Python, a {name}(...)" if is_dataclass(kind) else f"a {name}"


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
            found[name] = typed(value, kind, f"{where}: {name}")
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
