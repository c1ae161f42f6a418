"""Admission: whether an environment separates those who learned something from those who did not.

The ladder of an environment is what everybody comes to on problems that no learner saw, with luck that nobody met
before. An environment is admitted where each step of it is larger than the effect that the comparison could detect:

    random < the best open-loop schedule
    the best of that, greedy and Thompson < the reference learner, the mean of several seeds
    the learner < the oracle

The unit is the problem: intervals are over problems, and comparisons are paired, since everybody meets the same trees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final

import numpy as np

from mars2_bench.algorithms.named import ALGORITHMS, reference
from mars2_bench.suite.baselines import greedy_action, plays, random_action, thompson
from mars2_bench.suite.hand_written import hand_written
from mars2_bench.suite.named import Named, find
from mars2_bench.suite.open_loop import best_open_loop
from mars2_bench.suite.oracles import oracle
from mars2_bench.suite.playing import Player, Scores, play
from mars2_env.errors import ConfigError
from mars2_env.results.paired import bootstrap_interval, minimum_detectable_effect

SEEDS: Final = range(2_000_000, 2_000_008)
"""Episode seeds of admission: none of those by which anything was chosen."""

LEAST_PROBLEMS: Final = 150

Progress = Callable[[str], None]
"""Is told in words what was done."""


@dataclass(frozen=True, slots=True)
class Rung:
    """What somebody comes to: the mean score and its 95 % bootstrap interval over problems.

    Attributes:
        name: who.
        mean: over all trees.
        low, high: the interval.
        seeds: the mean of each learner's seed; empty for who has none.
    """

    name: str
    mean: float
    low: float
    high: float
    seeds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A comparison: the mean difference, its 95 % interval over problems, and whether it is as large as it must be.

    Attributes:
        lower, upper: who is to be below, who above.
        difference: upper minus lower.
        low, high: the interval.
        least: what the difference must exceed: of a ladder, the minimum detectable effect.
        passed: whether it does, and the interval is above 0.
    """

    lower: str
    upper: str
    difference: float
    low: float
    high: float
    least: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Ladder:
    """What everybody comes to on one environment.

    Attributes:
        id, digest: of the environment.
        learner: the name of the reference algorithm.
        expansions: what each learner learned from.
        problems, trees: how many unseen problems, and trees of each.
        rungs: from the lowest to the highest that they should be.
        steps: what must hold.
        schedule: the best open-loop schedule.
    """

    id: str
    digest: str
    learner: str
    expansions: int
    problems: int
    trees: int
    rungs: tuple[Rung, ...]
    steps: tuple[Step, ...]
    schedule: str

    @property
    def admitted(self) -> bool:
        """Whether every step is as large as it must be."""
        return all(step.passed for step in self.steps)


def rung(name: str, scores: Sequence[Scores]) -> Rung:
    """Return the rung of somebody who came to these scores, each of shape (problems, trees), one for each seed."""
    by_problem = np.mean(scores, axis=(0, 2))
    seeds = tuple(float(one.mean()) for one in scores) if len(scores) > 1 else ()
    return Rung(name, float(by_problem.mean()), *bootstrap_interval(by_problem), seeds)


def step(lower: str, upper: str, below: Sequence[Scores], above: Sequence[Scores], least: float | None = None) -> Step:
    """Return the comparison of two on the same trees.

    Args:
        lower: the name of who is to be below.
        upper: of who is to be above.
        below: scores of the lower one, as `rung` takes them.
        above: of the upper one.
        least: what the difference must exceed; None: the minimum detectable effect.
    """
    differences = np.mean(above, axis=(0, 2)) - np.mean(below, axis=(0, 2))
    low, high = bootstrap_interval(differences)
    wanted = minimum_detectable_effect(differences) if least is None else least
    found = float(differences.mean())
    return Step(lower, upper, found, low, high, wanted, found > wanted and low > 0)


def unpaired_step(lower: str, upper: str, below: Sequence[Scores], above: Sequence[Scores], least: float) -> Step:
    """Return the comparison of two on different problems: each side is resampled by itself."""
    sides = [np.mean(scores, axis=(0, 2)) for scores in (below, above)]
    rng = np.random.default_rng(0)
    drawn = [side[rng.integers(len(side), size=(10_000, len(side)))].mean(1) for side in sides]
    low, high = np.quantile(drawn[1] - drawn[0], [0.025, 0.975]).tolist()
    found = float(sides[1].mean() - sides[0].mean())
    return Step(lower, upper, found, low, high, least, found > least and low > 0)


@dataclass(frozen=True, slots=True)
class Run:
    """A learner to be: what it learns, and where it plays then.

    Attributes:
        named: the environment.
        algorithm: its name.
        expansions: what it learns from.
        seed: of learning, and of what it draws when it plays.
        splits: where it plays.
        trees: the episode seed of each tree of a problem.
    """

    named: Named
    algorithm: str
    expansions: int
    seed: int
    splits: tuple[str, ...]
    trees: Sequence[int]


def learned(run: Run) -> list[Scores]:
    """Return what a learner comes to in each split after learning, each of shape (problems, trees)."""
    controller = ALGORITHMS[run.algorithm](run.named, run.expansions, run.seed)
    return [play(run.named, split, lambda vec: controller, seeds=run.trees, draws=run.seed) for split in run.splits]


def admit(
    named: Named,
    *,
    expansions: int = 200_000,
    learners: int = 5,
    trees: int = len(SEEDS),
    split: str = "test",
    processes: int = 1,
    told: Progress = lambda words: None,
) -> Ladder:
    """Return the ladder of an environment.

    Args:
        named: the environment.
        expansions: what each learner learns from.
        learners: how many seeds of the reference algorithm.
        trees: how many of each problem, with the first of `SEEDS`.
        split: of problems that nobody learned from.
        processes: how many learners learn at a time.
        told: is told what was done.

    Raises:
        ConfigError: the split has too few problems, or there are not as many seeds.
    """
    seeds, count = _seeds(trees), len(named.problems(split))
    if count < LEAST_PROBLEMS:
        raise ConfigError(f"{named.id} has {count} problems in {split!r}; admission needs {LEAST_PROBLEMS}.")
    name = reference(named)
    schedule = best_open_loop(named)
    told(f"best open-loop schedule: {schedule}")
    players: dict[str, Player] = {
        "random": plays(random_action),
        "open loop": lambda vec: schedule,
        "greedy": plays(greedy_action),
        "thompson": thompson,
        "hand-written": hand_written,
        "oracle": oracle,
    }
    scores: dict[str, list[Scores]] = {}
    for player, makes in players.items():
        scores[player] = [play(named, split, makes, seeds=seeds)]
        told(f"{player}: {scores[player][0].mean():.3f}")
    runs = [Run(named, name, expansions, seed, (split,), seeds) for seed in range(learners)]
    scores[name] = [played for (played,) in all_learned(runs, processes, told)]
    best = max(("open loop", "greedy", "thompson"), key=lambda player: scores[player][0].mean())
    order = ("random", "open loop", "greedy", "thompson", "hand-written", name, "oracle")
    pairs = (("random", "open loop"), (best, name), (name, "oracle"))
    return Ladder(
        named.id,
        named.digest,
        name,
        expansions,
        count,
        trees,
        tuple(rung(player, scores[player]) for player in order),
        tuple(step(lower, upper, scores[lower], scores[upper]) for lower, upper in pairs),
        str(schedule),
    )


def all_learned(runs: Sequence[Run], processes: int, told: Progress) -> list[list[Scores]]:
    """Return what each run came to, so many at a time."""

    def heard(run: Run, found: list[Scores]) -> list[Scores]:
        means = ", ".join(f"{split} {scores.mean():.3f}" for split, scores in zip(run.splits, found, strict=True))
        told(f"{run.algorithm}, seed {run.seed}, on {run.named.id}: {means}")
        return found

    if processes == 1:
        return [heard(run, learned(run)) for run in runs]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return [heard(run, found) for run, found in zip(runs, pool.map(learned, runs), strict=True)]


def _seeds(trees: int) -> Sequence[int]:
    if not 1 <= trees <= len(SEEDS):
        raise ConfigError(f"trees={trees}: a problem has 1 to {len(SEEDS)} trees here.")
    return SEEDS[:trees]


@dataclass(frozen=True, slots=True)
class Arm:
    """An algorithm on an environment, after so many expansions."""

    id: str
    algorithm: str
    split: str = "test"
    expansions: int = 200_000

    def __str__(self) -> str:
        return f"{self.algorithm} on {self.id} ({self.split}, {self.expansions:,} expansions)"


@dataclass(frozen=True, slots=True)
class Separation:
    """A difference that the suite is made to show.

    Attributes:
        shows: what it shows, in words.
        lower: what is to be below.
        upper: what is to be above.
        least: by more than this.
    """

    shows: str
    lower: Arm
    upper: Arm
    least: float


_COMMONS, _RELAY, _OWN = "mars2/Commons-v1", "mars2/Relay-v1", "mars2/RelayOwn-v1"
_SCALE, _TEMPLATES = "mars2/Scale8-v1", "mars2/Templates-v1"
SEPARATIONS: Final = (
    Separation(
        "a common budget needs a common reward",
        Arm(_COMMONS, "ippo-own"),
        Arm(_COMMONS, "ippo"),
        0.10,
    ),
    Separation(
        "who is paid for its own part learns it sooner",
        Arm(_RELAY, "ippo", expansions=20_000),
        Arm(_RELAY, "ippo-own", expansions=20_000),
        0.0,
    ),
    Separation(
        "the more so, the more agents there are",
        Arm(_SCALE, "ippo", expansions=50_000),
        Arm(_SCALE, "ippo-own", expansions=50_000),
        0.10,
    ),
    Separation("what is hidden is missed", Arm(_OWN, "ippo"), Arm(_RELAY, "ippo"), 0.10),
    Separation(
        "what was learned of templates does not hold for others",
        Arm(_TEMPLATES, "ppo", "unseen"),
        Arm(_TEMPLATES, "ppo"),
        0.40,
    ),
)


def separate(
    separations: Sequence[Separation] = SEPARATIONS,
    *,
    learners: int = 5,
    trees: int = len(SEEDS),
    processes: int = 1,
    told: Progress = lambda words: None,
) -> Mapping[str, Step]:
    """Return what comes of separations, by what each shows; arguments are those of `admit`."""
    seeds, splits = _seeds(trees), dict[tuple[str, str, int], list[str]]()
    for arm in (arm for one in separations for arm in (one.lower, one.upper)):
        its = splits.setdefault((arm.id, arm.algorithm, arm.expansions), [])
        its += [arm.split] * (arm.split not in its)
    runs = [
        Run(find(id), algorithm, expansions, seed, tuple(its), seeds)
        for (id, algorithm, expansions), its in splits.items()
        for seed in range(learners)
    ]
    scores: dict[Arm, list[Scores]] = {}
    for run, found in zip(runs, all_learned(runs, processes, told), strict=True):
        for split, played in zip(run.splits, found, strict=True):
            scores.setdefault(Arm(run.named.id, run.algorithm, split, run.expansions), []).append(played)
    return {
        one.shows: (step if one.lower.split == one.upper.split else unpaired_step)(
            str(one.lower), str(one.upper), scores[one.lower], scores[one.upper], one.least
        )
        for one in separations
    }
