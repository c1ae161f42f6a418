"""Selectors by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Final, TypeVar

from mars2_env.errors import ConfigError, unknown_name
from mars2_env.parts import Parts
from mars2_env.search.ab_mcts import AbMctsA, Guidance, Mars2
from mars2_env.search.ab_mcts_m import AbMctsM
from mars2_env.search.baselines import (
    BestFirst,
    BreadthFirst,
    Random,
    RepeatedSampling,
    Schedule,
    SequentialRefinement,
    Uct,
)
from mars2_env.search.choice import Selector

SELECTORS: Final[dict[str, type[Any]]] = {
    kind.name: kind
    for kind in (
        AbMctsA,
        AbMctsM,
        Mars2,
        Uct,
        BestFirst,
        BreadthFirst,
        RepeatedSampling,
        SequentialRefinement,
        Random,
        Schedule,
    )
}
"""Those of the library, by name."""

_PARTS: Final = Parts("selector", "mars2_env.selectors", SELECTORS)

F = TypeVar("F", bound=Callable[..., Any])


def register_selector(name: str) -> Callable[[F], F]:
    """Return a decorator that makes `selector="name,option=value"` mean what a class or function builds.

    A frozen dataclass with `name: ClassVar[str]`, its options as fields, is best: its fields go into the headers of
    logs, from which resumed and replayed trees build it again. Installed packages offer the same by the entry-point
    group `mars2_env.selectors`.

    Raises:
        ConfigError: the name is taken, or holds a character that specs use.
    """
    return _PARTS.decorator(name)


def selector_names() -> list[str]:
    """Return the names of all selectors that can be had here, sorted."""
    return _PARTS.names()


def make_selector(name: str, **options: Any) -> Selector:
    """Build a selector by name; options may also be written behind it, as in `ab_mcts_a,posterior=gaussian`.

    Raises:
        ConfigError: the name or an option is unknown, or an option's value makes no sense.
    """
    name, *pairs = (part.strip() for part in name.split(","))
    options |= {option.strip(): value.strip() for option, _, value in (pair.partition("=") for pair in pairs)}
    if name not in SELECTORS:
        return _made_by_others(name, options)
    kind = SELECTORS[name]
    known = [f.name for f in fields(kind)]
    for option in options:
        if option not in known:
            raise ConfigError(unknown_name(f"option of selector {name!r}", option, known))
    selector: Selector = kind(**{option: _value(name, option, value) for option, value in options.items()})
    return selector


def _made_by_others(name: str, options: dict[str, Any]) -> Selector:
    plain = {option: _plain(value) if isinstance(value, str) else value for option, value in options.items()}
    selector = _PARTS.build(name, options=plain)
    if not isinstance(selector, Selector) or isinstance(selector, type):
        raise ConfigError(f"selector {name!r}: its factory returned {selector!r:.200}, which has no select().")
    if getattr(selector, "name", None) != name:
        raise ConfigError(
            f"selector {name!r}: what was built has name={getattr(selector, 'name', None)!r}; its attribute `name` "
            f"must be {name!r}, since logs name the selector by it and are read back with it."
        )
    return selector


def _plain(text: str) -> bool | int | float | str:
    """Return what an option's text stands for: true or false, a number, or itself."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _value(name: str, option: str, value: Any) -> Any:
    """Return an option's value from its text, or from the plain data of a configuration."""
    if option == "guidance":
        if value in ("default", True):
            return Guidance()
        return Guidance(**value) if isinstance(value, dict) else value
    if option == "priors" and isinstance(value, str):
        value = value.split("/")
    if option == "priors":
        value = tuple(map(float, value))
    if option == "per_agent" and isinstance(value, str):
        if value not in ("true", "false"):
            raise ConfigError(f"selector {name!r}: {option}={value!r} is not true or false.")
        return value == "true"
    if option in ("samples", "breadth", "size", "weight") and isinstance(value, str):
        try:
            return float(value) if option == "weight" else int(value)
        except ValueError:
            raise ConfigError(f"selector {name!r}: {option}={value!r} is not a number.") from None
    return value


def selector_config(selector: Selector) -> dict[str, Any]:
    """Return what identifies a selector in a configuration: its name and, for a dataclass, its fields."""
    name = getattr(selector, "name", type(selector).__qualname__)
    options: dict[str, Any] = asdict(selector) if is_dataclass(selector) and not isinstance(selector, type) else {}
    return {"name": name, **options}
