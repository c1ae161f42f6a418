"""Whose code it was: an exception of a part that somebody else wrote says which part raised it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mars2_env.errors import Mars2Error


@contextmanager
def blamed(part: str) -> Iterator[None]:
    """Note on what a block raises that it came out of a part; errors of the library's own speak for themselves.

    Args:
        part: the part in words, such as "claim() of the feed ListFeed(...)".
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, Mars2Error):
            error.add_note(f"It was raised by {part}.")
        raise
