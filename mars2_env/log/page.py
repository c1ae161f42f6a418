"""A tree for notebooks: one line a node, children indented below their parents, which opens to the node's program."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

from mars2_env.base.markup import escaped, folded
from mars2_env.types import Node

MOST_NODES: Final = 200
"""How many nodes are shown; a notebook is kept with all that its cells ever showed."""

_DEEPEST: Final = 40
"""From this depth on, nodes are indented alike: a chain would run out of the page."""


_frames: list[Callable[[Any, str], str]] = []


def show_trees_by(frame: Callable[[Any, str], str]) -> None:
    """Have notebooks show trees in another way from now on; the viewer, which stands above this room, does so.

    Args:
        frame: from a tree, and from its list as HTML, to the HTML that is shown.
    """
    _frames[:] = [frame]


def shown(tree: Any, plain: str) -> str:
    """Return what notebooks show of a tree, given its list as HTML."""
    return _frames[0](tree, plain) if _frames else plain


def tree_html(heading: str, nodes: Sequence[Node], root: Node | None = None) -> str:
    """Return a tree as HTML.

    Args:
        heading: the line above it.
        nodes: in order of number, from 1.
        root: the seed node of a repair problem.
    """
    lines = [_line(node) for node in by_place(nodes)[:MOST_NODES]]
    if root is not None:
        lines.insert(0, folded(f"#0 given {root.verdict.outcome} {root.score:.2f}", root.program or ""))
    if len(nodes) > MOST_NODES:
        lines.append(f"<p>and {len(nodes) - MOST_NODES:d} more nodes</p>")
    return f"<div><p><b>{escaped(heading)}</b></p>{''.join(lines)}</div>"


def by_place(nodes: Sequence[Node]) -> list[Node]:
    """Return nodes with every child below its parent, siblings by number."""
    children: defaultdict[int, list[Node]] = defaultdict(list)
    for node in nodes:
        children[node.parent].append(node)
    found: list[Node] = []
    stack = children[0][::-1]
    while stack:
        found.append(stack.pop())
        stack.extend(children[found[-1].id][::-1])
    return found


def _line(node: Node) -> str:
    copy = "" if node.duplicate_of is None else f" = #{node.duplicate_of}"
    summary = f"#{node.id} {node.agent} {node.verdict.outcome}{copy} {node.score:.2f}"
    return folded(summary, node.reply if node.program is None else node.program, indent=min(node.depth - 1, _DEEPEST))
