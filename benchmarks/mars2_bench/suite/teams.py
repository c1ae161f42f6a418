"""Teams whose agents do not know each other's roles: who is good at what is drawn anew for every tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from mars2_bench.suite.authors import PLAIN, Chances, Skill, written
from mars2_bench.suite.bank import Bank, read_bank
from mars2_bench.suite.clues import template_of
from mars2_bench.suite.draws import Words, uniforms
from mars2_bench.suite.staged import Kinds
from mars2_env.base import keys
from mars2_env.base.checks import one_of
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.types import PublicView, Reply, Turn

Drawn: TypeAlias = Literal["never", "tree", "template"]

_DRAW: Final = 7
"""One of the draws by template in which each of three agents has the first role about as often, whichever templates are
kept apart (`named`)."""


@dataclass(frozen=True, slots=True)
class Team:
    """Roles, and how agents get them.

    Attributes:
        roles: what each role is good at; as many as there are agents. Equal ones have one card.
        drawn: `never`: the k-th agent has the k-th role; `tree`: a permutation drawn for each tree; `template`: one
            for each template of problems, always the same.
        kinds: the slips that programs can have.
    """

    roles: tuple[Skill, ...]
    drawn: Drawn = "tree"
    kinds: Kinds = PLAIN

    def __post_init__(self) -> None:
        if not self.roles:
            raise ConfigError("Team(roles=()): give one role for each agent.")
        one_of("drawn", self.drawn, get_args(Drawn), where="Team")

    def role_seed(self, tree_seed: int, problem: str) -> int:
        """Return what the roles in a tree are drawn by: its own seed, or that of its problem's template."""
        return keys.seed("roles", _DRAW, template_of(problem)) if self.drawn == "template" else tree_seed

    def drawn_roles(self, seeds: Words) -> NDArray[np.int64]:
        """Return the role of each agent in trees of these role seeds, shape (trees, agents): a random permutation."""
        if self.drawn == "never":
            return np.tile(np.arange(len(self.roles)), (len(seeds), 1))
        return np.argsort(uniforms(seeds, len(self.roles)), axis=1, kind="stable")

    def cards(self) -> NDArray[np.float32]:
        """Return the card of each role, shape (roles, different roles): one 1, at the place of the role."""
        different = list(dict.fromkeys(self.roles))
        return np.eye(len(different), dtype=np.float32)[[different.index(role) for role in self.roles]]

    def config(self) -> dict[str, Any]:
        """Return what decides numbers, as plain data."""
        roles = [[_plain(role.own), _plain(role.other), sorted(role.families)] for role in self.roles]
        return {"roles": roles, "drawn": self.drawn, **self.kinds.config()}


def _plain(chances: Chances) -> list[float]:
    return [chances.fresh, chances.mend, chances.slip]


@dataclass(frozen=True)
class TeamAuthor:
    """SIMULATED: writes for all agents of a team, each by its role in the tree (`authors.written`).

    Attributes:
        team: the roles.
        agents: the agents' names, in the order of the task.
        bank: the bank; by default that of this package.
    """

    team: Team
    agents: tuple[str, ...]
    bank: Bank = field(default_factory=read_bank, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.agents) != len(self.team.roles):
            raise ConfigError(f"{len(self.agents)} agents for {len(self.team.roles)} roles; give as many.")

    @property
    def identity(self) -> str:
        """The team, and the bank's digest."""
        return f"bank-team:{self.team.config()},{self.bank.digest[:16]}"

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return one reply for each turn, in order.

        Raises:
            ConfigError: the bank has no such problem, or the team no such agent.
        """
        return [written(self.bank, self._role(turn), turn, self.team.kinds) for turn in turns]

    def _role(self, turn: Turn) -> Skill:
        return self.team.roles[self._drawn(turn.tree_seed, turn.problem.id, turn.agent)]

    def _drawn(self, tree_seed: int, problem: str, agent: str) -> int:
        """Return the number of an agent's role in a tree."""
        if agent not in self.agents:
            raise ConfigError(unknown_name("agent of the team", agent, self.agents))
        seeds = np.array([self.team.role_seed(tree_seed, problem)], np.uint64)
        return int(self.team.drawn_roles(seeds)[0, self.agents.index(agent)])

    @property
    def card_size(self) -> int:
        """How many numbers a card has: one for each different role."""
        return self.team.cards().shape[1]

    def card(self, tree_seed: int, problem: PublicView, agent: str) -> Sequence[float]:
        """Return what an agent is told of itself alone: a 1 at the place of its role."""
        found: list[float] = self.team.cards()[self._drawn(tree_seed, problem.id, agent)].tolist()
        return found
