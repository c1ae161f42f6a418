"""Texts that any file, terminal and tokenizer can hold, and texts cut to a length."""

from __future__ import annotations


def well_formed(text: str) -> str:
    """Return a text with lone surrogates, which no encoding has, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def elided(text: str, limit: int) -> str:
    """Return `text`, with its middle left out where it is longer than `limit` characters, and well formed.

    Two thirds of what is kept come from the beginning, one third from the end, and a mark between them says how many
    characters are missing. The result has at most `limit` characters, but for the mark, which is always whole.
    """
    text = well_formed(text)
    if len(text) <= limit:
        return text
    kept = max(0, limit - len(_mark(len(text))))
    head = kept * 2 // 3
    tail = kept - head
    return text[:head] + _mark(len(text) - kept) + text[len(text) - tail :]


def _mark(missing: int) -> str:
    return f"[... {missing} characters left out ...]"
