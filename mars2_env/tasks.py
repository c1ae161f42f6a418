"""Tasks by id, and environments made from them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import gymnasium
import pettingzoo
from gymnasium.vector import AutoresetMode
from pettingzoo import AECEnv, ParallelEnv

from mars2_env.envs import RoundsVector, RouteVector, TreeSearchAEC, TreeSearchParallel, TreeSearchRoute
from mars2_env.episode import Rules
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.games import DEFAULT_GENERATOR, GAMES, Task, agent_names, load_from
from mars2_env.problems import ProblemSet
from mars2_env.problems import names as problem_set_names
from mars2_env.prompt import make_prompts
from mars2_env.search.budget import Budget, parse_budget
from mars2_env.search.choice import Selector
from mars2_env.search.selectors import make_selector
from mars2_env.specs import make_reward_model

Env: TypeAlias = AECEnv[str, Any, Any] | ParallelEnv[str, Any, Any] | gymnasium.Env[Any, Any]

TASKS: Final[dict[str, dict[str, Any]]] = {
    "mars2/Starter-v0": {"problems": "starter", "split": "train", "game": "write"},
    "mars2/StarterPlay-v0": {"problems": "starter", "split": "train", "game": "play"},
    "mars2/StarterPlace-v0": {"problems": "starter", "split": "train", "game": "place"},
    "mars2/StarterRoute-v0": {"problems": "starter", "split": "train", "game": "route"},
}
"""Environment id -> the overrides that make it. An id's number rises when its rewards or observations change."""

PRESETS: Final[dict[str, dict[str, Any]]] = {
    "mars2": {"selector": "mars2", "score": "pass", "prompts": "feedback=off"},
    "tplus": {"selector": "mars2,guidance=default", "score": "pass", "prompts": "feedback=on", "model_weight": 0.25},
}
"""Preset -> the options that it stands for; whatever else is said beside a preset comes first.

`mars2`: the search of MARS2 (arXiv 2604.14564), agent first, whose refinement prompts do not tell what failed. `tplus`:
MARS2-T+, that search with error feedback, depth guidance and, where a reward model is given, its scores in what the
selector sees: below a half, so that they decide where tests tie and a passing program stays above a failing one (the
papers give no weight).
"""

_RULES: Final = {f.name for f in fields(Rules)}
_LOADING: Final = {"problems", "split", "path", "problem_options"}
_TASK: Final = {f.name for f in fields(Task)} - {"rules", "id", "source", "problems"}
OPTIONS: Final = tuple(sorted(_RULES | _LOADING | _TASK | {"preset"}))


def task(id_or_problem_set: str | ProblemSet | Task = "mars2/Starter-v0", **overrides: Any) -> Task:
    """Return a task: a registered one by id, the default game on a problem set, or either with overrides.

    Args:
        id_or_problem_set: an environment id ("mars2/Starter-v0"), the name of a problem set ("humaneval", a .jsonl
        file),
            a `ProblemSet`, or a `Task` to be changed.
        **overrides: any of
            problems, split, path, problem_options: what `load_problems` is given;
            preset: "mars2" or "tplus", a name for several of the options below (`PRESETS`), which others come before;
            game: "write", "play", "place" or "route"; api: "aec", "parallel" or (in "route") "gymnasium";
            agents: how many, a list of names, or a mapping from name to what prompts say of its role; 2 by default, or
                as many as there are generators;
            generators: in "place" and "route", who writes the programs: a policy or spec for every agent
                ("noise:default" if nothing is said), one for each in order, or a mapping from agent to its own;
            budget: nodes a tree, or a `Budget`, a mapping or a text ("nodes=60,tokens=20000,coder_0.tokens=5000"); 8
                nodes by default, in "play" and "place" whole rounds of the agents;
            selector: a `Selector`, or a name with options ("ab_mcts_a,posterior=gaussian");
            prompts: a `Prompts`, templates, or a spec ("base", "chat,siblings=2,max_tokens=4096", "feedback=off");
            score: "pass" or "fraction"; score_on: "public" or "scoring" (the default on training sets);
            reward: "progress", "score" or "difference"; share: "own" or "team"; observe: "all" or "own";
            stop_on_solved: True, or how many different solutions; patience: how many expansions without improvement;
            stop_when: a function of the episode;
            reward_model: a `RewardModel` or its spec; model_weight: its share in what selectors see;
            max_faults, on_fault: what a sandbox fault does; sandbox: a kind or a sandbox; limits: a `Limits`;
            strict_types; render_mode: "ansi" or "human"; out: a run folder for the logs of environments.

    Raises:
        ConfigError: a name or option is unknown, or the combination makes no sense.
    """
    unknown = sorted(set(overrides) - set(OPTIONS))
    if unknown:
        raise ConfigError(unknown_name("option of a task", unknown[0], OPTIONS))
    overrides = _preset(overrides)
    if isinstance(id_or_problem_set, Task):
        return _changed(id_or_problem_set, overrides) if overrides else id_or_problem_set
    options: dict[str, Any]
    name: str | None = None
    if not isinstance(id_or_problem_set, str | ProblemSet):
        raise ConfigError(f"a task is made from an id, a problem set or its name, not from {id_or_problem_set!r:.200}.")
    if isinstance(id_or_problem_set, ProblemSet):
        options = {"problems": id_or_problem_set}
    elif id_or_problem_set in TASKS:
        name = id_or_problem_set
        options = dict(TASKS[name])
        if "problems" in overrides:  # the id's split is one of its own set
            options.pop("split", None)
    elif id_or_problem_set.startswith("mars2/"):
        raise ConfigError(unknown_name("environment", id_or_problem_set, TASKS))
    else:
        if id_or_problem_set not in problem_set_names() and not id_or_problem_set.endswith((".jsonl", ".jsonl.gz")):
            known = [*TASKS, *problem_set_names()]
            raise ConfigError(unknown_name("environment or problem set", id_or_problem_set, known))
        options = {"problems": id_or_problem_set}
    return _build({**options, **overrides}, None if overrides else name)


_task = task  # `make` has an argument of that name


def make(task: str | ProblemSet | Task = "mars2/Starter-v0", **overrides: Any) -> Env:
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
    **overrides: Any,
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


def _preset(overrides: dict[str, Any]) -> dict[str, Any]:
    """Return overrides with the options of their preset, if they name one, filled in."""
    others = dict(overrides)
    name = others.pop("preset", None)
    if name is None:
        return others
    if name not in PRESETS:
        raise ConfigError(unknown_name("preset", str(name), PRESETS))
    if others.get("game", "write") != "write":
        raise ConfigError(f"preset={name!r} with game={others['game']!r}: presets are searches, for game='write'.")
    preset = PRESETS[name]
    prompts = make_prompts(others.get("prompts"), make_prompts(preset["prompts"]))
    found = {**preset, **others, "prompts": prompts}
    if found.get("reward_model") is None and "model_weight" not in others:
        found.pop("model_weight", None)
    return found


def _changed(base: Task, overrides: Mapping[str, Any]) -> Task:
    """Return a task with some options replaced and everything else as it is."""
    kept: dict[str, Any] = {name: getattr(base, name) for name in _TASK}
    kept |= {name: getattr(base.rules, name) for name in _RULES}
    if overrides.get("game", base.rules.game) != base.rules.game:
        kept |= {"selector": None, "generators": None, "api": None}
    if not _LOADING & set(overrides):
        built = _build({**kept, "problems": base.problems, **overrides}, None)
        return replace(built, source=base.source)
    return _build({**kept, **base.source, **overrides}, None)


def _build(options: dict[str, Any], id: str | None) -> Task:
    problems = options.pop("problems")
    loading = {
        name: options.pop(name) for name in ("split", "path", "problem_options") if options.get(name) is not None
    }
    source: dict[str, Any] = {}
    if isinstance(problems, ProblemSet):
        if loading:
            raise ConfigError(f"{sorted(loading)}: these load a set by name, and problems={problems.name!r} is loaded.")
    else:
        source = {"problems": str(problems), **loading}
        if not isinstance(source.get("problem_options", {}), Mapping):
            raise ConfigError(
                f"problem_options={source['problem_options']!r:.200} is not a mapping from name to value."
            )
        if "path" in source:
            if not isinstance(source["path"], str | os.PathLike):
                raise ConfigError(f"path={source['path']!r:.200} is not a file or folder.")
            source["path"] = str(Path(source["path"]).absolute())
        problems = load_from(source)
    rules = {name: options.pop(name) for name in list(options) if name in _RULES}
    rules.setdefault("score_on", "public" if problems.use == "evaluation" else "scoring")
    game = Rules(**rules)
    kind = GAMES[game.game]
    options["api"] = options.get("api") or kind.apis[0]
    generators = options.pop("generators", None)
    named = options.pop("agents", None)
    agents = agent_names(_how_many(generators) if named is None else named)
    if kind.generators and generators is None:
        generators = DEFAULT_GENERATOR
    budget = options.pop("budget", None)
    if budget is None:
        budget = Budget(-(-8 // len(agents)) * len(agents) if kind.rounds else 8)
    else:
        budget = parse_budget(budget)
    selector = options.pop("selector", None)
    if isinstance(options.get("reward_model"), str):
        options["reward_model"] = make_reward_model(options["reward_model"])
    return Task(
        problems=problems,
        agents=agents,
        budget=budget,
        selector=_selector(game.game, selector),
        rules=game,
        generators=generators,
        prompts=make_prompts(options.pop("prompts", None)),
        id=id,
        source=source,
        **{name: value for name, value in options.items() if value is not None or name in ("out", "render_mode")},
    )


def _how_many(generators: Any) -> int | list[str]:
    """Return the agents where nothing is said of them but, perhaps, which generators there are."""
    if isinstance(generators, Mapping):
        return list(generators)
    if isinstance(generators, list | tuple) and not generators:
        raise ConfigError(f"generators={generators!r}: give one for each agent, or one policy for all.")
    return len(generators) if isinstance(generators, list | tuple) else 2


def _selector(game: str, selector: Any) -> Selector | None:
    if not GAMES[game].selector:
        if selector is not None:
            raise ConfigError(f"game={game!r} with selector={selector!r}: there the agents choose the place.")
        return None
    if selector is None:
        selector = "ab_mcts_a"
    if isinstance(selector, str):
        return make_selector(selector)
    if not isinstance(selector, Selector):
        raise ConfigError(f"selector={selector!r} is neither a name nor an object with select(tree, rng, pending).")
    return selector


def register_task(id: str, **options: Any) -> None:
    """Make `task(id)`, `make(id)` and PettingZoo's own `make` know a task under an id of the form name/Task-v0.

    Raises:
        ConfigError: the id is taken, or an option is unknown.
    """
    if id in TASKS:
        raise ConfigError(f"a task {id!r} is registered already; raise its number or choose another name.")
    if "problems" not in options:
        raise ConfigError(f"register_task({id!r}): say at least problems=.")
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise ConfigError(unknown_name("option of a task", unknown[0], OPTIONS))
    TASKS[id] = options
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
