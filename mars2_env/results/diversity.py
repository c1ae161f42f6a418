"""How different programs are: short functions over classes, in which equal things share a number, and similarities.

What is equal is the caller's to say: equal programs, equal shapes (`mars2_env.results.shapes`), equal behaviour
(`mars2_env.results.answers.alike`). The papers have a language model judge which programs are of one algorithm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import comb

import numpy as np

from mars2_env.errors import ConfigError
from mars2_env.results.paired import Floats


def sizes(classes: Sequence[Hashable]) -> list[int]:
    """Return how many things each class has, the largest first."""
    return sorted(Counter(classes).values(), reverse=True)


def da_at_k(classes: Sequence[Hashable], k: int) -> float:
    """Return DA@K: how many distinct algorithms k of n programs have, on average over the choices of k.

    sum_m (1 - C(n - s_m, k) / C(n, k)), with s_m the size of class m (Lee et al. 2025, "How Diversely Can Language
    Models Solve Problems?", arXiv 2503.00691; the rarefaction of Hurlbert 1971, Ecology 52, 577).

    Args:
        classes: the class of each program.
        k: how many are chosen, from 1 to n.

    Raises:
        ConfigError: there are not so many programs.
    """
    n = len(classes)
    if not 1 <= k <= n:
        raise ConfigError(f"da_at_k(k={k}): k must be from 1 to the number of programs, {n}.")
    return sum(1 - comb(n - size, k) / comb(n, k) for size in sizes(classes))


def effective_algorithms(classes: Sequence[Hashable]) -> float:
    """Return EA, the effective number of algorithms: exp(-sum_m p_m ln p_m), with p_m the share of class m.

    As many equally frequent classes would have the same entropy (Lee et al. 2025, arXiv 2503.00691; Hill's number of
    order 1, Hill 1973, Ecology 54, 427). It grows with n: compare at equal numbers of programs.
    """
    shares = np.array(sizes(classes)) / len(classes)
    return float(np.exp(-(shares * np.log(shares)).sum()))


def nauadc(classes: Sequence[Hashable], k: int) -> float:
    """Return NAUADC, the normalised area under the curve of DA@1 ... DA@k: 1 where all are of one class.

    (1 / (k - 1)) * sum_{j=1}^{k-1} (DA@j + DA@{j+1}) / 2, the trapezoidal rule (Lee et al. 2025, arXiv 2503.00691).

    Raises:
        ConfigError: k is below 2, or there are not so many programs.
    """
    if k < 2:
        raise ConfigError(f"nauadc(k={k}): an area needs at least 2 programs.")
    curve = np.array([da_at_k(classes, j) for j in range(1, k + 1)])
    return float(((curve[1:] + curve[:-1]) / 2).sum() / (k - 1))


def distinct_k(classes: Sequence[Hashable], k: int) -> int:
    """Return distinct_k: how many classes the first k generations have, |{c_1, ..., c_k}|.

    (Zhang et al. 2025, "NoveltyBench", arXiv 2504.05228.)
    """
    return len({*classes[:k]})


def utility_k(classes: Sequence[Hashable], utilities: Sequence[float], k: int, patience: float = 0.8) -> float:
    """Return utility_k: what the first k generations are worth to who sees them one by one and wants news.

    (1 - p) / (1 - p^k) * sum_{i=1}^{k} p^(i-1) * [c_i is new] * u_i, with patience p: how likely another one is asked
    for (Zhang et al. 2025, "NoveltyBench", arXiv 2504.05228; p = 0.8 there).

    Args:
        classes: c_i.
        utilities: u_i; here 1 for a program that passes the hidden tests, else 0.
        k: how many count, at least 1.
        patience: p, above 0 and below 1.

    Raises:
        ConfigError: k or the patience makes no sense.
    """
    if k < 1 or not 0 < patience < 1:
        raise ConfigError(f"utility_k(k={k}, patience={patience}): k is at least 1, and patience above 0 and below 1.")
    seen: set[Hashable] = set()
    total = 0.0
    for place, (one, utility) in enumerate(zip(classes[:k], utilities, strict=False)):
        total += patience**place * utility * (one not in seen)
        seen.add(one)
    return (1 - patience) / (1 - patience**k) * total


def vendi_score(similarity: Floats) -> float:
    """Return the Vendi score: exp(-sum_i l_i ln l_i), with l_i the eigenvalues of K / n.

    The effective number of different things among n: 1 where all are alike, n where none is like another (Friedman and
    Dieng 2023, TMLR, arXiv 2210.02410). Of classes (K_ij is 1 within one, else 0) it is `effective_algorithms`.

    Args:
        similarity: K, shape (n, n): symmetric, positive semidefinite, with ones on the diagonal.
    """
    values = np.linalg.eigvalsh(similarity / len(similarity))
    values = values[values > 1e-12]  # 0 ln 0 = 0, and rounding makes some a little negative
    return float(np.exp(-(values * np.log(values)).sum()))


def subsets(count: int, k: int, rng: np.random.Generator, *, draws: int) -> list[list[int]]:
    """Return subsets of k of `count` places, to average over what has no closed form: all of it where k is the count.

    Each is in the order of the places.
    """
    if k == count:
        return [list(range(count))]
    return [sorted(rng.choice(count, size=k, replace=False).tolist()) for _ in range(draws)]
