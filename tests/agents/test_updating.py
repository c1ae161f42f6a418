"""Updates: a batch becomes new weights by the exact gradient of its loss, and what that was like is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp, inf, isnan, log, nan
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from mars2_agents.algorithms.lesson import Scores  # noqa: E402
from mars2_agents.learners import losses  # noqa: E402
from mars2_agents.learners.learner import Learner, Optimising  # noqa: E402
from mars2_agents.learners.updating import scores_of, trainable, update  # noqa: E402
from small_learners import BATCH, gspo, model, sample  # noqa: E402

from mars2_env import ConfigError  # noqa: E402


def with_kl(scores: Scores) -> Any:
    assert scores.reference is not None
    penalty = losses.reduced(losses.kl(scores.logprob, scores.reference, scores.mask), scores.mask, "token_mean")
    return gspo(scores) + 0.1 * penalty


def likelihood(scores: Scores) -> Any:
    return losses.negative_log_likelihood(scores.logprob, scores.mask)


def test_an_update_moves_probability_to_what_had_an_advantage() -> None:
    learner = Learner(model(), Optimising(lr=1e-2))
    before = [float(one.sum()) for one in learner.score(BATCH[1:2]) + learner.score(BATCH[2:3], temperature=0.5)]
    report = update(learner, BATCH, gspo)
    after = [float(one.sum()) for one in learner.score(BATCH[1:2]) + learner.score(BATCH[2:3], temperature=0.5)]
    assert after[0] < before[0] and after[1] > before[1]
    assert (report.version, report.updates, report.samples, learner.version) == (1, 1, 4, 1)
    assert report.lr == 1e-2 and report.grad_norm is not None and report.grad_norm > 0
    assert report.loss == pytest.approx(-(1.0 - 0.5 + 2.0 - 1.0) / 4)  # all ratios are 1


def test_a_single_update_sees_ratios_of_one() -> None:
    seen = update(Learner(model()), BATCH, gspo).seen
    assert (seen.tokens, seen.ratio_mean, seen.ratio_max, seen.kl_old, seen.clip_share) == (11, 1.0, 1.0, 0.0, 0.0)
    assert seen.kl_reference is None and seen.entropy is not None and seen.entropy > 0


def test_the_sampler_is_compared_with_the_learner_at_the_temperature_of_sampling() -> None:
    learner = Learner(model())
    seen = update(learner, BATCH, gspo).seen
    scored = {}
    fresh = Learner(model())
    for place, one in enumerate(BATCH):
        scored[place] = fresh.score([one], temperature=one.temperature)[0]
    ratios = [
        exp(float(learnt) - told)
        for place, one in enumerate(BATCH)
        for learnt, told, written in zip(scored[place], one.logprobs, one.mask, strict=True)
        if written and not isnan(told)
    ]
    assert seen.missing_logprobs == 1 and len(ratios) == 10
    assert seen.importance_mean == pytest.approx(sum(ratios) / 10, rel=1e-5)
    assert (seen.importance_min, seen.importance_max) == pytest.approx((min(ratios), max(ratios)), rel=1e-5)


def test_minibatches_and_epochs_make_updates_against_the_same_old_policy() -> None:
    learner = Learner(model(), Optimising(lr=1e-4))
    report = update(learner, BATCH, gspo, minibatches=2, epochs=2)
    assert (report.updates, report.version) == (4, 4)
    assert report.seen.kl_old is not None and report.seen.kl_old > 0
    assert report.seen.ratio_max is not None and report.seen.ratio_max > 1
    by_hand = Learner(model(), Optimising(lr=1e-4))
    olds = [by_hand.score([one], temperature=one.temperature)[0] for one in BATCH]
    for _ in range(2):
        for places in (slice(0, 2), slice(2, 4)):
            part, old = BATCH[places], olds[places]
            temperature = part[0].temperature
            scores = scores_of(part, old)
            now = scores_of(part, by_hand.score(part, temperature=temperature)).logprob
            _, weights = losses.weights_on_logprobs(lambda logprob, s=scores: gspo(replace(s, logprob=logprob)), now)
            cut = [row[: len(one.completion_ids)] for row, one in zip(weights, part, strict=True)]
            by_hand.backward(part, cut, temperature=temperature)
            by_hand.step()
    for name, one in learner.model.state_dict().items():
        torch.testing.assert_close(one, by_hand.model.state_dict()[name], atol=1e-6, rtol=0)


def test_clipped_tokens_are_counted_under_a_kl_term_too() -> None:
    learner = Learner(model(), Optimising(lr=1e-1), reference=model())
    report = update(learner, BATCH, with_kl, reference=True, epochs=6)
    assert report.seen.clip_share is not None and 0 < report.seen.clip_share <= 1
    assert report.seen.kl_reference is not None and report.seen.kl_reference > 0


def test_a_batch_without_a_gradient_makes_no_update() -> None:
    learner = Learner(model())
    before = {name: one.clone() for name, one in learner.model.state_dict().items()}
    report = update(learner, [replace(one, advantage=0.0) for one in BATCH], gspo)
    assert (report.updates, report.version, report.lr, report.grad_norm) == (0, 0, 0.0, None)
    assert all(torch.equal(one, learner.model.state_dict()[name]) for name, one in before.items())


def test_imitated_samples_need_no_sampler_and_count_in_no_statistic_of_it() -> None:
    learner = Learner(model(), Optimising(lr=1e-2))
    alien = sample((1, 2), (3, 4), 0.0, imitated=True, temperature=None, top_p=None, logprobs=(nan, nan))
    before = float(learner.score([alien])[0].sum())
    report = update(learner, [alien], likelihood)
    assert float(learner.score([alien])[0].sum()) > before
    seen = report.seen
    assert (seen.tokens, seen.missing_logprobs, seen.importance_mean, seen.lag, seen.entropy) == (
        2,
        0,
        None,
        None,
        None,
    )


def test_lag_is_how_far_the_weights_that_wrote_are_behind() -> None:
    written = [
        sample((1,), (2, 3), 1.0, versions=(3, 4)),
        sample((1,), (2, 3), 1.0, mask=(False, True), versions=(1, 5)),
    ]
    scores = scores_of(written, [torch.zeros(2), torch.zeros(2)], version=6)
    assert scores.lag.tolist() == [2.5, 1.0]


def test_a_batch_is_padded_on_the_right() -> None:
    scores = scores_of(BATCH, [torch.full((len(one.completion_ids),), -2.0) for one in BATCH])
    assert scores.logprob.shape == scores.mask.shape == scores.sampler.shape == (4, 5)
    assert scores.mask.tolist()[0] == [True, False, True, False, False]
    assert torch.isnan(scores.old[0, 3:]).all() and scores.old[0, 2] == -2
    assert scores.sampler[0, 2] == -3 and torch.isnan(scores.sampler[0, 1])
    assert scores.advantage.tolist() == [1.0, -0.5, 2.0, -1.0] and scores.reference is None


def test_what_was_renormalised_gets_its_share_back() -> None:
    nucleus = sample((1,), (2, 3), 1.0, logprobs_kind="sampled", top_p=0.9, kept_mass=(0.5, 0.8), logprobs=(-1.0, 0.0))
    told = scores_of([nucleus], [torch.zeros(2)]).sampler
    assert told.tolist() == [pytest.approx([-1.0 + log(0.5), log(0.8)])]


def test_log_probabilities_at_another_temperature_count_as_missing() -> None:
    raw = sample((1,), (2,), 1.0, logprobs_kind="raw", temperature=0.7)
    assert isnan(scores_of([raw], [torch.zeros(1)]).sampler.item())
    assert scores_of([replace(raw, temperature=1.0)], [torch.zeros(1)]).sampler.item() == -1


def test_masked_duplicates_and_samples_without_a_trained_token_take_no_part() -> None:
    batch = [
        *BATCH[:2],
        replace(BATCH[2], duplicate=True, advantage=0.0),
        replace(BATCH[3], mask=(False,) * 3),
        replace(BATCH[1], duplicate=True, imitated=True),
    ]
    kept, left = trainable(batch)
    assert kept == [*BATCH[:2], batch[4]] and left == {"duplicate": 1, "no trained token": 1}
    kept, left = trainable(batch, keep_duplicates=True)
    assert kept == [*batch[:3], batch[4]] and left == {"no trained token": 1}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"temperature": 0.0}, "greedily"),
        ({"temperature": None}, "not known"),
        ({"top_p": 0.95}, "top_p=1 "),
        ({"prompt_ids": ()}, "no prompt token"),
        ({"prompt_ids": (1,) * 60}, "65 tokens, more than the 64"),
        ({"advantage": inf}, "advantage inf"),
        ({"advantage": nan}, "advantage nan"),
        ({"mask": (True,)}, "another length"),
        ({"versions": ()}, "another length"),
    ],
)
def test_a_sample_that_cannot_be_learnt_is_refused_and_changes_nothing(change: dict[str, Any], what: str) -> None:
    learner = Learner(model())
    with pytest.raises(ConfigError, match=rf"sample 1 of the batch.*{what}"):
        update(learner, [BATCH[0], replace(BATCH[1], **change)], gspo)
    assert learner.version == 0


@pytest.mark.parametrize("count", [0, 3])
def test_a_batch_that_is_smaller_than_its_minibatches_is_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=f"{count} samples make no {count + 1} minibatches"):
        update(Learner(model()), BATCH[:count], gspo, minibatches=count + 1)


@pytest.mark.parametrize("loss", [gspo, likelihood])
def test_a_reply_of_which_nothing_is_trained_adds_nothing_and_is_no_error(loss: Callable[[Scores], Any]) -> None:
    learner = Learner(model())
    report = update(learner, [*BATCH, sample((1, 2), (), 1.0)], loss)
    assert report.updates == 1 and report.seen.tokens == 11
