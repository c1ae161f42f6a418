"""The command `mars2 view`: runs in a browser, as a file or as they go on."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from mars2_env.cli.interrupts import interruptible
from mars2_env.cli.options import say
from mars2_env.errors import ConfigError


def view(
    run: Annotated[Path, typer.Argument(help="A run folder made by `mars2 search --out`, or the log of one tree.")],
    other: Annotated[
        Path | None, typer.Argument(help="A second run, side by side with the first.", metavar="[RUN2]")
    ] = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Show the run as it goes on, on this machine alone, until Ctrl-C; the run may be just begun."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--export", help="Where to write the page; view.html in the run folder by default."),
    ] = None,
    hidden: Annotated[
        bool,
        typer.Option(
            "--hidden", help="Show what `mars2 evaluate` found on hidden tests; else the page holds none of it."
        ),
    ] = False,
    port: Annotated[int, typer.Option(help="With --live: where to listen; any that is free by default.")] = 0,
    opened: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser, where there is one.")
    ] = True,
) -> None:
    """Look at a run in a browser: its trees, each node, and why the selector chose.

    The page is one file that needs no network and no server. Example: mars2 view runs/x, or mars2 view runs/x runs/y
    --export both.html, or mars2 view runs/x --live
    """
    from rich.console import Console
    from rich.progress import Progress

    from mars2_env.view.live import serve
    from mars2_env.view.page import page
    from mars2_env.view.runs import open_run

    if live and out is not None:
        raise ConfigError("--live with --export: a page that is served is not written; give one of the two.")
    if port and not live:
        raise ConfigError(f"--port {port}: nothing is served without --live.")
    places = [run] if other is None else [run, other]
    runs = [open_run(place, hidden=hidden, begun=not live) for place in places]
    if live:
        with interruptible("nothing was written, and the run goes on"):
            serve(runs, port, lambda address: _ready(address, opened))
        return
    target = _target(run, hidden, two=other is not None) if out is None else out
    errors = Console(stderr=True)
    with (
        interruptible("nothing was written"),
        Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress,
    ):
        bar = progress.add_task("trees", total=None)
        data = page(runs, lambda done, total: progress.update(bar, completed=done, total=total))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    say(f"{target} ({len(data) / 1e6:.1f} MB) is the page; it opens from disk, in any browser.")
    if opened and sys.stdout.isatty():
        webbrowser.open(target.resolve().as_uri())


def _target(run: Path, hidden: bool, *, two: bool) -> Path:
    """Return where a page goes by default; the name of one with hidden verdicts, or of two runs, says so."""
    name = f"view{'-both' if two else ''}{'-hidden' if hidden else ''}.html"
    return run / name if run.is_dir() else run.with_name(f"{run.stem}.{name}")


def _ready(address: str, opened: bool) -> None:
    say(f"The page is at {address}\nIt is for this machine alone; Ctrl-C ends it.")
    if opened and sys.stdout.isatty():
        webbrowser.open(address)
