"""Rejection sampling: each policy learns by likelihood what it wrote itself and what passed.

Every problem has the same weight, however often it was solved, so that easy ones do not drown the others.

Source: rejection-sampling fine-tuning (arXiv 2308.01825); the samples weighted by one over how many their problem gave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mars2_agents.algorithms.by_policy import lessons
from mars2_agents.algorithms.lesson import Algorithm, Crew, Lesson, Scores
from mars2_agents.learners.losses import masked
from mars2_env.base.checks import real_number
from mars2_env.credit import Credit, Sample
from mars2_env.log import Tree


def rejection(*, solved: float = 1.0, fresh: bool = False) -> Algorithm:
    """Return rejection-sampling fine-tuning.

    Args:
        solved: the score from which on a program passes.
        fresh: whether refinements are left out.
    """
    real_number("solved", solved, above=0, where="rejection")
    credit = Credit(gamma=0.0)

    def algorithm(trees: Sequence[Tree], crew: Crew) -> Mapping[str, Lesson]:
        found = lessons(trees, crew, credit, weighted_likelihood, fresh=fresh)
        return {policy: _passing(lesson, solved) for policy, lesson in found.items()}

    return algorithm


def weighted_likelihood(scores: Scores) -> Tensor:
    """Return the negative log-likelihood of a batch: the weighted mean over sequences of each one's mean over tokens.

    The weight of a sequence stands in the place of its advantage.
    """
    means = masked(scores.logprob, scores.mask).sum(-1) / scores.mask.sum(-1).clamp(min=1)
    weight = scores.advantage.clamp(min=0)
    tiny = torch.finfo(weight.dtype).tiny
    return -(weight * means).sum() / weight.sum().clamp(min=tiny)


def _passing(lesson: Lesson, solved: float) -> Lesson:
    """Return a lesson of those samples alone whose program passes, weighted so that all problems weigh the same."""
    passing = [sample for sample in lesson.samples if sample.reward >= solved]
    weigh = Counter(_problem_of(sample) for sample in passing)
    rows = tuple(
        replace(sample, advantage=1 / weigh[_problem_of(sample)], shaped=sample.reward, imitated=True)
        for sample in passing
    )
    left = {**lesson.left_out}
    if failing := len(lesson.samples) - len(passing):
        left["not passing"] = failing
    return replace(lesson, samples=rows, left_out=left)


def _problem_of(sample: Sample) -> str:
    return sample.tree.rpartition("#")[0]
