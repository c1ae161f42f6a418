"""Who is busy, by the clock: how much goes on at a time, and for how much of the time anything does.

A driver says when each piece of work begins and ends; what waits is a level of its own. Nothing here decides anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Final

JUDGE: Final = "judge"
QUEUE: Final = "judge_queue"
"""Programs that wait for a judge that is free. Nobody is busy with them: they do not count in `Meters.total`."""


@dataclass(slots=True)
class _Level:
    now: int = 0
    begun: int = 0
    summed: float = 0.0
    busy: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter shows of one kind of work, or of all work together.

    Attributes:
        now: how many pieces are on their way.
        begun: how many were begun in all.
        summed: seconds, summed over pieces.
        busy: seconds in which at least one was on its way.
        wall: seconds since the meters were started.
    """

    now: int
    begun: int
    summed: float
    busy: float
    wall: float

    @property
    def share(self) -> float:
        """The share of the time in which at least one piece was on its way."""
        return self.busy / self.wall if self.wall > 0 else 0.0

    @property
    def mean(self) -> float:
        """How many pieces were on their way at a time, on average."""
        return self.summed / self.wall if self.wall > 0 else 0.0


class Meters:
    """Measures work of several kinds, such as the calls of each agent's policy and the judge's programs.

    Safe to use from several threads.

    Args:
        clock: returns seconds, from any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._start = self._last = clock()
        self._levels: dict[str, _Level] = {}
        self._all = _Level()

    def begin(self, kind: str, count: int = 1) -> None:
        """Say that so many pieces of a kind begin."""
        self._move(kind, count)

    def end(self, kind: str, count: int = 1) -> None:
        """Say that so many pieces of a kind have ended."""
        self._move(kind, -count)

    @contextmanager
    def measure_all(self, counts: Mapping[str, int]) -> Iterator[None]:
        """Measure what the block does as so many pieces of each kind."""
        for kind, count in counts.items():
            self.begin(kind, count)
        try:
            yield
        finally:
            for kind, count in counts.items():
                self.end(kind, count)

    def measure(self, kind: str) -> AbstractContextManager[None]:
        """Measure what the block does as one piece of a kind."""
        return self.measure_all({kind: 1})

    def read(self) -> Mapping[str, Reading]:
        """Return kind -> what its meter shows, kinds in the order in which they were first begun."""
        with self._lock:
            self._pass()
            return {kind: self._shown(level) for kind, level in self._levels.items()}

    def total(self) -> Reading:
        """Return what all work together comes to; the rest of the time nothing was on its way."""
        with self._lock:
            self._pass()
            return self._shown(self._all)

    def _shown(self, level: _Level) -> Reading:
        return Reading(level.now, level.begun, level.summed, level.busy, self._last - self._start)

    def _pass(self) -> None:
        """Count the time since the last look."""
        now = self._clock()
        passed, self._last = now - self._last, now
        for level in (self._all, *self._levels.values()):
            level.summed += level.now * passed
            level.busy += passed if level.now else 0.0

    def _move(self, kind: str, count: int) -> None:
        with self._lock:
            self._pass()
            own = self._levels.setdefault(kind, _Level())
            for level in (own,) if kind == QUEUE else (self._all, own):
                level.now += count
                level.begun += max(count, 0)
