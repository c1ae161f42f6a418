"""A tree as a short readable table: what observations and prompts show of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias
from weakref import ref

from mars2_env.types import Node

MAX_ROWS = 64

Row: TypeAlias = tuple[str, ...]
_rows: dict[tuple[int, bool], tuple[ref[Node], Row]] = {}
"""Cells by the identity of their node, and whether its outcome is seen; they go when the node does."""


def best_node(nodes: Sequence[Node]) -> Node | None:
    """Return the node with the highest score, ties to the latest; None if there is no node."""
    return max(nodes, key=lambda node: (node.score, node.id), default=None)


def outline(nodes: Sequence[Node], *, max_rows: int = MAX_ROWS, own: str | None = None) -> str:
    """Return a table of the nodes: id, parent, depth, agent, outcome, score.

    At most `max_rows` nodes are shown: the newest, and the best one; a line says how many are left out. With `own`, the
    outcomes of other agents' nodes are not shown (the partially observed game): only place, author and score. A seed
    node, which nobody wrote, comes with `-` for parent and agent.
    """
    if not nodes:
        return "The tree is empty: only the root, node 0, is there."
    shown = list(nodes[-max_rows:])
    best = best_node(nodes)
    if best is not None and len(nodes) > max_rows and best.id < shown[0].id:
        shown = [best, *shown[1:]]
    rows: list[Row] = [("node", "parent", "depth", "agent", "outcome", "score")]
    rows += [_row(node, own is None or node.agent in (own, "")) for node in shown]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if len(nodes) > len(shown):
        lines.append(f"({len(nodes) - len(shown)} older nodes are not shown)")
    return "\n".join(lines)


def _row(node: Node, seen: bool) -> Row:
    """Return the cells of a node, made once for each: trees are shown again and again, and their nodes never change."""
    key = (id(node), seen)
    found = _rows.get(key)
    if found is not None and found[0]() is node:
        return found[1]
    outcome = node.verdict.outcome if seen else "-"
    mark = f" = {node.duplicate_of}" if node.duplicate_of is not None and seen else ""
    parent, agent = (str(node.parent), node.agent) if node.id else ("-", "-")
    row = (str(node.id), parent, str(node.depth), agent, outcome + mark, f"{node.score:.2f}")
    _rows[key] = ref(node, lambda _: _rows.pop(key, None)), row
    return row
