"""A learner: its gradients are those of the loss whatever the micro-batches, and it goes on from what it kept."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from mars2_agents.learners import losses  # noqa: E402
from mars2_agents.learners.learner import Learner, Optimising  # noqa: E402
from mars2_agents.learners.scoring import lengths, logprobs, packed  # noqa: E402

from mars2_env import ConfigError, LogError  # noqa: E402


@dataclass(frozen=True)
class Some:
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]


SAMPLES = [Some((1, 5, 9), (4, 8)), Some((2,), (7, 7, 3, 11, 6)), Some((3, 3, 3, 3), (10,)), Some((9, 8), (1, 2, 3))]


def model(seed: int = 0, tied: bool = False) -> Any:
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=tied,
    )
    return transformers.LlamaForCausalLM(config).eval()


def by_hand(net: Any, sample: Some, temperature: float) -> Any:
    ids = torch.tensor([[*sample.prompt_ids, *sample.completion_ids]])
    logits = net(input_ids=ids).logits[0].float() / temperature
    first = len(sample.prompt_ids) - 1
    rows = logits[first : first + len(sample.completion_ids)].log_softmax(-1)
    return rows.gather(-1, torch.tensor(sample.completion_ids)[:, None])[:, 0]


@pytest.mark.parametrize("chunk", [1, 3, 1024])
def test_packed_scores_are_those_of_each_sample_alone(chunk: int) -> None:
    net = model()
    with torch.no_grad():
        for found, sample in zip(logprobs(net, SAMPLES, temperature=0.8, chunk=chunk), SAMPLES, strict=True):
            torch.testing.assert_close(found, by_hand(net, sample, 0.8), atol=1e-6, rtol=0)


def test_samples_are_packed_by_a_budget_and_a_long_one_goes_alone() -> None:
    assert [list(places) for places in packed(lengths(SAMPLES), 11)] == [[0, 1], [2, 3]]
    assert [list(places) for places in packed(lengths(SAMPLES), 3)] == [[0], [1], [2], [3]]
    assert list(packed([], 3)) == []


def gspo_weights(learner: Learner) -> list[Any]:
    scores = learner.score(SAMPLES)
    width = max(map(len, scores))
    padded = torch.stack([torch.nn.functional.pad(one, (0, width - len(one)), value=float("nan")) for one in scores])
    mask = torch.stack([torch.arange(width) < len(one) for one in scores])
    advantage = torch.tensor([1.0, -0.5, 2.0, -1.0])
    _, weights = losses.weights_on_logprobs(lambda lp: losses.gspo(lp, padded, advantage, mask), padded)
    return [row[: len(one)] for row, one in zip(weights, scores, strict=True)]


def gradients(net: Any) -> dict[str, Any]:
    return {name: one.grad.clone() for name, one in net.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("tokens", [1, 8, 10_000])
def test_the_gradient_is_that_of_the_whole_loss_in_any_micro_batches(tokens: int) -> None:
    net = model()
    learner = Learner(net, Optimising(tokens=tokens))
    learner.backward(SAMPLES, gspo_weights(learner))
    found = gradients(net)
    direct = model()
    direct.load_state_dict(net.state_dict())
    advantage = torch.tensor([1.0, -0.5, 2.0, -1.0])
    per_sample = [by_hand(direct, sample, 1.0) for sample in SAMPLES]
    loss = -sum((one - one.detach()).mean().exp() * a for one, a in zip(per_sample, advantage, strict=True)) / 4
    loss.backward()
    wanted = gradients(direct)
    assert found.keys() == wanted.keys()
    for name, one in found.items():
        torch.testing.assert_close(one, wanted[name], atol=1e-6, rtol=1e-5)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    found = []
    for checkpointing in (False, True):
        net = model()
        if checkpointing:
            net.gradient_checkpointing_enable()
        learner = Learner(net)
        learner.backward(SAMPLES, gspo_weights(learner))
        found.append(gradients(net))
    for name, one in found[0].items():
        torch.testing.assert_close(one, found[1][name], atol=1e-6, rtol=1e-5)


def test_a_step_raises_what_had_an_advantage() -> None:
    learner = Learner(model(), Optimising(lr=1e-2))
    before = learner.score(SAMPLES)
    learner.backward(SAMPLES, gspo_weights(learner))
    step = learner.step()
    after = learner.score(SAMPLES)
    assert step.update == learner.version == 1 and step.grad_norm > 0
    assert after[2].mean() > before[2].mean() and after[3].mean() < before[3].mean()


def train(learner: Learner, updates: int) -> None:
    for _ in range(updates):
        learner.backward(SAMPLES, gspo_weights(learner))
        learner.step()


def test_a_learner_goes_on_from_what_it_kept_to_the_same_weights(tmp_path: Path) -> None:
    settings = Optimising(lr=1e-2, warmup=2, decay_updates=6)
    straight = Learner(model(), settings)
    train(straight, 5)
    first = Learner(model(), settings)
    train(first, 3)
    first.save(tmp_path / "kept")
    again = Learner(model(seed=9), settings)
    again.load(tmp_path / "kept")
    assert again.version == 3
    train(again, 2)
    for name, one in straight.model.state_dict().items():
        assert torch.equal(one, again.model.state_dict()[name]), name
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_what_is_kept_is_safetensors_and_json_alone(tmp_path: Path) -> None:
    learner = Learner(model(), Optimising(lr=1e-2))
    train(learner, 1)
    learner.save(tmp_path / "kept")
    assert {file.suffix for file in (tmp_path / "kept").iterdir()} == {".json", ".safetensors"}


def test_weights_that_are_exported_load_as_a_checkpoint_with_the_same_scores(tmp_path: Path) -> None:
    learner = Learner(model(), Optimising(lr=1e-2))
    train(learner, 2)
    ref = learner.export(tmp_path / "out")
    assert (ref.version, ref.adapter) == (2, False)
    loaded = transformers.LlamaForCausalLM.from_pretrained(ref.path).eval()
    with torch.no_grad():
        for one, other in zip(learner.score(SAMPLES), logprobs(loaded, SAMPLES), strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    ref = learner.export(tmp_path / "out")  # the next version takes the place of the last
    assert transformers.LlamaForCausalLM.from_pretrained(ref.path) is not None


def test_the_rate_rises_and_falls_by_updates() -> None:
    settings = Optimising(lr=1.0, warmup=2, decay_updates=6, floor=0.1)
    assert [round(settings.rate(update), 3) for update in (0, 1, 2, 4, 6, 9)] == [0.5, 1.0, 1.0, 0.55, 0.1, 0.1]


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    learner = Learner(model())
    before = copy.deepcopy(learner.model.state_dict())
    learner.backward(SAMPLES, gspo_weights(learner))
    next(iter(learner.model.parameters())).grad.fill_(float("nan"))
    with pytest.raises(ConfigError, match="nan"):
        learner.step()
    assert learner.version == 0
    assert all(torch.equal(one, learner.model.state_dict()[name]) for name, one in before.items())


def test_weights_that_do_not_fit_are_refused() -> None:
    learner = Learner(model())
    with pytest.raises(ConfigError, match="1 weights for 4 samples"):
        learner.backward(SAMPLES, [torch.ones(2)])
    with pytest.raises(ConfigError, match="sample 0"):
        learner.backward(SAMPLES[:1], [torch.ones(3)])
    with pytest.raises(ConfigError, match="no prompt token"):
        learner.score([Some((), (1,))])


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no state of a learner"):
        Learner(model()).load(tmp_path)
    learner = Learner(model())
    learner.save(tmp_path / "kept")
    other = model()
    other.lm_head.weight.requires_grad_(False)
    with pytest.raises(LogError, match="another model"):
        Learner(other).load(tmp_path / "kept")


@pytest.mark.parametrize("file", ["learner.json", "weights.safetensors", "moments.safetensors"])
def test_a_state_that_is_broken_is_refused_and_changes_nothing(file: str, tmp_path: Path) -> None:
    learner = Learner(model(), Optimising(lr=1e-2))
    learner.save(tmp_path / "kept")
    train(learner, 1)
    before = copy.deepcopy(learner.model.state_dict())
    whole = (tmp_path / "kept" / file).read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"[]"):
        (tmp_path / "kept" / file).write_bytes(broken)
        with pytest.raises(LogError, match="no state of a learner"):
            learner.load(tmp_path / "kept")
    assert learner.version == 1
    assert all(torch.equal(one, learner.model.state_dict()[name]) for name, one in before.items())


def test_a_model_whose_head_is_its_embedding_is_exported_and_goes_on(tmp_path: Path) -> None:
    learner = Learner(model(tied=True), Optimising(lr=1e-2))
    train(learner, 2)
    loaded = transformers.LlamaForCausalLM.from_pretrained(learner.export(tmp_path / "out").path).eval()
    learner.save(tmp_path / "kept")
    again = Learner(model(seed=3, tied=True), Optimising(lr=1e-2))
    again.load(tmp_path / "kept")
    for one, other, third in zip(
        learner.score(SAMPLES), Learner(loaded).score(SAMPLES), again.score(SAMPLES), strict=True
    ):
        assert torch.equal(one, other) and torch.equal(one, third)


def test_a_model_without_anything_to_train_is_refused() -> None:
    net = model()
    net.requires_grad_(False)
    with pytest.raises(ConfigError, match="nothing to train"):
        Learner(net)


def test_an_adapter_is_trained_against_its_base_without_a_second_model(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base = model()
    plain = Learner(copy.deepcopy(base)).score(SAMPLES)
    net = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    learner = Learner(net, Optimising(lr=1e-2))
    train(learner, 2)
    for one, other in zip(learner.score_reference(SAMPLES), plain, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    ref = learner.export(tmp_path / "adapter")
    assert ref.adapter and (tmp_path / "adapter" / "adapter_model.safetensors").exists()
    again = peft.PeftModel.from_pretrained(model(), ref.path)
    with torch.no_grad():
        for one, other in zip(learner.score(SAMPLES), logprobs(again, SAMPLES), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_a_full_model_without_a_reference_says_so() -> None:
    with pytest.raises(ConfigError, match="no reference model"):
        Learner(model()).score_reference(SAMPLES)
