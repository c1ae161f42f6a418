"""Trees and samples that teach nothing, left out and counted.

Where all nodes have one reward there is no advantage, and such trees only make batches smaller than they look.

Source: dynamic sampling of DAPO (arXiv 2503.14476), on trees in the place of groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, TypeAlias, get_args

from mars2_agents.learners.updating import trainable
from mars2_env.credit import Sample
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


def kept_samples(samples: Sequence[Sample], context: int | None = None) -> tuple[list[Sample], Mapping[str, int]]:
    """Return the samples that an update takes, in order, and why how many of the others are not taken.

    A program that its tree had already has, unless its algorithm's `Credit` keeps duplicates, an advantage of 0 that
    says nothing of it, and would only thin the means of a loss.

    Args:
        samples: of one policy.
        context: the most tokens of a sample; None for no limit.
    """
    left: Counter[str] = Counter()
    fitting = []
    for sample in samples:
        if sample.duplicate and not sample.imitated and sample.advantage == 0:
            left["duplicate"] += 1
        elif context is not None and len(sample.prompt_ids) + len(sample.completion_ids) > context:
            left["longer than the model's context"] += 1
        else:
            fitting.append(sample)
    kept, without = trainable(fitting, keep_duplicates=True)
    left.update(without)
    return kept, dict(left)
