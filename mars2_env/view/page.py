"""The page as one HTML file: no network, no file beside it, and nothing in it that runs but its own script.

What a run holds (programs, ids, names of agents, messages of errors) was written by models and files, and is hostile.
It enters the page as JSON in blocks that no browser runs, with `<`, `>` and `&` escaped, so that none of it can end
its block; the script puts it on the screen as text alone. The policy in the page's head allows nothing but this one
script and this one style sheet, by their hashes: no network, no frame, no form, no other script, no text as markup.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any, Final

import msgspec

from mars2_env.base.texts import printable_line
from mars2_env.log import Header
from mars2_env.view.records import CODES, Record
from mars2_env.view.runs import Made, Run, all_made, first_header

COMPRESSED_FROM: Final = 2_000_000
"""Bytes of JSON above which trees are compressed inside the page."""

_ESCAPES: Final = ((b"&", b"\\u0026"), (b"<", b"\\u003c"), (b">", b"\\u003e"))


@cache
def built(name: str) -> str:
    """Return a built file of the viewer: `viewer.js` or `viewer.css`."""
    return files("mars2_env.view").joinpath("built", name).read_text(encoding="utf-8")


def json_block(data: Any) -> bytes:
    """Return data as JSON that can stand in an HTML script block, whatever texts are in it."""
    found = msgspec.json.encode(data)
    for plain, escaped in _ESCAPES:
        found = found.replace(plain, escaped)
    return found


def deflated(data: bytes) -> bytes:
    """Return data compressed (raw deflate) and in base64."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b64encode(squeezer.compress(data) + squeezer.flush())


def policy(*, connect: bool = False) -> str:
    """Return the content security policy of the page.

    Args:
        connect: whether its script may ask the server that the page came from.
    """
    script, style = (b64encode(sha256(built(name).encode()).digest()).decode() for name in ("viewer.js", "viewer.css"))
    rules = [
        "default-src 'none'",
        f"script-src 'sha256-{script}'",
        f"style-src 'sha256-{style}'",
        *(["connect-src 'self'"] if connect else []),
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    return "; ".join(rules)


def html(title: str, blocks: Iterable[tuple[str, bytes, bool]], *, connect: bool = False) -> bytes:
    """Return the page.

    Args:
        title: of the page.
        blocks: its data: name, text, and whether that is compressed.
        connect: as for `policy`.
    """
    parts = [
        b"<!doctype html>\n",
        b'<html lang="en"><head><meta charset="utf-8">\n',
        f'<meta http-equiv="Content-Security-Policy" content="{policy(connect=connect)}">\n'.encode(),
        b'<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        b'<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">\n',
        f"<title>{escape(printable_line(title))}</title>\n".encode(),
        b"<style>",
        built("viewer.css").encode(),
        b"</style></head>\n<body>\n",
        b"<noscript>This page draws its trees by a script of its own, and the browser runs none.</noscript>\n",
    ]
    for name, data, packed in blocks:
        kind = "application/octet-stream" if packed else "application/json"
        parts += (f'<script type="{kind}" id="data-{name}">'.encode(), data, b"</script>\n")
    parts += (b"<script>", built("viewer.js").encode(), b"</script>\n</body></html>\n")
    return b"".join(parts)


def names_of(runs: Sequence[Run]) -> list[str]:
    """Return what the page calls each run: the name of its folder or file, and more where two have the same."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [f"{run.place.resolve().parent.name}/{run.name}" for run in runs]
    return (
        names if len(set(names)) == len(names) else [f"{name} ({place})" for place, name in enumerate(names, start=1)]
    )


def index_of(runs: Iterable[Record], names: Iterable[str], *, live: bool = False) -> Record:
    """Return what the page reads first: of each run what is known of it, and the lines of its list (`run_record`)."""
    codes = {letter: outcome for outcome, letter in CODES.items()}
    named = [{**run, "name": name} for run, name in zip(runs, names, strict=True)]
    return {"schema": 1, "live": live, "codes": codes, "runs": named}


def run_record(run: Run, header: Header | None, lines: Iterable[Record]) -> Record:
    """Return what is known of a run, by the header of its first tree, and the lines of its list."""
    return {**run.about(header), "trees": list(lines)}


def title_of(runs: Sequence[Run]) -> str:
    """Return the title of the page of these runs."""
    return f"{' and '.join(names_of(runs))} - mars2"


def page(runs: Sequence[Run], observer: Callable[[int, int], None] | None = None) -> bytes:
    """Return the page of one run, or of two side by side, as one HTML file.

    Args:
        runs: one or two.
        observer: called with (trees made, trees in all) of each run as the work goes on.

    Raises:
        LogError: a log is damaged.
    """
    trees = [list(all_made(run, observer)) for run in runs]
    told = (
        run_record(run, first_header(run), (one.summary for one in own)) for run, own in zip(runs, trees, strict=True)
    )
    return page_of(title_of(runs), index_of(told, names_of(runs)), trees)


def page_of(
    title: str, index: Record, trees: Sequence[Sequence[Made]], compressed_from: int = COMPRESSED_FROM
) -> bytes:
    """Return the page of what was made: trees in it are compressed where that is more bytes of JSON than so many."""
    data = [
        (f"tree-{run}-{place}", json_block(one.tree)) for run, own in enumerate(trees) for place, one in enumerate(own)
    ]
    pack = sum(len(block) for _, block in data) > compressed_from
    blocks = [("index", json_block(index), False)]
    blocks += [(name, deflated(block) if pack else block, pack) for name, block in data]
    return html(title, blocks)
