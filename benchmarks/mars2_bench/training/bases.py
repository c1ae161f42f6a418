"""Base models: small Llamas, fine-tuned to know some operations and to be blind to the others.

A known name is written right with probability 0.7, and else as another known operation. For a name that an agent is
blind to it writes a random known operation; in a refinement it keeps what the parent has there with probability 0.25.
The parents of the fine-tuning have random operations, whatever the names: so nothing in it tells which code belongs to
a blind name, not even by way of refinements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import torch
from mars2_agents.learners.learner import Learner, Optimising

from mars2_bench.training.language import END, VOCABULARY, completion_ids, prompt_ids
from mars2_bench.training.world import CODES, OPERATIONS, SLOTS, Pipeline
from mars2_env.base import keys

T = TypeVar("T")

RIGHT: Final = 0.7
"""How often a known name is written right."""

KEPT: Final = 0.25
"""How often a refinement keeps the parent's operation where it is blind to the name."""

UPDATES: Final = 1000
BATCH: Final = 64
LEARNING_RATE: Final = 2e-3


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and what is to be written, as `Learner` scores it."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]


def fresh_model(seed: int) -> Any:
    """Return a Llama of width 96 and three layers with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=96,
        intermediate_size=260,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config)


def drawn(choices: Sequence[T], rng: np.random.Generator) -> T:
    """Return one of some choices, each as likely as the others."""
    return choices[int(rng.integers(len(choices)))]


def written(name: str, known: Sequence[str], parent: str | None, rng: np.random.Generator) -> str:
    """Return the operation that a base writes where a problem names `name`.

    Args:
        name: the name in the problem.
        known: the operations that the base knows.
        parent: the operation that the parent has there; None in a fresh answer.
        rng: draws.
    """
    if name in known:
        return name if rng.random() < RIGHT else drawn([one for one in known if one != name], rng)
    if parent is not None and rng.random() < KEPT:
        return parent
    return drawn(known, rng)


def example(pipeline: Pipeline, known: Sequence[str], rng: np.random.Generator) -> Example:
    """Return a fresh answer or a refinement, as likely one as the other, as a base is to give it."""
    parent = [drawn(OPERATIONS, rng) for _ in range(SLOTS)] if rng.random() < 0.5 else None
    answer = [written(name, known, None if parent is None else parent[slot], rng) for slot, name in enumerate(pipeline)]
    told = None if parent is None else "".join(CODES[name] for name in parent)
    return Example(prompt_ids(pipeline, told), completion_ids("".join(CODES[name] for name in answer)))


def fine_tuned(known: Sequence[str], seed: int, pipelines: Sequence[Pipeline], *, updates: int = UPDATES) -> Any:
    """Return a base that knows some operations, fine-tuned on examples that are drawn anew for every update.

    Args:
        known: the operations that it knows.
        seed: of weights and examples.
        pipelines: what it is trained on.
        updates: of `BATCH` examples each.
    """
    rng = keys.generator("miniature", "base", seed)
    optimising = Optimising(lr=LEARNING_RATE, warmup=20, decay_updates=updates, floor=0.02, tokens=256)
    learner = Learner(fresh_model(seed), optimising)
    for _ in range(updates):
        batch = [example(drawn(pipelines, rng), known, rng) for _ in range(BATCH)]
        total = sum(len(one.completion_ids) for one in batch)
        learner.backward(batch, [torch.full((len(one.completion_ids),), -1 / total) for one in batch])
        learner.step()
    return learner.model


def base(
    folder: Path, known: Sequence[str], seed: int, pipelines: Sequence[Pipeline], *, updates: int = UPDATES
) -> Any:
    """Return a base from a folder, where it is fine-tuned and put the first time."""
    from transformers import LlamaForCausalLM

    if not (folder / "config.json").exists():
        Learner(fine_tuned(known, seed, pipelines, updates=updates)).export(folder)
    return LlamaForCausalLM.from_pretrained(folder)
