"""Who owns a container: a process of this boot of this machine, named so that its death can be told later."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path


def _start_time(pid: int) -> str:
    """The start time of a process, or "" if there is none: pids are used again, start times tell them apart."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


@functools.cache
def _place() -> tuple[str, str]:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")
    except OSError:
        return "", ""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, by pid, start time, boot and pid namespace."""

    pid: int
    start: str
    boot: str
    namespace: str

    @classmethod
    def this(cls) -> Owner:
        """The calling process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Owner:
        """The process that has this pid now."""
        return cls(pid, _start_time(pid), *_place())

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """Return the owner that `text`, a label, names; None if it names none."""
        parts = text.split("/")
        if len(parts) != 4 or not parts[0].isdigit():
            return None
        return cls(int(parts[0]), *parts[1:])

    def __str__(self) -> str:
        """The label that `parse` reads."""
        return f"{self.pid}/{self.start}/{self.boot}/{self.namespace}"

    def is_dead(self, *, running: bool) -> bool:
        """Whether the owner is known to be dead; `running`: whether its container runs, which no reboot outlives."""
        boot, namespace = _place()
        if self.boot != boot:
            return not running
        if self.namespace != namespace:
            return False  # a process of another container: not for us to say
        return _start_time(self.pid) != self.start
