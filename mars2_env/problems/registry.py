"""Problem sets by name: those that come with the library, registered ones, and files in our JSON-lines format."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, TypeAlias

from mars2_env.errors import ConfigError, unknown_name
from mars2_env.problems import jsonl
from mars2_env.problems.base import ProblemSet
from mars2_env.problems.catalogue import SETS

ENTRY_POINTS: Final = "mars2_env.problems"
"""The entry-point group in which other packages offer loaders: `name = "package.module:loader"`."""

AnyLoader: TypeAlias = Callable[..., ProblemSet]
"""A `Loader`; one that names its options, in place of `**options`, has them checked before it is called."""

_REGISTERED: Final[dict[str, AnyLoader]] = {}


def load_problems(
    name: str | os.PathLike[str],
    *,
    path: str | os.PathLike[str] | None = None,
    split: str | None = None,
    **options: Any,
) -> ProblemSet:
    """Load a problem set.

    Args:
        name: "starter", "humaneval", "mbpp", ... (`names()` lists them all), a name that was registered or that an
            installed package offers, or the path of a file in our JSON-lines format (`mars2_env.problems.jsonl`).
        path: The data file, for sets that come from one.
        split: The split; the set's own default where it is left out.
        **options: What the set's loader takes besides.

    Raises:
        ConfigError: there is no such set, split, option or file.
        ProblemError: the data are malformed; names file, line and field.
    """
    key = os.fspath(name)
    where = None if path is None else os.fspath(path)
    loader = _find(key)
    if loader is None:
        if not key.endswith(jsonl.SUFFIXES):
            hint = " A file of ours ends in .jsonl or .jsonl.gz." if os.path.exists(key) else ""
            raise ConfigError(unknown_name("problem set", key, names()) + hint)
        if where is not None:
            raise ConfigError(f"load_problems({key!r}, path={where!r}): the name is a file already; give one of them.")
        loader, where = jsonl.load, key
    try:
        inspect.signature(loader).bind(path=where, split=split, **options)
    except TypeError as error:
        taken = [p for p in inspect.signature(loader).parameters if p not in ("path", "split")]
        raise ConfigError(f"problem set {key!r}: {error}. Its options: {', '.join(taken) or 'none'}.") from None
    found = loader(path=where, split=split, **options)
    if not isinstance(found, ProblemSet):
        raise ConfigError(f"the loader of problem set {key!r} returned {type(found).__name__}, not a ProblemSet.")
    return found


def register_problems(name: str, loader: AnyLoader) -> None:
    """Make `load_problems(name)` call `loader`.

    Raises:
        ConfigError: the name is taken, or no name.
    """
    if not isinstance(name, str) or not name or name.endswith(jsonl.SUFFIXES):
        raise ConfigError(f"register_problems({name!r}): a name is a non-empty text that is not a .jsonl file's.")
    if name in SETS or _REGISTERED.setdefault(name, loader) is not loader:
        raise ConfigError(f"a problem set named {name!r} is registered already; choose another name.")


def names() -> list[str]:
    """Return the names of all problem sets that can be loaded, sorted."""
    return sorted({*SETS, *_REGISTERED, *(entry.name for entry in _offered())})


def _offered() -> list[EntryPoint]:
    return list(entry_points(group=ENTRY_POINTS))


def _find(name: str) -> AnyLoader | None:
    if name in _REGISTERED:
        return _REGISTERED[name]
    if name in SETS:  # by dotted name: a loader's module is imported by those who ask for its set alone
        module, _, attribute = SETS[name].loader.partition(":")
        built_in: AnyLoader = getattr(import_module(module), attribute)
        return built_in
    for entry in _offered():
        if entry.name == name:
            offered: AnyLoader = entry.load()
            return offered
    return None
