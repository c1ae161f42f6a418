"""Pacing: trees of the next steps grow while others are learnt from, and never too far ahead; and signs of life.

A sample that is written now is learnt when all that was written before it is; so many updates older its weights are by
then. So the trees of a step begin only when, of every policy, at most `max_staleness` updates are due: of what waits in
its buffer and of what was grown and not learnt from yet. Samples of one step that make several batches age by the
updates among themselves, with pacing as without: take a batch at least as large as a step to have none of that.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Final

from mars2_env.base.checks import real_number, whole_number
from mars2_env.base.journal import refusing
from mars2_env.errors import PolicyError

SLICE: Final = 1.0
"""Seconds after which whoever waits looks whether there is still something to wait for."""


def updates_due(waiting: Mapping[str, int], batch: Mapping[str, int]) -> int:
    """Return how many updates are due, of the policy of which most are.

    Args:
        waiting: policy -> samples that were written and not learnt.
        batch: policy -> samples of an update.
    """
    return max((count // batch[policy] for policy, count in waiting.items()), default=0)


class Pulse:
    """Signs of life: who waits for something that gives none for too long is told so.

    Args:
        silence: seconds without a sign after which what is waited for is taken to be gone.
        clock: returns seconds, from any beginning.
    """

    def __init__(self, silence: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.silence = real_number("silence", silence, above=0, where="Pulse")
        self._clock = clock
        self._last = clock()

    def beat(self) -> None:
        """Give a sign of life."""
        self._last = self._clock()

    def check(self, what: str) -> None:
        """Check that there was a sign of life of late.

        Raises:
            PolicyError: there was none; `what` was waited for.
        """
        if (quiet := self._clock() - self._last) > self.silence:
            raise PolicyError(
                f"training waited for {what}, and nothing has moved for {quiet:.0f} s (deadline). What is written is "
                "kept: see what hangs, and run the same again."
            )


class Pacer:
    """Lets trees grow ahead of updates, as far as staleness allows.

    Args:
        batch: policy -> samples of an update.
        max_staleness: how many updates may be due, of any policy, when the trees of a step begin.
        pulse: of all that is waited for.
    """

    def __init__(self, batch: Mapping[str, int], max_staleness: int, pulse: Pulse) -> None:
        self._batch = dict(batch)
        self._most = whole_number("max_staleness", max_staleness, least=0, where="Pacer")
        self._pulse = pulse
        self._buffered = dict.fromkeys(batch, 0)
        self._grown: dict[int, Mapping[str, int]] = {}
        self._moved = Condition()
        self._closed = False

    @property
    def due(self) -> int:
        """How many updates are due, of the policy of which most are."""
        with self._moved:
            return updates_due(self._waiting(), self._batch)

    def _waiting(self) -> dict[str, int]:
        return {
            policy: count + sum(step.get(policy, 0) for step in self._grown.values())
            for policy, count in self._buffered.items()
        }

    def may_grow(self) -> bool:
        """Wait until trees may grow, and return whether they shall: not where the training was closed meanwhile.

        Raises:
            PolicyError: nothing has moved for too long.
        """
        with self._moved:
            while not self._closed and updates_due(self._waiting(), self._batch) > self._most:
                self._moved.wait(SLICE)
                self._pulse.check("updates, before more trees may grow")
            return not self._closed

    def grown(self, step: int, nodes: Mapping[str, int]) -> None:
        """Take that the trees of a step are grown: policy -> nodes, each of which may be a sample."""
        with self._moved:
            self._grown[step] = dict(nodes)

    def learnt(self, step: int, buffered: Mapping[str, int]) -> None:
        """Take that a step is learnt from: policy -> samples that wait in its buffer."""
        with self._moved:
            self._grown.pop(step, None)
            self._buffered.update(buffered)
            self._moved.notify_all()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._moved:
            self._closed = True
            self._moved.notify_all()


class Heartbeat:
    """Tells every so often what a training is at, in a file and to whoever listens, from a thread of its own.

    Args:
        path: the file, such as `out/heartbeat.json`: pid, step, phase, since how many seconds, and the time.
        every: seconds between two signs.
        listener: called with a line.
        clock: returns seconds, from any beginning.
    """

    def __init__(
        self,
        path: Path,
        every: float,
        listener: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._every = real_number("every", every, above=0, where="Heartbeat")
        self._listener = listener
        self._clock = clock
        self._phase = "starting"
        self._step = 0
        self._since = clock()
        self._stop = Event()
        self._thread: Thread | None = None

    def enter(self, step: int, phase: str) -> None:
        """Take what the training is at from now on."""
        self._step, self._phase, self._since = step, phase, self._clock()

    def beat(self, *, aloud: bool = True) -> None:
        """Tell what the training is at now.

        Raises:
            LogError: the file cannot be written.
        """
        seconds = self._clock() - self._since
        told = {"pid": os.getpid(), "step": self._step, "phase": self._phase, "seconds": round(seconds, 1)}
        new = self._path.with_name(f"{self._path.name}.new")
        with refusing(self._path):
            new.write_text(json.dumps(told | {"time": time.time()}), encoding="utf-8")
            new.replace(self._path)
        if aloud:
            self._listener(f"step {self._step}: {self._phase} for {seconds:.0f} s")

    def start(self) -> None:
        """Begin to beat."""
        if self._thread is None:
            self.beat(aloud=False)
            self._thread = Thread(target=self._run, name="mars2-heartbeat", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Beat no more, but for a last time. Idempotent."""
        if self._thread is not None and not self._stop.is_set():
            self._stop.set()
            self._thread.join(self._every)
            self.enter(self._step, f"ended while {self._phase}")
            self.beat(aloud=False)

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.beat()
