"""Waiting for a sandbox whose engine is away, as while it restarts: bounded, said, and no fault of any program.

How often it is tried again and after which pauses is fixed, so what is decided depends on no clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock
from typing import Final, TypeVar

from mars2_env.errors import SandboxAwayError

PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 4.5)
"""Seconds before each further try; a minute in all."""

Found = TypeVar("Found")

_log = logging.getLogger(__name__)


class _Waiters:
    """Counts who waits, so that what all of them wait for is said once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0

    def come(self) -> bool:
        """Count one more, and return whether it is the first."""
        with self._lock:
            self._count += 1
            return self._count == 1

    def go(self) -> bool:
        """Count one less, and return whether it was the last."""
        with self._lock:
            self._count -= 1
            return self._count == 0


_waiters: Final = _Waiters()


def outlasting(act: Callable[[], Found], pause: Callable[[float], bool]) -> Found:
    """Return what an act comes to, trying again while the engine of its sandbox is away.

    Args:
        act: what needs the sandbox; it may be done several times.
        pause: waits for so many seconds, and returns whether nobody wants the outcome any more.

    Raises:
        SandboxAwayError: the engine did not come back.
    """
    try:
        return act()
    except SandboxAwayError as error:
        if _waiters.come():
            _log.warning("waiting up to %.0f s for the sandbox: %s", sum(PAUSES), error)
        away = error
    returned = False
    try:
        for seconds in PAUSES:
            if pause(seconds):
                break
            try:
                found = act()
            except SandboxAwayError as error:
                away = error
                continue
            returned = True
            return found
        raise away
    finally:
        if _waiters.go() and returned:
            _log.warning("the sandbox is back; going on.")
