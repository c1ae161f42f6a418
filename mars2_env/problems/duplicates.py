"""Problems that two sets share, told by their statements: a set to train on must not hold what another one tests."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from mars2_env.problems.base import ProblemSet
from mars2_env.types import Problem

SHINGLE_WORDS: Final = 8
_COMMON: Final = 1000
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two problems with near-equal statements; `resemblance` is from 0 to 1 (equal)."""

    ours: str
    theirs: str
    resemblance: float


def shingles(text: str) -> frozenset[str]:
    """Return the runs of `SHINGLE_WORDS` words of a text, in lower case; the whole of a shorter text."""
    words = _WORD.findall(text.lower())
    return frozenset(" ".join(words[i : i + SHINGLE_WORDS]) for i in range(max(1, len(words) - SHINGLE_WORDS + 1)))


def resemblance(first: frozenset[str], second: frozenset[str]) -> float:
    """Return the share of shingles that two texts have in common, |A and B| / |A or B| (Broder 1997)."""
    return len(first & second) / len(first | second)


def duplicates(ours: Iterable[Problem], theirs: Iterable[Problem], threshold: float = 0.5) -> list[Duplicate]:
    """Return the problems of `ours` whose statement resembles one of `theirs`, each with the nearest.

    A shingle that more than 1,000 of their statements have is boilerplate and makes no candidate of anybody.

    Args:
        ours: The problems to look for, in order.
        theirs: Those to look among.
        threshold: The least resemblance, above 0.
    """
    known: list[tuple[str, frozenset[str]]] = []
    having: dict[str, list[int]] = defaultdict(list)
    for index, problem in enumerate(theirs):
        found = shingles(problem.statement)
        known.append((problem.id, found))
        for shingle in found:
            having[shingle].append(index)
    result = []
    for problem in ours:
        mine = shingles(problem.statement)
        shared: Counter[int] = Counter()
        for shingle in mine:
            indices = having.get(shingle, ())
            if len(indices) <= _COMMON:
                shared.update(indices)
        scored = ((resemblance(mine, known[index][1]), -index) for index in shared)
        best, negative = max(scored, default=(0.0, 0))
        if best >= threshold:
            result.append(Duplicate(problem.id, known[-negative][0], best))
    return result


def without_duplicates(ours: ProblemSet, theirs: ProblemSet, threshold: float = 0.5) -> ProblemSet:
    """Return `ours` without the problems that `duplicates` finds in `theirs`; they are counted as left out."""
    found = {pair.ours for pair in duplicates(ours, theirs, threshold)}
    if not found:
        return ours
    return replace(
        ours,
        problems=tuple(problem for problem in ours if problem.id not in found),
        left_out={**ours.left_out, f"like a problem of {theirs.name}, split {theirs.split}": len(found)},
    )
