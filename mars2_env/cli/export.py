"""The command `mars2 export`: the trees of a run as training samples in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mars2_env.base.spec import parse_pairs
from mars2_env.cli.interrupts import interruptible
from mars2_env.cli.options import AsJson, say, say_json
from mars2_env.credit import Credit
from mars2_env.tasks import agent_names

DEFAULT = Credit()


def export(
    run: Annotated[Path, typer.Argument(help="A run folder, the folder of a training, or the log of one tree.")],
    out: Annotated[Path, typer.Option(help="The file to write, such as samples.parquet or samples.jsonl.")],
    format: Annotated[
        str | None,
        typer.Option(help="parquet (extra `export`) or jsonl; as the file's name ends by default."),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            help="Which policy an agent is, agent=policy, such as coder=strong; give it once for each agent, or leave "
            "it out: then they are those of the training, or each agent is a policy of its own name.",
        ),
    ] = None,
    credit: Annotated[
        str,
        typer.Option(
            help="What a node is worth before normalisation: shaping (the paper's), agent_difference, c3, "
            "node_difference, pkpo[,k=4], rae[,decay=0.95] (with --estimator none), shapley, team_return, tree_rl or "
            "tree_rpo."
        ),
    ] = DEFAULT.credit,  # type: ignore[assignment]  # that default is a name
    gamma: Annotated[
        float, typer.Option(help="Of shaping: how much of a node's difference to its surroundings is added.")
    ] = DEFAULT.gamma,
    mix: Annotated[
        float, typer.Option(help="Of shaping: the siblings' share in these surroundings; the parent has the rest.")
    ] = DEFAULT.mix,
    scope: Annotated[
        str, typer.Option(help="What is normalised together: tree, agent_in_tree, agent_kind, agent, problem or batch.")
    ] = DEFAULT.scope,
    estimator: Annotated[str, typer.Option(help="How: group_norm, dr_grpo, rloo or none.")] = DEFAULT.estimator,
    clip: Annotated[float, typer.Option(help="The largest size of an advantage.")] = DEFAULT.clip or 10.0,
    duplicates: Annotated[
        str,
        typer.Option(help="mask: a program that its tree had already has weight 0 and is in no mean; keep: it has."),
    ] = DEFAULT.duplicates,
    max_length: Annotated[
        int | None, typer.Option(help="The most tokens of a reply, for a penalty on length; none without it.")
    ] = None,
    buffer: Annotated[int, typer.Option(help="Within how many last tokens the penalty grows.")] = DEFAULT.buffer,
    factor: Annotated[float, typer.Option(help="The penalty of the longest reply.")] = DEFAULT.factor,
    partial: Annotated[
        bool, typer.Option("--partial", help="Take trees too that are cut off, or were ended by faults.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there already.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the trees of a run as training samples: token ids, masks, log-probabilities, advantages, policies.

    Example: mars2 export runs/x --out samples.parquet --scope agent_in_tree
    """
    from rich.console import Console
    from rich.progress import Progress

    from mars2_env.credit.export import write_samples

    options: dict[str, Any] = {
        "credit": credit,
        "gamma": gamma,
        "mix": mix,
        "scope": scope,
        "estimator": estimator,
        "clip": clip,
    }
    options |= {"duplicates": duplicates, "max_length": max_length, "buffer": buffer, "factor": factor}
    named = parse_pairs(list(policy or ()), "--policy", form="agent=policy, such as coder=strong")
    policies = dict(zip(agent_names(list(named)), named.values(), strict=True)) if named else None
    errors = Console(stderr=True)
    with (
        interruptible("nothing was written"),
        Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress,
    ):
        bar = progress.add_task("trees", total=None)
        found = write_samples(
            run,
            out,
            form=format,  # type: ignore[arg-type]  # it checks it
            policies=policies,
            credit=Credit(**options),
            partial=partial,
            overwrite=overwrite,
            observer=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    if as_json:
        say_json(
            {
                "out": str(found.path),
                "trees": found.trees,
                "samples": found.samples,
                "tokens": found.tokens,
                "left_out": dict(found.left_out),
            }
        )
    else:
        trained = f"{found.samples} samples of {found.trees} trees, {found.tokens} tokens to be trained"
        say(f"{trained}, are in {found.path}.")
    for reason, count in sorted(found.left_out.items()):
        say(f"left out: {count} ({reason})", err=True)
    if found.damaged:
        say(f"{found.damaged} nodes are lost to damage of the run's files; {found.path} holds all others.", err=True)
    elif not found.samples:
        say("no tokens were recorded in this run, so there is nothing to train on.", err=True)
    if found.damaged or not found.samples:
        raise typer.Exit(1)
