"""Append-only files of lines, and what has to be right about them for nothing to be lost.

Every file that a run goes on from is one of these: logs of trees and their traces, verdicts on hidden tests, trials of
benchmarks. A line is written whole before anything depends on it; a last line that was cut off, by a kill in mid-write,
is no line, and is gone before the next is appended. What a folder was begun with is claimed in one step, and whoever
comes later is held to it (`claim`, `check_same`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from threading import get_ident
from typing import Any, Final, TypeVar

import msgspec

from mars2_env.errors import LogError, LogInUseError

T = TypeVar("T")

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding JSON raises of bytes that are none, or none of the type that is asked for."""

_FIRST: Final = frozenset({"problem_set", "split", "name"})
"""Keys of a configuration on which others depend."""

_PIECE: Final = 2**16
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Say of a file that cannot be written, on a full disk say, what it is and what to do about it.

    Raises:
        LogError: in place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise _refused(path, error) from None


def _refused(path: Path, error: OSError) -> LogError:
    hint = ""
    if error.errno in _FULL:
        hint = " Make room; then the same command goes on from what is written."
    return LogError(f"{path} cannot be written: {error.strerror}.{hint}")


class Journal:
    """A file of lines that is appended to. Safe to use from several threads: a line is one write.

    Attributes:
        path: the file.
    """

    def __init__(self, path: str | Path, *, alone: bool = False) -> None:
        """Open the file, which is made where it is missing, with the folders that lead to it.

        A last line that was cut off is removed with the first append, so that a line begins there.

        Args:
            path: the file.
            alone: whether this writer wants it for itself; the claim goes with the process.

        Raises:
            LogInUseError: another writer has it for itself.
            LogError: it cannot be opened.
        """
        self.path = Path(path)
        self._file = -1
        check_regular(self.path)
        with refusing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._mended = False
        if alone:
            try:
                _lock(self._file, self.path)
            except BaseException:
                self.close()
                raise

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._file < 0

    def append(self, line: bytes) -> None:
        """Write one line, complete, to the operating system.

        Args:
            line: what it says, without a newline.

        Raises:
            LogError: there is no room for it, or another trouble of the file's; it is as if nothing had been written.
        """
        rest = line + b"\n"
        try:
            if not self._mended:
                size = os.fstat(self._file).st_size
                if (whole := _whole(self._file, size)) < size:
                    os.ftruncate(self._file, whole)
            self._mended = False  # until the line is whole
            while (written := os.write(self._file, rest)) < len(rest):
                rest = rest[written:]
            self._mended = True
        except OSError as error:
            raise _refused(self.path, error) from None

    def keep(self, lines: int) -> None:
        """Take back all but the first so many lines; for the writer that has the file for itself."""
        with refusing(self.path):
            whole = self.path.read_bytes().splitlines(keepends=True)
            os.ftruncate(self._file, sum(map(len, whole[:lines])))
            os.fsync(self._file)

    def sync(self) -> None:
        """Have the operating system bring everything to the disk.

        Raises:
            LogError: it could not.
        """
        with refusing(self.path):
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _lock(descriptor: int, path: Path) -> None:
    """Take a file for this writer alone; the lock goes with the process."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LogInUseError(
            f"{path} is being written by another run; wait for it, or use another output folder."
        ) from None


def _whole(descriptor: int, size: int) -> int:
    """Return how many of the first `size` bytes of a file are whole lines."""
    end = size
    while end > 0:
        start = max(end - _PIECE, 0)
        last = os.pread(descriptor, end - start, start).rfind(b"\n")
        if last >= 0:
            return start + last + 1
        end = start
    return 0


def check_regular(path: Path) -> None:
    """Check that a path, if anything is there, is a file or a folder: to read a pipe or a device may take for ever.

    Raises:
        LogError: it is something else.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:  # whoever reads it says why it cannot be
        return
    if not (S_ISREG(mode) or S_ISDIR(mode)):
        raise LogError(f"{path} is no file, but a pipe, a socket or a device; put it elsewhere.")


def whole_lines(path: Path) -> list[bytes]:
    """Return the lines of a file, without newlines; one that was cut off is left out.

    Raises:
        LogError: the file cannot be read, or is a pipe or the like.
    """
    check_regular(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror}.") from None
    return data[: data.rfind(b"\n") + 1].splitlines()


def read_journal(path: Path, kind: type[T]) -> Iterator[T]:
    """Yield the values of a journal of JSON lines, nothing where the file is missing.

    Args:
        path: the file.
        kind: the type of each line's value.

    Raises:
        LogError: a line is no value of this type; file and line are named.
    """
    if not path.exists():
        return
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            yield msgspec.json.decode(line, type=kind)
        except UNREADABLE as error:
            raise LogError(f"{path}: line {number}: {error}") from None


def _begun(path: Path, data: bytes) -> bool:
    """Write a file as a whole if it is not there, and return whether it was this writer that did."""
    with refusing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    new = _beside(path, data)
    try:
        os.link(new, path)  # of several writers one gets the name
    except FileExistsError:
        return False
    except OSError:  # a file system without links: then the last of several at once gets it
        new.replace(path)
        return True
    finally:
        new.unlink(missing_ok=True)
    return True


def _beside(path: Path, data: bytes) -> Path:
    new = path.with_name(f"{path.name}.{os.getpid()}.{get_ident()}.tmp")
    try:
        with refusing(path):
            new.write_bytes(data)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return new


def claim(
    path: Path,
    config: dict[str, Any],
    *,
    wanted: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    joined: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> None:
    """Write down what a folder is used for, or check that it is used for the same; of several at once one is first.

    Args:
        path: the file that says so.
        config: what is to be done, as plain data.
        wanted: given what was found, returns what it has to be; `config` where nothing is said.
        joined: given what was found, returns what is written down from then on; the same if left out.

    Raises:
        LogError: the file is unreadable, or the folder is used for something else; the key that differs is named.
    """
    if not path.exists() and _begun(path, _written(config)):
        return
    found = read_claim(path)
    check_same(path, found, config if wanted is None else wanted(found))
    if joined is not None and (both := joined(found)) != found:
        with refusing(path):
            _beside(path, _written(both)).replace(path)


def _written(config: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n"


def read_claim(path: Path) -> dict[str, Any]:
    """Return what a folder says it is used for.

    Raises:
        LogError: the file is unreadable or says something else.
    """
    check_regular(path)
    try:
        found = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror}.") from None
    except UNREADABLE as error:
        raise LogError(f"{path}: not a description of a run: {error}") from None
    if not isinstance(found, dict):
        raise LogError(f"{path}: not a description of a run.")
    return found


def check_same(where: str | Path, found: Any, wanted: Any, name: str = "") -> None:
    """Refuse to go on with what another configuration began.

    Raises:
        LogError: the two differ; the message names the first differing key with both values.
    """
    found, wanted = (msgspec.json.decode(msgspec.json.encode(one)) for one in (found, wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        # what decides other keys before these, the parts before their hashes: two digests say less than a name
        order = sorted(
            {*found, *wanted}, key=lambda key: (key.endswith("hash") or key == "problems", key not in _FIRST, key)
        )
        for key in order:
            check_same(where, found.get(key), wanted.get(key), f"{name}.{key}" if name else str(key))
    elif found != wanted:
        raise LogError(
            f"{where} was begun under another configuration: {name} was {found!r} and is now {wanted!r}. "
            "Use the same settings to resume, or another output folder."
        )
