"""The command `mars2 record`: what agents reply at every place to a depth, in a bank that `replay:` answers from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mars2_env.cli.configured import AgentOption, ConfigFile, chosen_config, full_task, parse_agents
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


def record(
    ctx: typer.Context,
    problem_set: OptionalSetName = None,
    *,
    children: Annotated[
        int, typer.Option(help="How many replies of each agent are recorded at each place.", metavar="K")
    ],
    depth: Annotated[
        int, typer.Option(help="How deep: 1 is fresh programs alone, 2 their refinements too.", metavar="D")
    ],
    out: Annotated[Path, typer.Option(help="The bank's folder; the same command goes on with what is in it.")],
    agent: AgentOption = None,
    config: ConfigFile = None,
    path: SetPath = None,
    split: Split = None,
    option: SetOption = None,
    problem: Annotated[list[str] | None, typer.Option("--problem", help="Only this problem; may be repeated.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many problems.")] = None,
    prompts: Annotated[str | None, typer.Option(help="How agents are asked, as in mars2 search.")] = None,
    score_on: Annotated[
        str | None, typer.Option(help="public or scoring, as in mars2 search: it decides what refinements are told.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Source of all randomness; searches that replay may have any.")] = 0,
    trees: Annotated[int, typer.Option(help="How many problems are recorded at a time.")] = 8,
    sandbox: SandboxKind = "auto",
    python_package: PythonPackages = None,
    as_json: AsJson = False,
) -> None:
    """Record K replies of each agent at every place to depth D into a bank; --agent name=replay:BANK then plays them.

    A problem takes sum over d = 1..D of (agents * K)^d calls. Example: mars2 record starter --limit 4
    --agent coder=hf:smollm2 --children 4 --depth 2 --out banks/coder
    """
    from mars2_env.bank import calls_needed
    from mars2_env.bank import record as recording
    from mars2_env.bank.record import recordable
    from mars2_env.render.progress import ProgressBar

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
            "prompts": ("task.prompts", prompts),
            "score_on": ("task.score_on", score_on),
            "sandbox": ("task.sandbox", sandbox),
            "agent": ("agents", parse_agents(agent) or None),
            "seed": ("rollout.seed", seed),
            "trees": ("rollout.trees", trees),
        },
    )
    run = plan.run
    with interruptible("the same command goes on from here"):
        task = recordable(full_task(plan, python_package), children, depth)
        count = min(len(run.get("problems", task.problems)), run.get("limit", len(task.problems)))
        calls = calls_needed(count, len(task.agents), children, depth)
        say(
            f"{calls} replies to record: {count} problems, {len(task.agents)} agents, {children} children of each at "
            f"every place, to depth {depth}.",
            err=True,
        )
        with ProgressBar(count, task.budget.nodes) as bar:
            bank = recording(
                task,
                plan.team,
                children=children,
                depth=depth,
                out=out,
                seed=run.get("seed", 0),
                problems=run.get("problems"),
                limit=run.get("limit"),
                trees=run.get("trees", 8),
                observer=bar,
                on_tree=bar.finish,
            )
    if as_json:
        say_json({"bank": str(bank.path), "digest": bank.digest, "replies": len(bank.replies)})
        return
    agents = " ".join(f"--agent {name}=replay:{out}" for name in bank.header.agents)
    say(f"{len(bank.replies)} replies are in {bank.path}, {bank.digest[:16]}.")
    say(f"Next: mars2 search {plan.problems.set} {agents}")
