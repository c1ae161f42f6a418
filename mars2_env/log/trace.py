"""The trace of a log: what each expansion cost, in a file beside it, since none of it repeats exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from mars2_env.base.journal import Journal
from mars2_env.types import Generation, Step


@dataclass(frozen=True, slots=True)
class Trace:
    """What one expansion cost; in a file beside the log, since none of it repeats exactly.

    Seconds are wall-clock; `policy_seconds` is this turn's share of its batch. `generation` holds the sampled tokens of
    a single call, `steps` those of a reply that took several calls of models and tools.
    """

    turn: int
    policy_seconds: float = 0.0
    judge_seconds: float = 0.0
    cpu_seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    generation: Generation | None = None
    steps: tuple[Step, ...] = ()


def trace_path(log: Path) -> Path:
    """Return where the trace of a log lies."""
    return log.with_suffix(".trace")


class TraceWriter:
    """Appends to the trace of a log; the file is made with its first line."""

    def __init__(self, log: Path) -> None:
        """Prepare for the trace of the log at `log`."""
        self._path = trace_path(log)
        self._journal: Journal | None = None

    def __call__(self, trace: Trace) -> None:
        """Write one line."""
        if self._journal is None:
            self._journal = Journal(self._path)
        self._journal.append(msgspec.json.encode(trace))

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None


def read_trace(log: Path) -> dict[int, Trace]:
    """Return the trace of a log by turn: the last line of each turn that was told; a line cut off is ignored."""
    found: dict[int, Trace] = {}
    try:
        data = trace_path(log).read_bytes()
    except FileNotFoundError:
        return found
    for line in data.splitlines():
        try:
            trace = msgspec.json.decode(line, type=Trace)
        except msgspec.MsgspecError:
            continue
        found[trace.turn] = trace
    return found
