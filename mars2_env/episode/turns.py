"""Turns, made from a state when they are served: frozen plain data that can go to a server or another machine.

A turn whose place a selector picked has its prompt. One that leaves the choice to its agent carries what it takes to
fill in any place on offer (`Places`): the tree as it stood when it was asked for, as far as the agent may see it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from mars2_env.episode.luck import child_key, path_of, seed_of
from mars2_env.prompt import Prompts, RefinementContext, place_context
from mars2_env.prompt.contexts import REPLY_TAIL
from mars2_env.types import Node, Outcome, Turn, Verdict


def quotable(node: Node, *, feedback: bool = True) -> Node:
    """Return a node as far as prompts may ever speak of it.

    That is without its reply, but for the end of one that holds no program, without tokens, and with one outcome for
    each group of tests: that of a group which is never quoted is one bit.

    Args:
        node: the node.
        feedback: whether prompts tell how programs fail.
    """
    verdict = node.verdict
    groups: dict[str, tuple[Outcome, ...]] = {}
    if verdict.settled is None:
        if verdict.groups.get("public"):
            groups["public"] = (verdict.group("public").outcome,)
        if groups.get("public", ("passed",)) == ("passed",):
            groups["scoring"] = ("passed" if verdict.passed else "wrong_answer",)
    return replace(
        node,
        reply=node.reply.rstrip()[-REPLY_TAIL:] if node.program is None else "",
        verdict=Verdict(groups, verdict.settled, verdict.feedback if feedback else None),
        generation=None,
    )


def hidden(node: Node) -> Node:
    """Return of a node what the partially observed game shows of others': place, author and score."""
    return Node(node.id, node.parent, node.depth, node.agent, "", None, Verdict(), node.score)


def as_seen(nodes: Iterable[Node], agent: str, *, own: bool) -> tuple[Node, ...]:
    """Return nodes as an agent may see them; `own`: others' but for what is not `hidden`."""
    if not own:
        return tuple(nodes)
    return tuple(node if node.agent in (agent, "") else hidden(node) for node in nodes)


def placed(turn: Turn, parent: int, seed: int, nodes: Sequence[Node], role: str, prompts: Prompts, own: bool) -> Turn:
    """Return a turn at a place: with the prompt, the seed, and the parent's program and feedback.

    Args:
        turn: the turn.
        parent: the node to expand; 0 is the root.
        seed: of the child.
        nodes: the nodes when it was asked for, in order of number, a seed node (number 0) first.
        role: what is said of the agent's role.
        prompts: how it is asked.
        own: whether it sees its own nodes alone.
    """
    context = place_context(
        turn.problem,
        nodes,
        parent,
        turn.agent,
        role,
        own=own,
        feedback=prompts.feedback,
        ancestors=prompts.ancestors,
        siblings=prompts.siblings,
    )
    shown = nodes[parent - nodes[0].id] if isinstance(context, RefinementContext) else None
    return replace(
        turn,
        parent=parent,
        seed=seed,
        messages=prompts.messages(context),
        program=None if shown is None else shown.program,
        feedback=None if shown is None or not prompts.feedback else shown.verdict.feedback,
        places=None,
    )


@dataclass(frozen=True, slots=True)
class Places:
    """Fills in the place of a turn that leaves the choice to its agent; plain data.

    Attributes:
        nodes: the nodes when it was asked for, as the agent may see them, a seed node (number 0) first.
        keys: the key of each node, from the root.
        paths: what `Turn.path` is made of, likewise.
        role: what prompts say of the agent's role.
        prompts: how the agent is asked.
        own: whether it sees its own nodes alone.
    """

    nodes: tuple[Node, ...]
    keys: tuple[int, ...]
    paths: tuple[int, ...]
    role: str
    prompts: Prompts
    own: bool

    def __call__(self, turn: Turn, parent: int) -> Turn:
        """Return the turn at a parent on offer; the prompt is about the tree as it stood when the turn was asked for.

        The seed is that of the agent's next child there, as of then.
        """
        ordinal = sum(node.parent == parent and node.agent == turn.agent for node in self.nodes)
        seed = seed_of(child_key(self.keys[parent], turn.agent, ordinal))
        turn = replace(turn, path=path_of(self.paths[parent]), child=ordinal)
        return placed(turn, parent, seed, self.nodes, self.role, self.prompts, self.own)

    def __getstate__(self) -> tuple[Any, ...]:
        """Pack the nodes: programs of one tree are much alike."""
        packed = zlib.compress(msgspec.msgpack.encode(self.nodes))
        return packed, self.keys, self.paths, self.role, self.prompts, self.own

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Unpack the nodes."""
        packed, *others = state
        nodes = msgspec.msgpack.decode(zlib.decompress(packed), type=tuple[Node, ...])
        for name, value in zip(("nodes", "keys", "paths", "role", "prompts", "own"), (nodes, *others), strict=True):
            object.__setattr__(self, name, value)
