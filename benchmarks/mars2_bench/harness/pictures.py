"""The board as a picture: learning curves and performance profiles, a row of panels for each environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mars2_bench.harness.board import THRESHOLDS, Table


def draw(tables: Sequence[Table], path: Path) -> bool:
    """Draw the board as PNG; return False without matplotlib.

    The file says nothing of when or by what it was drawn, so that one version of matplotlib draws the same bytes.
    """
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context({"font.family": "DejaVu Sans", "font.size": 8}):
        names = sorted({row.algorithm for table in tables for row in table.rows})
        colours = {name: pyplot.get_cmap("tab20")(number % 20) for number, name in enumerate(names)}
        figure, panels = pyplot.subplots(len(tables), 2, figsize=(10, 2.8 * len(tables)), squeeze=False)
        for (curves, profiles), table in zip(panels, tables, strict=True):
            _curves(curves, table, colours)
            _profiles(profiles, table, colours)
        figure.tight_layout()
        figure.savefig(path, dpi=100, metadata={"Software": None})
        pyplot.close(figure)
    return True


def _curves(panel: Any, table: Table, colours: Mapping[str, Any]) -> None:
    """Draw scores on training problems against expansions: the mean over seeds, and the range of the seeds."""
    for row in table.rows:
        colour = colours[row.algorithm]
        if row.curve:
            expansions, average, least, most = zip(*row.curve, strict=True)
            panel.plot(expansions, average, color=colour, label=row.algorithm)
            panel.fill_between(expansions, least, most, color=colour, alpha=0.2, linewidth=0)
    panel.set(title=f"{table.id} ({table.split})", xlabel="expansions", ylabel="score, training problems", ylim=(0, 1))


def _profiles(panel: Any, table: Table, colours: Mapping[str, Any]) -> None:
    """Draw the share of (seed, problem) entries above each score, with its 95 % band."""
    for row in table.rows:
        colour = colours[row.algorithm]
        label = f"{row.algorithm} {row.budget:,}" if row.budget else row.algorithm
        panel.plot(THRESHOLDS, row.profile, color=colour, label=label)
        panel.fill_between(THRESHOLDS, *row.profile_band, color=colour, alpha=0.2, linewidth=0)
    panel.set(xlabel="score above", ylabel="share of unseen problems", ylim=(0, 1))
    panel.legend(fontsize=6, ncols=2)
