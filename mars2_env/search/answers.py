"""Which node of a finished tree is the answer, by what may be known without hidden tests.

Each function takes one entry a candidate, in order of age, and returns the place of the answer (None if there is no
candidate). Every rule puts the score on public tests first; they differ in what decides among equals.
"""

from __future__ import annotations

from collections.abc import Sequence


def best_answer(public: Sequence[float]) -> int | None:
    """Return the candidate with the highest score on public tests, ties to the latest (MARS2, arXiv 2604.14564)."""
    return max(range(len(public)), key=lambda one: (public[one], one), default=None)


def reward_answer(public: Sequence[float], reward: Sequence[float | None]) -> int | None:
    """Return the candidate that a reward model likes best, of those with the highest score on public tests (MARS2-T+).

    Args:
        public: score on public tests.
        reward: the model's score; None, for a program that it has not seen, is below every number. Ties to the latest.
    """
    return max(
        range(len(public)),
        key=lambda one: (public[one], -1.0 if (found := reward[one]) is None else found, one),
        default=None,
    )


def agreement_answer(public: Sequence[float], groups: Sequence[int | None]) -> int | None:
    """Return the latest of the largest group among the candidates with the highest score on public tests.

    A right program agrees with every other right one, while wrong ones differ in how they are wrong (clustering by
    behaviour, as in AlphaCode, Li et al. 2022).

    Args:
        public: score on public tests.
        groups: which candidates behave alike on further inputs: one number each; None has no vote (a copy of another
            candidate, or a program that produced nothing). Ties to the group with the latest candidate.
    """
    if not len(public):
        return None
    best = max(public)
    voters = [one for one, score in enumerate(public) if score == best and groups[one] is not None]
    if not voters:
        return best_answer(public)
    largest: dict[int | None, list[int]] = {}
    for one in voters:
        largest.setdefault(groups[one], []).append(one)
    return max(largest.values(), key=lambda group: (len(group), group[-1]))[-1]
