"""The `place` game in PettingZoo's module style: `env()`, `raw_env()` and `parallel_env()`."""

from __future__ import annotations

from typing import Any, Unpack

from pettingzoo import AECEnv
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from mars2_env.envs.aec import TreeSearchAEC
from mars2_env.envs.parallel import TreeSearchParallel
from mars2_env.envs.rounds import task_in_rounds
from mars2_env.tasks import TaskOptions


def raw_env(
    task: str = "mars2/StarterPlace-v0", *, max_cycles: int | None = None, **overrides: Unpack[TaskOptions]
) -> TreeSearchAEC:
    """Make the bare AEC environment; `max_cycles` is the budget in rounds."""
    return TreeSearchAEC(task_in_rounds(task, "aec", max_cycles, overrides))


def env(task: str = "mars2/StarterPlace-v0", **overrides: Unpack[TaskOptions]) -> AECEnv[str, Any, Any]:
    """Make the AEC environment in PettingZoo's order-enforcing wrapper."""
    return OrderEnforcingWrapper(raw_env(task, **overrides))


def parallel_env(
    task: str = "mars2/StarterPlace-v0", *, max_cycles: int | None = None, **overrides: Unpack[TaskOptions]
) -> TreeSearchParallel:
    """Make the Parallel environment; `max_cycles` is the budget in rounds."""
    return TreeSearchParallel(task_in_rounds(task, "parallel", max_cycles, overrides))
