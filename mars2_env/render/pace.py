"""When something that goes on for long says where it stands, if nobody watches a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

EVERY: Final = 60.0
"""Seconds between two lines: few enough for the log of a job of days."""


class Pace:
    """Says when the next line is due; the first is due a period after the start.

    Args:
        every: the period, in seconds.
        clock: returns seconds, from any beginning.
    """

    def __init__(self, every: float = EVERY, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        self._start = self._last = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def due(self) -> bool:
        """Return whether a line is due, which is then taken to be printed."""
        now = self._clock()
        if now - self._last < self._every:
            return False
        self._last = now
        return True
