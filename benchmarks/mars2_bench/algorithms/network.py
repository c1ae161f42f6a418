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

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
_NEVER: Final = -1e9


class SlotNetwork(nn.Module):
    """Logits of actions at slots, of actions elsewhere, and a value.

    An observation of length `head + slots * width` is the numbers before the slots, then a row for each slot.
    """

    def __init__(self, head: int, width: int, *, each: int = 1, others: int = 0, hidden: int = 64) -> None:
        """Make a network with random weights (PyTorch's global generator).

        Args:
            head: how many numbers come before the slots.
            width: how many numbers a slot has.
            each: how many actions there are at each slot.
            others: how many actions there are that name no slot.
            hidden: units of each layer.
        """
        super().__init__()
        self.head, self.width, self.each, self.others = head, width, each, others
        self.row, self.context = nn.Linear(width, hidden), nn.Linear(head, hidden)
        self.summary = nn.Linear(head + 2 * hidden, hidden)
        self.again, self.told = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden, bias=False)
        self.slot, self.other, self.value = nn.Linear(hidden, each), nn.Linear(hidden, others), nn.Linear(hidden, 1)
        for last, gain in ((self.slot, 0.01), (self.other, 0.01), (self.value, 1.0)):
            if last.weight.numel():
                nn.init.orthogonal_(last.weight, gain)
            nn.init.zeros_(last.bias)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits, shape (n, each * slots + others), and values, shape (n,), for (n, head + slots * width).

        Action a * slots + s is the a-th at slot s; the last `others` name no slot. Slots that are not there, whose
        first column is 0, do not enter the summary; their logits are for the caller to mask.
        """
        head, rows = observations[:, : self.head], observations[:, self.head :].unflatten(1, (-1, self.width))
        seen = torch.relu(self.row(rows) + self.context(head)[:, None])
        there = rows[:, :, :1]
        kept = seen * there
        pooled = torch.cat([kept.sum(1) / there.sum(1).clamp(min=1.0), kept.amax(1)], 1)
        summary = torch.relu(self.summary(torch.cat([head, pooled], 1)))
        slots = self.slot(torch.relu(self.again(seen) + self.told(summary)[:, None]))
        logits = torch.cat([slots.transpose(1, 2).flatten(1), self.other(summary)], 1)
        return logits, self.value(summary)[:, 0]


def log_policy(logits: Tensor, masks: Tensor) -> Tensor:
    """Return log-probabilities of actions, those that are masked out almost impossible: both shapes (n, actions)."""
    return torch.log_softmax(torch.where(masks, logits, _NEVER), 1)


def sampled(logs: Floats, rng: np.random.Generator) -> Ints:
    """Return an action drawn for each row of log-probabilities, by the Gumbel-max trick."""
    return (logs + rng.gumbel(size=logs.shape)).argmax(1)


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


def optimizer(networks: list[Any], rate: float) -> Any:
    """Return Adam over all parameters of some networks."""
    return torch.optim.Adam([one for network in networks for one in network.parameters()], rate, eps=1e-5)
