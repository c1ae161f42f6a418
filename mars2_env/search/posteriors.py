"""Posteriors over the score that the next expansion will bring, and draws from them (AB-MCTS, arXiv 2503.04412).

A posterior sees a multiset of scores only through n = count, S = sum and Q = sum of squares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mars2_env.errors import ConfigError

Values = TypeVar("Values", float, NDArray[np.float64])
"""A number, or an array for several posteriors at once: the same formula serves for both."""


class Posterior(Protocol):
    """A family of posteriors: one for each (n, S, Q)."""

    def draw(self, rng: np.random.Generator, n: Values, s: Values, q: Values) -> Values:
        """Draw one value from the posterior, or from each where n, s and q are arrays of one shape.

        Drawing for an array takes from `rng` what drawing for its entries in order would.
        """
        ...

    def scale(self, n: float, s: float, q: float) -> float | None:
        """Return the scale of the posterior; None where draws are never negative."""
        ...

    def mean(self, n: float, s: float, q: float) -> float:
        """Return the mean of the posterior."""
        ...


@dataclass(frozen=True, slots=True)
class Beta:
    """Beta(a0 + S, b0 + n - S): scores in [0, 1] count as that share of a success (AB-MCTS-A, beta)."""

    a0: float = 0.5
    b0: float = 0.5

    def draw(self, rng: np.random.Generator, n: Values, s: Values, q: Values) -> Values:
        """Draw from Beta(a0 + S, b0 + n - S)."""
        return rng.beta(self.a0 + s, self.b0 + (n - s))

    def scale(self, n: float, s: float, q: float) -> None:
        """Return None: draws are in [0, 1]."""

    def mean(self, n: float, s: float, q: float) -> float:
        """Return (a0 + S) / (a0 + b0 + n)."""
        return (self.a0 + s) / (self.a0 + self.b0 + n)


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Normal with a normal-inverse-chi-square prior (AB-MCTS-A, gaussian)."""

    m0: float = 0.0
    k0: float = 1.0
    v0: float = 1.0
    t0: float = 0.1

    def draw(self, rng: np.random.Generator, n: Values, s: Values, q: Values) -> Values:
        """Draw m + sqrt(t / k) * student_t(v)."""
        m, scale, v = self.parameters(n, s, q)
        return m + scale * rng.standard_t(v)

    def scale(self, n: float, s: float, q: float) -> float:
        """Return sqrt(t / k)."""
        return self.parameters(n, s, q)[1]

    def mean(self, n: float, s: float, q: float) -> float:
        """Return m."""
        return self.parameters(n, s, q)[0]

    def parameters(self, n: Values, s: Values, q: Values) -> tuple[Values, Values, Values]:
        """Return m, sqrt(t / k) and v.

        k = k0 + n, v = v0 + n, m = (k0 m0 + S) / k, and
        t = [v0 t0 + (Q - n ybar^2) + n k0 (m0 - ybar)^2 / k] / v = [v0 t0 + Q + k0 m0^2 - k m^2] / v.
        """
        k, v = self.k0 + n, self.v0 + n
        m = (self.k0 * self.m0 + s) / k
        t = (self.v0 * self.t0 + q + self.k0 * self.m0**2 - k * m * m) / v
        return m, (t / k) ** 0.5, v


_BETA = Beta()
_GAUSSIAN = Gaussian()

FEW = 16
"""Up to so many posteriors, drawing from one after the other is faster than numpy's drawing for arrays (measured)."""


def posterior_draws(rng: np.random.Generator, family: Posterior, triples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw one value for each row (n, S, Q), in order; shape (rows,)."""
    if len(triples) <= FEW:
        return np.array([family.draw(rng, n, s, q) for n, s, q in triples.tolist()])
    n, s, q = triples.T
    return family.draw(rng, n, s, q)


def posterior(name: str) -> Posterior:
    """Return the posterior family with this name: `beta` or `gaussian`, with the published priors."""
    if name == "beta":
        return _BETA
    if name == "gaussian":
        return _GAUSSIAN
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
