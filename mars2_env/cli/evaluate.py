"""The command `mars2 evaluate`: the trees of a run on hidden tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import mars2_env
from mars2_env.cli.grading import grading_shown
from mars2_env.cli.options import AsJson, say, say_json
from mars2_env.errors import ConfigError
from mars2_env.render import printable_line
from mars2_env.results import Measure


def evaluate(
    run: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="A run folder made by `mars2 search --out`, or several of one search under other seeds.",
        ),
    ],
    answer: Annotated[
        str,
        typer.Option(
            help="How the one answer of a tree is chosen among those with the best score on public tests: best (the "
            "latest), reward (the reward model's choice), agreement (the largest group that behaves alike on inputs "
            "varied from the public ones)."
        ),
    ] = "best",
    partial: Annotated[
        bool, typer.Option("--partial", help="Evaluate a run that is not finished, with bounds on what is missing.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="One line for each tree.")] = False,
    as_json: AsJson = False,
) -> None:
    """Grade the trees of runs on hidden tests: Pass@1(MCTS) and Pass@N with 95 % Wilson intervals.

    Several runs are taken together, and intervals count several trees of one problem for what they are worth.
    """
    from rich.table import Table

    from mars2_env.render.progress import share_of, wide_console

    for one in run:
        if one.is_file():
            raise ConfigError(f"{one} is a file; give the folder of the run, which `mars2 search --out` made.")
    console = wide_console()
    with grading_shown() as show:
        results = mars2_env.evaluate(
            run,
            partial=partial,
            answer=answer,  # type: ignore[arg-type]  # `evaluate` checks it
            observer=show,
        )
    if as_json:
        say_json(results.to_dict())
        return
    if verbose:
        for tree in results.trees:
            answer = "no answer" if tree.answer is None else f"answer #{tree.answer}"
            verdict = "passes" if tree.answer_passed else "fails"
            seed = f" (seed {tree.seed})" if len(run) > 1 else ""
            passing = f"{tree.nodes_passed} of {tree.nodes} nodes pass"
            say(f"{printable_line(tree.problem)}{seed}: {answer} {verdict}; {passing}")
    of = f" of {results.planned} planned" if results.planned is not None and results.missing else ""
    table = Table(title=f"Hidden tests, {len(results.trees)}{of} trees")
    bounded = ("if the missing fail - pass",) if results.missing else ()
    for column in ("", "share", "95 % interval", *bounded):
        table.add_column(column)
    chosen = "Pass@1(MCTS)" if results.rule == "best" else f"Pass@1(MCTS), answer by {results.rule}"
    measures: tuple[tuple[str, Measure, float], ...] = (
        (chosen, "pass_at_1_mcts", results.pass_at_1_mcts),
        ("Pass@N", "pass_at_n", results.pass_at_n),
    )
    for name, measure, share in measures:
        spans = [results.interval(measure), *([results.bounds(measure)] if results.missing else [])]
        table.add_row(name, f"{share:.3f}", *(f"{low:.3f} - {high:.3f}" for low, high in spans))
    console.print(table)
    nodes = sum(tree.nodes for tree in results.trees)
    duplicates = sum(tree.duplicates for tree in results.trees)
    say(f"{share_of(duplicates, nodes)} of {nodes} nodes repeat an earlier program of their tree.")
    if results.unfinished:
        say(f"{results.unfinished} trees are unfinished or ended by faults, and were left out.")
    if results.planned is None:
        say("The folder does not say how many trees were planned, so nobody knows whether any are missing.")
