"""Teams and tasks in a TOML file: what is played, by whom, and how the run goes.

    problems = "starter"          # or a table: set, split, path, options, ids, limit

    [task]                        # the options of `mars2_env.task`
    budget = 6
    selector = "ab_mcts_a,posterior=gaussian"

    [agents.coder]                # a policy's spec and its options; `role` is what prompts say of the agent
    policy = "noise:default"
    repair = 0.5
    role = "You write the first version."

    [agents]
    fixer = "noise:weak"          # the short form

    [rollout]                     # seed, trees, in_flight, batch, policy_retries, policy_failures, deadline, out
    seed = 1
    out = "runs/x"

Relative paths are relative to the file. `mars2 search --config FILE` plays it, and options of the command line come
before what it says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_type_hints

import msgspec

from mars2_env.base.checks import is_path, real_number, unsaid, whole_number
from mars2_env.base.places import placed_by, set_with_path, spec_with_paths
from mars2_env.base.spec import Spec, parse_spec, write_spec
from mars2_env.base.toml import needed, read_toml, toml_of
from mars2_env.episode.rules import Game, Observe, ScoreKind
from mars2_env.errors import ConfigError, Mars2Error, PartError, unknown_name
from mars2_env.tasks import GAMES, Api, OnFault, Share, Task, agent_names
from mars2_env.tasks import task as task_of
from mars2_env.tasks.policies import POLICIES
from mars2_env.types import Limits

T = TypeVar("T")
Specs: TypeAlias = str | list[str] | dict[str, str]


@dataclass(frozen=True, slots=True)
class ProblemsTable:
    """`[problems]`: which problems; `problems = "NAME"` is short for `set = "NAME"`. `ids` and `limit` choose some."""

    set: str | None = None
    split: str | None = None
    path: str | None = None
    options: dict[str, Any] | None = None
    ids: tuple[str, ...] | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.ids is not None and not self.ids:
            raise ConfigError("ids=(): nothing would be played; name some problems, or leave it out.")
        if self.limit is not None:
            whole_number("limit", self.limit)


@dataclass(frozen=True, slots=True)
class TaskTable:
    """`[task]`: the options of `mars2_env.task` that a text file can say; `help(mars2_env.task)` tells what they do."""

    preset: Literal["mars2", "tplus"] | None = None
    game: Game | None = None
    api: Api | None = None
    generators: Specs | None = None
    budget: int | str | dict[str, Any] | None = None
    selector: str | None = None
    prompts: str | None = None
    score: ScoreKind | None = None
    score_on: Literal["public", "scoring"] | None = None
    reward: str | None = None
    share: Share | None = None
    observe: Observe | None = None
    generators_observe: Observe | None = None
    rounds: int | None = None
    cards: bool | None = None
    stop_on_solved: bool | int | None = None
    patience: int | None = None
    reward_model: str | None = None
    model_weight: float | None = None
    max_faults: int | None = None
    on_fault: OnFault | None = None
    sandbox: str | None = None
    limits: Limits | None = None
    strict_types: bool | None = None
    render_mode: Literal["ansi", "human"] | None = None
    out: str | None = None


@dataclass(frozen=True, slots=True)
class AgentTable:
    """`[agents.NAME]`: the spec of its policy, with all options in it, and what its prompts say of its role."""

    policy: str | None = None
    role: str = ""


@dataclass(frozen=True, slots=True)
class RolloutTable:
    """`[rollout]`: arguments of `mars2_env.rollout`."""

    seed: int | None = None
    trees: int | None = None
    in_flight: int | None = None
    batch: int | None = None
    policy_retries: int | None = None
    policy_failures: int | None = None
    deadline: float | None = None
    out: str | None = None

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if (value := getattr(self, name)) is not None:
                whole_number(name, value, least=least)
        if self.deadline is not None:
            real_number("deadline", self.deadline, above=0)


_LEAST: Final = {"seed": 0, "trees": 1, "in_flight": 1, "batch": 1, "policy_retries": 0, "policy_failures": 1}
"""Whole numbers of `[rollout]`, and the least that each may be."""


@dataclass(frozen=True, slots=True)
class Config:
    """What a file says, checked as far as it can be without loading problems or models.

    Attributes:
        problems, task, agents, rollout: its tables; agents by their full names, such as `coder_0`.
        file: where it was read from.
        changed: the keys, such as `task.budget`, that the command line said in place of the file.
    """

    problems: ProblemsTable = ProblemsTable()
    task_table: TaskTable = TaskTable()
    agents: Mapping[str, AgentTable] = field(default_factory=dict)
    rollout: RolloutTable = RolloutTable()
    file: Path | None = None
    changed: frozenset[str] = frozenset()

    @property
    def team(self) -> dict[str, str]:
        """Agent -> the spec of its policy, as `rollout` takes it; in `place` and `route` they are the generators.

        Raises:
            ConfigError: an agent has no policy.
        """
        if not self.agents:
            raise ConfigError(f'{self._where}no agents; say at least one, such as coder = "noise:default" in [agents].')
        for name, agent in self.agents.items():
            if agent.policy is None:
                raise ConfigError(f'{self._where}agents.{name}: no policy; say policy = "NAME:REST".')
        return {name: agent.policy or "" for name, agent in self.agents.items()}

    @property
    def run(self) -> dict[str, Any]:
        """What `rollout` takes besides task and team: `rollout(config.task(), config.team, **config.run)`."""
        chosen = {
            "problems": None if self.problems.ids is None else list(self.problems.ids),
            "limit": self.problems.limit,
        }
        return {name: value for name, value in (said_by(self.rollout) | chosen).items() if value is not None}

    def task(self, **overrides: Any) -> Task:
        """Return the task.

        Args:
            overrides: options of `mars2_env.task` that come before what the file says.

        Raises:
            ConfigError: no problem set is named, or the options make no task; the message names the file.
        """
        if self.problems.set is None:
            raise ConfigError(f'{self._where}no problem set; say problems = "NAME".')
        name, problems, options = self.problems.set, self.problems, said_by(self.task_table)
        found = {"split": problems.split, "path": problems.path, "problem_options": problems.options}
        options |= {key: value for key, value in found.items() if value is not None}
        if self.agents:
            options["agents"] = {name: agent.role for name, agent in self.agents.items()}
        game = GAMES.get(options.get("game", "write"))  # an unknown one is named by `task`
        if game is not None and game.generators and any(agent.policy for agent in self.agents.values()):
            if "generators" in options:
                raise ConfigError(
                    f"{self._where}task.generators and policies of agents say the same; give one of them."
                )
            options["generators"] = self.team
        try:
            task = task_of(name, **{**options, **overrides})
        except Mars2Error as error:
            key = _blamed(str(error), said_by(self.task_table))
            if self.file is not None and key not in self.changed:
                error.args = (f"{self.file}: {f'{key}: ' if key else ''}{error}", *error.args[1:])
            raise
        self._check_ids(task)
        return task

    def _check_ids(self, task: Task) -> None:
        """Check that the problems that the file chooses are there.

        Raises:
            ConfigError: one is not.
        """
        if self.file is None or "problems.ids" in self.changed:
            return
        for id in self.problems.ids or ():
            try:
                task.problem(id)
            except ConfigError as error:
                raise ConfigError(f"{self.file}: problems.ids: {error}") from None

    def over(self, changes: Mapping[str, Any]) -> Config:
        """Return this configuration with some keys, such as `task.budget`, said otherwise.

        Args:
            changes: key -> value; `agents` maps names to specs: of agents that the file has, or of all where it has
                none.

        Raises:
            ConfigError: an agent is none of the file's.
        """
        tables = {"problems": self.problems, "task": self.task_table, "rollout": self.rollout}
        for key, value in changes.items():
            table, _, name = key.partition(".")
            if table == "agents":
                continue
            tables[table] = replace(tables[table], **{name: value})  # type: ignore[type-var]  # three dataclasses
        agents = dict(self.agents)
        for name, spec in agent_specs(changes.get("agents", {})).items():
            if self.agents and name not in self.agents:
                raise ConfigError(f"{self._where}--agent {name}: {unknown_name('agent', name, self.agents)}")
            agents[name] = AgentTable(spec, agents[name].role if name in agents else "")
        return Config(
            tables["problems"],  # type: ignore[arg-type]  # each is still of its kind
            tables["task"],  # type: ignore[arg-type]
            agents,
            tables["rollout"],  # type: ignore[arg-type]
            self.file,
            self.changed | changes.keys(),
        )

    def to_toml(self) -> str:
        """Return it as a file that says the same, with paths that are right wherever it lies."""
        agents = {
            name: {key: value for key, value in said_by(one).items() if value} for name, one in self.agents.items()
        }
        tables = {"problems": said_by(self.problems), "task": said_by(self.task_table)}
        tables |= {f"agents.{name}": agent for name, agent in agents.items()} | {"rollout": said_by(self.rollout)}
        return toml_of(tables)

    @property
    def _where(self) -> str:
        return "" if self.file is None else f"{self.file}: "


def agent_specs(agents: Mapping[str, str]) -> dict[str, str]:
    """Return full agent name -> spec."""
    return dict(zip(agent_names(list(agents)), agents.values(), strict=True)) if agents else {}


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read a configuration from a TOML file.

    Args:
        path: the file; relative paths in it are relative to its folder.

    Raises:
        ConfigError: it cannot be read, or says something that makes no sense; the message names the file, the key and
            the value, and what is known instead.
    """
    if not is_path(path):
        raise ConfigError(f"load_config({path!r:.200}): give the path of a TOML file.")
    file = Path(path)
    return config_of(file, read_toml(file))


def config_of(file: Path, found: Mapping[str, Any], *, policies: Collection[str] | None = None) -> Config:
    """Return the configuration that the tables of a file are.

    Args:
        file: where they were read from; relative paths in them are relative to its folder.
        found: the tables.
        policies: the names that agents call their policies by, where another table of the file says what these are;
            by default a policy is a spec.

    Raises:
        ConfigError: as `load_config`.
    """
    known = ("problems", "task", "agents", "rollout")
    for name, value in found.items():
        if name not in known:
            raise ConfigError(f"{file}: {name}={value!r:.200}: {unknown_name('key', name, known)}")
    problems = found.get("problems", {})
    if isinstance(problems, str):
        problems = {"set": problems}
    reader = Reader(file, policies)
    config = Config(
        reader.table(ProblemsTable, problems, "problems"),
        reader.table(TaskTable, found.get("task", {}), "task", {**_ELSEWHERE}),
        reader.agents(found.get("agents", {})),
        reader.table(RolloutTable, found.get("rollout", {}), "rollout"),
        file,
    )
    return _with_paths(config, file, specs=policies is None)


_ELSEWHERE: Final = {
    "problems": 'say problems = "NAME" at the top of the file',
    "split": "say it in [problems]",
    "path": "say it in [problems]",
    "problem_options": "say options in [problems]",
    "agents": "say them in [agents]",
    "stop_when": "it is a function: give it in Python, config.task(stop_when=...)",
    "clues": "they are an object: give it in Python, config.task(clues=...)",
}
"""Options of a task that stand elsewhere in a file."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads tables, and says in errors where in which file a value stands.

    Attributes:
        file: the file.
        policies: the names that agents call their policies by; None where they say what these are.
    """

    file: Path
    policies: Collection[str] | None = None

    def table(self, kind: type[T], found: Any, key: str, elsewhere: Mapping[str, str] | None = None) -> T:
        """Return a table as a dataclass."""
        if not isinstance(found, dict):
            raise self.error(key, found, "a table is needed")
        hints = get_type_hints(kind)
        known = [one.name for one in fields(kind)]  # type: ignore[arg-type]  # a dataclass
        values: dict[str, Any] = {}
        for name, value in found.items():
            place = f"{key}.{name}"
            if elsewhere and name in elsewhere:
                raise self.error(place, value, elsewhere[name])
            if name not in known:
                raise self.error(place, value, unknown_name("key", name, known).removesuffix("."))
            values[name] = (
                self.table(Limits, value, place) if name == "limits" else self.value(value, hints[name], place)
            )
        try:
            return kind(**values)
        except Mars2Error as error:  # tables check their numbers themselves, and do not know where they stand
            raise ConfigError(f"{self.file}: {placed_message(str(error), key, known)}") from None

    def value(self, value: Any, kind: Any, key: str) -> Any:
        """Return a value, if it is of a type."""
        try:
            return msgspec.convert(value, kind, strict=True)
        except msgspec.ValidationError:
            raise self.error(key, value, needed(value, kind)) from None

    def agents(self, found: Any) -> dict[str, AgentTable]:
        """Return the agents by their full names."""
        if not isinstance(found, dict):
            raise self.error("agents", found, "a table from name to policy is needed")
        if not found:
            return {}
        for name in found:
            if f"{name}_0" in found:
                raise ConfigError(f"{self.file}: agents: {name} is short for {name}_0, which is there too; keep one.")
        try:
            names = list(agent_names(list(found)))
        except ConfigError as error:
            raise ConfigError(f"{self.file}: agents: {error}") from None
        return {name: self.agent(one, f"agents.{key}") for name, (key, one) in zip(names, found.items(), strict=True)}

    def agent(self, found: Any, key: str) -> AgentTable:
        """Return an agent: the spec of its policy, or a table of it, its options and its role."""
        table = {"policy": found} if isinstance(found, str) else found
        if not isinstance(table, dict):
            raise self.error(key, found, 'a policy such as "noise:default", or a table with policy, is needed')
        role = self.value(table.get("role", ""), str, f"{key}.role")
        if "policy" not in table:
            if others := [name for name in table if name != "role"]:
                raise self.error(
                    f"{key}.{others[0]}", table[others[0]], "it is an option of a policy, and there is none"
                )
            return AgentTable(None, role)
        text = self.value(table["policy"], str, f"{key}.policy")
        if self.policies is not None:
            if text not in self.policies:
                why = unknown_name("policy", text, self.policies).removesuffix(".")
                raise self.error(f"{key}.policy", text, f"{why} (the tables [policies.NAME])")
            if others := [name for name in table if name not in ("policy", "role")]:
                raise self.error(f"{key}.{others[0]}", table[others[0]], f"say it in [policies.{text}]")
            return AgentTable(text, role)
        try:
            spec = parse_spec(text, "policy")
        except ConfigError as error:
            raise ConfigError(f"{self.file}: {key}.policy: {error}") from None
        if spec.name not in POLICIES:
            raise self.error(
                f"{key}.policy", text, unknown_name("policy", spec.name, POLICIES.names()).removesuffix(".")
            )
        for name, value in table.items():
            if name in ("policy", "role"):
                continue
            if name in spec.options:
                raise self.error(f"{key}.{name}", value, f"the policy {text!r:.100} says it too; say it once")
            spec.options[name] = self.option(value, f"{key}.{name}")
        self.check_options(spec, key)
        return AgentTable(write_spec(spec), role)

    def check_options(self, spec: Spec, key: str) -> None:
        """Check that a policy takes its options, where what says so is installed here."""
        try:
            POLICIES.check(spec.name, spec.rest, options=spec.options, problems=None)
        except PartError:  # only who plays needs its package
            return
        except ConfigError as error:
            raise ConfigError(f"{self.file}: {placed_message(str(error), key, spec.options)}") from None

    def option(self, value: Any, key: str) -> str:
        """Return the text of an option, as specs have it."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, list) and value and all(isinstance(one, str | int | float) for one in value):
            return "/".join(self.option(one, key) for one in value)
        if isinstance(value, float) and not isfinite(value):
            raise self.error(key, value, "a finite number is needed")
        if not isinstance(value, str | int | float):
            raise self.error(key, value, "a text, a number, true, false, or a list of these is needed")
        return str(value)

    def error(self, key: str, value: Any, why: str) -> ConfigError:
        """Return the error about a value."""
        return ConfigError(f"{self.file}: {key}={value!r:.200}: {why}.")


def placed_message(message: str, table: str, keys: Collection[str]) -> str:
    """Return a message about an argument, `name=value` or `where(name=value)`, as one about the key of a table."""
    told = unsaid(message)
    if told is not None and told[0] in keys:
        return f"{table}.{told[0]}={told[1]}{told[2]}"
    named = any(message.startswith(f"{name}=") for name in keys)
    return f"{table}{'.' if named else ': '}{message}"


def said_by(table: Any) -> dict[str, Any]:
    """Return what a table says: its fields that are not None."""
    return {one.name: value for one in fields(table) if (value := getattr(table, one.name)) is not None}


def _blamed(message: str, options: Mapping[str, Any]) -> str:
    """Return the key of the option that a message begins with, or quotes the value of; "" if it does neither."""
    begun = re.match(r"\w+", message)  # of an argument, or of what it makes, such as Budget(...)
    quoted = (name for name, value in options.items() if isinstance(value, str) and f" {value!r}" in message)
    name = begun[0].lower() if begun and begun[0].lower() in options else next(quoted, "")
    return f"task.{name}" if name else ""


def _with_paths(config: Config, file: Path, *, specs: bool) -> Config:
    """Return a configuration whose paths are right everywhere; policies have some where they are specs."""
    placed = placed_by(file)

    def of(table: Any, **change: Callable[[Any], Any]) -> Any:
        said = said_by(table)
        return replace(table, **{name: function(said[name]) for name, function in change.items() if name in said})

    def spec(text: str) -> str:
        return spec_with_paths(text, placed)

    def generators(given: Specs) -> Specs:
        if isinstance(given, str):
            return spec(given)
        return {name: spec(one) for name, one in given.items()} if isinstance(given, dict) else [*map(spec, given)]

    return replace(
        config,
        problems=of(
            config.problems,
            path=placed,
            set=lambda name: set_with_path(name, placed),
        ),
        task_table=of(config.task_table, out=placed, generators=generators, reward_model=spec),
        agents={name: of(agent, policy=spec) if specs else agent for name, agent in config.agents.items()},
        rollout=of(config.rollout, out=placed),
    )
