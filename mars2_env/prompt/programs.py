"""The program in a reply: what a careful reader would take for it. Replies are parsed, never executed.

The rules, in the order in which they are asked (`docs/replies.md` has them with examples):

1. Special tokens at either end, thinking (`marks`) and what follows the end of the model's turn are left out.
2. A reply that is a JSON object with a field such as `code` is what that field says.
3. Candidates are the fenced blocks (`blocks`) and what stands in tags such as `<answer>`. A reply that begins with code
   and then closes a fence that it never opened goes on with a block of its prompt: that code is the program.
4. The first of these that tells two candidates apart decides: which defines the called function, or, where none is
   called, reads and prints; which sort it is (see `_Sort`); which is closed; which comes later.
5. Names that it uses and only other blocks define come with their blocks' definitions in front of it; where it only
   defines, the last block behind it that calls what it defines comes with it.
6. Without a candidate, the program is the reply itself where it reads as Python, or its lines that do.
"""

from __future__ import annotations

import ast
import builtins
import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from mars2_env.base import checks
from mars2_env.prompt.blocks import (
    CODE,
    INVISIBLE,
    PYTHON,
    SESSION,
    Fence,
    Layout,
    fenced,
    fenced_blocks,
    known,
    layout_of,
)
from mars2_env.prompt.marks import without_tokens
from mars2_env.prompt.syntax import MAX_PARSED, kept, normal_form, parse, syntax_tree
from mars2_env.prompt.unfenced import (
    OPENS_LIKE_CODE,
    Parsed,
    does_something,
    is_prose,
    is_words,
    pieces_of_code,
    regions_in,
    set_off,
    substantial,
    told_in_json,
)

__all__ = [
    "MAX_PARSED",
    "MAX_READ",
    "extract_program",
    "fenced",
    "fenced_blocks",
    "normal_form",
    "parse",
    "syntax_tree",
]

MAX_READ: Final = 200_000
"""Of a longer reply the last so many characters are read: an answer ends a reply, and thinking may go before it."""

WORK: Final = 16
"""How many times its own length the parser may be given of a reply: so a hostile one costs no more than linear time."""

_READS: Final = re.compile(r"\binput\b|\bstdin\b|\bopen\(\s*0|\bfileinput\b|\bos\.read\b")
_PRINTS: Final = re.compile(r"\bprint\b|\bstdout\b|\.write\(|\bos\.write\b")
_BINDS: Final = re.compile(r"^[ \t]*(?:async|def|class|import|from)\b|=", re.MULTILINE)
_ENTITY: Final = re.compile(r"&(?:lt|gt|amp|quot|apos|nbsp|#\d{1,6}|#x[0-9a-fA-F]{1,5});")
_RUNS: Final = re.compile(
    r"^(?!(?:async )?def |class |import |from |@|#|\s|[)\]}]|[\w., ]+=[^=]|[\"'])\S", re.MULTILINE
)
"""Finds a line that does more than define something."""

_UNSEEN: Final = re.compile(f"[{INVISIBLE}]")
_LABELS: Final = frozenset({"copy code", "copy"})
"""What the button of a web page leaves in what is copied from it."""

_STUB: Final = re.compile(r"\bpass\b|\.\.\.|NotImplemented")
_LONE_RETURN: Final = re.compile(r"\r(?!\n)")
_ON_ONE_LINE: Final = re.compile(r"(?<!`)(`{3,})(?!`)([^`\n]{1,2000})\1(?!`)")
_BUILTIN: Final = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}


class _Sort(IntEnum):
    """Sorts of candidates; the later, the better."""

    OTHER = 0  # named as text, output, a shell's line, ...
    BARE = 1  # no language is named, and it does not read as a program
    FOREIGN = 2  # named as a program in another language
    MENDED = 3  # a session with prompts, a diff, a JSON object, one line: what is meant had to be made out
    BROKEN = 4  # named as Python, and does not parse
    READABLE = 5  # no language is named, and it is a program in Python
    PYTHON = 6  # named as Python, and parses


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A text that may be the program."""

    text: str
    tag: str
    closed: bool
    start: int
    mended: bool = False

    @property
    def named_python(self) -> bool:
        return PYTHON.match(self.tag) is not None

    @property
    def certain(self) -> bool:
        """Whether it is meant as a program: named as one, as it stands."""
        return (self.named_python or self.tag in CODE) and not self.mended


class _Reading:
    """One reading of a reply: what is parsed of it, within bounds."""

    def __init__(self, length: int, defines: str | None) -> None:
        self.defines = defines
        self._left = WORK * length + 1000
        self._trees: dict[str, Parsed] = {}

    def parsed(self, text: str) -> Parsed:
        """Return the tree of a text, or where Python stops; None if it cannot be parsed, or would be too much work."""
        if text in self._trees:
            return self._trees[text]
        if len(text) > min(self._left, MAX_PARSED):
            return None
        self._left -= len(text)
        found: Parsed
        try:
            found = syntax_tree(text)
        except SyntaxError as error:
            found = error
        except (ValueError, MemoryError, RecursionError):
            found = None
        self._trees[text] = found
        return found

    def tree(self, text: str) -> ast.Module | None:
        """Return the tree of a text, or None."""
        found = self.parsed(text)
        return found if isinstance(found, ast.Module) else None

    def parses(self, text: str) -> bool:
        """Whether Python parses a text."""
        return self.tree(text) is not None

    def is_code(self, text: str) -> bool:
        """Whether a text parses and is more than words that happen to."""
        tree = self.tree(text)
        return tree is not None and substantial(tree)

    def is_program(self, text: str) -> bool:
        """Whether a text parses and does more than name something."""
        tree = self.tree(text)
        return tree is not None and any(map(does_something, tree.body))

    def rank(self, one: _Candidate) -> tuple[int, _Sort, bool, int]:
        """Return what candidates are compared by."""
        return self.fits(one), self.sort(one), one.closed, one.start

    def fits(self, one: _Candidate) -> int:
        """Say how far a candidate does what the problem asks of a program."""
        return self.may_fit(one) if one.certain or self.parses(one.text) else 0

    def may_fit(self, one: _Candidate) -> int:
        """Say the same of a candidate as its words have it, whether it parses or not."""
        if self.defines is not None:
            if not _defines(one.text, self.defines):
                return 0
            tree = self.tree(one.text) if _STUB.search(one.text) else None
            return 2 if tree is None or not _only_declares(tree, self.defines) else 1
        return (_READS.search(one.text) is not None) + (_PRINTS.search(one.text) is not None)

    def sort(self, one: _Candidate) -> _Sort:
        """Return the sort of a candidate."""
        tree = self.tree(one.text)
        if one.mended:
            return _Sort.MENDED if tree is not None else _Sort.OTHER
        if one.named_python:
            return _Sort.BROKEN if tree is None else _Sort.PYTHON
        if one.tag in CODE:
            return _Sort.FOREIGN
        if known(one.tag):
            return _Sort.OTHER
        return _Sort.READABLE if self.is_code(one.text) else _Sort.BARE


def extract_program(reply: str, defines: str | None = None) -> str | None:
    """Return the program in a reply, or None where there is none; the rules are in this module's docstring.

    Args:
        reply: what an agent returned; of a very long one the end is read (`MAX_READ`).
        defines: the function that the program is called by, if it is.

    Raises:
        ConfigError: the reply, or the name, is no text.
    """
    checks.text("reply", reply, where="extract_program")
    checks.instance("defines", defines, str | None, "the name of a function, or None", where="extract_program")
    return _extracted(reply[-MAX_READ:], defines)


@kept
def _extracted(reply: str, defines: str | None) -> str | None:
    text = reply.removeprefix("\ufeff")
    if "\r" in text:
        text = _LONE_RETURN.sub("\n", text)  # line ends of old Macs
    text = without_tokens(text)
    reading = _Reading(len(text), defines)
    told = told_in_json(text)
    found = _program_of(text if told is None else told, reading)
    if "\\n" in text and "\n" not in text.strip() and (found is None or not reading.parses(found)):
        plain = _program_of(text.replace("\\n", "\n").replace('\\"', '"'), reading)  # it was escaped as a whole
        return plain if plain is not None and reading.parses(plain) else found
    return found


def _program_of(text: str, reading: _Reading) -> str | None:
    layout = layout_of(text, reading.parses)
    answer = text[layout.begin : layout.stop]
    if not layout.fences:
        if len(answer) < len(text) and reading.is_program(text):
            return _whole(text)  # what looked like thinking was a string in a program
        return _without_fences(answer, reading)
    continued = _continued(text, layout, reading)
    if continued is not None:
        return continued
    filled = [placed for placed in layout.blocks if placed.block.body.strip()]
    candidates = [
        _candidate(placed.block.tag, placed.block.body, placed.block.closed, placed.start, reading) for placed in filled
    ]
    rest = _outside(text, layout)
    candidates += _in_tags(rest, reading)
    if not candidates:
        candidates = _on_one_line(answer)
    clear = any(one.named_python and not one.mended for one in candidates)
    if not clear and not any(reading.sort(one) >= _Sort.MENDED or one.tag in CODE for one in candidates):
        # Nothing so far is Python: then code that stands outside all fences may be.
        loose = pieces_of_code(rest, reading.parsed)
        candidates += [_Candidate(piece, "", True, len(text)) for piece in loose]
    return _best(candidates, reading)


def _candidate(tag: str, body: str, closed: bool, start: int, reading: _Reading) -> _Candidate:
    """Return a block as a candidate: a session without its prompts, a diff applied, JSON read, entities replaced."""
    head, _, rest = body.partition("\n")
    if head.strip().lower() in _LABELS:
        head, _, rest = (body := rest).partition("\n")
    if tag == "" and PYTHON.match(head.strip().lower()):
        tag, body = "python", rest  # the tag slipped into the block
    first = body.lstrip()
    if tag in SESSION or first.startswith(">>> "):
        return _Candidate(_without_prompts(body), tag, closed, start, mended=first.startswith(">>>"))
    if tag in ("diff", "patch") or first.startswith(("@@ ", "--- a/", "diff --git ")):
        return _Candidate(_patched(body), tag, closed, start, mended=True)
    told = told_in_json(body) if first.startswith("{") else None
    if told is not None:
        return _Candidate(_whole(told), tag, closed, start, mended=True)
    if (_ENTITY.search(body) or (not body.isascii() and _UNSEEN.search(body))) and not reading.parses(body):
        plain = _UNSEEN.sub("", html.unescape(body).replace("\u00a0", " "))
        body = plain if reading.parses(plain) else body
    return _Candidate(body, tag, closed, start)


def _best(candidates: Sequence[_Candidate], reading: _Reading) -> str | None:
    if len(candidates) < 2:
        return candidates[0].text if candidates else None
    most = [reading.may_fit(one) for one in candidates]
    clear = most.index(max(most))
    if candidates[clear].certain and most.count(most[clear]) == 1:
        best = candidates[clear]  # no other can come before it, so none need be parsed
    else:
        best = max(candidates, key=reading.rank)
    if reading.defines is None and not _RUNS.search(best.text):
        best = _caller(best, candidates, reading) or best
    return "".join(_needed(best, candidates, reading)) + best.text


def _caller(best: _Candidate, candidates: Sequence[_Candidate], reading: _Reading) -> _Candidate | None:
    """Return the last block behind one that only defines which calls what it defines: `solve()`."""
    tree = reading.tree(best.text)
    if tree is None:
        return None
    bound = _bound_at_top(tree)
    behind = [one for one in candidates if one.start > best.start and not one.mended]
    callers = [one for one in behind if (other := reading.tree(one.text)) is not None and _missing(other) & bound]
    return callers[-1] if callers else None


def _whole(text: str) -> str:
    return text.strip("\n") + "\n"


def _unindented(text: str, reading: _Reading) -> str:
    """Return code whose first line is indented, by a space that decoding put there or as a whole, as it is meant."""
    code = text.lstrip("\n")
    indent = code[: len(code) - len(code.lstrip(" \t"))]
    if not indent or not code.strip():
        return text
    once = code.removeprefix(indent)
    if reading.parses(once):
        return once
    throughout = "\n".join(line.removeprefix(indent) for line in code.split("\n"))
    return throughout if reading.parses(throughout) else text


def _defines(body: str, name: str) -> bool:
    found = rf"^[ \t]*(async[ \t]+def|def|class)[ \t]+{re.escape(name)}\b|^{re.escape(name)}[ \t]*(:[^=\n]*)?=(?!=)"
    return re.search(found, body, re.MULTILINE) is not None


def _only_declares(tree: ast.Module, name: str) -> bool:
    """Whether the function has no body to speak of: `pass`, `...`, a docstring, or that it is not implemented."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    own = [node for node in found if node.name == name]
    return bool(own) and all(
        isinstance(line, ast.Pass | ast.Raise) or _is_text(line) for node in own for line in node.body
    )


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _continued(text: str, layout: Layout, reading: _Reading) -> str | None:
    """Return the code before a fence that closes a block which the reply does not open; None if it is no such reply.

    The code must read as Python by itself, or begin like code, or end with lines of code, in a reply whose fences do
    not pair up otherwise.
    """
    fences = [fence for fence in layout.fences if layout.begin <= fence.at < layout.stop]
    if not fences:
        return None
    first = fences[0]
    if (first.starts_line and first.tagged) or not (first.starts_line or first.ends_code):
        return None
    code = _unindented(_before(text, layout.begin, first), reading)
    if not code.strip():
        return None
    if reading.is_program(code):
        return code
    begins = OPENS_LIKE_CODE.match(code.lstrip()) is not None
    for fence in fences[1:16] if begins else ():  # the first one stood inside a string
        longer = _before(text, layout.begin, fence)
        if reading.is_program(longer):
            return longer
    if len(fences) % 2 == 0:
        return None
    if begins and first.starts_line:
        return code
    pieces = pieces_of_code(code, reading.parsed)
    if pieces and code.rstrip().endswith(pieces[-1].rstrip()):
        return _best([_Candidate(piece, "", True, place) for place, piece in enumerate(pieces)], reading)
    return None


def _before(text: str, begin: int, fence: Fence) -> str:
    """Return what stands before a fence, and on its line, as whole lines."""
    return text[begin : max(begin, fence.start)] if fence.starts_line else text[begin : fence.at] + "\n"


def _outside(text: str, layout: Layout) -> str:
    """Return the answer without its blocks."""
    parts, at = [], layout.begin
    for placed in layout.blocks:
        parts.append(text[at : max(at, placed.start)])
        at = placed.end
    return "\n".join([*parts, text[at : layout.stop]])


def _in_tags(text: str, reading: _Reading) -> list[_Candidate]:
    """Return what stands in tags of markup as candidates; where words are around it there, its lines of code."""
    found = []
    for start, inside, closed in regions_in(text) if "<" in text or "[" in text or "\\begin" in text else ():
        body = _whole(html.unescape(inside) if _ENTITY.search(inside) and not reading.parses(inside) else inside)
        if not reading.is_program(body):
            pieces = pieces_of_code(body, reading.parsed)
            body = _best([_Candidate(piece, "", True, at) for at, piece in enumerate(pieces)], reading) or body
        if body.strip() and (reading.is_program(body) or OPENS_LIKE_CODE.match(body.lstrip())):
            found.append(_Candidate(body, "python" if "\n" in inside.strip() else "", closed, start))
    return found


def _on_one_line(text: str) -> list[_Candidate]:
    """Return what stands between fences on one line."""
    found = []
    for span in _ON_ONE_LINE.finditer(text):
        words = span[2].split(maxsplit=1)
        named = len(words) == 2 and PYTHON.match(words[0].lower()) is not None
        found.append(_Candidate((words[1] if named else span[2]).strip() + "\n", "", True, span.start(), mended=True))
    return found


def _without_fences(text: str, reading: _Reading) -> str | None:
    """Return the program of a reply that has no fences."""
    text = _unindented(text, reading)
    whole = _whole(text)
    lines = whole.split("\n")
    tree = reading.tree(whole)
    if tree is not None and not any(map(is_words, tree.body)) and reading.is_program(whole):
        return whole
    tagged = _in_tags(text, reading)
    if tagged:
        return _best(tagged, reading)
    if text.strip().startswith("`"):
        quoted = _candidate("", _whole(text.strip().strip("`")), True, 0, reading).text
        if reading.is_program(quoted):
            return quoted
    told = told_in_json(text[text.find("{") : text.rfind("}") + 1]) if "{" in text else None
    if told is not None and reading.parses(told):
        return _whole(told)
    pieces = pieces_of_code(text, reading.parsed)
    if OPENS_LIKE_CODE.match(text.lstrip()) is not None:
        behind = _line_behind(lines, pieces)
        if behind is None or not is_prose(behind):
            return whole  # a program that was cut short, or is broken
    if not pieces:
        pieces = [group for group in set_off(text) if reading.is_code(group)]
    return _best([_Candidate(piece, "", True, place) for place, piece in enumerate(pieces)], reading)


def _line_behind(lines: Sequence[str], pieces: Sequence[str]) -> str | None:
    """Return the first line behind the first piece of code, if the text begins with it."""
    if not pieces:
        return None
    ahead = 0
    while not lines[ahead].strip():
        ahead += 1
    count = pieces[0].count("\n")
    rest = [line for line in lines[ahead + count :] if line.strip()]
    return rest[0] if rest else None


def _without_prompts(body: str) -> str:
    """Return what was typed in an interactive session."""
    typed = [line.lstrip() for line in body.split("\n")]
    kept_lines = [line[4:] for line in typed if line.startswith((">>> ", "... "))]
    return "".join(line + "\n" for line in kept_lines) if kept_lines else body


def _patched(body: str) -> str:
    """Return what a diff leaves."""
    lines = [
        line[1:] if line[:1] in ("+", " ") else line
        for line in body.splitlines()
        if not line.startswith(("-", "+++", "@@", "diff ", "index ", "\\ No newline"))
    ]
    return "".join(line + "\n" for line in lines)


def _needed(best: _Candidate, candidates: Iterable[_Candidate], reading: _Reading) -> list[str]:
    """Return the definitions of other blocks that the best candidate needs, in the order of the reply.

    A name is taken from the nearest block before it that binds it, else from the nearest behind it.
    """
    binding = [one for one in candidates if one is not best and _BINDS.search(one.text)]
    tree = reading.tree(best.text) if binding else None
    if tree is None:
        return []
    others = [
        (one, other)
        for one in binding
        if reading.sort(one) >= _Sort.BARE and (other := reading.tree(one.text)) is not None
    ]
    before = sorted((pair for pair in others if pair[0].start < best.start), key=lambda pair: -pair[0].start)
    behind = sorted((pair for pair in others if pair[0].start > best.start), key=lambda pair: pair[0].start)
    binders: dict[str, tuple[_Candidate, ast.Module]] = {}
    for pair in (*before, *behind):
        for name in _bound_at_top(pair[1]):
            binders.setdefault(name, pair)
    taken: dict[int, tuple[_Candidate, ast.Module]] = {}
    missing = list(_missing(tree))
    while missing:
        pair_found = binders.get(missing.pop()) or binders.get("*")
        if pair_found is not None and pair_found[0].start not in taken:
            taken[pair_found[0].start] = pair_found
            missing += _missing(pair_found[1])
    return [_definitions(*taken[start]) for start in sorted(taken)]


def _missing(tree: ast.Module) -> set[str]:
    """Return the names that a program reads and binds nowhere."""
    read, bound = set(), set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                read.add(name)
            case ast.Name(id=name) | ast.arg(arg=name):
                bound.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.alias(name=module, asname=given):
                bound.add(given or module.partition(".")[0])
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                bound.add(name)
            case _:
                pass
    return read - bound - _BUILTIN


def _bound_at_top(tree: ast.Module) -> set[str]:
    """Return the names that a program's outermost statements bind."""
    found: set[str] = set()
    for statement in tree.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Import(names) | ast.ImportFrom(names=names):
                found |= {alias.asname or alias.name.partition(".")[0] for alias in names}
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                names_in = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
                found |= {name.id for name in names_in if isinstance(name.ctx, ast.Store)}
            case _:
                pass
    return found


def _definitions(one: _Candidate, tree: ast.Module) -> str:
    """Return a block without the statements that only show or test what it defines."""
    own = _bound_at_top(tree)
    lines = one.text.split("\n")
    for statement in tree.body:
        if _shows(statement, own):
            for number in range(statement.lineno - 1, statement.end_lineno or statement.lineno):
                lines[number] = ""
    return "\n".join(lines)


def _shows(statement: ast.stmt, own: set[str]) -> bool:
    match statement:
        case ast.Assert():
            return True
        case ast.Expr(ast.Call(func=ast.Name(id=name))):
            return name == "print" or name in own
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return True
        case _:
            return False
