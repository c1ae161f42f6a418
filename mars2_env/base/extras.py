"""Packages that are not always there: what to say where one is missing.

Which extra brings a package is read from the metadata of the distribution, so that it is written down in one place,
`pyproject.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, requires
from typing import Final

from mars2_env.errors import ExtraError

OURS: Final = "mars2-env"
_EXTRA: Final = re.compile(r"""^\s*([A-Za-z0-9._-]+).*;.*extra\s*==\s*['"]([^'"]+)['"]""")


def extras_of(distribution: str = OURS) -> dict[str, list[str]]:
    """Return package -> the extras of a distribution that name it; empty where it is not installed."""
    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:
        lines = []
    found: dict[str, list[str]] = {}
    for match in filter(None, map(_EXTRA.match, lines)):
        found.setdefault(_normal(match[1]), []).append(match[2])
    return found


def how_to_install(error: ImportError, distribution: str = OURS) -> str:
    """Return the sentence that says how to get what an import did not find.

    Args:
        error: what the import raised.
        distribution: whose extras are looked through.
    """
    if (error.name or "").startswith("mars2_"):
        return "Reinstall mars2-env: what is installed is of another version than its metadata."
    package = _normal((error.name or "").partition(".")[0])
    extras = [extra for extra in extras_of(distribution).get(package, ()) if extra != "dev"]
    if extras:
        return f"`pip install '{distribution}[{extras[0]}]'` brings it."
    return f"`pip install {package}` may bring it." if package else "Is all of what it needs installed?"


@contextmanager
def needed_by(what: str) -> Iterator[None]:
    """Make of a package that is not there, inside the block, one sentence that says how to get it.

    Args:
        what: what needs it, as the sentence begins.

    Raises:
        ExtraError: an import in the block failed.
    """
    try:
        yield
    except ExtraError:
        raise
    except ImportError as error:
        raise ExtraError(f"{what}: {error}. {how_to_install(error)}") from None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
