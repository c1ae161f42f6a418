"""Programs as texts: parsed without harm, and told apart by their syntax.

Replies are hostile: they are parsed, never executed, and a text that Python's parser cannot take is simply not parsed.
"""

from __future__ import annotations

import ast
import os
import warnings
from collections.abc import Callable
from functools import lru_cache, update_wrapper
from hashlib import blake2b
from threading import Lock
from typing import Any, Final, TypeVar

from mars2_env.base import checks

MAX_PARSED = 100_000
"""Texts longer than this many characters are not parsed: they are compared, and taken for programs, as they stand."""

KEPT: Final = 512
MAX_KEPT: Final = 20_000
"""What is made of a text is kept for the last so many texts of at most so many characters: one expansion of a tree asks
for the same several times."""

Made = TypeVar("Made")


def kept(make: Callable[..., Made]) -> Callable[..., Made]:
    """Keep what a function of texts made of the last few of them; of long ones it is made anew each time."""
    keeping = lru_cache(maxsize=KEPT)(make)

    def found(text: str, *others: Any) -> Made:
        checks.text("text", text, where=make.__name__)
        return keeping(text, *others) if len(text) <= MAX_KEPT else make(text, *others)

    return update_wrapper(found, make)


_parsing = Lock()


def _new_lock() -> None:
    global _parsing
    _parsing = Lock()


os.register_at_fork(after_in_child=_new_lock)  # a thread that held it at the fork is not there to let go of it


def syntax_tree(source: str, mode: str = "exec") -> Any:
    """Return `ast.parse(source, mode=mode)` without the warnings that it gives of the source.

    One thread at a time: Python 3.11 counts the depth of all threads' trees together, so that a thread that is stopped
    inside `ast.parse` while another one is in there ends in a SystemError (CPython's issue 106905).

    Raises:
        SyntaxError, ValueError, MemoryError, RecursionError: as of `ast.parse`.
    """
    with _parsing, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as for "\\d" in other people's docstrings
        return ast.parse(source, mode=mode)


def parse(program: str) -> ast.Module | None:
    """Return the syntax tree of a program, or None if Python cannot parse it or it is longer than `MAX_PARSED`."""
    checks.text("program", program, where="parse")
    if len(program) > MAX_PARSED:
        return None
    try:
        tree: ast.Module = syntax_tree(program)
        return tree
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


@kept
def normal_form(program: str) -> bytes:
    """Return a key that is equal for programs with equal syntax trees: layout and comments do not count.

    A program that does not parse is its own normal form.

    Raises:
        ConfigError: it is no text.
    """
    tree = parse(program)
    text = "text:" + program if tree is None else _written(tree)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _written(tree: ast.AST) -> str:
    """Return a text that is equal for equal syntax trees alone, without recursion: replies are hostile.

    Nodes come before their fields, lists with their length, and what is neither with its type, one a line.
    """
    lines = []
    stack: list[object] = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, ast.AST):
            lines.append(type(item).__name__)
            stack += [getattr(item, name, None) for name in reversed(item._fields)]
        elif isinstance(item, list):
            lines.append(f"[{len(item)}")
            stack += reversed(item)
        elif type(item) is int:
            lines.append(hex(item))  # long ones have no decimal text
        else:
            lines.append(repr(item))
    return "\n".join(lines)
