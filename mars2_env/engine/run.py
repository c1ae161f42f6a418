"""What a run folder says was run, and holds later runs to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mars2_env.base.journal import claim, read_claim
from mars2_env.errors import LogError
from mars2_env.tasks import Task
from mars2_env.types import Policy

RUN_FILE: Final = "run.json"


def _team_names(task: Task, team: Policy | str | Mapping[str, Policy | str]) -> dict[str, str]:
    given = team if isinstance(team, Mapping) else dict.fromkeys(task.agents, team)
    return {agent: p if isinstance(p, str) else type(p).__qualname__ for agent, p in given.items()}


def claim_run(
    out: Path, task: Task, team: Policy | str | Mapping[str, Policy | str], seed: int, in_flight: int
) -> None:
    """Write what is run into the run folder, or check that it holds the same run."""
    run = {
        "task": task.config(),
        "problems": task.problems.hash,
        "source": dict(task.source),
        "team": _team_names(task, team),
        "seed": seed,
        "in_flight": in_flight,
    }
    # a file may move; its contents are in the hash
    claim(out / RUN_FILE, run, wanted=lambda found: {**run, "source": found.get("source")})


def read_run(out: str | Path) -> dict[str, Any]:
    """Return what a run folder says was run: task, problems (hash), source, team, seed, in_flight.

    Raises:
        LogError: the folder holds no run.
    """
    if not (path := Path(out) / RUN_FILE).exists():
        raise LogError(f"{out} holds no run: {path} cannot be read.")
    return read_claim(path)
