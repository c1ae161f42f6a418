"""RS2: one agent grows a tree of its own programs, and learns by how each did against its parent and its siblings.

Source: MARS2 (arXiv 2604.14564), reinforced search for a single agent: tree-consistent shaping, then the group
advantage over all nodes of the tree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

from mars2_agents.algorithms.by_policy import lessons
from mars2_agents.algorithms.lesson import Algorithm, Crew, Lesson
from mars2_agents.algorithms.objective import ObjectiveOptions, needs_reference, objective
from mars2_env.credit import Credit
from mars2_env.credit.samples import Duplicates
from mars2_env.log import Tree


def rs2(
    *, gamma: float = 0.5, mix: float = 0.5, duplicates: Duplicates = "mask", **how: Unpack[ObjectiveOptions]
) -> Algorithm:
    """Return RS2.

    Args:
        gamma: how much of what a node has above its baseline is added to its reward; 0 shapes nothing.
        mix: the share of the siblings in that baseline, the paper's lambda.
        duplicates: `mask`, or `keep`, as the papers do.
        **how: options of `objective`; the surrogate is `grpo` by default.
    """
    options: ObjectiveOptions = {"surrogate": "grpo", **how}
    loss = objective(**options)
    credit = Credit(gamma=gamma, mix=mix, scope="tree", duplicates=duplicates)

    def algorithm(trees: Sequence[Tree], crew: Crew) -> Mapping[str, Lesson]:
        return lessons(trees, crew, credit, loss, reference=needs_reference(options))

    return algorithm
