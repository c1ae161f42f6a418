"""Metrics of a run as numbers over time: to JSON lines, to TensorBoard, or to trackio."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from hashlib import sha256
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Final, Literal, Protocol, TypeAlias, get_args

from mars2_env.base.checks import one_of, real_number
from mars2_env.base.extras import needed_by
from mars2_env.base.journal import Journal
from mars2_env.base.meters import JUDGE, QUEUE, Meters
from mars2_env.episode.events import Event, Told
from mars2_env.log import Header, Trace, Tree
from mars2_env.render.progress import Tally

MetricsKind: TypeAlias = Literal["jsonl", "tensorboard", "trackio"]

KINDS: Final[tuple[MetricsKind, ...]] = get_args(MetricsKind)


class Sink(Protocol):
    """Takes numbers."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of a step; steps grow."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


class JsonLines:
    """One JSON object a step, appended to a file: `step` and the numbers by their names."""

    def __init__(self, folder: Path) -> None:
        """Append to `metrics.jsonl` in a folder."""
        self._journal = Journal(folder / "metrics.jsonl")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append a line."""
        self._journal.append(json.dumps({"step": step, **values}).encode())

    def close(self) -> None:
        """Close the file."""
        self._journal.close()


class TensorBoard:
    """Event files that `tensorboard --logdir FOLDER` shows."""

    def __init__(self, folder: Path) -> None:
        """Write into a folder.

        Raises:
            ExtraError: tensorboardX is missing.
        """
        with needed_by("metrics for TensorBoard"):
            from tensorboardX import SummaryWriter
        self._writer: Any = SummaryWriter(str(folder))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class Trackio:
    """A run of trackio, which keeps it on this machine; `trackio show` shows it.

    It is named after the run folder, and goes on where the same folder does: two folders of one name are two runs.
    """

    def __init__(self, folder: Path) -> None:
        """Begin, or go on with, the run of a run folder.

        Raises:
            ExtraError: trackio is missing.
        """
        with needed_by("metrics for trackio"):
            import trackio
        self._trackio: Any = trackio
        place = folder.parent.resolve()
        name = f"{place.name}-{sha256(os.fsencode(place)).hexdigest()[:6]}"
        with redirect_stdout(sys.stderr):  # it tells where it writes; standard output is for results
            trackio.init(project="mars2_env", name=name, resume="allow")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        self._trackio.log(dict(values), step=step)

    def close(self) -> None:
        """End the run."""
        with redirect_stdout(sys.stderr):
            self._trackio.finish()


SINKS: Final[Mapping[str, Callable[[Path], Sink]]] = {
    "jsonl": JsonLines,
    "tensorboard": TensorBoard,
    "trackio": Trackio,
}
"""Kind -> what makes its sink in a folder."""


class Metrics:
    """Writes where a run stands, at most every few seconds and after each tree.

    Pass it to `rollout` as `observer`, or call it from one, and tell it each finished tree. Steps are the expansions of
    the run, those read back from logs included.

    Args:
        folder: where to write, such as `runs/x/metrics`.
        kind: `jsonl`, `tensorboard` or `trackio`.
        meters: what measures who is busy, as given to `rollout`.
        every: seconds between two points.
        clock: returns seconds, from any beginning.

    Raises:
        ConfigError: the kind is unknown.
        ExtraError: the package that the kind needs is missing.
    """

    def __init__(
        self,
        folder: str | Path,
        kind: MetricsKind = "jsonl",
        *,
        meters: Meters | None = None,
        every: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        one_of("kind", kind, KINDS, where="Metrics")
        real_number("every", every, least=0, where="Metrics")
        self.tally = Tally()
        self._sink = SINKS[kind](Path(folder))
        self._meters = meters
        self._every = every
        self._clock = clock
        self._start = self._last = clock()
        self._told = 0
        self._lock = Lock()  # events come from the run's thread, finished trees from whoever takes them

    def __enter__(self) -> Metrics:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, header: Header, event: Event, trace: Trace | None) -> None:
        """Take one event."""
        with self._lock:
            self.tally(header, event, trace)
            if isinstance(event, Told):
                self._told += 1
                if self._clock() - self._last >= self._every:
                    self._point()

    def finish(self, tree: Tree) -> None:
        """Take a finished tree."""
        with self._lock:
            self.tally.finish(tree)
            self._point()

    def close(self) -> None:
        """Write the last point and close what is written to."""
        with self._lock:
            self._point()
            self._sink.close()

    def values(self) -> dict[str, float]:
        """Return the numbers as they stand, by their names."""
        tally, elapsed = self.tally, max(self._clock() - self._start, 1e-9)
        found: dict[str, float] = {
            "search/trees": tally.trees,
            "search/nodes": tally.nodes,
            "search/solved": tally.solved,
            "search/duplicates": tally.duplicates,
            "search/nodes_per_second": tally.nodes / elapsed,
            "tokens/completion": tally.tokens,
            "seconds/judge": tally.judge_seconds,
            "cost": tally.cost,
        }
        if tally.trees:
            found["search/solve_rate"] = tally.solved / tally.trees
        for agent, spent in sorted(tally.agents.items()):
            found[f"agents/{agent}/tokens"] = spent.tokens
            found[f"agents/{agent}/nodes"] = spent.nodes
            found[f"agents/{agent}/seconds"] = spent.policy_seconds
            if spent.policy_seconds:
                found[f"agents/{agent}/tokens_per_second"] = spent.tokens / spent.policy_seconds
        if self._meters is not None:
            for kind, reading in self._meters.read().items():
                found[f"busy/{kind}/now"] = reading.now
                found[f"busy/{kind}/share"] = reading.share
                found[f"busy/{kind}/mean"] = reading.mean
            found["busy/any/share"] = self._meters.total().share
        return found

    def _point(self) -> None:
        self._last = self._clock()
        self._sink.write(self._told, self.values())


def time_table(meters: Meters) -> list[tuple[str, str]]:
    """Return where the wall time went as rows of a table: agents' models, the judge, nothing at all."""
    total = meters.total()
    rows = []
    for kind, reading in meters.read().items():
        if kind == QUEUE:
            rows.append(("programs that waited for the judge, at a time", f"{reading.mean:.1f}"))
            continue
        what = "the judge" if kind == JUDGE else f"the model of {kind}"
        rows.append((f"time in which {what} was busy", f"{reading.share:.0%}, {reading.mean:.1f} at a time"))
    if total.wall > 0:
        rows.append(("time in which nothing was", f"{1 - total.share:.0%} of {total.wall:.0f} s"))
    return rows
