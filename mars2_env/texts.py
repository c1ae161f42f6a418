"""Texts that any file, terminal and tokenizer can hold."""

from __future__ import annotations


def well_formed(text: str) -> str:
    """Return a text with lone surrogates, which no encoding has, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
