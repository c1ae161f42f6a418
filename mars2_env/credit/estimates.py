"""Pass@k, and credit that aims at it."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np

from mars2_env.base.checks import whole_number
from mars2_env.credit.arrays import Floats
from mars2_env.errors import ConfigError


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the chance that of k samples, drawn from n of which c pass, at least one passes: 1 - C(n-c, k) / C(n, k).

    Source: Chen et al., Evaluating large language models trained on code (arXiv 2107.03374), equation 1.

    Args:
        n: how many samples there are.
        c: how many of them pass.
        k: how many are drawn, at most n.

    Raises:
        ConfigError: not 0 <= c <= n, or not 1 <= k <= n.
    """
    whole_number("n", n, where="pass_at_k")
    whole_number("c", c, least=0, most=n, where="pass_at_k")
    whole_number("k", k, most=n, where="pass_at_k")
    return 1.0 - comb(n - c, k) / comb(n, k)


def pkpo(passed: Sequence[bool] | np.ndarray, k: int) -> Floats:
    """Return rewards whose policy gradient is, without bias, that of Pass@k.

    A sample that passed gets k / n; one that did not, k / n times the Pass@(k-1) of the others.

    Source: PKPO (arXiv 2505.15201).

    Args:
        passed: whether each of the n samples of one problem passed.
        k: at most n.

    Raises:
        ConfigError: `passed` is not one truth value a sample, or k is not in 1..n.
    """
    flags = np.asarray(passed)
    if flags.ndim != 1 or not np.isin(flags, (0, 1)).all():
        raise ConfigError(f"pkpo(passed={passed!r:.200}): give true or false for each sample.")
    n, right = len(flags), int(flags.sum())
    whole_number("k", k, most=max(n, 1), where="pkpo")
    others = pass_at_k(n - 1, right, k - 1) if k > 1 and right < n else 0.0
    found: Floats = np.where(flags.astype(bool), 1.0, others) * (k / n if n else 0.0)
    return found
