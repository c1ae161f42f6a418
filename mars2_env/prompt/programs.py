"""Programs as texts: what of a reply is the program, and when two programs are the same.

Replies are hostile: they are parsed, never executed, and a text that Python's parser cannot take is simply not parsed.
"""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Callable, Iterable
from functools import lru_cache, update_wrapper
from hashlib import blake2b
from threading import Lock
from typing import Any, Final, TypeVar

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
        return keeping(text, *others) if len(text) <= MAX_KEPT else make(text, *others)

    return update_wrapper(found, make)


PYTHON_TAGS = frozenset({"", "python", "py", "python3", "python2", "py3", "pycon", "ipython"})

_FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*([^`\n]*)$")
_MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
)


def _unquoted(marks: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern whose group `mark` is set where a mark stands that is not in quotes."""
    any_mark = "|".join(map(re.escape, marks))
    return re.compile(rf"([\"'])(?:{any_mark})\1|(?<!`)`(?:{any_mark})`(?!`)|(?P<mark>{any_mark})")


_THINKING_BEGINS = _unquoted(begin for begin, _ in _MARKS)
_THINKING_ENDS = _unquoted(end for _, end in _MARKS)

_OPENS_LIKE_CODE = re.compile(
    r"(from\s+[\w.]+\s+import\b|import\s+\w|(async\s+)?def\s+\w+\s*\(|class\s+\w+\s*[:(]|@\w|#!)"
)


@kept
def extract_program(reply: str, defines: str | None = None) -> str | None:
    """Return the program in a reply, or None where there is none.

    Args:
        reply: what an agent returned.
        defines: the function that the program is called by, if it is.

    1. Thinking is dropped (`drop_thinking`).
    2. A reply that begins with code and then closes a fence that it never opened goes on with a block that its prompt
       opened (plain completion): what comes before that fence is the program.
    3. The last fenced block is the program. Blocks that never close (a reply cut short), that are empty, or that are
       labelled as another language than Python count only where there is no other; nor, where a function is called, do
       blocks without it (an example of its use after the program, say).
    4. Without a fence, the whole reply is the program if it reads as Python: it opens like code, or it parses and does
       more than name something.
    """
    text = drop_thinking(reply)
    continued = continued_block(text)
    if continued is not None:
        return continued
    blocks = fenced_blocks(text)
    if blocks:
        filled = [block for block in blocks if block[1].strip()]
        if not filled:
            return None
        ranks = [(closed, tag in PYTHON_TAGS, _defines(body, defines)) for tag, body, closed in filled]
        last = max(range(len(filled)), key=lambda index: (ranks[index], index))
        return filled[last][1]
    return text.strip("\n") + "\n" if reads_as_python(text) else None


def _defines(body: str, name: str | None) -> bool:
    if name is None:
        return True
    return re.search(rf"^[ \t]*(async[ \t]+def|def|class)[ \t]+{name}\b|^{name}[ \t]*=", body, re.MULTILINE) is not None


def drop_thinking(text: str) -> str:
    """Drop what a reasoning model thought: all up to the last closing mark, and all from an opening one left open.

    The marks are `<think>`, `<thinking>`, `<thought>`, `<reasoning>`, `<seed:think>`, `[THINK]`, `<|begin_of_thought|>`
    and what closes each. One in quotes is spoken of, and does not count.
    """
    ends = [found for found in _THINKING_ENDS.finditer(text) if found["mark"]]
    rest = text[ends[-1].end() :] if ends else text
    begin = next((found for found in _THINKING_BEGINS.finditer(rest) if found["mark"]), None)
    return rest if begin is None else rest[: begin.start()]


def continued_block(text: str) -> str | None:
    """Return the code before a bare fence that closes a block which `text` does not open; None if it is no such text.

    The code must read as Python by itself, or open like code in a text whose fences do not pair up otherwise.
    """
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if _FENCE.match(line.rstrip("\r"))]
    if not fences or lines[fences[0]].strip().strip("`~"):
        return None
    code = "".join(line + "\n" for line in lines[: fences[0]])
    if not code.strip():
        return None
    opens = len(fences) % 2 == 1 and _OPENS_LIKE_CODE.match(code.lstrip()) is not None
    return code if opens or _parses_as_program(code) else None


def fenced_blocks(text: str) -> list[tuple[str, str, bool]]:
    """Return the Markdown fenced blocks of a text as (language tag in lower case, body, whether it closes).

    A fence is three or more backticks or tildes alone on a line; it closes with at least as many of the same kind. The
    indentation of the opening fence is taken off the body's lines.
    """
    blocks: list[tuple[str, str, bool]] = []
    opening: tuple[str, str, str] | None = None
    body: list[str] = []
    for line in text.split("\n"):
        match = _FENCE.match(line.rstrip("\r"))
        if opening is None:
            if match:
                opening, body = (match[1], match[2], match[3]), []
            continue
        indent, fence, info = opening
        if match and not match[3].strip() and match[2][0] == fence[0] and len(match[2]) >= len(fence):
            blocks.append((_tag(info), "".join(body), True))
            opening = None
        else:
            body.append((line.removeprefix(indent) if indent else line) + "\n")
    if opening is not None:
        blocks.append((_tag(opening[2]), "".join(body), False))
    return blocks


def _tag(info: str) -> str:
    words = info.strip().strip("{}").lstrip(".").split()
    return words[0].lower() if words else ""


def reads_as_python(text: str) -> bool:
    """Whether a text without fences is a program: it opens like code, or parses and does more than name something."""
    return _OPENS_LIKE_CODE.match(text.lstrip()) is not None or _parses_as_program(text)


def _parses_as_program(text: str) -> bool:
    tree = parse(text)
    return tree is not None and any(map(_does_something, tree.body))


def _does_something(statement: ast.stmt) -> bool:
    """Whether a statement is more than words that happen to parse: `fine`, `a, b`, `Answer: below`."""
    match statement:
        case ast.Expr(value):
            return isinstance(value, ast.Call)
        case ast.AnnAssign(value=None):
            return False
        case _:
            return True


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


@kept
def fenced(text: str, tag: str = "") -> str:
    """Return a Markdown block whose fence is longer than any run of backticks inside: nothing in it closes it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{tag}\n{text}{'' if text.endswith(chr(10)) else chr(10)}{fence}"
