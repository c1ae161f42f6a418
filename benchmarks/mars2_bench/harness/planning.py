"""Which cells a command means: environments times algorithms times seeds, without those that make no sense."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mars2_bench.harness.algorithms import OFFERED, Made, make
from mars2_bench.harness.running import Cell
from mars2_bench.suite.named import NAMED, Named, find
from mars2_env.errors import ConfigError

ALL = "all"


def cells_of(
    ids: Sequence[str], specs: Sequence[str], *, seeds: Sequence[int], budget: int, name: str | None, tries: int
) -> list[Cell]:
    """Return the cells of a run: seed after seed, so that a run that is stopped has something of everything.

    Args:
        ids: of environments, or "all".
        specs: of algorithms, or "all": those that come with this package and need nothing but PyTorch.
        seeds: of trainings; what draws nothing has the first alone.
        budget: expansions of what learns; references have none.
        name: what the board calls the algorithm, where there is one alone.
        tries: settings that were tried.

    Raises:
        ConfigError: there is no such environment or algorithm, the name is for several, or nothing is left to do.
    """
    named = [find(id) for id in (NAMED if ALL in ids else ids)]
    texts = [one for one, offer in OFFERED.items() if not offer.needs] if ALL in specs else list(dict.fromkeys(specs))
    if name is not None and len(texts) > 1:
        raise ConfigError(f"name={name!r:.200}: it is for one algorithm, and there are {len(texts)}.")
    made = [make(text, name) for text in texts]
    cells = [
        Cell(one, algorithm, seed, 0 if algorithm.reference else budget, tries)
        for seed in seeds
        for one, algorithm in _pairs(named, made)
        if algorithm.draws or seed == seeds[0]
    ]
    if not cells:
        games = ", ".join(sorted({one.game for one in named}))
        raise ConfigError(f"none of the algorithms {', '.join(texts)} plays {games}; see mars2 bench list.")
    return cells


def _pairs(named: Sequence[Named], made: Sequence[Made]) -> Iterator[tuple[Named, Made]]:
    for one in named:
        for algorithm in made:
            if one.game in algorithm.games:
                yield one, algorithm
