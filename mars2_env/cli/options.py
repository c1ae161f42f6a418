"""What commands have in common: options, how they read problem sets and problems, and how they print."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

import mars2_env
from mars2_env.base.spec import parse_pairs, plain
from mars2_env.errors import ConfigError
from mars2_env.render import printable
from mars2_env.sandbox import check_kind

SetName = Annotated[str, typer.Argument(help="A problem set (mars2 problems list), or a .jsonl file.", metavar="SET")]
OptionalSetName = Annotated[
    str | None,
    typer.Argument(
        help="A problem set (mars2 problems list), or a .jsonl file; a --config may name it.", metavar="SET"
    ),
]
SetPath = Annotated[Path | None, typer.Option("--path", help="The data file or folder, for sets that come from one.")]
Split = Annotated[str | None, typer.Option("--split", help="The split; the set's own default if left out.")]


def _runs_programs(kind: str) -> str:
    """Refuse what runs nothing: its verdicts are invented, and only tests of the machinery know that."""
    if kind == "scripted":
        raise ConfigError("--sandbox scripted: it runs nothing and invents verdicts. Say docker, bubblewrap or auto.")
    check_kind(kind)
    return kind


SandboxKind = Annotated[str, typer.Option("--sandbox", help="docker, bubblewrap, or auto.", callback=_runs_programs)]
PythonPackages = Annotated[
    list[str] | None,
    typer.Option(
        "--python-package",
        help="A Python distribution, as installed here, that programs may import, such as sortedcontainers; may be "
        "repeated.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option", help="An option of the set's loader, name=value, such as start_date=2024-08-01; may be repeated."
    ),
]


AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead; the guide lists its keys, which stay.")
]


def say_json(data: Mapping[str, Any]) -> None:
    """Print an object as one line of JSON, in ASCII: what steers a terminal is escaped in it."""
    typer.echo(json.dumps(data))


def say(text: str, *, err: bool = False) -> None:
    """Print a text. Whatever of it a program, a problem or a file wrote can neither steer a terminal nor be markup."""
    typer.echo(printable(text), err=err)


def sandbox_options(python_packages: list[str] | None) -> dict[str, Any]:
    """Return the options of `make_sandbox` that the command line says."""
    return {"python_packages": tuple(python_packages)} if python_packages else {}


def chosen_sandbox(kind: str, python_packages: list[str] | None) -> str | mars2_env.Sandbox:
    """Return what a task takes as its sandbox: the kind, which it shares with others, or one of its own.

    Raises:
        ConfigError: there is no such kind, or it takes no Python distributions.
        SandboxUnavailableError: nothing here can run untrusted programs, or a distribution is not installed.
    """
    options = sandbox_options(python_packages)
    return mars2_env.make_sandbox(kind, **options) if options else kind


def parse_options(texts: list[str] | None) -> dict[str, Any]:
    """Return the options of a set's loader that `name=value` texts say; digits are numbers, true and false are bools.

    Raises:
        ConfigError: a text is not `name=value`.
    """
    pairs = parse_pairs(list(texts or ()), "--option", form="name=value, such as start_date=2024-08-01")
    for name in ("path", "split"):
        if name in pairs:
            raise ConfigError(f"--option {name}={pairs[name]}: say --{name} {pairs[name]}.")
    if "name" in pairs:
        raise ConfigError(f"--option name={pairs['name']}: the set is named by the command's argument.")
    return {name: plain(value) for name, value in pairs.items()}


def load_set(
    name: str, path: Path | None = None, split: str | None = None, options: list[str] | None = None
) -> mars2_env.ProblemSet:
    """Load a set with options given as `name=value` texts.

    Raises:
        ConfigError: a text is not `name=value`, or there is no such set, split, option or file.
    """
    return mars2_env.load_problems(name, path=path, split=split, **parse_options(options))


def find_problem(
    id: str, problem_set: str | None, path: Path | None, split: str | None, options: list[str] | None = None
) -> mars2_env.Problem:
    """Return a problem by its id.

    The set is the one named, else the one that the id's prefix names, else that of a `.jsonl` file.

    Raises:
        ConfigError: there is no such set or problem.
    """
    from mars2_env.problems import jsonl, names

    name = problem_set or id.partition("/")[0].lower()
    if problem_set is None and name not in names():
        if path is not None and path.name.endswith(jsonl.SUFFIXES):
            return load_set("jsonl", path, split, options)[id]
        if path is not None:
            raise ConfigError(
                f"--path {path}: which set is it of, {id!r} does not tell. Say --set NAME; the sets are "
                f"{', '.join(names())}."
            )
        raise ConfigError(
            f"which set is {id!r} of? Say --set NAME, or --set FILE for a .jsonl file; "
            f"the sets are {', '.join(names())}."
        )
    if split is None and name in ("starter", "apps", "taco") and id.count("/") > 1:
        split = id.split("/")[1]
    return load_set(name, path, split, options)[id]
