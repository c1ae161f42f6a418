"""Trainings and their evaluations: one result a cell of (environment, algorithm, budget, seed), and nothing done twice.

A cell is learned from its start to its end by one process, and its file appears when all is done: after a kill, the
same command keeps the files that are there and begins the cell anew that was being worked on. Several processes share
one folder; each passes over what another has claimed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mars2_bench.harness.algorithms import Made, player_of
from mars2_bench.harness.metering import LEARNING, BudgetSpentError, Meter, metered
from mars2_bench.harness.origin import commit
from mars2_bench.harness.results import Claim, Clock, Episodes, Point, Result, encoded, path_of, read_result
from mars2_bench.suite.bank import read_bank
from mars2_bench.suite.named import Named
from mars2_bench.suite.playing import EVALUATION_SEEDS, Controller, Player, record
from mars2_env.base.journal import check_same
from mars2_env.errors import LogInUseError
from mars2_env.version import __version__

TREES: Final = 2
"""Trees of each problem in an evaluation."""

POINTS: Final = 10
"""Points of a learning curve."""

CURVE_SEED: Final = 3_000_000
"""Episode seed of the trees that a point of a curve is measured on, one for every other training problem."""

Progress = Callable[[int, float | None], None]
"""Is told how many expansions were taken, and the last score on training problems."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One training to be done.

    Attributes:
        named: the environment.
        made: the algorithm.
        seed: of the training.
        budget: expansions; 0 for what learns nothing.
        tries: settings that were tried on the environment, these included.
    """

    named: Named
    made: Made
    seed: int
    budget: int
    tries: int = 1

    def path(self, folder: Path) -> Path:
        """Return where its result stands."""
        return path_of(folder, self.named.id, self.made.recipe.name, self.budget, self.seed)

    def __str__(self) -> str:
        return f"{self.named.id.rpartition('/')[2]} {self.made.recipe.name} {self.budget:,} seed {self.seed}"


def evaluate(named: Named, split: str, player: Player, *, seed: int, trees: int = TREES) -> Episodes:
    """Play the published trees of a split, actions sampled.

    Args:
        named: the environment.
        split: whose problems; all of them are played.
        player: who plays.
        seed: of what the player draws.
        trees: how many of each problem, with the first of `EVALUATION_SEEDS`.
    """
    problems = tuple(problem.id for problem in named.problems(split))
    seeds = tuple(EVALUATION_SEEDS[:trees])
    played = record(named, split, player, problems=problems, seeds=seeds, draws=seed)
    actions = played.actions if played.actions.ndim == 4 else played.actions[..., None]
    return Episodes(problems, seeds, played.scores, played.steps, actions)


def evaluated(named: Named) -> tuple[str, ...]:
    """Return the splits that results are about: all but that which is learned from."""
    return tuple(split for split in named.splits if split != LEARNING)


class _Curve:
    """Measures what plays now each time that another share of the budget is spent, by the meter's count."""

    def __init__(self, cell: Cell, meter: Meter, progress: Progress) -> None:
        self.points: list[Point] = []
        self.seconds = 0.0
        self.last: Player | None = None
        self._cell, self._meter, self._progress, self._parts = cell, meter, progress, 0

    def told(self, expansions: int, controller: Controller | Player) -> None:
        self.last, spent = player_of(controller, sees_trees=self._cell.made.reference), self._meter.spent
        parts = POINTS * spent // max(self._cell.budget, 1)
        if parts > self._parts:
            begun = time.process_time()
            named = self._cell.named
            problems = [problem.id for problem in named.problems(LEARNING)][::2]
            scores = record(
                named, LEARNING, self.last, problems=problems, seeds=(CURVE_SEED,), draws=self._cell.seed
            ).scores
            self.points.append(Point(spent, round(float(scores.mean()), 4)))
            self.seconds += time.process_time() - begun
            self._parts = parts
        self._progress(spent, self.points[-1].score if self.points else None)


def _learned(cell: Cell, meter: Meter, curve: _Curve) -> Player:
    """Return what an algorithm returns; where its budget ends in the middle of an update, what it told of last."""
    try:
        learned = cell.made.learn(metered(cell.named, meter), cell.budget, cell.seed, curve.told)
        return player_of(learned, sees_trees=cell.made.reference)
    except BudgetSpentError:
        if curve.last is None:
            raise
        return curve.last


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let PyTorch, if anything uses it, add up in one order: a machine's cores are not to decide what is sampled."""
    torch: Any = sys.modules.get("torch")
    threads = 0 if torch is None else torch.get_num_threads()
    if threads:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if threads:
            torch.set_num_threads(threads)


def learn(cell: Cell, progress: Progress = lambda expansions, score: None) -> Result:
    """Return the result of a cell.

    Raises:
        PolicyError: the algorithm looked at other problems, returned no controller, or told nothing before its budget
            was spent.
    """
    named, recipe = cell.named, cell.made.recipe
    meter = Meter(None if cell.made.reference else cell.budget)
    curve, begun = _Curve(cell, meter, progress), time.process_time()
    player = _learned(cell, meter, curve)
    learned = time.process_time()
    with _one_thread():
        evaluations = {split: evaluate(named, split, player, seed=cell.seed) for split in evaluated(named)}
    clock = Clock(round(learned - begun - curve.seconds, 2), round(time.process_time() - learned + curve.seconds, 2))
    return Result(
        named.id,
        named.digest,
        read_bank().digest,
        __version__,
        commit(),
        recipe,
        cell.seed,
        cell.budget,
        meter.spent,
        cell.tries,
        tuple(curve.points),
        evaluations,
        clock,
    )


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a cell.

    Attributes:
        cell: which.
        path: where its file is.
        result: its result; None: another process is at it.
        kept: whether the file was there already.
    """

    cell: Cell
    path: Path
    result: Result | None
    kept: bool = False


def run(
    cells: Sequence[Cell], folder: Path, progress: Callable[[Cell], Progress] = lambda cell: lambda *_: None
) -> Iterator[Done]:
    """Do what is not done yet, in order, and yield what became of each cell.

    Args:
        cells: what is to be there in the end.
        folder: where files go.
        progress: given a cell that begins, returns what is told of it.

    Raises:
        LogError: a file is there that is of other settings, or is none; or one cannot be written.
        PolicyError: of an algorithm, see `learn`.
    """
    for cell in cells:
        path = cell.path(folder)
        if not path.exists():
            try:
                claim = Claim(path)
            except LogInUseError:
                yield Done(cell, path, None)
                continue
            try:
                if not path.exists():  # it may have come since it was looked for
                    result = learn(cell, progress(cell))
                    claim.write(encoded(result))
                    yield Done(cell, path, result)
                    continue
            finally:
                claim.close()
        yield Done(cell, path, kept(cell, path), kept=True)


def kept(cell: Cell, path: Path) -> Result:
    """Return the result that is there of a cell.

    Raises:
        LogError: it is of something else.
    """
    found = read_result(path)
    wanted = {
        "id": cell.named.id,
        "environment": cell.named.digest,
        "algorithm": cell.made.recipe,
        "seed": cell.seed,
        "budget": cell.budget,
        "tries": cell.tries,
    }
    check_same(path, found.cell(), wanted)
    return found
