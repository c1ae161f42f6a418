"""What is trained: everything or an adapter; dropout that comes again after a resume; references that stay."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from mars2_agents.learners.adapting import frozen, full, lora  # noqa: E402
from mars2_agents.learners.learner import Learner, Optimising  # noqa: E402
from mars2_agents.learners.updating import update  # noqa: E402
from small_learners import BATCH, LONGER, check_same, gradients, gspo, model, sample  # noqa: E402

from mars2_env import ConfigError  # noqa: E402

ONES = [torch.full((len(one.completion_ids),), 0.1) for one in LONGER]


def names(net: Any) -> set[str]:
    return {name for name, one in net.named_parameters() if one.requires_grad}


def test_an_adapter_covers_all_linear_layers_and_begins_as_the_base() -> None:
    plain = Learner(model()).score(LONGER)
    net = lora(model(), rank=4)
    covered = {name.split(".")[-4] for name in names(net)}
    assert covered == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert {one.shape[0] for name, one in net.named_parameters() if "lora_A" in name} == {4}
    for one, other in zip(Learner(net).score(LONGER), plain, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_an_adapters_first_weights_are_those_of_its_seed_and_no_other_draw_moves() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(1)
    base = model()
    torch.manual_seed(5)
    first = lora(copy.deepcopy(base), rank=2, seed=3)
    assert torch.equal(torch.rand(1), wanted)
    again, other = lora(copy.deepcopy(base), rank=2, seed=3), lora(copy.deepcopy(base), rank=2, seed=4)
    weights = [{name: one for name, one in net.named_parameters() if "lora_A" in name} for net in (first, again, other)]
    assert all(torch.equal(one, weights[1][name]) for name, one in weights[0].items())
    assert not any(torch.equal(one, weights[2][name]) for name, one in weights[0].items())


def test_an_adapter_over_a_base_in_bfloat16_is_trained_in_float32() -> None:
    net = lora(model().to(torch.bfloat16), rank=2)
    learner = Learner(net, Optimising(lr=1e-2))
    learner.backward(LONGER, ONES)
    assert learner.step().grad_norm > 0
    assert {one.dtype for one in net.parameters() if one.requires_grad} == {torch.float32}
    assert {one.dtype for one in net.parameters() if not one.requires_grad} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"rank": 0}, "rank=0"),
        ({"alpha": 0}, "alpha=0"),
        ({"dropout": 1.5}, "dropout=1.5"),
        ({"targets": ["nope"]}, "nope"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_an_adapter_that_makes_no_sense_is_refused(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        lora(model(), **settings)


def test_a_model_with_an_adapter_gets_no_second_and_is_not_trained_whole() -> None:
    net = lora(model(), rank=2)
    for again in (net, net.get_base_model()):
        with pytest.raises(ConfigError, match="has an adapter already"):
            lora(again)
        with pytest.raises(ConfigError, match="merge it first"):
            full(again)


def test_a_whole_model_is_trained_in_float32_alone() -> None:
    net = model().requires_grad_(False)
    assert full(net) is net and names(net) == {name for name, _ in net.named_parameters()}
    with pytest.raises(ConfigError, match="bfloat16, where small steps are lost"):
        full(model().to(torch.bfloat16))


def test_a_reference_stays_while_the_model_moves() -> None:
    net = model()
    learner = Learner(net, Optimising(lr=1e-2), reference=frozen(net))
    before = learner.score(BATCH)
    update(learner, BATCH, gspo)
    for one, other, now in zip(learner.score_reference(BATCH), before, learner.score(BATCH), strict=True):
        assert torch.equal(one, other) and not torch.equal(now, one)
    assert {one.dtype for one in frozen(net, torch.bfloat16).parameters()} == {torch.bfloat16}
    assert all(one.requires_grad for one in net.parameters())


def test_the_reference_of_an_adapter_is_its_base() -> None:
    before = Learner(model()).score(BATCH)
    learner = Learner(lora(model(), rank=2), Optimising(lr=1e-2))
    update(learner, BATCH, gspo)
    for one, other in zip(learner.score_reference(BATCH), before, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    assert not torch.equal(learner.score(BATCH)[1], learner.score_reference(BATCH)[1])


def dropping(seed: int = 0) -> Learner:
    return Learner(lora(model(), rank=4, dropout=0.5), Optimising(lr=1e-2, seed=seed))


def drawn(learner: Learner) -> dict[str, Any]:
    """The gradient of one backward pass; it is gone again."""
    learner.backward(LONGER, ONES)
    found = gradients(learner.model)
    learner.model.zero_grad(set_to_none=True)
    return found


def test_dropout_is_that_of_the_seed_and_the_update_whatever_else_is_drawn() -> None:
    torch.manual_seed(1)
    one = drawn(dropping())
    learner = dropping()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    check_same(drawn(learner), one, atol=0)
    assert torch.equal(torch.get_rng_state(), state)
    again = drawn(learner)  # another part of the same batch has draws of its own
    other = drawn(dropping(seed=1))
    for found in (again, other):
        assert any(not torch.equal(values, one[name]) for name, values in found.items())
    update(learner, BATCH, gspo)
    following = drawn(learner)
    assert any(not torch.equal(values, one[name]) for name, values in following.items())


def test_scores_know_no_dropout_and_leave_the_models_mode_alone() -> None:
    learner = dropping()
    learner.model.eval()
    assert all(torch.equal(a, b) for a, b in zip(learner.score(BATCH), learner.score(BATCH), strict=True))
    drawn(learner)
    assert not learner.model.training


@pytest.mark.parametrize("adapter", [False, True])
def test_a_resumed_learner_makes_the_next_update_bit_by_bit(adapter: bool, tmp_path: Path) -> None:
    def fresh(seed: int) -> Learner:
        net = lora(model(), rank=4, dropout=0.3, seed=seed) if adapter else full(model(seed))
        reference = None if adapter else frozen(model())
        return Learner(net, Optimising(lr=1e-2, warmup=3, decay_updates=9, weight_decay=0.1), reference=reference)

    straight = fresh(0)
    update(straight, BATCH, gspo, epochs=2, minibatches=2)
    straight.save(tmp_path / "kept")
    wanted = update(straight, LONGER, gspo, reference=True)
    resumed = fresh(7)
    resumed.load(tmp_path / "kept")
    resumed.load(tmp_path / "kept")  # twice is once
    assert update(resumed, LONGER, gspo, reference=True) == wanted
    for name, one in straight.model.state_dict().items():
        assert torch.equal(one, resumed.model.state_dict()[name]), name


def test_what_was_added_up_is_dropped_by_a_load(tmp_path: Path) -> None:
    learner = Learner(model(), Optimising(lr=1e-2))
    learner.save(tmp_path / "kept")
    learner.backward(LONGER, ONES)
    learner.load(tmp_path / "kept")
    assert learner.step().grad_norm == 0


def test_a_sample_without_a_completion_is_scored_as_nothing() -> None:
    assert [len(one) for one in Learner(model()).score([sample((1, 2), (), 0.0)])] == [0]
    assert Learner(model()).score([]) == []
