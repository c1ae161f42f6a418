"""Writing the log of one tree, and going on with one that was begun."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import msgspec

from mars2_env.base.journal import Journal, check_same, whole_lines
from mars2_env.episode.events import Ended, Event
from mars2_env.errors import LogError
from mars2_env.log.codec import SCHEMA, Header, decode_event, encode_event


def log_path(out: str | Path, problem: str, seed: int) -> Path:
    """Return where the log of a tree lies in a run folder."""
    name = quote(problem, safe=" ")
    if len(name) > 120:  # file systems take names of up to 255 bytes
        name = f"{name[:100]}~{sha256(problem.encode()).hexdigest()[:16]}"
    return Path(out) / "trees" / f"{name}.seed{seed}.jsonl"


def read_events(path: Path) -> tuple[Header | None, list[Event]]:
    """Return the header and the events of a log; no header where not even that was written.

    Raises:
        LogError: the log cannot be read, or a line of it is none of this schema; file and line are named.
    """
    lines = whole_lines(path)
    if not lines:
        return None, []
    try:
        found = msgspec.json.decode(lines[0])
        schema = found.get("schema") if isinstance(found, dict) else None
        if schema != SCHEMA:
            raise LogError(f"{path}: line 1: schema {schema!r}; this version reads schema {SCHEMA}.")
        header = msgspec.convert(found, Header)
    except msgspec.MsgspecError as error:
        raise LogError(f"{path}: line 1: not a log header: {error}") from None
    events: list[Event] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            events.append(decode_event(line))
        except LogError as error:
            raise LogError(f"{path}: line {number}: {error}") from None
    return header, events


class LogWriter:
    """Appends the events of one tree to its file.

    Opening a file that holds events already resumes it: `events` are those to be folded before going on. A last line
    that was cut off is removed.
    """

    def __init__(self, path: str | Path, header: Header) -> None:
        """Open or resume the log at `path`.

        Raises:
            LogError: the file belongs to another configuration; the message names the first key that differs.
        """
        self.path = Path(path)
        self._journal = Journal(self.path, alone=True)
        try:
            found, self.events = read_events(self.path)
            if found is not None:
                check_same(self.path, found, header)
        except BaseException:
            self.close()
            raise
        if found is None:
            self._journal.append(msgspec.json.encode(header))

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
