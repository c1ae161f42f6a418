"""What a game is played by, and which node of a tree is its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

from mars2_env.base.checks import one_of, real_number, whole_number
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.search.answers import best_answer, reward_answer
from mars2_env.types import Node, TestGroup, Verdict

Game: TypeAlias = Literal["write", "play", "place", "route"]
ScoreKind: TypeAlias = Literal["pass", "fraction"]
Observe: TypeAlias = Literal["all", "own"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a game is played by.

    Attributes:
        game: `write`: the selector picks agent and parent; `play` and `place`: agents take turns and pick the parent;
            `route`: a controller picks both.
        score: a node's value: `pass` (1 if all tests of the group pass, else 0) or `fraction` (the share that passes).
        score_on: the group of tests that is scored, `public` or `scoring`.
        observe: `all`, or `own`: of other agents' nodes only place, author and score are shown.
        stop_on_solved: whether the episode ends at the first node that passes all scored tests; a number k ends it at
            the k-th different program (after normalisation) that does.
        max_faults: how many faults of one kind (the sandbox's, its policy's) that an agent meets in a row end the
            episode.
        patience: after how many expansions in a row that did not raise the best score the episode ends; None: never.
        rounds: in `place`, after how many rounds the episode ends at the latest. With it an agent may let its turn pass
            (the number budget + 1 in place of a parent's), which costs no budget, so that agents share what there is;
            None: nobody may, and the budget is whole rounds.
        generators_observe: in `place` and `route`, what generators are shown of other agents' nodes, as `observe` says
            what agents and controllers are; None: the same.
        model_weight: how much of a node's value for selectors is a reward model's score: they see
            (1 - w) * score + w * model score. The score itself stays as the tests gave it.
    """

    game: Game = "write"
    score: ScoreKind = "pass"
    score_on: TestGroup = "public"
    observe: Observe = "all"
    stop_on_solved: bool | int = False
    max_faults: int = 3
    patience: int | None = None
    model_weight: float = 0.0
    rounds: int | None = None
    generators_observe: Observe | None = None

    def __post_init__(self) -> None:
        one_of("game", self.game, get_args(Game))
        one_of("score", self.score, get_args(ScoreKind))
        one_of("score_on", self.score_on, ("public", "scoring"))
        one_of("observe", self.observe, get_args(Observe))
        if not isinstance(self.stop_on_solved, int) or self.stop_on_solved < 0:
            raise ConfigError(
                f"stop_on_solved={self.stop_on_solved!r:.200} must be True, False, or how many solutions are wanted."
            )
        whole_number("max_faults", self.max_faults)
        if self.patience is not None:
            whole_number("patience", self.patience)
        if self.rounds is not None:
            whole_number("rounds", self.rounds)
            if self.game != "place":
                raise ConfigError(f"rounds={self.rounds} in game={self.game!r}: agents may pass in 'place' alone.")
        if self.generators_observe is not None:
            one_of("generators_observe", self.generators_observe, get_args(Observe))
            if self.game not in ("place", "route"):
                raise ConfigError(
                    f"generators_observe={self.generators_observe!r} in game={self.game!r}: there are generators in "
                    "'place' and 'route' alone; say observe=."
                )
        object.__setattr__(self, "model_weight", real_number("model_weight", self.model_weight, least=0, most=1))

    def config(self) -> dict[str, Any]:
        """Return the rules as plain data for a log's header; younger ones only where they are not at their default."""
        younger = {"patience": None, "model_weight": 0.0, "rounds": None, "generators_observe": None}
        return {name: value for name, value in asdict(self).items() if name not in younger or value != younger[name]}

    @property
    def shown(self) -> Observe:
        """What who writes the programs is shown of other agents' nodes."""
        return self.generators_observe or self.observe

    @property
    def tests(self) -> tuple[TestGroup, ...]:
        """The groups to grade each program on: the scored one, and always the public one."""
        return ("public",) if self.score_on == "public" else ("public", self.score_on)

    @property
    def stop(self) -> Literal["first_failure", "never"]:
        """When judging may stop: a fraction needs every test."""
        return "first_failure" if self.score == "pass" else "never"

    def score_of(self, verdict: Verdict, group: TestGroup | None = None) -> float:
        """Return the score in [0, 1] of a verdict on the scored group, or on another one that was graded."""
        part = verdict.group(group or self.score_on)
        if self.score == "fraction" and part.fraction is not None:
            return part.fraction
        return float(part.passed)


def chosen(nodes: Sequence[Node], rules: Rules, how: str) -> int | None:
    """Return the number of the node that is the answer (`Episode.answer`); None if no node has a program."""
    written = [node for node in nodes if node.program is not None]
    public = [rules.score_of(node.verdict, "public") for node in written]
    if how == "best":
        place = best_answer(public)
    elif how == "reward":
        place = reward_answer(public, [node.model_score for node in written])
    else:
        raise ConfigError(unknown_name("way to answer", how, ("best", "reward")))
    return None if place is None else written[place].id
