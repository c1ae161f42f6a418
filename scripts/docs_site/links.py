"""Links of the repository's pages, led to where the same things are on the site."""

from __future__ import annotations

import os.path
import re
from collections.abc import Mapping
from typing import Final

LINK: Final = re.compile(r"\[(?P<text>[^\]\[]*)\]\((?P<target>[^()\s]+)\)")
CODE: Final = re.compile(r"^(?P<fence>`{3,})[^\n]*\n.*?^(?P=fence)$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def led(text: str, page: str, home: str, places: Mapping[str, str], repository_url: str | None) -> str:
    """Return a page's text with its links led to the site.

    Args:
        text: the page.
        page: its path in the repository, such as `docs/guide.md`.
        home: its path on the site.
        places: path in the repository -> place on the site, with an anchor perhaps; `PATH::NAME` -> the place of what
            is defined there, for links whose words are `NAME` in backticks.
        repository_url: where files are that the site does not have; None: nowhere, such links become their words.
    """
    codes = [code.span() for code in CODE.finditer(text)]

    def one(found: re.Match[str]) -> str:
        words, target = found["text"], found["target"]
        in_code = any(start <= found.start() and found.end() <= end for start, end in codes)
        if in_code or re.match(r"[a-z]+:|#", target):
            return found[0]
        path, _, anchor = target.partition("#")
        path = os.path.normpath(os.path.join(os.path.dirname(page), path))
        if path in places:
            place, _, named = places.get(f"{path}::{words.strip('`')}", places[path]).partition("#")
            anchor = anchor or named
            return f"[{words}]({os.path.relpath(place, os.path.dirname(home))}{'#' if anchor else ''}{anchor})"
        return f"[{words}]({repository_url.rstrip('/')}/blob/main/{path})" if repository_url else words

    return LINK.sub(one, text)
