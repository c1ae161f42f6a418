"""Who expands: choices among agents by the scores of the nodes they wrote."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mars2_env.search.posteriors import FEW, Posterior, posterior_draws
from mars2_env.search.tree import Triple, Triples

Allowed: TypeAlias = NDArray[np.bool_] | None
"""Which agents may be chosen, shape (agents,); None: all of them."""


def thompson_agent(
    triples: Triples | Sequence[Triple],
    rng: np.random.Generator,
    family: Posterior | Sequence[Posterior],
    allowed: Allowed = None,
) -> int:
    """Return the agent with the largest draw from its posterior, of those that are allowed.

    Every agent has its draw, so that the draws of the others do not depend on who is allowed.

    Args:
        triples: shape (agents, 3), or so many rows of (n, S, Q): the scores of the nodes that each agent wrote.
        rng: the source of randomness.
        family: one posterior family for all agents, or one each (their priors differ).
        allowed: who may be chosen.
    """
    if len(triples) > FEW and not isinstance(family, Sequence):
        drawn = posterior_draws(rng, family, np.asarray(triples))
        return int((drawn if allowed is None else np.where(allowed, drawn, -np.inf)).argmax())
    rows: Sequence[Triple] = triples.tolist() if isinstance(triples, np.ndarray) else triples
    families = family if isinstance(family, Sequence) else [family] * len(rows)
    draws = [one.draw(rng, *row) for one, row in zip(families, rows, strict=True)]
    if allowed is not None:
        draws = [draw if may else -math.inf for draw, may in zip(draws, allowed.tolist(), strict=True)]
    return draws.index(max(draws))


def ucb_agent(triples: Triples, allowed: Allowed = None) -> int:
    """Return the agent with the largest mean + sqrt(2) * sqrt(ln N / n) (UCB1); untried ones first, in order.

    N counts the nodes of every agent; only those that are `allowed` are chosen from.
    """
    agents = np.arange(len(triples)) if allowed is None else np.flatnonzero(allowed)
    n, total, _ = triples[agents].T
    if not n.all():
        return int(agents[np.argmin(n > 0)])
    best = np.argmax(total / n + math.sqrt(2) * np.sqrt(math.log(triples[:, 0].sum()) / n))
    return int(agents[best])
