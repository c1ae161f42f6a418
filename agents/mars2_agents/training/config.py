"""A training in a TOML file: what is played, by whom, which policies there are, and how they learn.

    problems = "starter"               # these three as in `mars2 search --config`,
    [task]
    budget = 8
    [agents]                           # but that agents name a policy of this file
    coder = "strong"
    fixer = "strong"

    [policies.strong]
    model = "hf:smollm2"               # what is trained
    train = "lora"                     # or full
    rank = 16
    sampler = "vllm:smollm2"           # what acts; by default the model itself, in this process
    sampling = { max_new_tokens = 128 }

    [algorithm]                        # a name of mars2_agents.algorithms.named.ALGORITHMS, and its options
    name = "homogeneous"

    [optimiser]                        # the fields of Optimising; [policies.NAME] may have an `optimiser` of its own
    lr = 1e-5

    [training]                         # the fields of the trainer's Settings, and out, metrics, threads
    steps = 30
    out = "runs/train"

    [held_out]                         # problems that are evaluated on, and when
    split = "test"
    every = 5

Relative paths are relative to the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from mars2_agents.algorithms.lesson import Algorithm
from mars2_agents.algorithms.named import ALGORITHMS, Recipe, recipe
from mars2_agents.learners.learner import Optimising
from mars2_agents.policies.transformers import Settings as Sampling
from mars2_agents.training.evaluating import HeldOut
from mars2_agents.training.settings import Settings
from mars2_agents.training.tables import (
    OF_LEARNING,
    SAMPLED_WHOLE,
    AlgorithmTable,
    HeldOutTable,
    PolicyTable,
    RunTable,
)
from mars2_env.base.places import placed_by, set_with_path, spec_with_paths
from mars2_env.base.spec import Spec, parse_spec, plain
from mars2_env.base.toml import read_toml, toml_of
from mars2_env.config import Config, Reader, config_of, placed_message, said_by
from mars2_env.errors import ConfigError, Mars2Error, unknown_name
from mars2_env.problems import load_problems
from mars2_env.tasks import Task
from mars2_env.tasks.policies import POLICIES

CONFIGS: Final = "mars2_agents.training.configs"
"""Where the configurations lie that come with the package."""

TABLES: Final = (
    "problems",
    "task",
    "agents",
    "policies",
    "algorithm",
    "optimiser",
    "training",
    "held_out",
)


@dataclass(frozen=True, slots=True)
class Training:
    """What a file says of a training, checked as far as it can be without loading problems or models.

    Attributes:
        base: problems, task and agents; agents have the names of policies.
        policies: name -> policy, fixed ones among them.
        algorithm: what is learnt of trees.
        optimising: policy -> how its learner steps.
        settings: of the trainer.
        run: where it goes.
        held: what is held out; None for nothing.
        said: of `optimiser` and `training` what the file says, for `to_toml`.
        file: where it was read from.
    """

    base: Config
    policies: Mapping[str, PolicyTable]
    algorithm: AlgorithmTable
    optimising: Mapping[str, Optimising]
    settings: Settings
    run: RunTable
    held: HeldOutTable | None
    said: Mapping[str, Mapping[str, Any]]
    file: Path

    @property
    def team(self) -> dict[str, str]:
        """Agent -> the name of its policy."""
        return self.base.team

    @property
    def trained(self) -> dict[str, PolicyTable]:
        """The policies that learn."""
        return {name: policy for name, policy in self.policies.items() if not policy.fixed}

    @property
    def recipe(self) -> Recipe:
        """How the algorithm is made."""
        return recipe(self.algorithm.name)

    def build_algorithm(self) -> Algorithm:
        """Return the algorithm.

        Raises:
            ConfigError: an option has a value that makes no sense.
        """
        try:
            return self.recipe(**self.algorithm.options)
        except Mars2Error as error:
            told = str(error).removeprefix(f"algorithm {self.algorithm.name!r}: ")
            raise ConfigError(f"{self.file}: {placed_message(told, 'algorithm', self.recipe.options)}") from None

    def task(self, **overrides: Any) -> Task:
        """Return the task that is trained on: what the algorithm is meant for, but for what the file says otherwise.

        Raises:
            ConfigError: the options make no task.
        """
        meant = {name: value for name, value in self.recipe.task.items() if name not in said_by(self.base.task_table)}
        return self.base.task(**meant, **overrides)

    def problems(self, task: Task) -> list[str] | None:
        """Return the ids of the problems to train on; None for all but those held out.

        Raises:
            ConfigError: one is none of the task's.
        """
        named = self.base.problems
        if named.ids is None and named.limit is None:
            return None
        ids = [problem.id for problem in task.problems] if named.ids is None else list(named.ids)
        return ids[: named.limit]

    def held_out(self, task: Task) -> HeldOut | None:
        """Return what the training is evaluated on.

        Raises:
            ConfigError: there is no such set, split, or option.
        """
        if self.held is None:
            return None
        table = self.held
        own = {name: getattr(table, name) for name in ("limit", "every", "nodes", "at")}
        try:
            given: Any = table.split if table.ids is None else table.ids
            if table.set is not None:
                given = load_problems(table.set, split=table.split, path=table.path, **(table.options or {}))
            return HeldOut(
                given,
                options=table.task or {},
                **{name: value for name, value in own.items() if value is not None},
            )
        except Mars2Error as error:
            names = [one.name for one in fields(HeldOutTable)]
            raise ConfigError(f"{self.file}: {placed_message(str(error), 'held_out', names)}") from None

    @property
    def folder(self) -> str:
        """Where it goes.

        Raises:
            ConfigError: the file does not say.
        """
        if self.run.out is None:
            raise ConfigError(f'{self.file}: training.out: no folder; say out = "runs/NAME", or give --out.')
        return self.run.out

    def into(self, out: str) -> Training:
        """Return this training in another folder."""
        return replace(self, run=replace(self.run, out=out))

    def to_toml(self) -> str:
        """Return it as a file that says the same, with paths that are right wherever it lies."""
        usual = PolicyTable()
        training = dict(self.said["training"])
        tables: dict[str, Mapping[str, Any]] = {}
        for name, policy in self.policies.items():
            told = {one.name: getattr(policy, one.name) for one in fields(policy)}
            tables[f"policies.{name}"] = {key: value for key, value in told.items() if value != getattr(usual, key)}
        tables["algorithm"] = {"name": self.algorithm.name, **self.algorithm.options}
        tables["optimiser"] = self.said["optimiser"]
        tables["training"] = training if self.run.out is None else training | {"out": self.run.out}
        tables["held_out"] = {} if self.held is None else said_by(self.held)
        return f"{self.base.to_toml()}\n{toml_of(tables)}"


def shipped() -> list[str]:
    """Return the names of the configurations that come with the package."""
    return sorted(file.name.removesuffix(".toml") for file in files(CONFIGS).iterdir() if file.name.endswith(".toml"))


def find_training(named: str, changes: Sequence[str] = ()) -> Training:
    """Read a training from a file, or one that comes with the package by its name; its paths are relative to here.

    Args:
        named: the file, or the name.
        changes: as in `load_training`.

    Raises:
        ConfigError: there is neither, or as `load_training`.
    """
    if Path(named).exists() or named.endswith(".toml") or "/" in named:
        return load_training(named, changes)
    if named not in shipped():
        raise ConfigError(f"{named}: no such file, and {unknown_name('configuration', named, shipped())}")
    text = (files(CONFIGS) / f"{named}.toml").read_text(encoding="utf-8")
    return training_of(Path(f"{named}.toml"), tomllib.loads(text), changes)


def load_training(path: str | Path, changes: Sequence[str] = ()) -> Training:
    """Read a training from a TOML file.

    Args:
        path: the file; relative paths in it are relative to its folder.
        changes: what is said otherwise, `table.key=value` each, with values as TOML writes them; a text needs no
            quotes.

    Raises:
        ConfigError: it cannot be read, or says something that makes no sense; the message names the file, the key and
            the value, and what is known instead.
    """
    return training_of(Path(path), read_toml(Path(path)), changes)


def training_of(file: Path, found: dict[str, Any], changes: Sequence[str] = ()) -> Training:
    """Return the training that the tables of a file are. Arguments and errors are those of `load_training`."""
    for change in changes:
        _change(found, change)
    for name, value in found.items():
        if name == "rollout":
            raise ConfigError(f"{file}: {name}={value!r:.100}: how trees grow is said in [training].")
        if name not in TABLES:
            raise ConfigError(f"{file}: {name}={value!r:.200}: {unknown_name('key', name, TABLES)}")
    reader, placed = Reader(file), placed_by(file)
    policies = _policies(reader, found.get("policies", {}), placed)
    own = {name: value for name, value in found.items() if name in ("problems", "task", "agents")}
    base = config_of(file, own, policies=policies)
    _check_team(base, policies)
    common = _table(reader, found, "optimiser")
    reader.table(Optimising, common, "optimiser")
    optimising = {
        name: reader.table(Optimising, common | policy.optimiser, f"policies.{name}.optimiser")
        for name, policy in policies.items()
    }
    table = _table(reader, found, "training")
    names = {one.name for one in fields(RunTable)}
    _check_keys(reader, table, "training", names | {one.name for one in fields(Settings)})
    settings = reader.table(Settings, {name: one for name, one in table.items() if name not in names}, "training")
    run = reader.table(RunTable, {name: one for name, one in table.items() if name in names}, "training")
    if run.out is not None:
        run = replace(run, out=placed(run.out))
    return Training(
        base,
        policies,
        _algorithm(reader, _table(reader, found, "algorithm")),
        optimising,
        settings,
        run,
        _held_out(reader, _table(reader, found, "held_out"), placed) if "held_out" in found else None,
        {"optimiser": common, "training": table},
        file,
    )


def _table(reader: Reader, found: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = found.get(key, {})
    if not isinstance(value, dict):
        raise reader.error(key, value, "a table is needed")
    return value


def _check_keys(reader: Reader, found: Mapping[str, Any], key: str, known: Iterable[str]) -> None:
    names = sorted(known)
    if strange := next((name for name in found if name not in names), None):
        raise reader.error(f"{key}.{strange}", found[strange], unknown_name("key", strange, names).removesuffix("."))


def _policies(reader: Reader, found: Any, placed: Callable[[str], str]) -> dict[str, PolicyTable]:
    if not isinstance(found, dict) or not found:
        raise ConfigError(
            f'{reader.file}: no policies; say at least one, such as [policies.strong] with model = "hf:smollm2".'
        )
    policies = {name: _policy(reader, one, f"policies.{name}", placed) for name, one in found.items()}
    if all(one.fixed for one in policies.values()):
        raise ConfigError(f'{reader.file}: policies: each has train = "none", so there is nothing to train.')
    return policies


def _policy(reader: Reader, found: Any, key: str, placed: Callable[[str], str]) -> PolicyTable:
    """Return a policy, with paths that are right everywhere."""
    table = reader.table(PolicyTable, found, key)
    if table.fixed and (said := next((name for name in OF_LEARNING if name in found), None)):
        raise reader.error(
            f"{key}.{said}", found[said], 'it says how a policy learns, and with train = "none" none does'
        )
    if table.model is None and not (table.fixed and table.sampler):
        raise ConfigError(f'{reader.file}: {key}: no model; say which is trained, such as model = "hf:smollm2".')
    if table.model is not None:
        model = _spec(reader, table.model, f"{key}.model")
        if model.name != "hf" or not model.rest or model.options:
            why = "what is trained is hf:smollm2, hf:FOLDER or hf:ORG/NAME; options of sampling stand in `sampling`"
            raise reader.error(f"{key}.model", table.model, why)
    reader.table(Optimising, table.optimiser, f"{key}.optimiser")
    table = replace(
        table,
        model=None if table.model is None else spec_with_paths(table.model, placed),
        sampler=None if table.sampler is None else _placed_sampler(reader, table, key, placed),
    )
    if table.in_process:
        sampling_settings(reader, table, key)
    if not table.fixed:
        _check_learnable(reader, table, key)
    if table.sampler is not None:
        spec = _spec(reader, table.sampler, f"{key}.sampler")
        own = {name: reader.option(value, f"{key}.sampling.{name}") for name, value in table.sampled.items()}
        reader.check_options(replace(spec, options={**spec.options, **own}), f"{key}.sampling")
    return table


def _placed_sampler(reader: Reader, table: PolicyTable, key: str, placed: Callable[[str], str]) -> str:
    """Return the spec of what acts, with paths that are right everywhere."""
    text = table.sampler or ""
    spec = _spec(reader, text, f"{key}.sampler")
    if spec.name not in POLICIES:
        raise reader.error(
            f"{key}.sampler", text, unknown_name("policy", spec.name, POLICIES.names()).removesuffix(".")
        )
    if twice := spec.options.keys() & table.sampling.keys():
        name = min(twice)
        raise reader.error(f"{key}.sampling.{name}", table.sampling[name], "the sampler says it too; say it once")
    return spec_with_paths(text, placed)


def _check_learnable(reader: Reader, table: PolicyTable, key: str) -> None:
    """Refuse sampling from less than a whole distribution."""
    for name, value in table.sampled.items():
        number = plain(value)
        if name in SAMPLED_WHOLE and isinstance(number, int | float) and not SAMPLED_WHOLE[name](number):
            why = "of greedy replies" if name == "temperature" else "of what is not sampled from the whole distribution"
            raise reader.error(f"{key}.sampling.{name}", value, f"nothing can be learnt {why}; leave it out")


def sampling_settings(reader: Reader, table: PolicyTable, key: str) -> Sampling:
    """Return how a model in this process is sampled.

    Raises:
        ConfigError: an option is unknown, or has a value that makes no sense.
    """
    return reader.table(Sampling, table.sampled, f"{key}.sampling")


def _spec(reader: Reader, text: str, key: str) -> Spec:
    try:
        return parse_spec(text, "policy")
    except ConfigError as error:
        raise ConfigError(f"{reader.file}: {key}: {error}") from None


def _check_team(base: Config, policies: Mapping[str, PolicyTable]) -> None:
    for name, agent in base.agents.items():
        if agent.policy is None:
            raise ConfigError(f'{base.file}: agents.{name}: no policy; say policy = "{next(iter(policies))}", say.')
    team = base.team  # there are agents
    if idle := next((name for name in policies if name not in team.values()), None):
        raise ConfigError(
            f'{base.file}: policies.{idle}: no agent has it; say AGENT = "{idle}" in [agents], or leave it out.'
        )


def _algorithm(reader: Reader, found: Mapping[str, Any]) -> AlgorithmTable:
    names = ALGORITHMS.names()
    if "name" not in found:
        raise ConfigError(f"{reader.file}: algorithm: no name; say name = one of {', '.join(names)}.")
    name = reader.value(found["name"], str, "algorithm.name")
    if name not in ALGORITHMS:
        raise reader.error("algorithm.name", name, unknown_name("algorithm", name, names).removesuffix("."))
    options = {key: value for key, value in found.items() if key != "name"}
    _check_keys(reader, options, "algorithm", recipe(name).options)
    return AlgorithmTable(name, options)


def _held_out(reader: Reader, found: Mapping[str, Any], placed: Callable[[str], str]) -> HeldOutTable:
    table = reader.table(HeldOutTable, found, "held_out")
    if table.set is None and table.path is None and (table.ids is None) == (table.split is None):
        raise ConfigError(
            f"{reader.file}: held_out: say which problems: another `set`, another `split` of the same set, or `ids`."
        )
    return replace(
        table,
        set=None if table.set is None else set_with_path(table.set, placed),
        path=None if table.path is None else placed(table.path),
    )


def _change(found: dict[str, Any], change: str) -> None:
    """Say a key otherwise, in place.

    Raises:
        ConfigError: it is not `table.key=value`.
    """
    path, equals, text = change.partition("=")
    names = [name.strip() for name in path.split(".")]
    if not equals or not all(names):
        raise ConfigError(f"--set {change!r} is not table.key=value, such as training.steps=3.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    place = found
    for name in names[:-1]:
        inner = place.setdefault(name, {})
        if name == "problems" and isinstance(inner, str):  # the short form
            inner = place[name] = {"set": inner}
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {change!r}: {name}={inner!r:.100} is no table.")
        place = inner
    place[names[-1]] = value
