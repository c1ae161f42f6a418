"""The command group `mars2 bench`: what the suite and the harness have."""

from __future__ import annotations

from typing import Final

import typer

from mars2_bench.harness.command import COMMANDS
from mars2_bench.suite.admitting import admit
from mars2_bench.suite.command import bank_app

bench: Final = typer.Typer(name="bench", help="Benchmarks of multi-agent tree search.", no_args_is_help=True)
for _name, _command in {"admit": admit, **COMMANDS}.items():
    bench.command(_name)(_command)
bench.add_typer(bank_app, name="bank")
