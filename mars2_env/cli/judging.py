"""The commands `mars2 judge` and `mars2 sandbox`: one program, and what programs run in."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import mars2_env
from mars2_env import sandbox as sandboxes
from mars2_env.cli.options import (
    AsJson,
    PythonPackages,
    SandboxKind,
    SetPath,
    Split,
    find_problem,
    sandbox_options,
    say,
    say_json,
)
from mars2_env.cli.speaking import speaks_of_options
from mars2_env.errors import ConfigError
from mars2_env.prompt import feedback_text

sandbox_app = typer.Typer(help="Build and check the sandbox that runs untrusted programs.", no_args_is_help=True)


def judge(
    problem: Annotated[str, typer.Argument(help="A problem id, such as HumanEval/0.")],
    program: Annotated[Path, typer.Argument(help="A Python file; - reads standard input.")],
    problem_set: Annotated[str | None, typer.Option("--set", help="The problem set, if the id does not tell.")] = None,
    path: SetPath = None,
    split: Split = None,
    tests: Annotated[str, typer.Option(help="public, scoring, hidden or all.")] = "public",
    every: Annotated[bool, typer.Option("--every", help="Run every test instead of stopping at a failure.")] = False,
    sandbox: SandboxKind = "auto",
    python_package: PythonPackages = None,
    as_json: AsJson = False,
) -> None:
    """Judge one program on one problem; exit status 0 if it passes, 1 if not, 2 if it could not be judged."""
    found = find_problem(problem, problem_set, path, split)
    text = sys.stdin.read() if str(program) == "-" else _read(program)
    with mars2_env.make_sandbox(sandbox, **sandbox_options(python_package)) as box:
        verdict = mars2_env.Judge(box).grade(
            found,
            text,
            tests=tests,  # type: ignore[arg-type]  # the judge checks it
            stop="never" if every else "first_failure",
        )
    if as_json:
        say_json(
            {
                "problem": found.id,
                "outcome": verdict.outcome,
                "passed": verdict.passed,
                "groups": {group: list(outcomes) for group, outcomes in verdict.groups.items()},
                "cpu_seconds": verdict.cpu_seconds,
                "feedback": None if verdict.feedback is None else asdict(verdict.feedback),
            }
        )
        raise typer.Exit(0 if verdict.passed else 1)
    for group, outcomes in verdict.groups.items():
        say(f"{group}: {sum(o == 'passed' for o in outcomes)} of {len(outcomes)} passed: {' '.join(outcomes)}")
    say(f"verdict: {verdict.outcome} ({verdict.cpu_seconds:.2f} s of CPU time)")
    if verdict.feedback is not None:
        say(feedback_text(verdict.feedback))
    raise typer.Exit(0 if verdict.passed else 1)


def _read(program: Path) -> str:
    try:
        return program.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{program}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{program} is not UTF-8 text: {error}.") from None


@sandbox_app.command("build")
@speaks_of_options
def build_sandbox(
    numpy: Annotated[bool, typer.Option(help="The same as --python-package numpy.")] = False,
    python_package: PythonPackages = None,
    dockerfile: Annotated[
        bool, typer.Option(help="Print a Dockerfile for such an image instead of building one.")
    ] = False,
) -> None:
    """Build the sandbox image from this machine's own Python; needs a Docker engine and no registry."""
    build = sandboxes.dockerfile if dockerfile else sandboxes.build_image
    say(build(numpy=numpy, **sandbox_options(python_package)))


@sandbox_app.command("check")
@speaks_of_options
def check_sandbox(
    kind: Annotated[str, typer.Argument(help="docker, bubblewrap, or auto.")] = "auto",
    python_package: PythonPackages = None,
    as_json: AsJson = False,
) -> None:
    """Test the sandbox on this machine and say which isolation is in force; exit status 1 if it fails."""
    report = sandboxes.check(kind, **sandbox_options(python_package))
    if as_json:
        probes = [{"shows": shows, "ok": right, "note": note} for shows, right, note in report.probes]
        say_json({"ok": report.ok, "facts": dict(report.facts), "probes": probes})
    else:
        say(str(report))
    raise typer.Exit(0 if report.ok else 1)
