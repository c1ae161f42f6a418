"""Progress and summary of a run, read from its events and nothing else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mars2_env.base.meters import JUDGE, QUEUE, Meters
from mars2_env.episode.events import Asked, Cancelled, Event, Passed, Told
from mars2_env.log import Header, Trace, Tree
from mars2_env.render import printable_line
from mars2_env.render.pace import Pace
from mars2_env.search.budget import MAX_NODES

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass
class Spent:
    """What one agent has come to so far; the fields are those of `Tally`."""

    nodes: int = 0
    tokens: int = 0
    cost: float = 0.0
    policy_seconds: float = 0.0


@dataclass
class Tally:
    """What a run has come to so far, counted from its events.

    Tokens are completion tokens; cost is the sum of `Reply.cost`; seconds are summed over turns, those of a resumed
    run's earlier parts included. `agents` counts each agent's own.
    """

    nodes: int = 0
    duplicates: int = 0
    judged: int = 0
    tokens: int = 0
    cost: float = 0.0
    policy_seconds: float = 0.0
    judge_seconds: float = 0.0
    trees: int = 0
    solved: int = 0
    turns_by_agent: Counter[str] = field(default_factory=Counter)
    agents: dict[str, Spent] = field(default_factory=dict)
    _asked: dict[tuple[str, int, int], str] = field(default_factory=dict, repr=False)

    def __call__(self, header: Header, event: Event, trace: Trace | None) -> None:
        """Count one event."""
        if isinstance(event, Asked):
            self._asked[header.problem, header.seed, event.turn] = event.agent
        elif isinstance(event, Told | Passed | Cancelled):
            agent = self._asked.pop((header.problem, header.seed, event.turn), "")
            if isinstance(event, Told):
                spent = self.agents.setdefault(agent, Spent())
                spent.nodes += event.node is not None
                if trace is not None:
                    spent.tokens += trace.completion_tokens
                    spent.cost += trace.cost
                    spent.policy_seconds += trace.policy_seconds
        if trace is not None:
            self.tokens += trace.completion_tokens
            self.cost += trace.cost
            self.policy_seconds += trace.policy_seconds
            self.judge_seconds += trace.judge_seconds
        if isinstance(event, Told):
            self.nodes += event.node is not None
            self.duplicates += event.duplicate_of is not None
            self.judged += event.verdict.settled is None and event.duplicate_of is None

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain data, by the names of the fields; `mars2 search --json` prints them."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.repr}
        return found | {
            "turns_by_agent": dict(sorted(self.turns_by_agent.items())),
            "agents": {agent: asdict(spent) for agent, spent in sorted(self.agents.items())},
        }

    def finish(self, tree: Tree) -> None:
        """Count a finished tree; it is solved if some node passes all public tests."""
        self.trees += 1
        self.solved += solved_on_public(tree)
        for node in tree.nodes:
            self.turns_by_agent[node.agent] += 1


def solved_on_public(tree: Tree) -> bool:
    """Whether some node of a tree passes all public tests."""
    return any(node.verdict.settled is None and node.verdict.group("public").passed for node in tree.nodes)


class ProgressBar:
    """Shows a run: trees done, nodes, judged, solved, tokens per second, time left.

    On a terminal a bar; elsewhere, such as in the log of a job, a plain line about once a minute, unwrapped. Pass it to
    `rollout` as `observer` and tell it each finished tree; `tally` holds the counts.
    """

    def __init__(
        self,
        total: int,
        budget: int,
        console: Console | None = None,
        *,
        meters: Meters | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare for `total` trees of `budget` nodes; where that is `MAX_NODES` nobody knows when they will end.

        `meters`, as given to `rollout`, adds how busy models and judge are.
        """
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.tally = Tally()
        self._meters = meters
        self.console = console or Console(stderr=True)
        self._clock = clock
        self._pace = Pace(clock=clock)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("nodes"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
        )
        bounded = budget < MAX_NODES
        self._task = self._progress.add_task("search", total=total * budget if bounded else None, text="")
        self._budget = budget
        self._total = total
        self._start: float | None = None
        self._told = 0
        self._new_tokens = 0
        self._lock = Lock()  # events come in the run's thread, finished trees in that of who takes them

    def __enter__(self) -> ProgressBar:
        if self.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._progress.stop()
        else:
            self._line(self.line())

    def __call__(self, header: Header, event: Event, trace: Trace | None) -> None:
        """Show one event."""
        with self._lock:
            self._show(header, event, trace)

    def _show(self, header: Header, event: Event, trace: Trace | None) -> None:
        self.tally(header, event, trace)
        if not isinstance(event, Told):
            return
        now = self._clock()
        if self._start is None:
            self._start = now
        elif trace is not None:
            self._new_tokens += trace.completion_tokens
        self._told += 1
        self._progress.update(self._task, completed=self._told, text=self._text(now - self._start))
        if not self.console.is_terminal and self._pace.due():
            self._line(self.line())

    def line(self) -> str:
        """Return where the run stands as one plain line."""
        elapsed = self._pace.elapsed
        rate = f", {self._told / elapsed:.2f} nodes/s" if elapsed > 0 else ""
        return f"{self.tally.nodes} nodes, {self._text(elapsed)}{rate}, {elapsed:.0f} s"

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _text(self, elapsed: float) -> str:
        tally = self.tally
        rate = f" {self._new_tokens / elapsed:.0f} tokens/s" if self._new_tokens and elapsed > 0 else ""
        return f"{tally.trees}/{self._total} trees, {tally.solved} solved, {tally.judged} judged{rate}{self._busy()}"

    def _busy(self) -> str:
        """Return how many turns are with models, how many programs with the judge, and how many wait for it."""
        if self._meters is None:
            return ""
        now = {kind: reading.now for kind, reading in self._meters.read().items()}
        judge, queue = now.pop(JUDGE, 0), now.pop(QUEUE, 0)
        return f", {sum(now.values())} in models, {judge} in judge" + (f" and {queue} waiting for it" if queue else "")

    def finish(self, tree: Tree) -> None:
        """Show a finished tree in a line of its own."""
        with self._lock:
            self._finish(tree)

    def _finish(self, tree: Tree) -> None:
        self.tally.finish(tree)
        if self._budget < MAX_NODES:  # where it ended early, the rest of its budget is not to be waited for
            self._told += max(self._budget - sum(isinstance(event, Told) for event in tree.events), 0)
        elapsed = self._clock() - self._start if self._start is not None else 0.0
        self._progress.update(self._task, completed=self._told, text=self._text(elapsed))
        first = next((n for n in tree.nodes if n.verdict.settled is None and n.verdict.group("public").passed), None)
        outcome = f"solved by {first.agent} at node {first.id}" if first else "not solved"
        ending = ""
        if tree.ended == "faults":
            why = printable_line(tree.detail)
            ending = f"; ENDED BY FAULTS ({why}), left out of results; the same command takes it up again"
        elif tree.ended not in ("solved", None) and not tree.detail.startswith("nodes:"):
            ending = f"; ended by {tree.ended.replace('_', ' ')} ({printable_line(tree.detail)})"
        line = f"{printable_line(tree.problem)}: {len(tree.nodes)} nodes, {outcome} (public tests){ending}"
        self._line(line)


def wide_console() -> Console:
    """Return a console for tables: without a terminal nothing is to be wrapped or cut to 80 columns."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=500)


def share_of(part: int, whole: int) -> str:
    """Return a count with its share, such as `3 (12.5 %)`."""
    return f"{part} ({100 * part / whole:.1f} %)" if whole else str(part)


def summary_table(tally: Tally, more: Sequence[tuple[str, str]] = ()) -> Table:
    """Return the summary of a run as a table, with more rows below."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Search", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows: list[tuple[str, Any]] = [
        ("trees", tally.trees),
        ("nodes", tally.nodes),
        ("of these, duplicates of an earlier program", share_of(tally.duplicates, tally.nodes)),
        ("solved on public tests", f"{tally.solved} of {tally.trees}"),
        *((f"nodes by {agent}", count) for agent, count in sorted(tally.turns_by_agent.items())),
        ("programs judged", tally.judged),
        ("tokens generated", tally.tokens),
        *_pace_rows(tally),
        *([("cost", f"{tally.cost:.6g}")] if tally.cost else []),
        ("seconds in models", f"{tally.policy_seconds:.1f}"),
        ("seconds in judge (summed over workers)", f"{tally.judge_seconds:.1f}"),
        *more,
    ]
    for name, value in rows:
        table.add_row(Text(printable_line(name)), str(value))  # as `Text`, no name is read as markup
    return table


def _pace_rows(tally: Tally) -> list[tuple[str, str]]:
    """Return the tokens of each agent that tells them, with those per second of its turns."""
    rows = []
    for agent, spent in sorted(tally.agents.items()):
        if not spent.tokens:
            continue
        rate = f" ({spent.tokens / spent.policy_seconds:.0f} per second of a turn)" if spent.policy_seconds > 0 else ""
        rows.append((f"tokens by {agent}", f"{spent.tokens}{rate}"))
    return rows
