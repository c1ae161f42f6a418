"""Log-probabilities of completion tokens by a causal language model, with and without a gradient.

Samples are packed into rows by a budget of tokens: positions begin anew with each sample, which keeps the attention of
transformers within it. The vocabulary's logits, the largest tensor of all, exist for a chunk of tokens at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from mars2_env.errors import ConfigError

CHUNK: Final = 1024
"""Tokens whose logits exist at a time."""


class Tokens(Protocol):
    """What of a sample is scored (`mars2_env.credit.Sample` is one)."""

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """The tokens before the first that was written; at least one."""
        ...

    @property
    def completion_ids(self) -> tuple[int, ...]:
        """The tokens from there on."""
        ...


def lengths(samples: Sequence[Tokens]) -> list[int]:
    """Return the number of tokens of each sample.

    Raises:
        ConfigError: a sample has no prompt, so that nothing says how likely its first token is.
    """
    for place, sample in enumerate(samples):
        if not sample.prompt_ids:
            raise ConfigError(f"sample {place} has no prompt token; give at least the one that begins a text.")
    return [len(sample.prompt_ids) + len(sample.completion_ids) for sample in samples]


def packed(sizes: Sequence[int], budget: int) -> Iterator[range]:
    """Yield stretches of samples of at most so many tokens together; one that is longer goes alone."""
    start, total = 0, 0
    for place, size in enumerate(sizes):
        if place > start and total + size > budget:
            yield range(start, place)
            start, total = place, 0
        total += size
    if start < len(sizes):
        yield range(start, len(sizes))


def row(samples: Sequence[Tokens], device: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return samples as one row: token ids and positions, (1, tokens), and where completion tokens are foretold."""
    ids: list[int] = []
    positions: list[int] = []
    foretold: list[int] = []
    for sample in samples:
        whole = (*sample.prompt_ids, *sample.completion_ids)
        first = len(ids) + len(sample.prompt_ids) - 1
        foretold += range(first, first + len(sample.completion_ids))
        ids += whole
        positions += range(len(whole))
    return (
        torch.tensor([ids], device=device),
        torch.tensor([positions], device=device),
        torch.tensor(foretold, dtype=torch.long, device=device),
    )


def logprobs(model: Any, samples: Sequence[Tokens], *, temperature: float = 1.0, chunk: int = CHUNK) -> list[Tensor]:
    """Return the log-probabilities of each sample's completion tokens, float32, in one forward pass.

    Args:
        model: a causal language model of transformers, or a peft model around one.
        samples: what to score; together they are one row.
        temperature: what logits are divided by, above 0: that of sampling.
        chunk: tokens whose logits exist at a time.
    """
    device = next(model.parameters()).device
    ids, positions, foretold = row(samples, device)
    hidden = decoder_of(model)(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state[0]
    targets = ids[0, foretold + 1]
    head = base_of(model).get_output_embeddings()
    found = []
    for start in range(0, len(foretold), chunk):
        part = slice(start, start + chunk)
        args = (head, hidden[foretold[part]], targets[part], temperature)
        found.append(checkpoint(_logprobs, *args, use_reentrant=False) if torch.is_grad_enabled() else _logprobs(*args))
    flat = torch.cat(found) if found else hidden.new_zeros(0, dtype=torch.float32)
    return list(flat.split([len(sample.completion_ids) for sample in samples]))


class Scorer(torch.nn.Module):
    """A model and what it is asked for here, as one module: sharding hangs its work on a module's forward pass.

    Args:
        model: a causal language model of transformers, or a peft model around one.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, samples: Sequence[Tokens], temperature: float) -> list[Tensor]:
        """Return the log-probabilities of each sample's completion tokens, in one pass (`logprobs`)."""
        found = logprobs(self.model, samples, temperature=temperature)
        return [one.clone() for one in found]  # no views: hooks hang on what comes out


def _logprobs(head: Any, hidden: Tensor, targets: Tensor, temperature: float) -> Tensor:
    logits = head(hidden).float()
    if temperature != 1:
        logits = logits.div_(temperature)  # in place: nothing else has them, and they are the largest tensor of all
    found: Tensor = _OfTargets.apply(logits, targets)
    return found


class _OfTargets(torch.autograd.Function):
    """The log-probabilities of targets, log softmax(logits)[target]; backwards softmax is made in one buffer.

    Composed of operations it would have four of the size of the logits at a time, and has two.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        """Return them, (tokens,).

        Args:
            ctx: of autograd.
            logits: (tokens, vocabulary).
            targets: (tokens,).
        """
        norms = logits.logsumexp(-1)
        ctx.save_for_backward(logits, targets, norms)
        return logits.gather(-1, targets[:, None])[:, 0] - norms

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient by logits: gradient (1[target] - softmax)."""
        logits, targets, norms = ctx.saved_tensors
        found = (logits - norms[:, None]).exp_().mul_(-gradient[:, None])
        return found.scatter_add_(-1, targets[:, None], gradient[:, None]), None


def base_of(model: Any) -> Any:
    """Return the model of transformers inside a peft model, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def decoder_of(model: Any) -> Any:
    """Return the part of a causal language model that makes hidden states.

    Raises:
        ConfigError: its logits are more than its head on its hidden states, which this file would leave out.
    """
    base = base_of(model)
    for name in ("final_logit_softcapping", "logits_scaling", "logit_scale"):
        if getattr(base.config, name, None) not in (None, 1, 1.0):
            raise ConfigError(f"{type(base).__name__} changes its logits by {name}, which scoring does not do yet.")
    return base.get_decoder()
