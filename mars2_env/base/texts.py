"""Texts that any file, terminal and tokenizer can hold, texts that steer no terminal, and texts cut to a length."""

from __future__ import annotations

import unicodedata


def well_formed(text: str) -> str:
    """Return a text with lone surrogates, which no encoding has, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def printable(text: str) -> str:
    """Return text that is safe on a terminal: what could steer it becomes U+FFFD, one for each character.

    That is every character of the Unicode categories C (control, among them escape, carriage return and backspace;
    format, among them the bidirectional ones; surrogate, private, unassigned), Zl and Zp, but for newline and tab.
    Whatever prints a text that a program, a problem or a file may have a part in passes it through here.
    """
    return "".join(char if char in "\n\t" or not _steers(char) else "\ufffd" for char in text)


def printable_line(text: str) -> str:
    """Return `printable(text)` on one line, for names: newlines and tabs, too, become U+FFFD."""
    return printable(text).replace("\n", "\ufffd").replace("\t", "\ufffd")


def _steers(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] == "C" or category in ("Zl", "Zp")


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
