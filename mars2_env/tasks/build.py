"""How a task is built: from an id, a problem set or another task, and options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, Unpack

from mars2_env.episode import Rules
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.problems import ProblemSet
from mars2_env.problems import names as problem_set_names
from mars2_env.prompt import make_prompts
from mars2_env.search.budget import Budget, parse_budget
from mars2_env.search.choice import Selector
from mars2_env.search.selectors import check_selector, make_selector
from mars2_env.tasks.game import GAMES
from mars2_env.tasks.options import TaskOptions
from mars2_env.tasks.policies import make_reward_model
from mars2_env.tasks.presets import OFFERED, TASKS, with_preset
from mars2_env.tasks.task import Task, load_from
from mars2_env.tasks.team import DEFAULT_GENERATOR, agent_names

_RULES: Final = {f.name for f in fields(Rules)}
_LOADING: Final = {"problems", "split", "path", "problem_options"}
_TASK: Final = {f.name for f in fields(Task)} - {"rules", "id", "source", "problems"}
OPTIONS: Final = tuple(sorted(_RULES | _LOADING | _TASK | {"preset"}))


def task(id_or_problem_set: str | ProblemSet | Task = "mars2/Starter-v0", **overrides: Unpack[TaskOptions]) -> Task:
    """Return a task: a registered one by id, the default game on a problem set, or either with overrides.

    Args:
        id_or_problem_set: an environment id ("mars2/Starter-v0"), the name of a problem set ("humaneval", a .jsonl
            file), a `ProblemSet`, or a `Task` to be changed.
        **overrides: any of
            problems, split, path, problem_options: what `load_problems` is given;
            preset: "mars2" or "tplus", a name for several of the options below (`PRESETS`), which others come before;
            game: "write", "play", "place" or "route"; api: "aec", "parallel" or (in "route") "gymnasium";
            agents: how many, a list of names, or a mapping from name to what prompts say of its role; 2 by default, or
                as many as there are generators;
            generators: in "place" and "route", who writes the programs: a policy or spec for every agent
                ("noise:default" if nothing is said), one for each in order, or a mapping from agent to its own;
            cards: in "place", whether each agent observes the numbers that its generator tells it alone (`ShowsCard`);
            clues: in "place" and "route", a function of the problem with a `size`: so many numbers for all observers;
            budget: nodes a tree, or a `Budget`, a mapping or a text ("nodes=60,tokens=20000,coder_0.tokens=5000"); 8
                nodes by default, in "play" and "place" whole rounds of the agents;
            selector: a `Selector`, or a name with options ("ab_mcts_a,posterior=gaussian");
            prompts: a `Prompts`, templates, or a spec ("base", "chat,siblings=2,max_tokens=4096", "feedback=off");
            score: "pass" or "fraction"; score_on: "public" or "scoring" (the default on training sets);
            reward: "progress", "score", "difference" or a function as `register_reward` takes it;
            share: "own" or "team"; observe: "all" or "own"; generators_observe: in "place" and "route", what generators
                are shown, where it is something else;
            rounds: in "place", after how many rounds a tree ends; with it agents may pass and share the budget;
            stop_on_solved: True, or how many different solutions; patience: how many expansions without improvement;
            stop_when: a function of the episode;
            reward_model: a `RewardModel` or its spec; model_weight: its share in what selectors see;
            max_faults, on_fault: what a sandbox fault does; sandbox: a kind or a sandbox; limits: a `Limits`;
            strict_types; render_mode: "ansi" or "human"; out: a run folder for the logs of environments.

    Raises:
        ConfigError: a name or option is unknown, or the combination makes no sense.
    """
    return _task(id_or_problem_set, dict(overrides))


def _task(id_or_problem_set: str | ProblemSet | Task, given: dict[str, Any]) -> Task:
    unknown = sorted(set(given) - set(OPTIONS))
    if unknown:
        raise ConfigError(unknown_name("option of a task", unknown[0], OPTIONS))
    overrides = with_preset(given)
    if isinstance(id_or_problem_set, Task):
        return _changed(id_or_problem_set, overrides) if overrides else id_or_problem_set
    options: dict[str, Any]
    name: str | None = None
    if not isinstance(id_or_problem_set, str | ProblemSet):
        raise ConfigError(f"a task is made from an id, a problem set or its name, not from {id_or_problem_set!r:.200}.")
    if isinstance(id_or_problem_set, ProblemSet):
        options = {"problems": id_or_problem_set}
    elif id_or_problem_set in TASKS or id_or_problem_set in OFFERED:
        name = id_or_problem_set
        options = dict(TASKS[name] if name in TASKS else OFFERED.find(name)(name))
        if "problems" in overrides:  # the id's split is one of its own set
            options.pop("split", None)
    elif id_or_problem_set.startswith("mars2/"):
        raise ConfigError(unknown_name("environment", id_or_problem_set, [*TASKS, *OFFERED.names()]))
    else:
        if id_or_problem_set not in problem_set_names() and not id_or_problem_set.endswith((".jsonl", ".jsonl.gz")):
            known = [*TASKS, *problem_set_names()]
            raise ConfigError(unknown_name("environment or problem set", id_or_problem_set, known))
        options = {"problems": id_or_problem_set}
    return _build({**options, **overrides}, None if overrides else name)


def _changed(base: Task, overrides: Mapping[str, Any]) -> Task:
    """Return a task with some options replaced and everything else as it is."""
    kept: dict[str, Any] = {name: getattr(base, name) for name in _TASK}
    kept |= {name: getattr(base.rules, name) for name in _RULES}
    if overrides.get("game", base.rules.game) != base.rules.game:
        kept |= dict.fromkeys(("selector", "generators", "api", "rounds", "generators_observe", "cards", "clues"))
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
        if taken := sorted({"name", "path", "split"} & set(source.get("problem_options", {}))):
            raise ConfigError(
                f"problem_options={source['problem_options']!r:.200}: {taken[0]} is no option of a loader; "
                "say problems=, path= and split=."
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
    if isinstance(generators, str) and not generators.strip():
        raise ConfigError(f"generators={generators!r}: give a policy or its spec, such as {DEFAULT_GENERATOR}.")
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
    built = Task(
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
    built.check_room()
    return built


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
    return check_selector(selector)


def add_task(id: str, options: Mapping[str, Any]) -> None:
    """Make `task(id)` know a task.

    Raises:
        ConfigError: the id is taken, or an option is unknown.
    """
    if not isinstance(id, str) or not id.strip():
        raise ConfigError(f"register_task({id!r:.200}): the id is a text of the form name/Task-v0.")
    if id in TASKS or id in OFFERED:
        raise ConfigError(f"a task {id!r} is registered already; raise its number or choose another name.")
    if "problems" not in options:
        raise ConfigError(f"register_task({id!r}): say at least problems=.")
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise ConfigError(unknown_name("option of a task", unknown[0], OPTIONS))
    TASKS[id] = dict(options)
