"""Where a training stands, for people: a bar on a terminal, plain lines elsewhere; and its numbers for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol

from mars2_env.base.checks import one_of
from mars2_env.base.journal import Journal, whole_lines
from mars2_env.episode import Event, Told
from mars2_env.log import Header, Trace
from mars2_env.render import printable_line
from mars2_env.render.metrics import KINDS, SINKS, MetricsKind, Sink

if TYPE_CHECKING:
    from rich.console import Console

METRICS: Final = "metrics.jsonl"

SHOWN: Final[Mapping[str, str]] = {
    "train/reward": "reward",
    "train/solve_rate": "solved",
    "eval/pass_at_n": "held-out Pass@N",
}
"""Measures that lines show, by what they call them."""


class Progress(Protocol):
    """Is told where a training stands, from several threads."""

    def __call__(self, header: Header, event: Event, trace: Trace | None) -> None:
        """Take an event of a tree that grows."""
        ...

    def enter(self, step: int, steps: int, phase: str) -> None:
        """Take what the training is at from now on."""
        ...

    def line(self, text: str) -> None:
        """Take a sign of life, a result, or a warning."""
        ...


class Silent:
    """Shows nothing."""

    def __call__(self, header: Header, event: Event, trace: Trace | None) -> None:
        """Nothing."""

    def enter(self, step: int, steps: int, phase: str) -> None:
        """Nothing."""

    def line(self, text: str) -> None:
        """Nothing."""


class Shown:
    """A bar of steps on a terminal; elsewhere, such as in the log of a job, plain lines alone.

    Args:
        steps: of the training.
        console: where to; standard error by default.
    """

    def __init__(self, steps: int, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self.console = console or Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("steps"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
            console=self.console,
        )
        self._task = self._bar.add_task("train", total=steps, text="")
        self._nodes = 0
        self._phase = ""
        self._lock = Lock()

    def __enter__(self) -> Shown:
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._bar.stop()

    def __call__(self, header: Header, event: Event, trace: Trace | None) -> None:
        """Count a node."""
        if isinstance(event, Told):
            with self._lock:
                self._nodes += 1
                self._bar.update(self._task, text=self._text())

    def enter(self, step: int, steps: int, phase: str) -> None:
        """Show what the training is at."""
        with self._lock:
            self._nodes, self._phase = 0, phase
            self._bar.update(self._task, completed=max(step - 1, 0), total=steps, text=self._text())

    def line(self, text: str) -> None:
        """Show a line."""
        self.console.print(printable_line(text), markup=False, highlight=False, soft_wrap=True)

    def _text(self) -> str:
        return f"{self._phase}, {self._nodes} nodes" if self._nodes else self._phase


class Numbers:
    """The metrics of a training in its folder, at each step once: what a kill made a run write twice is taken back.

    Args:
        folder: the training's.
        kinds: `jsonl`, `tensorboard`, `trackio`.
        step: how many steps are done; what is there of later ones is made again. None: nothing is done.

    Raises:
        ConfigError: a kind is unknown.
        ExtraError: the package that a kind needs is missing.
    """

    def __init__(self, folder: Path, kinds: Sequence[MetricsKind], step: int | None) -> None:
        for kind in kinds:
            one_of("metrics", kind, KINDS, where="train")
        forget_after(folder / METRICS, -1 if step is None else step)
        self._sinks: list[Sink] = []
        try:
            for kind in kinds:
                self._sinks.append(SINKS[kind](folder if kind == "jsonl" else folder / kind))
        except BaseException:
            self.close()
            raise

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of a step."""
        for sink in self._sinks:
            sink.write(step, values)

    def close(self) -> None:
        """Write what is left."""
        for sink in self._sinks:
            sink.close()


def forget_after(path: Path, step: int) -> None:
    """Take back the lines of a file of metrics that are of later steps."""
    if not path.exists():
        return
    lines = whole_lines(path)
    kept = sum(json.loads(line)["step"] <= step for line in lines)
    if kept < len(lines):
        journal = Journal(path, alone=True)
        try:
            journal.keep(kept)
        finally:
            journal.close()


def summary(step: int, steps: int, values: Mapping[str, float], versions: Mapping[str, int]) -> str:
    """Return a step in a line."""
    mcts = {name: value for name, value in values.items() if name.startswith("eval/pass_at_1_mcts/")}
    shown = [f"{text} {values[name]:.3f}" for name, text in SHOWN.items() if name in values]
    shown += [f"held-out Pass@1(MCTS) at {name.rpartition('/')[2]} nodes {value:.3f}" for name, value in mcts.items()]
    shown += [f"{name} v{version}{standing(name, values)}" for name, version in versions.items()]
    return f"step {step}/{steps}: {', '.join(shown)}"


def standing(policy: str, values: Mapping[str, float]) -> str:
    """Return how much of a policy's next batch waits, and, after a step without an update, what was left out so far."""
    begin = f"policies/{policy}/"
    own = {name.removeprefix(begin): value for name, value in values.items() if name.startswith(begin)}
    if "batch" not in own:
        return ""
    left = {name.removeprefix("filtered/"): value for name, value in own.items() if name.startswith("filtered/")}
    reasons = ", ".join(f"{count:.0f} {why}" for why, count in sorted(left.items(), key=lambda one: -one[1]))
    why = f"; left out so far: {reasons}" if reasons and not own.get("updates") else ""
    return f" (waiting {own['waiting']:.0f} of {own['batch']:.0f}{why})"
