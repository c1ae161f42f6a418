"""A reader of pickles that can build nothing but plain data.

`pickle.load` runs what a file says. This reader knows two dozen of the format's some seventy instructions: those that
push a text, a number, None or a truth value, and those that gather these into lists, tuples and dicts. It has no
instruction that looks a name up, calls or builds an object, so there is nothing in it that a file could turn against
its reader. Whatever else a pickle holds is an error.
"""

from __future__ import annotations

import pickletools
from typing import Any, Final

MAX_ITEMS: Final = 10_000_000

_MARK: Final = object()
_IGNORED: Final = frozenset({"PROTO", "FRAME"})
_CONSTANTS: Final[dict[str, Any]] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS: Final = frozenset(
    {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"}
)
_TUPLES: Final = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class UnreadablePickleError(ValueError):
    """A pickle holds something else than plain data, or is malformed."""


def read_pickle(data: bytes) -> Any:
    """Return the str, int, float, bool, None, list, tuple or dict that a pickle holds.

    Texts and numbers may be shared, lists and dicts may not: a few bytes cannot stand for a huge tree.

    Raises:
        UnreadablePickleError: it holds anything else, or is malformed.
    """
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(data)):
            if count > MAX_ITEMS:
                raise UnreadablePickleError(f"more than {MAX_ITEMS} instructions")
            name = opcode.name
            if name == "STOP":
                (value,) = stack
                if value is _MARK:
                    break
                return value
            if name in _LITERALS:
                stack.append(argument)
            elif name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            elif name == "MEMOIZE":
                memo[len(memo)] = stack[-1]
            elif name in ("BINPUT", "LONG_BINPUT"):
                memo[argument] = stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                value = memo[argument]
                if type(value) not in (str, int, float, bool, type(None)):
                    raise UnreadablePickleError("a list or dict that occurs twice")
                stack.append(value)
            elif name == "MARK":
                stack.append(_MARK)
            elif name == "EMPTY_LIST":
                stack.append([])
            elif name == "EMPTY_DICT":
                stack.append({})
            elif name == "EMPTY_TUPLE":
                stack.append(())
            elif name in _TUPLES:
                items = tuple(stack[-_TUPLES[name] :])
                if len(items) != _TUPLES[name] or _MARK in items:
                    break
                stack[-_TUPLES[name] :] = [items]
            elif name == "TUPLE":
                stack.append(tuple(_marked(stack)))
            elif name == "APPEND":
                item = stack.pop()
                list.append(stack[-1], item)
            elif name == "APPENDS":
                items_ = _marked(stack)
                list.extend(stack[-1], items_)
            elif name == "SETITEM":
                item, key = stack.pop(), stack.pop()
                dict.__setitem__(stack[-1], key, item)
            elif name == "SETITEMS":
                pairs = _marked(stack)
                dict.update(stack[-1], zip(pairs[::2], pairs[1::2], strict=True))
            elif name not in _IGNORED:
                raise UnreadablePickleError(f"the instruction {name} at byte {position} builds no plain data")
    except UnreadablePickleError:
        raise
    except Exception as error:  # whatever a broken pickle makes of `pickletools` and of the stack
        raise UnreadablePickleError(f"not a pickle of plain data ({type(error).__name__}: {error})") from error
    raise UnreadablePickleError("not a pickle of plain data")


def _marked(stack: list[Any]) -> list[Any]:
    """Take everything above the topmost mark, and the mark, off the stack."""
    for start in range(len(stack) - 1, -1, -1):
        if stack[start] is _MARK:
            items = stack[start + 1 :]
            del stack[start:]
            return items
    raise UnreadablePickleError("a mark is missing")
