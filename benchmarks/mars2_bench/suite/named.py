"""The named environments of the suite: what each asks for, its task, and its vectors on the bank's tables.

    find("Route-v1").make_vec(1024)                     # tables: for learning
    mars2_env.make("mars2/Route-v1")                    # the same game in a real sandbox

Whatever decides an id's numbers is in its digest; an id whose digest would change is a new id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec
from gymnasium.vector import AutoresetMode

import mars2_env
from mars2_bench.suite import vector
from mars2_bench.suite.authors import NONE, PLAIN, Chances, Skill
from mars2_bench.suite.bank import read_bank
from mars2_bench.suite.teams import Team, TeamAuthor
from mars2_bench.suite.vector import BankRounds, BankRoute
from mars2_env import ProblemSet, Task
from mars2_env.errors import ConfigError, unknown_name

SPLITS: Final = ("train", "test")

LAW: Final = 1
"""Version of the rules of `authors`, `staged`, `teams` and `trees`: one that changes numbers raises it."""


@dataclass(frozen=True)
class Named:
    """One environment of the suite.

    Attributes:
        id: its name, such as `mars2/Route-v1`.
        skill: what it asks for, in a line.
        game: `route`, or `place` in rounds.
        team: who writes the programs.
        budget: nodes of a tree.
        options: what its task says beside that.
    """

    id: str
    skill: str
    game: Literal["route", "place"]
    team: Team
    budget: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def splits(self) -> tuple[str, ...]:
        """Its splits: `train` to learn on, `test` of unseen problems."""
        return SPLITS

    @property
    def agents(self) -> tuple[str, ...]:
        """The names of its agents."""
        return tuple(f"agent_{number}" for number in range(len(self.team.roles)))

    def problems(self, split: str = "train") -> ProblemSet:
        """Return the problems of a split.

        Raises:
            ConfigError: there is no such split.
        """
        if split not in self.splits:
            raise ConfigError(unknown_name(f"split of {self.id}", str(split), self.splits))
        return mars2_env.load_problems("starter", split=split)

    def task(self, split: str = "train", **overrides: Any) -> Task:
        """Return the task on a split, played by the bank's authors in the sandbox that the machine has.

        Args:
            split: one of `splits`.
            **overrides: options of `mars2_env.task`; a task with any is no longer this environment.

        Raises:
            ConfigError: there is no such split, or the options make no sense.
        """
        options: dict[str, Any] = {
            "game": self.game,
            "api": "gymnasium" if self.game == "route" else "parallel",
            "agents": list(self.agents),
            "generators": TeamAuthor(self.team, self.agents),
            "budget": self.budget,
            "score": "fraction",
            "score_on": "scoring",
            **self.options,
            **overrides,
        }
        return mars2_env.task(self.problems(split), **options)

    def make_vec(
        self,
        num_envs: int,
        *,
        split: str = "train",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **overrides: Any,
    ) -> BankRoute | BankRounds:
        """Return a vector of it on the bank's tables; arguments are those of `task` and `vector.make_vec`."""
        return vector.make_vec(self.task(split, **overrides), num_envs, autoreset_mode=autoreset_mode)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that decides its numbers, the bank's digest included."""
        decides = {
            "law": LAW,
            "bank": read_bank().digest,
            "game": self.game,
            "agents": self.agents,
            "budget": self.budget,
            "team": self.team.config(),
            "options": {name: _plain(value) for name, value in sorted(self.options.items())},
            "problems": {split: [problem.id for problem in self.problems(split)] for split in self.splits},
        }
        return sha256(msgspec.json.encode(decides)).hexdigest()


def _plain(value: Any) -> Any:
    """Return an option as plain data: what is an object by its identity."""
    return getattr(value, "identity", value)


def find(id: str) -> Named:
    """Return an environment of the suite by its id, with or without `mars2/`.

    Raises:
        ConfigError: there is none.
    """
    if isinstance(id, str):
        for name in (id, f"mars2/{id}"):
            if name in NAMED:
                return NAMED[name]
    raise ConfigError(unknown_name("environment of the suite", str(id), NAMED))


_ABLE: Final = Skill(Chances(0.5, 0.95, 0.05))
_HOPELESS: Final = Skill(NONE)

NAMED: Final[Mapping[str, Named]] = MappingProxyType(
    {
        named.id: named
        for named in (
            Named(
                "mars2/Route-v1",
                "find out in time who is able",
                "route",
                Team((_ABLE, _HOPELESS, _HOPELESS), "tree", PLAIN),
                6,
                {"stop_on_solved": True},
            ),
        )
    }
)
"""The environments of the suite, by id."""
