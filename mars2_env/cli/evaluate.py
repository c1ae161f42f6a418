"""The command `mars2 evaluate`: the trees of a run on hidden tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import mars2_env
from mars2_env.cli.options import AsJson, say, say_json
from mars2_env.render import printable_line


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder made by `mars2 search --out`.")],
    answer: Annotated[
        str,
        typer.Option(
            help="How the one answer of a tree is chosen among those with the best score on public tests: best (the "
            "latest), reward (the reward model's choice), agreement (the largest group that behaves alike on inputs "
            "varied from the public ones)."
        ),
    ] = "best",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="One line for each tree.")] = False,
    as_json: AsJson = False,
) -> None:
    """Grade the trees of a run on hidden tests: Pass@1(MCTS) and Pass@N with 95 % Wilson intervals."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from mars2_env.render.pace import Pace
    from mars2_env.render.progress import share_of, wide_console

    console = wide_console()
    errors = Console(stderr=True)
    pace = Pace()
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        bar = progress.add_task("hidden tests", total=None)

        def show(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)
            if not errors.is_terminal and pace.due():
                say(f"{done} of {total} nodes judged on hidden tests", err=True)

        results = mars2_env.evaluate(
            run,
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
            say(f"{printable_line(tree.problem)}: {answer} {verdict}; {tree.nodes_passed} of {tree.nodes} nodes pass")
    table = Table(title=f"Hidden tests, {len(results.trees)} trees")
    for column in ("", "share", "95 % interval"):
        table.add_column(column)
    chosen = "Pass@1(MCTS)" if results.rule == "best" else f"Pass@1(MCTS), answer by {results.rule}"
    for name, share in ((chosen, results.pass_at_1_mcts), ("Pass@N", results.pass_at_n)):
        low, high = results.interval(share)
        table.add_row(name, f"{share:.3f}", f"{low:.3f} - {high:.3f}")
    console.print(table)
    nodes = sum(tree.nodes for tree in results.trees)
    duplicates = sum(tree.duplicates for tree in results.trees)
    say(f"{share_of(duplicates, nodes)} of {nodes} nodes repeat an earlier program of their tree.")
    if results.unfinished:
        say(f"{results.unfinished} trees are unfinished or ended by sandbox faults, and were left out.")
