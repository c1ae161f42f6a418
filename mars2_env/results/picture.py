"""The curves of a comparison as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from mars2_env.base.extras import needed_by
from mars2_env.base.texts import printable_line
from mars2_env.errors import ConfigError
from mars2_env.results.comparison import AXES, MEASURES, Comparison, Reached


def figure(comparison: Comparison) -> Any:
    """Return a figure: a row for each measure, a column for what is spent, a line for each search.

    Raises:
        ConfigError: the comparison has no curves.
        ExtraError: matplotlib is missing.
    """
    with needed_by("a picture of curves"):
        from matplotlib.figure import Figure
    axes = [axis for axis in AXES if any(curve.axis == axis for curve in comparison.curves)]
    measures = [one for one in get_args(Reached) if any(curve.measure == one for curve in comparison.curves)]
    if not axes:
        raise ConfigError("this comparison has no curves to draw.")
    drawn = Figure(figsize=(4.5 * len(axes), 3.2 * len(measures)), layout="constrained")
    places = drawn.subplots(len(measures), len(axes), squeeze=False, sharey=True)
    for row, measure in enumerate(measures):
        for column, axis in enumerate(axes):
            place = places[row][column]
            for arm in comparison.arms:
                curve = comparison.curve(arm.name, measure, axis)
                if curve is not None:
                    # "$" would begin a formula, and a leading "_" would hide the line from the legend
                    label = printable_line(arm.name).replace("$", r"\$")
                    (line,) = place.step((0.0, *curve.x), (0.0, *curve.y), where="post", label=f" {label}")
                    place.fill_between(curve.x, curve.low, curve.high, step="post", alpha=0.15, color=line.get_color())
            place.set(xlabel=axis, xlim=(0, None), ylim=(0, 1))
            place.grid(alpha=0.3)
        places[row][0].set_ylabel(MEASURES[measure])
    places[0][0].legend()
    drawn.suptitle(f"{comparison.pairs} pairs of {comparison.problems} problems, hidden tests")
    return drawn


def check_picture(path: str | Path) -> None:
    """Check that a picture can be drawn into a file of this name, before what it shows is made.

    Raises:
        ConfigError: no picture can be written in such a format.
        ExtraError: matplotlib is missing.
    """
    with needed_by("a picture of curves"):
        from matplotlib.figure import Figure
    kinds = sorted(Figure().canvas.get_supported_filetypes())
    if Path(path).suffix[1:].lower() not in kinds:
        raise ConfigError(f"{path}: a picture is a file whose name ends in one of .{', .'.join(kinds)}.")


def draw(comparison: Comparison, path: str | Path) -> None:
    """Write the picture of a comparison to a file, in the format that its name says, such as `curves.png`.

    Raises:
        ConfigError: there are no curves, or no picture can be written in such a format.
        ExtraError: matplotlib is missing.
    """
    check_picture(path)
    figure(comparison).savefig(path, dpi=150)
