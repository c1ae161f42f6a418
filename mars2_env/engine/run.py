"""What a run folder says was run, and holds later runs to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from mars2_env.base.journal import claim, read_claim
from mars2_env.errors import ConfigError, LogError, SandboxUnavailableError
from mars2_env.log import log_files, read_header
from mars2_env.sandbox import kind_of
from mars2_env.tasks import Task, identity_of, sandbox_of
from mars2_env.types import Policy

RUN_FILE: Final = "run.json"

Team = Policy | str | Mapping[str, Policy | str]


def _given(task: Task, team: Team) -> Mapping[str, Policy | str]:
    return team if isinstance(team, Mapping) else dict.fromkeys(task.agents, team)


def check_folder(out: str | Path | None) -> None:
    """Check that a run folder, if there is to be one, can be one.

    Raises:
        ConfigError: it is no path, or a file.
    """
    if out is None:
        return
    if not isinstance(out, str | os.PathLike) or not os.fspath(out):
        raise ConfigError(f"rollout(out={out!r:.200}) is not a folder.")
    if Path(out).exists() and not Path(out).is_dir():
        raise ConfigError(f"rollout(out={os.fspath(out)!r:.200}) is a file; give a folder for the run.")


def on_its_sandbox(task: Task, out: str | Path | None) -> Task:
    """Return a task whose sandbox is `auto` on the kind of sandbox that its run folder was begun with.

    Where nothing was begun, `auto` takes what it takes, and the task is returned as it is.

    Args:
        task: the task.
        out: the run folder, if there is one.

    Raises:
        ConfigError: the folder is none.
        SandboxUnavailableError: the kind that the folder was begun with cannot be had now.
    """
    check_folder(out)
    if task.sandbox != "auto" or out is None or (kind := _begun_with(Path(out))) is None:
        return task
    task = replace(task, sandbox=kind)
    try:
        sandbox_of(task)
    except SandboxUnavailableError as error:
        raise SandboxUnavailableError(
            f"{out} was begun in {kind}, and one run stays in one kind of sandbox: {error} Or begin anew in another "
            "output folder."
        ) from error
    return task


def _begun_with(out: Path) -> str | None:
    """Return the kind of sandbox that a run folder was begun with, if it says so: itself, or by a log in it."""
    if (out / RUN_FILE).exists() and isinstance(kind := read_claim(out / RUN_FILE).get("sandbox"), str):
        return kind_of(kind)
    headers = (read_header(path) for path in log_files(out))
    return next((kind_of(header.sandbox) for header in headers if header is not None), None)


def _kind(task: Task) -> str | None:
    """Return the kind of sandbox that a task names, `auto` being what it took; None for one of the caller's own."""
    if task.sandbox != "auto":
        return task.sandbox if isinstance(task.sandbox, str) else None
    return kind_of(sandbox_of(task).identity)


def claim_run(out: Path, task: Task, team: Team, seed: int, in_flight: int, problems: Sequence[str]) -> None:
    """Write what is run into the run folder, or check that it holds the same run.

    A folder that was begun by an earlier version lacks some of it, and is not held to that. Several runs may each play
    a part of the problems: the folder's plan is all of them.
    """
    given = _given(task, team)
    run: dict[str, Any] = {
        "task": task.config(),
        "problems": task.problems.hash,
        "source": dict(task.source),
        "team": {agent: policy if isinstance(policy, str) else identity_of(policy) for agent, policy in given.items()},
        "seed": seed,
        "in_flight": in_flight,
        "plan": list(problems),
    }
    if (kind := _kind(task)) is not None:
        run["sandbox"] = kind
    # as earlier versions called a policy
    classes = {agent: type(policy).__qualname__ for agent, policy in given.items() if not isinstance(policy, str)}

    def wanted(found: dict[str, Any]) -> dict[str, Any]:
        # a file may move; its contents are in the hash
        same = {**run, "source": found.get("source"), "plan": found.get("plan")}
        if "sandbox" not in found or kind is None:
            same["sandbox"] = found.get("sandbox")
        if isinstance(team := found.get("team"), dict):
            same["team"] = {
                agent: team[agent] if team.get(agent) == classes.get(agent, name) else name
                for agent, name in run["team"].items()
            }
        return same

    def joined(found: dict[str, Any]) -> dict[str, Any]:
        planned = found.get("plan")
        return {**found, "plan": list(dict.fromkeys([*(planned if isinstance(planned, list) else ()), *problems]))}

    claim(out / RUN_FILE, run, wanted=wanted, joined=joined)


def read_run(out: str | Path) -> dict[str, Any]:
    """Return what a run folder says was run.

    That is task, problems (their hash), source, team, seed, in_flight, plan (ids of the problems) and sandbox (its
    kind); one that an earlier version made lacks the last two.

    Raises:
        LogError: the folder holds no run.
    """
    if not (path := Path(out) / RUN_FILE).exists():
        raise LogError(f"{out} holds no run: {path} cannot be read.")
    return read_claim(path)
