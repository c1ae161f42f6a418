"""Sharded learners that one process drives: it alone grows trees, and the others do whatever its learners are told.

    learners = {"coder": Learner(model, optimising, division=Shards())}   # in every process
    if torch.distributed.get_rank() == 0:
        with lead(learners) as led:
            train(..., students={"coder": Student(policy, led["coder"])}, ...)
    else:
        follow(learners)

A call goes out as a header in JSON and two arrays, over a gloo group of its own: hours may pass between two calls, and
no deadline of other groups is to run meanwhile. Where the leading process goes away, so does the connection, and the
others end with an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor

from mars2_agents.learners.learner import Learner, Update, WeightsRef, check_weights
from mars2_agents.learners.scoring import Tokens
from mars2_env.errors import Mars2Error

PATIENCE: Final = timedelta(days=365)
"""How long processes wait for the next call."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A call of a learner's method, as it goes to other processes.

    Attributes:
        learner: whose.
        method: which.
        options: its keyword arguments that are plain values.
        samples: its samples, prompt and completion ids.
        weights: its weights, of `backward`.
    """

    learner: str
    method: str
    options: Mapping[str, Any]
    samples: Sequence[Tokens] = ()
    weights: Sequence[Tensor] = ()


@dataclass(frozen=True, slots=True)
class Ids:
    """A sample of which nothing but its tokens is known."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]


class Line:
    """The way to the processes that follow.

    Args:
        group: over which calls go out.
    """

    def __init__(self, group: Any) -> None:
        self._group = group
        self._whole = True

    def __call__(self, asked: Asked, learner: Learner) -> Any:
        """Make a call in all processes, and return what it came to in this one."""
        self._whole = False
        tell(asked, self._group)
        try:
            found = done(asked, learner)
        except (Mars2Error, OSError):  # which the others meet too, and wait for the next call
            self._whole = True
            raise
        self._whole = True
        return found

    def close(self) -> None:
        """Say that there are no more calls, unless this process left one while the others are in the middle of it.

        They would never listen. What they wait for then is the connection, which ends with this process.
        """
        if self._whole:
            tell(None, self._group)


class Led:
    """A learner whose every call other processes make too.

    Args:
        name: of the learner, in all processes.
        learner: this process's.
        line: to the others.
    """

    def __init__(self, name: str, learner: Learner, line: Line) -> None:
        self._name = name
        self._learner = learner
        self._line = line

    @property
    def own(self) -> Learner:
        """This process's learner, of which others have their parts."""
        return self._learner

    @property
    def version(self) -> int:
        """How many updates were made."""
        return self._learner.version

    @property
    def context(self) -> int | None:
        """The most tokens of a sample."""
        return self._learner.context

    @property
    def is_adapter(self) -> bool:
        """Whether an adapter is trained, and not the model itself."""
        return self._learner.is_adapter

    def score(self, samples: Sequence[Tokens], *, temperature: float = 1.0) -> list[Tensor]:
        """Score, as `Learner.score` does."""
        return self._all("score", {"temperature": temperature}, samples)

    def score_reference(self, samples: Sequence[Tokens], *, temperature: float = 1.0) -> list[Tensor]:
        """Score by the reference model."""
        return self._all("score_reference", {"temperature": temperature}, samples)

    def backward(self, samples: Sequence[Tokens], weights: Sequence[Tensor], *, temperature: float = 1.0) -> None:
        """Add a gradient."""
        check_weights(samples, weights)
        self._all("backward", {"temperature": temperature}, samples, weights)

    def step(self) -> Update:
        """Make an update."""
        return self._all("step")

    def export(self, folder: str | Path) -> WeightsRef:
        """Write the weights for policies; this process does."""
        return self._all("export", {"folder": str(folder)})

    def save(self, folder: str | Path) -> None:
        """Write all that training goes on from; this process does."""
        self._all("save", {"folder": str(folder)})

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote; every process reads it."""
        self._all("load", {"folder": str(folder)})

    def _all(
        self,
        method: str,
        options: Mapping[str, Any] | None = None,
        samples: Sequence[Tokens] = (),
        weights: Sequence[Tensor] = (),
    ) -> Any:
        return self._line(Asked(self._name, method, options or {}, samples, weights), self._learner)


@contextmanager
def lead(learners: Mapping[str, Learner]) -> Iterator[Mapping[str, Led]]:
    """Give learners whose calls the other processes follow (`follow`) until the block ends.

    Args:
        learners: by names that are the same in every process.
    """
    line = Line(_group())
    try:
        yield {name: Led(name, learner, line) for name, learner in learners.items()}
    finally:
        line.close()


def follow(learners: Mapping[str, Learner]) -> None:
    """Make the calls that process 0 makes until it is through.

    An error that process 0 meets too, such as a gradient that is not finite, is its business.
    """
    group = _group()
    while (asked := told(group)) is not None:
        try:
            done(asked, learners[asked.learner])
        except Mars2Error:
            continue


def done(asked: Asked, learner: Learner) -> Any:
    """Make a call."""
    given: list[Any] = []
    if asked.method in ("score", "score_reference", "backward"):
        given.append(asked.samples)
    if asked.method == "backward":
        given.append(asked.weights)
    return getattr(learner, asked.method)(*given, **asked.options)


def tell(asked: Asked | None, group: Any) -> None:
    """Send a call to all other processes; None: there are no more."""
    samples, weights = ((), ()) if asked is None else (asked.samples, asked.weights)
    head: dict[str, Any] = {}
    if asked is not None:
        sizes = [(len(one.prompt_ids), len(one.completion_ids)) for one in samples]
        head = {"learner": asked.learner, "method": asked.method, "options": dict(asked.options), "sizes": sizes}
    parts = [
        torch.frombuffer(bytearray(json.dumps(head).encode()), dtype=torch.uint8),
        torch.tensor([token for one in samples for token in (*one.prompt_ids, *one.completion_ids)], dtype=torch.int64),
        torch.cat([torch.zeros(0), *(one.detach().cpu().float() for one in weights)]),
    ]
    dist.broadcast(torch.tensor([len(part) for part in parts]), src=0, group=group)
    for part in parts:
        if len(part):
            dist.broadcast(part, src=0, group=group)


def told(group: Any) -> Asked | None:
    """Return the call that process 0 has sent; None where there are no more."""
    counts = torch.zeros(3, dtype=torch.int64)
    dist.broadcast(counts, src=0, group=group)
    kinds = (torch.uint8, torch.int64, torch.float32)
    parts = [torch.zeros(int(count), dtype=kind) for count, kind in zip(counts, kinds, strict=True)]
    for part in parts:
        if len(part):
            dist.broadcast(part, src=0, group=group)
    head = json.loads(bytes(parts[0].tolist()))
    if not head:
        return None
    samples = []
    for whole, (prompt, _) in zip(parts[1].split([sum(size) for size in head["sizes"]]), head["sizes"], strict=True):
        samples.append(Ids(tuple(whole[:prompt].tolist()), tuple(whole[prompt:].tolist())))
    weighted = head["method"] == "backward"
    weights = parts[2].split([completion for _, completion in head["sizes"]]) if weighted else ()
    return Asked(head["learner"], head["method"], head["options"], samples, weights)


def _group() -> Any:
    """Return a group of all processes for calls; every process makes it."""
    return dist.new_group(backend="gloo", timeout=PATIENCE)
