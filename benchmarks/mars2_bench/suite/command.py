"""`mars2 bench bank`: build the bank of slips, and say what it holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress

import mars2_env
from mars2_bench.suite import build as building
from mars2_bench.suite.bank import SLIPS_FILE, Bank, read_bank, write_bank

bank_app: Final = typer.Typer(
    help="The bank: real slips, judged once, for games without a sandbox.", no_args_is_help=True
)


def summary(bank: Bank) -> str:
    """Return what a bank holds, in lines."""
    families = Counter(len(entry.families) for entry in bank.entries)
    programs = sum(1 << len(entry.families) for entry in bank.entries)
    counted = ", ".join(f"{count} with {size}" for size, count in sorted(families.items()))
    return (
        f"problems  {len(bank.entries)} (families of slips: {counted})\n"
        f"programs  {programs:,}, each judged on {sum(bank.header.tests)} tests\n"
        f"sandbox   {bank.header.sandbox}\n"
        f"digest    {bank.digest}"
    )


@bank_app.command()
def build(
    out: Annotated[Path, typer.Option(help="The file to write.")] = SLIPS_FILE,
    sandbox: Annotated[str, typer.Option(help="Where programs run: docker, bubblewrap or auto.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="How many problems are worked on at a time.")] = 2,
    problems: Annotated[int | None, typer.Option(min=1, help="Of each split; all where nothing is said.")] = None,
) -> None:
    """Choose a slip for each family, judge every combination, and write the tables."""
    with mars2_env.make_sandbox(sandbox, workers=threads) as box, Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("problems", total=None)
        bank = building.build(
            box,
            threads=threads,
            problems=problems,
            told=lambda done, all: progress.update(bar, completed=done, total=all),
        )
    write_bank(bank, out)
    typer.echo(summary(bank))


@bank_app.command()
def show(file: Annotated[Path, typer.Option(help="The file to read.")] = SLIPS_FILE) -> None:
    """Say what the bank holds, and its digest."""
    typer.echo(summary(read_bank(file)))
