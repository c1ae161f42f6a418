"""Buffers: what waits for an update, one for each policy, and an account of all that ever came.

Policies do not wait for each other: each updates as soon as its own buffer holds a batch, and what is over stays for
the next (MARS2, asynchronous per-agent buffers).
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import load_file, save_file

from mars2_env.base.checks import whole_number
from mars2_env.credit import Sample
from mars2_env.errors import LogError

TOKENS: Final[Mapping[str, Any]] = {
    "prompt_ids": np.int64,
    "completion_ids": np.int64,
    "mask": np.bool_,
    "logprobs": np.float64,
    "kept_mass": np.float64,
    "versions": np.int64,
}
"""The fields of a sample that are a number a token, and how they are written."""

ARRAYS: Final = "samples.safetensors"
REST: Final = "samples.json"


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of all that ever came for a policy: `given` is `used`, `waiting` and `filtered` together.

    Attributes:
        given: samples, and nodes that gave none.
        used: samples that an update learnt from.
        waiting: samples in the buffer.
        filtered: reason -> samples, or nodes that gave none.
        batch: how many have to wait for an update.
    """

    given: int = 0
    used: int = 0
    waiting: int = 0
    filtered: Mapping[str, int] = field(default_factory=dict)
    batch: int = 1


class Buffer:
    """Samples of one policy that wait until they make a batch, oldest first.

    Args:
        batch: how many make an update.
    """

    def __init__(self, batch: int) -> None:
        self.batch = whole_number("batch", batch, where="Buffer")
        self._waiting: deque[Sample] = deque()
        self._used = 0
        self._filtered: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """What waits, oldest first."""
        return tuple(self._waiting)

    @property
    def counts(self) -> Counts:
        """What became of all that ever came."""
        given = self._used + len(self._waiting) + self._filtered.total()
        return Counts(given, self._used, len(self._waiting), dict(sorted(self._filtered.items())), self.batch)

    def add(self, samples: Sequence[Sample]) -> None:
        """Let samples wait."""
        self._waiting.extend(samples)

    def filter(self, reasons: Mapping[str, int]) -> None:
        """Count what will not be learnt, by reason."""
        self._filtered.update(reasons)

    def take(self) -> tuple[Sample, ...]:
        """Return the oldest batch, which counts as used from now on; () where fewer wait, and all go on waiting."""
        if len(self._waiting) < self.batch:
            return ()
        self._used += self.batch
        return tuple(self._waiting.popleft() for _ in range(self.batch))

    def save(self, folder: Path) -> None:
        """Write what waits, and the account, into a folder (safetensors and JSON)."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays, rest = packed_samples(self.samples)
        save_file(arrays, folder / ARRAYS)
        account = {"used": self._used, "filtered": dict(self._filtered), "samples": rest}
        (folder / REST).write_text(json.dumps(account), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            LogError: the folder holds no buffer.
        """
        try:
            account = json.loads((folder / REST).read_text(encoding="utf-8"))
            self._waiting = deque(unpacked_samples(load_file(folder / ARRAYS), account["samples"]))
            self._used, self._filtered = int(account["used"]), Counter(account["filtered"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LogError(f"{folder} holds no samples of a buffer: {error}") from None


def packed_samples(samples: Sequence[Sample]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return samples as arrays, (tokens of all samples) and (samples + 1) for where each begins, and plain data."""
    arrays: dict[str, Any] = {}
    for name, kind in TOKENS.items():
        rows = [getattr(sample, name) for sample in samples]
        arrays[name] = np.array([one for row in rows for one in row], dtype=kind)
        arrays[f"{name}.starts"] = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    rest = [one.name for one in fields(Sample) if one.name not in TOKENS]
    return arrays, [{name: getattr(sample, name) for name in rest} for sample in samples]


def unpacked_samples(arrays: Mapping[str, Any], rest: Sequence[Mapping[str, Any]]) -> list[Sample]:
    """Return the samples that `packed_samples` packed."""

    def row(name: str, place: int) -> tuple[Any, ...]:
        start, end = arrays[f"{name}.starts"][place : place + 2]
        return tuple(arrays[name][start:end].tolist())

    return [Sample(**{**told, **{name: row(name, place) for name in TOKENS}}) for place, told in enumerate(rest)]
