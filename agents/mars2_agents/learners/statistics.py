"""What is told of an update: of the loss's batch as it was learnt, nothing that the loss itself does not know.

All means are over trained tokens that the policy sampled itself; imitated samples are left out, since their old
probability, ratio and importance say nothing about sampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mars2_agents.algorithms.lesson import Loss, Scores
from mars2_agents.learners.losses import kl, log_ratio, masked, missing_logprobs, weights_on_logprobs


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a batch looked like to its loss. A mean over nothing is None.

    Attributes:
        tokens: how many were trained, imitated ones among them.
        entropy: the mean of -logp as the batch was taken: an estimate of the entropy of a token, in nats.
        kl_old: the mean k3 of the policy to what it was as the batch was taken; 0 at one update a batch.
        kl_reference: the same to the reference model; None without one.
        ratio_mean: the mean of pi / pi_old a token; 1 at one update a batch.
        ratio_max: the largest.
        clip_share: the share of tokens with an advantage to which the loss gave no gradient for it: they were clipped,
            or had an importance weight of 0.
        importance_mean: the mean of pi_old / pi_sampler a token, before anything is cut.
        importance_min: the least.
        importance_max: the largest.
        missing_logprobs: for how many tokens the sampler told no finite log-probability.
        lag: by how many updates the weights that wrote a sample were older than those that learnt it, the mean.
    """

    tokens: int
    entropy: float | None
    kl_old: float | None
    kl_reference: float | None
    ratio_mean: float | None
    ratio_max: float | None
    clip_share: float | None
    importance_mean: float | None
    importance_min: float | None
    importance_max: float | None
    missing_logprobs: int
    lag: float | None


def statistics(scores: Scores, unmoved: Tensor) -> Statistics:
    """Return what a batch looked like to its loss.

    Args:
        scores: the batch; `logprob` is that of the moment at which each sample was learnt.
        unmoved: (sequences, tokens), true where the loss gave no gradient for the advantage (`unmoved_by`).
    """
    own = scores.mask & ~scores.imitated[:, None]
    known = own & torch.isfinite(scores.sampler)
    ratio = log_ratio(scores.logprob, scores.old, own).exp()[own]
    importance = log_ratio(scores.old, scores.sampler, known).exp()[known]
    told = own & (scores.advantage != 0)[:, None]
    reference = scores.reference
    return Statistics(
        tokens=int(scores.mask.sum()),
        entropy=mean(-masked(scores.old, own)[own]),
        kl_old=mean(kl(scores.logprob, scores.old, own)[own]),
        kl_reference=None if reference is None else mean(kl(scores.logprob, reference, own)[own]),
        ratio_mean=mean(ratio),
        ratio_max=float(ratio.max()) if len(ratio) else None,
        clip_share=mean(unmoved[told].double()),
        importance_mean=mean(importance),
        importance_min=float(importance.min()) if len(importance) else None,
        importance_max=float(importance.max()) if len(importance) else None,
        missing_logprobs=missing_logprobs(scores.sampler, own),
        lag=mean(scores.lag[~scores.imitated]),
    )


def derivative(loss: Loss, scores: Scores) -> tuple[Tensor, Tensor]:
    """Return the loss of a batch and dL/dlogp, (sequences, tokens), both detached."""
    return weights_on_logprobs(lambda logprob: loss(replace(scores, logprob=logprob)), scores.logprob)


def unmoved_by(loss: Loss, scores: Scores, weights: Tensor) -> Tensor:
    """Return where the advantage moves nothing: (sequences, tokens), true where dL/dlogp is the same without it.

    A clipped token still has the gradient of a KL term. What of dL/dlogp is owed to the advantage is what is lost when
    all advantages are 0, so that the share of clipped tokens is known of every loss without asking what it clips.

    Args:
        loss: of the batch.
        scores: the batch.
        weights: (sequences, tokens), dL/dlogp with the advantages as they are.
    """
    _, without = derivative(loss, replace(scores, advantage=torch.zeros_like(scores.advantage)))
    return scores.mask & (weights == without)


def mean(values: Tensor) -> float | None:
    """Return a mean in float64; None of nothing, and of what is not finite."""
    found = float(values.double().mean()) if values.numel() else math.nan
    return found if math.isfinite(found) else None
