"""Environments as an algorithm gets them: training problems only, and every expansion counted against its budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import numpy as np

from mars2_bench.suite.named import Named
from mars2_bench.suite.playing import Vector
from mars2_env.errors import PolicyError

LEARNING: Final = "train"
"""The split that is learned from."""

_FREE: Final = ("pass", "cancelled")
"""Outcomes of turns that are no expansions: an agent let it pass, or came when the budget was spent."""


class BudgetSpentError(PolicyError):
    """Learning is over: another step could take more expansions than there are left."""


class Meter:
    """Counts expansions, and stops who would take more than allowed.

    Attributes:
        budget: how many are allowed; None: any number.
        spent: how many there were.
    """

    def __init__(self, budget: int | None) -> None:
        """Begin at 0."""
        self.budget, self.spent = budget, 0

    def allow(self, most: int) -> None:
        """Say whether a step may be taken that comes to so many expansions at most.

        Raises:
            BudgetSpentError: it may not.
        """
        if self.budget is not None and self.spent + most > self.budget:
            raise BudgetSpentError(
                f"{self.spent:,} expansions of a budget of {self.budget:,} are spent, and a step may take {most:,}: "
                "return before, or tell what plays after each update."
            )


def metered(named: Named, meter: Meter) -> Named:
    """Return an environment whose vectors are of training problems alone, and count what they expand."""
    return cast(Named, _Metered(named, meter))


class _Metered:
    """A `Named` in all else."""

    def __init__(self, named: Named, meter: Meter) -> None:
        self._named, self._meter = named, meter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._named, name)

    def task(self, split: str = LEARNING, **overrides: Any) -> Any:
        """Return the task on training problems."""
        return self._named.task(_only_learning(split), **overrides)

    def make_vec(self, num_envs: int, *, split: str = LEARNING, **options: Any) -> Vector:
        """Return a vector that is counted."""
        envs = self._named.make_vec(num_envs, split=_only_learning(split), **options)
        step, most = envs.step, num_envs * (1 if self._named.game == "route" else len(self._named.agents))

        def counted(actions: Any) -> Any:
            self._meter.allow(most)
            found = step(actions)
            self._meter.spent += expansions(found[-1])
            return found

        vars(envs)["step"] = counted
        return envs


def _only_learning(split: str) -> str:
    if split != LEARNING:
        raise PolicyError(f"split={split!r}: an algorithm learns from the split {LEARNING!r}, and from no other.")
    return split


def expansions(infos: Mapping[str, Any]) -> int:
    """Return how many expansions a step of a vector came to, by its infos; a pass is none."""
    if "action_mask" in infos or "outcome" in infos:
        return _of_one(infos)
    return sum(_of_one(info) for info in infos.values())


def _of_one(info: Mapping[str, Any]) -> int:
    """Return the expansions that one agent's infos tell of, those of trees that ended included."""
    count = 0
    for part in (info, info.get("final_info", {})):
        if "outcome" in part:
            count += int((part["_outcome"] & ~np.isin(part["outcome"].astype(str), _FREE)).sum())
    return count
