"""The command `mars2 search`: one tree for each problem of a set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import mars2_env
from mars2_env.cli.interrupts import interruptible
from mars2_env.cli.options import (
    AsJson,
    PythonPackages,
    SandboxKind,
    SetName,
    SetOption,
    SetPath,
    Split,
    chosen_sandbox,
    parse_options,
    say,
    say_json,
)
from mars2_env.engine import on_its_sandbox
from mars2_env.errors import ConfigError
from mars2_env.sandbox import why_taken
from mars2_env.tasks import agent_names, sandbox_of


def parse_agents(texts: list[str]) -> dict[str, str]:
    """Return agent name -> policy spec from `name=spec` texts; names are completed as in `task`.

    Raises:
        ConfigError: a text is not `name=spec`.
    """
    names, specs = [], []
    for text in texts:
        name, equals, spec = text.partition("=")
        if not equals or not name or not spec:
            raise ConfigError(f"--agent {text!r} is not name=policy, such as coder=hf:smollm2,temperature=0.8.")
        names.append(name)
        specs.append(spec)
    return dict(zip(agent_names(names), specs, strict=True))


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
    python_package: PythonPackages = None,
    as_json: AsJson = False,
) -> None:
    """Grow one search tree for each problem of a set; `mars2 evaluate` then opens the hidden tests.

    Example: mars2 search humaneval --limit 20 --agent coder=hf:smollm2 --agent fixer=hf:smollm2,temperature=1.0
    --budget 8 --out runs/x
    """
    from mars2_env.render.progress import ProgressBar, summary_table, wide_console

    if out is not None and str(out) in ("", "."):
        raise ConfigError("--out: give a folder of its own for the run, such as runs/x.")
    team = parse_agents(agent)
    if solutions is not None and solutions < 1:
        raise ConfigError(f"--solutions {solutions}: must be a whole number of at least 1.")
    given = {
        "game": game,
        "score": score,
        "score_on": score_on,
        "preset": preset,
        "selector": selector,
        "prompts": prompts,
        "model_weight": model_weight,
        "problem_options": parse_options(option) or None,
    }
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    kept = "the same command goes on from here" if out else "give --out to be able to resume"
    with interruptible(kept):
        task = mars2_env.task(
            problem_set,
            path=None if path is None else str(path),
            split=split,
            agents=list(team),
            budget=budget,
            stop_on_solved=solutions or stop_on_solved,
            patience=patience,
            reward_model=reward_model,
            sandbox=chosen_sandbox(sandbox, python_package),
            **options,
        )
        total = min(len(problem) if problem else len(task.problems), limit or sys.maxsize)
        bar = ProgressBar(total, task.budget.nodes)
        faulty = 0
        task = on_its_sandbox(task, out)
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
        say(f"sandbox: {_taken(task, sandbox)}.", err=True)
        if out is None:
            say("no --out: nothing is kept, so this run can be neither evaluated nor gone on with.", err=True)
        with runs, bar:
            for tree in runs:
                bar.finish(tree)
                faulty += tree.ended == "faults"
    if runs.skipped:
        say(f"{len(runs.skipped)} trees that other runs are growing were left out.", err=True)
    if as_json:
        say_json({"out": None if out is None else str(out), **bar.tally.to_dict()})
        raise typer.Exit(1 if faulty else 0)
    wide_console().print(summary_table(bar.tally))
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
