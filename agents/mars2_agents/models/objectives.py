"""What a reward model is trained on: the loss of scores, and which programs are compared with which."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus


def pointwise(score: Tensor, passed: Tensor, group: Tensor) -> Tensor:
    """Return the mean of -log p(passed), p = sigmoid(score): binary cross-entropy.

    Args:
        score: (programs,), one logit a program.
        passed: (programs,), whether it passed the hidden tests.
        group: not used; programs are scored by themselves.
    """
    return binary_cross_entropy_with_logits(score, passed.to(score.dtype))


def pairwise(score: Tensor, passed: Tensor, group: Tensor) -> Tensor:
    """Return the mean of -log sigmoid(s_i - s_j) over pairs of one group where i passed and j did not.

    Bradley and Terry (1952), as reward models of language models use it (arXiv 2009.01325, equation 1). Every group
    has the same weight; one without a pair has none.

    Args:
        score: (programs,).
        passed: (programs,), whether it passed the hidden tests.
        group: (programs,), a number that programs which are compared have in common.
    """
    pair = (group[:, None] == group[None, :]) & passed[:, None] & ~passed[None, :]
    loss = torch.where(pair, softplus(score[None, :] - score[:, None]), torch.zeros((), dtype=score.dtype))
    same = group[:, None] == torch.unique(group)[None, :]
    total = same.to(score.dtype).T @ loss.sum(dim=1)
    count = same.to(score.dtype).T @ pair.sum(dim=1).to(score.dtype)
    return (total / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)


def pair_groups(
    compared: Sequence[Hashable], passed: Iterable[bool], size: int, draw: np.random.Generator
) -> list[list[int]]:
    """Return groups of programs that are compared, at most `size` each: some that passed and some that did not.

    Every program of the commoner kind is in one group; those of the rarer kind are in as many as it takes. Where all
    came out alike there is no group.

    Args:
        compared: of each program, what it has in common with those that it is compared with, such as its problem.
        passed: of each, whether it passed.
        size: at least 2.
        draw: the source of the grouping.
    """
    kinds: dict[Hashable, tuple[list[int], list[int]]] = {}
    for place, (whose, good) in enumerate(zip(compared, passed, strict=True)):
        kinds.setdefault(whose, ([], []))[int(good)].append(place)
    groups: list[list[int]] = []
    for both in kinds.values():
        rare, common = sorted(both, key=len)
        if not rare:
            continue
        few = min(len(rare), size // 2)
        many = size - few
        common = [common[place] for place in draw.permutation(len(common))]
        for start in range(0, len(common), many):
            rest = draw.permutation(len(rare))[:few]
            groups.append([*common[start : start + many], *(rare[place] for place in rest)])
    return [groups[place] for place in draw.permutation(len(groups))]


def batches(groups: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Return groups joined to batches of at least `size` places, in order; the last may be smaller."""
    found: list[list[int]] = []
    for group in groups:
        if not found or len(found[-1]) >= size:
            found.append([])
        found[-1] += group
    return found
