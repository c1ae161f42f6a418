"""What goes to servers that speak OpenAI's chat protocol, and what comes back: pure, and tolerant of their dialects.

Many servers speak it, and no two alike. A `Dialect` is what was learnt of one from what it refused; a `Refusal` is
whatever came instead of an answer; an `Answer` is read from plain JSON, field by field, with nothing taken for granted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, TypeAlias

from mars2_agents.policies.chat_tokens import CUT, Piece, merge_neighbours, merge_system, shorten
from mars2_agents.policies.prices import Usage
from mars2_env.base.checks import flag, one_of, real_number, whole_number
from mars2_env.base.texts import elided, well_formed
from mars2_env.errors import ConfigError
from mars2_env.prompt import completion, tokens_of
from mars2_env.types import LOGPROBS_KINDS, Generation, LogprobsKind, Message

LimitName: TypeAlias = Literal["max_tokens", "max_completion_tokens"]
NO_USAGE: Final = Usage()
SAID: Final = 500
"""How many characters of what a server says are quoted."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model is asked to write; what is None is left to the server.

    Attributes:
        temperature: 0 for greedy.
        top_p: the probability that is kept.
        max_tokens: the most tokens of a completion, thinking included.
        stop: texts at which it stops; they are no part of the reply.
        reasoning_effort: of a model that thinks first, such as "low".
        logprobs: whether token ids and log-probabilities are asked for; of the servers known, vLLM tells both.
        logprobs_kind: of which distribution they are (`Generation`), where you know it: servers differ and do not say.
            vLLM's are "raw" unless it is started otherwise.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    reasoning_effort: str | None = None
    logprobs: bool = False
    logprobs_kind: LogprobsKind | None = None

    def __post_init__(self) -> None:
        where = "OpenAIPolicy"
        if self.temperature is not None:
            object.__setattr__(self, "temperature", real_number("temperature", self.temperature, least=0, where=where))
        if self.top_p is not None:
            object.__setattr__(self, "top_p", real_number("top_p", self.top_p, above=0, most=1, where=where))
        if self.max_tokens is not None:
            whole_number("max_tokens", self.max_tokens, where=where)
        flag("logprobs", self.logprobs, where=where)
        if self.logprobs_kind is not None:
            one_of("logprobs_kind", self.logprobs_kind, LOGPROBS_KINDS, where=where)
        if isinstance(self.stop, str) or not all(isinstance(text, str) and text for text in self.stop):
            raise ConfigError(f"{where}(stop={self.stop!r:.200}): give a tuple of texts.")
        object.__setattr__(self, "stop", tuple(self.stop))


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server understands.

    Attributes:
        roles: whether it takes a system message, and messages of one role in a row; else they are merged.
        limit: what it calls the most tokens of a completion.
        seeds: whether it takes a seed.
    """

    roles: bool = True
    limit: LimitName = "max_tokens"
    seeds: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """What came instead of an answer.

    Attributes:
        said: what the server said of it, or what happened to the connection.
        status: of HTTP; 0 where there was no answer, or none that can be read.
        code: the server's own word for it.
        param: the parameter that it is about.
        wait: for how many seconds the server wants to be left alone.
        usage: what the tokens of an answer that could not be read were, where it said so: they are paid for.
    """

    said: str
    status: int = 0
    code: str = ""
    param: str = ""
    wait: float | None = None
    usage: Usage = NO_USAGE

    @property
    def passing(self) -> bool:
        """Whether it may go otherwise next time."""
        if self.code in ("insufficient_quota", "billing_hard_limit_reached"):
            return False
        return self.status in (0, 408, 409, 425, 429) or self.status >= 500

    @property
    def too_long(self) -> bool:
        """Whether the prompt, with room for the completion, does not fit the model's context."""
        return self.status in (400, 413, 422) and _TOO_LONG.search(f"{self.code} {self.said}") is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote.

    Attributes:
        text: the answer itself.
        thinking: what it thought first, where the server tells that apart.
        finish_reason: "stop", "length", or another word of the server's.
        usage: what it took.
        prompt_ids: the token ids of the prompt, of a server that tells them.
        completion_ids: those of the completion.
        logprobs: the log-probability of each.
    """

    text: str
    thinking: str
    finish_reason: str
    usage: Usage
    prompt_ids: tuple[int, ...] = ()
    completion_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()


def with_system(messages: Sequence[Message], text: str) -> tuple[Message, ...]:
    """Return chat messages with a text behind what the system message says; a plain completion as it is."""
    if not text or completion(messages):
        return tuple(messages)
    if messages and messages[0]["role"] == "system":
        return ({"role": "system", "content": f"{messages[0]['content']}\n\n{text}"}, *messages[1:])
    return ({"role": "system", "content": text}, *messages)


def request(
    messages: Sequence[Message], seed: int, sampling: Sampling, dialect: Dialect, most: int | None
) -> dict[str, Any]:
    """Return the body of a request, but for the model: `messages`, or the `prompt` of a plain completion.

    Args:
        messages: the prompt.
        seed: of the turn.
        sampling: how to write.
        dialect: what the server understands.
        most: the most tokens of the completion; None leaves it to the server.
    """
    plain = completion(messages)
    body: dict[str, Any] = {}
    if plain:
        body["prompt"] = messages[0]["content"]
    else:
        body["messages"] = list(messages if dialect.roles else merge_neighbours(merge_system(messages)))
    if dialect.seeds:
        body["seed"] = seed
    for name in ("temperature", "top_p", "reasoning_effort"):
        if (value := getattr(sampling, name)) is not None:
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if most is not None:
        body["max_tokens" if plain else dialect.limit] = most
    if sampling.logprobs:
        body |= {"logprobs": 0 if plain else True, "return_token_ids": True}
    return body


_ROLES: Final = re.compile(
    r"system.{0,30}(?:role|message|prompt|instruction)|role.{0,60}system|does not support 'system'|must alternate",
    re.IGNORECASE | re.DOTALL,
)


def adapted(dialect: Dialect, refusal: Refusal) -> Dialect | None:
    """Return the dialect that a refusal asks for, or None where it is about something else, or that was tried."""
    if refusal.status not in (400, 422):
        return None
    if "max_completion_tokens" in refusal.said and dialect.limit == "max_tokens":
        return replace(dialect, limit="max_completion_tokens")
    if (refusal.param == "seed" or re.search(r"\bseed\b", refusal.said)) and dialect.seeds:
        return replace(dialect, seeds=False)
    if _ROLES.search(refusal.said) and dialect.roles:
        return replace(dialect, roles=False)
    return None


_TOO_LONG: Final = re.compile(
    r"context_length_exceeded|exceed_context_size|context (?:length|size|window)|too long|longer than the"
    r"|exceeds? the maximum number of|too many (?:input )?tokens|reduce the length|`inputs` tokens",
    re.IGNORECASE,
)
_CONTEXT: Final = re.compile(r"context (?:length|size|window)\D{0,40}?(\d{2,9})", re.IGNORECASE)
_PROMPT: Final = re.compile(
    r"(\d+) (?:in the messages|input tokens|tokens from the|prompt tokens|`inputs`)"
    r"|\b(?:request|input|prompt)\b\D{0,30}?\(?(\d+) (?:input )?tokens",
    re.IGNORECASE,
)


def room(refusal: Refusal, tokens: int, most: int | None) -> tuple[int, int | None]:
    """Return how many tokens a prompt may have that was too long, and how many its completion.

    What the server says of its context and of the prompt is used where it says it; else the prompt loses a quarter. At
    least half of the context is for the prompt, however long a completion may be.

    Args:
        refusal: what the server said.
        tokens: of the prompt, as we estimate them.
        most: of the completion, as it was asked for.
    """
    told = _CONTEXT.search(refusal.said)
    if told is None:
        return tokens * 3 // 4, most
    context = int(told[1])
    reply = None if most is None else min(most, context // 2)
    left = context - (context // 4 if reply is None else reply)
    counted = _PROMPT.search(refusal.said)
    actual = int(counted[1] or counted[2]) if counted is not None else tokens
    if actual <= left and reply != most:
        return tokens, reply  # it was the completion alone that asked for too much
    share = min(left / max(actual, 1), 0.97)  # a little goes to the chat's own markup
    return int(tokens * share), reply


def cut(messages: Sequence[Message], tokens: int) -> tuple[Message, ...]:
    """Return messages of about so many tokens: the longest content loses its middle, then the next longest.

    It is what `chat_tokens.shorten` does to token ids, done to characters.
    """
    share = tokens / max(tokens_of(tuple(messages)), 1)
    pieces = [Piece(tuple(map(ord, message["content"])), place) for place, message in enumerate(messages)]
    short = shorten(pieces, int(sum(len(piece.ids) for piece in pieces) * share), tuple(map(ord, CUT)))
    return tuple(
        {"role": message["role"], "content": "".join(map(chr, piece.ids))}
        for message, piece in zip(messages, short, strict=True)
    )


_REASONS: Final = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence", ""), "stop"),
}


def answer(body: Any) -> Answer | Refusal:
    """Return what the JSON of an answer says; a refusal where it holds none, as gateways put errors into answers."""
    if not isinstance(body, Mapping):
        return Refusal("an answer that is no JSON object")
    usage = _usage(body.get("usage"))
    choice = next((one for one in _listed(body.get("choices")) if isinstance(one, Mapping)), None)
    if choice is None:
        if body.get("error"):
            error = _mapping(body["error"])
            status = error.get("code")
            return refusal(status if isinstance(status, int) else 0, body, usage=usage)
        return Refusal("an answer without choices", usage=usage)
    message = _mapping(choice.get("message"))
    logprobs = choice.get("logprobs")
    text, thinking = _texts(message.get("content") if message else choice.get("text"))
    return Answer(
        text=text or _text(message.get("refusal")) or _calls(message),
        thinking=_text(message.get("reasoning_content")) or _text(message.get("reasoning")) or thinking,
        finish_reason=_REASONS.get(said := _text(choice.get("finish_reason")), said),
        usage=usage,
        prompt_ids=_numbers(body.get("prompt_token_ids") or choice.get("prompt_token_ids")),
        completion_ids=_numbers(choice.get("token_ids")),
        logprobs=_logprobs(_mapping(logprobs)),
    )


def refusal(status: int, body: Any, *, wait: float | None = None, usage: Usage | None = None) -> Refusal:
    """Return the refusal of an HTTP status and what was said with it: parsed JSON, or a text."""
    error = _mapping(body)
    inner = error.get("error")
    if isinstance(inner, Mapping):
        error = inner
    said = _text(error.get("message")) or _text(inner) or _text(error.get("detail")) or str(body)
    return Refusal(
        elided(" ".join(said.split()), SAID),
        status,
        code=str(error.get("code") or error.get("type") or ""),
        param=_text(error.get("param")),
        wait=wait,
        usage=usage or NO_USAGE,
    )


def told_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return for how many seconds a server wants to be left alone, by `retry-after-ms` or `retry-after`, or None."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if (text := headers.get(name)) is None:
            continue
        if re.fullmatch(r"\s*[0-9]{1,12}(\.[0-9]*)?\s*", text):
            return float(text) * unit
        try:
            return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
        except (TypeError, ValueError):
            continue
    return None


def generation(answer: Answer, sampling: Sampling, cut_tokens: int) -> Generation:
    """Return the generation behind an answer; its text where there is more of it than the reply's."""
    usage = answer.usage
    return Generation(
        prompt_ids=answer.prompt_ids,
        completion_ids=answer.completion_ids,
        logprobs=answer.logprobs if sampling.logprobs else (),
        finish_reason=answer.finish_reason,
        prompt_tokens=usage.prompt,
        completion_tokens=usage.completion,
        text=f"<think>\n{answer.thinking}\n</think>\n\n{answer.text}" if answer.thinking else "",
        logprobs_kind=sampling.logprobs_kind if answer.logprobs and sampling.logprobs else None,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        prompt_cut=cut_tokens,
        thinking_tokens=usage.thinking,
    )


def _usage(given: Any) -> Usage:
    told = _mapping(given)
    return Usage(
        prompt=_count(told.get("prompt_tokens")),
        completion=_count(told.get("completion_tokens")),
        cached=_count(
            _mapping(told.get("prompt_tokens_details")).get("cached_tokens", told.get("prompt_cache_hit_tokens"))
        ),
        thinking=_count(_mapping(told.get("completion_tokens_details")).get("reasoning_tokens")),
    )


def _texts(content: Any) -> tuple[str, str]:
    """Return the text and the thinking of a message's content, which may be a list of parts."""
    if not isinstance(content, list):
        return _text(content), ""
    parts = [_mapping(part) for part in content]
    thinking = (_text(part.get("thinking")) or _texts(part.get("thinking"))[0] for part in parts)
    return "".join(_text(part.get("text")) for part in parts), "".join(thinking)


def _calls(message: Mapping[str, Any]) -> str:
    """Return the arguments of tools that a model called though none was offered: a program may be among them."""
    calls = [_mapping(_mapping(call).get("function")) for call in _listed(message.get("tool_calls"))]
    return "\n".join(filter(None, (_text(call.get("arguments")) for call in calls)))


def _logprobs(told: Mapping[str, Any]) -> tuple[float, ...]:
    listed = _listed(told.get("content")) or _listed(told.get("token_logprobs"))
    found = [_mapping(one).get("logprob") if isinstance(one, Mapping) else one for one in listed]
    return tuple(float(one) for one in found if isinstance(one, int | float))


def _text(value: Any) -> str:
    return well_formed(value) if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _numbers(value: Any) -> tuple[int, ...]:
    numbers = _listed(value)
    return tuple(numbers) if all(type(one) is int and one >= 0 for one in numbers) else ()
