"""A task: what is played, as frozen data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from mars2_env.base.abilities import keeps
from mars2_env.base.checks import flag, is_path, one_of, text, whole_number
from mars2_env.episode import Rules, StopRule, name_of
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.judge.checkers import checker
from mars2_env.log import Header, schema_of, task_hash
from mars2_env.problems import ProblemSet, load_problems
from mars2_env.prompt import Prompts, TemplatesByAgent, prompts_config
from mars2_env.rewards import REWARDS, Reward
from mars2_env.sandbox import Sandbox, check_kind
from mars2_env.search.budget import MAX_NODES, Budget
from mars2_env.search.choice import Selector
from mars2_env.search.selectors import selector_config
from mars2_env.tasks.game import GAMES, Api, Game
from mars2_env.tasks.policies import identity_of
from mars2_env.tasks.team import Generators
from mars2_env.types import Clues, Limits, Problem, RewardModel
from mars2_env.version import __version__

Share: TypeAlias = Literal["own", "team"]
OnFault: TypeAlias = Literal["void", "raise"]


@dataclass(frozen=True)
class Task:
    """One game on one problem set; built by `mars2_env.task`, which fills in defaults and checks combinations.

    Attributes:
        problems: the problem set of one split.
        agents: agent name -> what its prompts say of its role.
        budget: what a tree may spend (`mars2_env.Budget`).
        selector: picks agent and parent in `write`; None elsewhere.
        rules: game, score, score_on, observe, generators_observe, rounds, stop_on_solved, patience, model_weight,
            max_faults.
        prompts: how agents are asked: with which words, what is quoted, within how many tokens.
        reward: what environments pay: `progress` (increase of the tree's best score), `score` (of the new node),
            `difference` (change of what the tree's best score owes to each agent), one of `register_reward`, or a
            function as that takes it.
        share: to whom: `own` (the acting agent) or `team` (every agent).
        api: `aec`, `parallel` or `gymnasium`.
        reward_model: gives each program a score besides that of the tests; `rules.model_weight` mixes it into what
            selectors see, and `evaluate(answer="reward")` chooses by it.
        stop_when: a stop rule of the caller's own, called with the episode after each outcome (`Episode`).
        generators: in `place` and `route`, who writes the programs (`seat` makes the policies); None elsewhere.
        cards: in `place`, whether each agent observes the card of its own generator (`ShowsCard`).
        clues: in `place` and `route`, what tells every observer something of the problem; None: nothing does.
        on_fault: a sandbox fault makes a void turn (`void`) or is raised (`raise`).
        sandbox: a kind for `make_sandbox` (one per kind is shared by the process) or a sandbox of your own.
        limits: overrides the problems' own limits.
        strict_types: whether the judge compares call results in the exact form.
        render_mode: `ansi`, `human` or None.
        out: a run folder in which environments log their trees; None for no log.
        id: the environment id, None where anything was overridden.
        source: how the problems were loaded, so that `evaluate` can load them again.
    """

    problems: ProblemSet
    agents: Mapping[str, str]
    budget: Budget
    selector: Selector | None
    rules: Rules = field(default_factory=Rules)
    prompts: Prompts = field(default_factory=Prompts)
    reward: str | Reward = "progress"
    share: Share = "own"
    api: Api = "aec"
    generators: Generators | None = None
    cards: bool = False
    clues: Clues | None = None
    on_fault: OnFault = "void"
    sandbox: str | Sandbox = "auto"
    limits: Limits | None = None
    strict_types: bool = False
    render_mode: str | None = None
    out: str | os.PathLike[str] | None = None
    reward_model: RewardModel | None = None
    stop_when: StopRule | None = None
    id: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("share", self.share, get_args(Share))
        one_of("api", self.api, get_args(Api))
        one_of("on_fault", self.on_fault, get_args(OnFault))
        one_of("render_mode", self.render_mode, ("ansi", "human", None))
        if isinstance(self.reward, str):
            REWARDS.find(self.reward)
        elif not callable(self.reward):
            raise ConfigError(
                f"reward={self.reward!r:.200} is neither a name ({', '.join(REWARDS.names())}) nor a function of the "
                "episode that returns pay(agent, node)."
            )
        if isinstance(self.sandbox, type) or not (isinstance(self.sandbox, str) or keeps(self.sandbox, Sandbox)):
            raise ConfigError(
                f"sandbox={self.sandbox!r:.200} is neither a kind, such as 'docker', nor a sandbox (an object of it)."
            )
        if isinstance(self.sandbox, str):
            check_kind(self.sandbox)
        if self.limits is not None and not isinstance(self.limits, Limits):
            raise ConfigError(f"limits={self.limits!r:.200} is not a Limits, such as Limits(cpu_seconds=1).")
        if self.out is not None and not is_path(self.out):
            raise ConfigError(f"out={self.out!r:.200} is not a folder.")
        flag("strict_types", self.strict_types)
        flag("cards", self.cards)
        self._check_clues()
        if self.reward_model is not None and (
            isinstance(self.reward_model, type) or not isinstance(self.reward_model, RewardModel)
        ):
            raise ConfigError(
                f"reward_model={self.reward_model!r:.200} is not an object with score(problem, programs) -> scores."
            )
        if self.rules.model_weight and self.reward_model is None:
            raise ConfigError(f"model_weight={self.rules.model_weight}: there is no reward_model to weigh.")
        if self.stop_when is not None and not callable(self.stop_when):
            raise ConfigError(f"stop_when={self.stop_when!r:.200} is not a function of the episode.")
        for agent in self.budget.agents:
            if agent not in self.agents:
                raise ConfigError(unknown_name("agent in the budget", agent, self.agents))
        if not len(self.problems):
            raise ConfigError(f"problem set {self.problems.name!r} (split {self.problems.split!r}) is empty.")
        self._check_game(GAMES[self.rules.game])
        templates = self.prompts.templates
        strangers = templates.unknown(self.agents) if isinstance(templates, TemplatesByAgent) else []
        if strangers:
            raise ConfigError(unknown_name("agent in prompts", strangers[0], self.agents))
        for name in sorted(self.problems.checkers):
            checker(name, of=next(problem.id for problem in self.problems if problem.checker == name))
        if lacking := self.problems.lacking(self.rules.tests):
            public = "" if self.problems.lacking(["public"]) else " They have public ones: say score_on='public'."
            raise ConfigError(
                f"score_on={self.rules.score_on!r}: {len(lacking)} of {len(self.problems)} problems of "
                f"{self.problems.name!r} lack {' or '.join(self.rules.tests)} tests, such as {lacking[0]!r}.{public}"
            )
        free = [agent for agent in self.agents if agent not in self.budget.agents]
        if not self.budget.limits and free and self.rules.patience is None and self.stop_when is None:
            raise ConfigError(
                f"budget={self.budget}: nothing limits {free[0]}, so that a tree may never end; give the tree a limit "
                f"too, such as nodes=8, or each agent one."
            )

    def __repr__(self) -> str:
        """What is played, in short; `config()` has all that decides a tree."""
        selector = "" if self.selector is None else f", selector={selector_config(self.selector)['name']!r}"
        named = "" if self.id is None else f"{self.id!r}, "
        return (
            f"Task({named}problems={self.problems!r}, game={self.rules.game!r}, agents={list(self.agents)!r}, "
            f"budget={self.budget.config()!r}{selector}, reward={self.reward!r})"
        )

    def _check_clues(self) -> None:
        if self.clues is None:
            return
        if isinstance(self.clues, type) or not keeps(self.clues, Clues):
            raise ConfigError(
                f"clues={self.clues!r:.200} is not an object with size that is called with a problem and returns so "
                "many numbers."
            )
        whole_number("size", self.clues.size, where="clues")

    def check_room(self) -> None:
        """Check that every prompt that an agent can be asked with fits: a role that is too long is known at once.

        Raises:
            ConfigError: one does not fit, whatever is cut.
        """
        some = next(iter(self.problems)).public_view()
        play, own = self.rules.game == "play", self.rules.shown == "own"
        for agent, role in self.agents.items():
            self.prompts.check_room(some, role, agent, play=play, own=own)

    def _check_game(self, game: Game) -> None:
        """Refuse combinations that make no sense."""
        name = f"game={self.rules.game!r}"
        if self.api not in game.apis:
            if game.selector:
                raise ConfigError(
                    f"{name} with api={self.api!r}: the selector picks one agent at a time, so 'write' is AEC only; "
                    "use api='aec', or game='play'."
                )
            raise ConfigError(f"{name} with api={self.api!r}: use api={' or '.join(map(repr, game.apis))}.")
        if (self.selector is not None) != game.selector:
            raise ConfigError(f"{name} with selector={self.selector!r}: only 'write' has a selector.")
        if (self.generators is not None) != game.generators:
            raise ConfigError(
                f"{name} with generators={self.generators!r:.200}: policies write the programs in 'place' and 'route', "
                "and only there."
            )
        if self.clues is not None and not game.generators:
            raise ConfigError(
                f"{name} with clues={self.clues!r:.200}: numbers are observed in 'place' and 'route' alone."
            )
        if self.cards and self.rules.game != "place":
            raise ConfigError(f"{name} with cards=True: agents with generators of their own are in 'place' alone.")
        whole = self.budget.nodes == MAX_NODES or self.budget.agents or self.budget.nodes % len(self.agents) == 0
        if game.rounds and not whole and self.rules.rounds is None:
            passing = ", or rounds=, so that they may pass" if self.rules.game == "place" else ""
            raise ConfigError(
                f"{name}: a budget of {self.budget.nodes} nodes is not a whole number of rounds of "
                f"{len(self.agents)} agents; use a multiple of {len(self.agents)}{passing}."
            )
        if self.reward == "difference" and self.share != "own":
            raise ConfigError(
                "reward='difference' with share='team': a difference is one agent's own; use share='own'."
            )
        if self.rules.game == "route":
            for option, value, only in (("share", self.share, "own"), ("observe", self.rules.observe, "all")):
                if value != only:
                    raise ConfigError(f"{name} with {option}={value!r}: one controller sees all and earns all.")
            if self.reward == "difference":
                raise ConfigError(f"{name} with reward='difference': its one controller makes all the difference.")

    def config(self) -> dict[str, Any]:
        """Return what decides a tree, but for problem, seed and replies, as plain data; it goes into log headers."""
        config = {
            "problem_set": self.problems.name,
            "split": self.problems.split,
            "agents": [[name, role] for name, role in self.agents.items()],  # a list: their order counts
            "budget": self.budget.config(),
            "selector": None if self.selector is None else selector_config(self.selector),
            "rules": self.rules.config(),
            "limits": None if self.limits is None else asdict(self.limits),
            "strict_types": self.strict_types,
            **({"prompts": prompts} if (prompts := prompts_config(self.prompts)) else {}),
        }
        if self.reward_model is not None:
            config["reward_model"] = getattr(self.reward_model, "name", type(self.reward_model).__qualname__)
        if self.cards:
            config["cards"] = True
        if self.clues is not None:
            config["clues"] = identity_of(self.clues)
        if self.stop_when is not None:
            config["stop_when"] = name_of(self.stop_when)
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(config))  # as a log gives it back
        return plain

    def problem(self, id: str) -> Problem:
        """Return a problem by id, under this task's limits.

        Raises:
            ConfigError: there is none of this id, or it is no text.
        """
        text("problem", id, where="Task.problem")
        found = self.problems[id]
        return found if self.limits is None else replace(found, limits=self.limits)

    def header(self, problem: str, seed: int, sandbox: str) -> Header:
        """Return the header of the log of one tree."""
        config = self.config()
        return Header(
            problem=problem,
            seed=seed,
            task=config,
            task_hash=task_hash(config),
            problems=self.problems.hash,
            sandbox=sandbox,
            package=__version__,
            schema=schema_of(self.rules),
        )

    def on_split(self, split: str) -> Task:
        """Return this task on another split of its problem set.

        Raises:
            ConfigError: the problems were given as an object, so that no other split can be loaded.
        """
        if split == self.problems.split:
            return self
        if not self.source:
            raise ConfigError(
                f"split={split!r}: the problems of this task were given, not loaded by name; they are of split "
                f"{self.problems.split!r}."
            )
        source = {**self.source, "split": split}
        return replace(self, problems=load_from(source), source=source, id=None)


def load_from(source: Mapping[str, Any]) -> ProblemSet:
    """Load the problem set that a task's `source` describes.

    Raises:
        ConfigError: it describes none, or there is no such set, split, option or file.
    """
    kinds: tuple[tuple[str, Any, str], ...] = (
        ("problems", str, "the name of a set, or a file"),
        ("path", str | None, "a file or folder"),
        ("split", str | None, "the name of a split"),
        ("problem_options", Mapping, "a mapping from name to value"),
    )
    for name, kind, wanted in kinds:
        if not isinstance(value := source.get(name, {} if name == "problem_options" else None), kind):
            raise ConfigError(f"{name}={value!r:.200} is not {wanted}.")
    return load_problems(
        source["problems"], path=source.get("path"), split=source.get("split"), **source.get("problem_options", {})
    )
