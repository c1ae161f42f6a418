"""Rewards before they are normalised: tree-consistent shaping and the penalty on overlong replies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mars2_env.base.checks import real_number, said
from mars2_env.credit.arrays import Bools, Floats, Ints, Numbers, as_parents, as_rewards, outside
from mars2_env.errors import ConfigError


def tree_shaping(
    parents: Sequence[int] | Ints,
    rewards: Numbers,
    *,
    gamma: float = 0.5,
    mix: float = 0.5,
    mask: Sequence[bool] | Bools | None = None,
    root_reward: float | None = None,
) -> Floats:
    """Return tree-consistent rewards: what a node has above what its parent and its siblings led to expect.

    For a node v with parent p and siblings S(v), the other children of p,

        b(v) = (1 - mix) r(p) + mix mean_{u in S(v)} r(u),    shaped r(v) = r(v) + gamma (r(v) - b(v)),

    all r being raw rewards. A child of the root has no parent's reward, and takes the siblings' mean alone; an only
    child of a program takes the parent's reward alone; an only child of the root is not shaped.

    Source: MARS2 (arXiv 2604.14564), tree-consistent reward shaping; its lambda is `mix`.

    Args:
        parents: the number of each node's parent, 0 being the root; nodes count from 1 in the order of expansion.
        rewards: the raw reward of each node.
        gamma: how much of the difference is added.
        mix: the share of the siblings in the baseline, in [0, 1].
        mask: which nodes count, all by default. One that does not, such as a duplicate, is left out of its siblings'
            means and is not shaped; as a parent it counts. One without a reward may have nan, and has 0 then.
        root_reward: the raw reward of the root's program, in a repair problem.

    Raises:
        ConfigError: parents or rewards do not tell a tree, or a number is out of its range.
    """
    where = "tree_shaping"
    real_number("gamma", gamma, least=0, where=where)
    real_number("mix", mix, least=0, most=1, where=where)
    raw, counts = as_rewards(rewards, mask, where)
    rewarded = np.isfinite(np.array(rewards, dtype=np.float64))
    raw = np.where(rewarded, np.array(rewards, dtype=np.float64), 0.0)
    above = as_parents(parents, len(raw), where)
    if root_reward is not None:
        real_number("root_reward", root_reward, where=where)
    siblings, others = outside(raw, above, counts)
    known = np.concatenate(([root_reward is not None], rewarded))
    of_parent = np.concatenate(([root_reward or 0.0], raw))[above]
    has_parent, has_siblings = known[above], others > 0
    both = (1 - mix) * of_parent + mix * siblings
    baseline = np.where(has_parent & has_siblings, both, np.where(has_parent, of_parent, siblings))
    shaped = raw + gamma * (raw - baseline)
    return np.where(counts & (has_parent | has_siblings), shaped, raw)


def overlong_penalty(lengths: Sequence[int] | Ints, *, max_length: int, buffer: int, factor: float = 1.0) -> Floats:
    """Return what is added to the shaped reward of each reply for its length: 0, or below 0 within the last tokens.

    With L_e = max_length - buffer, a reply of L > L_e tokens gets -min(L - L_e, buffer) / buffer * factor.

    Source: DAPO (arXiv 2503.14476), soft overlong punishment; MARS2 names it.

    Args:
        lengths: the completion tokens of each reply.
        max_length: the most tokens of a reply.
        buffer: within how many last tokens the penalty grows from 0 to `factor`.
        factor: the penalty of a reply of `max_length` tokens and more.

    Raises:
        ConfigError: a number is out of its range.
    """
    where = "overlong_penalty"
    real_number("buffer", buffer, above=0, where=where)
    real_number("max_length", max_length, above=0, where=where)
    if max_length < buffer:
        raise ConfigError(
            f"{said('max_length', max_length, where)}: must be at least the buffer, {buffer}, within whose last tokens "
            f"the penalty grows; give buffer={max_length} or less, or a larger max_length."
        )
    real_number("factor", factor, least=0, where=where)
    over, _ = as_rewards(np.asarray(lengths, dtype=np.float64) - (max_length - buffer), None, where)
    return 0.0 - np.clip(over, 0, buffer) / buffer * factor
