"""The network of the reference learners: it looks at the slots of a tree one by one, and scores each for an action.

What it knows of a slot is the slot's own row, the numbers before the slots, and a summary of all slots. The same
weights look at every slot, so that what is learned of one holds for all of them, however large the tree has grown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mars2_env.base.extras import needed_by

with needed_by("mars2_bench.algorithms"):
    import torch
    from torch import Tensor, nn

Ints = NDArray[np.int64]
_NEVER: Final = -1e9


class Glance(nn.Module):
    """What a network knows of each slot, and of all of them together."""

    def __init__(self, head: int, width: int, hidden: int) -> None:
        """Make one with random weights (PyTorch's global generator); arguments as of `SlotNetwork`."""
        super().__init__()
        self.head, self.width = head, width
        self.row, self.context = nn.Linear(width, hidden), nn.Linear(head, hidden, bias=False)
        self.summary = nn.Linear(head + 2 * hidden, 2 * hidden)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Return features of each slot, shape (n, slots, hidden), and of all together, (n, 2 * hidden).

        Args:
            observations: the numbers before the slots, then a row for each slot, shape (n, head + slots * width). Slots
                that are not there, whose first column is 0, do not count in what is known of all.
        """
        head, rows = observations[:, : self.head], observations[:, self.head :].unflatten(1, (-1, self.width))
        seen = torch.relu(self.row(rows) + self.context(head)[:, None])
        there = rows[:, :, :1]
        kept = seen * there
        pooled = torch.cat([head, kept.sum(1) / there.sum(1).clamp(min=1.0), kept.amax(1)], 1)
        return seen, torch.relu(self.summary(pooled))


class SlotNetwork(nn.Module):
    """Logits of actions at slots and of actions elsewhere, and a value."""

    def __init__(self, head: int, width: int, *, each: int = 1, others: int = 0, hidden: int = 32) -> None:
        """Make a network with random weights (PyTorch's global generator).

        Args:
            head: how many numbers come before the slots.
            width: how many numbers a slot has.
            each: how many actions there are at each slot.
            others: how many actions there are that name no slot.
            hidden: units of a slot; what is known of all of them has twice as many.
        """
        super().__init__()
        self.glance = Glance(head, width, hidden)
        self.again, self.told = nn.Linear(hidden, hidden), nn.Linear(2 * hidden, hidden, bias=False)
        self.slot, self.value = scaled(nn.Linear(hidden, each), 0.01), scaled(nn.Linear(2 * hidden, 1), 1.0)
        self.other = scaled(nn.Linear(2 * hidden, others), 0.01) if others else None

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits, shape (n, each * slots + others), and values, shape (n,).

        Action a * slots + s is the a-th at slot s; the last `others` name no slot. Logits of slots that are not there
        are for the caller to mask.
        """
        seen, summary = self.glance(observations)
        slots = self.slot(torch.relu(self.again(seen) + self.told(summary)[:, None]))
        logits = slots.transpose(1, 2).flatten(1)
        if self.other is not None:
            logits = torch.cat([logits, self.other(summary)], 1)
        return logits, self.value(summary)[:, 0]


class Critic(nn.Module):
    """A value alone."""

    def __init__(self, head: int, width: int, hidden: int = 32) -> None:
        """Make one with random weights; arguments as of `SlotNetwork`."""
        super().__init__()
        self.glance, self.value = Glance(head, width, hidden), scaled(nn.Linear(2 * hidden, 1), 1.0)

    def forward(self, observations: Tensor) -> Tensor:
        """Return values, shape (n,)."""
        return self.value(self.glance(observations)[1])[:, 0]


def scaled(layer: Any, gain: float) -> Any:
    """Return a linear layer with orthogonal weights of this gain and no bias: a small one makes a policy uniform."""
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def log_policy(logits: Tensor, masks: Tensor) -> Tensor:
    """Return log-probabilities of actions, those that are masked out almost impossible: both shapes (n, actions)."""
    return torch.log_softmax(torch.where(masks, logits, _NEVER), 1)


def taken(logs: Tensor, actions: Tensor) -> Tensor:
    """Return the log-probability of the action taken in each row, shape (n,)."""
    return logs.gather(1, actions[:, None])[:, 0]


def sampled(logs: Tensor, rng: np.random.Generator) -> Ints:
    """Return an action drawn for each row of log-probabilities, by the Gumbel-max trick."""
    return (logs.numpy() + rng.gumbel(size=logs.shape)).argmax(1)


def entropy(logs: Tensor) -> Tensor:
    """Return the mean entropy of policies given as log-probabilities, shape (n, actions)."""
    return -(logs.exp() * logs).sum(1).mean()


@contextmanager
def one_core(seed: int) -> Iterator[None]:
    """Let PyTorch compute on one core meanwhile, and draw from a seed: the same numbers on every machine of a kind."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
