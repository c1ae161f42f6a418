"""Batched sampling from a causal language model, each row by its own seed and its own settings.

Rows of one batch share the forward passes and nothing else: a row's tokens are a function of its prompt, its seed and
its settings, up to the rounding that differs between batch shapes. Greedy decoding is temperature 0.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

LIKELIEST = 256
"""Tokens looked at first for the nucleus; the whole vocabulary is sorted only where they do not reach `top_p`."""


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to sample.

    `prompt` are token ids, `seed` a non-negative integer, `temperature` 0 for greedy, `top_p` in (0, 1], and
    `max_new_tokens` the most tokens to write, the ending one included.
    """

    prompt: tuple[int, ...]
    seed: int
    temperature: float
    top_p: float
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What was sampled for one request: token ids (with the ending one), their log-probabilities, and why it ended."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str


def nucleus_sample(logits: Tensor, temperature: Tensor, top_p: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Draw one token a row by inverting the cumulative distribution of the nucleus, likeliest token first.

    The nucleus is the smallest set of likeliest tokens whose probability, after the temperature, reaches `top_p`
    (Holtzman et al. 2020, arXiv 1904.09751).

    Args:
        logits: [rows, vocabulary], float32.
        temperature: [rows]; 0 takes the likeliest token.
        top_p: [rows], in (0, 1].
        uniform: [rows], in [0, 1).

    Returns:
        Token ids [rows] and their log-probability [rows] under the distribution that was sampled from: after the
        temperature, renormalised over the nucleus; 0 for greedy rows, which have no choice.
    """
    # float64, so that the sum over a large vocabulary neither misses top_p = 1 nor depends on the order of adding.
    wide = torch.float32 if logits.device.type == "mps" else torch.float64
    greedy = temperature == 0
    divisor = torch.where(greedy, torch.ones_like(temperature), temperature)
    logp = torch.log_softmax(logits / divisor[:, None], dim=-1)
    values, tokens = logp.topk(min(LIKELIEST, logp.shape[-1]), dim=-1)
    p = values.to(wide).exp()
    if bool(((p.sum(-1) < top_p) & ~greedy).any()):
        values, tokens = logp.sort(dim=-1, descending=True)
        p = values.to(wide).exp()
    inside = (p.cumsum(-1) - p) < top_p[:, None]
    inside[:, 0] = True
    inside &= ~greedy[:, None] | (torch.arange(p.shape[-1], device=p.device) == 0)
    p = p * inside
    cumulative = p.cumsum(-1)
    total = cumulative[:, -1]
    place = (cumulative <= (uniform.to(wide) * total)[:, None]).sum(-1)
    place = torch.minimum(place, inside.sum(-1) - 1)[:, None]
    logprob = values.gather(-1, place)[:, 0].to(wide) - total.log()
    return tokens.gather(-1, place)[:, 0], torch.where(greedy, torch.zeros_like(logprob), logprob)


@torch.inference_mode()
def sample(model: Any, requests: Sequence[Request], *, eos_ids: Collection[int], pad_id: int) -> list[Completion]:
    """Sample one completion for each request, all in one batch.

    Prompts are padded on the left. A row leaves the batch when it ends, so that the remaining ones run faster.

    Args:
        model: a causal language model of transformers; its device is used.
        requests: what to sample; prompts must not be empty.
        eos_ids: token ids that end a completion; the one that did is part of it.
        pad_id: any valid token id; it is masked.
    """
    if not requests:
        return []
    device = model.device
    width = max(len(request.prompt) for request in requests)
    padding = [width - len(request.prompt) for request in requests]
    ids = torch.tensor(
        [[pad_id] * pad + list(r.prompt) for pad, r in zip(padding, requests, strict=True)], device=device
    )
    mask = torch.tensor([[0] * pad + [1] * (width - pad) for pad in padding], device=device)
    position = (mask.cumsum(-1) - 1).clamp(min=0)
    temperature = torch.tensor([request.temperature for request in requests], device=device)
    top_p = torch.tensor([request.top_p for request in requests], device=device)
    draws = [np.random.default_rng(request.seed) for request in requests]

    written: list[list[int]] = [[] for _ in requests]
    logprobs: list[list[float]] = [[] for _ in requests]
    reasons = ["length"] * len(requests)
    rows = list(range(len(requests)))
    cache: Any = None
    while True:
        out = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
            **_last_only(model),
        )
        cache = out.past_key_values
        uniform = torch.tensor([draws[row].random() for row in rows], device=device, dtype=torch.float32)
        tokens, logp = nucleus_sample(out.logits[:, -1].float(), temperature, top_p, uniform)
        keep: list[int] = []
        for index, (row, token, value) in enumerate(zip(rows, tokens.tolist(), logp.tolist(), strict=True)):
            written[row].append(token)
            logprobs[row].append(value)
            if token in eos_ids:
                reasons[row] = "stop"
            elif len(written[row]) < requests[row].max_new_tokens:
                keep.append(index)
        if not keep:
            break
        if len(keep) < len(rows):
            kept = torch.tensor(keep, device=device)
            cache.batch_select_indices(kept)
            mask, position, tokens = mask[kept], position[kept], tokens[kept]
            temperature, top_p = temperature[kept], top_p[kept]
            rows = [rows[index] for index in keep]
        ids = tokens[:, None]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=-1)
        position = position[:, -1:] + 1
    return [Completion(tuple(w), tuple(p), reason) for w, p, reason in zip(written, logprobs, reasons, strict=True)]


def _last_only(model: Any) -> dict[str, int]:
    # The prompt's logits, rows x tokens x vocabulary, would be the largest tensor of all and only the last is needed.
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
