"""Trees that teach nothing, left out and counted.

Where all nodes have one reward there is no advantage, and such trees only make batches smaller than they look.

Source: dynamic sampling of DAPO (arXiv 2503.14476), on trees in the place of groups.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Literal, TypeAlias, get_args

from mars2_env.log import Tree

LeftOut: TypeAlias = Literal["all_solved", "none_solved"]
LEFT_OUT: Final[tuple[LeftOut, ...]] = get_args(LeftOut)

FAULTS: Final = "tree ended by faults"
EMPTY: Final = "tree without nodes"
REASONS: Final[dict[LeftOut, str]] = {
    "all_solved": "tree in which all nodes solve the problem",
    "none_solved": "tree in which no node earns anything",
}


def reason_to_leave_out(tree: Tree, filtering: Collection[LeftOut]) -> str:
    """Return why a tree is not learnt from; "" if it is.

    Args:
        tree: the tree.
        filtering: `all_solved` leaves out trees whose nodes all have the full score, `none_solved` those whose nodes
            all have none (a part of a score teaches something).
    """
    if tree.ended in (None, "faults"):
        return FAULTS
    if not tree.nodes:
        return EMPTY
    scores = [node.score for node in tree.nodes]
    if "all_solved" in filtering and min(scores) >= 1:
        return REASONS["all_solved"]
    if "none_solved" in filtering and max(scores) <= 0:
        return REASONS["none_solved"]
    return ""


def kept_trees(trees: Sequence[Tree], filtering: Collection[LeftOut]) -> tuple[list[Tree], list[tuple[Tree, str]]]:
    """Return the trees that are learnt from, and the others, each with the reason."""
    reasons = [(tree, reason_to_leave_out(tree, filtering)) for tree in trees]
    return [tree for tree, why in reasons if not why], [(tree, why) for tree, why in reasons if why]
