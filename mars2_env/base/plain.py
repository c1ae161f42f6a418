"""Plain data: what a test of a function may hold, and what crosses the border to a sandbox."""

from __future__ import annotations

from typing import Any, Final

MAX_DEPTH: Final = 200
"""How many containers may stand in each other; the sandbox's border lets no more pass."""

SCALARS: Final = frozenset({type(None), bool, int, float, complex, str, bytes})
CONTAINERS: Final = frozenset({list, tuple, set, frozenset, dict})
_BASES: Final = (int, float, str, bytes, complex, list, tuple, set, frozenset)


def why_not_plain(value: Any, *, exact: bool = False) -> str:
    """Return why a value is not plain data, as the end of a sentence; "" where it is.

    Instances of subclasses (a named tuple, an `IntEnum`, a number of numpy's that is a float) pass: they are sent as
    what they are made of. With `exact` those of dict alone pass, since comparison takes no other for what it is.

    Containers are looked at level by level, each once a level, so that shared ones cost no more than they hold and one
    that contains itself is found; one that holds scalars alone is passed over without a look at each of them.
    """
    kind = type(value)
    if kind in SCALARS:
        return ""
    level: dict[int, Any] = {0: value}
    if kind not in CONTAINERS:
        level = {}
        if reason := _inner(value, level, exact):
            return reason
    for _ in range(MAX_DEPTH):
        inner: dict[int, Any] = {}
        for container in level.values():
            if not SCALARS.issuperset(map(type, container)):
                for item in container:
                    if reason := _inner(item, inner, exact):
                        return reason
            if isinstance(container, dict) and not SCALARS.issuperset(map(type, container.values())):
                for item in container.values():
                    if reason := _inner(item, inner, exact):
                        return reason
        if not inner:
            return ""
        level = inner
    return f"it is nested deeper than {MAX_DEPTH} levels, or contains itself"


def _inner(item: Any, found: dict[int, Any], exact: bool) -> str:
    """Enter a container among those found; return why an item is neither one nor a scalar."""
    kind = type(item)
    if kind in SCALARS:
        return ""
    if kind in CONTAINERS or isinstance(item, dict):
        found[id(item)] = item
        return ""
    base = next((base for base in _BASES if isinstance(item, base)), None)
    if base is None:
        return f"a value of type {kind.__name__} is not plain data"
    if exact:
        return f"a value of type {kind.__name__} is no {base.__name__} to the comparison; make it one"
    if base in CONTAINERS:
        found[id(item)] = item
    return ""
