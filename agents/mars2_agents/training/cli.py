"""The command `mars2 train`: a training from a TOML file, whose folder the same command goes on with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mars2_env.base.extras import needed_by
from mars2_env.cli.interrupts import interruptible
from mars2_env.cli.options import AsJson, say, say_json
from mars2_env.cli.speaking import speaks_of_options
from mars2_env.errors import ConfigError

if TYPE_CHECKING:  # the command line is quick as long as nothing is trained
    from mars2_agents.training.config import Training
    from mars2_agents.training.trainer import StepReport
    from mars2_env.tasks import Task


@speaks_of_options
def train(
    config: Annotated[
        str,
        typer.Argument(
            help="A TOML file with problems, task, agents, policies, algorithm, optimiser, training and held_out; or "
            "the name of one that comes with the package: smollm2-lora, qwen3-8b, qwen3-14b, qwen3-32b, hetero-8b.",
            metavar="CONFIG",
        ),
    ],
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A key of the file, said otherwise: table.key=value, such as training.steps=3 or "
            "policies.strong.rank=8; may be repeated.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder of the training, in place of the file's; the same command goes on.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print tokens, memory and time that it would take; load no model.")
    ] = False,
    gpus: Annotated[int, typer.Option(help="With --dry-run: over how many GPUs each learner would be sharded.")] = 1,
    flops: Annotated[
        float | None,
        typer.Option(
            help="With --dry-run: floating-point operations a second, such as 2e14, of a machine that is not this one; "
            "else this one is measured."
        ),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print what would be trained as such a file, and train nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train the policies of agents on the trees that they grow: GRPO, RS2, MARS2, MARS2+ and others.

    Example: mars2 train smollm2-lora --dry-run, or mars2 train my.toml --set training.steps=30
    """
    with needed_by("mars2 train"):
        from mars2_agents.training.config import find_training

        training = find_training(config, list(change or ()))
    if out is not None:
        training = training.into(os.path.abspath(out))
    if print_config:
        say(training.to_toml().rstrip())
        return
    if training.run.threads is not None:
        import torch

        torch.set_num_threads(training.run.threads)
    if dry_run:
        from mars2_agents.training.building import build_algorithm
        from mars2_agents.training.forecast import Rates, forecast, measured

        build_algorithm(training, training.task())
        found = forecast(training, gpus=gpus)
        rates = measured(found) if flops is None else Rates(flops, flops)
        say_json(found.to_dict(rates)) if as_json else say(found.text(rates))
        return
    _run(training, as_json)


def _run(training: Training, as_json: bool) -> None:
    """Train, and say what came of it; of several processes the first one does, and the others learn what it tells."""
    from mars2_agents.training.processes import follow_training, joined

    with joined() as rank:
        if rank == 0:
            _lead(training, as_json)
        else:
            follow_training(training)


def _lead(training: Training, as_json: bool) -> None:
    from mars2_agents.training.building import build_algorithm, students
    from mars2_agents.training.progress import Shown
    from mars2_agents.training.trainer import train as training_steps

    folder = training.folder
    task = _real_task(training)
    algorithm = build_algorithm(training, task)
    with interruptible(f"the same command goes on from here: {folder} holds all that was done"):
        say(beginning(training), err=True)
        with students(training, task) as found, Shown(training.settings.steps) as progress:
            steps = training_steps(
                task,
                training.team,
                students=found,
                algorithm=algorithm,
                settings=training.settings,
                out=folder,
                held_out=training.held_out(task),
                problems=training.problems(task),
                metrics=training.run.metrics,
                progress=progress,
            )
            first, last = steps.step, None
            with steps:
                for report in steps:
                    last = report
            versions = {name: one.learner.version for name, one in found.items() if one.learner is not None}
    result = outcome(training, first, steps.step, versions, last, steps.hard_coding)
    if as_json:
        say_json(result)
    else:
        say(ending(training, result))


def _real_task(training: Training) -> Task:
    """Return the task, in a sandbox that runs programs.

    Raises:
        ConfigError: the sandbox is one that invents verdicts.
    """
    if training.base.task_table.sandbox == "scripted":
        raise ConfigError(f"{training.file}: task.sandbox='scripted': it runs nothing and invents verdicts.")
    return training.task()


def beginning(training: Training) -> str:
    """Return what is to be trained, in some lines."""
    lines = [f"algorithm {training.algorithm.name}, {training.settings.steps} steps, into {training.folder}"]
    for name, policy in training.policies.items():
        agents = ", ".join(agent for agent, own in training.team.items() if own == name)
        if policy.fixed:
            lines.append(f"policy {name} ({agents}): {policy.sampler or policy.model}, which acts and does not learn")
            continue
        how = f"LoRA of rank {policy.rank}" if policy.train == "lora" else "all weights"
        sampled = policy.sampled
        lines.append(
            f"policy {name} ({agents}): {policy.model}, {how}, sampled by {policy.sampler or 'this process'} at "
            f"temperature {sampled['temperature']}, top_p {sampled['top_p']}"
        )
    lines.append(
        "(elsewhere policies have temperature 0.8 and top_p 0.95; what learns is sampled from its whole distribution)"
    )
    return "\n".join(lines)


def outcome(
    training: Training,
    first: int,
    step: int,
    versions: dict[str, int],
    last: StepReport | None,
    hard_coding: float | None,
) -> dict[str, Any]:
    """Return what a training came to, as the keys of `--json`."""
    from mars2_agents.training.checkpoints import folder_of

    weights = {name: Path(training.folder) / "weights" / folder_of(name) for name in versions}
    newest = {name: max(folder.iterdir(), default=None) for name, folder in weights.items() if folder.is_dir()}
    return {
        "out": training.folder,
        "steps": step,
        "made": step - first,
        "versions": versions,
        "weights": {name: str(place) for name, place in newest.items() if place is not None},
        "hard_coding": hard_coding,
        "values": {} if last is None else dict(last.values),
    }


def ending(training: Training, result: dict[str, Any]) -> str:
    """Return what a training came to, in some lines, and what to do next."""
    if not result["made"]:
        return f"all {result['steps']} steps are made: {result['out']} holds them. Raise training.steps to go on."
    lines = [f"{result['steps']} steps are in {result['out']}; curves are in metrics.jsonl."]
    for name, place in result["weights"].items():
        policy = training.policies[name]
        spec = f"hf:{policy.checkpoint},lora={place}" if policy.train == "lora" else f"hf:{place}"
        lines.append(f"policy {name}, after {result['versions'][name]} updates: {spec}")
    if result["hard_coding"] is not None:
        lines.append(f"copying the public examples solves {result['hard_coding']:.3f} of the held-out problems.")
    lines.append(f"Next: mars2 export {result['out']} --out samples.parquet")
    return "\n".join(lines)
