"""How commands show that programs are being graded on hidden tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mars2_env.cli.interrupts import interruptible
from mars2_env.cli.options import say


@contextmanager
def grading_shown() -> Iterator[Callable[[int, int], None]]:
    """Give what is called with (nodes graded, nodes in all) as the work goes on; Ctrl-C says what is kept."""
    from rich.console import Console
    from rich.progress import Progress

    from mars2_env.render.pace import Pace

    errors = Console(stderr=True)
    pace = Pace()
    with (
        interruptible("what was graded is kept, and the same command goes on from here"),
        Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress,
    ):
        bar = progress.add_task("hidden tests", total=None)

        def show(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)
            if not errors.is_terminal and pace.due():
                say(f"{done} of {total} nodes judged on hidden tests", err=True)

        yield show
