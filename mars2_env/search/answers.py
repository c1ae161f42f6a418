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


def agreement_answer(
    public: Sequence[float], groups: Sequence[int | None], copies: Sequence[bool] | None = None
) -> int | None:
    """Return the latest of the largest group among the candidates with the highest score on public tests.

    A right program agrees with every other right one, while wrong ones differ in how they are wrong (clustering by
    behaviour, as in AlphaCode, Li et al. 2022).

    Args:
        public: score on public tests.
        groups: which candidates behave alike on further inputs: one number each; None for one that says nothing.
        copies: which candidates repeat an earlier one: they belong to its group and do not make it larger, since
            whoever hands back what it was given agrees with nobody. None: no candidate does.

    Ties go to the group with the latest candidate, copies included.
    """
    if not len(public):
        return None
    best = max(public)
    members: dict[int, list[int]] = {}
    for one, group in enumerate(groups):
        if public[one] == best and group is not None:
            members.setdefault(group, []).append(one)
    if not members:
        return best_answer(public)

    def size(group: list[int]) -> int:
        return sum(copies is None or not copies[one] for one in group)

    return max(members.values(), key=lambda group: (size(group), group[-1]))[-1]
