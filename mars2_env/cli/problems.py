"""The commands `mars2 problems`: thin, over problem sets and the judge."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

import mars2_env
from mars2_env.cli.options import (
    PythonPackages,
    SandboxKind,
    SetOption,
    SetPath,
    Split,
    find_problem,
    load_set,
    sandbox_options,
    say,
)
from mars2_env.errors import ConfigError
from mars2_env.problems.catalogue import SETS, SetInfo
from mars2_env.render import printable_line

app = typer.Typer(help="List, show and check problem sets.", no_args_is_help=True)

SHOWN_DUPLICATES = 10


@app.command("list")
def list_problems(
    problem_set: Annotated[str | None, typer.Argument(help="A set; all sets if left out.", metavar="SET")] = None,
    path: SetPath = None,
    split: Split = None,
    option: SetOption = None,
) -> None:
    """List the problem sets (* marks a split for evaluation), or the problems of one."""
    from mars2_env.problems import names

    if problem_set is None:
        for name in names():
            info = SETS.get(name)
            say(f"{name:14} {_splits(info):30} {info.about}" if info else f"{name:14} registered by others")
        say("\nmars2 problems show SET says where a set is and what is read of it.")
        return
    found = load_set(problem_set, path, split, option)
    for problem in found:
        counts = "/".join(str(len(problem.tests(group))) for group in ("public", "scoring", "hidden"))
        kind = type(problem.interface).__name__.lower()
        say(f"{printable_line(problem.id)}  {kind}  {counts} tests (public/scoring/hidden)")
    say(_summary(found))


def _splits(info: SetInfo) -> str:
    return " ".join(f"{split}{'*' if use == 'evaluation' else ''}" for split, use in info.splits.items())


def _summary(found: mars2_env.ProblemSet) -> str:
    left = "".join(f"; left out {count}: {printable_line(reason)}" for reason, count in found.left_out.items())
    return f"{len(found)} problems, {found.use}, split {found.split}, hash {found.hash[:12]}{left}"


@app.command("show")
def show_problem(
    problem: Annotated[str, typer.Argument(help="A problem id, such as HumanEval/0, or a set, such as mbpp.")],
    problem_set: Annotated[str | None, typer.Option("--set", help="The problem set, if the id does not tell.")] = None,
    path: SetPath = None,
    split: Split = None,
    option: SetOption = None,
) -> None:
    """Show what agents see of a problem, or what is known about a set."""
    from mars2_env.prompt import task_text

    if problem_set is None and problem in SETS:
        _show_set(SETS[problem])
        return
    found = find_problem(problem, problem_set, path, split, option)
    say(task_text(found.public_view()))
    if found.seed_program is not None:
        say(f"\nThe program to be repaired:\n\n{found.seed_program}")
    for test in found.public:
        say(f"public test: {test.input!r} -> {test.output!r}")


def _show_set(info: SetInfo) -> None:
    from importlib import import_module

    say(f"{info.name}: {info.about}\nhome: {info.home}\nlicence: {info.licence}")
    for split, use in info.splits.items():
        say(f"split {split}: {use}{' (the default)' if split == info.default else ''}")
    if info.hub is not None:
        say(f"hub: {info.hub.data_files or info.hub.repository}")
    module, _, attribute = info.loader.partition(":")
    say(f"\n{(import_module(module).__doc__ or '').strip()}")
    options = (getattr(import_module(module), attribute).__doc__ or "").partition("Args:")[2].partition("Raises:")[0]
    say(f"\nOptions:\n{options.rstrip()}")


@app.command("check")
def check_problems(
    problem_set: Annotated[str, typer.Argument(help="A set, or a .jsonl file.", metavar="SET")],
    path: SetPath = None,
    split: Split = None,
    option: SetOption = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="Another set, NAME, NAME:SPLIT or NAME:SPLIT=PATH (NAME=PATH): report problems that both have, told "
            "by their statements; may be repeated."
        ),
    ] = None,
    references: Annotated[
        bool, typer.Option(help="Run the reference programs, and the programs to be repaired.")
    ] = True,
    limit: Annotated[int | None, typer.Option(help="Run only the first so many references.")] = None,
    sandbox: SandboxKind = "auto",
    python_package: PythonPackages = None,
) -> None:
    """Say where a set comes from and what it shares with others, and run its reference programs on all of its tests.

    A program to be repaired must fail a hidden test. Exit status 1 if a reference fails or such a program passes.

    Example: mars2 problems check mbpp --path mbpp.jsonl --split train --against humaneval --against
    mbpp:test=mbpp.jsonl
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit {limit}: must be a whole number of at least 1.")
    found = load_set(problem_set, path, split, option)
    say(f"{found.name}: {_summary(found)}")
    say(f"hash {found.hash}")
    if found.provenance.home:
        say(f"home {found.provenance.home}\nlicence {found.provenance.licence}")
    for file, digest in found.provenance.hashes().items():
        say(f"file {file}\n  SHA-256 {digest}")
    for other in against or ():
        _report_duplicates(found, other)
    if not references:
        return
    with_reference = [problem for problem in found if problem.reference is not None][:limit]
    if not with_reference:
        say("no problem has a reference program")
        return
    failed = 0
    for line in _failures(with_reference, sandbox, sandbox_options(python_package)):
        failed += 1
        say(line)
    repairs = any(problem.seed_program is not None for problem in with_reference)
    if failed or not repairs:
        say(f"{len(with_reference) - failed} of {len(with_reference)} references pass all tests")
    else:
        say(f"{len(with_reference)} of {len(with_reference)} references pass all tests, their seeds do not")
    raise typer.Exit(1 if failed else 0)


def _report_duplicates(found: mars2_env.ProblemSet, other: str) -> None:
    from mars2_env.problems.duplicates import duplicates

    named, _, path = other.partition("=")
    name, _, split = (named, "", "") if named.endswith((".jsonl", ".jsonl.gz")) else named.partition(":")
    theirs = load_set(name, Path(path) if path else None, split or None)
    shared = duplicates(found, theirs)
    say(f"{len(shared)} of {len(found)} problems are in {theirs.name}, split {theirs.split}, too")
    for pair in sorted(shared, key=lambda pair: -pair.resemblance)[:SHOWN_DUPLICATES]:
        say(f"  {printable_line(pair.ours)} is like {printable_line(pair.theirs)} ({pair.resemblance:.0%})")
    if len(shared) > SHOWN_DUPLICATES:
        say(f"  and {len(shared) - SHOWN_DUPLICATES} more")


def _failures(problems: list[mars2_env.Problem], sandbox: str, options: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each problem whose reference fails, or whose seed program passes the hidden tests."""
    from rich.console import Console
    from rich.progress import track

    with mars2_env.make_sandbox(sandbox, **options) as box, ThreadPoolExecutor() as pool:
        judge = mars2_env.Judge(box)

        def failure(problem: mars2_env.Problem) -> str | None:
            verdict = judge.grade(problem, problem.reference or "", tests="all")
            if not verdict.passed:
                return f"{printable_line(problem.id)}: the reference fails: {verdict.outcome}"
            if problem.seed_program is not None and judge.grade(problem, problem.seed_program, tests="hidden").passed:
                return f"{printable_line(problem.id)}: the program to be repaired passes the hidden tests"
            return None

        try:
            for line in track(
                pool.map(failure, problems),
                "references",
                total=len(problems),
                console=Console(stderr=True),
                transient=True,
            ):
                if line is not None:
                    yield line
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            sys.stderr.write("interrupted; --limit N runs only the first N references.\n")
            raise typer.Exit(130) from None
