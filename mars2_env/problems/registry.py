"""Problem sets by name: those that come with the library, registered ones, and files in our JSON-lines format."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from mars2_env.base.checks import instance
from mars2_env.base.parts import Parts
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.problems import jsonl
from mars2_env.problems.base import ProblemSet
from mars2_env.problems.catalogue import SETS

AnyLoader: TypeAlias = Callable[..., ProblemSet]
"""A `Loader`; one that names its options, in place of `**options`, has them checked before it is called."""

L = TypeVar("L", bound=AnyLoader)

# The library's own go by dotted name: a loader's module is imported by those who ask for its set alone.
_SETS: Final = Parts("problem set", "mars2_env.problems", {name: known.loader for name, known in SETS.items()})


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
    if not isinstance(name, str | os.PathLike):
        raise ConfigError(
            f"load_problems({name!r:.200}): give the name of a set, one of {', '.join(names())}, or a file."
        )
    wanted = "a file or folder, or None"
    instance("path", path, str | os.PathLike | None, wanted, where="load_problems")
    instance("split", split, str | None, "the name of a split, or None", where="load_problems")
    key = os.fspath(name)
    where = None if path is None else os.fspath(path)
    if key in _SETS:
        found = _SETS.build(key, path=where, split=split, options=options)
    else:
        if not key.endswith(jsonl.SUFFIXES):
            hint = " A file of ours ends in .jsonl or .jsonl.gz." if os.path.exists(key) else ""
            raise ConfigError(unknown_name("problem set", key, names()) + hint)
        if where is not None:
            raise ConfigError(f"load_problems({key!r}, path={where!r}): the name is a file already; give one of them.")
        found = _SETS.build("jsonl", path=key, split=split, options=options)
    if not isinstance(found, ProblemSet):
        raise ConfigError(f"the loader of problem set {key!r} returned {type(found).__name__}, not a ProblemSet.")
    return found


def register_problems(name: str, loader: L | None = None) -> Any:
    """Make `load_problems(name)` call `loader`; without one, return the decorator that does so.

    Raises:
        ConfigError: the name is taken, or no name.
    """
    if not isinstance(name, str) or not name or name.endswith(jsonl.SUFFIXES):
        raise ConfigError(f"register_problems({name!r:.200}): a name is a non-empty text that is not a .jsonl file's.")
    return _SETS.decorator(name) if loader is None else _SETS.register(name, loader)


def names() -> list[str]:
    """Return the names of all problem sets that can be loaded, sorted."""
    return _SETS.names()
