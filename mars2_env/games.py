"""A task, and one play of it: what every driver (environment, rollout engine, command line) does the same way.

A `Task` says what is played: problems, agents, budget, selector, rules, rewards. A `Match` is one play of it on one
problem: the episode with its log, opened or resumed, and the grading of replies. Drivers add only who is asked when.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import msgspec

from mars2_env import __version__
from mars2_env.episode import Episode, Rules, StopRule, Submission, name_of
from mars2_env.errors import ConfigError, LogError, PolicyError, SandboxError, unknown_name
from mars2_env.events import Event
from mars2_env.judge import Judge
from mars2_env.judge.checkers import checker
from mars2_env.log import Header, LogWriter, Tree, log_path, make_episode, task_hash, tree_of
from mars2_env.problems import ProblemSet, load_problems
from mars2_env.prompt import Prompts, TemplatesByAgent, prompts_config
from mars2_env.rewards import REWARDS
from mars2_env.sandbox import Sandbox, make_sandbox
from mars2_env.search.budget import MAX_NODES, Budget, Usage
from mars2_env.search.choice import Selector
from mars2_env.search.selectors import selector_config
from mars2_env.search.tree import checked_score
from mars2_env.specs import make_policy
from mars2_env.types import Limits, Node, Policy, Problem, Reply, RewardModel, Turn, Verdict

Share: TypeAlias = Literal["own", "team"]
Api: TypeAlias = Literal["aec", "parallel", "gymnasium"]
OnFault: TypeAlias = Literal["void", "raise"]


@dataclass(frozen=True, slots=True)
class Game:
    """What sets one game apart from the others.

    Attributes:
        apis: the interfaces it comes in, the default first.
        selector: whether a selector picks agent and parent.
        rounds: whether agents act in fixed order, one turn each a round, so that the budget is whole rounds.
        generators: whether generator policies write the programs, and observations are numbers.
    """

    apis: tuple[Api, ...]
    selector: bool = False
    rounds: bool = False
    generators: bool = False


GAMES: Final[Mapping[str, Game]] = {
    "write": Game(("aec",), selector=True),
    "play": Game(("aec", "parallel"), rounds=True),
    "place": Game(("aec", "parallel"), rounds=True, generators=True),
    "route": Game(("gymnasium",), generators=True),
}
"""The games by name; what an agent controls in each is told in the docstring of its environment's class."""

DEFAULT_GENERATOR: Final = "noise:default"

Generators: TypeAlias = Policy | str | Mapping[str, Policy | str] | Sequence[Policy | str]
"""One policy or spec for every agent, a mapping from agent to its own, or one for each agent in order."""

AGENT_NAME = re.compile(r"[a-z]+_[0-9]+")


def agent_names(agents: int | Mapping[str, str] | list[str] | tuple[str, ...]) -> dict[str, str]:
    """Return agent name -> role for a number of agents, a list of names, or a mapping from name to role.

    Names follow PettingZoo's rule `[a-z]+_[0-9]+`; a bare word gets the next free number, so that `coder` becomes
    `coder_0` and two `coder`s become `coder_0` and `coder_1`.

    Raises:
        ConfigError: there is no agent, or a name is of another form.
    """
    if isinstance(agents, int) and not isinstance(agents, bool):
        if agents < 1:
            raise ConfigError(f"agents={agents!r}: at least one agent is needed.")
        agents = ["agent"] * agents
    named_well = isinstance(agents, Mapping | list | tuple) and all(isinstance(name, str) for name in agents)
    if not named_well or (isinstance(agents, Mapping) and not all(isinstance(r, str) for r in agents.values())):
        raise ConfigError(f"agents={agents!r:.200}: give a number, a list of names, or a mapping from name to role.")
    pairs = list(agents.items()) if isinstance(agents, Mapping) else [(name, "") for name in cast(list[str], agents)]
    if not pairs:
        raise ConfigError(f"agents={agents!r}: at least one agent is needed.")
    taken = {name for name, _ in pairs if AGENT_NAME.fullmatch(name)}
    named: dict[str, str] = {}
    for name, role in pairs:
        full = name
        if re.fullmatch(r"[a-z]+", name):
            number = 0
            while (full := f"{name}_{number}") in taken:
                number += 1
            taken.add(full)
        elif not AGENT_NAME.fullmatch(name):
            raise ConfigError(
                f"agent name {name!r}: use lower-case letters, with a number if you like (coder, coder_0)."
            )
        if full in named:
            raise ConfigError(f"agent name {full!r} is given twice.")
        named[full] = role
    return named


@dataclass(frozen=True)
class Task:
    """One game on one problem set; built by `mars2_env.task`, which fills in defaults and checks combinations.

    Attributes:
        problems: the problem set of one split.
        agents: agent name -> what its prompts say of its role.
        budget: what a tree may spend (`mars2_env.Budget`).
        selector: picks agent and parent in `write`; None elsewhere.
        rules: game, score, score_on, observe, stop_on_solved, patience, model_weight, max_faults.
        prompts: how agents are asked: with which words, what is quoted, within how many tokens.
        reward: what environments pay: `progress` (increase of the tree's best score), `score` (of the new node),
            `difference` (change of what the tree's best score owes to each agent), or one of `register_reward`.
        share: to whom: `own` (the acting agent) or `team` (every agent).
        api: `aec`, `parallel` or `gymnasium`.
        reward_model: gives each program a score besides that of the tests; `rules.model_weight` mixes it into what
            selectors see, and `evaluate(answer="reward")` chooses by it.
        stop_when: a stop rule of the caller's own, called with the episode after each outcome (`Episode`).
        generators: in `place` and `route`, who writes the programs (`seat` makes the policies); None elsewhere.
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
    reward: str = "progress"
    share: Share = "own"
    api: Api = "aec"
    generators: Generators | None = None
    on_fault: OnFault = "void"
    sandbox: str | Sandbox = "auto"
    limits: Limits | None = None
    strict_types: bool = False
    render_mode: str | None = None
    out: str | Path | None = None
    reward_model: RewardModel | None = None
    stop_when: StopRule | None = None
    id: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, known in (
            ("share", get_args(Share)),
            ("api", get_args(Api)),
            ("on_fault", get_args(OnFault)),
            ("render_mode", ("ansi", "human", None)),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r} is not one of {', '.join(map(str, known))}.")
        REWARDS.find(self.reward)
        if not isinstance(self.sandbox, str | Sandbox):
            raise ConfigError(f"sandbox={self.sandbox!r:.200} is neither a kind nor a sandbox.")
        if self.limits is not None and not isinstance(self.limits, Limits):
            raise ConfigError(f"limits={self.limits!r:.200} is not a Limits, such as Limits(cpu_seconds=1).")
        if self.out is not None and (not isinstance(self.out, str | Path) or not str(self.out)):
            raise ConfigError(f"out={self.out!r:.200} is not a folder.")
        if not isinstance(self.strict_types, bool):
            raise ConfigError(f"strict_types={self.strict_types!r:.200} must be True or False.")
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
        some = next(iter(self.problems)).public_view()
        for agent, role in self.agents.items():  # a role that leaves no room for a problem is known at once
            self.prompts.check_room(some, role, agent, play=self.rules.game == "play", own=self.rules.observe == "own")
        templates = self.prompts.templates
        strangers = templates.unknown(self.agents) if isinstance(templates, TemplatesByAgent) else []
        if strangers:
            raise ConfigError(unknown_name("agent in prompts", strangers[0], self.agents))
        for name in {problem.checker for problem in self.problems if problem.checker is not None}:
            checker(name)
        lacking = [problem.id for problem in self.problems if not all(map(problem.tests, self.rules.tests))]
        if lacking:
            raise ConfigError(
                f"score_on={self.rules.score_on!r}: {len(lacking)} of {len(self.problems)} problems of "
                f"{self.problems.name!r} lack {' or '.join(self.rules.tests)} tests, such as {lacking[0]!r}."
            )

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
        whole = self.budget.nodes == MAX_NODES or self.budget.agents or self.budget.nodes % len(self.agents) == 0
        if game.rounds and not whole:
            raise ConfigError(
                f"{name}: a budget of {self.budget.nodes} nodes is not a whole number of rounds of "
                f"{len(self.agents)} agents; use a multiple of {len(self.agents)}."
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
        if self.stop_when is not None:
            config["stop_when"] = name_of(self.stop_when)
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(config))  # as a log gives it back
        return plain

    def problem(self, id: str) -> Problem:
        """Return a problem by id, under this task's limits."""
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
    """Load the problem set that a task's `source` describes."""
    return load_problems(
        source["problems"], path=source.get("path"), split=source.get("split"), **source.get("problem_options", {})
    )


_shared: dict[str, Sandbox] = {}
_shared_lock = Lock()


def _new_lock() -> None:
    global _shared_lock
    _shared_lock = Lock()


os.register_at_fork(after_in_child=_new_lock)  # a thread that held it at the fork is not there to let go of it


def shared_sandbox(kind: str) -> Sandbox:
    """Return the sandbox of a kind that this process shares; it closes with the process.

    Raises:
        SandboxUnavailableError: there is none on this machine; the message says what to do.
    """
    with _shared_lock:
        if kind not in _shared:
            _shared[kind] = make_sandbox(kind)
        return _shared[kind]


def sandbox_of(task: Task) -> Sandbox:
    """Return the sandbox of a task: its own, or the one that this process shares for that kind."""
    return shared_sandbox(task.sandbox) if isinstance(task.sandbox, str) else task.sandbox


def seat(task: Task, team: Generators) -> dict[str, Policy]:
    """Return the policy of every agent; specs are built, equal ones once.

    Args:
        task: whose agents are to be seated; simulated policies need its problems' reference programs.
        team: a policy or spec for every agent, a mapping from agent to its own, or one for each agent in order.

    Raises:
        ConfigError: an agent has no policy, or a policy no agent.
        PolicyError: something is not a policy.
    """
    given: Mapping[str, Policy | str]
    if isinstance(team, Mapping):
        given = team
    elif isinstance(team, list | tuple):
        if len(team) != len(task.agents):
            raise ConfigError(f"{len(team)} policies for {len(task.agents)} agents ({', '.join(task.agents)}).")
        given = dict(zip(task.agents, team, strict=True))
    else:
        given = dict.fromkeys(task.agents, cast(Policy | str, team))
    if set(given) != set(task.agents):
        raise ConfigError(f"the team is for {sorted(given)}, and the task's agents are {sorted(task.agents)}.")
    built: dict[str, Policy] = {}
    seated: dict[str, Policy] = {}
    for agent in task.agents:
        policy = given[agent]
        if isinstance(policy, str):
            if policy not in built:
                built[policy] = make_policy(policy, problems=task.problems)
            policy = built[policy]
        if isinstance(policy, type) or not isinstance(policy, Policy):
            raise PolicyError(f"the policy of {agent} is {policy!r}; an object with act(turns) is needed.")
        seated[agent] = policy
    return seated


def calls(policies: Mapping[str, Policy], turns: Sequence[Turn]) -> list[list[int]]:
    """Return the places of the turns that one call of a policy answers, a list for each call.

    A policy that several agents share is called once, and policies that share a `batch_key` (one model) act together.
    """
    groups: dict[Hashable, list[int]] = {}
    for place, turn in enumerate(turns):
        policy = policies[turn.agent]
        groups.setdefault(getattr(policy, "batch_key", id(policy)), []).append(place)
    return list(groups.values())


def call(policies: Mapping[str, Policy], turns: Sequence[Turn]) -> list[Reply]:
    """Return the reply to each turn of one call, in order.

    Raises:
        PolicyError: the policy did not return one `Reply` a turn.
    """
    policy = policies[turns[0].agent]
    if hasattr(policy, "act_together"):
        replies = policy.act_together([(policies[turn.agent], turn) for turn in turns])
    else:
        replies = policy.act(list(turns))
    if not isinstance(replies, list) or len(replies) != len(turns):
        raise PolicyError(f"{policy!r} returned {replies!r:.200} for {len(turns)} turns; one Reply each is needed.")
    for turn, reply in zip(turns, replies, strict=True):
        if not isinstance(reply, Reply):
            raise PolicyError(f"{policy!r} returned {reply!r:.200} for turn {turn.id}; a Reply is needed.")
    return replies


class Match:
    """One play of a task on one problem: the episode, its events, its log, and the judge.

    `on_event`, if set, is called with each new event after it is written and before it takes effect.
    """

    def __init__(
        self,
        task: Task,
        problem: str,
        seed: int,
        *,
        out: str | Path | None = None,
        resume: bool = False,
    ) -> None:
        """Begin, or go on where the log in `out` stops.

        Args:
            task: what is played.
            problem: the id of the problem.
            seed: with the problem's id, the source of all randomness.
            out: run folder to log to; None keeps the events in memory alone.
            resume: whether a log that is there already is gone on with; else it is an error.

        Raises:
            LogError: the log in `out` belongs to another configuration, or is there already and not to be resumed.
        """
        self.task = task
        self.problem = task.problem(problem)
        sandbox = sandbox_of(task)
        self.judge = Judge(sandbox, strict_types=task.strict_types)
        self.header = task.header(problem, seed, sandbox.identity)
        self.events: list[Event] = []
        self.writer = None if out is None else LogWriter(log_path(out, problem, seed), self.header)
        self.on_event: Callable[[Event], None] | None = None
        self.episode: Episode = make_episode(
            self.header,
            self.problem.public_view(),
            task.selector,
            on_event=self._record,
            prompts=task.prompts,
            stop_when=task.stop_when,
        )
        if self.writer is not None:
            if self.writer.events and not resume:
                self.writer.close()
                raise LogError(
                    f"{self.writer.path} holds this tree already; environments begin trees and never resume them: "
                    "use another `out` folder (or seed), or `rollout` to resume."
                )
            for event in self.writer.events:
                self.events.append(event)
                self.episode.apply(event)
            self.episode.settle()

    def judge_seed(self) -> Verdict:
        """Return the verdict on the program that a repair problem starts from; safe to call from another thread.

        Raises:
            SandboxError: the sandbox could not decide, `max_faults` times in a row (once with `on_fault="raise"`).
        """
        tries = 1 if self.task.on_fault == "raise" else self.task.rules.max_faults
        for _ in range(tries - 1):
            try:
                return self.run(Submission(self.problem.seed_program, None))
            except SandboxError:
                continue
        return self.run(Submission(self.problem.seed_program, None))

    def _record(self, event: Event) -> None:
        if self.writer is not None:
            self.writer(event)
        self.events.append(event)
        if self.on_event is not None:
            self.on_event(event)

    def grade(self, turn: Turn, reply: Reply) -> Verdict:
        """Return the verdict on a reply; what needs no running is not run.

        Raises:
            SandboxError: the sandbox could not decide; the turn is to be failed.
        """
        submission = self.episode.submit(turn, reply)
        if submission.verdict is not None:
            return submission.verdict
        return self.run(submission)

    def run(self, submission: Submission) -> Verdict:
        """Return the verdict on a submission that needs running; safe to call from several threads.

        Raises:
            SandboxError: the sandbox could not decide; the turn is to be failed.
        """
        rules = self.task.rules
        return self.judge.grade(self.problem, submission.program or "", tests=rules.tests, stop=rules.stop)

    def tell(self, turn: Turn, reply: Reply, verdict: Verdict, usage: Usage | None = None) -> Node | None:
        """Tell the episode an outcome, with what a reward model says of the program, and return the node it added.

        Raises:
            PolicyError: the reward model did not return one score in [0, 1].
        """
        rating = None if self.task.reward_model is None else self._rate(self.episode.submit(turn, reply))
        return self.episode.tell(turn, reply, verdict, model_score=rating, usage=usage)

    def _rate(self, submission: Submission) -> float | None:
        model = self.task.reward_model
        if model is None or submission.program is None or submission.duplicate_of is not None:
            return None
        scores = model.score(self.episode.problem, [submission.program])
        try:
            (score,) = scores
            return checked_score(score)
        except (TypeError, ValueError):
            raise PolicyError(
                f"reward model {model!r:.200} returned {scores!r:.200} for one program; one score in [0, 1] is needed."
            ) from None

    def fault(self, turn: Turn, error: SandboxError) -> None:
        """Void a turn after a sandbox fault, or raise it where the task says so."""
        if self.task.on_fault == "raise":
            raise error
        self.episode.fail(turn, str(error))

    def tree(self) -> Tree:
        """Return the tree as it stands."""
        path = None if self.writer is None else self.writer.path
        return tree_of(self.header, tuple(self.events), self.episode, path)

    def close(self) -> None:
        """Close the log; it can be resumed later."""
        if self.writer is not None:
            self.writer.close()
