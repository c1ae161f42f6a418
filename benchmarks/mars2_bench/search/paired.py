"""What benchmarks say of curves: areas, first solutions, and a line of text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mars2_env.results.paired import Floats


def area(curve: Floats) -> float:
    """Return the area under a curve over t = 1 ... n as a share of what it could be: its mean."""
    return float(curve.mean())


def first_solve(hidden: Sequence[bool]) -> int | None:
    """Return the number of nodes until the first that passes the hidden tests; None if none does.

    With n nodes, area(solved_curve) = (n + 1 - first) / n, and 0 for None: the two tell the same, tree by tree.
    """
    return next((number for number, passed in enumerate(hidden, start=1) if passed), None)


def sparkline(curve: Floats, width: int = 32) -> str:
    """Return a curve with values in [0, 1] as one line of block characters."""
    blocks = " ▁▂▃▄▅▆▇█"
    places = np.linspace(0, len(curve) - 1, min(width, len(curve))).round().astype(int)
    return "".join(blocks[round(float(curve[place]) * (len(blocks) - 1))] for place in places)
