"""`mars2 bench admit`: the ladder of an environment, and what the suite separates."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from mars2_env.errors import ConfigError

if TYPE_CHECKING:
    from mars2_bench.suite.admission import Ladder, Step


def rung_table(ladder: Ladder) -> Table:
    """Return what everybody came to, as a table."""
    title = f"{ladder.id}: {ladder.problems} unseen problems x {ladder.trees} trees"
    table = Table("who", "mean", "95 % interval", "by seed", title=title)
    for rung in ladder.rungs:
        seeds = " ".join(f"{mean:.3f}" for mean in rung.seeds)
        table.add_row(rung.name, f"{rung.mean:.3f}", f"{rung.low:.3f} to {rung.high:.3f}", seeds)
    return table


def sentence(step: Step) -> str:
    """Return a comparison in a line."""
    found = f"{step.lower} < {step.upper} by {step.difference:.3f} ({step.low:.3f} to {step.high:.3f})"
    return f"{found}, asked for is more than {step.least:.3f}: {'yes' if step.passed else 'NO'}"


def admit(
    id: Annotated[str | None, typer.Argument(help="The environment, such as Relay-v1.")] = None,
    separations: Annotated[
        bool, typer.Option("--separations", help="Instead: the differences that the suite is made to show.")
    ] = False,
    expansions: Annotated[int, typer.Option(min=1, help="What each learner of a ladder learns from.")] = 200_000,
    learners: Annotated[int, typer.Option(min=1, help="How many seeds of a learning algorithm.")] = 5,
    trees: Annotated[int, typer.Option(min=1, help="How many trees of each unseen problem.")] = 8,
    processes: Annotated[int, typer.Option(min=1, help="How many learners learn at a time.")] = 2,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Say whether an environment separates learners from those who learned nothing, and from the oracle.

    Everybody plays the same trees of unseen problems: random, the best open-loop schedule (searched for on training
    problems), greedy, Thompson sampling, a policy by hand, the reference learner and the oracle. Each step must exceed
    its minimum detectable effect; the exit status is 1 where one does not. One to four minutes of CPU.
    """
    if (id is None) == (not separations):
        raise ConfigError("mars2 bench admit: give the id of an environment, or --separations.")
    from mars2_bench.suite import admission  # with PyTorch, which other commands do without
    from mars2_bench.suite.named import find

    console, say, told = Console(), typer.echo, partial(typer.echo, err=True)
    options: dict[str, Any] = {"learners": learners, "trees": trees, "processes": processes, "told": told}
    if id is None:
        steps = admission.separate(**options)
        for shows, step in steps.items():
            say(f"{shows}\n    {sentence(step)}")
        found, passed = msgspec.to_builtins(steps), all(step.passed for step in steps.values())
    else:
        ladder = admission.admit(find(id), expansions=expansions, **options)
        console.print(rung_table(ladder))
        for step in ladder.steps:
            say(sentence(step))
        found, passed = {**msgspec.to_builtins(ladder), "admitted": ladder.admitted}, ladder.admitted
        say(f"{ladder.id}: {'admitted' if passed else 'NOT admitted'}")
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    if not passed:
        raise typer.Exit(1)
