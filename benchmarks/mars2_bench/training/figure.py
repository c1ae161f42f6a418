"""The learning curves of a miniature experiment as a picture, of the results that its tables are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mars2_bench.training.arms import ARMS
from mars2_bench.training.report import SCALING, Found, results
from mars2_bench.training.scaling import TEAMS
from mars2_env.base.extras import needed_by
from mars2_env.errors import ConfigError
from mars2_env.results.paired import Floats

PANELS: Final[Mapping[str, str]] = {
    "a": "Pass@1 of A, fresh answers",
    "b": "Pass@1 of B, fresh answers",
    "team": "Pass@1(MCTS) of the team, 8 nodes",
}
"""What a learning curve is of, and the title of its panel."""

FIRST: Final = "first"
"""The pair of bases whose arms are drawn in the upper row; all others have the lower one."""

SIZE: Final = (13.0, 7.5)
"""Inches."""

DPI: Final = 72
"""A page shows no more, and a file of it stays small."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A learning curve over seeds.

    Attributes:
        steps: (points,), how many steps of training were made.
        mean: (points,), over seeds.
        low: (points,), of the seed with the least.
        high: (points,), of the seed with the most.
    """

    steps: Floats
    mean: Floats
    low: Floats
    high: Floats


def curve_of(seeds: Sequence[Found], panel: str) -> Curve | None:
    """Return the learning curve of an arm; None of one that has none, or has no such policy.

    Args:
        seeds: what its seeds came to.
        panel: of `PANELS`.
    """
    rows = []
    for one in seeds:
        told = [point["team"] if panel == "team" else point["fresh"].get(panel) for point in one["curve"]]
        if told and None not in told:
            rows.append(told)
    if not rows:
        return None
    values = np.array(rows, dtype=np.float64)
    steps = np.array([point["step"] for point in seeds[0]["curve"]], dtype=np.float64)
    return Curve(steps, values.mean(axis=0), values.min(axis=0), values.max(axis=0))


def scaling_curves(folder: Path) -> dict[str, Floats]:
    """Return the team -> Pass@1(MCTS) after 1, 2, ... nodes by the search of MARS2, the mean over seeds, (nodes,)."""
    found: dict[str, Floats] = {}
    for name in TEAMS:
        files = sorted(folder.glob(f"{SCALING}.{name}.mars2.seed*.json"))
        if files:
            curves = [json.loads(file.read_text(encoding="utf-8"))["curves"]["mcts"] for file in files]
            found[name] = np.mean(curves, axis=0)
    return found


def draw(folder: Path, target: Path) -> None:
    """Draw an experiment's learning curves and test-time scaling; bands reach from the least seed to the most.

    Args:
        folder: of the experiment.
        target: the picture; how its name ends says of which kind.

    Raises:
        ConfigError: the folder has no learning curves, or the name ends with no kind of picture.
        ExtraError: matplotlib is missing.
    """
    arms = {name: seeds for name, seeds in results(folder).items() if curve_of(seeds, "team") is not None}
    if not arms:
        raise ConfigError(f"{folder} has no learning curves; run the experiment there first.")
    with needed_by("a figure"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    kinds = figure.canvas.get_supported_filetypes()
    if target.suffix.removeprefix(".") not in kinds:
        raise ConfigError(f"--figure {target}: the name has to end with one of {', '.join(sorted(kinds))}.")
    panels = figure.subplots(2, len(PANELS) + 1, squeeze=False)
    looks = {name: (f"C{place % 10}", ("-", "--", ":")[place % 3]) for place, name in enumerate(arms)}
    lines: dict[str, Any] = {}
    for row, own in enumerate((True, False)):
        drawn = {name: seeds for name, seeds in arms.items() if (ARMS[name].pair == FIRST) is own}
        for panel, key in zip(panels[row], PANELS, strict=False):
            panel.set_visible(bool(drawn))
            lines |= _learning(panel, drawn, key, looks)
    _scaling(panels[0][-1], scaling_curves(folder))
    panels[1][-1].set_visible(False)
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=5, fontsize=8)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=DPI)


def _learning(
    panel: Any, arms: Mapping[str, Sequence[Found]], key: str, looks: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    """Draw the learning curves of some arms, and return arm -> its line."""
    found = {}
    for name, seeds in arms.items():
        curve = curve_of(seeds, key)
        if curve is not None:
            color, style = looks[name]
            (found[name],) = panel.plot(curve.steps, curve.mean, style, color=color, linewidth=1.4)
            panel.fill_between(curve.steps, curve.low, curve.high, color=color, alpha=0.08, linewidth=0)
    _frame(panel, PANELS[key], "steps of training")
    return found


def _scaling(panel: Any, teams: Mapping[str, Floats]) -> None:
    """Draw test-time scaling; nothing where it was not run."""
    panel.set_visible(bool(teams))
    for name, mean in teams.items():
        panel.plot(range(1, len(mean) + 1), mean, label=name, linewidth=1.4)
    panel.set_xscale("log")
    _frame(panel, "Pass@1(MCTS) by nodes of a tree", "nodes")
    if teams:
        panel.legend(fontsize=8)


def _frame(panel: Any, title: str, horizontal: str) -> None:
    panel.set_title(title, fontsize=9)
    panel.set(xlabel=horizontal, ylim=(0, 1.02))
    panel.grid(alpha=0.3)
