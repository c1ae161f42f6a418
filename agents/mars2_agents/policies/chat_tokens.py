"""Chat messages to token ids, such that nothing inside a message can act as chat markup.

The template is rendered with placeholders and cut at them: the template's own pieces are tokenised with special tokens,
the messages' contents as plain text. So `<|im_start|>` in a candidate program is ordinary characters, and never opens a
turn. A prompt that is a plain completion (one message of the role `assistant`) needs no template: it is the text alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from mars2_env.errors import PolicyError
from mars2_env.templates import completion
from mars2_env.types import Message

CUT = "\n[...]\n"
"""Stands where the middle of a content was cut out to fit the context."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a prompt: token ids, and whether they are a message's content (None: the template's own).

    `lost` is how many tokens were cut out of it.
    """

    ids: tuple[int, ...]
    message: int | None = None
    lost: int = 0


@dataclass(frozen=True, slots=True)
class FittedPrompt:
    """The token ids of a prompt, and how many of its tokens were left out to fit."""

    ids: tuple[int, ...]
    cut: int = 0


def prompt_ids(tokenizer: Any, messages: Sequence[Message], *, limit: int) -> tuple[int, ...]:
    """Return the token ids of `fitted_prompt`, whose arguments and errors are these."""
    return fitted_prompt(tokenizer, messages, limit=limit).ids


def fitted_prompt(tokenizer: Any, messages: Sequence[Message], *, limit: int) -> FittedPrompt:
    """Return the token ids of the prompt, ending where the assistant begins to write or the text is to be gone on with.

    A prompt longer than `limit` loses the middle of its longest content (and then of the next longest), where `CUT` is
    put; the template's markup stays whole. Where the template refuses a system message, or passes over it, it goes in
    front of the first user message; where it demands that roles alternate, neighbours of one role become one message.

    Args:
        tokenizer: a transformers tokenizer, with a chat template unless the prompt is a plain completion.
        messages: the chat, contents as plain text.
        limit: the most tokens to return.

    Raises:
        PolicyError: the tokenizer has no chat template, or its template does not show each message once.
    """
    found = completion_pieces(tokenizer, messages) if completion(messages) else chat_pieces(tokenizer, messages)
    pieces = shorten(found, limit, plain_ids(tokenizer, CUT, inside=True))
    ids = tuple(id for piece in pieces for id in piece.ids)
    return FittedPrompt(ids[-limit:], sum(piece.lost for piece in pieces) + max(0, len(ids) - limit))


def reply_ids(tokenizer: Any, text: str, ends: Collection[int] = ()) -> tuple[int, ...]:
    """Return the token ids of a reply of this text as a model would have written it, the one that ends it included.

    Args:
        tokenizer: a transformers tokenizer.
        text: the reply.
        ends: the ids that end a reply of the model (`end_of_reply`).

    Raises:
        PolicyError: nothing is known to end a reply.
    """
    return (*plain_ids(tokenizer, text, inside=True), end_of_reply(tokenizer, ends))


def end_of_reply(tokenizer: Any, ends: Collection[int] = ()) -> int:
    """Return the id of the token that ends a reply: what the chat template puts behind one, else the tokenizer's eos.

    The two differ in some models, such as Gemma, whose eos ends a text and not a turn.

    Args:
        tokenizer: a transformers tokenizer.
        ends: the ids that end a reply of the model, if they are known: then it is one of these.

    Raises:
        PolicyError: nothing is known to end a reply.
    """
    known = frozenset(ends) or special_ids(tokenizer)
    behind = _ids(tokenizer, _behind_a_reply(tokenizer), inside=True)[:1]
    if behind and behind[0] in known:
        return behind[0]
    eos = getattr(tokenizer, "eos_token_id", None)
    if eos is None and not ends:
        raise PolicyError(f"the tokenizer {getattr(tokenizer, 'name_or_path', '')!r} has no token that ends a reply.")
    return min(ends) if eos is None else int(eos)


def _behind_a_reply(tokenizer: Any) -> str:
    """Return the text that a chat template puts behind an assistant's message; "" where it has none."""
    if not getattr(tokenizer, "chat_template", None):
        return ""
    reply = "mars2-content-1-slot"
    chat = [{"role": "user", "content": "mars2-content-0-slot"}, {"role": "assistant", "content": reply}]
    try:
        shown: str = tokenizer.apply_chat_template(chat, tokenize=False)
    except Exception:  # a template that takes no such chat says nothing of its end
        return ""
    return shown.rpartition(reply)[2] if reply in shown else ""


def with_system(messages: Sequence[Message], text: str) -> tuple[Message, ...]:
    """Return the messages with a text behind what their system message says: what sets one agent's role apart.

    A chat without a system message gets one; a plain completion has the text in front of it. The system message stands
    first in almost every template, so agents with different texts share no cached prefix beyond the system message
    that they have in common: where a server's prefix cache matters more, say the role behind the problem instead,
    with templates of one's own (`mars2_env.prompt`).
    """
    if not text or not messages:
        return tuple(messages)
    first = messages[0]
    if first["role"] == "system":
        return ({"role": "system", "content": f"{first['content']}\n\n{text}"}, *messages[1:])
    if completion(messages):
        return ({"role": "assistant", "content": f"{text}\n\n{first['content']}"},)
    return ({"role": "system", "content": text}, *messages)


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
    shown, parts = _laid_out(tokenizer, messages)
    pieces: list[Piece] = []
    for index, part in enumerate(parts):
        if index % 2:
            content = shown[int(part)]["content"]
            spaced = (index == 1 and not parts[0]) or _spaced_behind(tokenizer, pieces)
            pieces.append(Piece(plain_ids(tokenizer, content, inside=not spaced), int(part)))
        elif part:
            pieces.append(Piece(_ids(tokenizer, part, inside=index > 0)))
    return pieces


def _spaced_behind(tokenizer: Any, pieces: Sequence[Piece]) -> bool:
    """Whether the last piece ends with a special token behind which the tokenizer begins a text anew, with a space."""
    last = pieces[-1].ids[-1:] if pieces else ()
    if not last or last[0] not in special_ids(tokenizer):
        return False
    word = _ids(tokenizer, "x", inside=False)
    behind = _ids(tokenizer, tokenizer.convert_ids_to_tokens(last[0]) + "x", inside=False)
    return behind[-len(word) :] == word


def _laid_out(tokenizer: Any, messages: Sequence[Message]) -> tuple[Sequence[Message], list[str]]:
    """Return the messages as the template takes them, and its text cut at their contents: texts and numbers in turn.

    Raises:
        PolicyError: no form of the messages is shown whole, each message once.
    """
    problem = ""
    cause: Exception | None = None
    merged = merge_system(messages)
    for form in (list(messages), merged, merge_neighbours(merged)):
        for as_parts in (False, True):
            try:
                parts = re.split(_SLOT, _render(tokenizer, form, as_parts=as_parts))
            except Exception as error:  # templates raise jinja2's own errors, and jinja2 need not be importable here
                problem = problem or f"the chat template refused the messages: {error}."
                cause = cause or error
                continue
            shown = [int(number) for number in parts[1::2] if "'type': 'text'" not in parts[0]]
            if sorted(shown) == list(range(len(form))):
                return form, parts
            problem = problem or (
                f"the chat template shows messages {shown} of {len(form)}; one that shows each message once is needed."
            )
    raise PolicyError(problem) from cause


def plain_ids(tokenizer: Any, text: str, *, inside: bool = False) -> tuple[int, ...]:
    """Return the token ids of `text` with no special token among them, whatever it says.

    Args:
        tokenizer: a transformers tokenizer.
        text: any text.
        inside: whether it follows other text: then it does not get the space that some tokenizers put before a text.
    """
    ids = _ids(tokenizer, text, inside=inside, split_special_tokens=True)
    special = special_ids(tokenizer)
    # A tokenizer that cannot split its special tokens would still return them: then they are left out.
    return tuple(id for id in ids if id not in special)


_ANCHORS = ("\n", ":", "x", "0")


def _ids(tokenizer: Any, text: str, *, inside: bool, **options: Any) -> tuple[int, ...]:
    """Return the token ids of a text; `inside`, without the space that the tokenizer would put before it.

    SentencePiece's `add_dummy_prefix`, and what imitates it, puts a space before whatever is encoded. So a text that
    stands inside another is encoded behind a character whose own ids are then taken off.
    """

    def encoded(some: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(some, add_special_tokens=False, **options))

    if not inside or not text or not _puts_a_space_before(encoded):
        return encoded(text)
    for anchor in _ANCHORS:
        alone, both = encoded(anchor), encoded(anchor + text)
        if alone and both[: len(alone)] == alone:
            return both[len(alone) :]
    return encoded(text)


def _puts_a_space_before(encoded: Callable[[str], tuple[int, ...]]) -> bool:
    """Whether a tokenizer gives a word at the beginning of a text other ids than behind a line's end."""
    line_end, word = encoded("\n"), encoded("x")
    return encoded("\nx") != line_end + word


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


def merge_neighbours(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with those of one role that follow each other made one, as templates need that alternate."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1]["role"] == message["role"]:
            both = f"{merged[-1]['content']}\n\n{message['content']}"
            merged[-1] = {"role": message["role"], "content": both}
        else:
            merged.append({"role": message["role"], "content": message["content"]})
    return merged


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
        result[index] = Piece(short, result[index].message, len(ids) - room)
    return result


_SLOT = r"mars2-content-(\d+)-slot"


def _render(tokenizer: Any, messages: Sequence[Message], *, as_parts: bool) -> str:
    """Return the template's text around placeholders; `as_parts`, contents are lists, as models that see want them."""

    def slot(number: int) -> Any:
        text = f"mars2-content-{number}-slot"
        return [{"type": "text", "text": text}] if as_parts else text

    slots = [{"role": message["role"], "content": slot(number)} for number, message in enumerate(messages)]
    rendered: str = tokenizer.apply_chat_template(slots, tokenize=False, add_generation_prompt=True)
    return rendered
