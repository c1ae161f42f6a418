"""Teams of language models on problem sets: the same harness, for agents that write.

    FOLDER/humaneval/nodes=16/pair/seed-0/          the run: logs of all trees, as `mars2 search` writes them
    FOLDER/humaneval/nodes=16/pair/trees-0.json     what its trees came to on hidden tests

Each team meets each problem with each seed at each budget. Equal nodes (`nodes=16`) and equal tokens (`tokens=20000`)
are budgets of their own: who thinks long wins by nodes, and who is short by tokens. A run that was killed goes on
inside its trees, and a finished one is only read. Figures are never on one board with those of the bank, and each file
has the dates of its problems, since a model may have seen what is older than itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

import mars2_env
from mars2_bench.harness.origin import commit
from mars2_bench.harness.results import Claim
from mars2_bench.harness.statistics import Comparison, Floats, compare
from mars2_env import ProblemSet, Sandbox
from mars2_env.base.journal import UNREADABLE, check_same
from mars2_env.errors import ConfigError, LogError, LogInUseError
from mars2_env.log.trace import read_trace
from mars2_env.results.paired import bootstrap_interval
from mars2_env.tasks import Task, agent_names
from mars2_env.version import __version__

SCHEMA: Final = "mars2-bench-teams/1"


class Grown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tree.

    Attributes:
        problem: its id.
        date: when the problem was published, as its set says; "" where it does not.
        nodes: how many programs were written.
        tokens: of all completions.
        answer: whether the answer, chosen by public tests, passes the hidden ones.
        any: whether some program does.
    """

    problem: str
    date: str
    nodes: int
    tokens: int
    answer: bool
    any: bool


class TeamResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: a team's trees on a problem set with one seed and one budget.

    Attributes:
        problems: the problem set's name, with its split.
        problems_hash: its hash.
        budget: of each tree, as it is written.
        team: the team's name.
        agents: agent -> spec of its policy.
        task: what else the task says, as plain data.
        seed: of the rollout.
        trees: one for each problem, in order.
        package, commit: what ran it.
        schema: of the file.
    """

    problems: str
    problems_hash: str
    budget: str
    team: str
    agents: dict[str, str]
    task: dict[str, Any]
    seed: int
    trees: tuple[Grown, ...]
    package: str
    commit: str
    schema: str = SCHEMA


@dataclass(frozen=True, slots=True)
class TeamCell:
    """One run to be done.

    Attributes:
        problems: the problem set.
        budget: of each tree.
        team: the team's name.
        agents: specs of the agents' policies, in order.
        seed: of the rollout.
        options: of the task: selector, prompts, sandbox and the like.
    """

    problems: ProblemSet
    budget: str
    team: str
    agents: tuple[str, ...]
    seed: int
    options: Mapping[str, Any]

    @property
    def set_name(self) -> str:
        """The problem set's name, with its split."""
        return f"{self.problems.name}-{self.problems.split}"

    def folder(self, out: Path) -> Path:
        """Return the folder of the team at this budget."""
        return out / self.set_name / self.budget / self.team

    def policies(self) -> dict[str, str]:
        """Return agent -> spec."""
        return dict(zip(agent_names(len(self.agents)), self.agents, strict=True))

    def task(self) -> Task:
        """Return what is played.

        Raises:
            ConfigError: an option makes no sense.
        """
        return mars2_env.task(self.problems, agents=list(self.policies()), budget=self.budget, **self.options)

    def asked(self) -> dict[str, Any]:
        """Return what a file of it has to say, as plain data."""
        return {
            "problems": self.set_name,
            "problems_hash": self.problems.hash,
            "budget": self.budget,
            "team": self.team,
            "agents": self.policies(),
            "task": {name: value for name, value in self.options.items() if isinstance(value, str | int | float)},
            "seed": self.seed,
        }

    def __str__(self) -> str:
        return f"{self.set_name} {self.budget} {self.team} seed {self.seed}"


def team_of(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the name and the specs of a team `NAME=SPEC SPEC ...`.

    Raises:
        ConfigError: the text has another form.
    """
    name, equals, specs = text.partition("=")
    if not equals or not name.strip().replace("-", "").replace("_", "").isalnum() or not specs.split():
        raise ConfigError(f"team {text!r:.200} is not NAME=SPEC SPEC ..., such as pair=hf:smollm2 noise:weak.")
    return name.strip(), tuple(specs.split())


def run_teams(
    cells: Sequence[TeamCell],
    out: Path,
    *,
    sandbox: Sandbox | None = None,
    progress: Callable[[TeamCell, int], None] = lambda cell, trees: None,
) -> Iterator[tuple[TeamCell, TeamResult | None]]:
    """Do what is not done yet, in order, and yield what each cell came to; None where another process is at it.

    Args:
        cells: what is to be there in the end.
        out: the folder.
        sandbox: where programs run; by default the one that the task's options say.
        progress: is told of each tree that is finished.

    Raises:
        LogError: what is there is of other settings, or is none.
        ConfigError: a team does not fit its task.
        PolicyError: of a policy.
    """
    for cell in cells:
        path = cell.folder(out) / f"trees-{cell.seed}.json"
        if not path.exists():
            try:
                claim = Claim(path)
            except LogInUseError:
                yield cell, None
                continue
            try:
                claim.write(_encoded(_grown(cell, out, sandbox, progress)))
            finally:
                claim.close()
        found = read_team(path)
        said = {name: getattr(found, name) for name in cell.asked()}
        check_same(path, said, cell.asked())
        yield cell, found


def _grown(cell: TeamCell, out: Path, sandbox: Sandbox | None, progress: Callable[[TeamCell, int], None]) -> TeamResult:
    """Return what the trees of a cell come to; they are grown, or gone on with, where they are not there."""
    folder = cell.folder(out) / f"seed-{cell.seed}"
    task = (cell if sandbox is None else replace(cell, options={**cell.options, "sandbox": sandbox})).task()
    tokens: dict[str, int] = {}
    for number, tree in enumerate(mars2_env.rollout(task, cell.policies(), seed=cell.seed, out=folder), start=1):
        assert tree.path is not None
        tokens[tree.problem] = sum(trace.completion_tokens for trace in read_trace(tree.path).values())
        progress(cell, number)
    results = mars2_env.evaluate(folder, problems=cell.problems, sandbox=sandbox)
    graded = {one.problem: one for one in results.trees}
    if results.missing:
        raise LogError(
            f"{folder}: {results.missing} trees are missing, which faults ended or another run is growing; run again."
        )
    trees = []
    for problem in cell.problems:
        one = graded[problem.id]
        date = str(problem.metadata.get("contest_date", problem.metadata.get("date", "")))
        trees.append(Grown(problem.id, date, one.nodes, tokens[problem.id], one.answer_passed, one.nodes_passed > 0))
    return TeamResult(**cell.asked(), trees=tuple(trees), package=__version__, commit=commit())


def _encoded(result: TeamResult) -> bytes:
    return msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n"


def read_team(path: Path) -> TeamResult:
    """Return the result of a file.

    Raises:
        LogError: it cannot be read, or is none.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=TeamResult)
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror}.") from None
    except UNREADABLE as error:
        raise LogError(f"{path} is no result of mars2 bench teams: {error}") from None
    if found.schema != SCHEMA:
        raise LogError(f"{path} has the schema {found.schema!r:.60}, and this version reads {SCHEMA!r}.")
    return found


@dataclass(frozen=True, slots=True)
class TeamRow:
    """One team at one budget on one problem set, over seeds.

    Attributes:
        team: its name.
        seeds: the seeds.
        answers: whether answers pass the hidden tests, shape (seeds, problems): Pass@1(MCTS).
        any: whether some program does, likewise: Pass@N.
        interval: the 95 % bootstrap interval of Pass@1(MCTS), over problems.
        nodes, tokens: of a tree, on average.
    """

    team: str
    seeds: tuple[int, ...]
    answers: Floats
    any: Floats
    interval: tuple[float, float]
    nodes: float
    tokens: float


@dataclass(frozen=True, slots=True)
class TeamTable:
    """All teams on one problem set at one budget, best first, and how each does against the one below it."""

    problems: str
    budget: str
    dates: tuple[str, str]
    rows: tuple[TeamRow, ...]
    over_next: tuple[Comparison, ...]


def team_tables(results: Iterable[TeamResult]) -> list[TeamTable]:
    """Return the tables, in order of problem sets and budgets.

    Raises:
        LogError: results that make a table are not of the same problems and task, or those of a row not of one team.
    """
    found: dict[tuple[str, str], dict[str, list[TeamResult]]] = {}
    for one in sorted(results, key=lambda one: (one.problems, one.budget, one.team, one.seed)):
        found.setdefault((one.problems, one.budget), {}).setdefault(one.team, []).append(one)
    return [_team_table(*key, list(teams.values())) for key, teams in found.items()]


def _team_table(problems: str, budget: str, teams: list[list[TeamResult]]) -> TeamTable:
    first = teams[0][0]
    for results in teams:
        for one in results:
            where = f"{problems} {budget} {one.team} seed {one.seed}"
            check_same(where, _alike(one), _alike(first))
            check_same(where, one.agents, results[0].agents, "agents")
    rows = sorted((_team_row(results) for results in teams), key=lambda row: (-row.answers.mean(), row.team))
    dates = sorted(tree.date for tree in first.trees if tree.date) or [""]
    return TeamTable(
        problems,
        budget,
        (dates[0], dates[-1]),
        tuple(rows),
        tuple(compare(one.answers, other.answers) for one, other in pairwise(rows)),
    )


def _alike(one: TeamResult) -> dict[str, Any]:
    """Return what all results of a table have in common."""
    return {
        "problems_hash": one.problems_hash,
        "task": one.task,
        "problems": [tree.problem for tree in one.trees],
    }


def _team_row(results: Sequence[TeamResult]) -> TeamRow:
    def table(name: str) -> Floats:
        return np.array([[float(getattr(tree, name)) for tree in one.trees] for one in results])

    answers = table("answer")
    return TeamRow(
        results[0].team,
        tuple(one.seed for one in results),
        answers,
        table("any"),
        bootstrap_interval(answers.mean(axis=0)),
        float(table("nodes").mean()),
        float(table("tokens").mean()),
    )


def team_page(tables: Sequence[TeamTable]) -> str:
    """Return the tables in Markdown."""
    parts = []
    for table in tables:
        dates = f", problems of {table.dates[0]} to {table.dates[1]}" if table.dates[0] else ""
        lines = [
            f"## {table.problems}, {table.budget}{dates}",
            "",
            "| team | seeds | Pass@1(MCTS) | Pass@N | nodes | tokens | over the next row |",
            "|---|---|---|---|---|---|---|",
        ]
        for place, row in enumerate(table.rows):
            over = table.over_next[place] if place < len(table.over_next) else None
            said = "" if over is None else f"{over.difference:+.3f} [{over.interval[0]:+.3f}, {over.interval[1]:+.3f}]"
            lines.append(
                f"| {row.team} | {len(row.seeds)} | {row.answers.mean():.3f} [{row.interval[0]:.3f}, "
                f"{row.interval[1]:.3f}] | {row.any.mean():.3f} | {row.nodes:.1f} | {row.tokens:,.0f} | {said} |"
            )
        parts.append("\n".join([*lines, ""]))
    return "\n".join(parts)
