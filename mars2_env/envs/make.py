"""Environments made from tasks, and the ids that PettingZoo and Gymnasium know them by."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias, Unpack

import gymnasium
import pettingzoo
from gymnasium.vector import AutoresetMode
from pettingzoo import AECEnv, ParallelEnv

from mars2_env import tasks
from mars2_env.base.checks import instance, one_of
from mars2_env.envs.aec import TreeSearchAEC
from mars2_env.envs.parallel import TreeSearchParallel
from mars2_env.envs.single import TreeSearchRoute
from mars2_env.envs.vector import RoundsVector, RouteVector
from mars2_env.errors import ConfigError
from mars2_env.problems import ProblemSet
from mars2_env.tasks import GAMES, TASKS, Task, TaskOptions, add_task
from mars2_env.tasks import task as _task  # `make` has an argument of that name

_ID: Final = re.compile(r"([\w.-]+/)?[\w:.-]+")  # as PettingZoo has it

Env: TypeAlias = AECEnv[str, Any, Any] | ParallelEnv[str, Any, Any] | gymnasium.Env[Any, Any]


def make(task: str | ProblemSet | Task = "mars2/Starter-v0", **overrides: Unpack[TaskOptions]) -> Env:
    """Make an environment: PettingZoo's AEC, its Parallel with `api="parallel"`, Gymnasium's in the game `route`.

    Args:
        task: as the first argument of `mars2_env.task`.
        **overrides: as in `mars2_env.task`; any override clears `env.spec.id`.

    Raises:
        ConfigError: the task makes no sense.
        SandboxUnavailableError: no sandbox can be had on this machine; the message says what to do.
    """
    found = _task(task, **overrides)
    kinds: dict[str, Callable[[Task], Env]] = {
        "aec": TreeSearchAEC,
        "parallel": TreeSearchParallel,
        "gymnasium": TreeSearchRoute,
    }
    return kinds[found.api](found)


def make_vec(
    task: str | ProblemSet | Task = "mars2/StarterRoute-v0",
    num_envs: int = 1,
    *,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    **overrides: Unpack[TaskOptions],
) -> RouteVector | RoundsVector:
    """Make many environments as one: they share one sandbox and its generators, and their judging overlaps.

    Args:
        task: as the first argument of `mars2_env.task`.
        num_envs: how many environments.
        autoreset_mode: when an environment whose episode is over begins the next: "NextStep", "SameStep", "Disabled".
        **overrides: as in `mars2_env.task`.

    Returns:
        A `gymnasium.vector.VectorEnv` for the game `route`, a `RoundsVector` for `api="parallel"`.

    Raises:
        ConfigError: the task makes no sense, or has `api="aec"`, which has no vector form.
        SandboxUnavailableError: no sandbox can be had on this machine; the message says what to do.
    """
    found = _task(task, **overrides)
    if found.api == "aec":
        raise ConfigError(
            f"make_vec(game={found.rules.game!r}, api='aec'): agents that act one after the other have no vector form; "
            "use api='parallel', or game='route'."
        )
    if found.api == "parallel":
        return RoundsVector(found, num_envs, autoreset_mode=autoreset_mode)
    return RouteVector(found, num_envs, autoreset_mode=autoreset_mode)


def register_task(id: str, **options: Unpack[TaskOptions]) -> None:
    """Make `task(id)`, `make(id)` and PettingZoo's own `make` know a task under an id of the form name/Task-v0.

    Raises:
        ConfigError: the id is taken or is none, or an option is unknown, or there is no such game or problem set.
    """
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise ConfigError(f"register_task({id!r:.200}): the id is a text of the form name/Task-v0.")
    one_of("game", options.get("game", "write"), GAMES, where="register_task")
    if "problems" in options:
        wanted = "a problem set, or the name of one"
        instance("problems", options["problems"], str | ProblemSet, wanted, where="register_task")
    add_task(id, options)
    _announce(id)


def _announce(id: str) -> None:
    """Register an id with Gymnasium or PettingZoo, by the game's interfaces; PettingZoo before 1.27 has no registry."""
    apis = GAMES[TASKS[id].get("game", "write")].apis
    if "gymnasium" in apis:
        gymnasium.register(
            id,
            entry_point="mars2_env.envs:TreeSearchRoute",
            vector_entry_point="mars2_env.envs:RouteVector",
            kwargs={"task": id},
        )
    register: Callable[..., None] | None = getattr(pettingzoo, "register", None)
    for api in apis:
        if register is not None and api != "gymnasium":
            register(api, id, entry_point=make, kwargs={"task": id} if api == apis[0] else {"task": id, "api": api})


for _id in TASKS:
    _announce(_id)

for _moved in (make, make_vec, register_task):  # they stood in `mars2_env.tasks` before, and can be had there still
    setattr(tasks, _moved.__name__, _moved)
