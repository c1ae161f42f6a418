"""The most memory that an update takes, measured in a process of its own: `python measure_memory.py JSON`."""

from __future__ import annotations

import gc
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mars2_agents.learners.adapting import full, lora
from mars2_agents.learners.learner import Learner, Optimising
from transformers import LlamaConfig, LlamaForCausalLM

STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Tokens:
    """A sample as far as learners look at it."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]


def of_process(name: str) -> int:
    """A line of the process's status, in bytes."""
    found = re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text())
    assert found
    return int(found[1]) * 1024


def learner(shape: dict[str, Any], how: dict[str, Any]) -> Learner:
    """A learner of a Llama of this shape with random weights."""
    config = LlamaConfig(
        hidden_size=shape["hidden"],
        num_hidden_layers=shape["layers"],
        intermediate_size=shape["intermediate"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"],
        head_dim=shape["head_dim"],
        vocab_size=shape["vocab"],
        tie_word_embeddings=shape["tied"],
        max_position_embeddings=8192,
    )
    model: Any = LlamaForCausalLM(config).to(getattr(torch, how["dtype"]))
    model = lora(model, how["rank"]) if how["train"] == "lora" else full(model)
    optimising = Optimising(tokens=how["row"], checkpointing=how["checkpointing"], precision=how["precision"])
    return Learner(model, optimising)


def update(learner: Learner, samples: list[Tokens]) -> None:
    """Score a batch, run backward on it, and step."""
    learner.score(samples)
    learner.backward(samples, [torch.ones(len(sample.completion_ids)) for sample in samples])
    learner.step()


def measured(shape: dict[str, Any], how: dict[str, Any]) -> int:
    """Return the bytes that a learner and its updates add to the process at the most, after the first update."""
    torch.set_num_threads(1)
    tiny = {"hidden": 16, "layers": 1, "intermediate": 16, "heads": 2, "kv_heads": 1, "head_dim": 8, "vocab": 64}
    update(learner({**tiny, "tied": False}, how), [Tokens((1, 2), (3, 4))])  # what libraries keep for themselves
    gc.collect()
    before = of_process("VmRSS")
    found = learner(shape, how)
    length = how["row"] // (2 if how["packed"] else 1)
    ids = tuple(place % shape["vocab"] for place in range(length))
    samples = [Tokens(ids[: length // 4], ids[length // 4 :])] * 4
    update(found, samples[:1])
    Path("/proc/self/clear_refs").write_text("5")  # from here on the peak counts
    update(found, samples)
    return of_process("VmHWM") - before


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(measured(asked["shape"], asked["how"]))
