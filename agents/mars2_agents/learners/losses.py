"""The losses of policy-gradient learners as functions of log-probabilities alone; each formula once.

Arrays have the shape (sequences, tokens). `mask` is true at completion tokens; whatever stands elsewhere, NaN included,
has no effect and gets no gradient: values are taken by `where`, never multiplied away. An empty sequence is 0, and
counts in the mean's denominator. Advantages are (sequences,), one for each, and hold for all of its tokens.

What a sequence is worth is taken over the whole batch; `weights_on_logprobs` then turns any loss into dL/dlogp, so that
the backward pass may go in any micro-batches, packed or padded, and still be that of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from mars2_env.base.checks import one_of, real_number
from mars2_env.errors import ConfigError

Reduce: TypeAlias = Literal["sequence_mean", "token_mean", "constant"]
Level: TypeAlias = Literal["token", "sequence", "geometric"]
Mode: TypeAlias = Literal["truncate", "mask"]
KlKind: TypeAlias = Literal["k1", "k2", "k3"]

_REDUCES: Final = get_args(Reduce)
VETO: Final = 1e-4
"""A sequence with a token whose importance weight is below this is left out: one sampler and learner disagree on."""


def masked(values: Tensor, mask: Tensor) -> Tensor:
    """Return values with 0 where the mask is false, and no gradient from there."""
    return torch.where(mask, values, torch.zeros((), dtype=values.dtype, device=values.device))


def reduced(per_token: Tensor, mask: Tensor, how: Reduce, length: float | None = None) -> Tensor:
    """Return a loss per token as one number.

    Args:
        per_token: (sequences, tokens), the loss of each completion token.
        mask: (sequences, tokens), true at completion tokens.
        how: `sequence_mean`, the mean over sequences of each one's mean over tokens (GRPO, arXiv 2402.03300);
            `token_mean`, the mean over all tokens (DAPO, arXiv 2503.14476); `constant`, the sum over all tokens divided
            by sequences times `length` (Dr. GRPO, arXiv 2503.20783).
        length: what `constant` divides by, such as the most tokens of a completion.

    Raises:
        ConfigError: `how` is unknown, or `constant` comes without a length.
    """
    one_of("reduce", how, _REDUCES, where="loss")
    tokens = masked(per_token, mask)
    counts = mask.sum(-1)
    if how == "token_mean":
        return tokens.sum() / counts.sum().clamp(min=1)
    if how == "sequence_mean":
        return (tokens.sum(-1) / counts.clamp(min=1)).sum() / max(len(mask), 1)
    if length is None:
        raise ConfigError("loss(reduce='constant') needs length=..., such as the most tokens of a completion.")
    real_number("length", length, above=0, where="loss")
    return tokens.sum() / (max(len(mask), 1) * length)


def log_ratio(logprob: Tensor, old_logprob: Tensor, mask: Tensor) -> Tensor:
    """Return log of pi / pi_old per completion token, 0 elsewhere."""
    return masked(masked(logprob, mask) - masked(old_logprob, mask), mask)


def sequence_log_ratio(logprob: Tensor, old_logprob: Tensor, mask: Tensor) -> Tensor:
    """Return each sequence's mean log ratio, (sequences, 1)."""
    return log_ratio(logprob, old_logprob, mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)


def clipped(ratio: Tensor, advantage: Tensor, low: float, high: float) -> Tensor:
    """Return -min(s A, clip(s, 1 - low, 1 + high) A)."""
    _check_clip(low, high)
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)


def gspo(
    logprob: Tensor,
    old_logprob: Tensor,
    advantage: Tensor,
    mask: Tensor,
    *,
    low: float = 0.2,
    high: float = 0.2,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the GSPO loss: one ratio a sequence, s = exp(mean over tokens of (logp - logp_old)), clipped.

    Its gradient reaches each token of a sequence alike.

    Source: GSPO (arXiv 2507.18071), equation 5; the objective of MARS2+.

    Args:
        logprob: (sequences, tokens), of the policy that is trained.
        old_logprob: the same of the policy as it was when the batch was taken.
        advantage: (sequences,).
        mask: (sequences, tokens), true at completion tokens.
        low: how far the ratio may fall below 1.
        high: how far it may rise above 1.
        weights: importance weights of tokens, (sequences, tokens) (`importance_weights`); they are not trained through.
    """
    ratio = sequence_log_ratio(logprob, old_logprob, mask).exp()
    per_token = clipped(ratio, advantage[:, None], low, high).expand_as(mask)
    return reduced(_weighted(per_token, weights), mask, "sequence_mean")


def token_ratio_loss(
    logprob: Tensor,
    old_logprob: Tensor,
    advantage: Tensor,
    mask: Tensor,
    *,
    low: float = 0.2,
    high: float = 0.2,
    reduce: Reduce = "sequence_mean",
    length: float | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the clipped loss with one ratio a token, as in PPO and GRPO.

    Source: PPO (arXiv 1707.06347); GRPO (arXiv 2402.03300) with `reduce="sequence_mean"`; asymmetric clipping and
    `token_mean`: DAPO (arXiv 2503.14476); `constant`: Dr. GRPO (arXiv 2503.20783). Arguments are those of `gspo` and
    `reduced`.
    """
    ratio = log_ratio(logprob, old_logprob, mask).exp()
    per_token = clipped(ratio, advantage[:, None], low, high)
    return reduced(_weighted(per_token, weights), mask, reduce, length)


def cispo(
    logprob: Tensor,
    old_logprob: Tensor,
    advantage: Tensor,
    mask: Tensor,
    *,
    low: float = 1.0,
    high: float = 0.28,
    reduce: Reduce = "token_mean",
    length: float | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the CISPO loss: -sg(clip(ratio)) A logp, so that a clipped token still has a gradient.

    Source: MiniMax-M1 (arXiv 2506.13585), equation 4. Arguments are those of `gspo` and `reduced`.
    """
    _check_clip(low, high)
    ratio = log_ratio(logprob, old_logprob, mask).exp().clamp(1 - low, 1 + high).detach()
    per_token = -ratio * advantage[:, None] * masked(logprob, mask)
    return reduced(_weighted(per_token, weights), mask, reduce, length)


def negative_log_likelihood(logprob: Tensor, mask: Tensor, *, reduce: Reduce = "token_mean") -> Tensor:
    """Return -logp of the completion tokens: supervised fine-tuning, and how shared solutions are learnt."""
    return reduced(-masked(logprob, mask), mask, reduce)


def importance_weights(
    old_logprob: Tensor,
    sampler_logprob: Tensor,
    mask: Tensor,
    *,
    level: Level = "token",
    mode: Mode = "truncate",
    cap: float = 2.0,
    veto: float = VETO,
) -> Tensor:
    """Return truncated importance weights of tokens, pi_old / pi_sampler, detached; 0 outside the mask.

    The sampler (another engine, other precision, older weights) is not quite the policy that the ratio starts from.
    `token` has a weight a token, `sequence` the product over a sequence, `geometric` its geometric mean. `truncate`
    cuts at `cap`; `mask` sets weights outside [1 / cap, cap] to 0 (those tokens stay in the denominator). A sequence
    with a token below `veto` has 0. Where the sampler's log-probability is NaN or infinite the token has weight 1
    (`missing_logprobs` counts them).

    Source: truncated importance sampling (Yao et al., Your efficient RL framework secretly brings you off-policy RL
    training, 2025); MARS2+.

    Raises:
        ConfigError: a choice is unknown, or cap is not above 1.
    """
    one_of("level", level, get_args(Level), where="importance_weights")
    one_of("mode", mode, get_args(Mode), where="importance_weights")
    real_number("cap", cap, least=1, where="importance_weights")
    known = mask & torch.isfinite(sampler_logprob)
    logs = log_ratio(old_logprob.detach(), sampler_logprob.detach(), known)
    lowest = logs.amin(-1, keepdim=True) if logs.shape[-1] else logs.new_zeros(len(logs), 1)
    if level == "sequence":
        logs = logs.sum(-1, keepdim=True).expand_as(logs)
    elif level == "geometric":
        logs = (logs.sum(-1, keepdim=True) / known.sum(-1, keepdim=True).clamp(min=1)).expand_as(logs)
    weights = logs.exp()
    if mode == "truncate":
        weights = weights.clamp(max=cap)
    else:
        weights = torch.where((weights >= 1 / cap) & (weights <= cap), weights, torch.zeros_like(weights))
    weights = torch.where(lowest.exp() < veto, torch.zeros_like(weights), weights)
    return masked(weights, mask)


def missing_logprobs(sampler_logprob: Tensor, mask: Tensor) -> int:
    """Return for how many completion tokens the sampler gave no finite log-probability."""
    return int((mask & ~torch.isfinite(sampler_logprob)).sum())


def kl(logprob: Tensor, ref_logprob: Tensor, mask: Tensor, *, kind: KlKind = "k3") -> Tensor:
    """Return an estimate of KL(pi, pi_ref) per completion token, 0 elsewhere.

    With d = logp_ref - logp: k1 = -d, k2 = d^2 / 2, k3 = exp(d) - 1 - d. Nothing is clamped: a clamped k3 has no
    gradient where it matters. On policy, the gradient of k2 is that of the reverse KL (arXiv 2510.01555).

    Source: Schulman, Approximating KL divergence, 2020.

    Raises:
        ConfigError: the kind is unknown.
    """
    one_of("kind", kind, get_args(KlKind), where="kl")
    d = -log_ratio(logprob, ref_logprob, mask)
    if kind == "k1":
        return -d
    return d.square() / 2 if kind == "k2" else masked(d.exp() - 1 - d, mask)


def weights_on_logprobs(loss: Callable[[Tensor], Tensor], logprob: Tensor) -> tuple[Tensor, Tensor]:
    """Return a loss and dL/dlogp, detached: sum(weights * logp) has the loss's gradient in any micro-batches.

    Args:
        loss: the loss of the whole batch as a function of the log-probabilities.
        logprob: (sequences, tokens), of the whole batch; no graph is kept.
    """
    leaf = logprob.detach().clone().requires_grad_()
    value = loss(leaf)
    (weights,) = torch.autograd.grad(value, leaf, allow_unused=True)
    return value.detach(), torch.zeros_like(leaf) if weights is None else weights


def _weighted(per_token: Tensor, weights: Tensor | None) -> Tensor:
    return per_token if weights is None else per_token * weights.detach()


def _check_clip(low: float, high: float) -> None:
    real_number("low", low, least=0, most=1, where="loss")
    real_number("high", high, least=0, where="loss")
