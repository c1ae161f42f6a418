"""Selectors by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from inspect import signature
from typing import Any, Final, TypeVar

from mars2_env.base.parts import Parts
from mars2_env.base.spec import parse_spec, plain, typed_options
from mars2_env.errors import ConfigError, PartError, unknown_name
from mars2_env.search.ab_mcts import AbMctsA, Mars2
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
from mars2_env.search.exhaustive import Exhaustive

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
        Exhaustive,
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
    spec = parse_spec(name, "selector")
    if spec.rest:
        raise ConfigError(f"selector {name!r:.200}: nothing goes behind a colon; write {spec.name},option=value.")
    part = _PARTS.find(spec.name)
    known = [name for name, one in signature(part).parameters.items() if one.kind is not one.VAR_KEYWORD]
    if len(known) == len(signature(part).parameters):
        for option in {**options, **spec.options}:
            if option not in known:
                raise ConfigError(unknown_name(f"option of selector {spec.name!r}", option, known))
    read = typed_options(part, {**options, **spec.options}, f"selector {spec.name!r}", otherwise=plain)
    try:
        selector = _PARTS.build(spec.name, options=read)
    except PartError:
        raise
    except ConfigError as error:  # of the part itself, which does not say whose argument is wrong
        raise ConfigError(f"selector {spec.name!r}: {str(error).removeprefix(f'selector {spec.name!r}: ')}") from None
    if not isinstance(selector, Selector) or isinstance(selector, type):
        raise ConfigError(f"selector {name!r}: its factory returned {selector!r:.200}, which has no select().")
    if getattr(selector, "name", None) != spec.name:
        raise ConfigError(
            f"selector {name!r}: what was built has name={getattr(selector, 'name', None)!r}; its attribute `name` "
            f"must be {spec.name!r}, since logs name the selector by it and are read back with it."
        )
    return selector


def check_selector(selector: Any) -> Selector:
    """Return a selector, if it is one.

    Raises:
        ConfigError: it is none, such as a class in place of an object.
    """
    if isinstance(selector, type):
        raise ConfigError(
            f"selector={selector.__name__} is a class; give an object, {selector.__name__}(...), or a name, one of "
            f"{', '.join(selector_names())}."
        )
    if not isinstance(selector, Selector):
        raise ConfigError(
            f"selector={selector!r:.200} is neither a name nor an object with select(tree, rng, pending)."
        )
    return selector


def selector_config(selector: Selector) -> dict[str, Any]:
    """Return what identifies a selector in a configuration: its name and, for a dataclass, its fields."""
    name = getattr(selector, "name", type(selector).__qualname__)
    options: dict[str, Any] = asdict(selector) if is_dataclass(selector) and not isinstance(selector, type) else {}
    return {"name": name, **options}
