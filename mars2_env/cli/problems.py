"""The commands `mars2 problems`: thin, over problem sets and the judge."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import mars2_env
from mars2_env.cli.options import (
    AsJson,
    PythonPackages,
    SandboxKind,
    SetOption,
    SetPath,
    Split,
    find_problem,
    load_set,
    sandbox_options,
    say,
    say_json,
)
from mars2_env.cli.speaking import speaks_of_options
from mars2_env.errors import ConfigError
from mars2_env.problems.catalogue import SETS, SetInfo
from mars2_env.problems.jsonl import SUFFIXES
from mars2_env.problems.plain import to_json
from mars2_env.render import printable_line
from mars2_env.types import GROUPS

app = typer.Typer(help="List, show and check problem sets.", no_args_is_help=True)

SHOWN_DUPLICATES = 10


@app.command("list")
@speaks_of_options
def list_problems(
    problem_set: Annotated[str | None, typer.Argument(help="A set; all sets if left out.", metavar="SET")] = None,
    path: SetPath = None,
    split: Split = None,
    option: SetOption = None,
    as_json: AsJson = False,
) -> None:
    """List the problem sets (* marks a split for evaluation), or the problems of one."""
    from mars2_env.problems import names

    for flag, value in (("--path", path), ("--split", split), ("--option", option)):
        if problem_set is None and value:
            raise ConfigError(f"{flag}: of which set? Name it: mars2 problems list SET {flag} ...")
    if problem_set is None and as_json:
        say_json({"sets": [_set(name) for name in names()]})
        return
    if problem_set is None:
        for name in names():
            info = SETS.get(name)
            say(f"{name:14} {_splits(info):30} {info.about}" if info else f"{name:14} registered by others")
        say("\nmars2 problems show SET says where a set is and what is read of it.")
        return
    found = load_set(problem_set, path, split, option)
    if as_json:
        say_json({**_facts(found), "problems": [_counts(problem) for problem in found]})
        return
    for problem in found:
        counts = "/".join(str(len(problem.tests(group))) for group in ("public", "scoring", "hidden"))
        kind = type(problem.interface).__name__.lower()
        say(f"{printable_line(problem.id)}  {kind}  {counts} tests (public/scoring/hidden)")
    say(_summary(found))


def _set(name: str) -> dict[str, Any]:
    info = SETS.get(name)
    if info is None:
        return {"name": name, "about": "registered by others", "splits": {}, "default": None}
    return {"name": name, "about": info.about, "splits": dict(info.splits), "default": info.default}


def _facts(found: mars2_env.ProblemSet) -> dict[str, Any]:
    return {
        "name": found.name,
        "split": found.split,
        "use": found.use,
        "size": len(found),
        "hash": found.hash,
        "left_out": dict(found.left_out),
    }


def _counts(problem: mars2_env.Problem) -> dict[str, Any]:
    counts = {group: len(problem.tests(group)) for group in GROUPS}
    return {"id": problem.id, "interface": type(problem.interface).__name__.lower(), "tests": counts}


def _splits(info: SetInfo) -> str:
    return " ".join(f"{split}{'*' if use == 'evaluation' else ''}" for split, use in info.splits.items())


def _summary(found: mars2_env.ProblemSet) -> str:
    left = "".join(f"; left out {count}: {printable_line(reason)}" for reason, count in found.left_out.items())
    return f"{len(found)} problems, {found.use}, split {found.split}, hash {found.hash[:12]}{left}"


@app.command("show")
@speaks_of_options
def show_problem(
    problem: Annotated[
        str, typer.Argument(help="A problem id, such as HumanEval/0, or a set, such as mbpp or a .jsonl file.")
    ],
    problem_set: Annotated[str | None, typer.Option("--set", help="The problem set, if the id does not tell.")] = None,
    path: SetPath = None,
    split: Split = None,
    option: SetOption = None,
    as_json: AsJson = False,
) -> None:
    """Show what agents see of a problem, or what is known about a set; of a .jsonl file, which problems it holds."""
    from mars2_env.prompt import task_text

    if problem_set is None and problem in SETS:
        if as_json:
            say_json(_set(problem) | {"home": SETS[problem].home, "licence": SETS[problem].licence})
        else:
            _show_set(SETS[problem])
        return
    if problem_set is None and path is None and problem.endswith(SUFFIXES):
        list_problems(problem, None, split, option, as_json)
        return
    found = find_problem(problem, problem_set, path, split, option)
    if as_json:
        tests = [{"input": to_json(test.input), "output": to_json(test.output)} for test in found.public]
        say_json(
            {
                **_counts(found),
                "statement": found.statement,
                "function": found.interface.name if isinstance(found.interface, mars2_env.Call) else None,
                "starter_code": found.starter_code,
                "seed_program": found.seed_program,
                "limits": asdict(found.limits),
                "public": tests,
            }
        )
        return
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
@speaks_of_options
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
    as_json: AsJson = False,
) -> None:
    """Say where a set comes from and what it shares with others, and run its reference programs on all of its tests.

    A program to be repaired must fail a hidden test. Exit status 1 if a reference fails or such a program passes.

    Example: mars2 problems check mbpp --path mbpp.jsonl --split train --against humaneval --against
    mbpp:test=mbpp.jsonl
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit {limit}: must be a whole number of at least 1.")
    found = load_set(problem_set, path, split, option)
    files = found.provenance.hashes()
    if not as_json:
        say(f"{found.name}: {_summary(found)}")
        say(f"hash {found.hash}")
        if found.provenance.home:
            say(f"home {found.provenance.home}\nlicence {found.provenance.licence}")
        for file, digest in files.items():
            say(f"file {file}\n  SHA-256 {digest}")
    shared = [_shared(found, other) for other in against or ()]
    if not as_json:
        for one in shared:
            _report_shared(one, len(found))
    with_reference = [problem for problem in found if problem.reference is not None][:limit] if references else []
    failed = []
    for id, reason in _failures(with_reference, sandbox, sandbox_options(python_package)) if with_reference else ():
        failed.append({"problem": id, "reason": reason})
        if not as_json:
            say(f"{printable_line(id)}: {reason}")
    if as_json:
        say_json(
            {
                **_facts(found),
                "home": found.provenance.home,
                "licence": found.provenance.licence,
                "files": files,
                "shared": shared,
                "references": len(with_reference),
                "failed": failed,
            }
        )
    elif references:
        _report_references(with_reference, len(failed))
    raise typer.Exit(1 if failed else 0)


def _report_references(run: list[mars2_env.Problem], failed: int) -> None:
    if not run:
        say("no problem has a reference program")
    elif failed or not any(problem.seed_program is not None for problem in run):
        say(f"{len(run) - failed} of {len(run)} references pass all tests")
    else:
        say(f"{len(run)} of {len(run)} references pass all tests, their seeds do not")


def _shared(found: mars2_env.ProblemSet, other: str) -> dict[str, Any]:
    """Return which problems a set has in common with another, NAME:SPLIT=PATH, the most alike first."""
    from mars2_env.problems.duplicates import duplicates

    named, _, path = other.partition("=")
    name, _, split = (named, "", "") if named.endswith((".jsonl", ".jsonl.gz")) else named.partition(":")
    theirs = load_set(name, Path(path) if path else None, split or None)
    pairs = sorted(duplicates(found, theirs), key=lambda pair: -pair.resemblance)
    rows = [{"ours": pair.ours, "theirs": pair.theirs, "resemblance": pair.resemblance} for pair in pairs]
    return {"name": theirs.name, "split": theirs.split, "pairs": rows}


def _report_shared(shared: dict[str, Any], size: int) -> None:
    pairs = shared["pairs"]
    say(f"{len(pairs)} of {size} problems are in {shared['name']}, split {shared['split']}, too")
    for pair in pairs[:SHOWN_DUPLICATES]:
        ours, theirs = printable_line(pair["ours"]), printable_line(pair["theirs"])
        say(f"  {ours} is like {theirs} ({pair['resemblance']:.0%})")
    if len(pairs) > SHOWN_DUPLICATES:
        say(f"  and {len(pairs) - SHOWN_DUPLICATES} more")


def _failures(problems: list[mars2_env.Problem], sandbox: str, options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield id and fault of each problem whose reference fails, or whose seed program passes the hidden tests."""
    from rich.console import Console
    from rich.progress import track

    from mars2_env.render.pace import Pace

    console = Console(stderr=True)
    pace = Pace()
    with mars2_env.make_sandbox(sandbox, **options) as box, ThreadPoolExecutor() as pool:
        judge = mars2_env.Judge(box)

        def failure(problem: mars2_env.Problem) -> tuple[str, str] | None:
            verdict = judge.grade(problem, problem.reference or "", tests="all")
            if not verdict.passed:
                return problem.id, f"the reference fails: {verdict.outcome}"
            if problem.seed_program is not None and judge.grade(problem, problem.seed_program, tests="hidden").passed:
                return problem.id, "the program to be repaired passes the hidden tests"
            return None

        try:
            checked = track(
                pool.map(failure, problems),
                "references",
                total=len(problems),
                console=console,
                transient=True,
                disable=not console.is_terminal,
            )
            for done, found in enumerate(checked, 1):
                if not console.is_terminal and pace.due():
                    say(f"{done} of {len(problems)} references run", err=True)
                if found is not None:
                    yield found
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            sys.stderr.write("interrupted; --limit N runs only the first N references.\n")
            raise typer.Exit(130) from None
