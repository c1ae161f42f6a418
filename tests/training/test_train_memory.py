"""What a training would take: formulas that say what was published and what is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("transformers", reason="needs the extra train")

import transformers
from mars2_agents.training.config import find_training
from mars2_agents.training.forecast import Rates, forecast, forward_operations, shape_of_checkpoint, weights_used
from mars2_agents.training.memory import (
    GIB,
    SHAPES,
    Demand,
    Part,
    Shape,
    checkpointed,
    in_flight,
    kv_cache,
    logits,
    lora_parameters,
    parts,
    peak,
    shape_of,
)

from mars2_env import ConfigError

ROW = 36_864
"""A prompt of 4,096 tokens and a completion of 32,768."""

TABLE = {
    "Qwen3-8B": (122, 15, 87, 1.3, 10.1, 7.0, 144, 5.1, {8: (38, 23)}),
    "Qwen3-14B": (220, 28, 128, 1.9, 14.1, 9.2, 160, 5.6, {8: (60, 32)}),
    "Qwen3-32B": (488, 61, 268, 4.0, 22.5, 12.1, 256, 9.0, {8: (109, 49), 16: (75, None), 32: (58, None)}),
}
"""Model -> GiB of full fine-tuning and of a reference, millions of parameters and GiB of LoRA of rank 32, GiB of
checkpointed activations and of a layer in flight, KiB a token and GiB a sequence of the KV cache, and GiB on each of so
many GPUs, full with a reference and LoRA: what was published before this was written."""


@pytest.mark.parametrize("name", TABLE)
def test_the_published_memory_of_large_models_comes_out(name: str) -> None:
    shape = SHAPES[name]
    full, reference, millions, adapter, activations, layer, kib, cache, gpus = TABLE[name]
    assert round(16 * shape.parameters / GIB) == full
    assert round(2 * shape.parameters / GIB) in (reference, reference - 1)  # 27.5
    assert round(lora_parameters(shape, 32) / 1e6) == millions
    assert round(16 * lora_parameters(shape, 32) / GIB, 1) == adapter
    assert round(checkpointed(shape, ROW, 2) / GIB, 1) == activations
    assert round(in_flight(shape, ROW, 2) / GIB, 1) == layer
    assert round(logits(shape, 1024) / GIB, 1) == 1.2
    assert kv_cache(shape, 1, 2) / 1024 == kib
    assert round(kv_cache(shape, ROW, 2) / GIB, 1) == cache
    for count, (whole, lora) in gpus.items():
        demand = Demand(shape, train="full", reference=True, row=ROW, gpus=count)
        assert round(peak([parts(demand)]) / GIB) in (whole, whole - 1)  # 59.5
        if lora is not None:
            assert round(peak([parts(replace(demand, train="lora"))]) / GIB) == lora


def test_the_parameters_of_a_shape_are_those_of_the_model() -> None:
    for tied in (False, True):
        config = transformers.LlamaConfig(
            vocab_size=320,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=24,
            tie_word_embeddings=tied,
        )
        model = transformers.LlamaForCausalLM(config)
        assert shape_of(config).parameters == sum(one.numel() for one in model.parameters())
        assert shape_of(config).tied == tied


def test_a_mixture_of_experts_is_refused() -> None:
    with pytest.raises(ConfigError, match="mixture of experts"):
        shape_of(transformers.MixtralConfig())


def test_policies_learn_one_after_the_other_and_all_are_there_at_once() -> None:
    one = (Part("weights", 10), Part("gradients", 5, "update"), Part("cache", 7, "rollout"), Part("new", 1, "sync"))
    other = (Part("weights", 20), Part("gradients", 9, "update"), Part("cache", 1, "rollout"))
    assert peak([one]) == 17
    assert peak([one, other]) == 30 + 9


SMALL = Shape(hidden=512, layers=8, intermediate=1536, heads=8, kv_heads=4, head_dim=64, vocab=8000)
"""33 million parameters, of which an update takes half a gigabyte and more."""

WIDE = Shape(hidden=256, layers=2, intermediate=512, heads=4, kv_heads=2, head_dim=64, vocab=49_152, tied=True)
"""A vocabulary that is most of the model, and whose logits are most of the memory."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "how"),
    [
        (SMALL, {}),
        (SMALL, {"checkpointing": True}),
        (SMALL, {"packed": True}),
        (SMALL, {"precision": "bfloat16"}),
        (SMALL, {"train": "lora", "rank": 16}),
        (SMALL, {"train": "lora", "rank": 16, "dtype": "bfloat16"}),
        (SMALL, {"train": "lora", "rank": 16, "dtype": "bfloat16", "precision": "bfloat16"}),
        (WIDE, {"row": 1365}),  # completions of 1,024 tokens
    ],
    ids=lambda one: "-".join(map(str, one.values())) or "full" if isinstance(one, dict) else f"{one.vocab}",
)
def test_memory_is_within_a_fifth_of_what_is_measured(shape: Shape, how: dict[str, Any]) -> None:
    demand = Demand(shape, **{"checkpointing": False, "row": 512, **how})
    asked = {name: getattr(demand, name) for name in ("train", "dtype", "precision", "rank", "checkpointing", "row")}
    asked["packed"] = demand.packed
    # What the allocator keeps for later is none of a formula's business.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [
            sys.executable,
            Path(__file__).with_name("measure_memory.py"),
            json.dumps({"shape": asdict(shape), "how": asked}),
        ],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert peak([parts(demand)]) == pytest.approx(int(done.stdout), rel=0.2)


def test_a_forecast_counts_the_replies_tokens_and_updates_of_each_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    training = find_training("hetero-8b", ["policies.writer.batch=32"])
    found = forecast(training)
    settings, nodes = training.settings, training.task().budget.nodes
    writer, mender = found.policies
    assert writer.name == "writer" and (found.trees, found.nodes) == (settings.problems, nodes)
    assert writer.replies + mender.replies == settings.problems * nodes
    assert writer.updates == writer.replies / 32
    assert writer.shape == SHAPES["Qwen3-8B"]
    assert writer.reply == training.policies["writer"].sampled["max_new_tokens"]
    assert writer.demand.sampler_dtype is None  # vLLM's business
    assert writer.demand.row >= writer.prompt + writer.reply


def test_time_is_operations_over_rates_and_updates_take_what_their_kind_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    training = find_training("qwen3-8b", ["held_out.every=10", "training.steps=25"])
    found = forecast(training)
    (policy,) = found.policies
    tokens = policy.replies * (policy.prompt + policy.reply)
    forward = forward_operations(policy.shape, policy.prompt + policy.reply)
    assert policy.prompt + policy.reply == 36_864
    assert forward == 2 * weights_used(policy.shape) + 2 * 36 * 32 * 128 * 36_864
    assert policy.operations["scoring"].passes == 2 * tokens * forward  # the reference besides
    assert policy.operations["updating"].passes == pytest.approx(3 * tokens * forward)  # an adapter, checkpointing
    one, twice = Rates(1e14, 1e14), Rates(2e14, 2e14)
    assert found.total(one) == pytest.approx(2 * found.total(twice))
    step = sum(found.seconds(one).values())
    assert found.total(one) == pytest.approx(25 * step + 4 * found.evaluation(one))
    assert found.to_dict(one)["peak_bytes"] == found.peak


def test_adapters_over_one_checkpoint_share_what_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    two = ["policies.other.model=hf:smollm2", "agents.fixer=other", "algorithm.name=heterogeneous"]
    one, other = forecast(find_training("smollm2-lora", two)).policies
    names = [{part.name for part in policy.parts} for policy in (one, other)]
    assert "sampler's weights" in names[0] and "sampler's weights" not in names[1]
    apart = forecast(find_training("smollm2-lora", [*two, "policies.other.dtype=bfloat16"])).policies[1]
    assert "sampler's weights" in {part.name for part in apart.parts}


def test_shapes_are_read_from_folders_or_known_by_name(tmp_path: Path) -> None:
    transformers.LlamaConfig(hidden_size=48, num_attention_heads=4, num_hidden_layers=1).save_pretrained(tmp_path)
    assert shape_of_checkpoint(str(tmp_path)).hidden == 48
    assert shape_of_checkpoint("Qwen/Qwen3-14B") == SHAPES["Qwen3-14B"]
    assert shape_of_checkpoint("Qwen/Qwen3-8B-Base") == SHAPES["Qwen3-8B"]
    with pytest.raises(ConfigError, match="its shape is not known; give the folder of a checkpoint"):
        shape_of_checkpoint("org/unknown")
