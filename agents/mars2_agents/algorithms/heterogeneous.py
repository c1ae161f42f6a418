"""Heterogeneous MARS2: several sets of weights in one tree, each learning what its own agents wrote.

Source: MARTI-MARS2 (arXiv 2602.07848) and MARS2 (arXiv 2604.14564): tree-consistent shaping across agents, the group
advantage over all nodes of the tree whoever wrote them, a batch for each policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

from mars2_agents.algorithms.by_policy import lessons
from mars2_agents.algorithms.lesson import Algorithm, Crew, Lesson
from mars2_agents.algorithms.objective import ObjectiveOptions, needs_reference, objective
from mars2_agents.algorithms.remembering import remembering
from mars2_env.credit import Credit, Estimator, NodeCredit, Scope
from mars2_env.credit.samples import Duplicates
from mars2_env.log import Tree


def heterogeneous(
    *,
    gamma: float = 0.5,
    mix: float = 0.5,
    scope: Scope = "tree",
    estimator: Estimator = "group_norm",
    credit: str | NodeCredit = "shaping",
    duplicates: Duplicates = "mask",
    **how: Unpack[ObjectiveOptions],
) -> Algorithm:
    """Return MARS2 for several policies.

    Args:
        gamma: of shaping; 0 for none.
        mix: of shaping: the share of the siblings in the baseline.
        scope: what is normalised together: `tree`, the papers'; `agent_in_tree`, where no agent's mean can drift.
        estimator: how.
        credit: what takes the place of shaping (`mars2_env.credit.Credit`).
        duplicates: `mask`, or `keep`, as the papers do.
        **how: options of `objective`; the surrogate is `grpo` by default.
    """
    options: ObjectiveOptions = {"surrogate": "grpo", **how}
    loss = objective(**options)
    by = Credit(gamma=gamma, mix=mix, scope=scope, estimator=estimator, credit=credit, duplicates=duplicates)

    def algorithm(trees: Sequence[Tree], crew: Crew) -> Mapping[str, Lesson]:
        return lessons(trees, crew, by, loss, reference=needs_reference(options))

    return remembering(algorithm, by)
