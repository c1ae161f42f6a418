"""The sandbox image, made from this host's own Python without a registry: interpreter and standard library.

`tar_entries` lists what goes in, `build_image` packs it and hands it to the engine (`docker import`). Nothing else of
the host goes in but the shared libraries of those: no site-packages, no `.pth` files, no `sitecustomize`, no
configuration. Worker code is not in the image either: it is sent to each container when it starts, so that one image
serves every version of this package with the same Python. The image is tagged with a hash of its contents; a label with
a fingerprint of the host's files (sizes and times) finds it again without reading them.

Whoever has a registry, or no Linux Python to copy, builds an image from `dockerfile()` instead.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib._bootstrap_external as bootstrap
import importlib.util
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mars2_env.errors import SandboxUnavailableError
from mars2_env.sandbox.distributions import distribution_files, versions
from mars2_env.sandbox.packages import OMITTED, closure, package_files
from mars2_env.sandbox.worker import place
from mars2_env.sandbox.worker.frames import GUARDED_BOX

REPOSITORY: Final = "mars2-sandbox"
PYTHON: Final = "/python/bin/python3"
PACKAGES: Final = "/python/packages"
BOX: Final = "/box"
LABEL: Final = "mars2_env.image"
_FORMAT: Final = "3"

_OMITTED_DIRECTORIES: Final = frozenset(
    {"__pycache__", "site-packages", "dist-packages", "test", "tests"}
    | {"idlelib", "turtledemo", "ensurepip", "lib2to3", "tkinter"}
)
_OTHER_ZONES: Final = frozenset({"posix", "right"})
"""The same zones once more, and with leap seconds."""

_OMITTED_FILES: Final = re.compile(
    r"sitecustomize\.py|usercustomize\.py|.*\.pth|_tkinter\..*|_test.*\.so|xx.*\.so|.*\.a"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the image: an absolute path, and a file's bytes, or a link's target, or neither for a folder."""

    path: str
    data: bytes | None = None
    link: str | None = None
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """A sandbox image: what the engine calls it, the hash of its contents, and the version of the Python in it."""

    name: str
    digest: str
    python: str

    @property
    def identity(self) -> str:
        """A short stable text for log headers."""
        return f"python{self.python}:{self.digest}"


def _interpreter() -> Path:
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def _standard_library() -> Path:
    return Path(
        sysconfig.get_path("stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix})
    ).resolve()


def _walk(root: Path, *, omit: frozenset[str] = _OMITTED_DIRECTORIES) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in omit and not name.startswith("config-"))
        for name in sorted(files):
            path = Path(folder, name)
            if not _OMITTED_FILES.fullmatch(name) and path.suffix not in (".pyc", ".exe") and path.is_file():
                yield path


def _libraries(binaries: Iterable[Path]) -> dict[str, Path]:
    """Return the shared libraries that `binaries` need: soname (or absolute path, for the loader) -> file."""
    ldd = shutil.which("ldd")
    if ldd is None:
        raise SandboxUnavailableError(
            "building the sandbox image needs `ldd`; use `mars2 sandbox build --dockerfile` instead."
        )
    listing = subprocess.run([ldd, *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    found: dict[str, Path] = {}
    for line in listing.splitlines():
        match = re.match(r"\s+(\S+)(?: => (/\S+))? \(0x", line)
        if match and (match[2] or match[1].startswith("/")):
            found[match[1]] = Path(match[2] or match[1]).resolve()
    return found


def _byte_code(path: str, source: bytes) -> Entry | None:
    """Compile `source` to byte code that is never checked against it: start-up then needs no stat of the source."""
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):
        return None
    data = bootstrap._code_to_hash_pyc(code, importlib.util.source_hash(source), False)  # type: ignore[attr-defined]
    return Entry(importlib.util.cache_from_source(path, optimization=""), bytes(data))


def _tree(source: Path, target: str, omit: frozenset[str] = _OMITTED_DIRECTORIES) -> Iterator[Entry]:
    for path in _walk(source, omit=omit):
        inside = f"{target}/{path.relative_to(source)}"
        yield Entry(inside, path.read_bytes(), executable=path.suffix == ".so")


_LOCALE_AND_ZONES: Final = tuple(
    folder for folder in (Path("/usr/lib/locale/C.utf8"), Path("/usr/share/zoneinfo")) if folder.is_dir()
)
"""The locale that LANG names, and what `zoneinfo` reads; where this host has them."""

_LOADED_LATE: Final = ("libgcc_s.so.1", "libnss_files.so.2")
"""Libraries that the C library loads when they are first needed: when a thread is ended, and for lists of users."""


def tar_entries(*, python_packages: Sequence[str] = (), packages: Sequence[str] = ()) -> list[Entry]:
    """List what the image holds, byte code apart: every file of it with its contents, and the empty folders.

    Args:
        python_packages: Names of Python distributions (`distributions.names_of`).
        packages: Names of Debian packages.
    """
    library = f"/python/{sys.platlibdir}/python{sys.version_info.major}.{sys.version_info.minor}"
    interpreter, standard_library = _interpreter(), _standard_library()
    entries = [Entry(f"{PYTHON}.{sys.version_info.minor}", interpreter.read_bytes(), executable=True)]
    entries += [Entry(PYTHON, link=f"python3.{sys.version_info.minor}"), Entry("/python/bin/python", link="python3")]
    entries += _tree(standard_library, library)
    shell = Path("/bin/sh").resolve()
    entries.append(Entry("/bin/sh", shell.read_bytes(), executable=True))
    binaries = [interpreter, shell, *(path for path in _walk(standard_library) if path.suffix == ".so")]
    own: set[Path] = set()
    for found in distribution_files(python_packages):
        shared = ".so" in found.source.suffixes
        entries.append(Entry(f"{PACKAGES}/{found.place}", found.source.read_bytes(), executable=shared))
        own.add(found.source.resolve())
        if shared:
            binaries.append(found.source)
    libraries = _libraries(binaries)
    system = next((str(path.parent) for name, path in libraries.items() if name.startswith("libc.")), "/usr/lib")
    c_library = next((path for name, path in libraries.items() if name.startswith("libc.")), None)
    if c_library is not None:
        libraries |= {name: c_library.with_name(name) for name in _LOADED_LATE if c_library.with_name(name).is_file()}
    for name, path in sorted(libraries.items()):
        if path not in own:
            inside = name if name.startswith("/") else f"{system}/{name}"
            entries.append(Entry(inside, path.read_bytes(), executable=True))
    entries += [
        Entry("/etc/passwd", link=place.USERS),
        Entry("/etc/group", link=place.GROUPS),
        Entry(place.GUARDED_USERS, place.users(place.GUARDED_UID, f"{BOX}/{GUARDED_BOX}").encode()),
        Entry(place.GUARDED_GROUPS, place.groups(place.GUARDED_UID).encode()),
    ]
    for folder in _LOCALE_AND_ZONES:
        entries += _tree(folder, str(folder), _OTHER_ZONES)
    entries += [Entry(folder) for folder in (BOX, "/run/mars2", "/tmp", "/proc", "/sys", "/dev")]
    if packages:
        there = {entry.path for entry in entries}
        for file in package_files(packages):
            if file.path not in there:
                data = None if file.source is None else file.source.read_bytes()
                entries.append(Entry(file.path, data, file.link, executable=_is_executable(file.source)))
    return entries


def _is_executable(path: Path | None) -> bool:
    return path is not None and os.access(path, os.X_OK)


def content_hash(entries: Iterable[Entry]) -> str:
    """Return 12 hexadecimal digits that stand for the contents of an image."""
    digest = hashlib.sha256(f"{_FORMAT}:{sys.version}".encode())
    for entry in sorted(entries, key=lambda entry: entry.path):
        digest.update(f"\0{entry.path}\0{entry.link}\0{entry.executable}\0".encode())
        digest.update(hashlib.sha256(entry.data or b"").digest())
    return digest.hexdigest()[:12]


def write_tar(entries: Iterable[Entry], file: Any) -> None:
    """Write `entries`, and byte code for the Python sources among them, as a tar that depends on nothing else."""
    with tarfile.open(fileobj=file, mode="w") as tar:
        folders: set[str] = set()

        def add(entry: Entry) -> None:
            for folder in reversed(Path(entry.path).parents[:-1]):
                add_folder(str(folder))
            info = tarfile.TarInfo(entry.path.lstrip("/"))
            info.mode = 0o755 if entry.executable else 0o644
            if entry.link is not None:
                info.type, info.linkname = tarfile.SYMTYPE, entry.link
                tar.addfile(info)
            elif entry.data is None:
                add_folder(entry.path)
            else:
                info.size = len(entry.data)
                tar.addfile(info, io.BytesIO(entry.data))

        def add_folder(path: str) -> None:
            if path not in folders:
                folders.add(path)
                info = tarfile.TarInfo(path.lstrip("/"))
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)

        for entry in entries:
            add(entry)
            if entry.path.endswith(".py") and entry.data is not None:
                compiled = _byte_code(entry.path, entry.data)
                if compiled is not None:
                    add(compiled)


def fingerprint(*, python_packages: Sequence[str] = (), packages: Sequence[str] = ()) -> str:
    """Return a text that changes when this host's Python or those packages do, without reading their files."""
    digest = hashlib.sha256(f"{_FORMAT}:{sys.version}:{versions(python_packages)}".encode())
    if packages:
        digest.update(f"{OMITTED.pattern}\0{closure(packages)}\0".encode())
    files = [_interpreter(), Path("/bin/sh"), *_walk(_standard_library())]
    files += [path for folder in _LOCALE_AND_ZONES for path in _walk(folder, omit=_OTHER_ZONES)]
    files += [found.source for found in distribution_files(python_packages)]
    for path in files:
        found = path.stat()
        digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:24]


def dockerfile(*, python_packages: Sequence[str] = (), packages: Sequence[str] = ()) -> str:
    """Return a Dockerfile for an equal image from a registry's Python: `make_sandbox("docker", image="NAME")`."""
    extra = ""
    if python_packages:
        extra = f"RUN pip install --no-cache-dir --target {PACKAGES} {' '.join(python_packages)}\n"
    if packages:
        names = " ".join(packages)
        extra += f"RUN apt-get update && apt-get install -y --no-install-recommends {names}\n"
    return (
        f"FROM python:{platform.python_version()}-slim\n"
        f"{extra}"
        "RUN rm -rf /usr/local/lib/python3.*/site-packages/* /usr/local/lib/python3.*/ensurepip \\\n"
        f" && mkdir -p {BOX} /run/mars2 /python/bin && ln -s /usr/local/bin/python3 {PYTHON} \\\n"
        f" && ln -sf {place.USERS} /etc/passwd && ln -sf {place.GROUPS} /etc/group\n"
    )


def _find(client: Any, key: str) -> Image | None:
    for found in client.api.images(filters={"label": [f"{LABEL}={key}"]}):
        labels = found.get("Labels") or {}
        digest = labels.get(f"{LABEL}.digest", "")
        name = f"{REPOSITORY}:{digest}"
        if digest and name in (found.get("RepoTags") or []):
            return Image(name, digest, labels.get(f"{LABEL}.python", ""))
    return None


@contextlib.contextmanager
def _one_builder() -> Iterator[None]:
    path = Path(tempfile.gettempdir(), f"mars2-image-{os.getuid()}.lock")
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build_image(
    client: Any, *, python_packages: Sequence[str] = (), packages: Sequence[str] = (), force: bool = False
) -> Image:
    """Return the image for this host's Python, building it first where the engine does not have it (3 to 10 s).

    Two processes that ask at once get the same image; the second waits for the first.

    Args:
        client: A `docker.DockerClient`.
        python_packages: Add these Python distributions, as installed here, and those that they require.
        packages: Add the files of these Debian packages, as installed here, and of what they depend on.
        force: Build it even if it is there.

    Raises:
        SandboxUnavailableError: this host's Python cannot be packed, or a package is not installed.
    """
    key = fingerprint(python_packages=python_packages, packages=packages)
    found = None if force else _find(client, key)
    if found is not None:
        return found
    if not sys.platform.startswith("linux"):
        raise SandboxUnavailableError(
            "only a Linux Python can be packed into a sandbox image; build one from `mars2 sandbox build --dockerfile` "
            'and pass its name: make_sandbox("docker", image="NAME").'
        )
    with _one_builder():
        found = None if force else _find(client, key)
        if found is not None:
            return found
        entries = tar_entries(python_packages=python_packages, packages=packages)
        image = Image(f"{REPOSITORY}:{content_hash(entries)}", content_hash(entries), platform.python_version())
        labels = {LABEL: key, f"{LABEL}.digest": image.digest, f"{LABEL}.python": image.python}
        with tempfile.TemporaryFile() as file:
            write_tar(entries, file)
            file.seek(0)
            client.api.import_image_from_stream(
                iter(lambda: file.read(2**20), b""),  # an iterator: a file would go with a length and a wrong header
                repository=REPOSITORY,
                tag=image.digest,
                changes=[f"LABEL {name}={value}" for name, value in labels.items()],
            )
        return image
