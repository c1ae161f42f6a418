"""What a run folder says was run, and holds later runs to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from stat import S_ISDIR
from typing import Any, Final

from mars2_env.base.abilities import keeps
from mars2_env.base.checks import is_path
from mars2_env.base.journal import claim, read_claim
from mars2_env.errors import ConfigError, LogError, SandboxUnavailableError
from mars2_env.log import log_files, read_header
from mars2_env.sandbox import kind_of
from mars2_env.tasks import Task, identity_of, sandbox_of
from mars2_env.types import Identified, Policy

RUN_FILE: Final = "run.json"

Team = Policy | str | Mapping[str, Policy | str]


def _given(task: Task, team: Team) -> Mapping[str, Policy | str]:
    return team if isinstance(team, Mapping) else dict.fromkeys(task.agents, team)


def check_folder(out: str | Path | None) -> None:
    """Check that a run folder, if there is to be one, can be one.

    Raises:
        ConfigError: it is no path, or a file.
        LogError: the file system refuses it, such as for the length of its name.
    """
    if out is None:
        return
    if not is_path(out):
        raise ConfigError(f"rollout(out={out!r:.200}) is not a folder.")
    try:
        mode = os.stat(out).st_mode
    except (FileNotFoundError, NotADirectoryError):  # where it is to be made, that is tried and said
        return
    except OSError as error:
        raise LogError(
            f"rollout(out={os.fspath(out)!r:.200}) cannot be a run folder: {error.strerror}. Give another folder."
        ) from None
    if not S_ISDIR(mode):
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


def claim_run(
    out: Path,
    task: Task,
    team: Team,
    seed: int,
    in_flight: int,
    problems: Sequence[str],
    policies: Mapping[str, Policy] | None = None,
) -> None:
    """Write what is run into the run folder, or check that it holds the same run.

    A folder that was begun by an earlier version lacks some of it, and is not held to that. Several runs may each play
    a part of the problems: the folder's plan is all of them.

    Args:
        out: the run folder.
        task: what is played.
        team: who plays, as given.
        seed: the run's.
        in_flight: how many expansions of one tree may be open.
        problems: the ids of what is played.
        policies: who is seated; those built from specs that say what they are (`Identified`) are held to that too,
            since a bank or a checkpoint may change behind a spec.

    Raises:
        LogError: the folder holds another run; the message names the key, or the agent, that differs.
        PolicyError: a policy's `identity` is no text.
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
    identities = {
        agent: identity_of(policy)
        for agent, policy in (policies or {}).items()
        if isinstance(given[agent], str) and _is_identified(policy)
    }
    if identities:
        run["identities"] = identities
    # as earlier versions called a policy
    classes = {agent: type(policy).__qualname__ for agent, policy in given.items() if not isinstance(policy, str)}

    def wanted(found: dict[str, Any]) -> dict[str, Any]:
        # a file may move; its contents are in the hash
        same = {**run, "source": found.get("source"), "plan": found.get("plan")}
        same["identities"] = found.get("identities")  # held to below, in words of its own
        if "sandbox" not in found or kind is None:
            same["sandbox"] = found.get("sandbox")
        if isinstance(team := found.get("team"), dict):
            same["team"] = {
                agent: team[agent] if team.get(agent) == classes.get(agent, name) else name
                for agent, name in run["team"].items()
            }
        return same

    def joined(found: dict[str, Any]) -> dict[str, Any]:
        # last: what a policy is may depend on all else, such as on the problems
        _check_identities(out, found, run["team"], identities)
        planned = found.get("plan")
        return {**found, "plan": list(dict.fromkeys([*(planned if isinstance(planned, list) else ()), *problems]))}

    claim(out / RUN_FILE, run, wanted=wanted, joined=joined)


def _is_identified(policy: Policy) -> bool:
    return keeps(policy, Identified)


def _check_identities(out: Path, found: Mapping[str, Any], team: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Check that the policies of a team that is given by the same specs are those that began a run.

    Raises:
        LogError: one is another now; its agent is named.
    """
    begun, specs = found.get("identities"), found.get("team")
    if not isinstance(begun, dict) or not isinstance(specs, dict):
        return
    for agent, was in begun.items():
        if agent in now and specs.get(agent) == team.get(agent) and was != now[agent]:
            raise LogError(
                f"{out / RUN_FILE}: the policy of {agent}, {team[agent]!r:.200}, is another now: it was {was!r} and is "
                f"{now[agent]!r}. Put back what it was made of to resume, or use another output folder."
            )


def read_run(out: str | Path) -> dict[str, Any]:
    """Return what a run folder says was run.

    That is task, problems (their hash), source, team, seed, in_flight, plan (ids of the problems), sandbox (its kind)
    and identities (of policies that were given by specs, as far as they say what they are); one that an earlier version
    made lacks the last three.

    Raises:
        LogError: the folder holds no run.
    """
    if not (path := Path(out) / RUN_FILE).exists():
        raise LogError(f"{out} holds no run: {path} cannot be read.")
    return read_claim(path)
