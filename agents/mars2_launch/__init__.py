"""The command `mars2` from its first moment on: Ctrl-C while all else is imported ends it with one word.

Importing `mars2_env` takes a moment, in which a press would end in a page of lines of whatever file is being read.
This package imports next to nothing, so that it can be there before; that is why it is no part of `mars2_env`.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Final

__all__ = ["main"]

STATUS: Final = 130
"""Exit status of a command that was interrupted, as shells have it."""


def main() -> None:
    """Run the command line."""
    expected = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else somebody wants it otherwise
    try:
        if expected:
            signal.signal(signal.SIGINT, _leave)
        from mars2_env.cli import main as command

        if expected:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        command()
    except KeyboardInterrupt:  # between this handler and the command line's own
        _leave()


def _leave(number: int = signal.SIGINT, frame: FrameType | None = None) -> None:
    """End the process on the spot: nothing is begun yet that would have to be put away."""
    os.write(2, b"interrupted.\n")
    os._exit(STATUS)
