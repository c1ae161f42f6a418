"""The language of the miniature models: names of operations in the prompt, letters of codes in the answer.

A prompt is `BEGIN name name name [PARENT letters] GO`, a completion `letters END`: nine letters where it is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from mars2_bench.training.world import ALPHABET, LETTERS, OPERATIONS, SLOTS, Pipeline

SPECIAL: Final = ("end", "begin", "parent", "go", "_")
"""What is neither letter nor name; `_` stands for a letter that is none."""

END, BEGIN, PARENT, GO, NO_LETTER = range(len(SPECIAL))

VOCABULARY: Final = (*SPECIAL, *ALPHABET, *OPERATIONS)
"""Token id -> what it is."""

LONGEST: Final = LETTERS * SLOTS + 1
"""Tokens of a completion, the ending one included."""

_ID: Final = {token: number for number, token in enumerate(VOCABULARY)}
_LETTERS: Final = frozenset(_ID[letter] for letter in ALPHABET)


def letter_ids(letters: str) -> tuple[int, ...]:
    """Return the tokens of letters."""
    return tuple(_ID[letter] for letter in letters)


def prompt_ids(pipeline: Pipeline, parent: str | None = None) -> tuple[int, ...]:
    """Return the tokens of a prompt.

    Args:
        pipeline: the operations that the problem names.
        parent: the letters of the program to be refined; None to write afresh.
    """
    names = tuple(_ID[name] for name in pipeline)
    told = () if parent is None else (PARENT, *letter_ids(parent))
    return (BEGIN, *names, *told, GO)


def completion_ids(letters: str) -> tuple[int, ...]:
    """Return the tokens of an answer, the one that ends it included."""
    return (*letter_ids(letters), END)


def letters_in(ids: Sequence[int] | Iterable[int]) -> str:
    """Return the letters that a model wrote before it ended; what is no letter is `_`."""
    found = []
    for one in ids:
        if one == END:
            break
        found.append(VOCABULARY[one] if one in _LETTERS else "_")
    return "".join(found)
