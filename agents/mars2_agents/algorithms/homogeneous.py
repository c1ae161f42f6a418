"""Homogeneous MARS2: several agents in one tree, all played by one set of weights.

Source: MARTI-MARS2 (arXiv 2602.07848), the paradigm between RS2 and heterogeneous MARS2. The credit is that of the
whole tree, so that all that differs from RS2 is who is asked, with which role.
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


def homogeneous(
    *,
    gamma: float = 0.5,
    mix: float = 0.5,
    scope: Scope = "tree",
    estimator: Estimator = "group_norm",
    credit: str | NodeCredit = "shaping",
    duplicates: Duplicates = "mask",
    **how: Unpack[ObjectiveOptions],
) -> Algorithm:
    """Return MARS2 for several agents of one policy.

    Args:
        gamma: of shaping; 0 for none.
        mix: of shaping: the share of the siblings in the baseline.
        scope: what is normalised together: `tree`, the papers'; `agent_in_tree` compares each role with itself.
        estimator: how.
        credit: what takes the place of shaping (`mars2_env.credit.Credit`); `rae`, with `none` for an estimator,
            compares each role with its own running mean.
        duplicates: `mask`, or `keep`, as the papers do.
        **how: options of `objective`; the surrogate is `grpo` by default.
    """
    options: ObjectiveOptions = {"surrogate": "grpo", **how}
    loss = objective(**options)
    by = Credit(gamma=gamma, mix=mix, scope=scope, estimator=estimator, credit=credit, duplicates=duplicates)

    def algorithm(trees: Sequence[Tree], crew: Crew) -> Mapping[str, Lesson]:
        return lessons(trees, crew, by, loss, reference=needs_reference(options))

    return remembering(algorithm, by)
