"""How a task asks: with which words, what is quoted, within how many tokens; as an object, and by name.

`Prompts` puts together the words (`templates`), the contexts (`contexts`) and their fitting (`fitting`). A spec such as
`chat,siblings=2,feedback=off` names one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any, Final, cast

from mars2_env.base.checks import flag, whole_number
from mars2_env.base.spec import parse_spec, typed
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.prompt.contexts import Attempt, Context, FreshContext, PlayContext, RefinementContext, UnseenContext
from mars2_env.prompt.fitting import GONE, TokenCounter, estimated_tokens, fitted
from mars2_env.prompt.templates import TEMPLATE_PARTS, ChatTemplates, Templates, TemplatesByAgent
from mars2_env.types import Feedback, Message, PublicView

MAX_TOKENS: Final = 8192
MIN_TOKENS: Final = 64


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
        flag("feedback", self.feedback, where="Prompts")
        for name, least in (("ancestors", 0), ("siblings", 0), ("max_tokens", MIN_TOKENS)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least=least, where="Prompts"))

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


def prompts_from(config: Mapping[str, Any]) -> Prompts:
    """Return the prompts that `prompts_config` described, as the header of a log holds it.

    Raises:
        ConfigError: it names functions of the caller's own, which no configuration holds, or makes no sense here.
    """
    options = dict(config)
    if "count" in options:
        raise ConfigError(f"prompts counted their tokens by {options['count']!r:.200}, which no log holds.")
    if "templates" in options:
        options["templates"] = _templates_from(options["templates"])
    try:
        return Prompts(**options)
    except TypeError as error:
        raise ConfigError(f"prompts {options!r:.200}: {error}.") from None


def _templates_from(config: Mapping[str, Any]) -> Templates:
    if "agents" in config:
        own = tuple((agent, _templates_from(words)) for agent, words in config["agents"].items())
        return TemplatesByAgent(own, _templates_from(config["others"]))
    name = config.get("name")
    if not isinstance(name, str) or name not in TEMPLATE_PARTS:
        raise ConfigError(f"the words of the prompts are {config!r:.200}, which are not registered here.")
    words = _known_templates(name)
    if not is_dataclass(words) or isinstance(words, type):
        raise ConfigError(f"the words of the prompts are {name!r:.200}, which is no dataclass here.")
    try:
        return cast(Templates, replace(words, **config))
    except TypeError as error:
        raise ConfigError(f"the words of the prompts are {config!r:.200}: {error}.") from None


def _templates_config(templates: Any) -> dict[str, Any]:
    if isinstance(templates, TemplatesByAgent):
        own = {name: _templates_config(words) for name, words in templates.agents}
        return {"agents": own, "others": _templates_config(templates.others)}
    plain = is_dataclass(templates) and not isinstance(templates, type)
    return asdict(templates) if plain else {"function": _named(templates)}


def _named(function: Any) -> str:
    kind = function if hasattr(function, "__qualname__") else type(function)
    return f"{kind.__module__}.{kind.__qualname__}"


_OPTIONS: Final = {"feedback": bool, "ancestors": int, "siblings": int, "max_tokens": int}


def _parsed(text: str) -> dict[str, Any]:
    """Return the options of a spec `TEMPLATES,option=value,agent=TEMPLATES,...`; the first name may be left out."""
    spec = parse_spec(text, "prompts", named=False)
    options: dict[str, Any] = {}
    own: list[tuple[str, Templates]] = []
    pairs = {"templates": spec.name, **spec.options} if spec.name or not spec.options else spec.options
    for name, value in pairs.items():
        if name in _OPTIONS:
            options[name] = typed(value, _OPTIONS[name], f"prompts {text!r:.200}: {name}")
        elif name == "templates":
            options[name] = _known_templates(value)
        elif value in TEMPLATE_PARTS:
            own.append((name, TEMPLATE_PARTS.find(value)))
        else:
            raise ConfigError(unknown_name(f"option in prompts {text!r:.200}:", name, _OPTIONS))
    if own:
        options["templates"] = TemplatesByAgent(tuple(own), options.get("templates", ChatTemplates()))
    return options


def _known_templates(name: str) -> Templates:
    templates: Templates = TEMPLATE_PARTS.find(name)
    return templates
