"""The losses of algorithms, put together from the formulas of `mars2_agents.learners.losses`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, TypeAlias, TypedDict, get_args

from torch import Tensor

from mars2_agents.algorithms.lesson import Loss, Scores
from mars2_agents.learners import losses
from mars2_agents.learners.losses import KlKind, Level, Mode, Reduce
from mars2_env.base.checks import one_of, real_number
from mars2_env.errors import ConfigError

Surrogate: TypeAlias = Literal["gspo", "grpo", "dr_grpo", "dapo", "cispo"]


class ObjectiveOptions(TypedDict, total=False):
    """What `objective` takes, as options of an algorithm."""

    surrogate: Surrogate
    low: float | None
    high: float | None
    length: float | None
    kl: tuple[KlKind, float] | float | None
    tis: float | None
    level: Level
    mode: Mode
    imitation: float


@dataclass(frozen=True, slots=True)
class _Form:
    """A surrogate: its formula, how far its ratio may move, and how tokens are put together."""

    formula: Callable[..., Tensor]
    low: float
    high: float
    reduce: Reduce


_FORMS: Final[Mapping[str, _Form]] = {
    "gspo": _Form(losses.gspo, 0.2, 0.2, "sequence_mean"),
    "grpo": _Form(losses.token_ratio_loss, 0.2, 0.2, "sequence_mean"),
    "dr_grpo": _Form(losses.token_ratio_loss, 0.2, 0.2, "constant"),
    "dapo": _Form(losses.token_ratio_loss, 0.2, 0.28, "token_mean"),
    "cispo": _Form(losses.cispo, 1.0, 0.28, "token_mean"),
}


def objective(
    surrogate: Surrogate = "gspo",
    *,
    low: float | None = None,
    high: float | None = None,
    length: float | None = None,
    kl: tuple[KlKind, float] | float | None = None,
    tis: float | None = None,
    level: Level = "token",
    mode: Mode = "truncate",
    imitation: float = 1.0,
) -> Loss:
    """Return a loss: a surrogate of the return, a term that keeps near the reference, and what is imitated.

    Args:
        surrogate: `gspo`; `grpo`, `dr_grpo` (which needs `length`), `dapo` (asymmetric clipping, mean over tokens), or
            `cispo`.
        low: how far the ratio may fall below 1; the surrogate's own by default.
        high: how far it may rise above 1; the surrogate's own by default.
        length: of `dr_grpo`, what sums over tokens are divided by, such as the most tokens of a reply.
        kl: kind and coefficient of the divergence from the reference, such as ("k3", 1e-3); a number alone is that of
            k3. None for no such term.
        tis: the cap of truncated importance weights, which mend what sampler and learner disagree on, such as 2; None
            for no weights. Where the sampler told no log-probability the weight is 1.
        level: of these weights (`importance_weights`).
        mode: likewise.
        imitation: the coefficient of what is imitated (`with_imitation`).

    Raises:
        ConfigError: an argument makes no sense.
    """
    one_of("surrogate", surrogate, get_args(Surrogate), where="objective")
    form = _FORMS[surrogate]
    clip = {"low": form.low if low is None else low, "high": form.high if high is None else high}
    real_number("low", clip["low"], least=0, most=1, where="objective")
    real_number("high", clip["high"], least=0, where="objective")
    if (length is None) == (surrogate == "dr_grpo"):
        raise ConfigError(f"objective({surrogate!r}, length={length!r}): dr_grpo, and it alone, needs a length.")
    if length is not None:
        real_number("length", length, above=0, where="objective")
    kind, coefficient = _divergence(kl)
    if tis is not None:
        real_number("tis", tis, least=1, where="objective")
    one_of("level", level, get_args(Level), where="objective")
    one_of("mode", mode, get_args(Mode), where="objective")
    how: dict[str, Any] = clip if surrogate == "gspo" else {**clip, "reduce": form.reduce, "length": length}

    def surrogate_loss(scores: Scores) -> Tensor:
        weights = None
        if tis is not None:
            weights = losses.importance_weights(
                scores.old, scores.sampler, scores.mask, level=level, mode=mode, cap=tis
            )
        loss = form.formula(scores.logprob, scores.old, scores.advantage, scores.mask, weights=weights, **how)
        if kind is None:
            return loss
        if scores.reference is None:
            raise ConfigError("objective(kl=...): the reference was not scored; give Lesson(reference=True).")
        divergence = losses.kl(scores.logprob, scores.reference, scores.mask, kind=kind)
        return loss + coefficient * losses.reduced(divergence, scores.mask, form.reduce, length)

    return with_imitation(surrogate_loss, imitation)


def needs_reference(options: ObjectiveOptions) -> bool:
    """Whether an objective of these options looks at the reference (`Lesson.reference`)."""
    return _divergence(options.get("kl"))[0] is not None


def with_imitation(loss: Loss, coefficient: float = 1.0) -> Loss:
    """Return a loss that is the given one of what was acted, and the negative log-likelihood of what is imitated.

    Each part has a mean of its own: neither is thinned by how many samples of the other there are. What is imitated
    counts by tokens, has no ratio, and the given loss never sees it.

    Args:
        loss: of samples with an advantage.
        coefficient: of the rest.

    Raises:
        ConfigError: the coefficient is below 0 or no number.
    """
    real_number("imitation", coefficient, least=0, where="with_imitation")

    def both(scores: Scores) -> Tensor:
        copied = rows(scores, scores.imitated)
        return loss(rows(scores, ~scores.imitated)) + coefficient * likelihood(copied)

    return both


def likelihood(scores: Scores) -> Tensor:
    """Return the negative log-likelihood of a batch, the mean over its tokens; 0 of an empty one."""
    return losses.negative_log_likelihood(scores.logprob, scores.mask)


def rows(scores: Scores, chosen: Tensor) -> Scores:
    """Return some sequences of a batch.

    Args:
        scores: the batch.
        chosen: (sequences,), true at those.
    """
    cut = {one.name: getattr(scores, one.name) for one in fields(scores)}
    return replace(scores, **{name: value[chosen] for name, value in cut.items() if value is not None})


def _divergence(kl: tuple[KlKind, float] | Sequence[Any] | float | None) -> tuple[KlKind | None, float]:
    """Return kind and coefficient; no kind where there is to be no such term.

    Raises:
        ConfigError: they are not that.
    """
    if kl is None:
        return None, 0.0
    pair: Sequence[Any] = ("k3", kl) if isinstance(kl, int | float) else kl
    if isinstance(pair, str) or len(pair) != 2:
        raise ConfigError(f"objective(kl={kl!r:.200}): give kind and coefficient, such as ('k3', 0.001), or None.")
    kind: KlKind = pair[0]
    one_of("kl", kind, get_args(KlKind), where="objective")
    coefficient = real_number("kl", pair[1], least=0, where="objective")
    return kind if coefficient else None, float(coefficient)
