"""GRPO: independent samples of each problem, compared with each other.

Trees are of one level, as the selector `repeated_sampling` grows them: the group of a program is its tree. In trees of
other selectors the refinements are left out.

Source: DeepSeekMath (arXiv 2402.03300), equation 3. Programs that a group has twice are left out of it by default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

from mars2_agents.algorithms.by_policy import lessons
from mars2_agents.algorithms.lesson import Algorithm, Crew, Lesson
from mars2_agents.algorithms.objective import ObjectiveOptions, needs_reference, objective
from mars2_env.credit import Credit
from mars2_env.credit.advantages import Estimator
from mars2_env.credit.samples import Duplicates
from mars2_env.log import Tree


def grpo(
    *, estimator: Estimator = "group_norm", duplicates: Duplicates = "mask", **how: Unpack[ObjectiveOptions]
) -> Algorithm:
    """Return GRPO.

    Args:
        estimator: `group_norm`; `dr_grpo` and `rloo` are those of Dr. GRPO and RLOO.
        duplicates: `mask`, or `keep`, as the paper does.
        **how: options of `objective`; the surrogate is `grpo` by default.
    """
    options: ObjectiveOptions = {"surrogate": "grpo", **how}
    loss = objective(**options)
    credit = Credit(gamma=0.0, scope="tree", estimator=estimator, duplicates=duplicates)

    def algorithm(trees: Sequence[Tree], crew: Crew) -> Mapping[str, Lesson]:
        return lessons(trees, crew, credit, loss, reference=needs_reference(options), fresh=True)

    return algorithm
