"""Prompts within their tokens: a context is cut down, in a fixed order, until its words fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from string import ascii_letters
from typing import Any, Final, TypeAlias, get_args, get_type_hints

from mars2_env.base.checks import real_number, shown
from mars2_env.base.texts import elided
from mars2_env.errors import ConfigError
from mars2_env.prompt.contexts import Context, FreshContext, PlayContext, RefinementContext, UnseenContext
from mars2_env.prompt.templates import Templates
from mars2_env.types import Message, PublicView

TokenCounter: TypeAlias = Callable[[str], int]
"""Returns how many tokens a text has."""

_ROLES: Final = get_args(get_type_hints(Message)["role"])

GONE: Final = "[...]"
"""Stands for a text that was cut out as a whole."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a context that may be cut: how many items or characters it has, and the context with fewer."""

    size: Callable[[Any], int]
    cut: Callable[[Any, int], Any]


_LETTERS: Final = ascii_letters.encode()
_BLANKS: Final = b" \t\r"


def estimated_tokens(text: str) -> int:
    """Return an estimate of a text's tokens on the high side, by its characters.

    0.4 for a letter, 0.1 for a blank, and 1 for anything else: a digit, a sign, a new line, a byte of another script.
    Over the prompts and programs of our problem sets that is 1.05 to 1.8 times what a small vocabulary (SmolLM2's
    49,152, digits one by one) makes of them; a short text of random letters can have more than estimated.
    """
    data = text.encode("utf-8", "surrogatepass")
    others = len(data.translate(None, _LETTERS + _BLANKS))
    letters = len(data) - len(data.translate(None, _LETTERS))
    return -(-(4 * letters + (len(data) - letters - others) + 10 * others) // 10)


def tokens_of(messages: tuple[Message, ...], count: TokenCounter = estimated_tokens) -> int:
    """Return how many tokens the contents of messages have; the few that a chat template adds are not counted.

    Raises:
        ConfigError: what the counter returned for one of them is no number of tokens.
    """
    if count is estimated_tokens:
        return sum(count(message["content"]) for message in messages)
    return sum(_counted(count, message["content"]) for message in messages)


def _counted(count: TokenCounter, text: str) -> int:
    number: Any = count(text)
    try:
        return real_number("count", number, least=0)  # type: ignore[return-value]  # a mean, say, compares as well
    except ConfigError:
        name = getattr(count, "__qualname__", type(count).__qualname__)
        raise ConfigError(
            f"the token counter {name} returned {shown(number)} for a text of {len(text)} characters; count= takes a "
            "function that returns a whole number of at least 0."
        ) from None


def fitted(
    context: Context, templates: Templates, max_tokens: int, count: TokenCounter = estimated_tokens
) -> tuple[Message, ...]:
    """Return the prompt of a context, cut down in the order of `ORDER` until it has at most `max_tokens` tokens.

    Each part is cut as little as is needed, and wholly before the next is touched.

    Raises:
        ConfigError: not even what can never be cut fits, or the templates return something else than messages.
    """
    messages = _checked(templates(context), templates)
    if (count is estimated_tokens and _short(messages, max_tokens)) or tokens_of(messages, count) <= max_tokens:
        return messages
    for part in ORDER[type(context)].values():
        low, high = 0, part.size(context)
        if not high:
            continue
        messages = templates(part.cut(context, low))
        if tokens_of(messages, count) > max_tokens:
            context = part.cut(context, low)
            continue
        while high - low > 1:
            middle = (low + high) // 2
            longer = templates(part.cut(context, middle))
            if tokens_of(longer, count) <= max_tokens:
                low, messages = middle, longer
            else:
                high = middle
        return messages
    raise ConfigError(
        f"max_tokens={max_tokens}: with everything cut that can be, a prompt for problem {context.problem.id!r} has "
        f"{tokens_of(messages, count)} tokens (the agent's role, {len(context.role)} characters, is never cut). "
        "Allow more, or say less of the role."
    )


def _short(messages: tuple[Message, ...], most: int) -> bool:
    """Whether messages have too few bytes for their tokens to be estimated at more than that: none is more than one."""
    bound = 0
    for message in messages:
        text = message["content"]
        bound += len(text) if text.isascii() else 4 * len(text)
    return bound <= most


def _checked(messages: Any, templates: Templates) -> tuple[Message, ...]:
    """Return what templates returned, if it is chat messages."""
    rows = messages if isinstance(messages, tuple | list) else ()
    if rows and all(isinstance(one, dict) and isinstance(one.get("content"), str) and "role" in one for one in rows):
        for one in rows:
            if one["role"] not in _ROLES:
                raise ConfigError(
                    f"templates {templates!r:.200} returned a message of the role {one['role']!r:.200}; roles are "
                    f"{', '.join(_ROLES)}."
                )
        return tuple(rows)
    raise ConfigError(
        f"templates {templates!r:.200} returned {messages!r:.200}; chat messages are needed, such as "
        "({'role': 'user', 'content': 'Write a program.'},)."
    )


def _items(name: str) -> Part:
    """Return the part that is a tuple in a context; the last items go first."""
    return Part(
        lambda context: len(getattr(context, name)),
        lambda context, most: replace(context, **{name: getattr(context, name)[:most]}),
    )


def _text(*path: str) -> Part:
    """Return the part that is a text in a context; its middle goes first."""

    def find(value: Any, names: tuple[str, ...]) -> str:
        for name in names:
            value = getattr(value, name) if value is not None else None
        return value or ""

    def cut(value: Any, names: tuple[str, ...], most: int) -> Any:
        if not names:
            return _shorter(value, most)
        inner = getattr(value, names[0])
        return value if inner is None else replace(value, **{names[0]: cut(inner, names[1:], most)})

    return Part(lambda context: len(find(context, path)), lambda context, most: cut(context, path, most))


def _shorter(text: str, most: int) -> str:
    """Return a text with its middle left out, in at most so many characters, or as `[...]` where that is more."""
    if len(text) <= max(most, len(GONE)):
        return text
    short = elided(text, most)
    return short if len(short) <= most else GONE


def _cut_statement(context: Any, most: int) -> Any:
    """Cut the statement, and with it starter code that is the same text (`task_text` shows the two once)."""
    problem: PublicView = context.problem
    statement = _shorter(problem.statement, most)
    code = statement if _states_itself(problem) else problem.starter_code
    return replace(context, problem=replace(problem, statement=statement, starter_code=code))


def _cut_starter_code(context: Any, most: int) -> Any:
    problem: PublicView = context.problem
    if _states_itself(problem):
        return context
    return replace(context, problem=replace(problem, starter_code=_shorter(problem.starter_code, most)))


def _states_itself(problem: PublicView) -> bool:
    return problem.starter_code.strip() == problem.statement.strip()


_FEEDBACK: Final = ("traceback", "error_message", "error_type", "actual", "input", "expected")
_PROBLEM: Final = {
    "starter_code": Part(
        lambda context: 0 if _states_itself(context.problem) else len(context.problem.starter_code), _cut_starter_code
    ),
    "statement": Part(lambda context: len(context.problem.statement), _cut_statement),
}

ORDER: Final[Mapping[type[Any], Mapping[str, Part]]] = {
    FreshContext: _PROBLEM,
    UnseenContext: _PROBLEM,
    RefinementContext: {
        "siblings": _items("siblings"),
        "ancestors": _items("ancestors"),
        **{name: _text("parent", "feedback", name) for name in _FEEDBACK},
        "reply_tail": _text("parent", "reply_tail"),
        "program": _text("parent", "program"),
        **_PROBLEM,
    },
    PlayContext: {"attempts": _items("attempts"), "outline": _text("outline"), **_PROBLEM},
}
"""What is cut from a prompt that is too long, for each kind of context, in this order. Of a text, `[...]` is left.

A refinement loses whole siblings and then whole ancestors, the worst first; then the middle of the traceback, of the
error's message and type, of the actual output, of the failing input and of the expected output, or of the end of a
reply without a program; then the middle of the parent's program; last of the starter code and of the statement. A turn
that chooses its parent loses the worst programs, then the middle of the tree's table, then of starter code and
statement.
"""
