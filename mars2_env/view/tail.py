"""The log of a tree that still grows, as records, with the byte of the log up to which each of them tells.

A log is only ever appended to, but in one case: a tree that ended by faults and is taken up again loses these (see
`LogWriter`). Then, and wherever a log got shorter, the records begin anew, under another number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mars2_env.log import DAMAGE, Header, Trace, decode_event, read_header, read_trace, trace_path
from mars2_env.view.records import Record, Records


@dataclass
class Tail:
    """A log as far as it is written.

    Attributes:
        path: the log.
        begin: returns what makes the records of a tree, by its header.
        header: the log's; None as long as it has none.
        number: of the reading: another when the log got shorter.
        ends: of each record, the byte of the log after its line.
        told: the records.
        traces: what each turn cost.
        broken: why the log could not be read on; "" where it can.
    """

    path: Path
    begin: Callable[[Header], Records]
    header: Header | None = None
    number: int = 0
    ends: list[int] = field(default_factory=list)
    told: list[Record] = field(default_factory=list)
    traces: Mapping[int, Trace] = field(default_factory=dict)
    broken: str = ""
    records: Records | None = None
    _read: int = 0
    _trace_size: int = -1

    def poll(self) -> bool:
        """Read what was written since the last time, and return whether that changed anything."""
        try:
            size = self.path.stat().st_size
        except OSError:
            return False
        if size < self._read:
            self.header, self.records, self.broken, self._read, self._trace_size = None, None, "", 0, -1
            self.ends, self.told, self.number = [], [], self.number + 1
        changed = self._poll_trace()
        if size == self._read or self.broken:
            return changed
        with self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            self._read += len(line)
            try:
                self._take(line)
            except DAMAGE as error:
                self.broken = f"line {len(self.told) + 2}: {error!s:.300}"
                break
            changed = True
        return changed

    def _take(self, line: bytes) -> None:
        if self.records is None:
            self.header = read_header(self.path)
            assert self.header is not None  # its line is whole
            self.records = self.begin(self.header)
            self.records.spend(self.traces)
            return
        self.told.append(self.records.take(decode_event(line)))
        self.ends.append(self._read)

    def _poll_trace(self) -> bool:
        path = trace_path(self.path)
        try:
            size = path.stat().st_size
        except OSError:
            return False
        if size == self._trace_size:
            return False
        self._trace_size, self.traces = size, read_trace(self.path)
        if self.records is not None:
            self.records.spend(self.traces)
        return True

    def after(self, byte: int) -> list[Record]:
        """Return the records of what is written behind a byte of the log."""
        first = next((place for place, end in enumerate(self.ends) if end > byte), len(self.ends))
        return self.told[first:]

    @property
    def trouble(self) -> dict[str, str]:
        """What cannot be told, and why."""
        found = {} if self.records is None else dict(self.records.trouble)
        return {**found, "log": f"the log is damaged: {self.broken}"} if self.broken else found

    def summary(self) -> dict[str, Any] | None:
        """Return the tree's line in the list; None as long as there is no tree."""
        return None if self.records is None else {**self.records.summary(), "log": self.path.name}
