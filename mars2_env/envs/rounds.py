"""Tasks of games in rounds, whose budget PettingZoo's module style gives as `max_cycles`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mars2_env.tasks import Task, task


def task_in_rounds(id: str, api: str, max_cycles: int | None, overrides: Mapping[str, Any]) -> Task:
    """Return a task whose budget is `max_cycles` rounds of its agents; its own budget where that is None."""
    options: dict[str, Any] = {**overrides, "api": api}
    if max_cycles is None:
        return task(id, **options)
    return task(id, **{**options, "budget": max_cycles * len(task(id, **options).agents)})
