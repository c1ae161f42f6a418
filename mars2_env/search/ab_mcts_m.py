"""AB-MCTS-M (mixed model, arXiv 2503.04412) without MCMC: two scales on a grid, everything else in closed form.

At a node, group j is its child j with all n_j scores of that child's subtree:

    y_ij ~ N(alpha_j, s_y)   alpha_j = mu + s_a z_j   mu ~ N(0.5, 0.2)   s_a ~ HalfNormal(0.2)   s_y ~ HalfNormal(0.3)

Given (s_a, s_y) all is Gaussian. With v_j = s_a^2 + s_y^2 / n_j, P = 1/0.2^2 + sum 1/v_j and
M = (0.5/0.2^2 + sum ybar_j / v_j) / P, the marginal likelihood of a cell of the grid is, up to a constant,

    ln w = ln prior - (N - J) ln s_y - SS_within / (2 s_y^2)
           - 1/2 sum ln v_j - 1/2 sum ybar_j^2 / v_j - 1/2 ln P + P M^2 / 2

An arm's draw takes a cell, then mu ~ N(M, 1/P), then alpha_j, then y_j; the arm of a new child has a fresh alpha. Arms
are drawn independently and the largest wins. The grid's smallest s_y is 0.01: equal scores would otherwise push it to
0, where the density has no bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from mars2_env.base.checks import one_of
from mars2_env.search.ab_mcts import Guidance, PendingMode, check_guidance, check_pending
from mars2_env.search.agents import Allowed, ucb_agent
from mars2_env.search.choice import Choice
from mars2_env.search.tree import ROOT, SearchTree, Triples

Floats = NDArray[np.float64]

MEAN: Final = 0.5
MEAN_SCALE: Final = 0.2
GROUP_SCALE: Final = 0.2
NOISE_SCALE: Final = 0.3
CELLS: Final = 32


def _half_normal_grid(scale: float, smallest: float) -> tuple[Floats, Floats]:
    """Return points of a half-normal, geometrically spaced, and the logarithm of the prior mass around each."""
    points = np.geomspace(smallest, 4 * scale, CELLS)
    return points, np.log(points) - points**2 / (2 * scale**2)  # density times width, which is in proportion to s


_GROUP, _LOG_GROUP = _half_normal_grid(GROUP_SCALE, 0.005)
_NOISE, _LOG_NOISE = _half_normal_grid(NOISE_SCALE, 0.01)
_S_A, _S_Y = (axis.ravel() for axis in np.meshgrid(_GROUP, _NOISE, indexing="ij"))
_LOG_PRIOR = (_LOG_GROUP[:, None] + _LOG_NOISE[None, :]).ravel()


def mixed_model(groups: Triples) -> tuple[Floats, Floats, Floats]:
    """Return the weight of each cell, and the mean M and precision P of mu in it.

    Args:
        groups: shape (J, 3), rows of (n, S, Q), one for each child.

    Returns:
        Three arrays of shape (cells,), the weights summing to 1.
    """
    n, total, squares = groups.T
    mean = total / n
    within = float(np.maximum(squares - n * mean**2, 0.0).sum())
    v = _S_A[:, None] ** 2 + _S_Y[:, None] ** 2 / n
    precision = 1 / MEAN_SCALE**2 + (1 / v).sum(axis=1)
    centre = (MEAN / MEAN_SCALE**2 + (mean / v).sum(axis=1)) / precision
    log_weight = (
        _LOG_PRIOR
        - (n.sum() - len(n)) * np.log(_S_Y)
        - within / (2 * _S_Y**2)
        - 0.5 * np.log(v).sum(axis=1)
        - 0.5 * (mean**2 / v).sum(axis=1)
        - 0.5 * np.log(precision)
        + 0.5 * precision * centre**2
    )
    weight = np.exp(log_weight - log_weight.max())
    return weight / weight.sum(), centre, precision


def draw_arms(rng: np.random.Generator, groups: Triples, new: int = 1) -> Floats:
    """Draw one value for each group, and then one for each of `new` groups without scores; shape (J + new,)."""
    weight, centre, precision = mixed_model(groups)
    arms = len(groups) + new
    cell = rng.choice(len(weight), size=arms, p=weight)
    s_a, s_y = _S_A[cell], _S_Y[cell]
    mu = rng.normal(centre[cell], 1 / np.sqrt(precision[cell]))
    n = np.append(groups[:, 0], np.zeros(new))
    total = np.append(groups[:, 1], np.zeros(new))
    alpha_precision = 1 / s_a**2 + n / s_y**2
    alpha = rng.normal((mu / s_a**2 + total / s_y**2) / alpha_precision, 1 / np.sqrt(alpha_precision))
    drawn: Floats = rng.normal(alpha, s_y)
    return drawn


def arm_densities(groups: Triples, arms: Sequence[int], at: Floats) -> Floats:
    """Return the density of what `draw_arms` draws, over the cells of the grid.

    In a cell y_j is normal: with A = 1/s_a^2 + n_j / s_y^2 its mean is (M / s_a^2 + S_j / s_y^2) / A, its variance
    1 / (P s_a^4 A^2) + 1/A + s_y^2; for a new group n and S are 0.

    Args:
        groups: as for `draw_arms`.
        arms: which arms, by place; from `len(groups)` on it is that of a new group.
        at: the values, shape (values,).

    Returns:
        Shape (arms, values).
    """
    weight, centre, precision = mixed_model(groups)
    counts = weight > 1e-6  # the cells left out have a thousandth of the mass at most
    s_a, s_y, weight, centre, precision = (one[counts] for one in (_S_A, _S_Y, weight, centre, precision))
    found = np.zeros((len(arms), len(at)))
    for place, arm in enumerate(arms):
        n, total = groups[arm, :2].tolist() if arm < len(groups) else (0.0, 0.0)
        alpha_precision = 1 / s_a**2 + n / s_y**2
        mean = (centre / s_a**2 + total / s_y**2) / alpha_precision
        variance = 1 / (precision * s_a**4 * alpha_precision**2) + 1 / alpha_precision + s_y**2
        away = (at[:, None] - mean) ** 2 / variance
        found[place] = (weight * np.exp(-0.5 * away) / np.sqrt(2 * math.pi * variance)).sum(axis=1)
    return found


def new_child(groups: Triples) -> tuple[float, float]:
    """Return mean and standard deviation of the score of a new child, over the cells of the grid.

    In a cell it is N(M, 1/P + s_a^2 + s_y^2).
    """
    weight, centre, precision = mixed_model(groups)
    mean = float(weight @ centre)
    variance = float(weight @ (1 / precision + _S_A**2 + _S_Y**2 + (centre - mean) ** 2))
    return mean, math.sqrt(variance)


def mixed_agent(rng: np.random.Generator, triples: Triples, allowed: Allowed = None) -> int:
    """Return the agent with the largest draw by the same model, group j being the scores of agent j's nodes.

    An agent without nodes is a new group. Of those that are not allowed, none is returned.
    """
    tried = triples[:, 0] > 0
    drawn = draw_arms(rng, triples[tried], int((~tried).sum()))
    value = np.empty(len(triples))
    value[tried], value[~tried] = drawn[: tried.sum()], drawn[tried.sum() :]
    return int((value if allowed is None else np.where(allowed, value, -np.inf)).argmax())


@dataclass(frozen=True, slots=True)
class AbMctsM:
    """AB-MCTS-M (arXiv 2503.04412).

    Attributes:
        agents: how the agent is chosen: `thompson` (a draw by the mixed model, `mixed_agent`) or `ucb`.
        guidance: depth guidance (T+), or none; the scale is the standard deviation of a new child's score.
        pending: what an expansion in flight counts as: `mean` (the mean of a new child's score at this moment), `loss`
            or `none`, the exact law. It counts in the subtrees that it is in, and for its agent; at its own parent it
            is no child yet.
    """

    name: ClassVar[str] = "ab_mcts_m"
    agents: Literal["thompson", "ucb"] = "thompson"
    guidance: Guidance | None = None
    pending: PendingMode = "mean"

    def __post_init__(self) -> None:
        check_pending(self.pending)
        check_guidance(self.guidance)
        one_of("agents", self.agents, ("thompson", "ucb"), where="ab_mcts_m")

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Walk down while an existing child's draw beats a new one's, and return where the walk stops."""
        node = ROOT
        while tree.child_count(node):
            groups = tree.child_triples(node)
            arms = draw_arms(rng, groups)
            if self.guidance is not None:
                arms[-1] = self.guidance.weigh(float(arms[-1]), new_child(groups)[1], tree, node)
            arm = int(np.argmax(arms))
            if arm == len(groups):
                break
            node = tree.child(node, arm)
        if self.agents == "ucb":
            return Choice(node, ucb_agent(tree.agent_stats, tree.allowed))
        return Choice(node, mixed_agent(rng, tree.agent_stats, tree.allowed))

    def pending_score(self, tree: SearchTree, choice: Choice) -> float | None:
        """Return the score that a choice stands in for while it is in flight, in [0, 1]."""
        if self.pending != "mean":
            return None if self.pending == "none" else 0.0
        mean, _ = new_child(tree.child_triples(choice.parent))
        return min(max(mean, 0.0), 1.0)
