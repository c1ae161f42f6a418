"""The losses: against recorded values and gradients, and what they do with what is degenerate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from mars2_agents.learners import losses  # noqa: E402

from mars2_env import ConfigError  # noqa: E402

Case = dict[str, Any]


@pytest.fixture(scope="session")
def cases(shared: Path) -> Callable[[str], list[Case]]:
    return lambda name: json.loads((shared / "vectors" / name).read_text())["cases"]  # type: ignore[no-any-return]


def tensors(case: Case, *names: str) -> Iterator[Any]:
    for name in names:
        found = torch.tensor(case[name], dtype=torch.float64)
        yield found.bool() if name == "mask" else found


def same(found: Any, wanted: Any, tolerance: float) -> None:
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), atol=tolerance, rtol=1e-5)


def check(loss: Callable[[Any], Any], logprob: Any, output: Case) -> None:
    value, gradient = losses.weights_on_logprobs(loss, logprob)
    same(value, output["loss"], 1e-6)
    same(gradient, output["grad_logprob"], 1e-6)


def marti_loss(given: list[Any], output: Case) -> Callable[[Any], Any]:
    old, advantage, mask = given
    low, high = output["kwargs"]["clip_eps_low"], output["kwargs"]["clip_eps_high"]
    if output["label"] == "gspo":
        return lambda lp: losses.gspo(lp, old, advantage, mask, low=low, high=high)
    reduce: losses.Reduce = "token_mean" if output["label"] == "ppo_token_mean" else "sequence_mean"
    return lambda lp: losses.token_ratio_loss(lp, old, advantage, mask, low=low, high=high, reduce=reduce)


def test_the_losses_of_marti(cases: Callable[[str], list[Case]]) -> None:
    seen = set()
    for case in cases("policy_loss_marti.json"):
        logprob, *given = tensors(case, "logprob", "old_logprob", "advantage", "mask")
        for output in case["outputs"]:
            if not output["label"].endswith("+is"):  # those correct twice, and are not to be reproduced
                seen.add(output["label"])
                check(marti_loss(given, output), logprob, output)
    assert seen == {"gspo", "ppo_token_mean", "ppo_seq_mean"}


def trl_loss(given: list[Any], output: Case) -> Callable[[Any], Any]:
    old, sampler, advantage, mask = given
    settings: Case = dict(zip(("low", "high"), output["eps"], strict=True))
    if output["vllm_is"]:
        level: losses.Level = "token" if output["vllm_is"].startswith("token") else "sequence"
        settings["weights"] = losses.importance_weights(old, sampler, mask, level=level)

    def loss(lp: Any) -> Any:
        if output["level"] == "sequence":
            value = losses.gspo(lp, old, advantage, mask, **settings)
        else:
            reduce: losses.Reduce = "token_mean" if output["loss_type"] == "bnpo" else "sequence_mean"
            value = losses.token_ratio_loss(lp, old, advantage, mask, reduce=reduce, **settings)
        return value + output["beta"] * losses.reduced(losses.kl(lp, sampler, mask), mask, "sequence_mean")

    return loss


def test_the_losses_of_trl(cases: Callable[[str], list[Case]]) -> None:
    seen = set()
    inputs = cases("policy_loss_marti.json")
    for number, case in enumerate(cases("policy_loss_trl.json")):
        logprob, *given = tensors(inputs[number], "logprob", "old_logprob", "rollout_logprob", "advantage", "mask")
        for output in case["outputs"]:
            seen.add(output["label"])
            check(trl_loss(given, output), logprob, output)
    assert len(seen) == 7


def test_importance_weights(cases: Callable[[str], list[Case]]) -> None:
    for case in cases("tis_weights.json"):
        old, sampler, mask = tensors(case, "old_logprob", "rollout_logprob", "mask")
        assert len(case["weights"]) == 6
        for name, wanted in case["weights"].items():
            level, mode, *_ = name.split("_")
            found = losses.importance_weights(old, sampler, mask, level=level, mode=mode)
            same(losses.masked(found, mask), (torch.tensor(wanted, dtype=torch.float64) * mask).tolist(), 1e-6)


def token_mean_kl(logprob: Any, ref: Any, mask: Any, kind: losses.KlKind) -> Any:
    return losses.reduced(losses.kl(logprob, ref, mask, kind=kind), mask, "token_mean")


def test_kl_estimators(cases: Callable[[str], list[Case]]) -> None:
    for case in cases("kl.json"):
        logprob, ref, mask = tensors(case, "logprob", "ref_logprob", "mask")
        for kind in ("k1", "k2", "k3"):
            wanted = torch.where(mask, torch.tensor(case[kind], dtype=torch.float64), 0.0)
            same(losses.kl(logprob, ref, mask, kind=kind), wanted.tolist(), 1e-6)

            mean = partial(token_mean_kl, ref=ref, mask=mask, kind=kind)
            value, gradient = losses.weights_on_logprobs(mean, logprob)
            same(value, case[f"{kind}_batch_token_mean"], 1e-6)
            same(gradient, case[f"{kind}_grad"], 1e-6)


def batch() -> tuple[Any, Any, Any, Any]:
    generator = torch.Generator().manual_seed(0)
    logprob = -torch.rand(3, 5, generator=generator, dtype=torch.float64)
    old = logprob + 0.1 * torch.randn(3, 5, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0]]).bool()
    return logprob, old, torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), mask


LOSSES: list[Any] = [
    losses.gspo,
    losses.token_ratio_loss,
    lambda *a: losses.token_ratio_loss(*a, reduce="constant", length=7),
    losses.cispo,
    lambda lp, old, adv, mask: losses.negative_log_likelihood(lp, mask),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_nan_in_padding_reaches_neither_a_loss_nor_a_gradient(loss: Any) -> None:
    logprob, old, advantage, mask = batch()
    clean = losses.weights_on_logprobs(lambda lp: loss(lp, old, advantage, mask), logprob)
    hole = torch.tensor(float("nan"), dtype=torch.float64)
    dirty = [torch.where(mask, one, hole) for one in (logprob, old)]
    found = losses.weights_on_logprobs(lambda lp: loss(lp, dirty[1], advantage, mask), dirty[0])
    assert found[0] == clean[0] and torch.equal(found[1], clean[1]) and torch.isfinite(found[1]).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_without_tokens_is_a_loss_of_zero(loss: Any) -> None:
    logprob, old, advantage, mask = batch()
    value, gradient = losses.weights_on_logprobs(lambda lp: loss(lp, old, advantage, torch.zeros_like(mask)), logprob)
    assert value == 0 and not gradient.any()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_gradient_is_the_same_in_any_micro_batches(loss: Any, size: int) -> None:
    logprob, old, advantage, mask = batch()
    table = logprob.clone().requires_grad_()  # stands for a model: its parameters are the log-probs
    loss(table, old, advantage, mask).backward()
    _, weights = losses.weights_on_logprobs(lambda lp: loss(lp, old, advantage, mask), logprob)
    pieces = logprob.clone().requires_grad_()
    for start in range(0, len(pieces), size):
        rows = slice(start, start + size)
        (weights[rows] * pieces[rows]).sum().backward()
    torch.testing.assert_close(pieces.grad, table.grad, atol=1e-12, rtol=0)


def test_on_policy_gspo_is_the_sequence_mean_of_grpo() -> None:
    logprob, _, advantage, mask = batch()
    one = losses.weights_on_logprobs(lambda lp: losses.gspo(lp, logprob, advantage, mask), logprob)
    other = losses.weights_on_logprobs(lambda lp: losses.token_ratio_loss(lp, logprob, advantage, mask), logprob)
    torch.testing.assert_close(one[0], other[0])
    torch.testing.assert_close(one[1], other[1])


def test_a_clipped_token_has_a_gradient_in_cispo_alone() -> None:
    logprob, mask = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1).bool()
    old, advantage = logprob - 3, torch.ones(1, dtype=torch.float64)
    _, clipped = losses.weights_on_logprobs(lambda lp: losses.token_ratio_loss(lp, old, advantage, mask), logprob)
    _, kept = losses.weights_on_logprobs(lambda lp: losses.cispo(lp, old, advantage, mask), logprob)
    assert clipped.item() == 0 and kept.item() == pytest.approx(-1.28)


def test_a_missing_sampler_logprob_has_weight_one_and_is_counted() -> None:
    old = torch.tensor([[-1.0, -1.0, -1.0]])
    sampler = torch.tensor([[float("nan"), -2.0, -1.0]])
    mask = torch.tensor([[True, True, False]])
    assert losses.importance_weights(old, sampler, mask).tolist() == [[1.0, 2.0, 0.0]]
    assert losses.missing_logprobs(sampler, mask) == 1


def test_a_sequence_with_a_token_far_off_is_vetoed() -> None:
    old, sampler = torch.tensor([[-12.0, -1.0], [-1.0, -1.0]]), torch.tensor([[-1.0, -1.0], [-1.0, -1.0]])
    found = losses.importance_weights(old, sampler, torch.ones(2, 2).bool())
    assert found.tolist() == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    "call",
    [
        lambda a: losses.token_ratio_loss(*a, reduce="mean"),
        lambda a: losses.token_ratio_loss(*a, reduce="constant"),
        lambda a: losses.gspo(*a, low=-1),
        lambda a: losses.kl(a[0], a[1], a[3], kind="k4"),
        lambda a: losses.importance_weights(a[0], a[1], a[3], level="word"),
        lambda a: losses.importance_weights(a[0], a[1], a[3], cap=0.5),
    ],
)
def test_settings_that_make_no_sense_are_refused(call: Any) -> None:
    with pytest.raises(ConfigError):
        call(batch())
