"""The named environments of the suite: what each asks for, its task, and its vectors on the bank's tables.

    find("Route-v1").make_vec(1024)                     # tables: for learning
    mars2_env.make("mars2/Route-v1")                    # the same game in a real sandbox

Whatever decides an id's numbers is in its digest; an id whose digest would change is a new id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import msgspec
from gymnasium.vector import AutoresetMode

import mars2_env
from mars2_bench.suite import vector
from mars2_bench.suite.authors import NONE, Chances, Skill
from mars2_bench.suite.bank import read_bank
from mars2_bench.suite.clues import Fingerprint, template_of
from mars2_bench.suite.staged import STAGES, Kinds
from mars2_bench.suite.teams import Team, TeamAuthor
from mars2_bench.suite.vector import BankRounds, BankRoute
from mars2_env import ProblemSet, Task
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.testing.mutation import FAMILIES

LAW: Final = 1
"""Version of the rules of `authors`, `staged`, `teams` and `trees`: one that changes numbers raises it."""


Split: TypeAlias = Literal["train", "test", "unseen"]


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
        unseen: whether every third template of problems is kept apart, as a split of its own.
    """

    id: str
    skill: str
    game: Literal["route", "place"]
    team: Team
    budget: int
    options: Mapping[str, Any] = field(default_factory=dict)
    unseen: bool = False

    @property
    def splits(self) -> tuple[Split, ...]:
        """Its splits: `train` to learn on, `test` of unseen problems, perhaps `unseen` of unseen templates."""
        return ("train", "test", "unseen") if self.unseen else ("train", "test")

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
        sets = [mars2_env.load_problems("starter", split=part) for part in ("train", "test")]
        if not self.unseen:
            return sets[split == "test"]
        apart = _every_third_template()
        if split == "unseen":
            kept = [problem for one in sets for problem in one if template_of(problem.id) in apart]
        else:
            kept = [problem for problem in sets[split == "test"] if template_of(problem.id) not in apart]
        return ProblemSet("starter", tuple(kept), split, "training")

    def task(self, split: str = "train", **overrides: Any) -> Task:
        """Return the task on a split, played by the bank's authors in the sandbox that the machine has.

        Args:
            split: one of `splits`.
            **overrides: options of `mars2_env.task`; a task with any is no longer this environment.

        Raises:
            ConfigError: there is no such split, or the options make no sense.
        """
        options = {**self.task_options(split), **overrides}
        return mars2_env.task(options.pop("problems"), **options)

    def task_options(self, split: str = "train") -> dict[str, Any]:
        """Return what its task on a split says, as `mars2_env.task` and `register_task` take it."""
        problems = self.problems(split)
        where: dict[str, Any] = {"problems": problems}
        if not self.unseen:  # by name, so that a log can be evaluated by what its task says
            where = {"problems": problems.name, "split": problems.split}
        return {**where, **self.game_options}

    @property
    def game_options(self) -> dict[str, Any]:
        """What its task says on every split."""
        return {
            "game": self.game,
            "api": "gymnasium" if self.game == "route" else "parallel",
            "agents": list(self.agents),
            "generators": TeamAuthor(self.team, self.agents),
            "budget": self.budget,
            "score": "fraction",
            "score_on": "scoring",
            "stop_on_solved": True,
            **self.options,
        }

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
            "options": {name: _plain(value) for name, value in sorted(self.game_options.items())},
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


def offered(id: str) -> dict[str, Any]:
    """Return the options of `mars2_env.task(id)`; the entry points of group `mars2_env.tasks` name this function."""
    return find(id).task_options()


@cache
def _every_third_template() -> frozenset[str]:
    """Return the templates that are kept apart where an environment has unseen ones: every third, in listed order."""
    listed = dict.fromkeys(template_of(problem.id) for problem in mars2_env.load_problems("starter", split="train"))
    return frozenset(list(listed)[2::3])


_ALL: Final = frozenset({*FAMILIES, *STAGES})
_ABLE: Final = Skill(Chances(0.5, 0.95, 0.05), families=_ALL)
_HOPELESS: Final = Skill(NONE, families=_ALL)
_ONE_ABLE: Final = (_ABLE, _HOPELESS, _HOPELESS)
_THREE_STAGES: Final = Kinds(("syntax", "crash", "flood"), 2)
_TWO_STAGES: Final = Kinds(("syntax", "crash"), 2)


def _specialists(mend: float, slip: float) -> dict[str, Skill]:
    """Return roles by what they are good at; whoever is not may break something.

    A stage; the real slips (`logic`); the first two stages (`front`); the last one and the real slips (`back`).
    """
    kinds = {**{stage: frozenset({stage}) for stage in STAGES}, "logic": frozenset(FAMILIES)}
    kinds |= {"front": kinds["syntax"] | kinds["crash"], "back": kinds["flood"] | kinds["logic"]}
    return {name: Skill(Chances(0.9, mend, 0.0), Chances(0.1, 0.0, slip), families) for name, families in kinds.items()}


def _team(roles: str, kinds: Kinds, mend: float = 0.6, slip: float = 0.3) -> Team:
    """Return a team of specialists, drawn per tree."""
    return Team(tuple(_specialists(mend, slip)[role] for role in roles.split()), "tree", kinds)


_RELAY: Final = _team("syntax crash logic", _TWO_STAGES)

NAMED: Final[Mapping[str, Named]] = MappingProxyType(
    {
        named.id: named
        for named in (
            Named("mars2/Route-v1", "find out in time who is able", "route", Team(_ONE_ABLE, "tree", _THREE_STAGES), 6),
            Named(
                "mars2/Relay-v1",
                "refine what you yourself can mend, while the score is 0 until late",
                "place",
                _RELAY,
                18,
                {"share": "team", "cards": True},
            ),
            Named(
                "mars2/RelayOwn-v1",
                "the same, and infer what is hidden of the others' nodes",
                "place",
                _RELAY,
                18,
                {"share": "team", "cards": True, "observe": "own", "generators_observe": "all"},
            ),
            Named(
                "mars2/Commons-v1",
                "agree without words who acts and who waits: one small budget is everybody's",
                "place",
                _team("front front back back", _THREE_STAGES, 0.7),
                9,
                {"share": "team", "cards": True, "rounds": 12},
            ),
            Named(
                "mars2/Templates-v1",
                "know from the kind of problem who is able, and notice where that is not known",
                "route",
                Team(_ONE_ABLE, "template", _THREE_STAGES),
                6,
                {"clues": Fingerprint(noise=0.05)},
                unseen=True,
            ),
            Named(
                "mars2/Scale4-v1",
                "Relay for more agents: four of them, and three stages",
                "place",
                _team("syntax crash flood logic", _THREE_STAGES),
                32,
                {"share": "team", "cards": True},
            ),
            Named(
                "mars2/Scale8-v1",
                "Relay for many agents: two of each role, who mend less",
                "place",
                _team("syntax crash flood logic syntax crash flood logic", _THREE_STAGES, 0.35, 0.15),
                64,
                {"share": "team", "cards": True},
            ),
        )
    }
)
"""The environments of the suite, by id."""
