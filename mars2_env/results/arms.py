"""The searches of a comparison: which runs are of one search, and which of their trees are pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mars2_env.errors import ConfigError
from mars2_env.log import Tree, read_trace
from mars2_env.problems import ProblemSet
from mars2_env.results.answers import AnswerRule
from mars2_env.results.curves import Course, course_of
from mars2_env.results.grading import GradedTree, Played, gather, search_of
from mars2_env.types import Problem

Key: TypeAlias = tuple[str, int]
"""A problem and a seed."""

Runs: TypeAlias = Sequence[str | Path] | Mapping[str, str | Path | Iterable[str | Path] | Iterable[Tree]]


@dataclass(frozen=True, slots=True)
class Arm:
    """One search of a comparison.

    Attributes:
        name: what it is called.
        played: its runs.
        trees: (problem, seed) -> its finished tree, graded; empty before grading.
        courses: likewise, how each did along its way.
    """

    name: str
    played: tuple[Played, ...]
    trees: Mapping[Key, GradedTree] = field(default_factory=dict)
    courses: Mapping[Key, Course] = field(default_factory=dict)

    def graded(self, trees: Sequence[GradedTree], answer: AnswerRule) -> Arm:
        """Return this search with its trees graded."""
        how: Literal["best", "reward"] = "reward" if answer == "reward" else "best"
        found = {(one.tree.problem, one.tree.seed): one for one in trees}
        courses = {
            key: course_of(one.tree, one.passed, {} if one.tree.path is None else read_trace(one.tree.path), how)
            for key, one in found.items()
        }
        return Arm(self.name, self.played, found, courses)

    @property
    def team(self) -> Mapping[str, str]:
        """Agent -> the spec of its policy; empty where the runs do not say."""
        team = self.played[0].run.get("team")
        return team if isinstance(team, dict) else {}

    @property
    def unfinished(self) -> frozenset[Key]:
        """The trees that it began or planned and that are not finished."""
        begun = {
            (tree.problem, tree.seed) for one in self.played for tree in one.unfinished if tree.problem in one.problems
        }
        planned = {
            (problem, seed)
            for one in self.played
            for problem, seed in one.plan or ()
            if seed is not None and problem in one.problems
        }
        return frozenset((begun | planned) - self.trees.keys())

    def answered(self, key: Key) -> bool:
        """Whether the answer of a tree passes the hidden tests."""
        one = self.trees[key]
        return one.answer is not None and one.passed[one.answer - 1]

    def same_problem(self, key: Key, other: Arm) -> bool:
        """Whether a problem is the same in the set that another search was played on: all of it."""
        return self.problem(key) == other.problem(key)

    def problem(self, key: Key) -> Problem:
        """Return the problem of a tree."""
        return next(one.problems[key[0]] for one in self.played if key[0] in one.problems)


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which trees of several searches are compared.

    Attributes:
        pairs: what all of them finished.
        expected: what all of them finished or were to finish.
        counts: of each search, its finished trees that are in no pair: since some other search was never to grow them,
            since some other has not finished them, and since the problem is another there.
        notes: what a reader has to know.
    """

    pairs: frozenset[Key]
    expected: frozenset[Key]
    counts: tuple[tuple[int, int, int], ...]
    notes: tuple[str, ...]


def arms_of(
    runs: Runs, problems: ProblemSet | None, *, partial: bool, least: int = 2, where: str = "compare"
) -> list[Arm]:
    """Return the searches of a comparison, not graded yet.

    Args:
        runs: run folders, of which those of one search with trees of their own make one; or name -> folders or trees.
        problems: the problem set that was played; run folders know how to load their own.
        partial: whether runs that are not finished are taken.
        least: how many searches there have to be.
        where: the function that they were given to, for messages.

    Raises:
        ConfigError: they are fewer, or what `gather` refuses.
        LogError: a run folder is unreadable.
    """
    loaded: dict[bytes, ProblemSet] = {}

    def read(given: Any) -> Played:
        return gather(given, problems, partial=partial, where=where, loaded=loaded)

    if isinstance(runs, Mapping):
        arms = [Arm(str(name), _played(given, read)) for name, given in runs.items()]
    elif isinstance(runs, str | Path) or not isinstance(runs, Iterable):
        raise ConfigError(f"{where}({runs!r:.200}) takes several runs: give a list of run folders, or name -> run.")
    else:
        arms = _grouped([read(run) for run in dict.fromkeys(Path(run) for run in runs)])
    if len(arms) < least:
        raise ConfigError(
            f"{len(arms)} search is not compared with anything: give runs of two, or the same search's runs by name. "
            "(Runs of one search under other seeds count as one; mars2 evaluate takes them together.)"
        )
    return arms


def _played(given: Any, read: Callable[[Any], Played]) -> tuple[Played, ...]:
    """Return what was played of one search: a run folder, several, or trees."""
    if isinstance(given, str | Path):
        return (read(given),)
    listed = list(given) if isinstance(given, Iterable) else [given]
    if not listed or not all(isinstance(one, str | Path) for one in listed):
        return (read(listed),)
    found = tuple(map(read, listed))
    keys = Counter((tree.problem, tree.seed) for one in found for tree in one.finished)
    for (problem, seed), times in keys.items():
        if times > 1:
            raise ConfigError(f"two of {', '.join(map(str, listed))} hold the tree of {problem!r} with seed {seed}.")
    return found


def _grouped(runs: Sequence[Played]) -> list[Arm]:
    """Return runs as searches, in order: a run joins one of the same search of which it repeats no tree."""
    groups: list[tuple[bytes, set[Key], list[Played]]] = []
    for run in runs:
        search, keys = search_of(run), {(tree.problem, tree.seed) for tree in run.finished}
        for other, taken, members in groups:
            if other == search and not taken & keys:
                taken |= keys
                members.append(run)
                break
        else:
            groups.append((search, set(keys), [run]))
    names = [_name(members) for _, _, members in groups]
    return [
        Arm(name if names.count(name) == 1 else str(members[0].folder), tuple(members))
        for name, (_, _, members) in zip(names, groups, strict=True)
    ]


def _name(runs: Sequence[Played]) -> str:
    """Return what a search is called: its folder's name, or what the names of its folders begin with."""
    folders = [run.folder.name for run in runs if run.folder is not None]
    if len(folders) == 1:
        return folders[0]
    alike = takewhile(lambda letters: len({*letters}) == 1, zip(*folders, strict=False))
    return "".join(letters[0] for letters in alike).rstrip("-_. ") or folders[0]


def paired_keys(arms: Sequence[Arm]) -> Pairing:
    """Return which trees of graded searches are pairs, and why the others are not."""
    wanted = [arm.trees.keys() | arm.unfinished for arm in arms]
    named = frozenset.intersection(*map(frozenset, wanted))
    expected = frozenset(key for key in named if all(arms[0].same_problem(key, arm) for arm in arms[1:]))
    pairs = frozenset(key for key in expected if all(key in arm.trees for arm in arms))
    counts = []
    for arm in arms:
        left = arm.trees.keys() - pairs
        counts.append((len(left - named), len(left & expected), len((left & named) - expected)))
    notes = []
    sets = {one.problems.hash: one.problems for arm in arms for one in arm.played}
    if len(sets) > 1:
        names = ", ".join(f"{one.name} ({one.split}, {len(one)} problems, {hash:.8})" for hash, one in sets.items())
        notes.append(f"the searches were played on different problem sets, of which only equal problems pair: {names}")
    boxes = {tree.tree.header.sandbox for arm in arms for tree in arm.trees.values()}
    if len(boxes) > 1:
        notes.append(f"programs ran in different sandboxes: {', '.join(sorted(boxes))}")
    return Pairing(pairs, expected, tuple(counts), tuple(notes))
