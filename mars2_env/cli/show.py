"""The command `mars2 show`: the trees of a run, their programs and what was said of them, in a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mars2_env.cli.options import say
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.log import Tree, log_files, read_header, read_log, read_trace
from mars2_env.results.verdicts import HIDDEN_FILE, HiddenVerdict, Kept, kept_verdicts
from mars2_env.types import Node

if TYPE_CHECKING:
    from rich.console import Console


def show(
    run: Annotated[Path, typer.Argument(help="A run folder, or the log of one tree.")],
    problem: Annotated[
        str | None,
        typer.Argument(
            help="A problem of the run, or a part of its name; left out, the trees are listed.", show_default=False
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Which tree of the problem, where there are several.")] = None,
    node: Annotated[
        list[int] | None,
        typer.Option(
            "--node",
            help="Show the program and feedback of this node; may be repeated. The answer's if left out.",
            metavar="N",
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Show the program and feedback of every node.")] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Show what a program changes in its parent's, where that has one.")
    ] = False,
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Show which nodes pass hidden tests, as far as mars2 evaluate found out.")
    ] = False,
    pager: Annotated[bool, typer.Option(help="Page what does not fit on the terminal.")] = True,
) -> None:
    """Show the trees of a run: a list of them, or one with its programs and feedback.

    Example: mars2 show runs/x, then mars2 show runs/x HumanEval/23 --all
    """
    from mars2_env.render.show import node_view, tree_view, trees_table

    kept = Kept((run if run.is_dir() else run.parent.parent) / HIDDEN_FILE, HiddenVerdict) if hidden else None
    if problem is None:
        trees = read_log(run)
        if len(trees) > 1:
            if node or every or diff or seed is not None:
                raise ConfigError("--node, --all, --diff and --seed are of one tree: mars2 show RUN PROBLEM.")
            with _console(pager) as console:
                graded_trees = None if kept is None else [kept_verdicts(kept, tree) for tree in trees]
                console.print(trees_table(trees, graded_trees))
            say(f"Next: mars2 show {run} {trees[0].problem}", err=True)
            return
    else:
        trees = read_log(_chosen(run, problem, seed))
    (tree,) = trees
    graded = None if kept is None else kept_verdicts(kept, tree)
    shown = _nodes(tree, node, every)
    traces = {} if tree.path is None else read_trace(tree.path)
    with _console(pager) as console:
        console.print(tree_view(tree, traces, graded))
        for one in shown:
            known = every and one.duplicate_of is not None  # it was shown where it came first
            pieces = node_view(tree, one, traces, graded, diff=diff, brief=known, colour=console.is_terminal)
            for piece in pieces:
                console.print(piece, soft_wrap=not console.is_terminal)
    if graded is not None and None in graded.values():
        say(f"Not all nodes are graded on hidden tests; mars2 evaluate {run} does that.", err=True)


def _chosen(run: Path, problem: str, seed: int | None) -> Path:
    """Return the log of the tree that is meant, by the first lines of the logs.

    Raises:
        ConfigError: there is none, or several.
        LogError: the run cannot be read.
    """
    headers = [(path, header) for path in (log_files(run) or [run]) if (header := read_header(path)) is not None]
    problems = list(dict.fromkeys(header.problem for _, header in headers))
    holding = [one for one in problems if problem in one]
    if problem not in problems and len(holding) == 1:
        (problem,) = holding
    if problem not in problems:
        raise ConfigError(unknown_name("problem of the run", problem, problems))
    of = {header.seed: path for path, header in headers if header.problem == problem}
    if seed is None and len(of) > 1:
        raise ConfigError(f"{problem!r} has {len(of)} trees; say which by --seed, of {', '.join(map(str, of))}.")
    if seed is not None and seed not in of:
        raise ConfigError(f"--seed {seed}: the trees of {problem!r} have the seeds {', '.join(map(str, of))}.")
    return of[next(iter(of)) if seed is None else seed]


def _nodes(tree: Tree, numbers: Sequence[int] | None, every: bool) -> list[Node]:
    """Return the nodes whose programs are shown: those that are named, or all, or the answer.

    Raises:
        ConfigError: the tree has no such node.
    """
    known = {node.id: node for node in (*([] if tree.root is None else [tree.root]), *tree.nodes)}
    if every:
        return [*known.values()]
    wanted = numbers or ([] if tree.answer is None else [tree.answer])
    for number in wanted:
        if number not in known:
            raise ConfigError(
                f"--node {number}: the nodes of this tree are {min(known, default=0)} to {len(tree.nodes)}."
            )
    return [known[number] for number in wanted]


@contextmanager
def _console(paged: bool) -> Iterator[Console]:
    """Give a console; on a terminal what does not fit on it is paged, elsewhere nothing is wrapped."""
    from mars2_env.render.progress import wide_console

    console = wide_console()
    if not paged or not console.is_terminal:
        yield console
        return
    os.environ.setdefault("LESS", "-RFX")  # colours; nothing to leave where all fits on the screen
    with console.pager(styles="R" in os.environ["LESS"]):
        yield console
