"""The board: what all results of a folder say of each algorithm on each environment, and how the algorithms compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from mars2_bench.harness.algorithms import check_claims, offer_of
from mars2_bench.harness.results import Result, files_in, read_result
from mars2_bench.harness.statistics import (
    Comparison,
    Floats,
    compare,
    interquartile_mean,
    mean,
    profile,
    stratified_intervals,
)
from mars2_env.base.journal import check_same, read_journal
from mars2_env.errors import LogError

SEEDS: Final = 5
"""Trainings that a row needs."""

THRESHOLDS: Final = np.linspace(0, 0.95, 20)
"""Scores that profiles are told at: the share of trees above each."""

RERUNS: Final = "reruns.jsonl"
"""The file in a folder of results that says which were learned again."""

Division = Literal["rerun", "replayed"]


@dataclass(frozen=True, slots=True)
class Rerun:
    """A result that was learned again by whoever did not make it.

    Attributes:
        digest: of the result.
        identical: whether the same came out, to the last action.
        scores: split -> the mean score that came out.
        detectable: split -> the smallest difference that would have shown.
        package: version that learned again.
        commit: of its sources.
    """

    digest: str
    identical: bool
    scores: Mapping[str, float]
    detectable: Mapping[str, float]
    package: str
    commit: str

    def agrees(self, result: Result) -> bool:
        """Whether it came out the same, or on another machine so near that the trees tell no difference."""
        return self.identical or all(
            abs(score - result.evaluations[split].score) <= self.detectable[split]
            for split, score in self.scores.items()
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One algorithm with one budget on one split of one environment, over seeds.

    Attributes:
        algorithm: its name.
        budget: expansions that each training was allowed.
        reference: whether it is there to be measured by.
        seeds: the seeds of its trainings.
        tries: settings that were tried.
        scores: shape (seeds, problems), each the mean over a problem's trees.
        solved: share of trees that reached the score 1.
        mean, mean_interval: score, and its stratified 95 % interval.
        iqm, iqm_interval: interquartile mean of the entries of `scores`, likewise.
        profile, profile_band: share of entries above each of `THRESHOLDS`, and its band, shape (2, thresholds).
        expansions: what a training took, on average.
        seconds: CPU seconds of a training.
        curve: expansions, and the mean, least and most score of the seeds at each point.
        division: "rerun" where a training was repeated and agreed; "replayed" where episodes alone were played again.
        reruns: how many were repeated.
    """

    algorithm: str
    budget: int
    reference: bool
    seeds: tuple[int, ...]
    tries: int
    scores: Floats
    solved: float
    mean: float
    mean_interval: tuple[float, float]
    iqm: float
    iqm_interval: tuple[float, float]
    profile: Floats
    profile_band: Floats
    expansions: float
    seconds: float
    curve: tuple[tuple[int, float, float, float], ...]
    division: Division
    reruns: int

    @property
    def by_seed(self) -> list[float]:
        """The mean score of each training."""
        found: list[float] = self.scores.mean(axis=1).tolist()
        return found


@dataclass(frozen=True, slots=True)
class Table:
    """All rows of one split of one environment, best first.

    Attributes:
        id: of the environment.
        split: of its problems.
        environment: the environment's digest.
        problems: how many problems.
        trees: how many trees of each.
        rows: the rows.
        over_next: how each row but the last does against the one below it.
        under_best: how each row but the first does against the best.
    """

    id: str
    split: str
    environment: str
    problems: int
    trees: int
    rows: tuple[Row, ...]
    over_next: tuple[Comparison, ...]
    under_best: tuple[Comparison, ...]


def read_board(folder: Path) -> list[Table]:
    """Return the board of a folder of results.

    Raises:
        LogError: a file is no result, or the seeds of a row are not of the same settings.
    """
    reruns = {rerun.digest: rerun for rerun in read_journal(folder / RERUNS, Rerun)}
    return board([read_result(path) for path in files_in(folder)], reruns)


def board(results: Iterable[Result], reruns: Mapping[str, Rerun]) -> list[Table]:
    """Return the tables, in order of environments and splits.

    Args:
        results: in any order.
        reruns: digest of a result -> what came of learning it again.

    Raises:
        ConfigError: one goes by the name of another algorithm.
        LogError: one took more expansions than its budget, or results that make a row are not of the same environment,
            algorithm and settings.
    """
    found: dict[tuple[str, str], dict[tuple[str, int], list[Result]]] = {}
    results = list(results)
    for result in results:
        check_claims(result)
    for result in sorted(results, key=lambda one: (one.id, one.algorithm.name, one.budget, one.seed)):
        for split in result.evaluations:
            rows = found.setdefault((result.id, split), {})
            rows.setdefault((result.algorithm.name, result.budget), []).append(result)
    return [_table(id, split, rows.values(), reruns) for (id, split), rows in sorted(found.items())]


def _table(id: str, split: str, rows: Iterable[list[Result]], reruns: Mapping[str, Rerun]) -> Table:
    made, first = [], None
    for results in rows:
        first = first or results[0]
        for one in results:
            where = f"{id} {one.algorithm.name} {one.budget} seed {one.seed}"
            check_same(where, _shared(one, split), _shared(results[0], split))
            check_same(where, _trees(one, split), _trees(first, split))
        if len({one.seed for one in results}) < len(results):
            raise LogError(f"{id} {results[0].algorithm.name} {results[0].budget}: a seed is there twice.")
        made.append(_row(split, results, reruns))
    assert first is not None
    made.sort(key=lambda row: (-row.mean, row.algorithm, row.budget))
    scores = [row.scores for row in made]
    episodes = first.evaluations[split]
    return Table(
        id,
        split,
        first.environment,
        len(episodes.problems),
        len(episodes.seeds),
        tuple(made),
        tuple(compare(one, next) for one, next in pairwise(scores)),
        tuple(compare(one, scores[0]) for one in scores[1:]),
    )


def _shared(result: Result, split: str) -> dict[str, Any]:
    """Return what the seeds of a row have in common."""
    cell = result.cell()
    del cell["seed"]
    return cell


def _trees(result: Result, split: str) -> dict[str, Any]:
    """Return what the rows of a table have in common."""
    episodes = result.evaluations[split]
    return {"environment": result.environment, "problems": episodes.problems, "seeds": episodes.seeds}


def _row(split: str, results: Sequence[Result], reruns: Mapping[str, Rerun]) -> Row:
    scores = np.stack([one.evaluations[split].by_problem for one in results])
    average, iqm, band = stratified_intervals(
        scores, (mean, interquartile_mean, lambda resampled: profile(resampled, THRESHOLDS))
    )
    again = [(one, reruns[one.digest()]) for one in results if one.digest() in reruns]
    first, offer = results[0], offer_of(results[0].algorithm)
    return Row(
        first.algorithm.name,
        first.budget,
        offer is not None and offer.reference,
        tuple(one.seed for one in results),
        first.tries,
        scores,
        float(np.mean([one.evaluations[split].scores >= 1 for one in results])),
        float(mean(scores)),
        (float(average[0]), float(average[1])),
        float(interquartile_mean(scores)),
        (float(iqm[0]), float(iqm[1])),
        profile(scores, THRESHOLDS),
        band,
        float(np.mean([one.expansions for one in results])),
        float(np.mean([one.clock.learning for one in results])),
        _curve(results),
        "rerun" if again and all(rerun.agrees(one) for one, rerun in again) else "replayed",
        len(again),
    )


def _curve(results: Sequence[Result]) -> tuple[tuple[int, float, float, float], ...]:
    """Return expansions with the mean, least and most score over seeds, at the points that all seeds have."""
    points = [{point.expansions: point.score for point in one.curve} for one in results]
    shared = sorted(set.intersection(*map(set, points)))
    at = [(expansions, [one[expansions] for one in points]) for expansions in shared]
    return tuple((expansions, float(np.mean(found)), min(found), max(found)) for expansions, found in at)
