"""The losses of algorithms: each is its formula, what is imitated dilutes nothing, and nothing is ever NaN."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from mars2_agents.algorithms.lesson import Scores  # noqa: E402
from mars2_agents.algorithms.objective import likelihood, objective, rows, with_imitation  # noqa: E402
from mars2_agents.learners import losses  # noqa: E402

from mars2_env import ConfigError  # noqa: E402

torch.set_num_threads(1)
NAN = float("nan")


def batch(imitated: tuple[bool, ...] = (False, False, False), seed: int = 0) -> Scores:
    """Three sequences of 4, 2 and 3 tokens whose padding is NaN; the last has one token of a tool in between."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0]], dtype=torch.bool)

    def some() -> Any:
        return torch.where(mask, -torch.rand(3, 4, generator=generator), torch.tensor(NAN))

    return Scores(
        logprob=some(),
        old=some(),
        sampler=some(),
        reference=some(),
        mask=mask,
        advantage=torch.tensor([1.0, -0.5, 2.0]),
        imitated=torch.tensor(imitated),
        lag=torch.zeros(3),
    )


def value_and_weights(loss: Any, scores: Scores) -> tuple[float, Any]:
    value, weights = losses.weights_on_logprobs(lambda lp: loss(replace(scores, logprob=lp)), scores.logprob)
    return float(value), weights


def formula(name: str, scores: Scores, weights: Any = None) -> Any:
    """What a surrogate is by its own formula."""
    args = (scores.logprob, scores.old, scores.advantage, scores.mask)
    ratio = losses.token_ratio_loss
    return {
        "gspo": lambda: losses.gspo(*args, weights=weights),
        "grpo": lambda: ratio(*args, weights=weights),
        "dr_grpo": lambda: ratio(*args, reduce="constant", length=8.0, weights=weights),
        "dapo": lambda: ratio(*args, high=0.28, reduce="token_mean", weights=weights),
        "cispo": lambda: losses.cispo(*args, weights=weights),
    }[name]()


SURROGATES = ("gspo", "grpo", "dr_grpo", "dapo", "cispo")


def made(name: Any, **options: Any) -> Any:
    return objective(name, length=8.0 if name == "dr_grpo" else None, **options)


@pytest.mark.parametrize("name", SURROGATES)
def test_a_surrogate_is_its_formula(name: str) -> None:
    scores = batch()
    torch.testing.assert_close(made(name)(scores), formula(name, scores))


@pytest.mark.parametrize("name", SURROGATES)
def test_importance_weights_and_the_divergence_come_on_top(name: str) -> None:
    scores = batch()
    weights = losses.importance_weights(scores.old, scores.sampler, scores.mask, level="sequence", mode="mask", cap=3.0)
    reduce = {"dr_grpo": "constant", "dapo": "token_mean", "cispo": "token_mean"}.get(name, "sequence_mean")
    divergence = losses.kl(scores.logprob, scores.reference, scores.mask, kind="k2")
    wanted = formula(name, scores, weights) + 0.25 * losses.reduced(divergence, scores.mask, reduce, 8.0)  # type: ignore[arg-type]
    found = made(name, tis=3.0, level="sequence", mode="mask", kl=("k2", 0.25))(scores)
    torch.testing.assert_close(found, wanted)


def test_a_coefficient_alone_is_that_of_k3() -> None:
    scores = batch()
    torch.testing.assert_close(objective(kl=0.5)(scores), objective(kl=("k3", 0.5))(scores))


def test_clipping_can_be_said() -> None:
    scores = batch()
    args = (scores.logprob, scores.old, scores.advantage, scores.mask)
    torch.testing.assert_close(objective("gspo", low=0.01, high=0.02)(scores), losses.gspo(*args, low=0.01, high=0.02))


def test_what_is_imitated_and_what_was_acted_do_not_thin_each_other() -> None:
    mixed = batch((False, True, False))
    acted, copied = rows(mixed, ~mixed.imitated), rows(mixed, mixed.imitated)
    wanted = objective("gspo")(acted) + 0.3 * likelihood(copied)
    torch.testing.assert_close(objective("gspo", imitation=0.3)(mixed), wanted)
    # Twice as much to imitate leaves the weights of what was acted as they are.
    twice = Scores(
        **{name: torch.cat([getattr(mixed, name), getattr(copied, name)]) for name in Scores.__dataclass_fields__}
    )
    _, before = value_and_weights(objective("gspo"), mixed)
    _, after = value_and_weights(objective("gspo"), twice)
    torch.testing.assert_close(after[[0, 2]], before[[0, 2]])
    torch.testing.assert_close(after[1] + after[3], before[1])


def test_an_advantage_of_something_imitated_means_nothing() -> None:
    mixed = batch((False, True, False))
    other = replace(mixed, advantage=torch.tensor([1.0, 99.0, 2.0]))
    torch.testing.assert_close(objective("grpo")(mixed), objective("grpo")(other))


def test_the_outer_coefficient_holds_where_losses_are_nested() -> None:
    mixed = batch((False, True, False))
    torch.testing.assert_close(
        with_imitation(objective("gspo", imitation=5.0), 0.1)(mixed), objective("gspo", imitation=0.1)(mixed)
    )


def degenerate() -> dict[str, Scores]:
    whole = batch()
    return {
        "empty masks": replace(whole, mask=torch.zeros_like(whole.mask)),
        "one empty mask": replace(whole, mask=whole.mask & torch.tensor([[True], [False], [True]])),
        "one row": rows(whole, torch.tensor([True, False, False])),
        "no rows": rows(whole, torch.tensor([False, False, False])),
        "all imitated": batch((True, True, True)),
        "no advantage": replace(whole, advantage=torch.zeros(3)),
        "no sampler": replace(whole, sampler=torch.full_like(whole.sampler, NAN)),
        "some of the sampler": replace(whole, sampler=whole.sampler.where(torch.rand(3, 4) > 0.5, torch.tensor(NAN))),
        "an impossible token": replace(whole, sampler=torch.full_like(whole.sampler, -float("inf"))),
    }


@pytest.mark.parametrize("case", degenerate())
def test_a_loss_is_never_nan_and_moves_nothing_outside_the_mask(case: str) -> None:
    scores = degenerate()[case]
    for name, tis, mode, kl in product(SURROGATES, (None, 2.0), ("truncate", "mask"), (None, ("k3", 1e-3))):
        value, weights = value_and_weights(made(name, tis=tis, mode=mode, kl=kl), scores)
        assert value == value and abs(value) < float("inf")
        assert torch.isfinite(weights).all() and not weights[~scores.mask].any()
        if case in ("empty masks", "no rows") or (case == "no advantage" and kl is None):
            assert value == 0 and not weights.any()


def test_a_missing_sampler_is_a_weight_of_one() -> None:
    scores = degenerate()["no sampler"]
    torch.testing.assert_close(objective("gspo", tis=2.0)(scores), objective("gspo")(scores))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"surrogate": "ppo"}, "gspo"),
        ({"surrogate": "dr_grpo"}, "needs a length"),
        ({"surrogate": "gspo", "length": 4}, "needs a length"),
        ({"low": 2.0}, "low"),
        ({"high": -1.0}, "high"),
        ({"kl": "k3"}, "coefficient"),
        ({"kl": ("k4", 1.0)}, "k3"),
        ({"kl": ("k3", -1.0)}, "kl"),
        ({"kl": -1.0}, "kl"),
        ({"kl": True}, "kl"),
        ({"tis": 0.5}, "tis"),
        ({"level": "word"}, "geometric"),
        ({"mode": "drop"}, "truncate"),
        ({"imitation": -1.0}, "imitation"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_learnt(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        objective(**options)


def test_a_divergence_without_a_reference_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="reference=True"):
        objective(kl=("k3", 1e-3))(replace(batch(), reference=None))
