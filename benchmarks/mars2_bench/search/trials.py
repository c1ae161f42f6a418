"""Trials of searches: one tree for each (search, team, problem, seed), kept in a folder so that none is grown twice.

    config.json      what all trials of the folder have in common: budget, score, sandbox, hashes of the problem sets
    trials.jsonl     one line for each finished tree: who wrote which node, and what it came to
    verdicts.jsonl   one line for each distinct program of a problem: its verdict on public and hidden tests

A program is judged once, on public and hidden tests together; the episode is told the public part alone, which is what
the judge would have said of the public tests by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import msgspec

import mars2_env
from mars2_env.base.journal import Journal, claim, read_journal
from mars2_env.base.spec import parse_spec
from mars2_env.episode import Episode
from mars2_env.errors import ConfigError
from mars2_env.judge import Judge
from mars2_env.problems import ProblemSet
from mars2_env.sandbox import Sandbox
from mars2_env.tasks import Task
from mars2_env.tasks.policies import make_policy
from mars2_env.testing import NoisePolicy
from mars2_env.testing.mutation import Reference
from mars2_env.types import Policy, Problem, Verdict

Key: TypeAlias = tuple[str, str, str, int]
"""Search, team, problem, seed."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One finished tree; lists have one entry for each node, in order.

    `agents` are the indices of the authors, `parents` the nodes that they expanded (0: the root), `scores` are those on
    public tests, `hidden` says whether the program passes the hidden ones.
    """

    search: str
    team: str
    problem: str
    seed: int
    agents: tuple[int, ...]
    parents: tuple[int, ...]
    scores: tuple[float, ...]
    hidden: tuple[bool, ...]

    @property
    def key(self) -> Key:
        """What the trial is of."""
        return self.search, self.team, self.problem, self.seed


def search_options(search: str) -> dict[str, str]:
    """Return the task options of a search: `SELECTOR` or `preset:NAME`, then `;option=value` of a task.

    Raises:
        ConfigError: a part is not `option=value`.
    """
    first, *others = (part.strip() for part in search.split(";"))
    options = {"preset": first.removeprefix("preset:")} if first.startswith("preset:") else {"selector": first}
    for part in others:
        name, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(f"search {search!r}: {part!r} is not option=value, such as prompts=feedback=off.")
        options[name] = value
    return options


def parse_team(text: str) -> tuple[str, list[str]]:
    """Return name and policy specs of a team `NAME=SPEC SPEC ...`, one spec for each agent.

    Raises:
        ConfigError: the text has another form.
    """
    name, equals, specs = text.partition("=")
    if not equals or not name.strip() or not specs.split():
        raise ConfigError(f"team {text!r} is not NAME=SPEC SPEC ..., such as unequal=noise:strong noise:weak.")
    return name.strip(), specs.split()


class _KnownReference(Reference):
    """A reference that remembers what it wrote and which slips it found: a benchmark meets few programs, often."""

    def __init__(self, program: str) -> None:
        super().__init__(program)
        self._written: dict[tuple[tuple[int, int], ...], str] = {}
        self._found: dict[str, dict[int, int] | None] = {}

    def write(self, slips: Mapping[int, int]) -> str:
        key = tuple(sorted(slips.items()))
        if key not in self._written:
            self._written[key] = super().write(slips)
        return self._written[key]

    def slips(self, program: str) -> dict[int, int] | None:
        if program not in self._found:
            self._found[program] = super().slips(program)
        return self._found[program]


class KnownReferences(NoisePolicy):
    """A `NoisePolicy` with the same replies, quicker where it meets the same programs again."""

    def reference(self, problem: str) -> Reference:
        """Return the reference of a problem, which all policies of this class share."""
        program = self._programs.get(problem)
        if program is None:
            return super().reference(problem)
        with _references_lock:
            if program not in _references:
                _references[program] = _KnownReference(program)
            return _references[program]


_references: dict[str, Reference] = {}
_references_lock = Lock()


def policy_of(spec: str, problems: ProblemSet) -> Policy:
    """Return the policy of a spec, simulated ones with shared references."""
    policy = make_policy(spec, problems=problems)
    if parse_spec(spec).name != "noise" or type(policy) is not NoisePolicy:
        return policy
    return KnownReferences(problems, policy.profile, name=policy.name)


class Verdicts:
    """Judges each distinct program of a problem once, on public and hidden tests, and keeps the verdicts in a file."""

    def __init__(self, path: Path, sandbox: Sandbox) -> None:
        """Open the file, which may hold verdicts already.

        Raises:
            LogError: it is not a file of verdicts.
        """
        self.judge = Judge(sandbox)
        self.judged = 0
        self._lock = Lock()
        self._known: dict[str, Future[Verdict]] = {}
        for key, verdict in read_journal(path, tuple[str, Verdict]):
            self._known[key] = Future()
            self._known[key].set_result(verdict)
        self._journal = Journal(path)

    def __call__(self, problem: Problem, program: str) -> Verdict:
        """Return the verdict on public and hidden tests; safe to call from several threads.

        Raises:
            SandboxError: the sandbox could not decide.
        """
        key = blake2b(msgspec.json.encode((problem.id, program)), digest_size=16).hexdigest()
        with self._lock:
            known = self._known.get(key)
            if known is None:
                mine = self._known[key] = Future()
        if known is not None:
            return known.result()
        try:
            verdict = self.judge.grade(problem, program, tests=("public", "hidden"))
        except BaseException as error:
            mine.set_exception(error)
            with self._lock:
                del self._known[key]  # whoever asks next has another go
            raise
        with self._lock:
            self.judged += 1
            self._journal.append(msgspec.json.encode((key, verdict)))
        mine.set_result(verdict)
        return verdict

    def close(self) -> None:
        """Close the file."""
        self._journal.close()


def play(
    task: Task, search: str, team: str, policies: Mapping[str, Policy], problem: Problem, seed: int, verdicts: Verdicts
) -> Trial:
    """Grow one tree and return what became of it."""
    episode = Episode(
        problem.public_view(), task.agents, task.selector, task.budget, seed, rules=task.rules, prompts=task.prompts
    )
    passes: dict[int, bool] = {}  # node -> whether it passes the hidden tests; 0 is the seed node of a repair problem

    def graded(program: str, node: int) -> Verdict:
        whole = verdicts(problem, program)
        passes[node] = whole.group("hidden").passed
        return Verdict(groups={"public": whole.groups["public"]}, feedback=whole.feedback)

    if episode.awaits_seed:
        episode.plant(graded(problem.seed_program or "", 0))
    while not episode.done:
        turn = episode.ask()
        (reply,) = policies[turn.agent].act([turn])
        submission = episode.submit(turn, reply)
        verdict = submission.verdict
        node = len(episode.nodes) + 1
        if verdict is None:
            verdict = graded(submission.program or "", node)
        else:
            passes[node] = submission.duplicate_of is not None and passes[submission.duplicate_of]
        episode.tell(turn, reply, verdict)
    index = {agent: number for number, agent in enumerate(task.agents)}
    return Trial(
        search=search,
        team=team,
        problem=problem.id,
        seed=seed,
        agents=tuple(index[node.agent] for node in episode.nodes),
        parents=tuple(node.parent for node in episode.nodes),
        scores=tuple(node.score for node in episode.nodes),
        hidden=tuple(passes[node.id] for node in episode.nodes),
    )


@dataclass(frozen=True)
class Plan:
    """What is compared: every search with every team on every problem under every seed."""

    searches: Sequence[str]
    teams: Mapping[str, Sequence[str]]
    sets: Sequence[ProblemSet]
    problems: int
    seeds: int
    budget: int
    score: str = "pass"

    def tasks(self) -> dict[tuple[str, str, str], Task]:
        """Return the task of each (search, team, problem set); a spec that makes no sense is an error before the start.

        Raises:
            ConfigError: a search or team makes no sense.
        """
        shared: dict[str, Any] = {"score": self.score, "score_on": "public"}
        return {
            (search, name, problems.name): mars2_env.task(
                problems, agents=len(specs), budget=self.budget, **{**shared, **search_options(search)}
            )
            for search in self.searches
            for name, specs in self.teams.items()
            for problems in self.sets
        }

    def chosen(self, problems: ProblemSet) -> list[Problem]:
        """Return up to `problems` problems of a set, evenly spaced over it, of those that a team can play."""
        playable = [problem for problem in problems if problem.reference is not None and problem.hidden]
        step = max(len(playable) / self.problems, 1.0)
        return [playable[int(number * step)] for number in range(min(self.problems, len(playable)))]

    def listed(self) -> list[tuple[ProblemSet, Problem, Key]]:
        """Return every trial, problem by problem, so that programs are judged while others search."""
        return [
            (problems, problem, (search, team, problem.id, seed))
            for problems in self.sets
            for problem in self.chosen(problems)
            for seed in range(self.seeds)
            for team in self.teams
            for search in self.searches
        ]

    def config(self, sandbox: Sandbox) -> dict[str, Any]:
        """Return what all trials of a folder have in common."""
        return {
            "budget": self.budget,
            "score": self.score,
            "sandbox": sandbox.identity,
            "package": mars2_env.__version__,
            "sets": {problems.name: problems.hash for problems in self.sets},
        }


class Trials:
    """The trials of a folder: read what is there, run what is missing."""

    def __init__(self, out: Path, plan: Plan, sandbox: Sandbox) -> None:
        """Open the folder.

        Raises:
            LogError: it holds trials of another budget, score, sandbox or problem set.
        """
        self.plan = plan
        self.tasks = plan.tasks()
        _claim(out / "config.json", plan.config(sandbox))
        self._path = out / "trials.jsonl"
        self.teams = {name: " ".join(specs) for name, specs in plan.teams.items()}
        self.done: dict[Key, Trial] = {trial.key: trial for trial in read_journal(self._path, Trial)}
        self.verdicts = Verdicts(out / "verdicts.jsonl", sandbox)

    def missing(self) -> list[tuple[ProblemSet, Problem, Key]]:
        """Return the trials of the plan that are not there yet."""
        return [one for one in self.plan.listed() if self._stored(one[2]) not in self.done]

    def _stored(self, key: Key) -> Key:
        """Return a key as it is stored: a team by its policies, so that its name may change."""
        search, team, problem, seed = key
        return search, self.teams[team], problem, seed

    def run(self, threads: int) -> Iterator[Trial]:
        """Grow the trees that are missing, and yield each when it is stored.

        Raises:
            SandboxError: the sandbox could not decide; what is done is kept.
        """
        seated = {
            (name, problems.name): [policy_of(spec, problems) for spec in specs]
            for name, specs in self.plan.teams.items()
            for problems in self.plan.sets
        }

        def grow(problems: ProblemSet, problem: Problem, key: Key) -> Trial:
            search, team, _, seed = key
            task = self.tasks[search, team, problems.name]
            policies = dict(zip(task.agents, seated[team, problems.name], strict=True))
            return play(task, search, self.teams[team], policies, problem, seed, self.verdicts)

        waiting = iter(self.missing())
        running: set[Future[Trial]] = set()
        journal = Journal(self._path)
        pool = ThreadPoolExecutor(threads)
        try:
            while True:
                while len(running) < 2 * threads and (one := next(waiting, None)) is not None:
                    running.add(pool.submit(grow, *one))
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    trial = future.result()
                    journal.append(msgspec.json.encode(trial))
                    self.done[trial.key] = trial
                    yield trial
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            journal.close()

    def of(self, search: str, team: str) -> list[Trial]:
        """Return the trials of a search with a team, in the order of the plan.

        Raises:
            LookupError: one of them is not there yet.
        """
        return [self.done[self._stored(key)] for _, _, key in self.plan.listed() if (key[0], key[1]) == (search, team)]


def _claim(path: Path, config: dict[str, Any]) -> None:
    """Write down what a folder's trials have in common, or check that it is the same; problem sets may be added."""

    def of_the_same_sets(found: dict[str, Any]) -> dict[str, Any]:
        sets: dict[str, str] = found.get("sets", {})
        return {**config, "sets": {name: config["sets"].get(name, digest) for name, digest in sets.items()}}

    def of_all_sets(found: dict[str, Any]) -> dict[str, Any]:
        return {**config, "sets": {**found.get("sets", {}), **config["sets"]}}

    claim(path, config, wanted=of_the_same_sets, joined=of_all_sets)
