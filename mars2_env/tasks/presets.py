"""Tasks by id, and presets: names for several options at once."""

from __future__ import annotations

from typing import Any, Final

from mars2_env.base.parts import Parts
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.prompt import make_prompts

TASKS: Final[dict[str, dict[str, Any]]] = {
    "mars2/Starter-v0": {"problems": "starter", "split": "train", "game": "write"},
    "mars2/StarterPlay-v0": {"problems": "starter", "split": "train", "game": "play"},
    "mars2/StarterPlace-v0": {"problems": "starter", "split": "train", "game": "place"},
    "mars2/StarterRoute-v0": {"problems": "starter", "split": "train", "game": "route"},
}
"""Environment id -> the overrides that make it. An id's number rises when its rewards or observations change."""

OFFERED: Final = Parts("environment", "mars2_env.tasks", in_specs=False)
"""Environments that installed packages offer, each by a function that takes the id and returns the overrides."""

PRESETS: Final[dict[str, dict[str, Any]]] = {
    "mars2": {"selector": "mars2", "score": "pass", "prompts": "feedback=off"},
    "tplus": {"selector": "mars2,guidance=default", "score": "pass", "prompts": "feedback=on", "model_weight": 0.25},
}
"""Preset -> the options that it stands for; whatever else is said beside a preset comes first.

`mars2`: the search of MARS2 (arXiv 2604.14564), agent first, whose refinement prompts do not tell what failed. `tplus`:
MARS2-T+, that search with error feedback, depth guidance and, where a reward model is given, its scores in what the
selector sees: below a half, so that they decide where tests tie and a passing program stays above a failing one (the
papers give no weight).
"""


def with_preset(overrides: dict[str, Any]) -> dict[str, Any]:
    """Return overrides with the options of their preset, if they name one, filled in."""
    others = dict(overrides)
    name = others.pop("preset", None)
    if name is None:
        return others
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigError(unknown_name("preset", str(name), PRESETS))
    if others.get("game", "write") != "write":
        raise ConfigError(f"preset={name!r} with game={others['game']!r}: presets are searches, for game='write'.")
    preset = PRESETS[name]
    prompts = make_prompts(others.get("prompts"), make_prompts(preset["prompts"]))
    found = {**preset, **others, "prompts": prompts}
    if found.get("reward_model") is None and "model_weight" not in others:
        found.pop("model_weight", None)
    return found
