"""Python distributions that are installed on this host, for a sandbox whose programs may import them.

A distribution is what `pip install` names (`sortedcontainers`, `numpy`). What goes into the sandbox are its files as
installed here, by its own list of them, and those of what it requires: no site-packages as a whole, no `.pth` file, no
script, no test suite, nothing that was not asked for.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

from mars2_env.errors import ConfigError, SandboxUnavailableError

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_OMITTED_FOLDERS: Final = frozenset({"__pycache__", "tests", ".."})
"""Byte code, which is made anew; test suites; and scripts, which are above the folder of packages."""
_OMITTED_SUFFIXES: Final = frozenset({".pth", ".pyc", ".pyi", ".exe", ".a", ".h", ".pxd"})
_METADATA: Final = frozenset({"METADATA", "entry_points.txt", "top_level.txt"})
"""Of what a distribution says of itself, what `importlib.metadata` reads: paths of this host stay here."""


@dataclass(frozen=True, slots=True)
class DistributionFile:
    """A file of a distribution: where it is here, and its place below the sandbox's folder of packages."""

    source: Path
    place: str


def names_of(python_packages: Any, *, numpy: bool = False) -> tuple[str, ...]:
    """Return the distributions that a sandbox is asked for, each once, as the index of packages writes their names.

    Args:
        python_packages: Names, as `pip install` takes them; no versions, since what is installed here is taken.
        numpy: Whether numpy is asked for as well.

    Raises:
        ConfigError: these are not names of distributions.
    """
    given = [python_packages] if isinstance(python_packages, str) else python_packages
    if isinstance(python_packages, str) or not isinstance(given, Sequence | set | frozenset):
        raise ConfigError(f'python_packages={python_packages!r:.100}: give a list of names, such as ["numpy"].')
    for name in given:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"python_packages: {name!r:.100} is no name of a Python distribution; give names alone, such as "
                '"sortedcontainers": the versions are those installed here.'
            )
    wanted = [*given, "numpy"] if numpy else given
    return tuple(sorted({_normal(name) for name in wanted}))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(names: Sequence[str]) -> dict[str, Distribution]:
    """Return these distributions and those that they require and are installed here, by name.

    What an extra requires is taken only where it is named itself.

    Raises:
        SandboxUnavailableError: one of `names` is not installed; the message names the command that mends it.
    """
    found: dict[str, Distribution] = {}
    missing = []
    for name in names:
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        raise SandboxUnavailableError(
            f"programs were to have {', '.join(missing)}, not installed in this Python: "
            f"{shlex.quote(sys.executable)} -m pip install {' '.join(missing)}"
        )
    waiting = list(found.values())
    while waiting:
        for need in waiting.pop().requires or ():
            required = _NAME.match(need)
            if required is None or re.search(r";.*\bextra\b", need):
                continue
            name = _normal(required[0])
            if name not in found:
                try:
                    found[name] = distribution(name)
                except PackageNotFoundError:
                    continue  # its marker is about other systems or Pythons
                waiting.append(found[name])
    return dict(sorted(found.items()))


def versions(names: Sequence[str]) -> str:
    """Return the names and versions of these distributions and of what they require, as one text."""
    return " ".join(f"{name}={found.version}" for name, found in closure(names).items())


def distribution_files(names: Sequence[str]) -> Iterator[DistributionFile]:
    """Yield the files of these distributions and of what they require.

    Raises:
        SandboxUnavailableError: one is not installed, or not as files of its own (in editable mode, or by a tool that
            keeps no list of them).
    """
    for name, found in closure(names).items():
        files = list(_files_of(found))
        if not any(_is_code(file) for file in files):
            raise SandboxUnavailableError(
                f"{name} {found.version} is installed here without a list of its files, perhaps in editable mode: "
                f"{shlex.quote(sys.executable)} -m pip install --force-reinstall {name}"
            )
        yield from files


def _files_of(found: Distribution) -> Iterator[DistributionFile]:
    for path in found.files or ():
        if path.is_absolute() or path.suffix in _OMITTED_SUFFIXES or _OMITTED_FOLDERS & set(path.parts[:-1]):
            continue
        if path.parts[0].endswith((".dist-info", ".egg-info")) and path.name not in _METADATA:
            continue
        source = Path(str(found.locate_file(path)))
        if source.is_file():
            yield DistributionFile(source, path.as_posix())


def _is_code(file: DistributionFile) -> bool:
    return not file.place.partition("/")[0].endswith((".dist-info", ".egg-info"))


def modules(names: Sequence[str]) -> tuple[str, ...]:
    """Return what `import` calls these distributions, without what they require: their packages and modules."""
    found = set()
    for name in names:
        for file in _files_of(closure([name])[name]):
            top, _, rest = file.place.partition("/")
            if rest == "__init__.py" or (not rest and top.endswith((".py", ".so"))):
                found.add(top.partition(".")[0])
    return tuple(sorted(name for name in found if name.isidentifier() and not name.startswith("_")))
