"""The trace of a log: what each expansion cost, in a file beside it, since none of it repeats exactly.

A line is a JSON object with the fields of `Trace`. JSON has no numbers that are not finite, so log-probabilities that
are none stand there as texts, "nan", "inf" and "-inf", each in the place of its number, and are read back as these. A
null, as earlier versions wrote for all three, is read as nan.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from mars2_env.base.journal import UNREADABLE, Journal, whole_lines
from mars2_env.errors import Mars2Error
from mars2_env.types import Generation, Step

_log = logging.getLogger(__name__)

_NUMBERS: Final[dict[str | None, float]] = {None: math.nan, "nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""What stands for a number that JSON does not have."""


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
        self._journal.append(encode_trace(trace))

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None


def read_trace(log: Path) -> dict[int, Trace]:
    """Return the trace of a log by turn: the last line of each turn that was told.

    A last line that was cut off is ignored. Any other that cannot be read is left out with a warning that names it:
    what a trace says decides no tree.

    Raises:
        LogError: the file is there and cannot be read.
    """
    path, found = trace_path(log), dict[int, Trace]()
    if not path.exists():
        return found
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            trace = decode_trace(line)
        except (*UNREADABLE, Mars2Error) as error:
            _log.warning("%s: line %d is left out, it is no trace: %.300s", path, number, error)
            continue
        found[trace.turn] = trace
    return found


def encode_trace(trace: Trace) -> bytes:
    """Return the line of a trace, without its newline."""
    generations = [trace.generation, *(step.generation for step in trace.steps)]
    if all(one is None or math.isfinite(sum(one.logprobs) + sum(one.kept_mass)) for one in generations):
        return msgspec.json.encode(trace)
    return msgspec.json.encode(_changed(msgspec.to_builtins(trace), _text))


def decode_trace(line: bytes) -> Trace:
    """Return the trace of a line.

    Raises:
        MsgspecError: the line is none.
        UnicodeDecodeError, RecursionError, PolicyError: likewise.
    """
    try:
        return msgspec.json.decode(line, type=Trace)
    except msgspec.ValidationError:  # numbers that JSON does not have, or something else
        return msgspec.convert(_changed(msgspec.json.decode(line), _number), Trace)


def _changed(data: Any, change: Callable[[Any], Any]) -> Any:
    """Return plain data in which every log-probability is changed, wherever there are any."""
    if isinstance(data, dict):
        return {
            name: [*map(change, value)]
            if name in ("logprobs", "kept_mass") and isinstance(value, list | tuple)
            else _changed(value, change)
            for name, value in data.items()
        }
    if isinstance(data, list | tuple) and data and isinstance(data[0], dict):
        return [_changed(one, change) for one in data]
    return data


def _text(number: Any) -> Any:
    return number if math.isfinite(number) else str(number)


def _number(found: Any) -> Any:
    return _NUMBERS.get(found, found) if found is None or isinstance(found, str) else found
