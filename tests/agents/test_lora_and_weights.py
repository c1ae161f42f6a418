"""Adapters over one model, new weights in a standing engine, and which files weights are read from."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mars2_agents.policies.engine import Engine, read_model
from mars2_agents.policies.transformers import TransformersPolicy, from_spec

from mars2_env.errors import PolicyError
from mars2_env.types import Call, Generation, Problem, Reply, TestCase, Turn

torch = pytest.importorskip("torch", reason="needs the extra transformers")
peft = pytest.importorskip("peft", reason="needs the extra transformers")

ADD = Problem("add", "Add.", Call("add"), public=(TestCase([1, 2], 3),))
ASKED = ({"role": "user", "content": "Write a function that returns the sum of two numbers."},)
TURN = Turn(0, "coder_0", ADD.public_view(), 7, ASKED, 0, (0,))  # type: ignore[arg-type]
TURNS = [replace(TURN, seed=seed) for seed in range(3)]


@pytest.fixture
def engine(model: Any, tokenizer: Any) -> Engine:
    """An engine with a model of its own: adapters and weights change it."""
    return Engine(copy.deepcopy(model), tokenizer, name="tiny")


@pytest.fixture(scope="module")
def adapters(model: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two LoRA adapters with random weights, large enough to be heard."""
    folders = []
    for seed in range(2):
        torch.manual_seed(seed)
        config = peft.LoraConfig(
            r=2, lora_alpha=32, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
        )
        folder = tmp_path_factory.mktemp(f"adapter{seed}")
        peft.get_peft_model(copy.deepcopy(model), config).save_pretrained(folder)
        folders.append(folder)
    return folders


def save(model: Any, tokenizer: Any, folder: Path, seed: int) -> Path:
    """A checkpoint of the same architecture with other weights."""
    torch.manual_seed(seed)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for values in other.parameters():
            values.mul_(1 + 0.3 * torch.rand_like(values))
    other.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def made(reply: Reply) -> Generation:
    assert reply.generation is not None
    return reply.generation


def alike(some: list[Reply], others: list[Reply]) -> bool:
    """Whether replies have the same tokens, and log-probs up to the rounding of batches."""
    return [made(one).completion_ids for one in some] == [made(one).completion_ids for one in others] and all(
        a == pytest.approx(b, abs=1e-4)
        for one, other in zip(some, others, strict=True)
        for a, b in zip(made(one).logprobs, made(other).logprobs, strict=True)
    )


def test_adapters_and_the_bare_model_act_together_and_each_row_is_as_it_is_alone(
    engine: Engine, adapters: list[Path]
) -> None:
    bare = TransformersPolicy(engine, max_new_tokens=8)
    before = bare.act(TURNS)
    tuned = [TransformersPolicy(engine, lora=folder, max_new_tokens=8) for folder in adapters]
    policies = [bare, *tuned]
    assert len({policy.batch_key for policy in policies}) == 1
    assert len({policy.identity for policy in policies}) == 3
    alone = [policy.act(TURNS) for policy in policies]
    together = TransformersPolicy.act_together([(policy, turn) for turn in TURNS for policy in policies])
    for number, replies in enumerate(alone):
        assert alike(together[number::3], replies)
    assert alike(alone[0], before)
    assert len({made(replies[0]).completion_ids for replies in alone}) == 3
    for policy in tuned:
        policy.drop_adapter()
    assert policies[1].act(TURNS) == before


def test_an_adapter_gives_what_the_model_with_it_merged_gives(
    engine: Engine, model: Any, tokenizer: Any, adapters: list[Path]
) -> None:
    merged = peft.PeftModel.from_pretrained(copy.deepcopy(model), str(adapters[0])).merge_and_unload()
    expected = TransformersPolicy(merged, tokenizer, max_new_tokens=8).act(TURNS)
    assert alike(TransformersPolicy(engine, lora=adapters[0], max_new_tokens=8).act(TURNS), expected)


def test_a_learners_adapter_reaches_one_policy_without_a_restart(engine: Engine, adapters: list[Path]) -> None:
    first, second = (TransformersPolicy(engine, lora=adapters[0], max_new_tokens=8) for _ in range(2))
    assert first.identity == second.identity
    before = second.act(TURNS)
    first.load_adapter(adapters[1], version=3)
    assert alike(first.act(TURNS), TransformersPolicy(engine, lora=adapters[1], max_new_tokens=8).act(TURNS))
    assert made(first.act([TURN])[0]).weights_version == 3
    assert second.act(TURNS) == before
    with pytest.raises(PolicyError, match="version 3; give a higher one"):
        first.load_adapter(adapters[0], version=3)


def test_new_weights_in_a_standing_engine_sample_exactly_as_a_fresh_load_does(
    engine: Engine, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    policy = TransformersPolicy(engine, max_new_tokens=8)
    old = policy.act(TURNS)
    folder = save(model, tokenizer, tmp_path, 1)
    engine.load_weights(folder, version=4)
    new = policy.act(TURNS)
    fresh = TransformersPolicy(read_model("fresh", folder, dtype=torch.float32), tokenizer, max_new_tokens=8).act(TURNS)
    for mine, theirs in zip(new, fresh, strict=True):
        assert made(mine).completion_ids == made(theirs).completion_ids
        assert made(mine).logprobs == made(theirs).logprobs
    assert new != old
    assert {made(reply).weights_version for reply in new} == {4}
    with pytest.raises(PolicyError, match="version 4; give a higher one"):
        engine.load_weights(folder, version=4)


def test_weights_that_do_not_fit_change_nothing(
    engine: Engine, model: Any, tokenizer: Any, adapters: list[Path], tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = 1
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    policy = TransformersPolicy(engine, max_new_tokens=8)
    before = policy.act(TURNS)
    with pytest.raises(PolicyError, match="not those of 'tiny'"):
        engine.load_weights(tmp_path, version=1)
    with pytest.raises(PolicyError, match=r"adapter_model\.safetensors"):
        policy.load_adapter(tmp_path, version=1)
    assert policy.act(TURNS) == before
    TransformersPolicy(engine, lora=adapters[0])
    with pytest.raises(PolicyError, match="policies have adapters"):
        engine.load_weights(save(model, tokenizer, tmp_path / "fits", 2), version=1)


def test_an_engine_with_new_weights_is_no_longer_what_its_name_says(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    named, other = (save(model, tokenizer, tmp_path / str(seed), seed) for seed in (1, 2))
    policy = from_spec(str(named), device="cpu", max_new_tokens="8")
    before = policy.act(TURNS)
    policy.engine.load_weights(other, version=1)
    again = from_spec(str(named), device="cpu", max_new_tokens="8")
    assert again.engine is not policy.engine
    assert again.act(TURNS) == before


def test_a_spec_names_an_adapter(model: Any, tokenizer: Any, adapters: list[Path], tmp_path: Path) -> None:
    folder = save(model, tokenizer, tmp_path, 3)
    tuned = from_spec(str(folder), device="cpu", lora=str(adapters[0]), max_new_tokens="8")
    bare = from_spec(str(folder), device="cpu", max_new_tokens="8")
    assert tuned.engine is bare.engine
    assert tuned.act(TURNS) != bare.act(TURNS)
    assert "lora=lora_" in tuned.identity


def test_weights_as_a_pickle_alone_are_refused(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    folder = save(model, tokenizer, tmp_path, 1)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(PolicyError, match=r"pickle alone \(pytorch_model.bin\).*only safetensors are read"):
        from_spec(str(folder), device="cpu")
