"""From a place in a tree to chat messages, and (by `mars2_env.programs`) from a reply to its program.

Everything that came from a candidate or a problem is quoted by concatenation inside a fence longer than any it holds;
it is never formatted as a template. Fresh prompts carry no feedback; refinement prompts carry the parent's program and
the facts about its first failing public test.
"""

from __future__ import annotations

from collections.abc import Sequence

from mars2_env.outline import outline
from mars2_env.programs import extract_program, fenced
from mars2_env.types import Call, Feedback, Message, Node, PublicView

__all__ = [
    "extract_program",
    "feedback_text",
    "fresh_messages",
    "messages_text",
    "play_messages",
    "refinement_messages",
    "task_text",
    "unseen_parent_messages",
]

SYSTEM = "You are an expert Python programmer."
REPLY_FORMAT = "Reply with the complete program in one ```python block."
PLAY_BUDGET = 12_000
"""How many characters of programs the prompt of a `play` turn may quote."""


def fresh_messages(problem: PublicView, role: str = "") -> tuple[Message, ...]:
    """Return the prompt for writing a program from nothing.

    Args:
        problem: what may be seen of the problem.
        role: what is said of the agent's role, added to the system message.
    """
    return _chat(role, [task_text(problem), REPLY_FORMAT])


def refinement_messages(
    problem: PublicView, program: str | None, feedback: Feedback | None, role: str = ""
) -> tuple[Message, ...]:
    """Return the prompt for improving on a parent.

    Args:
        problem: what may be seen of the problem.
        program: the parent's program; None if its reply held none.
        feedback: facts about the parent's first failing public test; None if all its tests passed.
        role: what is said of the agent's role, added to the system message.
    """
    parts = [task_text(problem)]
    if program is not None:
        parts += ["An earlier program:", fenced(program, "python")]
    parts += [feedback_text(program, feedback), REPLY_FORMAT]
    return _chat(role, parts)


def unseen_parent_messages(problem: PublicView, score: float, role: str = "") -> tuple[Message, ...]:
    """Return the prompt for a place below another agent's program, which the partially observed game does not show."""
    told = f"Another agent's program, which you cannot see, scored {score:.2f}. Write a better one."
    return _chat(role, [task_text(problem), told, REPLY_FORMAT])


def play_messages(
    problem: PublicView, nodes: Sequence[Node], parents: Sequence[int], role: str = "", own: str | None = None
) -> tuple[Message, ...]:
    """Return the prompt of a turn that leaves the choice of the parent to the agent.

    It shows the tree and quotes the best programs, newest first among equals, up to `PLAY_BUDGET` characters; with
    `own`, only that agent's programs. `nodes` may begin with a seed node (number 0), which everybody sees.
    """
    parts = [
        task_text(problem),
        "Programs tried so far:",
        fenced(outline(nodes, own=own)),
    ]
    room = PLAY_BUDGET
    for node in sorted(nodes, key=lambda node: (-node.score, -node.id)):
        if node.program is None or (own is not None and node.agent not in (own, "")):
            continue
        quoted = f"Node {node.id}:\n\n{fenced(node.program, 'python')}\n\n" + feedback_text(
            node.program, node.verdict.feedback
        )
        if len(quoted) > room:
            break
        room -= len(quoted)
        parts.append(quoted)
    root = "0 is the program that was given" if nodes and nodes[0].id == 0 else "or 0 to start afresh"
    parts.append(
        f"Choose the node to improve on, {root}, and say so in a line of the form `PARENT: 0` "
        f"(nodes 0 to {max(parents)} can be chosen). Then reply with the complete program in one ```python block."
    )
    return _chat(role, parts)


def task_text(problem: PublicView) -> str:
    """Return the statement and what form the program must have."""
    if isinstance(problem.interface, Call):
        code = problem.starter_code
        if code and problem.statement.strip() == code.strip():
            return f"Complete the Python function `{problem.interface.name}`:\n\n{fenced(code, 'python')}"
        form = f"Write a Python function named `{problem.interface.name}`."
        if code:
            form += f" Start from:\n\n{fenced(code, 'python')}"
        return f"{problem.statement.strip()}\n\n{form}"
    form = "Write a Python program that reads standard input and writes the answer to standard output."
    if problem.starter_code:
        form += f" Start from:\n\n{fenced(problem.starter_code, 'python')}"
    return f"{problem.statement.strip()}\n\n{form}"


def feedback_text(program: str | None, feedback: Feedback | None) -> str:
    """Return what is said about a parent: its first failing public test, or that it passed."""
    if program is None:
        return "An earlier reply held no program: no code block was found in it."
    if feedback is None:
        return "It passes the tests. Improve it: look for inputs on which it could still fail."
    if feedback.unshown:
        return "It passes the tests that are shown and fails on tests that are not shown. Correct it."
    lines = {
        "wrong_answer": "It gives a wrong answer.",
        "compile_error": "It does not compile.",
        "runtime_error": "It fails with an error.",
        "time_limit": f"It exceeds the time limit of {feedback.limit}.",
        "memory_limit": f"It exceeds the memory limit of {feedback.limit}.",
        "output_limit": f"It exceeds the output limit of {feedback.limit}.",
    }
    parts = [lines.get(feedback.outcome, f"It fails: {feedback.outcome}.")]
    if feedback.outcome != "compile_error":
        parts += ["The first failing test:", fenced(feedback.input), "Expected:", fenced(feedback.expected)]
    if feedback.outcome == "wrong_answer":
        parts += ["What came out:", fenced(feedback.actual)]
    error = feedback.traceback or ": ".join(part for part in (feedback.error_type, feedback.error_message) if part)
    if error:
        parts += ["The error:", fenced(error)]
    parts.append("Correct it.")
    return "\n\n".join(parts)


def messages_text(messages: Sequence[Message]) -> str:
    """Return chat messages as one readable text, for observations and for models without a chat template."""
    return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in messages)


def _chat(role: str, parts: Sequence[str]) -> tuple[Message, ...]:
    system = f"{SYSTEM} {role}".strip()
    return (
        {"role": "system", "content": system},
        {"role": "user", "content": "\n\n".join(part for part in parts if part)},
    )
