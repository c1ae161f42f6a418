"""Checks of results by whoever did not make them: every episode is played again by its actions, without the policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mars2_bench.harness.algorithms import check_claims, remade
from mars2_bench.harness.board import Rerun
from mars2_bench.harness.results import Episodes, Result, read_result
from mars2_bench.harness.running import TREES, Cell, Progress, evaluated, learn
from mars2_bench.suite.bank import read_bank
from mars2_bench.suite.named import Named, find
from mars2_bench.suite.playing import EVALUATION_SEEDS, begin, ends_of
from mars2_bench.suite.vector import BankRounds
from mars2_env.base.journal import Journal, read_journal
from mars2_env.errors import ConfigError, LogError
from mars2_env.results.paired import minimum_detectable_effect


def replay(named: Named, split: str, episodes: Episodes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the scores that the recorded actions come to, and after how many steps; 0 where a tree did not end.

    Returns:
        scores and steps, both of shape (problems, seeds).

    Raises:
        LogError: actions are of another game.
    """
    problems, seeds = episodes.scores.shape
    count, longest, actors = problems * seeds, *episodes.actions.shape[2:]
    envs: Any = named.make_vec(count, split=split, autoreset_mode="NextStep")
    agents = envs.agents if isinstance(envs, BankRounds) else None
    if actors != (1 if agents is None else len(agents)):
        raise LogError(f"{split}: a step has {actors} actions, which is not the number of those who act in {named.id}.")
    begin(envs, [(problem, seed) for problem in episodes.problems for seed in episodes.seeds])
    taken = np.maximum(episodes.actions.reshape(count, longest, actors), 0)
    scores, steps, over = np.zeros(count), np.zeros(count, np.int64), np.zeros(count, np.bool_)
    for step in range(longest):
        now = taken[:, step]
        actions = now[:, 0] if agents is None else {agent: now[:, place] for place, agent in enumerate(agents)}
        try:
            _, _, ended, _, _ = envs.step(actions)
        except ConfigError as error:
            raise LogError(f"{split}: step {step + 1}: {error}") from None
        new = ends_of(envs, ended) & ~over
        scores[new], steps[new] = envs.trees.best[new, 0], step + 1
        over |= new
    envs.close()
    return scores.reshape(problems, seeds), steps.reshape(problems, seeds)


def check(result: Result) -> None:
    """Check a result against the environment that it names.

    Raises:
        LogError: it is of another environment, of other trees than the published ones, or not what its actions come to.
        ConfigError: there is no such environment.
    """
    named = find(result.id)
    for what, said, known in (
        ("environment", result.environment, named.digest),
        ("bank", result.bank, read_bank().digest),
    ):
        if said != known:
            raise LogError(f"it was made with another {what} ({said:.16}) than {result.id} has here ({known:.16}).")
    check_claims(result)
    if set(result.evaluations) != set(evaluated(named)):
        raise LogError(
            f"it has the splits {sorted(result.evaluations)}, and {result.id} has {sorted(evaluated(named))}."
        )
    for split, episodes in result.evaluations.items():
        _check_episodes(named, split, episodes)


def _check_episodes(named: Named, split: str, episodes: Episodes) -> None:
    published = tuple(problem.id for problem in named.problems(split)), tuple(EVALUATION_SEEDS[:TREES])
    if (episodes.problems, episodes.seeds) != published:
        raise LogError(f"{split}: these are not the published trees: all problems of the split, seeds {published[1]}.")
    scores, steps = replay(named, split, episodes)
    for problem, tree in np.argwhere((steps != episodes.steps) | (scores != episodes.scores)).tolist():
        ends = steps[problem, tree]
        raise LogError(
            f"{split}: {episodes.problems[problem]} with seed {episodes.seeds[tree]}: the actions come to "
            + (f"{scores[problem, tree]:.6g} in {ends} steps" if ends else "no end")
            + f", the file says {episodes.scores[problem, tree]:.6g} in {episodes.steps[problem, tree]}."
        )


def verify(files: Iterable[Path]) -> Iterator[tuple[Path, Result | None, str]]:
    """Yield for each file the result, and what is wrong with it; "" if nothing is."""
    for path in files:
        result = None
        try:
            result = read_result(path)
            check(result)
        except (LogError, ConfigError) as error:
            yield path, result, str(error)
        else:
            yield path, result, ""


def learn_again(
    results: Sequence[Result], journal: Path, progress: Callable[[Cell], Progress]
) -> Iterator[tuple[Cell, Rerun]]:
    """Learn again what results say, write down what came of each, and yield it.

    Args:
        results: what is learned again, but for those of which the journal tells already.
        journal: the file of reruns, which is appended to.
        progress: given a cell that begins, returns what is told of it.

    Raises:
        ConfigError: an algorithm cannot be had here, or its sources are others.
        PolicyError: of an algorithm.
    """
    known = {one.digest for one in read_journal(journal, Rerun)}
    new = [result for result in results if result.digest() not in known]
    if not new:
        return
    with closing(Journal(journal, alone=True)) as file:
        for result in new:
            cell = Cell(find(result.id), remade(result.algorithm), result.seed, result.budget, result.tries)
            found = compared(result, learn(cell, progress(cell)))
            file.append(msgspec.json.encode(found))
            yield cell, found


def compared(result: Result, again: Result) -> Rerun:
    """Return what there is to say of a result that was learned again."""
    pairs = {split: (one, result.evaluations[split]) for split, one in again.evaluations.items()}
    return Rerun(
        result.digest(),
        all(one.digest() == other.digest() for one, other in pairs.values()),
        {split: one.score for split, (one, _) in pairs.items()},
        {split: minimum_detectable_effect(one.by_problem - other.by_problem) for split, (one, other) in pairs.items()},
        again.package,
        again.commit,
    )
