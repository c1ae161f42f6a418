"""From examples to a finished reward model: some problems to learn from, some to calibrate on, some to measure on."""

from __future__ import annotations

from mars2_agents.models.examples import Examples, split
from mars2_agents.models.fitting import Observer, Settings, calibrate, fit
from mars2_agents.models.reporting import Report, report
from mars2_agents.models.reward_model import LearnedRewardModel
from mars2_env.base.checks import real_number
from mars2_env.errors import ConfigError


def train(
    examples: Examples,
    settings: Settings | None = None,
    *,
    calibrate_on: float = 0.2,
    measure_on: float = 0.2,
    observer: Observer | None = None,
) -> tuple[LearnedRewardModel, Report | None]:
    """Return a calibrated reward model, and how good it is on problems that it has not seen.

    Variants of one problem (the starter set has five of each) are problems of their own here: what is measured is then
    how good the model is on other variants. For other kinds of problems measure on runs of those (`report`).

    Args:
        examples: of training problems.
        settings: how to learn.
        calibrate_on: the share of the problems that is kept apart to calibrate on.
        measure_on: the share of the rest that is kept apart to measure on; 0 measures nothing, and uses all.
        observer: called after each step.

    Raises:
        ConfigError: there are too few problems, or too few kinds of programs among them.
        PolicyError: the base cannot be loaded.
    """
    settings = settings or Settings()
    real_number("calibrate_on", calibrate_on, least=0, most=0.9, where="train")
    real_number("measure_on", measure_on, least=0, most=0.9, where="train")
    if settings.calibration != "none" and not calibrate_on:
        raise ConfigError(
            f"calibrate_on=0 with calibration={settings.calibration!r}: there is nothing to calibrate on; keep some "
            "problems apart, or say calibration='none'."
        )
    kept, measured = split(examples, measure_on, seed=settings.seed) if measure_on else (examples, None)
    if settings.calibration == "none":
        model = fit(kept, settings, observer=observer)
    else:
        learned, held_out = split(kept, calibrate_on, seed=settings.seed)
        model = calibrate(fit(learned, settings, observer=observer), held_out, settings.calibration)
    if measured is None:
        return model, None
    found = report(model, measured, seed=settings.seed)
    return model.told(learned={**model.about.learned, "report": found.to_dict()}), found
