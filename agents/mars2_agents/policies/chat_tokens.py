"""Chat messages to token ids, such that nothing inside a message can act as chat markup.

The template is rendered with placeholders and cut at them: the template's own pieces are tokenised with special tokens,
the messages' contents as plain text. So `<|im_start|>` in a candidate program is ordinary characters, and never opens a
turn. A prompt that is a plain completion (one message of the role `assistant`) needs no template: it is the text alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mars2_env.errors import PolicyError
from mars2_env.templates import completion
from mars2_env.types import Message

CUT = "\n[...]\n"
"""Stands where the middle of a content was cut out to fit the context."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a prompt: token ids, and whether they are a message's content (None: the template's own)."""

    ids: tuple[int, ...]
    message: int | None = None


def prompt_ids(tokenizer: Any, messages: Sequence[Message], *, limit: int) -> tuple[int, ...]:
    """Return the token ids of the prompt, ending where the assistant begins to write or the text is to be gone on with.

    A prompt longer than `limit` loses the middle of its longest content (and then of the next longest), where `CUT` is
    put; the template's markup stays whole. A system message goes in front of the first user message where the template
    refuses one.

    Args:
        tokenizer: a transformers tokenizer, with a chat template unless the prompt is a plain completion.
        messages: the chat, contents as plain text.
        limit: the most tokens to return.

    Raises:
        PolicyError: the tokenizer has no chat template, or its template does not show each message once.
    """
    found = completion_pieces(tokenizer, messages) if completion(messages) else chat_pieces(tokenizer, messages)
    pieces = shorten(found, limit, plain_ids(tokenizer, CUT))
    ids = tuple(id for piece in pieces for id in piece.ids)
    return ids[-limit:]


def completion_pieces(tokenizer: Any, messages: Sequence[Message]) -> list[Piece]:
    """Return a plain completion as the token that begins a text, where the tokenizer puts one, and the text."""
    begins = tuple(id for id in tokenizer.encode("", add_special_tokens=True) if id == tokenizer.bos_token_id)
    return [Piece(begins), Piece(plain_ids(tokenizer, messages[0]["content"]), 0)]


def chat_pieces(tokenizer: Any, messages: Sequence[Message]) -> list[Piece]:
    """Return the prompt as the template's own pieces and the messages' contents, in order."""
    if not getattr(tokenizer, "chat_template", None):
        raise PolicyError(
            f"the tokenizer {getattr(tokenizer, 'name_or_path', '')!r} has no chat template; use an instruct model, or "
            'ask for plain completions with prompts="base".'
        )
    try:
        rendered = _render(tokenizer, messages)
    except Exception as error:  # templates raise jinja2's own errors, and jinja2 need not be importable here
        merged = merge_system(messages)
        if merged == list(messages):
            raise PolicyError(f"the chat template refused the messages: {error}.") from error
        messages = merged
        rendered = _render(tokenizer, messages)
    parts = re.split(_SLOT, rendered)
    shown = [int(number) for number in parts[1::2]]
    if sorted(shown) != list(range(len(messages))):
        raise PolicyError(
            f"the chat template shows messages {shown} of {len(messages)}; one that shows each message once is needed."
        )
    pieces: list[Piece] = []
    for index, part in enumerate(parts):
        if index % 2:
            number = int(part)
            pieces.append(Piece(plain_ids(tokenizer, messages[number]["content"]), number))
        elif part:
            pieces.append(Piece(tuple(tokenizer.encode(part, add_special_tokens=False))))
    return pieces


def plain_ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Return the token ids of `text` with no special token among them, whatever it says."""
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    special = special_ids(tokenizer)
    # A tokenizer that cannot split its special tokens would still return them: then they are left out.
    return tuple(id for id in ids if id not in special)


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Return the ids of all special tokens: the named ones and those that are only marked as special."""
    marked = getattr(tokenizer, "added_tokens_decoder", {}).items()
    return frozenset(tokenizer.all_special_ids) | frozenset(id for id, token in marked if token.special)


def merge_system(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with a leading system message put in front of the first user message."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return list(messages)
    both = f"{messages[0]['content']}\n\n{messages[1]['content']}"
    return [{"role": "user", "content": both}, *messages[2:]]


def shorten(pieces: Sequence[Piece], limit: int, cut: tuple[int, ...]) -> list[Piece]:
    """Return the pieces with at most `limit` tokens in all, as far as cutting contents can reach that.

    Args:
        pieces: the prompt.
        limit: tokens.
        cut: the token ids put where something was cut out.
    """
    result = list(pieces)
    over = sum(len(piece.ids) for piece in result) - limit
    contents = [index for index, piece in enumerate(result) if piece.message is not None]
    for index in sorted(contents, key=lambda index: -len(result[index].ids)):
        if over <= 0:
            break
        ids = result[index].ids
        room = max(0, len(ids) - over - len(cut))
        tail = room // 2
        head = room - tail
        short = ids[:head] + cut + ids[len(ids) - tail :] if room else ()
        over -= len(ids) - len(short)
        result[index] = Piece(short, result[index].message)
    return result


_SLOT = r"mars2-content-(\d+)-slot"


def _render(tokenizer: Any, messages: Sequence[Message]) -> str:
    slots = [{"role": m["role"], "content": f"mars2-content-{i}-slot"} for i, m in enumerate(messages)]
    rendered: str = tokenizer.apply_chat_template(slots, tokenize=False, add_generation_prompt=True)
    return rendered
