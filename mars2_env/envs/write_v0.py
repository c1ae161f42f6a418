"""The `write` game in PettingZoo's module style: `env()` and `raw_env()`. It is AEC only."""

from __future__ import annotations

from typing import Any, Unpack

from pettingzoo import AECEnv
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from mars2_env.envs.aec import TreeSearchAEC
from mars2_env.tasks import TaskOptions
from mars2_env.tasks import task as _task  # `raw_env` has an argument of that name


def raw_env(
    task: str = "mars2/Starter-v0", *, max_cycles: int | None = None, **overrides: Unpack[TaskOptions]
) -> TreeSearchAEC:
    """Make the bare AEC environment; `max_cycles` is the budget in nodes."""
    if max_cycles is not None:
        overrides["budget"] = max_cycles
    return TreeSearchAEC(_task(task, **overrides))


def env(task: str = "mars2/Starter-v0", **overrides: Unpack[TaskOptions]) -> AECEnv[str, Any, Any]:
    """Make the AEC environment in PettingZoo's order-enforcing wrapper."""
    return OrderEnforcingWrapper(raw_env(task, **overrides))
