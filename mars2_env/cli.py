"""The command line, `mars2`: thin commands over the library's public functions.

Errors of the library's own family end a command with one sentence and exit status 2; programs and other packages add
commands of their own (`register_command`, the entry-point group `mars2_env.commands`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

import mars2_env
from mars2_env import problems_cli
from mars2_env.errors import ConfigError, Mars2Error
from mars2_env.parts import Parts
from mars2_env.problems_cli import SandboxKind, SetOption, SetPath, Split, find_problem, parse_options, say
from mars2_env.render import printable_line

app = typer.Typer(
    name="mars2",
    help="Multi-agent tree search over programs, with rewards from tests in a sandbox.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
sandbox_app = typer.Typer(help="Build and check the sandbox that runs untrusted programs.", no_args_is_help=True)
app.add_typer(sandbox_app, name="sandbox")
app.add_typer(problems_cli.app, name="problems")

SetName = Annotated[str, typer.Argument(help="A problem set (mars2 problems list), or a .jsonl file.", metavar="SET")]


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


def parse_agents(texts: list[str]) -> dict[str, str]:
    """Return agent name -> policy spec from `name=spec` texts; names are completed as in `task`.

    Raises:
        ConfigError: a text is not `name=spec`.
    """
    from mars2_env.games import agent_names

    names, specs = [], []
    for text in texts:
        name, equals, spec = text.partition("=")
        if not equals or not name or not spec:
            raise ConfigError(f"--agent {text!r} is not name=policy, such as coder=hf:smollm2,temperature=0.8.")
        names.append(name)
        specs.append(spec)
    return dict(zip(agent_names(names), specs, strict=True))


@app.command()
def search(
    problem_set: SetName,
    agent: Annotated[
        list[str],
        typer.Option(
            "--agent",
            help="An agent and its policy, name=policy; give it once for each agent. Policies: hf:smollm2, "
            "hf:CHECKPOINT (language models; options temperature, top_p, max_new_tokens, batch_size), "
            "noise:default (a simulated one that edits reference programs).",
        ),
    ],
    path: SetPath = None,
    split: Split = None,
    option: SetOption = None,
    problem: Annotated[list[str] | None, typer.Option("--problem", help="Only this problem; may be repeated.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many problems.")] = None,
    budget: Annotated[
        str,
        typer.Option(
            help="What a tree may spend: a number of nodes, or limits such as "
            "nodes=60,tokens=20000,coder_0.tokens=5000 (nodes, tokens, model_seconds, judge_seconds, cost; of the tree "
            "or of one agent)."
        ),
    ] = "8",
    game: Annotated[str, typer.Option(help="write: a selector picks the place; play: the agents do.")] = "write",
    preset: Annotated[
        str | None,
        typer.Option(
            help="mars2: the paper's plain search (--selector mars2 --prompts feedback=off). tplus: MARS2-T+, the same "
            "with error feedback in refinement prompts and depth guidance (--selector mars2,guidance=default "
            "--prompts feedback=on) and, with a --reward-model, --model-weight 0.25. Other options change a preset; "
            "the papers search with --budget 60."
        ),
    ] = None,
    selector: Annotated[
        str | None,
        typer.Option(
            help="ab_mcts_a[,posterior=beta|gaussian][,agents=thompson|ucb|stack] (the default), ab_mcts_m, mars2, "
            "uct, best_first, breadth_first, repeated_sampling, sequential_refinement, random."
        ),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            help="How agents are asked: chat (the default), reasoning (models that think first) or base (plain "
            "completion), then options: feedback=on|off (tell the parent's first failing public test), ancestors=N and "
            "siblings=N (quote the N best), max_tokens=N; agent=NAME gives an agent words of its own. For example "
            "reasoning,siblings=2,max_tokens=4096 or chat,fixer=reasoning."
        ),
    ] = None,
    score: Annotated[str, typer.Option(help="A node's value: pass or fraction.")] = "pass",
    score_on: Annotated[
        str | None, typer.Option(help="public or scoring; by default public on evaluation sets.")
    ] = None,
    stop_on_solved: Annotated[bool, typer.Option(help="End a tree at its first solution.")] = False,
    solutions: Annotated[
        int | None, typer.Option(help="End a tree at its K-th different solution.", metavar="K")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="End a tree after K expansions that did not raise its best score.", metavar="K")
    ] = None,
    reward_model: Annotated[
        str | None, typer.Option(help="A reward model that rates each program, name[:rest][,key=value].")
    ] = None,
    model_weight: Annotated[
        float | None, typer.Option(help="The reward model's share in what the selector sees, 0 to 1; 0 by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Source of all randomness.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Run folder for logs; the same command resumes what is in it.")
    ] = None,
    trees: Annotated[int, typer.Option(help="How many trees grow at a time.")] = 8,
    in_flight: Annotated[int, typer.Option(help="How many expansions of one tree may be open at a time.")] = 1,
    sandbox: SandboxKind = "auto",
) -> None:
    """Grow one search tree for each problem of a set; `mars2 evaluate` then opens the hidden tests.

    Example: mars2 search humaneval --limit 20 --agent coder=hf:smollm2 --agent fixer=hf:smollm2,temperature=1.0
    --budget 8 --out runs/x
    """
    from rich.console import Console

    from mars2_env.progress import ProgressBar, summary_table

    if out is not None and str(out) in ("", "."):
        raise ConfigError("--out: give a folder of its own for the run, such as runs/x.")
    team = parse_agents(agent)
    if solutions is not None and solutions < 1:
        raise ConfigError(f"--solutions {solutions}: must be a whole number of at least 1.")
    given = {
        "score_on": score_on,
        "preset": preset,
        "selector": selector,
        "prompts": prompts,
        "model_weight": model_weight,
        "problem_options": parse_options(option) or None,
    }
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    task = mars2_env.task(
        problem_set,
        path=None if path is None else str(path),
        split=split,
        agents=list(team),
        budget=budget,
        game=game,
        score=score,
        stop_on_solved=solutions or stop_on_solved,
        patience=patience,
        reward_model=reward_model,
        sandbox=sandbox,
        **options,
    )
    total = min(len(problem) if problem else len(task.problems), limit or sys.maxsize)
    bar = ProgressBar(total, task.budget.nodes)
    runs = mars2_env.rollout(
        task,
        team,
        seed=seed,
        out=out,
        problems=problem,
        limit=limit,
        trees=trees,
        in_flight=in_flight,
        observer=bar,
    )
    try:
        with bar:
            for tree in runs:
                bar.finish(tree)
    except KeyboardInterrupt:
        again = "the same command goes on from here" if out else "give --out to be able to resume"
        bar.console.print(f"interrupted; {again}.", style="yellow")
        raise typer.Exit(130) from None
    Console().print(summary_table(bar.tally))
    if out is not None:
        say(f"Logs are in {out}. Next: mars2 evaluate {out}")


@app.command()
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
) -> None:
    """Grade the trees of a run on hidden tests: Pass@1(MCTS) and Pass@N with 95 % Wilson intervals."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from mars2_env.progress import share_of

    console = Console()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("hidden tests", total=None)
        results = mars2_env.evaluate(
            run,
            answer=answer,  # type: ignore[arg-type]  # `evaluate` checks it
            observer=lambda done, total: progress.update(bar, completed=done, total=total),
        )
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


@app.command()
def judge(
    problem: Annotated[str, typer.Argument(help="A problem id, such as HumanEval/0.")],
    program: Annotated[Path, typer.Argument(help="A Python file; - reads standard input.")],
    problem_set: Annotated[str | None, typer.Option("--set", help="The problem set, if the id does not tell.")] = None,
    path: SetPath = None,
    split: Split = None,
    tests: Annotated[str, typer.Option(help="public, scoring, hidden or all.")] = "public",
    every: Annotated[bool, typer.Option("--every", help="Run every test instead of stopping at a failure.")] = False,
    sandbox: SandboxKind = "auto",
) -> None:
    """Judge one program on one problem; exit status 0 if it passes, 1 if not, 2 if it could not be judged."""
    from mars2_env.prompt import feedback_text

    found = find_problem(problem, problem_set, path, split)
    text = sys.stdin.read() if str(program) == "-" else _read(program)
    with mars2_env.make_sandbox(sandbox) as box:
        verdict = mars2_env.Judge(box).grade(
            found,
            text,
            tests=tests,  # type: ignore[arg-type]  # the judge checks it
            stop="never" if every else "first_failure",
        )
    for group, outcomes in verdict.groups.items():
        say(f"{group}: {sum(o == 'passed' for o in outcomes)} of {len(outcomes)} passed: {' '.join(outcomes)}")
    say(f"verdict: {verdict.outcome} ({verdict.cpu_seconds:.2f} s of CPU time)")
    if verdict.feedback is not None:
        say(feedback_text(verdict.feedback))
    raise typer.Exit(0 if verdict.passed else 1)


def _read(program: Path) -> str:
    try:
        return program.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{program}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{program} is not UTF-8 text: {error}.") from None


@app.command()
def env(
    task: Annotated[
        str, typer.Argument(help="An environment id or a problem set.", metavar="TASK")
    ] = "mars2/Starter-v0",
    path: SetPath = None,
    game: Annotated[str | None, typer.Option(help="write, play, place or route.")] = None,
    generators: Annotated[
        str | None, typer.Option(help="In place and route, the policy that writes the programs; noise:default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the environment and of the random actions.")] = 0,
    sandbox: SandboxKind = "auto",
) -> None:
    """Show an environment's spaces and play one episode of random actions in it."""
    given = {"game": game, "generators": generators, "path": None if path is None else str(path)}
    options = {name: value for name, value in given.items() if value is not None}
    made: Any = mars2_env.make(task, render_mode="ansi", sandbox=sandbox, **options)
    made.reset(seed=seed)
    if made.task.api == "gymnasium":
        made.action_space.seed(seed)
        say(f"controller\n  observation: {made.observation_space}\n  action: {made.action_space}")
        total, over = 0.0, False
        while not over:
            _, reward, terminated, truncated, _ = made.step(made.action_space.sample(made.action_masks()))
            total, over = total + reward, terminated or truncated
        say(f"controller: rewards sum to {total:g}, {'terminated' if terminated else 'truncated'}")
        say(made.render())
        made.close()
        return
    for agent in made.possible_agents:
        made.action_space(agent).seed(seed)
        say(f"{agent}\n  observation: {made.observation_space(agent)}\n  action: {made.action_space(agent)}")
    totals = dict.fromkeys(made.possible_agents, 0.0)
    for agent in made.agent_iter():
        _, reward, terminated, truncated, info = made.last()
        totals[agent] += reward
        over = terminated or truncated
        if over:
            say(f"{agent}: rewards sum to {totals[agent]:g}, {'terminated' if terminated else 'truncated'}")
        made.step(None if over else made.action_space(agent).sample(info.get("action_mask")))
    say(made.render())
    made.close()


@sandbox_app.command("build")
def build_sandbox(
    numpy: Annotated[bool, typer.Option(help="Build the variant that has numpy.")] = False,
    dockerfile: Annotated[
        bool, typer.Option(help="Print a Dockerfile for such an image instead of building one.")
    ] = False,
) -> None:
    """Build the sandbox image from this machine's own Python; needs a Docker engine and no registry."""
    from mars2_env import sandbox

    say(sandbox.dockerfile() if dockerfile else sandbox.build_image(numpy=numpy))


@sandbox_app.command("check")
def check_sandbox(kind: Annotated[str, typer.Argument(help="docker, bubblewrap, or auto.")] = "auto") -> None:
    """Test the sandbox on this machine and say which isolation is in force; exit status 1 if it fails."""
    from mars2_env import sandbox

    report = sandbox.check(kind)
    say(str(report))
    raise typer.Exit(0 if report.ok else 1)


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
    _add_commands()
    try:
        app()
    except Mars2Error as error:
        say(f"mars2: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        say(f"mars2: {error.filename}: {error.strerror}.", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
