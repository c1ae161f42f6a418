"""Which of many programs is the same as another: by their normal forms, which are made only where it takes them.

A normal form needs a syntax tree, and that takes most of what an expansion costs beside the model and the programs.
Almost always a look at the text tells two programs apart: its `sketch` is equal wherever the trees are, else seldom.
"""

from __future__ import annotations

import re
import sys
from hashlib import blake2b
from typing import Final

from mars2_env.prompt.syntax import MAX_PARSED, kept, normal_form

_NESTING: Final = sys.version_info >= (3, 12)
"""Whether a replacement field of an f-string may hold the quotes that the f-string itself stands in."""

# Each begins with a set of characters, which a search looks for fast. A literal goes on to its end, whether that closes
# it or not (then the text does not parse, and any sketch will do): nothing is looked at twice.
_LITERAL: Final = re.compile(
    r"""( ["'\#] (?: (?<=\#)[^\n]*+
        | (?<=")(?: ""(?:[^"\\]++|\\.|"(?!""))*+(?:"{3})?+ | (?:[^"\\\n]++|\\.)*+"?+ )
        | (?<=')(?: ''(?:[^'\\]++|\\.|'(?!''))*+(?:'{3})?+ | (?:[^'\\\n]++|\\.)*+'?+ ) ) )""",
    re.VERBOSE | re.DOTALL,
)
"""A comment, or a string without its prefix, as Python's tokenizer takes them up to 3.11."""

_PREFIX: Final = re.compile(r"(?<!\w)[rRbBfFuUtT]{1,2}\Z", re.ASCII)
_PREFIXES: Final = frozenset("rRbBfFuUtT")

_D: Final = r"[0-9](?:_?[0-9])*+"
_E: Final = rf"(?:[eE][-+]?{_D})?+[jJ]?+"
_NUMBER: Final = re.compile(
    r"([0-9.](?<!\w.)(?:(?<=0)(?:[xX](?:_?[0-9a-fA-F])++|[oO](?:_?[0-7])++|[bB](?:_?[01])++)"
    rf"|(?<=[0-9])(?:_?[0-9])*+(?:\.(?:{_D})?+)?+{_E}|(?<=\.){_D}{_E}))",
    re.ASCII,
)
_FREE: Final = b" \t\n\f\\()[],;:"
"""What may stand or not, or in another's place, in texts of one syntax tree."""


@kept
def sketch(program: str) -> bytes | None:
    """Return a digest that is equal for programs with equal syntax trees, and only seldom for others.

    Left out is what has several spellings: comments and strings, layout, brackets, commas, semicolons and colons;
    numbers count by their value, and `else: if` as `elif`. A program that does not parse is equal to itself alone, so
    that any function of its text will do.

    Returns:
        The digest; None where the text's looks do not tell: it has names beyond ASCII, which have several spellings, a
        carriage return, or, from Python 3.12 on, an f-string that may not end where it seems to.
    """
    if len(program) > MAX_PARSED:
        return blake2b(program.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    if "\r" in program:
        return None
    parts = _LITERAL.split(program)
    for place in range(1, len(parts), 2):
        before = parts[place - 1]
        if before[-1:] in _PREFIXES and parts[place][0] != "#" and (prefix := _PREFIX.search(before)):
            if _NESTING and _may_nest(prefix[0], parts[place]):
                return None
            parts[place - 1] = before[: prefix.start()]
    parts = _NUMBER.split(" ".join(parts[::2]))
    values = hash((*map(_value, parts[1::2]),))  # of numbers alone: equal in every process
    try:
        signs = "".join(parts[::2]).encode("ascii").translate(None, _FREE)
    except UnicodeEncodeError:
        return None
    return blake2b(b"%b %d" % (signs.replace(b"elseif", b"elif"), values), digest_size=16).digest()


def _value(number: str) -> complex:
    """Return the value of a number as a program has it; 0 where Python does not take it for one."""
    try:
        return int(number, 0)
    except ValueError:
        pass
    try:
        return complex(number)
    except ValueError:
        return 0


def _may_nest(prefix: str, literal: str) -> bool:
    """Whether an f-string may go on where one of its own quotes seems to end it."""
    if "{" not in literal or not re.search("[fFtT]", prefix):
        return False
    inside = literal[3:-3] if literal.startswith(('"' * 3, "'" * 3)) else literal[1:-1]
    return inside.count("{") != inside.count("}") or re.search(r"[\"'#\\]|\{\{|\}\}", inside) is not None


class Known:
    """Numbered programs, of which the first that is equal to another is found."""

    __slots__ = ("_alone", "_formed", "_forms")

    def __init__(self) -> None:
        """Begin without any."""
        # What lies in these is never changed, so that a copy copies the containers alone.
        self._alone: dict[bytes | None, tuple[int, str]] = {}
        """By sketch: a program that has no normal form yet, since nothing looked like it."""
        self._forms: dict[bytes, int] = {}
        self._formed: set[bytes | None] = set()
        """The sketches of those that have one."""

    def add(self, number: int, program: str) -> None:
        """Take in a program; numbers may come in any order."""
        look = sketch(program)
        alone = self._alone.get(look)
        if alone is not None and alone[1] == program:
            self._alone[look] = min(alone[0], number), program
        elif alone is not None or look in self._formed:
            self._form(look)
            self._name(number, program)
        else:
            self._alone[look] = number, program

    def first(self, program: str) -> int | None:
        """Return the least number of a program that is equal to this one; None if there is none."""
        look = sketch(program)
        alone = self._alone.get(look)
        if alone is not None and alone[1] == program and look is not None and not self._unclear:
            return alone[0]
        for one in [*self._alone] if look is None else (look, None):
            if one in self._alone:
                self._form(one)
        if look is not None and look not in self._formed and None not in self._formed:
            return None
        return self._forms.get(normal_form(program)) if self._forms else None

    def copy(self) -> Known:
        """Return an independent one that knows the same."""
        twin = Known()
        twin._alone, twin._forms, twin._formed = self._alone.copy(), self._forms.copy(), self._formed.copy()
        return twin

    @property
    def _unclear(self) -> bool:
        """Whether the looks of some do not tell."""
        return None in self._alone or None in self._formed

    def _form(self, look: bytes | None) -> None:
        self._formed.add(look)
        if look in self._alone:
            self._name(*self._alone.pop(look))

    def _name(self, number: int, program: str) -> None:
        form = normal_form(program)
        self._forms[form] = min(number, self._forms.get(form, number))
