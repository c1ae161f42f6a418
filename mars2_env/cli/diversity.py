"""The command `mars2 diversity`: how different the programs of searches are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from mars2_env.cli.grading import grading_shown
from mars2_env.cli.options import AsJson, say, say_json
from mars2_env.render import printable_line
from mars2_env.results.variations import INPUTS

if TYPE_CHECKING:
    from rich.table import Table

    from mars2_env.results.variety import Diversity


def diversity(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run folders made by `mars2 search --out`; runs of one search under other seeds count as one.",
        ),
    ],
    count: Annotated[
        int | None,
        typer.Option(
            help="How many programs of a problem are compared; by default as many as problems have in the middle, of "
            "right ones or wrong ones, whichever are fewer.",
            metavar="K",
        ),
    ] = None,
    inputs: Annotated[int, typer.Option(help="On how many varied inputs behaviour is compared.")] = INPUTS,
    partial: Annotated[bool, typer.Option("--partial", help="Measure runs that are not finished.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure how different the programs of searches are: all of them, right ones and wrong ones, K of each problem.

    Programs are one by their syntax trees (program), by these without own names and constants (shape), or by their
    outputs on inputs varied from the public ones (behaviour). What is not graded yet is graded first, and kept.

    Example: mars2 diversity runs/team runs/alone --count 4
    """
    from mars2_env.render.progress import wide_console
    from mars2_env.results.variety import BY_CLASS, BY_PROGRAM, Equality, diversity_of

    with grading_shown() as show:
        found = diversity_of(runs, count=count, inputs=inputs, partial=partial, observer=show)
    if as_json:
        say_json(found.to_dict())
        return
    console = wide_console()
    console.print(measure_table(found, BY_CLASS, list(get_args(Equality))))
    console.print(measure_table(found, BY_PROGRAM, [None]))
    for note in found.notes:
        say(f"{note[0].upper()}{note[1:]}.")


def measure_table(found: Diversity, measures: Mapping[str, str], equalities: list[Any]) -> Table:
    """Return measures as a table: a row for each kind of programs, equality and search."""
    from rich.table import Table
    from rich.text import Text

    from mars2_env.results.variety import Programs

    names = [name.replace("K", str(found.count)) if name.endswith("K") else name for name in measures.values()]
    by = [] if equalities == [None] else ["one by"]
    table = Table(title=f"{found.count} programs a problem, of {found.problems} problems")
    for name in ("programs", *by, "search", *names, "problems", "programs in all"):
        table.add_column(name)
    for which in get_args(Programs):
        for equality in equalities:
            for place, arm in enumerate(found.arms):
                values = [found.value(arm, measure, which, equality) for measure in measures]
                if all(value is None for value in values):
                    continue
                of = next(one.problems for one in found.spreads if (one.arm, one.programs) == (arm, which))
                table.add_row(
                    "" if place else which,
                    *(["" if place else equality] if by else []),
                    Text(printable_line(arm)),
                    *("-" if value is None else f"{value:.3f}" for value in values),
                    str(of),
                    str(found.written[arm][which]),
                )
        table.add_section()
    return table
