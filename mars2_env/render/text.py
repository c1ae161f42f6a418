"""A tree as text for people: nested, one line a node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from mars2_env.base.texts import printable, printable_line
from mars2_env.types import Node

__all__ = ["printable", "printable_line", "tree_text"]


def tree_text(problem: str, nodes: Sequence[Node], *, spent: int, budget: int) -> str:
    """Return a nested picture of a tree: node, agent, outcome and score, children below their parents.

    `nodes` may begin with a seed node (number 0), which is then named in the first line.
    """
    children: defaultdict[int, list[Node]] = defaultdict(list)
    for node in nodes:
        children[node.parent].append(node)
    given = "".join(f"  #0 given {root.verdict.outcome} {root.score:.2f}" for root in children[-1])
    lines = [f"{printable_line(problem)}  [{spent}/{budget}]{given}"]
    stack = [(node, "", last) for node, last in _with_last(children[0])]
    while stack:
        node, indent, last = stack.pop()
        repeat = f" = #{node.duplicate_of}" if node.duplicate_of is not None else ""
        lines.append(
            f"{indent}{'`-' if last else '|-'} #{node.id} {printable_line(node.agent)} {node.verdict.outcome}{repeat} "
            f"{node.score:.2f}"
        )
        deeper = indent + ("   " if last else "|  ")
        stack.extend((child, deeper, at_end) for child, at_end in _with_last(children[node.id]))
    return "\n".join(lines)


def _with_last(nodes: Sequence[Node]) -> list[tuple[Node, bool]]:
    """Pair each node with whether it is the last, in reverse order, as a stack wants them."""
    return [(node, index == len(nodes) - 1) for index, node in enumerate(nodes)][::-1]
