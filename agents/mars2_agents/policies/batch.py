"""Rows of one batch on their way through a causal language model: tokens, masks, and the keys and values of each row.

Prompts are padded on the left, so that the last column is the newest token of every row. Rows leave when they end, and
others join: the keys and values of the shorter are then padded on the left, and columns that only hold padding go.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

R = TypeVar("R")

Forward = Callable[[Sequence[str], Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Batch(Generic[R]):
    """Rows with their place in the model.

    Attributes:
        rows: whose they are, one a row.
        adapters: the name of each row's adapter.
        forward: calls the model with adapters and inputs.
        cache: transformers' cache of keys and values; owned by this batch.
        mask: [rows, columns], 1 where a column holds a token of the row, that of `newest` included.
        position: [rows, 1], the place of the newest token in its row, from 0.
        newest: [rows, 1], token ids that the cache does not hold yet.
    """

    rows: list[R]
    adapters: list[str]
    forward: Forward
    cache: Any
    mask: Tensor
    position: Tensor
    newest: Tensor

    @classmethod
    def begin(
        cls,
        model: Any,
        rows: list[R],
        prompts: Sequence[Sequence[int]],
        pad_id: int,
        adapters: list[str],
        forward: Forward | None = None,
    ) -> tuple[Batch[R], Tensor]:
        """Pass prompts through the model; return the batch and the logits [rows, vocabulary] behind each prompt."""
        call = forward or (lambda names, inputs: model(**inputs))
        width = max(map(len, prompts))
        padding = [width - len(prompt) for prompt in prompts]
        ids = [[pad_id] * pad + list(prompt) for pad, prompt in zip(padding, prompts, strict=True)]
        newest = torch.tensor(ids, device=model.device)
        mask = torch.tensor([[0] * pad + [1] * (width - pad) for pad in padding], device=model.device)
        position = (mask.cumsum(-1) - 1).clamp(min=0)
        out = call(adapters, _inputs(newest, mask, position, None) | _last_only(model))
        batch = cls(rows, adapters, call, out.past_key_values, mask, position[:, -1:], newest[:, -1:])
        return batch, out.logits[:, -1]

    def step(self) -> Tensor:
        """Pass the newest tokens through the model; return the logits [rows, vocabulary] behind them."""
        out = self.forward(self.adapters, _inputs(self.newest, self.mask, self.position, self.cache))
        logits: Tensor = out.logits[:, -1]
        return logits

    def kept(self, indices: Sequence[int], tokens: Sequence[int]) -> Batch[R]:
        """Return the batch of the rows `indices`, each with its next token."""
        mask, position = self.mask, self.position
        if len(indices) < len(self.rows):
            chosen = torch.tensor(indices, device=mask.device)
            self.cache.batch_select_indices(chosen)
            mask, position = mask[chosen], position[chosen]
            if self.can_grow:
                empty = mask.shape[1] - int(mask.sum(-1).max())
                mask = mask[:, empty:]
                _each_layer(self.cache, lambda values: values[..., empty:, :])
        return replace(
            self,
            rows=[self.rows[index] for index in indices],
            adapters=[self.adapters[index] for index in indices],
            mask=torch.cat([mask, mask.new_ones(len(indices), 1)], dim=-1),
            position=position + 1,
            newest=torch.tensor(tokens, device=mask.device)[:, None],
        )

    @property
    def can_grow(self) -> bool:
        """Whether rows can join: where every layer keeps plain keys and values of all columns."""
        from transformers.cache_utils import DynamicLayer

        layers = getattr(self.cache, "layers", ())
        return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)

    def joined(self, other: Batch[R]) -> Batch[R]:
        """Return the batch of both; the other's cache is taken over."""
        width = max(self.mask.shape[1], other.mask.shape[1])
        for batch in (self, other):
            _pad_left(batch.cache, width - batch.mask.shape[1])
        for mine, theirs in zip(self.cache.layers, other.cache.layers, strict=True):
            mine.keys = torch.cat([mine.keys, theirs.keys])
            mine.values = torch.cat([mine.values, theirs.values])
        masks = [torch.nn.functional.pad(one.mask, (width - one.mask.shape[1], 0)) for one in (self, other)]
        return replace(
            self,
            rows=self.rows + other.rows,
            adapters=self.adapters + other.adapters,
            mask=torch.cat(masks),
            position=torch.cat([self.position, other.position]),
            newest=torch.cat([self.newest, other.newest]),
        )


def _inputs(newest: Tensor, mask: Tensor, position: Tensor, cache: Any) -> dict[str, Any]:
    return {
        "input_ids": newest,
        "attention_mask": mask,
        "position_ids": position,
        "past_key_values": cache,
        "use_cache": True,
    }


def _each_layer(cache: Any, change: Callable[[Tensor], Tensor]) -> None:
    for layer in cache.layers:
        layer.keys, layer.values = change(layer.keys), change(layer.values)


def _pad_left(cache: Any, columns: int) -> None:
    if columns:
        _each_layer(cache, lambda values: torch.nn.functional.pad(values, (0, 0, columns, 0)))


def _last_only(model: Any) -> dict[str, int]:
    # The prompt's logits, rows x tokens x vocabulary, would be the largest tensor of all and only the last is needed.
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
