"""What a prompt is about, as frozen values: made from a tree by pure functions, turned into words by templates.

A context holds what may be said and nothing else: no scores but that of a parent which may not be seen, no outcome of a
test that is never quoted, and in the partially observed game no other agent's program.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from mars2_env.prompt.outline import outline
from mars2_env.search.tree import ROOT
from mars2_env.types import Feedback, Node, PublicView, Verdict

REPLY_TAIL: Final = 500
"""How many characters of a reply without a program are quoted: its last ones, where it was cut short or trailed off."""

MAX_QUOTED: Final = 32
"""How many programs the prompt of a turn that chooses its parent quotes at most."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An earlier node, as far as prompts may speak of it.

    Attributes:
        node: its number in the tree.
        program: its program; None where its reply held none.
        passed: whether it passed every test that was run, unshown ones included.
        feedback: facts about its first failing test; None where it passed, or where feedback is not given.
        reply_tail: the end of a reply without a program, "" otherwise.
    """

    node: int
    program: str | None
    passed: bool
    feedback: Feedback | None = None
    reply_tail: str = ""


@dataclass(frozen=True, slots=True)
class FreshContext:
    """Write a program from nothing: the problem and the agent's role, and no word about any earlier program."""

    problem: PublicView
    role: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class UnseenContext:
    """Write below another agent's program, which the partially observed game does not show; its score is all that is.

    `score` is the parent's, in [0, 1].
    """

    problem: PublicView
    role: str
    score: float
    agent: str = ""


@dataclass(frozen=True, slots=True)
class RefinementContext:
    """Improve on a parent.

    Attributes:
        problem: what may be seen of the problem.
        role: what is said of the agent's role.
        parent: the parent.
        ancestors: the best of the programs that led to it, best first.
        siblings: the best of the earlier attempts at improving on the parent, best first.
        agent: who is asked, as in every context.
    """

    problem: PublicView
    role: str
    parent: Attempt
    ancestors: tuple[Attempt, ...] = ()
    siblings: tuple[Attempt, ...] = ()
    agent: str = ""


@dataclass(frozen=True, slots=True)
class PlayContext:
    """Choose a parent and improve on it.

    Attributes:
        problem: what may be seen of the problem.
        role: what is said of the agent's role.
        outline: the tree as a table (`mars2_env.prompt.outline`).
        attempts: the best programs, best first, newest first among equals; at most `MAX_QUOTED`.
        last: the largest node number on offer; all from 0 are.
        given: whether node 0 holds a program (a repair problem's) instead of standing for a fresh start.
    """

    problem: PublicView
    role: str
    outline: str
    attempts: tuple[Attempt, ...]
    last: int
    given: bool = False
    agent: str = ""


Context: TypeAlias = FreshContext | UnseenContext | RefinementContext | PlayContext


def attempt(node: Node, *, feedback: bool = True) -> Attempt:
    """Return what prompts may say of a node; with `feedback=False`, of its tests only whether all passed."""
    return Attempt(
        node=node.id,
        program=node.program,
        passed=node.verdict.passed,
        feedback=facts(node.verdict) if feedback else None,
        reply_tail=node.reply.rstrip()[-REPLY_TAIL:] if node.program is None else "",
    )


def facts(verdict: Verdict) -> Feedback | None:
    """Return the feedback of a verdict, or as much of one as its outcomes tell where its judge gave none."""
    if verdict.feedback is not None or verdict.passed or verdict.settled is not None:
        return verdict.feedback
    public = verdict.group("public") if verdict.groups.get("public") else None
    if public is None or public.passed:
        return Feedback("wrong_answer", unshown=True)
    return Feedback(public.outcome)


def place_context(
    problem: PublicView,
    nodes: Sequence[Node],
    parent: int,
    agent: str,
    role: str = "",
    *,
    own: bool = False,
    feedback: bool = True,
    ancestors: int = 0,
    siblings: int = 0,
) -> FreshContext | UnseenContext | RefinementContext:
    """Return the context of expanding a node.

    Args:
        problem: what may be seen of the problem.
        nodes: the nodes of the tree at the moment of asking, in order of number; a seed node (number 0) comes first.
        parent: the node to expand; 0 is the root.
        agent: who is asked.
        role: what is said of its role.
        own: whether the agent sees its own nodes and a seed node alone (`observe="own"`).
        feedback: whether facts about failing tests are given.
        ancestors: how many of the parent's ancestors are quoted at most: the best.
        siblings: how many of the parent's children are quoted at most: the best.
    """
    first = nodes[0].id if nodes else 1
    if parent < first:
        return FreshContext(problem, role, agent)
    node = nodes[parent - first]
    if own and node.agent not in (agent, ""):
        return UnseenContext(problem, role, node.score, agent)
    line = _ancestors(nodes, first, node) if ancestors else ()
    children = (child for child in nodes[parent - first + 1 :] if child.parent == parent) if siblings else ()

    def best(of: Iterable[Node], most: int) -> tuple[Attempt, ...]:
        quotable = [one for one in of if one.program not in (None, node.program) and not _hidden(one, agent, own)]
        return tuple(attempt(one, feedback=feedback) for one in _best_first(quotable)[:most])

    return RefinementContext(
        problem, role, attempt(node, feedback=feedback), best(line, ancestors), best(children, siblings), agent
    )


def play_context(
    problem: PublicView,
    nodes: Sequence[Node],
    last: int,
    agent: str,
    role: str = "",
    *,
    own: bool = False,
    feedback: bool = True,
) -> PlayContext:
    """Return the context of a turn that leaves the choice of the parent to the agent.

    Args:
        problem: what may be seen of the problem.
        nodes: the nodes of the tree, in order of number; a seed node (number 0) comes first.
        last: the largest node number on offer.
        agent: who is asked.
        role: what is said of its role.
        own: whether the agent sees its own nodes and a seed node alone (`observe="own"`).
        feedback: whether facts about failing tests are given.
    """
    quotable = [node for node in nodes if node.program is not None and not _hidden(node, agent, own)]
    attempts = tuple(attempt(node, feedback=feedback) for node in _best_first(quotable)[:MAX_QUOTED])
    given = bool(nodes) and nodes[0].id == ROOT
    table = outline(nodes, own=agent if own else None)
    return PlayContext(problem, role, table, attempts, last, given, agent)


def _hidden(node: Node, agent: str, own: bool) -> bool:
    return own and node.agent not in (agent, "")


def _ancestors(nodes: Sequence[Node], first: int, node: Node) -> Iterable[Node]:
    while node.parent >= first:
        node = nodes[node.parent - first]
        yield node


def _best_first(nodes: Iterable[Node]) -> list[Node]:
    """Return nodes by score, newest first among equals, each program once."""
    ranked = sorted(nodes, key=lambda node: (-node.score, -node.id))
    return list({node.program: node for node in reversed(ranked)}.values())[::-1]
