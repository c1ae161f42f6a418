"""MARS2+: MARS2 with one ratio a sequence, a penalty on overlong replies, and weights that mend the sampler's doubt.

Source: MARTI-MARS2 (arXiv 2602.07848), MARS2+; GSPO (arXiv 2507.18071), the penalty of DAPO (arXiv 2503.14476),
truncated importance sampling; the k3 divergence from the reference with coefficient 1e-3 is a choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

from mars2_agents.algorithms.by_policy import lessons
from mars2_agents.algorithms.lesson import Algorithm, Crew, Lesson
from mars2_agents.algorithms.objective import ObjectiveOptions, needs_reference, objective
from mars2_env.credit import Credit, Scope
from mars2_env.credit.samples import Duplicates
from mars2_env.log import Tree


def mars2_plus(
    *,
    gamma: float = 0.5,
    mix: float = 0.5,
    scope: Scope = "tree",
    duplicates: Duplicates = "mask",
    max_length: int | None = None,
    buffer: int = 2048,
    factor: float = 1.0,
    **how: Unpack[ObjectiveOptions],
) -> Algorithm:
    """Return MARS2+ for any crew.

    Args:
        gamma: of shaping; 0 for none.
        mix: of shaping: the share of the siblings in the baseline.
        scope: what is normalised together.
        duplicates: `mask`, or `keep`, as the papers do.
        max_length: the most tokens of a reply, from which the penalty counts back; None for no penalty.
        buffer: within how many last tokens it grows.
        factor: that of the longest reply.
        **how: options of `objective`; by default the surrogate is `gspo` with importance weights cut at 2.
    """
    options: ObjectiveOptions = {"surrogate": "gspo", "tis": 2.0, **how}
    loss = objective(**options)
    credit = Credit(
        gamma=gamma,
        mix=mix,
        scope=scope,
        duplicates=duplicates,
        max_length=max_length,
        buffer=buffer,
        factor=factor,
    )

    def algorithm(trees: Sequence[Tree], crew: Crew) -> Mapping[str, Lesson]:
        return lessons(trees, crew, credit, loss, reference=needs_reference(options))

    return algorithm
