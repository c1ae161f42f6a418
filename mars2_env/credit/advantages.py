"""Group advantages: rewards against those that they are fairly compared with."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from mars2_env.base.checks import one_of, real_number
from mars2_env.credit.arrays import Bools, Floats, Numbers, as_labels, as_rewards, group_means, outside
from mars2_env.errors import ConfigError

Estimator: TypeAlias = Literal["group_norm", "dr_grpo", "rloo", "none"]
ESTIMATORS: Final[tuple[Estimator, ...]] = get_args(Estimator)

Scope: TypeAlias = Literal["tree", "agent_in_tree", "agent", "agent_kind", "problem", "batch"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

EPSILON: Final = 1e-9
ROUNDING: Final = 1e-6
"""Rewards that differ by no more than this, of their size, are equal: some are sums of float32, such as a model's."""


def scope_groups(
    scope: Scope,
    trees: Sequence[Hashable],
    agents: Sequence[Hashable],
    fresh: Sequence[bool],
    *,
    problems: Sequence[Hashable] | None = None,
) -> list[tuple[Hashable, ...]]:
    """Return a label for each node: those with equal labels are normalised together.

    Args:
        scope: `tree`, all nodes of a tree whoever wrote them (MARS2, arXiv 2604.14564); `agent_in_tree`, each agent's
            nodes in a tree, so that no agent's mean can drift; `agent`, each agent's nodes in the whole batch (Dr.MAS,
            arXiv 2602.08847); `agent_kind`, each agent's fresh nodes in a tree, and its refinements in it (AT-GRPO,
            arXiv 2510.11062, which compares what was asked alike); `problem`, all nodes of all trees of a problem in
            the batch (MAGRPO, arXiv 2508.04652, compares the returns of a team's plays of one problem); `batch`, all
            nodes (REINFORCE++, arXiv 2501.03262).
        trees: the tree of each node.
        agents: the agent of each node.
        fresh: whether each node is a child of the root.
        problems: the problem of each node; needed for `problem`.

    Raises:
        ConfigError: the scope is unknown, or there is not one of each for every node.
    """
    one_of("scope", scope, SCOPES, where="scope_groups")
    if not len(trees) == len(agents) == len(fresh):
        raise ConfigError(f"scope_groups: {len(trees)} trees, {len(agents)} agents, {len(fresh)} fresh; one each.")
    if scope == "tree":
        return [(tree,) for tree in trees]
    if scope == "agent":
        return [(agent,) for agent in agents]
    if scope == "agent_in_tree":
        return list(zip(trees, agents, strict=True))
    if scope == "batch":
        return [()] * len(trees)
    if scope == "problem":
        if problems is None or len(problems) != len(trees):
            raise ConfigError("scope_groups(scope='problem') needs problems=..., the problem of each node.")
        return [(problem,) for problem in problems]
    return [(tree, agent, bool(new)) for tree, agent, new in zip(trees, agents, fresh, strict=True)]


def advantages(
    rewards: Numbers,
    groups: Sequence[Hashable],
    *,
    estimator: Estimator = "group_norm",
    mask: Sequence[bool] | Bools | None = None,
    clip: float | None = 10.0,
) -> Floats:
    """Return the advantage of each node within its group.

    `group_norm` is (r - mean) / (std + 1e-9) with n - 1 in the variance (GRPO, arXiv 2402.03300); `dr_grpo` is r - mean
    (arXiv 2503.20783); `rloo` is r minus the mean of the others (arXiv 2402.14740). A group of one, and one of equal
    rewards, have 0 exactly. `none` is r itself, whatever its group: for rewards that are advantages already, such as
    those of `c3` and `tree_rl`.

    Args:
        rewards: of each node, shaped and with the penalty on length.
        groups: the label of each node's group, such as `scope_groups` returns.
        estimator: one of the four.
        mask: which nodes count, all by default; the others are left out of every mean and have 0.
        clip: the largest size of an advantage; None for no limit.

    Raises:
        ConfigError: a reward that counts is not finite, or the arguments do not fit.
    """
    where = "advantages"
    one_of("estimator", estimator, ESTIMATORS, where=where)
    raw, counts = as_rewards(rewards, mask, where)
    labels = as_labels(groups, len(raw), "groups", where)
    if clip is not None:
        real_number("clip", clip, above=0, where=where)
    means, numbers = group_means(raw, labels, counts)
    found = raw - means
    if estimator == "none":
        found = raw
    elif estimator == "rloo":
        found = raw - outside(raw, labels, counts)[0]
    elif estimator == "group_norm":
        squares, _ = group_means((raw - means) ** 2, labels, counts)
        spread = np.sqrt(squares * numbers / np.maximum(numbers - 1, 1))
        found = found / (spread + EPSILON)
    if estimator != "none":
        found = np.where(counts & (numbers > 1) & ~_constant(raw, labels, counts), found, 0.0)
    return found if clip is None else np.clip(found, -clip, clip)


def _constant(values: Floats, labels: np.ndarray, counts: Bools) -> Bools:
    """Return for each node whether all of its group that count are equal, which rounding must not decide."""
    size = int(labels.max()) + 1 if len(labels) else 0
    least, most = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(least, labels[counts], values[counts])
    np.maximum.at(most, labels[counts], values[counts])
    near = most - least <= ROUNDING * np.maximum(1.0, np.abs(np.where(np.isfinite(most), most, 0.0)))
    return np.asarray(near[labels], dtype=bool)


def rae(
    rewards: Numbers,
    agents: Sequence[Hashable],
    baselines: Mapping[Hashable, float],
    *,
    decay: float = 0.95,
) -> tuple[Floats, dict[Hashable, float]]:
    """Return each node's reward minus its agent's running mean, and the running means as they stand afterwards.

    Nodes are taken in order; each is compared with the mean before it, which starts at 0: EMA <- decay EMA +
    (1 - decay) r.

    Source: role-conditioned advantage estimation (arXiv 2506.24119).

    Args:
        rewards: of each node.
        agents: the agent of each.
        baselines: each agent's running mean so far; one that is not in it begins at 0.
        decay: how slowly the means move, in [0, 1]; 1 leaves them where they are.

    Raises:
        ConfigError: a reward is not finite, or the arguments do not fit.
    """
    real_number("decay", decay, least=0, most=1, where="rae")
    raw, _ = as_rewards(rewards, None, "rae")
    as_labels(agents, len(raw), "agents", "rae")
    means = dict(baselines)
    found = np.zeros(len(raw))
    for place, (agent, reward) in enumerate(zip(agents, raw.tolist(), strict=True)):
        before = means.get(agent, 0.0)
        found[place] = reward - before
        means[agent] = decay * before + (1 - decay) * reward
    return found, means
