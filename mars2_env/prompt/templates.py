"""The words of prompts: a template turns a context into chat messages.

A template is anything that can be called with a `Context` and returns messages; `TEMPLATES` has ours by name, and
`register_templates` adds to them. What came from a candidate or a problem is quoted by concatenation inside a fence
longer than any run of backticks it holds; it is never formatted as a template.

A prompt that is a single message of the role `assistant` is a plain completion: no chat template, the model goes on
where the text ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from mars2_env.base.parts import Parts
from mars2_env.errors import ConfigError
from mars2_env.prompt.contexts import Attempt, Context, FreshContext, PlayContext, RefinementContext, UnseenContext
from mars2_env.prompt.programs import fenced
from mars2_env.prompt.syntax import kept
from mars2_env.types import Call, Feedback, Message, PublicView


@runtime_checkable
class Templates(Protocol):
    """Turns contexts into prompts; a pure function of the context.

    A frozen dataclass with a `name` and texts for fields is written into log headers with all of them; of a function,
    headers have the module and name.
    """

    def __call__(self, context: Context) -> tuple[Message, ...]:
        """Return the messages of a prompt."""
        ...


@dataclass(frozen=True, slots=True)
class ChatTemplates:
    """For models with a chat template.

    Attributes:
        name: what log headers call these words.
        system: the system message, in front of the agent's role; with neither there is no system message.
        reply_format: the last line of the user message.
    """

    name: str = "chat"
    system: str = "You are an expert Python programmer."
    reply_format: str = "Reply with the complete program in one ```python block."

    def __call__(self, context: Context) -> tuple[Message, ...]:
        """Return a system message and a user message."""
        parts = [task_text(context.problem), *_told(context)]
        if isinstance(context, PlayContext):
            parts.append(_choice_text(context))
        return _chat(f"{self.system} {context.role}".strip(), [*parts, self.reply_format])


@dataclass(frozen=True, slots=True)
class ReasoningTemplates:
    """For models that think before they answer: everything is in the user message, as their makers advise.

    `mars2_env.prompt.extract_program` leaves the thinking out, so code in it is never taken for the program.
    """

    name: str = "reasoning"
    reply_format: str = (
        "Think for as long as you need. When you have done thinking, end your reply with exactly one ```python block "
        "that holds the complete program. Code in your thinking does not count."
    )

    def __call__(self, context: Context) -> tuple[Message, ...]:
        """Return one user message."""
        parts = [context.role, task_text(context.problem), *_told(context)]
        if isinstance(context, PlayContext):
            parts.append(_choice_text(context))
        return _chat("", [*parts, self.reply_format])


@dataclass(frozen=True, slots=True)
class BaseTemplates:
    """For base models: a document that they go on with. It ends inside a block, so that the reply begins with code.

    `mars2_env.prompt.extract_program` takes what comes before the end of that block.
    """

    name: str = "base"

    def __call__(self, context: Context) -> tuple[Message, ...]:
        """Return one message of the role `assistant`: a text to be continued."""
        parts = ["# Problem", task_text(context.problem), context.role]
        match context:
            case FreshContext():
                heading = "# A correct program"
            case UnseenContext() | RefinementContext():
                heading = "# A better program"
                parts += ["# An earlier program", *_told(context)]
            case PlayContext():
                heading = "# A choice and a better program"
                parts += ["# Earlier programs", *_told(context), _choice_text(context)]
        end = "" if isinstance(context, PlayContext) else "```python\n"
        return ({"role": "assistant", "content": _joined([*parts, heading]) + "\n\n" + end},)


@dataclass(frozen=True, slots=True)
class TemplatesByAgent:
    """Words of its own for each agent, as teams of unlike models need.

    Attributes:
        agents: pairs of an agent and its templates. An agent is named in full (`coder_0`), or by its word alone
            (`coder`) for all agents of that word.
        others: the templates of everybody else.
    """

    agents: tuple[tuple[str, Templates], ...]
    others: Templates = field(default_factory=ChatTemplates)

    def __call__(self, context: Context) -> tuple[Message, ...]:
        """Return the prompt in the words of the agent that is asked."""
        return next((own for name, own in self.agents if _names(name, context.agent)), self.others)(context)

    def unknown(self, agents: Iterable[str]) -> list[str]:
        """Return the names that none of these agents has."""
        known = list(agents)
        return [name for name, _ in self.agents if not any(_names(name, agent) for agent in known)]


def _names(name: str, agent: str) -> bool:
    return name in (agent, agent.rpartition("_")[0])


TEMPLATES: Final[dict[str, Templates]] = {
    "chat": ChatTemplates(),
    "reasoning": ReasoningTemplates(),
    "base": BaseTemplates(),
}
"""Templates by name: the library's own, and those that a program registers."""

TEMPLATE_PARTS: Final = Parts("templates", "mars2_env.templates", registered=TEMPLATES)


def register_templates(name: str, templates: Templates | None = None) -> Any:
    """Make templates known by a name, as in `prompts="NAME"`; without them, return the decorator that does so.

    Installed packages offer the same by the entry-point group `mars2_env.templates`.

    Raises:
        ConfigError: the name is taken or holds a character that specs use, or the object cannot be called.
    """
    if isinstance(name, str) and name in TEMPLATES:
        raise ConfigError(f"templates {name!r} are registered already; choose another name.")
    return TEMPLATE_PARTS.decorator(name) if templates is None else TEMPLATE_PARTS.register(name, templates)


def task_text(problem: PublicView) -> str:
    """Return the statement and what form the program must have."""
    interface = problem.interface
    called = interface.name if isinstance(interface, Call) else None
    return _task_text(problem.statement, problem.starter_code, called, problem.seed_program is not None)


@kept
def _task_text(statement: str, code: str, called: str | None, repair: bool) -> str:
    if called is not None:
        if code and statement.strip() == code.strip():
            return f"Complete the Python function `{called}`:\n\n{fenced(code, 'python')}"
        form = f"Write a Python function named `{called}`."
        if repair:
            form = f"The program has to define the function `{called}`."
        elif "class Solution" in code:
            form = f"Write the method `{called}` of the class `Solution`, in Python."
    else:
        form = "Write a Python program that reads standard input and writes the answer to standard output."
    if code:
        form += f" Start from:\n\n{fenced(code, 'python')}"
    return f"{statement.strip()}\n\n{form}"


def outcome_text(feedback: Feedback) -> str:
    """Return in one line how a program fails."""
    if feedback.unshown:
        return "It passes the tests that are shown and fails on tests that are not shown."
    lines = {
        "wrong_answer": "It gives a wrong answer.",
        "compile_error": "It does not compile.",
        "runtime_error": "It fails with an error.",
        "time_limit": f"It exceeds the time limit of {feedback.limit}.",
        "memory_limit": f"It exceeds the memory limit of {feedback.limit}.",
        "output_limit": f"It exceeds the output limit of {feedback.limit}.",
    }
    return lines.get(feedback.outcome, f"It fails: {feedback.outcome}.")


def feedback_text(feedback: Feedback) -> str:
    """Return how a program fails and, where a shown test does, which: its input, what was expected, what came out."""
    parts = [outcome_text(feedback)]
    if feedback.unshown:
        return parts[0]
    if feedback.test is not None:
        parts += ["The first failing test:", fenced(feedback.input), "Expected:", fenced(feedback.expected)]
        if feedback.outcome == "wrong_answer":
            parts += ["What came out:", fenced(feedback.actual)]
    error = feedback.traceback or ": ".join(part for part in (feedback.error_type, feedback.error_message) if part)
    if error:
        parts += ["The error:", fenced(error)]
    return _joined(parts)


def attempt_text(attempt: Attempt) -> str:
    """Return what is said about a parent: its first failing public test, or that it passes, and what to do."""
    if attempt.program is None:
        told = "An earlier reply held no program: no code block was found in it."
        return f"{told} It ended with:\n\n{fenced(attempt.reply_tail)}" if attempt.reply_tail else told
    if attempt.passed:
        return "It passes the tests. Improve it: look for inputs on which it could still fail."
    if attempt.feedback is None:
        return "It fails the tests. Correct it."
    told = feedback_text(attempt.feedback)
    return f"{told} Correct it." if attempt.feedback.unshown else f"{told}\n\nCorrect it."


def messages_text(messages: Sequence[Message]) -> str:
    """Return chat messages as one readable text, for observations; a plain completion is that text itself."""
    if completion(messages):
        return messages[0]["content"]
    return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in messages)


def completion(messages: Sequence[Message]) -> bool:
    """Whether a prompt is a plain completion: one message, of the role `assistant`, which the model goes on with."""
    return len(messages) == 1 and messages[0]["role"] == "assistant"


def answer_text(messages: Sequence[Message], program: str) -> str:
    """Return a reply that holds a program, in the form that our templates ask for: one block, and nothing else.

    A plain completion stands in the block already, so that its reply is the program and the fence that ends the block.
    """
    block = fenced(program, "python")
    return block.partition("\n")[2] if completion(messages) else block


def _told(context: Context) -> list[str]:
    """Return what is told of earlier programs."""
    match context:
        case FreshContext():
            return []
        case UnseenContext():
            return [f"Another agent's program, which you cannot see, scored {context.score:.2f}. Write a better one."]
        case RefinementContext():
            parent = context.parent
            parts = [] if parent.program is None else ["An earlier program:", fenced(parent.program, "python")]
            parts.append(attempt_text(parent))
            if context.ancestors:
                parts += ["Programs that led to it:", *map(_in_brief, context.ancestors)]
            if context.siblings:
                parts += ["Other attempts at improving on it:", *map(_in_brief, context.siblings)]
            return parts
        case PlayContext():
            parts = ["Programs tried so far:", fenced(context.outline)]
            for one in context.attempts:
                parts += [f"Node {one.node}:", fenced(one.program or "", "python"), attempt_text(one)]
            return parts


def _in_brief(attempt: Attempt) -> str:
    """Return a program with one line on its outcome."""
    if attempt.passed:
        outcome = "It passes the tests."
    else:
        outcome = "It fails the tests." if attempt.feedback is None else outcome_text(attempt.feedback)
    return f"{fenced(attempt.program or '', 'python')}\n\n{outcome}"


def _choice_text(context: PlayContext) -> str:
    root = "0 is the program that was given" if context.given else "or 0 to start afresh"
    return (
        f"Choose the node to improve on, {root}, and say so in a line of the form `PARENT: 0` "
        f"(nodes 0 to {context.last} can be chosen)."
    )


def _chat(system: str, parts: Sequence[str]) -> tuple[Message, ...]:
    user: Message = {"role": "user", "content": _joined(parts)}
    return ({"role": "system", "content": system}, user) if system else (user,)


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part)
