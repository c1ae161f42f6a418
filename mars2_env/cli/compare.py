"""The command `mars2 compare`: searches on the same problems under the same seeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, get_args

import typer

from mars2_env.cli.grading import grading_shown
from mars2_env.cli.options import AsJson, say, say_json
from mars2_env.render import printable_line

if TYPE_CHECKING:
    from rich.table import Table

    from mars2_env.results.comparison import Comparison, Difference
    from mars2_env.results.curves import Axis

_SHOWN: Final = 6
"""How many points of a curve a table has, at most."""


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN RUN...",
            help="Run folders made by `mars2 search --out`. Runs of one search under other seeds count as one; "
            "differences are to the first.",
        ),
    ],
    answer: Annotated[
        str, typer.Option(help="How the one answer of a tree is chosen: best, reward or agreement (mars2 evaluate).")
    ] = "best",
    nodes: Annotated[
        int | None,
        typer.Option(help="Compare trees after their first N expansions, as where budgets differ.", metavar="N"),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Compare runs that are not finished, with bounds on what is missing.")
    ] = False,
    png: Annotated[
        Path | None,
        typer.Option(help="Draw the curves into this file, such as curves.png (extra `bench`: matplotlib)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare searches, paired by problem and seed, on hidden tests: differences, intervals, p, curves.

    What is not graded yet is graded first, and kept. Intervals are bootstraps over problems, p is exact by random signs
    where it can be, and the detectable difference is what so many problems would show in 4 cases of 5.

    Example: mars2 compare runs/uct-0 runs/uct-1 runs/ab-0 runs/ab-1 --png curves.png
    """
    from mars2_env.render.progress import wide_console
    from mars2_env.results.comparison import AXES
    from mars2_env.results.comparison import compare as compared
    from mars2_env.results.picture import check_picture, draw

    if png is not None:
        check_picture(png)
    with grading_shown() as show:
        found = compared(
            runs,
            answer=answer,  # type: ignore[arg-type]  # it checks it
            nodes=nodes,
            partial=partial,
            observer=show,
        )
    if png is not None:
        draw(found, png)
    if as_json:
        say_json(found.to_dict())
        return
    console = wide_console()
    console.print(difference_table(found))
    for axis in AXES:
        if any(curve.axis == axis for curve in found.curves):
            console.print(curve_table(found, axis))
    for line in remarks(found):
        say(line)
    if png is not None:
        say(f"The curves are drawn in {png}.")


def difference_table(found: Comparison) -> Table:
    """Return the means of all searches and their differences to the first, measure by measure."""
    from rich.table import Table
    from rich.text import Text

    from mars2_env.results.comparison import MEASURES

    many, bounded = len(found.arms) > 2, any(one.bounds for one in found.differences)
    when = "" if found.nodes is None else f"after {found.nodes} expansions, "
    table = Table(title=f"Hidden tests, {when}{found.pairs} pairs of {found.problems} problems")
    columns = ["", "search", "mean", "difference", "95 % interval", "p", *(["p (Holm)"] if many else []), "detectable"]
    for name in [*columns, *(["whatever is missing"] if bounded else [])]:
        table.add_column(name)
    rows = {(one.measure, one.arm): one for one in found.differences}
    for measure, label in MEASURES.items():
        if measure == "pass_at_1_mcts" and found.answer != "best":
            label = f"{label}, answer by {found.answer}"
        for place, arm in enumerate(found.arms):
            mean = arm.means[measure]
            if mean is not None:
                cells = _cells(rows.get((measure, arm.name)), measure, many)
                table.add_row("" if place else label, Text(printable_line(arm.name)), _number(mean, measure), *cells)
        table.add_section()
    return table


def _cells(row: Difference | None, measure: str, many: bool) -> list[str]:
    """Return the cells of a difference; none for the first search."""
    if row is None:
        return []
    low, high = (_number(end, measure, signed=True) for end in row.interval)
    found = [_number(row.value, measure, signed=True), f"{low} to {high}", f"{row.p:.3g}"]
    if many:
        found.append(f"{row.p_holm:.3g}")
    found.append("-" if row.detectable is None else _number(row.detectable, measure))
    if row.bounds is not None:
        found.append(" to ".join(_number(end, measure, signed=True) for end in row.bounds))
    return found


def _number(value: float, measure: str, *, signed: bool = False) -> str:
    digits = 1 if measure in ("nodes", "tokens", "seconds") else 3
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def curve_table(found: Comparison, axis: Axis) -> Table:
    """Return what the searches reach within some budgets along one axis."""
    from rich.table import Table
    from rich.text import Text

    from mars2_env.results.comparison import MEASURES, Reached

    curves = [curve for curve in found.curves if curve.axis == axis]
    points = curves[0].x
    if axis == "nodes":  # 1, 2, 4 and so on, and the last
        places = [place for place, x in enumerate(points) if x in {*(2.0**n for n in range(24)), points[-1]}]
    else:
        places = sorted({len(points) // 2**n - 1 for n in range(_SHOWN)} - {-1})
    table = Table(title=f"Reached within so many {axis} a tree")
    for name in ("", "search", *(f"{points[place]:.4g}" for place in places)):
        table.add_column(name)
    for measure in get_args(Reached):
        for place, curve in enumerate(one for one in curves if one.measure == measure):
            label = "" if place else MEASURES[measure]
            table.add_row(label, Text(printable_line(curve.arm)), *(f"{curve.y[place]:.3f}" for place in places))
        table.add_section()
    return table


def remarks(found: Comparison) -> Iterator[str]:
    """Yield what has to be known besides: teams, what is not paired and why, and notes."""
    for team in found.teams:
        low, high = team.interval
        yield (
            f"{team.team} finds {team.value:+.3f} ({low:+.3f} to {high:+.3f}) in Pass@N above its best member alone, "
            f"{team.best}, at {team.nodes} expansions a tree."
        )
    if found.expected > found.pairs:
        missing = found.expected - found.pairs
        yield f"{missing} of {found.expected} pairs are missing: some search has not finished them."
    for arm in found.arms:
        reasons = (
            (arm.unfinished, "planned or begun, and not finished"),
            (arm.waiting, "finished, and not by every other search"),
            (arm.alone, "finished, and no tree of every other search"),
            (arm.other_problem, "finished, and of another problem of the same name elsewhere"),
        )
        told = "; ".join(f"{count} {reason}" for count, reason in reasons if count)
        if told:
            yield f"Not compared, of {arm.name}: {told}."
    for note in found.notes:
        yield f"{note[0].upper()}{note[1:]}."
