"""Posteriors over the score that the next expansion will bring, and draws from them (AB-MCTS, arXiv 2503.04412).

A posterior sees a multiset of scores only through n = count, S = sum and Q = sum of squares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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

    def scale(self, triple: Triples) -> float | None:
        """Return the scale of the posterior of one row, shape (1, 3); None where draws are never negative."""
        ...

    def mean(self, triple: Triples) -> float:
        """Return the mean of the posterior of one row, shape (1, 3)."""
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

    def scale(self, triple: Triples) -> None:
        """Return None: draws are in [0, 1]."""

    def mean(self, triple: Triples) -> float:
        """Return (a0 + S) / (a0 + b0 + n)."""
        n, s, _ = triple[0]
        return float((self.a0 + s) / (self.a0 + self.b0 + n))


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Normal with a normal-inverse-chi-square prior (AB-MCTS-A, gaussian)."""

    m0: float = 0.0
    k0: float = 1.0
    v0: float = 1.0
    t0: float = 0.1

    def draw(self, rng: np.random.Generator, triples: Triples) -> Draws:
        """Draw m + sqrt(t / k) * student_t(v) for each row of (n, S, Q); returns shape (k,)."""
        m, scale, v = self.parameters(triples)
        draws: Draws = m + scale * rng.standard_t(v)
        return draws

    def scale(self, triple: Triples) -> float:
        """Return sqrt(t / k)."""
        return float(self.parameters(triple)[1][0])

    def mean(self, triple: Triples) -> float:
        """Return m."""
        return float(self.parameters(triple)[0][0])

    def parameters(self, triples: Triples) -> tuple[Draws, Draws, Draws]:
        """Return m, sqrt(t / k) and v for each row of (n, S, Q), each of shape (rows,).

        k = k0 + n, v = v0 + n, m = (k0 m0 + S) / k,
        t = [v0 t0 + (Q - n ybar^2) + n k0 (m0 - ybar)^2 / k] / v.
        """
        n, s, q = triples.T
        ybar = s / np.maximum(n, 1.0)
        k, v = self.k0 + n, self.v0 + n
        m = (self.k0 * self.m0 + s) / k
        within = np.maximum(q - n * ybar**2, 0.0)  # rounding can leave it just below 0
        t = (self.v0 * self.t0 + within + n * self.k0 * (self.m0 - ybar) ** 2 / k) / v
        return m, np.sqrt(t / k), v


def posterior(name: str) -> Posterior:
    """Return the posterior family with this name: `beta` or `gaussian`, with the published priors."""
    if name == "beta":
        return Beta()
    if name == "gaussian":
        return Gaussian()
    raise ConfigError(f"unknown posterior {name!r}. Known: beta, gaussian.")


def with_mean(family: Posterior, mean: float) -> Posterior:
    """Return a family whose prior expects this mean score: Beta(mean, 1 - mean), or m0 = mean.

    Raises:
        ConfigError: the mean is not between 0 and 1.
    """
    if not 0 < mean < 1:
        raise ConfigError(f"a prior mean of {mean!r} is not between 0 and 1.")
    if isinstance(family, Beta):
        return Beta(mean, 1 - mean)
    if isinstance(family, Gaussian):
        return replace(family, m0=mean)
    raise ConfigError(f"{family!r} has no prior mean that could be set.")
