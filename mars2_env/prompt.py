"""From a place in a tree to chat messages, and (by `mars2_env.programs`) from a reply to its program.

`Prompts` says how a task asks: with which words (`mars2_env.templates`), what besides the parent is quoted, and within
how many tokens. Contexts (`mars2_env.contexts`) are values; a prompt that is too long is one whose context is cut down
until its words fit, in a fixed order (`ORDER`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from operator import index as whole_number
from string import ascii_letters
from typing import Any, Final, TypeAlias

from mars2_env.contexts import (
    Attempt,
    Context,
    FreshContext,
    PlayContext,
    RefinementContext,
    UnseenContext,
    place_context,
    play_context,
)
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.programs import extract_program
from mars2_env.templates import (
    TEMPLATES,
    BaseTemplates,
    ChatTemplates,
    ReasoningTemplates,
    Templates,
    TemplatesByAgent,
    completion,
    feedback_text,
    messages_text,
    register_templates,
    task_text,
)
from mars2_env.texts import elided
from mars2_env.types import Feedback, Message, PublicView

__all__ = [
    "ORDER",
    "TEMPLATES",
    "Attempt",
    "BaseTemplates",
    "ChatTemplates",
    "Context",
    "FreshContext",
    "PlayContext",
    "Prompts",
    "ReasoningTemplates",
    "RefinementContext",
    "Templates",
    "TemplatesByAgent",
    "UnseenContext",
    "completion",
    "estimated_tokens",
    "extract_program",
    "feedback_text",
    "fitted",
    "make_prompts",
    "messages_text",
    "place_context",
    "play_context",
    "prompts_config",
    "register_templates",
    "task_text",
    "tokens_of",
]

TokenCounter: TypeAlias = Callable[[str], int]
"""Returns how many tokens a text has."""

GONE: Final = "[...]"
"""Stands for a text that was cut out as a whole."""

MAX_TOKENS: Final = 8192
MIN_TOKENS: Final = 64


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
    """Return how many tokens the contents of messages have; the few that a chat template adds are not counted."""
    return sum(count(message["content"]) for message in messages)


@dataclass(frozen=True, slots=True)
class Prompts:
    """How a task asks.

    Attributes:
        templates: the words: an object called with a context (`Templates`), or the name of ours: `chat`, `reasoning`
            (models with think blocks), `base` (plain completion, no chat template). `TemplatesByAgent` has words of
            its own for each agent.
        feedback: whether the prompt of a refinement tells the parent's first failing public test (MARS2-T+), and turns
            carry it; without, only whether the parent passes.
        ancestors: how many of the parent's ancestors are quoted besides: the best.
        siblings: how many of the earlier attempts at improving on the parent are quoted besides: the best.
        max_tokens: the most tokens of a prompt; what does not fit is cut in the order of `ORDER`.
        count: how tokens are counted, a pure function; by default estimated on the high side. With the model's own
            tokenizer: `lambda text: len(tokenizer.encode(text))`.
    """

    templates: Templates | str = "chat"
    feedback: bool = True
    ancestors: int = 0
    siblings: int = 0
    max_tokens: int = MAX_TOKENS
    count: TokenCounter = estimated_tokens

    def __post_init__(self) -> None:
        if isinstance(self.templates, str):
            object.__setattr__(self, "templates", _known_templates(self.templates))
        for name, value in (("templates", self.templates), ("count", self.count)):
            if not callable(value):
                raise ConfigError(f"Prompts({name}={value!r:.200}): must be callable.")
        if not isinstance(self.feedback, bool):
            raise ConfigError(f"Prompts(feedback={self.feedback!r:.200}): must be True or False.")
        for name, least in (("ancestors", 0), ("siblings", 0), ("max_tokens", MIN_TOKENS)):
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
                raise ConfigError(f"Prompts({name}={value!r:.200}): must be a whole number of at least {least}.")
            object.__setattr__(self, name, whole_number(value))

    def messages(self, context: Context) -> tuple[Message, ...]:
        """Return the prompt of a context, within `max_tokens`.

        Raises:
            ConfigError: not even what can never be cut (the role, the form asked for) fits.
        """
        assert not isinstance(self.templates, str)
        return fitted(context, self.templates, self.max_tokens, self.count)

    def check_room(self, problem: PublicView, role: str, agent: str, *, play: bool = False, own: bool = False) -> None:
        """Check that every prompt that an agent can be asked with fits, whatever is in the tree.

        Args:
            problem: what may be seen of a problem.
            role: what is said of the agent's role.
            agent: the agent.
            play: whether it chooses the parent itself.
            own: whether it sees its own nodes alone.

        Raises:
            ConfigError: not even what can never be cut fits.
        """
        least = "`" * len(GONE)  # what is left of a text, where it needs the longest fence
        failure = Feedback("wrong_answer", False, 0, least, least, least, "", "", "", least)
        error = replace(failure, outcome="runtime_error", traceback=least)
        contexts: list[Context] = [
            FreshContext(problem, role, agent),
            *(RefinementContext(problem, role, Attempt(1, least, False, f), agent=agent) for f in (failure, error)),
        ]
        if own:
            contexts.append(UnseenContext(problem, role, 1.0, agent))
        if play:
            contexts.append(PlayContext(problem, role, least, (), 10**7, False, agent))
        for context in contexts:
            self.messages(context)


def fitted(
    context: Context, templates: Templates, max_tokens: int, count: TokenCounter = estimated_tokens
) -> tuple[Message, ...]:
    """Return the prompt of a context, cut down in the order of `ORDER` until it has at most `max_tokens` tokens.

    Each part is cut as little as is needed, and wholly before the next is touched.

    Raises:
        ConfigError: not even what can never be cut fits.
    """
    messages = templates(context)
    if tokens_of(messages, count) <= max_tokens:
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


def make_prompts(value: Prompts | Templates | str | None, base: Prompts | None = None) -> Prompts:
    """Return the prompts that are meant.

    Args:
        value: prompts; templates; a spec such as `base` or `chat,siblings=2,max_tokens=4096,feedback=off`, in which
            `fixer=reasoning` gives an agent words of its own (`TemplatesByAgent`); None for `base`.
        base: what templates and specs leave unsaid; `Prompts()` by default.

    Raises:
        ConfigError: a name or an option is unknown, or a value makes no sense.
    """
    if isinstance(value, Prompts):
        return value
    base = base or Prompts()
    if value is None:
        return base
    return replace(base, **_parsed(value)) if isinstance(value, str) else replace(base, templates=value)


def prompts_config(prompts: Prompts) -> dict[str, Any]:
    """Return what identifies prompts in a configuration, as plain data: what differs from the default."""
    config: dict[str, Any] = {
        field.name: getattr(prompts, field.name)
        for field in fields(prompts)
        if getattr(prompts, field.name) != getattr(Prompts(), field.name)
    }
    if "templates" in config:
        config["templates"] = _templates_config(prompts.templates)
    if "count" in config:
        config["count"] = _named(prompts.count)
    return config


def _templates_config(templates: Any) -> dict[str, Any]:
    if isinstance(templates, TemplatesByAgent):
        own = {name: _templates_config(words) for name, words in templates.agents}
        return {"agents": own, "others": _templates_config(templates.others)}
    plain = is_dataclass(templates) and not isinstance(templates, type)
    return asdict(templates) if plain else {"function": _named(templates)}


def _named(function: Any) -> str:
    kind = function if hasattr(function, "__qualname__") else type(function)
    return f"{kind.__module__}.{kind.__qualname__}"


_OPTIONS: Final = ("feedback", "ancestors", "siblings", "max_tokens")
_SWITCH: Final = {"on": True, "off": False, "true": True, "false": False}


def _parsed(spec: str) -> dict[str, Any]:
    """Return the options of a spec `TEMPLATES,option=value,agent=TEMPLATES,...`; the first name may be left out."""
    options: dict[str, Any] = {}
    own: list[tuple[str, Templates]] = []
    for number, part in enumerate(spec.split(",")):
        name, equals, text = (piece.strip() for piece in part.partition("="))
        if number == 0 and not equals:
            name, text = "templates", name
        if name in _OPTIONS:
            options[name] = _value(spec, name, text)
        elif name == "templates":
            options[name] = _known_templates(text)
        elif text in TEMPLATES:
            own.append((name, TEMPLATES[text]))
        else:
            raise ConfigError(unknown_name(f"option in prompts {spec!r:.200}:", name, _OPTIONS))
    if own:
        options["templates"] = TemplatesByAgent(tuple(own), options.get("templates", ChatTemplates()))
    return options


def _value(spec: str, name: str, text: str) -> int | bool:
    try:
        return _SWITCH[text] if name == "feedback" else int(text)
    except (KeyError, ValueError):
        wanted = "on or off" if name == "feedback" else "a whole number"
        raise ConfigError(f"prompts {spec!r:.200}: {name}={text!r} is not {wanted}.") from None


def _known_templates(name: str) -> Templates:
    if name not in TEMPLATES:
        raise ConfigError(unknown_name("templates", name, TEMPLATES))
    return TEMPLATES[name]
