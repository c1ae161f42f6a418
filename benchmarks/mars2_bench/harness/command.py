"""`mars2 bench list | run | verify | report | submit | teams`; what each needs is imported when it runs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mars2_env.errors import ConfigError

if TYPE_CHECKING:
    from mars2_bench.harness.running import Cell, Progress
    from mars2_bench.harness.teams import TeamCell
    from mars2_env import ProblemSet

RESULTS: Final = Path("results")
_SIZES: Final = {"": 1, "k": 1_000, "m": 1_000_000}

Places = Annotated[list[Path], typer.Argument(help="Files of results, or folders of them.")]


def list_(
    sources: Annotated[bool, typer.Option("--sources", help="Also where each algorithm's code is.")] = False,
) -> None:
    """List the environments, and the algorithms that come with this package."""
    from rich.console import Console
    from rich.table import Table

    from mars2_bench.harness.algorithms import OFFERED
    from mars2_bench.suite.named import NAMED

    environments = Table("id", "game", "agents", "nodes", "what it asks for", box=None)
    for named in NAMED.values():
        environments.add_row(named.id, named.game, str(len(named.agents)), str(named.budget), named.skill)
    algorithms = Table("algorithm", "plays", "what it is", *(["code"] if sources else []), box=None)
    for name, offer in OFFERED.items():
        algorithms.add_row(name, ", ".join(offer.games), offer.says, *([offer.factory] if sources else []))
    console = Console()
    console.print(environments)
    console.print()
    console.print(algorithms)


def run(
    id: Annotated[list[str], typer.Option("--id", help="An environment, such as Relay-v1, or `all`; may be repeated.")],
    algo: Annotated[
        list[str],
        typer.Option(
            "--algo",
            help="An algorithm of `mars2 bench list`, or module:factory for one of your own, with settings if you "
            "like: ppo,rate=1e-3. `all`: all that come with this package and need no other. May be repeated; what "
            "does not play an environment's game is left out there.",
        ),
    ],
    seeds: Annotated[str, typer.Option(help="Seeds of trainings: 0-4, or 0,2,7.")] = "0-4",
    budget: Annotated[str, typer.Option(help="Expansions of each training: 50k, 200k or 1M on the board.")] = "200k",
    out: Annotated[Path, typer.Option(help="The folder of results.")] = RESULTS,
    name: Annotated[str | None, typer.Option(help="What the board is to call the algorithm.")] = None,
    tries: Annotated[
        int, typer.Option(min=1, help="How many settings you tried on these environments, these included.")
    ] = 1,
) -> None:
    """Learn and evaluate: one file for each environment, algorithm, budget and seed.

    Files that are there are kept. Stop it whenever you like: the same command goes on. Started twice, in two terminals,
    it uses two cores: each takes what the other has not begun.
    """
    from mars2_bench.harness.planning import cells_of
    from mars2_bench.harness.running import run as run_cells

    modules_from_here()
    cells = cells_of(id, algo, seeds=seeds_of(seeds), budget=expansions_of(budget), name=name, tries=tries)
    away = 0
    with progress(len(cells)) as (began, ended):
        for done in run_cells(cells, out, began):
            ended()
            if done.result is None:
                away += 1
                typer.echo(f"{done.cell}: another process is at it")
                continue
            scores = ", ".join(f"{split} {one.score:.3f}" for split, one in done.result.evaluations.items())
            typer.echo(f"{done.cell}: {scores}" + (" (was there)" if done.kept else f" -> {done.path}"))
    if away:
        typer.echo(f"{away} of {len(cells)} are left to other processes; run this again to see that they are done.")


@contextmanager
def progress(cells: int) -> Iterator[tuple[Callable[[Cell], Progress], Callable[[], None]]]:
    """Show how far all cells are, and how far the one is that is learned now; on a terminal, and on stderr."""
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as shown:
        all_of_them = shown.add_task("results", total=cells)
        now = shown.add_task("", total=None, visible=False)

        def began(cell: Cell) -> Progress:
            shown.reset(now, total=max(cell.budget, 1), description=str(cell), visible=True)

            def told(expansions: int, score: float | None) -> None:
                said = str(cell) if score is None else f"{cell}: {score:.3f}"
                shown.update(now, completed=expansions, description=said)

            return told

        yield began, lambda: shown.advance(all_of_them)


def verify(
    places: Places,
    rerun: Annotated[
        str | None,
        typer.Option(
            help="Also learn again with these seeds, such as 0 or 0-4, and write down in the folder whether the same "
            "came out: what a row needs to be in the division `rerun`."
        ),
    ] = None,
) -> None:
    """Play every episode again from its recorded actions, without the policy, and compare every score and digest."""
    from mars2_bench.harness.board import RERUNS
    from mars2_bench.harness.results import files_in
    from mars2_bench.harness.verifying import learn_again
    from mars2_bench.harness.verifying import verify as check_files

    modules_from_here()
    again = set() if rerun is None else set(seeds_of(rerun))
    if again and not (len(places) == 1 and places[0].is_dir()):
        raise ConfigError("--rerun writes into the folder of results: name that one folder, and nothing else.")
    files = [file for place in places for file in files_in(place)]
    wrong, sound = 0, []
    for path, result, trouble in check_files(files):
        if trouble or result is None:
            wrong += 1
            typer.echo(trouble if str(path) in trouble else f"{path}: {trouble}")
        else:
            sound.append(result)
    trees = sum(one.scores.size for result in sound for one in result.evaluations.values())
    typer.echo(f"{len(sound)} of {len(files)} results stand: {trees:,} trees were played again.")
    if chosen := [result for result in sound if result.seed in again]:
        known = {result.digest(): result for result in chosen}
        with progress(len(chosen)) as (began, ended):
            for cell, found in learn_again(chosen, places[0] / RERUNS, began):
                ended()
                result = known.pop(found.digest)
                if found.identical:
                    said = "the same to the last action"
                elif found.agrees(result):
                    said = f"not the same, and within what the trees can tell: {dict(found.scores)}"
                else:
                    wrong += 1
                    said = f"NOT the same: {dict(found.scores)}; its row stays `replayed`"
                typer.echo(f"{cell}: {said}")
        if known:
            typer.echo(f"{len(known)} were learned again before; {places[0] / RERUNS} has what came of it.")
    elif again:
        raise ConfigError(f"--rerun {rerun}: no result that stands has such a seed.")
    if wrong:
        raise typer.Exit(1)


def report(
    folder: Annotated[Path, typer.Argument(help="The folder of results.")] = RESULTS,
    page: Annotated[Path, typer.Option(help="The page; the same as JSON and PNG goes beside it.")] = Path(
        "leaderboard.md"
    ),
    readme: Annotated[
        Path | None, typer.Option(help="A page that shows the short board between its two marks, such as README.md.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing, and fail where a page is not up to date.")] = (
        False
    ),
) -> None:
    """Write the leaderboard from the results: scores with intervals, paired differences, profiles and curves."""
    from mars2_bench.harness.board import read_board
    from mars2_bench.harness.report import pages, write

    if page.suffix != ".md":
        raise ConfigError(f"--page {page}: a page of Markdown, such as leaderboard.md; JSON and PNG go beside it.")
    tables = read_board(folder)
    if check:
        old = [path for path, text in pages(tables, page, readme).items() if not _is(path, text)]
        for path in old:
            typer.echo(f"{path} is not what the results say; run mars2 bench report.")
        raise typer.Exit(bool(old))
    for path in write(tables, page, readme):
        typer.echo(str(path))


def _is(path: Path, text: bytes) -> bool:
    return path.exists() and path.read_bytes() == text


def submit(
    folder: Annotated[Path, typer.Argument(help="The folder of your results.")],
    author: Annotated[str, typer.Option(help="Who you are, as the project may print it.")],
    code: Annotated[str, typer.Option(help="Where the algorithm's code is, with its commit.")],
    out: Annotated[Path, typer.Option(help="An empty folder.")] = Path("submission"),
    note: Annotated[str, typer.Option(help="What else there is to say, such as how settings were found.")] = "",
) -> None:
    """Check results as `verify` does, seeds and budgets too, and pack them as a pull request has them."""
    from mars2_bench.harness.submitting import About, checked, pack

    results = checked(folder)
    for path in pack(results, About(author, code, note, ()), out):
        typer.echo(str(path))
    typer.echo(
        f"Copy what is in {out} over a clone of the project, run `mars2 bench report` there, and open a pull request."
    )


def teams(
    team: Annotated[
        list[str],
        typer.Option(
            "--team", help='A team, NAME=SPEC SPEC ..., a spec for each agent: "pair=hf:smollm2 noise:weak"; repeat it.'
        ),
    ],
    budget: Annotated[
        list[str],
        typer.Option("--budget", help="What each tree may take, nodes=16 or tokens=20000; repeat it for both."),
    ],
    problems: Annotated[
        list[str], typer.Option("--problems", help="A problem set (mars2 problems list), SET or SET:SPLIT; repeat it.")
    ],
    seeds: Annotated[str, typer.Option(help="Seeds of rollouts: 0-4, or 0,2,7.")] = "0-2",
    limit: Annotated[int | None, typer.Option(min=1, help="Take the first so many problems of each set.")] = None,
    selector: Annotated[str, typer.Option(help="What picks agent and place.")] = "ab_mcts_a",
    sandbox: Annotated[str, typer.Option(help="Where programs run: docker, bubblewrap or auto.")] = "auto",
    out: Annotated[Path, typer.Option(help="The folder of results.")] = Path("runs/teams"),
) -> None:
    """Compare teams that write: teams x problem sets x seeds, at equal nodes and at equal tokens.

    Trees are grown as by `mars2 search`, and graded on hidden tests. What is finished is kept, what was cut off goes
    on. Prints a table for each problem set and budget.
    """
    from mars2_bench.harness.teams import TeamCell, run_teams, team_of, team_page, team_tables

    options = {"selector": selector, "sandbox": sandbox}
    members = dict(team_of(text) for text in team)
    if len(members) < len(team):
        raise ConfigError(f"team: {len(team)} teams have {len(members)} names; give each its own.")
    cells = [
        TeamCell(some, one, name, members[name], seed, options)
        for seed in seeds_of(seeds)
        for some in (_problem_set(text, limit) for text in problems)
        for one in budget
        for name in members
    ]
    found = []
    for cell, result in run_teams(cells, out, progress=_counted):
        typer.echo(f"{cell}: " + ("another process is at it" if result is None else "done"), err=True)
        found += [] if result is None else [result]
    if found:
        typer.echo(team_page(team_tables(found)))


def _counted(cell: TeamCell, trees: int) -> None:
    """Say how far a run is, now and then."""
    if trees % 10 == 0:
        typer.echo(f"{cell}: {trees} of {len(cell.problems)} trees", err=True)


def _problem_set(text: str, limit: int | None) -> ProblemSet:
    """Return the problems of `SET` or `SET:SPLIT`, perhaps the first so many."""
    from dataclasses import replace

    import mars2_env

    name, _, split = text.partition(":")
    found = mars2_env.load_problems(name, **({"split": split} if split else {}))
    return found if limit is None else replace(found, problems=found.problems[:limit])


def modules_from_here() -> None:
    """Let `module:factory` name a module of the folder in which the command is called, as `python -m` does."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)


def seeds_of(text: str) -> list[int]:
    """Return the seeds of a text such as `0-4` or `0,2,7-9`, in order.

    Raises:
        ConfigError: it is no such text.
    """
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first or last - first >= 10_000:
            raise ConfigError(f"seeds={text!r:.200}: write 0-4, or 0,2,7.")
        found.update(range(first, last + 1))
    return sorted(found)


def expansions_of(text: str) -> int:
    """Return a number of expansions: `200k`, `1M`, `6144`.

    Raises:
        ConfigError: it is no such text.
    """
    match = re.fullmatch(r"(\d{1,12})([kKmM]?)", text.replace(",", "").replace("_", ""))
    if not match:
        raise ConfigError(f"budget={text!r:.200}: write a number of expansions, such as 200k or 1M.")
    return int(match[1]) * _SIZES[match[2].lower()]


COMMANDS: Final[Mapping[str, Callable[..., None]]] = {
    "list": list_,
    "run": run,
    "verify": verify,
    "report": report,
    "submit": submit,
    "teams": teams,
}
"""What the group `bench` gets from here, by name."""
