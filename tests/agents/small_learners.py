"""A tiny model, a batch of samples and losses, for tests of learners."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import Any

import torch
import transformers
from mars2_agents.algorithms.lesson import Scores
from mars2_agents.learners import losses

from mars2_env.credit import Sample


def model(seed: int = 0, **changes: Any) -> Any:
    """A Llama of hidden size 16 and 2 layers over 32 tokens, with weights large enough to be heard."""
    torch.manual_seed(seed)
    usual: dict[str, Any] = {
        "vocab_size": 32,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.3,
    }
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**usual | changes)).eval()


def sample(prompt: tuple[int, ...], completion: tuple[int, ...], advantage: float, **others: Any) -> Sample:
    count = len(completion)
    usual = Sample(
        tree="p#0",
        node=1,
        parent=0,
        depth=1,
        agent="coder_0",
        policy="model",
        prompt_ids=prompt,
        completion_ids=completion,
        mask=(True,) * count,
        logprobs=(-1.0,) * count,
        logprobs_kind="tempered",
        temperature=1.0,
        top_p=1.0,
        kept_mass=(),
        versions=(0,) * count,
        reward=0.0,
        shaped=0.0,
        advantage=advantage,
        duplicate=False,
    )
    return replace(usual, **others)


BATCH = [
    sample((1, 5, 9), (4, 8, 2), 1.0, mask=(True, False, True), logprobs=(-2.0, nan, -3.0)),
    sample((2,), (7, 7, 3, 11, 6), -0.5),
    sample((3, 3, 3, 3), (10,), 2.0, temperature=0.5, logprobs=(nan,)),
    sample((9, 8), (1, 2, 3), -1.0, temperature=0.5),
]
"""Two temperatures, a masked token, and a token whose chance the sampler did not tell."""

LONGER = [
    *(replace(one, temperature=1.0) for one in BATCH),
    sample((1, 2), (), 1.0),
    sample((4, 4, 17, 30, 2, 9), (12, 31, 0, 5, 5, 5, 21, 8), 0.7),
    sample((6,), (19, 23), -1.3),
]
"""Seven samples at one temperature, one without a token."""


def gspo(scores: Scores) -> Any:
    return losses.gspo(scores.logprob, scores.old, scores.advantage, scores.mask)


def gradients(net: Any) -> dict[str, Any]:
    return {name: one.grad.clone() for name, one in net.named_parameters() if one.grad is not None}


def check_same(found: dict[str, Any], wanted: dict[str, Any], atol: float = 1e-6) -> None:
    """Both have the same names, and values that differ by no more."""
    assert found.keys() == wanted.keys() and found
    for name, one in found.items():
        torch.testing.assert_close(one, wanted[name], atol=atol, rtol=0, msg=lambda text, name=name: f"{name}: {text}")
