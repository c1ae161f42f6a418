"""Ctrl-C on the command line: the first ends a command with a word on what is kept, the third ends it on the spot."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import typer

from mars2_env.cli.options import say

STATUS: Final = 130
"""Exit status of a command that was interrupted, as shells have it."""


def be_patient() -> None:
    """From now on, let Ctrl-C raise `KeyboardInterrupt` once, and never in the middle of what that sets off.

    The second says that things are being put away; the third leaves at once, which loses nothing either: what a log
    holds was written before anything came of it, and containers end with the process that they belong to.
    """
    presses = 0

    def pressed(number: int, frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            raise KeyboardInterrupt
        if presses == 2:
            os.write(2, b"stopping; once more to leave at once.\n")  # whatever holds a lock on stderr
        else:
            os._exit(STATUS)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else somebody wants it otherwise
        signal.signal(signal.SIGINT, pressed)


@contextmanager
def interruptible(what_is_kept: str) -> Iterator[None]:
    """End the command on Ctrl-C with exit status 130 and a word on what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"interrupted; {what_is_kept}.", err=True)
        sys.stderr.flush()
        raise typer.Exit(STATUS) from None
