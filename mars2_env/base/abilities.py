"""Optional abilities: whether a thing keeps a protocol, asked often and without looking into properties.

`isinstance` with a protocol takes some ten microseconds in Python 3.11, and evaluates the properties that the protocol
names, which may be work (a sandbox's `identity` builds its image). Here a class is looked at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeGuard, TypeVar

P = TypeVar("P")


@lru_cache(maxsize=64)
def _asked_for(protocol: Any) -> tuple[str, ...]:
    """Return the names of all that a protocol asks for."""
    kinds = [kind for kind in protocol.__mro__ if kind is not object and kind.__module__ != "typing"]
    names = {name for kind in kinds for name in (*vars(kind), *vars(kind).get("__annotations__", ()))}
    special = {"__enter__", "__exit__", "__call__"}
    return tuple(sorted(name for name in names if not name.startswith("_") or name in special))


@lru_cache(maxsize=1024)
def _keeps(kind: Any, protocol: Any) -> bool:
    return all(hasattr(kind, name) for name in _asked_for(protocol))


def keeps(thing: object, protocol: Callable[..., P]) -> TypeGuard[P]:
    """Whether a thing has all that a protocol asks for: in its class, as attributes of its own, or as a proxy."""
    asked: Any = protocol
    kind: Any = type(thing)
    if _keeps(kind, asked):
        return True
    own, proxy = getattr(thing, "__dict__", {}), hasattr(kind, "__getattr__")
    return all(name in own or hasattr(kind, name) or (proxy and hasattr(thing, name)) for name in _asked_for(asked))
