"""Files of Debian packages that are installed on this host, for a sandbox whose programs need more than Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mars2_env.errors import SandboxUnavailableError

OMITTED: Final = re.compile(
    r"/usr/share/(doc|man|info|locale|lintian|bug|gdb|gcc|gcc-\d+|bash-completion)/.*|/etc/.*"
    r"|.*/gconv/.*|.*/gprofng/.*|.*/(lto1|cc1|lto-dump|[^/]*lto-dump-\d+)"
    r"|.*/lib(asan|hwasan|tsan|lsan|ubsan|gprofng|ssl|crypto|krb5|gssapi|tirpc|nsl)[^/]*"
)
"""Documentation, sanitizers, other languages' compilers, network libraries: two thirds of a compiler's size."""


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A file to be put at `path`, with the contents of `source`, or as a link to `link`."""

    path: str
    source: Path | None = None
    link: str | None = None


def closure(packages: Sequence[str]) -> dict[str, str]:
    """Return these packages and all that they depend on, as installed here, with their versions.

    Raises:
        SandboxUnavailableError: one is not installed, or this host is no Debian.
    """
    if shutil.which("dpkg-query") is None:
        raise SandboxUnavailableError(
            f"{', '.join(packages)}: taken from this host's Debian packages, and it has no dpkg-query; use Docker with "
            'an image that holds them: make_sandbox("docker", image="NAME", ...), see `dockerfile`.'
        )
    form = "${Package}\t${Version}\t${db:Status-Status}\t${Pre-Depends}, ${Depends}\t${Provides}\n"
    listing = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True).stdout
    versions: dict[str, str] = {}
    needs: dict[str, str] = {}
    providers: dict[str, str] = {}
    for line in listing.splitlines():
        name, version, status, depends, provides = line.split("\t")
        if status == "installed":
            versions[name], needs[name] = version, depends
            providers.update(dict.fromkeys(_names(provides), name))
    missing = [name for name in packages if name not in versions]
    if missing:
        raise SandboxUnavailableError(
            f"not installed here: {', '.join(missing)}. On Debian and Ubuntu: sudo apt-get install -y "
            f"{' '.join(missing)}."
        )
    found: dict[str, str] = {}
    waiting = list(packages)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = versions[name]
            for need in needs[name].split(","):
                installed = [providers.get(one, one) if one not in versions else one for one in _names(need, "|")]
                waiting += [one for one in installed if one in versions][:1]
    return dict(sorted(found.items()))


def _names(text: str, separator: str = ",") -> list[str]:
    """Return the names in a list of packages: `a (>= 1), b:any` -> a, b."""
    return [found[0] for part in text.split(separator) if (found := re.match(r"[^\s:(]+", part.strip()))]


def package_files(packages: Sequence[str]) -> Iterator[PackageFile]:
    """Yield what these packages and all that they depend on have installed here, less what is never needed (`OMITTED`).

    A path that leads through a linked folder (/lib on most hosts) is yielded twice: as it really is, and as a link.

    Raises:
        SandboxUnavailableError: one is not installed, or this host is no Debian.
    """
    names = list(closure(packages))
    listing = subprocess.run(["dpkg", "-L", *names], capture_output=True, text=True, check=True).stdout
    lines = sorted(set(listing.splitlines()))
    folders = {str(Path(line).parent) for line in lines}  # some are links on this host, which only lead to the place
    for line in lines:
        path = Path(line)
        if not path.is_absolute() or line in folders or OMITTED.fullmatch(line):
            continue
        place = path.parent.resolve() / path.name
        if path.is_symlink():
            yield PackageFile(str(place), link=os.readlink(path))
        elif path.is_file():
            yield PackageFile(str(place), source=path)
        else:
            continue  # an empty folder, or a file that was deleted
        if place != path:
            yield PackageFile(str(path), link=str(place))
