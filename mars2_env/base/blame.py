"""Whose code it was: an exception of a part that somebody else wrote says which part raised it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mars2_env.errors import Mars2Error


@contextmanager
def blamed(words: str, part: object) -> Iterator[None]:
    """Note on what a block raises that it came out of a part; errors of the library's own speak for themselves.

    Args:
        words: what is called, such as "claim() of the feed".
        part: the part itself; its `repr` is asked for where something is raised, and only there.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, Mars2Error):
            error.add_note(f"It was raised by {words} {part!r:.200}.")
        raise
