"""Pieces of HTML for notebooks: self-contained, without scripts, and with nothing in them that is not escaped.

Names, programs and messages come from models and files: whatever they say is text here, never markup
(`mars2_env.base.texts.printable` besides, so that no direction mark makes a program look like another).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from mars2_env.base.texts import elided, printable


def escaped(text: object) -> str:
    """Return a text as HTML that shows it and does nothing, in an element or in a quoted attribute."""
    return escape(printable(str(text)), quote=True)


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; `caption`, `head` and every cell are texts and are escaped."""
    top = "".join(f"<th>{escaped(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{escaped(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def folded(summary: str, text: str, *, indent: int = 0, most: int = 4000) -> str:
    """Return a line that opens to a longer text as it is written; of more than `most` characters the middle is cut."""
    return (
        f'<details style="margin-left:{indent:d}em"><summary>{escaped(summary)}</summary>'
        f"<pre>{escaped(elided(text, most))}</pre></details>"
    )
