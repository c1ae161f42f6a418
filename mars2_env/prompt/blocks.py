"""Blocks of code in Markdown as models write it: CommonMark's fences (spec 0.31, section 4.5), made lenient.

Where CommonMark and a careful reader differ, the reader is right: a fence may open behind words, list and quote marks
or invisible characters, and close with something glued to it. All is linear in the length of the text: a block looks
for its end among a bounded number of fences.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mars2_env.base import checks
from mars2_env.prompt.marks import GLUE, Mark, marks_in
from mars2_env.prompt.syntax import kept

PYTHON: Final = re.compile(r"(?:python|py|python[23](?:\.\d+)?|py[23]|pypy3?|cpython|ipython3?|sage|micropython)\Z")
SESSION: Final = frozenset({"pycon", "python-repl", "python-console", "doctest", "pyrepl"})
CODE: Final = frozenset(
    """
    c c++ cc cpp cxx c# cs csharp go golang java javascript js jsx julia kotlin lua perl php r ruby rust rs scala swift
    typescript ts tsx haskell ocaml pascal fortran cython nim zig d dart elixir clojure
    """.split()  # noqa: SIM905 - read as words, not as quotes and commas
)
"""Tags of programs in other languages."""

WORDS: Final = frozenset(
    """
    text txt plain plaintext output out console stdout stdin input in result bash sh shell zsh powershell cmd terminal
    json yaml yml toml xml html css csv tsv sql diff patch log none ascii math latex tex mermaid makefile dockerfile ini
    traceback example examples sample test tests markdown md tool_output error
    """.split()  # noqa: SIM905
)
"""Tags of blocks that are no program, unless nothing else is there."""

_HOLDERS: Final = frozenset({"markdown", "md"})
"""Tags of blocks that hold blocks: models wrap a whole reply in them."""

INVISIBLE: Final = "\u00a0\u00ad\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2060\ufeff"
_RUN: Final = re.compile(r"`{3,}|~{3,}")
_CONTAINERS: Final = re.compile(rf"(?:[ \t\f\v\\{INVISIBLE}]|>|(?:[-+\u2022]|\*{{1,3}}|\d{{1,3}}[.)])(?=[ \t]|\Z))*\Z")
_BLANK: Final = re.compile(rf"[\s{INVISIBLE}]*\Z")
_TAG: Final = re.compile(r"(?:lang(?:uage)?[-=:])?([\w+#.-]+)")
_ATTRIBUTES: Final = re.compile(r"(?:\s*[{\[(:,;=].*|\s+\S+=.*|\s+[\w./-]+\.\w+)?\s*\Z")
_PROSE_BEFORE: Final = 300
_LOOK: Final = 16
"""Among how many closing fences a block looks for its own, where the first stands inside a string."""

_CODE_ON_FENCE: Final = re.compile(
    r"(?:from\s+[\w.]+\s+import\b|import\s+\w|def\s+\w+\s*\(|class\s+\w+\s*[:(]|print\()"
)


class Block(NamedTuple):
    """A block: its language tag in lower case, its body, and whether it closes."""

    tag: str
    body: str
    closed: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """A block and where its place in the text begins and ends, fences included."""

    block: Block
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Fence:
    """A run of three or more backticks or tildes.

    Attributes:
        start: of its line.
        end: behind its line's end.
        before: what stands before it on its line.
        run: the run.
        behind: what stands behind it on its line.
    """

    start: int
    end: int
    before: str
    run: str
    behind: str

    @property
    def at(self) -> int:
        """Where the run stands."""
        return self.start + len(self.before)

    @property
    def starts_line(self) -> bool:
        """Whether only list and quote marks, spaces and invisible characters stand before it."""
        return _CONTAINERS.match(self.before) is not None

    @property
    def bare(self) -> bool:
        """Whether nothing stands behind it, save special tokens and marks of emphasis."""
        return _BLANK.match(GLUE.sub("", self.behind).strip("*_")) is not None

    @property
    def tag(self) -> str:
        """The language that the words behind it name, in lower case; "" where there are none."""
        return tag_of(self.behind)

    @property
    def tagged(self) -> bool:
        """Whether what stands behind it is a known tag, with attributes or not, and nothing else."""
        info = self.behind.strip().strip("*_" + INVISIBLE).strip()
        if info.startswith("{"):
            return known(self.tag)
        named = _TAG.match(info)
        return named is not None and known(self.tag) and _ATTRIBUTES.match(info, named.end()) is not None

    @property
    def opens(self) -> bool:
        """Whether it opens a block where none is open."""
        if "`" in self.behind and self.run[0] == "`":
            return False
        if self.starts_line:
            return GLUE.match(self.behind.strip()) is None
        quiet = len(self.before) <= _PROSE_BEFORE and self.before.count("`") % 2 == 0
        return quiet and (self.tagged or (_BLANK.match(self.behind) is not None and self.run[0] == "`"))

    @property
    def ends_code(self) -> bool:
        """Whether it stands behind what may be the last line of a program: `print(7)` and a fence."""
        return self.bare and "#" not in self.before and bool(self.before.strip())

    def may_close(self, opening: Fence, length: int) -> bool:
        """Whether it is of the kind that closes what `opening` opened, and at least so long."""
        return self.run[0] == opening.run[0] and len(self.run) >= length


Sign = Fence | Mark


def may_be_python(tag: str) -> bool:
    """Whether a block with this tag may be a Python program: no other language is named."""
    return PYTHON.match(tag) is not None or not known(tag)


def known(tag: str) -> bool:
    """Whether a tag is one of those that models write."""
    return bool(PYTHON.match(tag)) or tag in SESSION or tag in CODE or tag in WORDS


def tag_of(info: str) -> str:
    """Return the language that an info string names, in lower case; a file `name.py` is Python."""
    found = _TAG.search(info.strip().strip("{}").lstrip(".*_" + INVISIBLE).lower())
    tag = "" if found is None else found[1].strip("._-")
    return "python" if tag.endswith((".py", ".pyw")) else tag


@kept
def fenced(text: str, tag: str = "") -> str:
    """Return a Markdown block whose fence is longer than any run of backticks inside: nothing in it closes it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{tag}\n{text}{'' if text.endswith(chr(10)) else chr(10)}{fence}"


def fenced_blocks(text: str) -> list[Block]:
    """Return the Markdown fenced blocks of a text; see `layout_of`.

    Raises:
        ConfigError: it is no text.
    """
    checks.text("text", text, where="fenced_blocks")
    return [placed.block for placed in layout_of(text, lambda body: False).blocks]


def fences_in(text: str) -> list[Fence]:
    """Return the fences of a text, one a line: the one that starts it, else the last on it."""
    fences: list[Fence] = []
    end = seen = 0
    for run in _RUN.finditer(text):
        if run.start() < end:
            continue  # a second one on the line of the last
        start = text.rfind("\n", seen, run.start()) + 1 or seen
        end = text.find("\n", run.end()) + 1 or len(text)
        seen = start
        line = text[start:end].rstrip("\r\n")
        before = line[: run.start() - start]
        if _CONTAINERS.match(before) is None:  # code with a fence at its end: what counts is the last
            last = deque(_RUN.finditer(line), maxlen=1)[0]
            before, mark, behind = line[: last.start()], last[0], line[last.end() :]
        else:
            mark, behind = run[0], line[run.end() - start :]
        fences.append(Fence(start, end, before, mark, behind))
    return fences


class Quotes:
    """Where the triple quotes of a text stand, to say at once whether a stretch of it closes its strings."""

    def __init__(self, text: str) -> None:
        """Find them."""
        self._found = [[at.start() for at in re.finditer(quote, text)] for quote in ('"""', "'''")]

    def even(self, start: int, end: int) -> bool:
        """Whether an even number of each kind stands between two places."""
        return all((bisect_left(found, end) - bisect_left(found, start)) % 2 == 0 for found in self._found)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a reply is made of.

    Attributes:
        blocks: its blocks in order, those of its thinking left out.
        fences: all its fences.
        begin: where the answer begins: behind the thinking.
        stop: where the answer ends: before thinking that never ends, or the next turn of the chat.
    """

    blocks: tuple[Placed, ...]
    fences: tuple[Fence, ...]
    begin: int
    stop: int


def layout_of(text: str, parses: Callable[[str], bool]) -> Layout:
    """Return what a reply is made of.

    Args:
        text: the reply.
        parses: whether Python parses a text; asked only where a fence may stand inside a program.
    """
    fences = fences_in(text)
    signs: list[Sign] = [*fences, *marks_in(text)]
    signs.sort(key=lambda sign: sign.at if isinstance(sign, Fence) else sign.start)
    quotes = Quotes(text) if fences else Quotes("")
    longest = _longest_ahead(signs)
    blocks: list[Placed] = []
    begin, number = 0, 0
    spoken = -1  # where a mark stands, in the middle of a line, that another on this line may belong to
    while number < len(signs):
        sign = signs[number]
        number += 1
        if isinstance(sign, Fence):
            if sign.opens and sign.tag not in _HOLDERS:
                placed, number = _block(text, signs, number - 1, quotes, longest, parses)
                blocks += [] if placed is None else [placed]
        elif sign.kind == "turn":
            if text[begin : sign.start].strip():
                return Layout(tuple(blocks), tuple(fences), begin, sign.start)
        elif sign.kind == "end":
            pair = spoken >= 0 and "\n" not in text[spoken : sign.start]
            if sign.plain and not pair:  # of thinking that began in the prompt, or was spoken of as begun
                blocks.clear()
                begin = sign.end
        elif sign.starts_line:
            closing = _end_of_thought(signs, number)
            if closing is None:
                return Layout(tuple(blocks), tuple(fences), begin, sign.start)
            if not text[begin : sign.start].strip():
                begin = signs[closing].end
            number = closing + 1
        else:
            spoken = sign.start
    return Layout(tuple(blocks), tuple(fences), begin, len(text))


def _longest_ahead(signs: Sequence[Sign]) -> list[dict[str, int]]:
    """Return, for each sign, how long the longest fence of each kind behind it is that begins a line."""
    ahead: list[dict[str, int]] = []
    longest: dict[str, int] = {}
    for sign in reversed(signs):
        ahead.append(longest)
        if isinstance(sign, Fence) and sign.starts_line:
            kind, length = sign.run[0], len(sign.run)
            if longest.get(kind, 0) < length:
                longest = {**longest, kind: length}
    ahead.reverse()
    return ahead


def _end_of_thought(signs: Sequence[Sign], number: int) -> int | None:
    found = (i for i in range(number, len(signs)) if getattr(signs[i], "kind", "") == "end")
    return next(found, None)


def _block(
    text: str,
    signs: Sequence[Sign],
    number: int,
    quotes: Quotes,
    longest: Sequence[Mapping[str, int]],
    parses: Callable[[str], bool],
) -> tuple[Placed | None, int]:
    """Return the block that the fence at `number` opens, and the number of the sign to go on with.

    It ends at the first fence that may close it and does not stand inside a string: a triple quote is open there, and
    only from a later fence on does Python parse the whole.
    """
    opening = signs[number]
    assert isinstance(opening, Fence)
    python = may_be_python(opening.tag)
    length = len(opening.run)
    if longest[number].get(opening.run[0], 0) < length:
        length = 3  # nothing so long follows: then a shorter one closes it

    def placed(end: int, last: int, *, closed: bool, more: str = "") -> Placed:
        body = body_of(opening, text[opening.end : end] + more)
        return Placed(Block(opening.tag, body, closed), opening.start, last)

    first: tuple[Placed, int] | None = None
    tries = glued = 0
    for other in range(number + 1, len(signs)):
        sign = signs[other]
        if first is not None and (tries >= _LOOK or other - number > 4 * _LOOK):
            break
        even = quotes.even(opening.start, sign.start)
        if isinstance(sign, Mark):
            plainly = sign.starts_line if sign.kind == "end" else sign.kind == "turn"
            if first is None and python and plainly and even:
                # No line of Python begins like this: what was open was thought, or the model's turn was over.
                return (None if sign.kind == "end" else placed(sign.start, sign.start, closed=False)), other
            continue
        if not sign.may_close(opening, length):
            continue
        if sign.starts_line:
            reopens = sign.tagged  # the one before was never closed
            found = placed(sign.start, sign.start if reopens else sign.end, closed=True), other + (not reopens)
        elif even and sign.ends_code and python and glued < _LOOK:
            glued += 1
            found = placed(sign.start, sign.end, closed=True, more=sign.before), other + 1
            if parses(found[0].block.body):
                return found
            continue
        else:
            continue
        if even or not python:
            return found
        tries += 1
        if parses(found[0].block.body):
            return found
        first = first or found
    if first is not None:
        return first
    return placed(len(text), len(text), closed=False), len(signs)


def body_of(opening: Fence, inside: str) -> str:
    """Return a block's lines as they would stand in a file: without marks of quotes, and not indented as a whole."""
    lines = inside.removeprefix("\ufeff").split("\n")
    if lines and not lines[-1].strip(" \t>" + INVISIBLE):
        lines.pop()
    filled = next((line for line in lines if line.strip()), "")
    depth = opening.before.count(">")
    if depth and filled.lstrip().startswith(">"):
        mark = re.compile(rf"(?:[ \t]*>){{1,{depth}}}")
        space = " " if mark.sub("", filled, count=1).startswith(" ") else ""
        ends = (i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith(">"))
        lines = [mark.sub("", line, count=1).removeprefix(space) for line in lines[: next(ends, None)]]
        filled = next((line for line in lines if line.strip()), "")
    indent = filled[: len(filled) - len(filled.lstrip(" \t"))]
    if indent:  # a program that begins indented is none: it stands in a list, say
        lines = [line.removeprefix(indent) for line in lines]
    behind = opening.behind.partition(" ")[2].strip()
    if _CODE_ON_FENCE.match(behind):
        lines.insert(0, behind)
    return "".join(line + "\n" for line in lines)
