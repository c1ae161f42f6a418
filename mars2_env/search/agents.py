"""Who expands: choices among agents by the scores of the nodes they wrote."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mars2_env.search.posteriors import Posterior
from mars2_env.search.tree import Triples


def thompson_agent(triples: Triples, rng: np.random.Generator, family: Posterior | Sequence[Posterior]) -> int:
    """Return the agent with the largest draw from its posterior.

    Args:
        triples: shape (agents, 3), rows of (n, S, Q): the scores of the nodes that each agent wrote.
        rng: the source of randomness.
        family: one posterior family for all agents, or one each (their priors differ).
    """
    if isinstance(family, Sequence):
        draws = [float(one.draw(rng, triples[[agent]])[0]) for agent, one in enumerate(family)]
        return int(np.argmax(draws))
    return int(np.argmax(family.draw(rng, triples)))


def ucb_agent(triples: Triples) -> int:
    """Return the agent with the largest mean + sqrt(2) * sqrt(ln N / n) (UCB1); untried ones first, in order."""
    n, total, _ = triples.T
    if not n.all():
        return int(np.argmin(n > 0))
    return int(np.argmax(total / n + math.sqrt(2) * np.sqrt(math.log(n.sum()) / n)))
