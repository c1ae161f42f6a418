"""Code that stands among words without a fence: in tags, in JSON, or as lines that read as Python."""

from __future__ import annotations

import ast
import builtins
import json
import keyword
import re
from collections.abc import Callable, Iterator
from textwrap import dedent
from typing import Final

from mars2_env.prompt.syntax import MAX_PARSED

Parsed = ast.Module | SyntaxError | None
"""What Python's parser makes of a text; None: it cannot take it, or more would be too much work."""

_FIELDS: Final = ("program", "code", "solution", "python", "python_code", "source", "source_code", "answer")
_NAMES: Final = "answer|solution|final|final_answer|program|python|code|pre|python_code|script|output"
_REGION: Final = re.compile(
    rf"<(?P<close>/?)(?P<name>{_NAMES})(?:\s[^<>\n]{{0,200}})?>|\[(?P<end>/?)(?P<mark>PYTHON|CODE|ANSWER|SOLUTION)\]"
    r"|\\(?P<tex>begin|end)\{(?P<listing>lstlisting|verbatim|minted|code|python)\}(?:\[[^\]\n]{0,200}\])?(?:\{python\})?"
    r"|(?P<tool><\|python_tag\|>)",
    re.IGNORECASE,
)
_STARTS: Final = re.compile(
    r"from\s+[\w.]+\s+import\b|import\s+[\w.]+(?:\s*,\s*[\w.]+)*(?:\s+as\s+\w+)?\s*(?:[#;].*)?$|(?:async\s+)?def\s+\w+\s*\("
    r"|class\s+\w+\s*[:(]|@\w[\w.]*(?:\(.*\))?\s*$|#!|[A-Za-z_][\w,. \[\]]*=[^=]|print\s*\(|\w+\s*\(\s*\)\s*$"
    r"|(?:for|while|if|with)\b.*:\s*(?:[^\s].*)?$|try\s*:"
)
OPENS_LIKE_CODE: Final = re.compile(
    r"(from\s+[\w.]+\s+import\b|import\s+\w|(async\s+)?def\s+\w+\s*\(|class\s+\w+\s*[:(]|@\w|#!)"
)
_PROSE: Final = re.compile(
    r"\s{0,3}(?:[-*#>\u2022]+\s+|\d+[.)]\s+)?[\"'(*_]*([A-Za-z][\w'\u2019-]*)[*_]*"
    r"(?:[.:!?]+$|[,.:;!?]?\s+[\w*`(\"'$])"
)
_SET_OFF: Final = re.compile(r"(?: {4}| {0,3}\t| {0,3}>)")
_QUOTED: Final = re.compile(r"^ {0,3}> ?")
_DEPTH: Final = 4
_CUTS: Final = 6
_SEARCHES: Final = 24


def told_in_json(text: str) -> str | None:
    """Return what a JSON object, or a list of such, says its program is; None if the text is nothing like it."""
    bare = text.strip()
    if not (bare.startswith(("{", "[")) and bare.endswith(("}", "]"))) or len(bare) > MAX_PARSED:
        return None
    try:
        told = json.loads(bare, strict=False)
    except (ValueError, RecursionError):
        return None
    return _field_of(told, _DEPTH)


def _field_of(told: object, depth: int) -> str | None:
    """Return the text of the first field that is named like a program, in what JSON says, the outer ones first."""
    if isinstance(told, dict):
        fields = {str(name).lower(): value for name, value in told.items()}
        for value in (fields.get(name) for name in _FIELDS):
            if isinstance(value, str):
                return value
            if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
                return "\n".join(value)
        told = list(told.values())
    if isinstance(told, list) and depth:
        return next((text for each in told if (text := _field_of(each, depth - 1)) is not None), None)
    return None


def regions_in(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield what stands in tags such as `<answer>`, `<code>` or `[PYTHON]`, innermost, as (place, text, closed)."""
    opened: re.Match[str] | None = None
    for found in _REGION.finditer(text):
        if _closes(found):
            if opened is not None and _name(opened) == _name(found):
                yield opened.end(), text[opened.end() : found.start()], True
            opened = None
        else:
            opened = found
    if opened is not None:  # a reply that was stopped at the mark that ends it
        yield opened.end(), text[opened.end() :], False


def _closes(found: re.Match[str]) -> bool:
    return bool(found["close"] or found["end"]) or found["tex"] == "end"


def _name(found: re.Match[str]) -> str:
    return str(found["name"] or found["mark"] or found["listing"] or found["tool"]).lower()


def does_something(statement: ast.stmt) -> bool:
    """Whether a statement is more than words that happen to parse: `fine`, `a, b`, `Answer: below`."""
    match statement:
        case ast.Expr(value):
            return any(isinstance(node, ast.Call) for node in ast.walk(value))
        case ast.AnnAssign(value=None):
            return False
        case _:
            return True


def is_words(statement: ast.stmt) -> bool:
    """Whether a statement is words that would fail as code: `Done`, `Complexity: high`."""
    match statement:
        case ast.Expr(ast.Name()):
            return True
        case ast.Expr(ast.Tuple(elts)):
            return all(isinstance(each, ast.Name) for each in elts)
        case ast.AnnAssign(annotation=ast.Name(id=name), value=None):
            return not hasattr(builtins, name)
        case ast.AnnAssign(annotation=ast.Subscript() | ast.Constant()):
            return False
        case ast.AnnAssign(value=None):
            return True
        case _:
            return False


def substantial(tree: ast.Module) -> bool:
    """Whether a tree is more than what words around code may parse as: `O(1)`, `x = 5`, `import this`."""
    return any(_is_code(statement) for statement in tree.body)


def _is_code(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(ast.Call(func=ast.Name(id="print"))) | ast.Expr(ast.Call(func=ast.Attribute())):
            return True
        case ast.Assign(value=ast.Lambda()) | ast.Expr(ast.ListComp()):
            return True
        case ast.Expr() | ast.Assign() | ast.AnnAssign() | ast.Import() | ast.ImportFrom() | ast.Pass():
            return False
        case ast.Assert() | ast.Return() | ast.Delete() | ast.Global():
            return False
        case _:
            return True


def pieces_of_code(text: str, parsed: Callable[[str], Parsed]) -> list[str]:
    """Return the stretches of whole lines that Python parses and that are code, each as long as can be, in order.

    Args:
        text: words with code among them.
        parsed: what Python's parser makes of a text.
    """
    lines = text.split("\n")
    pieces: list[str] = []
    behind = searches = 0
    for number, line in enumerate(lines):
        if number < behind or not _STARTS.match(line):
            continue
        searches += 1
        if searches > _SEARCHES:
            break
        piece = _longest(lines, number, parsed)
        if piece is not None:
            end, tree = piece
            behind = end
            if substantial(tree):
                pieces.append("\n".join(lines[number:end]).rstrip() + "\n")
    return pieces


def _longest(lines: list[str], start: int, parsed: Callable[[str], Parsed]) -> tuple[int, ast.Module] | None:
    """Return where the code that begins on a line ends, and its tree, by cutting it off where the parser stops."""
    end = len(lines)
    for _ in range(_CUTS):
        while end > start and not lines[end - 1].strip():
            end -= 1
        if end <= start:
            return None
        found = parsed("\n".join(lines[start:end]) + "\n")
        if isinstance(found, ast.Module):
            last = next((i for i in range(len(found.body), 0, -1) if not is_words(found.body[i - 1])), 0)
            if last in (0, len(found.body)):
                return (end, found) if last else None
            end = start + found.body[last].lineno - 1  # single words behind the code
        elif isinstance(found, SyntaxError):
            end = min(end - 1, start + max(0, (found.lineno or 1) - 1))
        else:
            return None
    return None


def set_off(text: str) -> Iterator[str]:
    """Yield the stretches of a text that are indented by four columns or more, or quoted by `>`, without that mark."""
    group: list[str] = []
    for line in [*text.split("\n"), "."]:
        if _SET_OFF.match(line) or (group and not line.strip()):
            group.append(line.expandtabs(4))
        elif group:
            yield dedent("".join(_QUOTED.sub("", each) + "\n" for each in group)).strip("\n") + "\n"
            group = []


def is_prose(line: str) -> bool:
    """Whether a line is a sentence or its beginning, not code that was cut short."""
    found = _PROSE.match(line)
    return found is not None and not keyword.iskeyword(found[1]) and not re.search(r"[\w)\]]\s*=\s*\S", line)
