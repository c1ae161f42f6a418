"""Marks in a reply that are neither words nor code: where thinking begins and ends, and a model's special tokens.

A mark that is spoken of, in quotes or in backticks, is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

_BEGINS: Final = (
    "<think>",
    "<thinking>",
    "<thought>",
    "<thoughts>",
    "<reasoning>",
    "<seed:think>",
    "<scratchpad>",
    "[THINK]",
    "\u25c1think\u25b7",
    "<|begin_of_thought|>",
    "<|channel|>analysis<|message|>",
)
_ENDS: Final = (
    *(begin[0] + "/" + begin[1:] for begin in _BEGINS[:-2]),
    "<|end_of_thought|>",
    "<|channel|>final<|message|>",
)


def _rest_of(marks: Iterable[str]) -> str:
    """Return a pattern of marks without their first characters, which a search looks for fast."""
    return "|".join(re.escape(mark[1:]) for mark in marks)


_THINKING: Final = re.compile(
    rf"[<\[\u25c1](?:(?P<begin>{_rest_of(_BEGINS)})|(?P<end>{_rest_of(_ENDS)}))", re.IGNORECASE
)

_TOKEN: Final = (
    r"(?:<\|[A-Za-z0-9_/ \u2581-]{1,40}\|?>|<[A-Za-z0-9_]{1,40}\|>|<\uff5c[^\uff5c\n]{1,40}\uff5c>|</?s>"
    r"|</?(?:eos|bos|pad|unk|sep|eot|eod|EOT|EOS|PAD)>|<(?:start|end)_of_(?:turn|utterance)>"
    r"|\[(?:EOS|BOS|PAD|SEP|CLS|/?INST)\])"
)
_FIRST_TOKENS: Final = re.compile(
    rf"\s{{0,8}}{_TOKEN}(?:\s{{0,8}}{_TOKEN})*(?:(?:assistant|model)(?=\n|<)(?:\s{{0,8}}{_TOKEN})?)?\s{{0,8}}"
)
_LAST_TOKEN: Final = re.compile(rf"{_TOKEN}\Z")
_NEXT_TURN: Final = re.compile(
    rf"{_TOKEN}\s{{0,8}}(?:<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<\|?turn\|?>|<\|user\|>|<\|User\|>"
    r"|<\uff5cUser\uff5c>|<\|start\|>|<s>|\[INST\]|<\|begin_of_text\|>)"
)
_LONGEST_TOKEN: Final = 48
_AROUND: Final = 200
"""How many characters around a mark say whether it is spoken of: replies are hostile, and lines may be long."""

GLUE: Final = re.compile(_TOKEN)


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark: where it stands, what it says, and how plainly.

    Attributes:
        start: of the mark in the text.
        end: behind it.
        kind: thinking begins or ends, or the model's turn is over and another begins.
        starts_line: nothing stands before it on its line.
        plain: its place alone says that it is no part of a sentence: it starts its line, or follows its thought or
            precedes a fence without a space.
    """

    start: int
    end: int
    kind: Literal["begin", "end", "turn"]
    starts_line: bool
    plain: bool


def marks_in(text: str) -> Iterator[Mark]:
    """Yield the marks of a text that are not spoken of, in order."""
    for found in _THINKING.finditer(text) if "<" in text or "[" in text or "\u25c1" in text else ():
        start, end = found.span()
        if _spoken_of(text, start, end):
            continue
        before = text[max(0, start - _AROUND) : start].rpartition("\n")[2].strip(" \t")
        behind = text[end : end + _AROUND].lstrip(" \t")
        glued = start > 0 and (text[start - 1].isalnum() or text[start - 1] in ".!?`~")
        kind: Literal["begin", "end"] = "begin" if found["begin"] else "end"
        yield Mark(start, end, kind, not before, not before or glued or behind.startswith(("```", "~~~")))
    for found in _NEXT_TURN.finditer(text) if "<" in text else ():
        if not _THINKING.match(text, found.start()) and not _spoken_of(text, *found.span()):
            yield Mark(*found.span(), "turn", False, True)


def _spoken_of(text: str, start: int, end: int) -> bool:
    """Whether what stands there is inside quotes or backticks on its line."""
    before = text[max(0, start - _AROUND) : start].rpartition("\n")[2]
    behind = text[end : end + _AROUND].partition("\n")[0]
    for quote in "\"'`":
        if quote in behind and quote in before:
            opened = re.findall(r"(?<![a-z])'|'(?![a-z])", before) if quote == "'" else re.findall(f"{quote}+", before)
            if len([run for run in opened if len(run) < 3]) % 2:
                return True
    return False


def without_tokens(text: str) -> str:
    """Return a text without the special tokens that it begins or ends with: decoding may have left them in.

    Known are the forms `<|...|>`, `</s>`, `<eos>`, `<end_of_turn>`, `[INST]` and such, of whatever tokenizer.
    """
    end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        token = _LAST_TOKEN.search(text, max(0, end - _LONGEST_TOKEN), end)
        if token is None or _THINKING.search(text, max(0, token.start() - _LONGEST_TOKEN), end):
            break
        end = token.start()
    first = _FIRST_TOKENS.match(text)
    begin = first.end() if first and first.end() <= end and not _THINKING.match(text[:_LONGEST_TOKEN].lstrip()) else 0
    if begin == 0 and not text[end:].strip():
        return text
    return text[begin:end]
