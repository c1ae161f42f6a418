"""Playing a named environment for scores: the same trees whoever plays, so that comparisons are paired.

Tree number s of a problem has the same episode seed for every controller, and luck is keyed by the path to a node: the
same choice comes to the same program. Actions are sampled; whoever samples draws from a generator of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mars2_bench.suite.named import Named
from mars2_bench.suite.rules import TableGame
from mars2_bench.suite.vector import BankRounds, BankRoute

Vector = BankRoute | BankRounds
Scores = NDArray[np.float64]

EVALUATION_SEEDS: Final = range(1_000_000, 1_000_008)
"""Episode seeds of evaluation, the same for each problem; whoever plays fewer trees takes the first of them."""

MOST_TREES: Final = 2048
"""How many trees are played side by side at most."""


class Controller(Protocol):
    """Decides in all trees of a vector at once."""

    def act(self, observations: Any, rng: np.random.Generator) -> Any:
        """Return actions as the vector's `step` takes them, for observations as it returned them."""
        ...


Player = Callable[[Vector], Controller]
"""Makes a controller for a vector; one that only needs observations ignores the vector."""

Told = Callable[[int, Controller], None]
"""Is told how many expansions were learned from so far, and what plays now."""


@dataclass(frozen=True, slots=True)
class Played:
    """Trees that were played to their end.

    Attributes:
        scores: the best score of each, shape (problems, seeds).
        steps: how many steps each took, likewise.
        actions: what was done, shape (problems, seeds, most steps) in `route`; in `place` with one more axis at the
            end, for the agents in order. After a tree's last step it is -1.
    """

    scores: Scores
    steps: NDArray[np.int64]
    actions: NDArray[np.int64]


def play(
    named: Named,
    split: str,
    player: Player,
    *,
    problems: Sequence[str] | None = None,
    seeds: Sequence[int] = EVALUATION_SEEDS,
    draws: int = 0,
) -> Scores:
    """Return the best final scores of trees that a player grew, shape (problems, seeds); arguments as of `record`."""
    return record(named, split, player, problems=problems, seeds=seeds, draws=draws).scores


def record(
    named: Named,
    split: str,
    player: Player,
    *,
    problems: Sequence[str] | None = None,
    seeds: Sequence[int] = EVALUATION_SEEDS,
    draws: int = 0,
) -> Played:
    """Play every seed on every problem.

    Args:
        named: the environment.
        split: of its problems.
        player: who plays.
        problems: ids of problems; None: all of the split.
        seeds: the episode seed of each tree of a problem.
        draws: seed of what the player draws; the trees do not depend on it.
    """
    ids = [problem.id for problem in named.problems(split)] if problems is None else list(problems)
    pairs = [(problem, seed) for problem in ids for seed in seeds]
    rng = np.random.default_rng([draws, 0x91A7])
    parts = [
        _grown(named, split, player, pairs[begin : begin + MOST_TREES], rng)
        for begin in range(0, len(pairs), MOST_TREES)
    ]
    longest = max(actions.shape[1] for _, _, actions in parts)
    shape = (len(ids), len(seeds))
    actions = np.concatenate([_padded(actions, longest) for _, _, actions in parts])
    return Played(
        np.concatenate([scores for scores, _, _ in parts]).reshape(shape),
        np.concatenate([steps for _, steps, _ in parts]).reshape(shape),
        actions.reshape(*shape, *actions.shape[1:]),
    )


def _grown(
    named: Named, split: str, player: Player, pairs: Sequence[tuple[str, int]], rng: np.random.Generator
) -> tuple[Scores, NDArray[np.int64], NDArray[np.int64]]:
    """Return the best scores, steps and actions of trees of (problem, episode seed), grown side by side."""
    count = len(pairs)
    vec = named.make_vec(count, split=split, autoreset_mode="NextStep")
    controller = player(vec)
    observations = begin(vec, pairs)
    scores, steps, over = np.zeros(count), np.zeros(count, np.int64), np.zeros(count, np.bool_)
    done: list[NDArray[np.int64]] = []
    while not over.all():
        actions = controller.act(observations, rng)
        observations, _, ended, _, _ = vec.step(actions)
        taken = np.stack([actions[agent] for agent in vec.agents], -1) if isinstance(vec, BankRounds) else actions
        ended = ends_of(vec, ended)
        done.append(np.where(over if np.ndim(taken) == 1 else over[:, None], -1, taken))
        steps += ~over
        new = ended & ~over
        scores[new] = vec.trees.best[new, 0]
        over |= new
    vec.close()
    return scores, steps, np.stack(done, 1)


def ends_of(vec: Vector, terminated: Any) -> NDArray[np.bool_]:
    """Return which trees ended, shape (n,), of what `step` returned: an array, or one for each agent, all alike."""
    ended: NDArray[np.bool_] = terminated[vec.agents[0]] if isinstance(vec, BankRounds) else terminated
    return ended


def rounds_of(game: TableGame) -> int:
    """Return how many steps a tree of a game has at most."""
    if game.task.rules.rounds is not None:
        return game.task.rules.rounds
    return game.budget if game.task.rules.game == "route" else game.budget // len(game.agents)


def begin(vec: Vector, pairs: Sequence[tuple[str, int]]) -> Any:
    """Begin a tree of each (problem, episode seed) in a vector of as many, and return the observations."""
    observations, _ = vec.reset(
        seed=[seed for _, seed in pairs], options={"problem": [problem for problem, _ in pairs]}
    )
    return observations


def _padded(actions: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """Return actions (trees, T, ...) with -1 up to so many steps."""
    widths = [(0, 0), (0, steps - actions.shape[1]), *[(0, 0)] * (actions.ndim - 2)]
    return np.pad(actions, widths, constant_values=-1)
