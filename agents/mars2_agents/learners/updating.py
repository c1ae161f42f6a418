"""An update: samples and a loss become new weights, by the exact gradient of the loss over the whole batch.

The batch is scored without a gradient, the loss is a function of what that gave, and its derivative by each
log-probability is taken once, over the whole batch. The learner then runs backward on sum(weights * logp) in whatever
micro-batches and on however many processes: the gradient is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mars2_agents.algorithms.lesson import Loss, Scores
from mars2_agents.learners.learner import Update, WeightsRef
from mars2_agents.learners.scoring import Tokens
from mars2_agents.learners.statistics import Statistics, derivative, statistics, unmoved_by
from mars2_env.base.checks import whole_number
from mars2_env.credit import Sample
from mars2_env.errors import ConfigError

NAN = float("nan")


class Learns(Protocol):
    """A learner: on this machine, over several processes, or behind a service. Every tensor is of one sample."""

    @property
    def version(self) -> int:
        """How many updates were made; the version of the weights."""
        ...

    @property
    def context(self) -> int | None:
        """The most tokens of a sample; None where that is not known."""
        ...

    def score(self, samples: Sequence[Tokens], *, temperature: float = 1.0) -> list[Tensor]:
        """Return the log-probability of each completion token of each sample, float32, without a gradient."""
        ...

    def score_reference(self, samples: Sequence[Tokens], *, temperature: float = 1.0) -> list[Tensor]:
        """Return the same by the reference model."""
        ...

    def backward(self, samples: Sequence[Tokens], weights: Sequence[Tensor], *, temperature: float = 1.0) -> None:
        """Add the gradient of sum(weights * logprobs)."""
        ...

    def step(self) -> Update:
        """Make an update of what was added up."""
        ...

    def export(self, folder: str | Path) -> WeightsRef:
        """Put the weights where policies load them from, and return where."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write all that training goes on from."""
        ...

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """What learning a batch came to.

    Attributes:
        version: of the weights now.
        updates: how many were made; 0 where no token had a gradient, which changes nothing.
        samples: of the batch.
        loss: the mean over minibatches and epochs.
        lr: the learning rate of the last update; 0 where none was made.
        grad_norm: the largest norm of a gradient before it was cut; None where no update was made, or none is told.
        seen: what the batch looked like to the loss, in the last epoch.
    """

    version: int
    updates: int
    samples: int
    loss: float
    lr: float
    grad_norm: float | None
    seen: Statistics


def trainable(samples: Sequence[Sample], *, keep_duplicates: bool = False) -> tuple[list[Sample], Mapping[str, int]]:
    """Return the samples that take part in a loss, in order, and why how many of the others do not.

    A masked duplicate has advantage 0 and would only water down means; so would a sample without a trained token.

    Args:
        samples: of one policy.
        keep_duplicates: whether programs that their tree had already are learnt like others (`Credit.duplicates`).
    """
    kept: list[Sample] = []
    left: Counter[str] = Counter()
    for sample in samples:
        if not any(sample.mask):
            left["no trained token"] += 1
        elif sample.duplicate and not sample.imitated and not keep_duplicates:
            left["duplicate"] += 1
        else:
            kept.append(sample)
    return kept, dict(left)


def update(
    learner: Learns,
    samples: Sequence[Sample],
    loss: Loss,
    *,
    reference: bool = False,
    minibatches: int = 1,
    epochs: int = 1,
) -> Report:
    """Learn a batch, and return what that came to.

    Old and reference log-probabilities are of the batch's start and stay. With several minibatches each makes an update
    of its own; they are neighbours in the batch, so that nodes of a tree stay together. A minibatch to whose tokens the
    loss gives no gradient makes none.

    Args:
        learner: whose weights are changed.
        samples: the batch; all of them count in the means of the loss (`trainable` leaves out what should not).
        loss: of it.
        reference: whether the loss needs the reference model's log-probabilities.
        minibatches: how many updates an epoch makes.
        epochs: how often the batch is gone through.

    Raises:
        ConfigError: there are fewer samples than minibatches, or a sample cannot be learnt (`check_learnable`).
    """
    whole_number("minibatches", minibatches, where="update")
    whole_number("epochs", epochs, where="update")
    if len(samples) < minibatches:
        raise ConfigError(
            f"update: {len(samples)} samples make no {minibatches} minibatches; gather more, or ask less."
        )
    check_learnable(samples, learner.context)
    old = _scored(learner.score, samples)
    ref = _scored(learner.score_reference, samples) if reference else None
    batch = scores_of(samples, old, reference=ref, version=learner.version)
    latest, unmoved = batch.logprob.clone(), torch.zeros_like(batch.mask)
    losses: list[float] = []
    made: list[Update] = []
    for _ in range(epochs):
        for places in split(len(samples), minibatches):
            part = samples[places]
            if made:  # the weights are no longer those of the old log-probabilities
                latest[places] = _as_wide(_scored(learner.score, part), latest)
            scores = rows(batch, latest, places)
            value, weights = derivative(loss, scores)
            losses.append(float(value))
            unmoved[places] = unmoved_by(loss, scores, weights)
            if bool(weights.any()):
                _backward(learner, part, weights)
                made.append(learner.step())
    return Report(
        version=learner.version,
        updates=len(made),
        samples=len(samples),
        loss=sum(losses) / len(losses),
        lr=made[-1].lr if made else 0.0,
        grad_norm=max((one.grad_norm for one in made if one.grad_norm is not None), default=None),
        seen=statistics(replace(batch, logprob=latest), unmoved),
    )


def scores_of(
    samples: Sequence[Sample],
    old: Sequence[Tensor],
    *,
    reference: Sequence[Tensor] | None = None,
    version: int = 0,
) -> Scores:
    """Return a batch as a loss sees it, padded on the right with NaN; `logprob` is `old`.

    Args:
        samples: the batch.
        old: of each sample the log-probability of each completion token, (tokens,).
        reference: the same by the reference model.
        version: of the weights that learn; a sample's lag is this minus the mean version of its trained tokens.
    """
    device = old[0].device if old else None
    padded = _padded(old)
    lag = [0.0 if sample.imitated else version - _mean_version(sample, version) for sample in samples]
    return Scores(
        logprob=padded,
        old=padded,
        sampler=_padded([sampler_logprobs(sample).to(one) for sample, one in zip(samples, old, strict=True)]),
        reference=None if reference is None else _padded(reference),
        mask=pad_sequence([torch.tensor(sample.mask, dtype=torch.bool) for sample in samples], batch_first=True).to(
            padded.device
        ),
        advantage=torch.tensor([sample.advantage for sample in samples], dtype=padded.dtype, device=device),
        imitated=torch.tensor([sample.imitated for sample in samples], dtype=torch.bool, device=device),
        lag=torch.tensor(lag, dtype=padded.dtype, device=device),
    )


def sampler_logprobs(sample: Sample) -> Tensor:
    """Return the sampler's log-probabilities over the whole vocabulary after the temperature, (tokens,), float64.

    What was renormalised over what top-p kept is given its share back; what is of another distribution than the one
    that the learner scores is NaN, and so are the log-probabilities of an imitated sample.
    """
    told = torch.tensor(sample.logprobs, dtype=torch.float64)
    unknown = torch.full_like(told, NAN)
    if sample.imitated or (sample.logprobs_kind == "raw" and sample.temperature != 1):
        return unknown
    if sample.logprobs_kind == "sampled" and sample.kept_mass:
        return told + torch.tensor(sample.kept_mass, dtype=torch.float64).log()
    return told


def check_learnable(samples: Sequence[Sample], context: int | None = None) -> None:
    """Refuse samples that were not drawn from what the learner can score.

    Args:
        samples: of one policy.
        context: the most tokens of a sample; None for no limit.

    Raises:
        ConfigError: a sample has no prompt, is too long, has no finite advantage, or was sampled greedily, by a top_p
            whose kept mass was not recorded, or at a temperature that is not known.
    """
    for place, sample in enumerate(samples):
        wrong = _wrong_with(sample, context)
        if wrong:
            raise ConfigError(f"sample {place} of the batch (node {sample.node} of {sample.tree!r:.100}) {wrong}")


def _wrong_with(sample: Sample, context: int | None) -> str:
    """Return what keeps a sample from being learnt and what to do; "" where nothing does."""
    tokens = len(sample.completion_ids)
    length = len(sample.prompt_ids) + tokens
    if not sample.prompt_ids:
        return "has no prompt token; give at least the one that begins a text."
    told = {len(sample.mask), len(sample.logprobs), len(sample.versions), len(sample.kept_mass) or tokens}
    if told != {tokens}:
        return f"has {tokens} completion tokens, but a mask, log-probabilities or versions of another length."
    if context is not None and length > context:
        return (
            f"has {length} tokens, more than the {context} of the model's context; let the policy write fewer "
            "(max_new_tokens, context)."
        )
    if sample.imitated:
        return ""
    if sample.advantage != sample.advantage or abs(sample.advantage) == float("inf"):
        return f"has advantage {sample.advantage}; give a finite one."
    if sample.temperature is None:
        return "was sampled at a temperature that is not known; use a policy whose generations tell it."
    if sample.temperature <= 0:
        return "was sampled greedily, so nothing can be learnt from its chances; sample at a temperature of 1, say."
    if sample.top_p is not None and sample.top_p < 1 and not sample.kept_mass:
        return (
            f"was sampled with top_p={sample.top_p}, and what that kept was not recorded; sample with top_p=1 "
            "(0.95 is the default of policies)."
        )
    return ""


def temperature_of(sample: Sample) -> float:
    """Return the temperature at which a sample is scored: 1 for an imitated one that was not sampled at another."""
    return sample.temperature or 1.0


def split(size: int, parts: int) -> Iterator[slice]:
    """Yield neighbouring parts of a batch, in order; their sizes differ by one at most."""
    for part in range(parts):
        yield slice(part * size // parts, (part + 1) * size // parts)


def rows(batch: Scores, logprob: Tensor, places: slice) -> Scores:
    """Return some sequences of a batch, with other log-probabilities of the policy that is trained."""
    return Scores(
        logprob=logprob[places],
        old=batch.old[places],
        sampler=batch.sampler[places],
        reference=None if batch.reference is None else batch.reference[places],
        mask=batch.mask[places],
        advantage=batch.advantage[places],
        imitated=batch.imitated[places],
        lag=batch.lag[places],
    )


class _Scores(Protocol):
    """What scores samples."""

    def __call__(self, samples: Sequence[Tokens], *, temperature: float = 1.0) -> list[Tensor]:
        """Return the log-probability of each completion token of each sample."""
        ...


def _by_temperature(samples: Sequence[Sample]) -> Mapping[float, list[int]]:
    """Return the places of samples by the temperature at which they are scored."""
    found: dict[float, list[int]] = {}
    for place, sample in enumerate(samples):
        found.setdefault(temperature_of(sample), []).append(place)
    return found


def _scored(score: _Scores, samples: Sequence[Sample]) -> list[Tensor]:
    """Return the log-probabilities of samples, each at its own temperature, in order."""
    found: dict[int, Tensor] = {}
    for temperature, places in _by_temperature(samples).items():
        found.update(zip(places, score([samples[place] for place in places], temperature=temperature), strict=True))
    return [found[place] for place in range(len(samples))]


def _backward(learner: Learns, samples: Sequence[Sample], weights: Tensor) -> None:
    """Add the gradient of sum(weights * logp), each sample at its own temperature."""
    for temperature, places in _by_temperature(samples).items():
        chosen = [samples[place] for place in places]
        cut = [weights[place, : len(samples[place].completion_ids)] for place in places]
        learner.backward(chosen, cut, temperature=temperature)


def _padded(values: Sequence[Tensor]) -> Tensor:
    return pad_sequence(list(values), batch_first=True, padding_value=NAN) if values else torch.zeros(0, 0)


def _as_wide(values: Sequence[Tensor], like: Tensor) -> Tensor:
    """Return per-token values padded to the width of another array."""
    found = like.new_full((len(values), like.shape[1]), NAN)
    for row, value in zip(found, values, strict=True):
        row[: len(value)] = value
    return found


def _mean_version(sample: Sample, unknown: int) -> float:
    """Return the mean version of the weights that wrote a sample's trained tokens."""
    versions = [version for version, written in zip(sample.versions, sample.mask, strict=True) if written]
    return sum(versions) / len(versions) if versions else unknown
