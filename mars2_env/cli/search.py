"""The command `mars2 search`: one tree for each problem of a set."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

import mars2_env
from mars2_env.base.meters import Meters
from mars2_env.cli.configured import (
    AgentOption,
    ConfigFile,
    PrintConfig,
    chosen_config,
    full_task,
    parse_agents,
    print_plan,
)
from mars2_env.cli.interrupts import interruptible
from mars2_env.cli.options import (
    AsJson,
    OptionalSetName,
    PythonPackages,
    SandboxKind,
    SetOption,
    SetPath,
    Split,
    parse_options,
    say,
    say_json,
)
from mars2_env.engine import on_its_sandbox
from mars2_env.episode import Event
from mars2_env.errors import ConfigError
from mars2_env.log import Header, Trace
from mars2_env.sandbox import why_taken
from mars2_env.tasks import sandbox_of


def search(
    ctx: typer.Context,
    problem_set: OptionalSetName = None,
    agent: AgentOption = None,
    config: ConfigFile = None,
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
    policy_failures: Annotated[
        int | None,
        typer.Option(help="End the run after so many failed turns of a policy in a row; 20 by default.", metavar="K"),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(help="How many seconds one call of a policy may take; 3600 by default.", metavar="SECONDS"),
    ] = None,
    sandbox: SandboxKind = "auto",
    python_package: PythonPackages = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Write curves of the run into OUT/metrics: jsonl, tensorboard or trackio (the last two by extras)."
        ),
    ] = None,
    print_config: PrintConfig = False,
    as_json: AsJson = False,
) -> None:
    """Grow one search tree for each problem of a set; `mars2 evaluate` then opens the hidden tests.

    Example: mars2 search humaneval --limit 20 --agent coder=hf:smollm2 --agent fixer=hf:smollm2,temperature=1.0
    --budget 8 --out runs/x, or mars2 search --config team.toml
    """
    from mars2_env.render.metrics import KINDS, Metrics, time_table
    from mars2_env.render.progress import ProgressBar, summary_table, wide_console

    if metrics is not None and metrics not in KINDS:
        raise ConfigError(f"--metrics {metrics}: give one of {', '.join(KINDS)}.")
    if solutions is not None and solutions < 1:
        raise ConfigError(f"--solutions {solutions}: must be a whole number of at least 1.")
    plan = chosen_config(
        ctx,
        config,
        {
            "problem_set": ("problems.set", problem_set),
            "path": ("problems.path", None if path is None else str(path)),
            "split": ("problems.split", split),
            "option": ("problems.options", parse_options(option) or None),
            "problem": ("problems.ids", None if problem is None else tuple(problem)),
            "limit": ("problems.limit", limit),
            "game": ("task.game", game),
            "preset": ("task.preset", preset),
            "budget": ("task.budget", budget),
            "selector": ("task.selector", selector),
            "prompts": ("task.prompts", prompts),
            "score": ("task.score", score),
            "score_on": ("task.score_on", score_on),
            "stop_on_solved": ("task.stop_on_solved", stop_on_solved),
            "solutions": ("task.stop_on_solved", solutions),
            "patience": ("task.patience", patience),
            "reward_model": ("task.reward_model", reward_model),
            "model_weight": ("task.model_weight", model_weight),
            "sandbox": ("task.sandbox", sandbox),
            "agent": ("agents", parse_agents(agent) or None),
            "seed": ("rollout.seed", seed),
            "out": ("rollout.out", None if out is None else str(out)),
            "trees": ("rollout.trees", trees),
            "in_flight": ("rollout.in_flight", in_flight),
            "policy_failures": ("rollout.policy_failures", policy_failures),
            "deadline": ("rollout.deadline", deadline),
        },
    )
    if print_config:
        print_plan(plan)
        return
    run = plan.run
    out = None if plan.rollout.out is None else Path(plan.rollout.out)
    if out is not None and Path.cwd().is_relative_to(out.resolve()):
        raise ConfigError("--out: give a folder of its own for the run, such as runs/x.")
    if metrics is not None and out is None:
        raise ConfigError(f"--metrics {metrics}: curves go into the run folder; give --out too.")
    team = plan.team
    kept = "the same command goes on from here" if out else "give --out to be able to resume"
    with interruptible(kept):
        task = full_task(plan, python_package)
        total = min(len(run.get("problems", task.problems)), run.get("limit", sys.maxsize))
        meters = Meters()
        bar = ProgressBar(total, task.budget.nodes, meters=meters)
        curves = None if out is None or metrics is None else Metrics(out / "metrics", metrics, meters=meters)
        faulty = 0
        task = on_its_sandbox(task, out)

        def observer(header: Header, event: Event, trace: Trace | None) -> None:
            bar(header, event, trace)
            if curves is not None:
                curves(header, event, trace)

        runs = mars2_env.rollout(task, team, **{**run, "out": out}, observer=observer, meters=meters)
        say(f"sandbox: {_taken(task, plan.task_table.sandbox or 'auto')}.", err=True)
        if out is None:
            say("no --out: nothing is kept, so this run can be neither evaluated nor gone on with.", err=True)
        with curves or nullcontext(), runs, bar:
            for tree in runs:
                bar.finish(tree)
                if curves is not None:
                    curves.finish(tree)
                faulty += tree.ended == "faults"
    if runs.skipped:
        say(f"{len(runs.skipped)} trees that other runs are growing were left out.", err=True)
    if as_json:
        say_json({"out": None if out is None else str(out), **bar.tally.to_dict()})
        raise typer.Exit(1 if faulty else 0)
    wide_console().print(summary_table(bar.tally, time_table(meters)))
    if out is not None:
        say(f"Logs are in {out}. Next: mars2 evaluate {out}")
    if faulty:
        say(f"{faulty} of {total} trees ended by faults; the same command takes them up again.", err=True)
        raise typer.Exit(1)


def _taken(task: mars2_env.Task, asked_for: str) -> str:
    """Return which sandbox a task is played in, and why."""
    if asked_for != "auto":
        return f"{asked_for}, as asked for"
    if isinstance(task.sandbox, str) and task.sandbox != "auto":
        return f"{task.sandbox}, which the run was begun in"
    return why_taken(sandbox_of(task)).rstrip(".")
