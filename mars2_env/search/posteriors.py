"""Posteriors over the score that the next expansion will bring, and draws from them (AB-MCTS, arXiv 2503.04412).

A posterior sees a multiset of scores only through n = count, S = sum and Q = sum of squares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mars2_env.errors import ConfigError
from mars2_env.search.tree import Triples

Draws = NDArray[np.float64]


class Posterior(Protocol):
    """A family of posteriors, one per row of (n, S, Q)."""

    def draw(self, rng: np.random.Generator, triples: Triples) -> Draws:
        """Draw one value for each row.

        Args:
            rng: the source of randomness.
            triples: shape (k, 3), rows of (n, S, Q).

        Returns:
            Shape (k,), float64.
        """
        ...


@dataclass(frozen=True, slots=True)
class Beta:
    """Beta(a0 + S, b0 + n - S): scores in [0, 1] count as that share of a success (AB-MCTS-A, beta)."""

    a0: float = 0.5
    b0: float = 0.5

    def draw(self, rng: np.random.Generator, triples: Triples) -> Draws:
        """Draw from Beta(a0 + S, b0 + n - S) for each row of (n, S, Q); returns shape (k,)."""
        n, s = triples[:, 0], triples[:, 1]
        return rng.beta(self.a0 + s, self.b0 + np.maximum(n - s, 0.0))


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Normal with a normal-inverse-chi-square prior (AB-MCTS-A, gaussian)."""

    m0: float = 0.0
    k0: float = 1.0
    v0: float = 1.0
    t0: float = 0.1

    def draw(self, rng: np.random.Generator, triples: Triples) -> Draws:
        """Draw m + sqrt(t / k) * student_t(v) for each row of (n, S, Q); returns shape (k,).

        k = k0 + n, v = v0 + n, m = (k0 m0 + S) / k,
        t = [v0 t0 + (Q - n ybar^2) + n k0 (m0 - ybar)^2 / k] / v.
        """
        n, s, q = triples.T
        ybar = s / np.maximum(n, 1.0)
        k, v = self.k0 + n, self.v0 + n
        m = (self.k0 * self.m0 + s) / k
        within = np.maximum(q - n * ybar**2, 0.0)  # rounding can leave it just below 0
        t = (self.v0 * self.t0 + within + n * self.k0 * (self.m0 - ybar) ** 2 / k) / v
        draws: Draws = m + np.sqrt(t / k) * rng.standard_t(v)
        return draws


def posterior(name: str) -> Posterior:
    """Return the posterior family with this name: `beta` or `gaussian`, with the published priors."""
    if name == "beta":
        return Beta()
    if name == "gaussian":
        return Gaussian()
    raise ConfigError(f"unknown posterior {name!r}. Known: beta, gaussian.")
