"""Which search finds more: selectors and presets on the same problems, with the same luck, at the same budget.

Each search grows one tree for each (team, problem, seed). Teams are simulated (`noise:...`: reference programs with
slips), so that this runs on a CPU in minutes; programs are really run and judged. Draws are keyed by the choice they
belong to, so that two searches meet the same sample where they make the same choice; differences are taken problem by
problem. What a simulated team shows about searches need not hold for language models.

Columns of the report:

    Pass@1(MCTS)  share of trees whose answer (best on public tests, ties to the latest) passes the hidden tests
    Pass@N        share of trees in which some node passes the hidden tests
    area          mean of Pass@N over budgets 1 ... N: how early trees are solved
    first         median number of nodes until the first that passes the hidden tests; > N if half the trees have none
    turns         share of the nodes that each agent of the team wrote, in the team's order

and beside the first three: the paired difference to the baseline with its 95 % bootstrap interval (problems resampled),
and the minimum detectable effect (the true difference that this many problems would show with 80 % power). Intervals
are not corrected for how many there are.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Final

import numpy as np
import typer

from mars2_bench.search.paired import area, first_solve, sparkline
from mars2_bench.search.trials import Plan, Trial, Trials, parse_team
from mars2_env.errors import ConfigError, Mars2Error
from mars2_env.problems import load_problems
from mars2_env.results.curves import answer_curve, solved_curve
from mars2_env.results.paired import Floats, bootstrap_interval, minimum_detectable_effect
from mars2_env.sandbox import make_sandbox

SEARCHES: Final = (
    "repeated_sampling",
    "repeated_sampling,agents=thompson",
    "sequential_refinement",
    "random",
    "breadth_first",
    "best_first",
    "uct",
    "ab_mcts_a",
    "ab_mcts_a,posterior=gaussian",
    "ab_mcts_a,agents=ucb",
    "ab_mcts_a,agents=stack",
    "ab_mcts_m",
    "mars2",
    "preset:mars2",
    "mars2,guidance=default;prompts=feedback=off",
    "preset:tplus",
)
TEAMS: Final = (
    "single=noise:weak",
    "homogeneous=noise:weak noise:weak",
    "complementary=noise:arithmetic noise:boundary",
    "unequal=noise:weak noise:default noise:weak",
)
"""Weak enough that the default budget does not solve everything; the best is not first, where taking turns begins."""

SETS: Final = ("starter:test", "humaneval")

MEASURES: Final[dict[str, Callable[[Trial], float]]] = {
    "Pass@1(MCTS)": lambda trial: float(answer_curve(trial.scores, trial.hidden)[-1]),
    "Pass@N": lambda trial: float(solved_curve(trial.hidden)[-1]),
    "area": lambda trial: area(solved_curve(trial.hidden)),
}
"""Measure -> its value of one tree; all are between 0 and 1, and more is better."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of one search with one team, and its paired difference to the baseline's.

    `low` and `high` bound the 95 % interval of `difference`; `detectable` is the minimum detectable effect.
    """

    mean: float
    difference: float
    low: float
    high: float
    detectable: float


@dataclass(frozen=True, slots=True)
class Row:
    """What the report says of one search with one team."""

    search: str
    measures: dict[str, Comparison]
    first: float
    turns: tuple[float, ...]
    solved: Floats
    answered: Floats


def problem_means(trials: Sequence[Trial], measure: Callable[[Trial], float]) -> Floats:
    """Return the mean of a measure over the seeds of each problem, problems in the order of the trials."""
    values: dict[str, list[float]] = {}
    for trial in trials:
        values.setdefault(trial.problem, []).append(measure(trial))
    return np.array([np.mean(found) for found in values.values()])


def compare(trials: Sequence[Trial], baseline: Sequence[Trial], measure: Callable[[Trial], float]) -> Comparison:
    """Return a measure of trials beside that of the baseline's trials on the same problems and seeds."""
    ours = problem_means(trials, measure)
    differences = ours - problem_means(baseline, measure)
    low, high = bootstrap_interval(differences)
    return Comparison(float(ours.mean()), float(differences.mean()), low, high, minimum_detectable_effect(differences))


def row(search: str, trials: Sequence[Trial], baseline: Sequence[Trial]) -> Row:
    """Return what the report says of one search with one team."""
    agents = max(max(trial.agents) for trial in (*trials, *baseline)) + 1
    shares = np.mean([np.bincount(trial.agents, minlength=agents) / len(trial.agents) for trial in trials], axis=0)
    return Row(
        search=search,
        measures={name: compare(trials, baseline, measure) for name, measure in MEASURES.items()},
        first=median(first_solve(trial.hidden) or float("inf") for trial in trials),
        turns=tuple(map(float, shares)),
        solved=np.mean([solved_curve(trial.hidden) for trial in trials], axis=0),
        answered=np.mean([answer_curve(trial.scores, trial.hidden) for trial in trials], axis=0),
    )


def markdown(rows: Sequence[Row], baseline: str) -> str:
    """Return the rows of one team as a table in Markdown."""
    lines = [
        f"| search | {' | '.join(f'{name} | Δ' for name in MEASURES)} | first | turns |",
        f"|---|{'---:|---|' * len(MEASURES)}---:|---|",
    ]
    for one in rows:
        cells = [f"`{one.search}`"]
        for found in one.measures.values():
            cells += [f"{found.mean:.3f}", "baseline" if one.search == baseline else _difference(found)]
        cells += [_first(one), _turns(one)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def overview(found: dict[str, list[Row]], measure: str, baseline: str) -> str:
    """Return one measure of every search with every team as a table in Markdown."""
    lines = [f"| {measure} | {' | '.join(found)} |", f"|---|{'---|' * len(found)}"]
    for beside in zip(*found.values(), strict=True):
        cells = [
            f"{one.measures[measure].mean:.3f}"
            + ("" if one.search == baseline else f" {_difference(one.measures[measure], detectable=False)}")
            for one in beside
        ]
        lines.append(f"| `{beside[0].search}` | {' | '.join(cells)} |")
    spans = []
    for rows in found.values():
        effects = [effect for one in rows if (effect := one.measures[measure].detectable) > 0]
        spans.append(f"{min(effects):.3f} to {max(effects):.3f}" if effects else "-")
    lines.append(f"| detectable at 80 % power | {' | '.join(spans)} |")
    return "\n".join(lines)


def _difference(found: Comparison, *, detectable: bool = True) -> str:
    text = f"{found.difference:+.3f} {_interval(found)}"
    return f"{text} ({found.detectable:.3f})" if detectable else text


def _interval(found: Comparison) -> str:
    return f"[{found.low:+.3f}, {found.high:+.3f}]"


def _first(one: Row) -> str:
    return f"> {len(one.solved)}" if one.first == float("inf") else f"{one.first:g}"


def _turns(one: Row) -> str:
    return " ".join(f"{share:.2f}" for share in one.turns)


def write_csv(path: Path, found: dict[str, list[Row]]) -> None:
    """Write every number of the report to a file."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["team", "search", "measure", "mean", "difference", "low", "high", "detectable"])
        for team, rows in found.items():
            for one in rows:
                for name, c in one.measures.items():
                    writer.writerow([team, one.search, name, c.mean, c.difference, c.low, c.high, c.detectable])


def plot(path: Path, found: dict[str, list[Row]]) -> bool:
    """Draw Pass@N and Pass@1(MCTS) against budget, one panel for each team; return False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(found), figsize=(5 * len(found), 8), sharex=True, sharey=True, squeeze=False)
    for column, (team, rows) in enumerate(found.items()):
        for line, name in enumerate(("Pass@N", "Pass@1(MCTS)")):
            panel = axes[line][column]
            for number, one in enumerate(rows):
                curve = one.answered if line else one.solved
                style = ("-", "--", ":")[number // 10 % 3]
                panel.plot(range(1, len(curve) + 1), curve, style, label=one.search, linewidth=1.2)
            panel.set_title(f"{team}: {name}")
            panel.set_xlabel("nodes")
            panel.grid(alpha=0.3)
    axes[0][-1].legend(fontsize=6, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return True


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(help=(__doc__ or "").replace("\n\n    Pass@1", "\n\n\b\n    Pass@1"))  # \b: these lines stay as they are
def main(
    search: Annotated[
        list[str],
        typer.Option(
            "--search",
            help="A search: a selector with its options, or preset:NAME; then ;option=value of a task, such as "
            "'mars2;prompts=feedback=off'. Give it once for each. The default compares all of ours.",
        ),
    ] = list(SEARCHES),  # noqa: B006  # typer copies it
    team: Annotated[
        list[str],
        typer.Option("--team", help="A team, NAME=SPEC SPEC ..., one policy for each agent; may be repeated."),
    ] = list(TEAMS),  # noqa: B006
    problem_set: Annotated[
        list[str], typer.Option("--set", help="A problem set, NAME or NAME:SPLIT; may be repeated.")
    ] = list(SETS),  # noqa: B006
    problems: Annotated[int, typer.Option(help="Problems of each set, evenly spaced over it.")] = 40,
    seeds: Annotated[int, typer.Option(help="Trees for each problem.")] = 1,
    budget: Annotated[int, typer.Option(help="Nodes a tree.")] = 32,
    score: Annotated[str, typer.Option(help="What searches see of a node: pass or fraction.")] = "pass",
    baseline: Annotated[str | None, typer.Option(help="The search to compare with; the first by default.")] = None,
    out: Annotated[
        Path, typer.Option(help="Where trials, verdicts and the report go; what is there already is not run again.")
    ] = Path("runs/selectors"),
    sandbox: Annotated[str, typer.Option(help="docker, bubblewrap, or auto.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Trees at a time; two a core by default.")] = None,
) -> None:
    """Run what is missing and print the report."""
    for name, value in (("--problems", problems), ("--seeds", seeds), ("--budget", budget)):
        if value < 1:
            raise ConfigError(f"{name} {value}: must be a whole number of at least 1.")
    baseline = baseline or search[0]
    if baseline not in search:
        raise ConfigError(f"--baseline {baseline!r} is not among the searches: {', '.join(search)}.")
    sets = [load_problems(name, split=split or None) for name, _, split in (one.partition(":") for one in problem_set)]
    plan = Plan(search, dict(map(parse_team, team)), sets, problems, seeds, budget, score)
    plan.tasks()  # a search or team that makes no sense is known before a sandbox starts
    with make_sandbox(sandbox) as box:
        trials = Trials(out, plan, box)
        try:
            run(trials, threads or 2 * (os.cpu_count() or 1))
        except KeyboardInterrupt:
            typer.echo("interrupted; the same command goes on from here.", err=True)
            raise typer.Exit(130) from None
        finally:
            trials.verdicts.close()
    found = {name: [row(one, trials.of(one, name), trials.of(baseline, name)) for one in search] for name in plan.teams}
    report(found, baseline, out)


def run(trials: Trials, threads: int) -> None:
    """Run what is missing, with a progress bar."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    total, missing = len(trials.plan.listed()), len(trials.missing())
    with Progress(
        TextColumn("trees"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[judged]} programs judged"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as progress:
        bar = progress.add_task("trees", total=total, completed=total - missing, judged=0)
        for _ in trials.run(threads):
            progress.update(bar, advance=1, judged=trials.verdicts.judged)


def report(found: dict[str, list[Row]], baseline: str, out: Path) -> None:
    """Print tables, and write report.md, report.csv and, with matplotlib, curves.png."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    pieces = [overview(found, measure, baseline) for measure in MEASURES]
    width = max(len(one.search) for rows in found.values() for one in rows)
    for team, rows in found.items():
        pieces += [f"## Team {team}", markdown(rows, baseline)]
        lines = [f"{one.search:<{width}}  {sparkline(one.solved)}  {one.solved[-1]:.3f}" for one in rows]
        pieces.append("Pass@N against budget:\n\n```text\n" + "\n".join(lines) + "\n```")
    pieces.append(
        f"Δ: paired difference to `{baseline}` with its 95 % bootstrap interval, and in brackets the minimum "
        "detectable effect at 80 % power."
    )
    text = "\n\n".join(pieces) + "\n"
    (out / "report.md").write_text(text, encoding="utf-8")
    for team, rows in found.items():
        table = Table("search", *MEASURES, "first", "turns", "Pass@N against budget", title=f"Team {team}")
        for one in rows:
            cells = [
                f"{c.mean:.3f}" + ("" if one.search == baseline else f" {c.difference:+.3f}\n{_interval(c)}")
                for c in one.measures.values()
            ]
            table.add_row(one.search, *cells, _first(one), _turns(one), sparkline(one.solved, 16))
        console.print(table)
    console.print(
        f"Beside each measure: the paired difference to {baseline} and, below, its 95 % bootstrap interval.",
        style="dim",
    )
    write_csv(out / "report.csv", found)
    drawn = plot(out / "curves.png", found)
    files = "report.md, report.csv" + (", curves.png" if drawn else "")
    typer.echo(f"{out}: {files}" + ("" if drawn else " (for curves.png, install matplotlib: the extra bench)"))


def cli() -> None:
    """Run the command line."""
    try:
        app()
    except Mars2Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    cli()
