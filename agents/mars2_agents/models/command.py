"""`mars2 train-reward-model`: a reward model from run folders that have been evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mars2_env.base.extras import needed_by
from mars2_env.cli.options import AsJson, say, say_json
from mars2_env.cli.speaking import speaks_of_options


@speaks_of_options
def train_reward_model(
    runs: Annotated[list[Path], typer.Argument(help="Run folders on training problems, evaluated (mars2 evaluate).")],
    out: Annotated[Path, typer.Option(help="The folder of the model; an earlier model there is replaced.")],
    problems: Annotated[str | None, typer.Option(help="The problem set, where a folder does not say it.")] = None,
    allow: Annotated[list[str] | None, typer.Option(help="An evaluation set to learn from all the same.")] = None,
    objective: Annotated[str, typer.Option(help="pairwise (within a problem) or pointwise.")] = "pairwise",
    base: Annotated[str, typer.Option(help="scratch, smollm2, a checkpoint folder, or ORG/NAME.")] = "scratch",
    lora: Annotated[int, typer.Option(help="Rank of an adapter over the checkpoint; 0 trains all weights.")] = 0,
    hidden: Annotated[int, typer.Option(help="From scratch: the width.")] = 64,
    layers: Annotated[int, typer.Option(help="From scratch: how many layers.")] = 3,
    max_tokens: Annotated[int, typer.Option(help="Tokens of a text at most.")] = 256,
    compare: Annotated[str, typer.Option(help="Pairs of all programs of a problem, or of tied ones.")] = "all",
    untested: Annotated[float, typer.Option(help="Chance that a program is learned without its public facts.")] = 0.5,
    epochs: Annotated[int, typer.Option(help="How often each program is seen.")] = 4,
    batch: Annotated[int, typer.Option(help="Programs of a step, about.")] = 32,
    lr: Annotated[float, typer.Option(help="The highest learning rate.")] = 2e-3,
    calibration: Annotated[str, typer.Option(help="platt, temperature or none.")] = "platt",
    calibrate_on: Annotated[float, typer.Option(help="Share of the problems kept apart to calibrate on.")] = 0.2,
    measure_on: Annotated[float, typer.Option(help="Share of the problems kept apart to measure on.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Source of all that is drawn.")] = 0,
    device: Annotated[str, typer.Option(help="A torch device, or auto.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a model that says how likely a program is to pass hidden tests, for `--reward-model rm:OUT`."""
    with needed_by("a reward model"):
        from mars2_agents.models.checkpoints import Scratch
        from mars2_agents.models.examples import read_examples
        from mars2_agents.models.fitting import Settings
        from mars2_agents.models.reward_model import check_target
        from mars2_agents.models.training import train

    named: dict[str, Any] = {"objective": objective, "compare": compare, "calibration": calibration}
    settings = Settings(
        **named,
        base=base,
        scratch=Scratch(hidden=hidden, layers=layers),
        lora=lora,
        max_tokens=max_tokens,
        untested=untested,
        epochs=epochs,
        batch=batch,
        lr=lr,
        seed=seed,
        device=device,
    )
    check_target(out)
    examples = read_examples(runs, problems=problems, allow=allow or ())
    left_out = "".join(f", {count} nodes left out: {reason}" for reason, count in examples.left_out.items())
    say(f"{len(examples.rows)} programs of {len(examples.problems)} problems{left_out}", err=True)

    def show(step: int, steps: int, loss: float) -> None:
        if step % max(1, steps // 10) == 0:
            say(f"step {step} of {steps}: loss {loss:.4f}", err=True)

    model, found = train(examples, settings, calibrate_on=calibrate_on, measure_on=measure_on, observer=show)
    model.save(out)
    if as_json:
        say_json({"model": model.name, "folder": str(out), "report": None if found is None else found.to_dict()})
        return
    for what, value in [] if found is None else found.rows():
        say(f"{what}: {value}")
    say(f"{model.name} is in {out}: mars2 search ... --preset tplus --reward-model rm:{out}")
