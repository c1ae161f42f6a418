"""The order of problems: an epoch is a keyed shuffle, a step is a part of an epoch."""

from __future__ import annotations

from collections.abc import Sequence

from mars2_env.base.checks import whole_number
from mars2_env.base.keys import generator
from mars2_env.errors import ConfigError


def steps_of_epoch(problems: int, at_a_time: int) -> int:
    """Return how many steps go once through so many problems.

    Raises:
        ConfigError: a step takes more problems than there are.
    """
    whole_number("problems", at_a_time, where="train")
    if at_a_time > problems:
        raise ConfigError(
            f"train(problems={at_a_time} a step): there are {problems} problems to train on, and a step grows one tree "
            f"of each at most; give at most {problems}."
        )
    return -(-problems // at_a_time)


def problems_of(step: int, ids: Sequence[str], at_a_time: int, seed: int) -> list[str]:
    """Return the problems of a step, counted from 0; a function of its arguments, so that nothing is to be remembered.

    Every epoch takes each problem once, in an order of its own. Its steps are of almost one size, and none reaches into
    the next epoch, so that no step has a problem twice.

    Args:
        step: which.
        ids: all problems.
        at_a_time: the most problems of a step.
        seed: of the training.

    Raises:
        ConfigError: a step takes more problems than there are.
    """
    parts = steps_of_epoch(len(ids), at_a_time)
    epoch, part = divmod(step, parts)
    order = generator("order of problems", seed, epoch).permutation(len(ids))
    return [ids[place] for place in order[part * len(ids) // parts : (part + 1) * len(ids) // parts]]
