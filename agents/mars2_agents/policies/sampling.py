"""Batched sampling from a causal language model, each row by its own seed and its own settings.

Rows of one batch share the forward passes and nothing else: a row's tokens are a function of its prompt, its seed and
its settings, up to the rounding that differs between batch shapes. Greedy decoding is temperature 0. A row that ends
leaves its batch, and waiting ones take the places that become free.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from mars2_agents.policies.batch import Batch

LIKELIEST: Final = 256
"""Tokens looked at first for the nucleus; the whole vocabulary is sorted only for rows where they do not suffice."""

REFILL: Final = 4
"""Waiting rows join when one place in so many is free: a forward pass over one prompt costs what one over several does
where a pass is bound by reading the weights."""

BASE: Final = "__base__"
"""The model without an adapter, as peft names it."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """At most `budget` tokens of thinking, which ends with the token ids `end`; they are forced where it does not."""

    budget: int
    end: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to sample.

    Attributes:
        prompt: token ids, not empty.
        seed: a non-negative integer.
        temperature: 0 for greedy.
        top_p: the probability kept, in (0, 1].
        max_new_tokens: the most tokens to write, the ending one included.
        top_k: how many of the likeliest tokens are kept, before `top_p`; 0 for all.
        adapter: whose weights are added to the model's.
        stops: told the ids written so far (behind the thinking), says whether the last completed a stop string.
        thinking: of a model that thinks first.
    """

    prompt: tuple[int, ...]
    seed: int
    temperature: float
    top_p: float
    max_new_tokens: int
    top_k: int = 0
    adapter: str = BASE
    stops: Callable[[Sequence[int]], bool] | None = None
    thinking: Thinking | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """What was sampled for one request.

    Attributes:
        ids: the tokens written, the one that ended it included.
        logprobs: their log-probabilities under the distribution sampled from; nan for tokens that were forced.
        finish_reason: "stop", or "length" where its limit or that of its thinking cut it.
        kept_mass: for each token the probability, after the temperature, of what top-k and top-p kept; 1 for greedy.
        thinking_tokens: how many of the tokens were thought, the end of thinking included; None without `thinking`.
        thought: whether the thinking ended.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str
    kept_mass: tuple[float, ...] = ()
    thinking_tokens: int | None = None
    thought: bool = True


def nucleus_sample(
    logits: Tensor, temperature: Tensor, top_p: Tensor, uniform: Tensor, top_k: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw one token a row by inverting the cumulative distribution of what is kept, likeliest token first.

    Kept are, after the temperature, the `top_k` likeliest tokens, and of these the nucleus: the smallest set of
    likeliest ones whose share reaches `top_p` (Holtzman et al. 2020, arXiv 1904.09751).

    Args:
        logits: [rows, vocabulary], float32.
        temperature: [rows]; 0 takes the likeliest token.
        top_p: [rows], in (0, 1].
        uniform: [rows], in [0, 1).
        top_k: [rows], whole numbers; 0 keeps all. None: 0 everywhere.

    Returns:
        Token ids [rows]; their log-probability [rows] under the distribution that was sampled from: after the
        temperature, renormalised over what was kept; and the probability [rows] that this had before it was
        renormalised. Both are those of certainty, 0 and 1, for greedy rows, which have no choice.
    """
    size = logits.shape[-1]
    greedy = temperature == 0
    logp = torch.log_softmax(logits / torch.where(greedy, torch.ones_like(temperature), temperature)[:, None], dim=-1)
    kept = torch.full_like(greedy, size, dtype=torch.long) if top_k is None else top_k.clamp(max=size)
    kept = torch.where(greedy, 1, torch.where(kept <= 0, size, kept))
    most = int(torch.where(kept < size, kept, 0).max())
    *drawn, enough = _invert(logp, top_p, kept, uniform, min(size, max(LIKELIEST, most)))
    if not bool(enough.all()):
        rows = (~enough).nonzero()[:, 0]
        again = _invert(logp[rows], top_p[rows], kept[rows], uniform[rows], size)
        for values, better in zip(drawn, again, strict=False):
            values[rows] = better
    token, logprob, mass = drawn
    one = torch.ones_like(mass)
    return token, torch.where(greedy, torch.zeros_like(logprob), logprob), torch.where(greedy, one, mass)


def _invert(logp: Tensor, top_p: Tensor, top_k: Tensor, uniform: Tensor, width: int) -> tuple[Tensor, ...]:
    """Draw from the `width` likeliest tokens of each row.

    Returns:
        Token ids, their log-probabilities, the probability of all that is kept, and whether `width` tokens sufficed.
    """
    size = logp.shape[-1]
    # float64, so that the sum over a large vocabulary neither misses top_p nor depends on the order of adding.
    wide = torch.float32 if logp.device.type == "mps" else torch.float64
    values, tokens = logp.topk(width, dim=-1) if width < size else logp.sort(dim=-1, descending=True)
    uniform, top_p = uniform.to(wide), top_p.to(wide)
    p = values.to(wide).exp() * (torch.arange(width, device=logp.device) < top_k[:, None])
    all_of_them = top_k >= size
    one = torch.ones_like(top_p)
    among = torch.where(all_of_them, one, p.sum(-1))
    nucleus = torch.where(top_p >= 1, 2 * one, top_p * among)
    reached = p.sum(-1)
    inside = (p.cumsum(-1) - p) < nucleus[:, None]
    inside[:, 0] = True
    p = p * inside
    cumulative = p.cumsum(-1)
    # Where nothing is cut the whole is 1, and tokens less likely than the drawn one need not be known.
    whole = all_of_them & (top_p >= 1)
    total = torch.where(whole, one, cumulative[:, -1])
    enough = torch.where(whole, reached > uniform, ~all_of_them | (reached >= nucleus)) | (width == size)
    place = (cumulative <= (uniform * total)[:, None]).sum(-1)
    place = torch.minimum(place, (p > 0).sum(-1) - 1).clamp(min=0)[:, None]
    logprob = values.gather(-1, place)[:, 0].to(wide) - total.log()
    return tokens.gather(-1, place)[:, 0], logprob, total.clamp(max=1), enough


class Row:
    """One request on its way: what was written of it so far."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.kept_mass: list[float] = []
        self.draw = np.random.default_rng(request.seed)
        self.forced: deque[int] = deque()
        self.answer = 0 if request.thinking is None else None  # where the answer begins: behind the thinking
        self.cut = False  # whether the thinking was closed by force
        self.finish_reason = "length"

    def take(self, token: int, logprob: float, kept_mass: float, eos_ids: Collection[int]) -> bool:
        """Append the sampled token, or the one that is forced in its place; return whether the row goes on."""
        thinking = self.request.thinking
        if thinking and self.answer is None and len(self.ids) == thinking.budget:
            self.forced.extend(thinking.end)
            self.cut = True
        if self.forced:
            token, logprob = self.forced.popleft(), nan
        self.ids.append(token)
        self.logprobs.append(logprob)
        self.kept_mass.append(kept_mass)
        if thinking and self.answer is None and tuple(self.ids[-len(thinking.end) :]) == thinking.end:
            self.answer = len(self.ids)
        elif token in eos_ids or self._stopped():
            self.finish_reason = "stop"
            return False
        return len(self.ids) < self.request.max_new_tokens

    def _stopped(self) -> bool:
        stops = self.request.stops
        return stops is not None and self.answer is not None and stops(self.ids[self.answer :])

    def completion(self) -> Completion:
        """Return what was written."""
        thought = self.answer is not None
        tokens = None
        if self.request.thinking is not None:
            tokens = len(self.ids) if self.answer is None else self.answer
        reason = "length" if self.cut else self.finish_reason
        return Completion(tuple(self.ids), tuple(self.logprobs), reason, tuple(self.kept_mass), tokens, thought)


def sample(
    model: Any,
    requests: Sequence[Request],
    *,
    eos_ids: Collection[int],
    pad_id: int,
    batch_size: int | None = None,
    forward: Callable[[Sequence[str], Mapping[str, Any]], Any] | None = None,
) -> list[Completion]:
    """Sample one completion for each request; return them in order.

    Those with long replies, and then those with long prompts, are taken first, so that rows of a batch are alike and
    the last to end are short.

    Args:
        model: a causal language model of transformers; its device is used.
        requests: what to sample; prompts must not be empty.
        eos_ids: token ids that end a completion; the one that did is part of it.
        pad_id: any valid token id; it is masked.
        batch_size: the most rows in one forward pass; None for all at once.
        forward: calls the model with the adapter of each row and the inputs; None calls it with the inputs alone.
    """
    rows = [Row(request) for request in requests]
    waiting = deque(sorted(rows, key=lambda row: (-row.request.max_new_tokens, -len(row.request.prompt))))
    size = batch_size or len(rows)
    batch: Batch[Row] | None = None
    with torch.inference_mode():
        while waiting or batch:
            free = size - (len(batch.rows) if batch else 0)
            if waiting and (batch is None or (batch.can_grow and free >= max(1, size // REFILL))):
                joining = [waiting.popleft() for _ in range(min(free, len(waiting)))]
                fresh, logits = _begin(model, joining, pad_id, forward)
                more = _advance(fresh, logits, eos_ids)
                batch = batch.joined(more) if batch and more else batch or more
            elif batch:
                batch = _advance(batch, batch.step(), eos_ids)
    return [row.completion() for row in rows]


def _begin(model: Any, rows: list[Row], pad_id: int, forward: Any) -> tuple[Batch[Row], Tensor]:
    prompts = [row.request.prompt for row in rows]
    return Batch.begin(model, rows, prompts, pad_id, [row.request.adapter for row in rows], forward)


def _advance(batch: Batch[Row], logits: Tensor, eos_ids: Collection[int]) -> Batch[Row] | None:
    """Write one token to each row of a batch; return the batch of those that go on, None where none does."""
    device = logits.device
    asked = [row.request for row in batch.rows]
    tokens, logprobs, masses = nucleus_sample(
        logits.float(),
        torch.tensor([request.temperature for request in asked], device=device),
        torch.tensor([request.top_p for request in asked], device=device),
        torch.tensor([row.draw.random() for row in batch.rows], device=device, dtype=torch.float32),
        torch.tensor([request.top_k for request in asked], device=device),
    )
    drawn = zip(batch.rows, tokens.tolist(), logprobs.tolist(), masses.tolist(), strict=True)
    on = [index for index, (row, *what) in enumerate(drawn) if row.take(what[0], what[1], what[2], eos_ids)]
    # What was taken is not always what was drawn: the end of thinking may be forced.
    return batch.kept(on, [batch.rows[index].ids[-1] for index in on]) if on else None
