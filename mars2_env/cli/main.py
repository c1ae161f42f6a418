"""The command line as a whole: its own commands, those of others, and how errors end one."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Final, TypeVar

import typer

import mars2_env
from mars2_env.base.parts import Parts
from mars2_env.cli import problems
from mars2_env.cli.compare import compare
from mars2_env.cli.diversity import diversity
from mars2_env.cli.env import env
from mars2_env.cli.evaluate import evaluate
from mars2_env.cli.export import export
from mars2_env.cli.interrupts import STATUS, be_patient
from mars2_env.cli.judging import judge, sandbox_app
from mars2_env.cli.options import say
from mars2_env.cli.record import record
from mars2_env.cli.search import search
from mars2_env.cli.show import show
from mars2_env.cli.speaking import speaks_of_options
from mars2_env.cli.view import view
from mars2_env.errors import Mars2Error

app = typer.Typer(
    name="mars2",
    help="Multi-agent tree search over programs, with rewards from tests in a sandbox.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (search, record, evaluate, compare, diversity, show, view, judge, env, export):
    app.command()(speaks_of_options(command))
app.add_typer(sandbox_app, name="sandbox")
app.add_typer(problems.app, name="problems")


def _version(wanted: bool) -> None:
    if wanted:
        say(f"mars2_env {mars2_env.__version__}")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


COMMANDS: Final = Parts(
    "command",
    "mars2_env.commands",
    {command.name or getattr(command.callback, "__name__", ""): command.callback for command in app.registered_commands}
    | {group.name: group.typer_instance for group in app.registered_groups},
)
"""The library's own commands, and those that programs and packages add."""

F = TypeVar("F", bound=Callable[..., Any])


def register_command(name: str) -> Callable[[F], F]:
    """Return a decorator that makes `mars2 NAME` call a function, as typer does; `mars2_env.cli.main()` then knows it.

    Installed packages offer functions and `typer.Typer` groups by the entry-point group `mars2_env.commands`.

    Raises:
        ConfigError: the name is taken, or no name of a command.
    """
    return COMMANDS.decorator(name)


def _add_commands() -> None:
    """Add what others offer; a package that cannot be loaded costs its own command alone."""
    for name in COMMANDS.names():
        if COMMANDS.owns(name):
            continue
        try:
            command = COMMANDS.find(name)
        except Mars2Error as error:
            say(f"mars2: left out: {error}", err=True)
            continue
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)


def main() -> None:
    """Run the command line."""
    be_patient()
    try:
        _add_commands()
        app()
    except KeyboardInterrupt:  # before a command began, or in one that keeps nothing
        say("interrupted.", err=True)
        sys.exit(STATUS)
    except Mars2Error as error:
        say(f"mars2: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.filename is None and not _is_of_stdout(error):
            raise
        what = "standard output" if error.filename is None else error.filename
        with suppress(OSError):  # standard error may be as full
            say(f"mars2: {what}: {error.strerror}.", err=True)
        sys.exit(2)


def _is_of_stdout(error: OSError) -> bool:
    """Whether an error without a file's name came of standard output, which then takes nothing any more.

    Files of ours are written in ways that name them; what is left of a full disk is what was to be printed.
    """
    known = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    try:
        sys.stdout.flush()
    except OSError:
        known = True
    if known:
        with suppress(OSError, ValueError):  # what is left in it would fail again as the interpreter ends
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
    return known
