"""Writing the log of one tree, and going on with one that was begun."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from mars2_env.base.journal import UNREADABLE, Journal, check_regular, check_same, whole_lines
from mars2_env.episode.events import Asked, Cancelled, Ended, Event, Failed
from mars2_env.errors import LogError
from mars2_env.log.codec import SCHEMAS, Header, decode_event, encode_event

_VOID: Final = (Asked, Failed, Cancelled, Ended)
"""Events that tell no outcome."""

_NAME: Final = re.compile(r".*\.seed[0-9]+\.jsonl", re.DOTALL)
_BEGINS: Final = b'{"problem":'


def log_path(out: str | Path, problem: str, seed: int) -> Path:
    """Return where the log of a tree lies in a run folder."""
    name = quote(problem, safe=" ")
    if len(name) > 120:  # file systems take names of up to 255 bytes
        name = f"{name[:100]}~{sha256(problem.encode()).hexdigest()[:16]}"
    return Path(out) / "trees" / f"{name}.seed{seed}.jsonl"


def log_files(out: str | Path) -> list[Path]:
    """Return the logs in a run folder, in order of file name: what is named as `log_path` names them.

    Whatever else lies in its folder `trees` is none of ours, and left alone by all that read or write runs. A file that
    has the name of a log and is none is an error for all of them.

    Raises:
        LogError: the folder cannot be read.
    """
    folder = Path(out) / "trees"
    try:
        return sorted(folder / name for name in os.listdir(folder) if _NAME.fullmatch(name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LogError(f"{folder}: cannot be read: {error.strerror}.") from None


def check_logs(out: str | Path) -> None:
    """Check that what has the name of a log in a run folder is one, by its header, and that no tree has two.

    Raises:
        LogError: one cannot be read, or is none of this schema, or is of another tree than its name says, or there are
            two of one tree; it is named.
    """
    logs = [(path, read_header(path)) for path in log_files(out)]
    check_once(logs)
    for path, header in logs:
        if header is not None and path.name != (name := log_path(out, header.problem, header.seed).name):
            raise LogError(
                f"{path} is the log of {header.problem}, seed {header.seed}; call it {name} again, or put it elsewhere."
            )


def check_once(logs: Iterable[tuple[Path, Header | None]]) -> None:
    """Check that no tree, a problem and a seed, has two logs, as where one was copied.

    Raises:
        LogError: one has; both are named.
    """
    seen: dict[tuple[str, int], Path] = {}
    for path, header in logs:
        if header is not None and (first := seen.setdefault((header.problem, header.seed), path)) is not path:
            raise LogError(
                f"{path} and {first} are logs of one tree ({header.problem}, seed {header.seed}); put the copy "
                "elsewhere."
            )


def read_events(path: Path) -> tuple[Header | None, list[Event]]:
    """Return the header and the events of a log; no header where not even that was written.

    Raises:
        LogError: the log cannot be read, or a line of it is none of this schema; file and line are named.
    """
    lines = whole_lines(path)
    if not lines:
        read_header(path)  # a header that was cut off, or something else
        return None, []
    header = _header(path, lines[0])
    events: list[Event] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            events.append(decode_event(line))
        except LogError as error:
            raise LogError(f"{path}: line {number}: {error}") from None
    return header, events


def faults_path(log: Path) -> Path:
    """Return where the faults lie that a tree ended by before it was taken up again."""
    return log.with_suffix(".faults")


def before_faults(events: Sequence[Event]) -> int:
    """Return how many events of a tree stand before the faults that ended it; all of them if it did not end so.

    The faults are what follows the last outcome but for the turns that were asked for right after it: with these in
    flight a tree that meets no fault goes on in the same way.
    """
    if not events or not isinstance(events[-1], Ended) or events[-1].reason != "faults":
        return len(events)
    outcome = max((place for place, event in enumerate(events) if not isinstance(event, _VOID)), default=-1)
    return next(place for place in range(outcome + 1, len(events)) if not isinstance(events[place], Asked))


def read_header(path: Path) -> Header | None:
    """Return the header of a log; None where not even that was written.

    Raises:
        LogError: the log cannot be read, or its first line is none of this schema.
    """
    check_regular(path)
    try:
        with path.open("rb") as file:
            line = file.readline()
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror}.") from None
    if line.endswith(b"\n"):
        return _header(path, line)
    if not _BEGINS.startswith(line[: len(_BEGINS)]):
        raise _none(path, "it begins otherwise")
    return None


def _header(path: Path, line: bytes) -> Header:
    try:
        found = msgspec.json.decode(line)
        schema = found.get("schema") if isinstance(found, dict) else None
        if schema is not None and schema not in SCHEMAS:
            known = " and ".join(map(str, SCHEMAS))
            raise LogError(f"{path}: line 1: schema {schema!r:.80}; this version reads schemas {known}.")
        if schema is None:
            raise _none(path, "no schema")
        return msgspec.convert(found, Header)
    except UNREADABLE as error:
        raise _none(path, error) from None


def _none(path: Path, why: object) -> LogError:
    hint = (
        " Put the file elsewhere; the tree that it may have been is grown anew." if path.parent.name == "trees" else ""
    )
    return LogError(f"{path}: line 1: not a log header: {why}.{hint}")


class LogWriter:
    """Appends the events of one tree to its file.

    Opening a file that holds events already resumes it: `events` are those to be folded before going on. A last line
    that was cut off is removed.
    """

    def __init__(self, path: str | Path, header: Header, *, reopen: bool = False) -> None:
        """Open or resume the log at `path`.

        Args:
            path: the file.
            header: what is logged in it.
            reopen: whether a tree that ended by faults is taken up again where they began (`before_faults`). What the
                log says of them goes into a file of its own beside it, so that the finished log is that of a tree that
                met none.

        Raises:
            LogError: the file belongs to another configuration; the message names the first key that differs.
        """
        self.path = Path(path)
        self._journal = Journal(self.path, alone=True)
        try:
            found, self.events = read_events(self.path)
            if found is not None:
                check_same(self.path, found, header)
            if reopen and (kept := before_faults(self.events)) < len(self.events):
                self._set_aside(kept)
            if found is None:
                self._journal.append(msgspec.json.encode(header))
        except BaseException:
            self.close()
            raise

    def _set_aside(self, kept: int) -> None:
        """Move all but the first so many events into the file of faults; they are there before they are gone here."""
        aside = Journal(faults_path(self.path))
        try:
            for event in self.events[kept:]:
                aside.append(encode_event(event))
            aside.sync()
        finally:
            aside.close()
        self._journal.keep(1 + kept)
        del self.events[kept:]

    def __call__(self, event: Event) -> None:
        """Write one event; a tree's last event is synced to disk.

        Raises:
            LogError: the log was closed.
        """
        if self._journal.closed:
            raise LogError(f"{self.path} is closed; begin another tree (an environment: call reset()).")
        self._journal.append(encode_event(event))
        if isinstance(event, Ended):
            self._journal.sync()

    def close(self) -> None:
        """Close the file; it can be resumed later."""
        self._journal.close()
