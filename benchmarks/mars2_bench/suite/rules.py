"""What decides a game on the bank's tables: a task of the ordinary environment, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mars2_bench.suite.authors import BankAuthor
from mars2_bench.suite.bank import Bank
from mars2_bench.suite.teams import Team, TeamAuthor
from mars2_env.envs.spaces import layout_of
from mars2_env.envs.told import card_size, clues_of
from mars2_env.errors import ConfigError
from mars2_env.features import Layout
from mars2_env.search.budget import MAX_NODES
from mars2_env.tasks import Task, seat
from mars2_env.types import Policy

REWARDS: Final = ("progress", "score", "difference")


@dataclass(frozen=True, eq=False)
class TableGame:
    """A game of P problems and A agents.

    Attributes:
        task: the task; its generators are the bank's authors.
        bank: the bank.
        layout: of what is observed, with an observer in `place`.
        places: where each problem of the task is in the bank's tables, shape (P,).
        team: who is good at what, and which slips there are: B bits.
        scores: of each program, shape (problems of the bank, 2 ** B).
        outcomes: what each came to, as a place in `staged.SHOWN`, likewise.
        chances: fresh, mend and slip of each role, shape (3, A, problems of the bank, B).
        cards: what an agent is told of itself, by its role, shape (A, numbers); without any numbers if nothing is.
        clues: what is told of each problem of the task, shape (P, numbers).
        stop: how many solutions end a tree; 0: none do.
    """

    task: Task
    bank: Bank
    layout: Layout
    places: NDArray[np.int64]
    team: Team
    scores: NDArray[np.float64]
    outcomes: NDArray[np.uint8]
    chances: NDArray[np.float64]
    cards: NDArray[np.float32]
    clues: NDArray[np.float32]
    stop: int

    @property
    def agents(self) -> tuple[str, ...]:
        """The names of the agents."""
        return self.layout.agents

    @property
    def budget(self) -> int:
        """How many expansions a tree has."""
        return self.layout.budget


def table_game(task: Task) -> TableGame:
    """Return what decides the game of a task whose generators are the bank's authors.

    Raises:
        ConfigError: the tables cannot play it: another generator, game, problem, score, reward, or a log or picture.
    """
    rules, options = task.rules, []
    if task.api not in ("parallel", "gymnasium") or rules.game not in ("place", "route"):
        options.append(f"game={rules.game!r} with api={task.api!r} (route, or place with api='parallel')")
    if rules.score != "fraction":
        options.append(f"score={rules.score!r} ('fraction')")
    if task.reward not in REWARDS:
        options.append(f"reward={task.reward!r:.100} ({', '.join(REWARDS)})")
    for name in ("out", "render_mode", "reward_model", "stop_when"):
        if getattr(task, name) is not None:
            options.append(f"{name} (None)")
    if rules.patience is not None:
        options.append(f"patience={rules.patience} (None)")
    if task.budget.nodes == MAX_NODES or task.budget.metered or task.budget.agents:
        options.append(f"budget={task.budget} (a number of nodes)")
    if options:
        raise ConfigError(f"tables of the bank play no task with {'; '.join(options)}: what they play is in brackets.")
    generators = seat(task.agents, task.generators or {}, problems=task.problems)
    team, bank = _team(task, generators)
    shown = card_size(generators) if task.cards else 0
    clues = [clues_of(task.clues, problem.public_view()) for problem in task.problems]
    for problem in task.problems:
        bank.entry(problem.id)
    return TableGame(
        task,
        bank,
        layout_of(task, observer=rules.game == "place", card=shown),
        np.array([bank.places[problem.id] for problem in task.problems]),
        team,
        team.kinds.scores(bank, rules.score_on),
        team.kinds.outcomes(bank, rules.tests),
        np.stack([role.tables(bank, team.kinds) for role in team.roles], axis=1),
        team.cards()[:, :shown],
        np.array(clues, np.float32),
        int(rules.stop_on_solved),
    )


def _team(task: Task, generators: Mapping[str, Policy]) -> tuple[Team, Bank]:
    """Return who writes the programs of a task, and from which bank.

    Raises:
        ConfigError: it is somebody else than the bank's authors.
    """
    policies = list(generators.values())
    first = policies[0]
    if isinstance(first, TeamAuthor) and all(policy == first for policy in policies):
        if first.agents != tuple(task.agents):
            raise ConfigError(f"the team's agents are {list(first.agents)}, and the task's {list(task.agents)}.")
        return first.team, first.bank
    authors = [policy for policy in policies if isinstance(policy, BankAuthor)]
    if len(authors) < len(policies):
        strangers = [agent for agent, policy in generators.items() if not isinstance(policy, BankAuthor)]
        raise ConfigError(
            f"tables of the bank know its own authors alone (generators='bank:able', say, or one team for all), and "
            f"{strangers[0]} has {generators[strangers[0]]!r:.200}."
        )
    return Team(tuple(author.skill for author in authors), "never"), authors[0].bank
