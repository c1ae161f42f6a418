"""The report of a miniature experiment: tables in Markdown, exactly as the results came out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from mars2_bench.training.arms import ARMS
from mars2_env.errors import ConfigError
from mars2_env.results.paired import Floats, bootstrap_interval, minimum_detectable_effect

Found: TypeAlias = Mapping[str, Any]
"""What a file of results holds."""

COMPARED: Final[tuple[tuple[str, str], ...]] = (
    ("rs2", "grpo"),
    ("rs2_twice", "rs2"),
    ("heterogeneous", "rs2"),
    ("heterogeneous", "rs2_twice"),
    ("heterogeneous_unshaped", "rs2"),
    ("heterogeneous_agent_in_tree", "rs2"),
    ("heterogeneous", "heterogeneous_unshaped"),
    ("heterogeneous", "heterogeneous_agent_in_tree"),
    ("heterogeneous_shared", "heterogeneous"),
    ("rs2_shared", "rs2"),
    ("second_heterogeneous", "second_rs2"),
    ("second_heterogeneous_agent_in_tree", "second_rs2"),
    ("second_heterogeneous_agent_in_tree", "second_heterogeneous"),
    ("alike_heterogeneous", "alike_rs2"),
)
"""Arm and what it is compared with, on equal bases."""


SCALING: Final = "scaling"
"""What the names of files of test-time scaling begin with."""

SHOWN: Final = (1, 2, 4, 8, 16, 32, 60)
"""The numbers of nodes of which test-time scaling is told."""


def results(folder: Path) -> dict[str, list[Found]]:
    """Return arm -> what its seeds came to, in order of seed; arms in the order of `ARMS`."""
    found: dict[str, list[Found]] = {}
    for name in ARMS:
        files = sorted(folder.glob(f"{name}.seed[0-9]*.json"))
        if files:
            found[name] = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return found


def fresh(who: str) -> Callable[[Found], Sequence[float]]:
    """Return what reads Pass@1 of an agent, task by task."""
    return lambda found: found["fresh"][who]


def team(nodes: int, measure: str = "mcts") -> Callable[[Found], Sequence[float]]:
    """Return what reads a measure of the team at so many nodes, task by task."""
    return lambda found: found["team"][measure][str(nodes)]


SIXTHS: Final = 6
"""Parts that learning curves are told in."""

RARE: Final = 20
"""Slots of all trees below which a share of them is not told."""


def by_task(seeds: Sequence[Found], read: Callable[[Found], Sequence[float]]) -> Floats:
    """Return a measure of each task, its mean over seeds, shape (tasks,)."""
    return np.mean([read(found) for found in seeds], axis=0)


def blind_pass(seeds: Sequence[Found], who: str) -> float:
    """Return Pass@1 on tasks that name an operation to which the agent's base is blind."""
    rates = [
        np.mean([rate for rate, blind in zip(found["fresh"][who], found["has_blind"][who], strict=True) if blind])
        for found in seeds
    ]
    return float(np.mean(rates))


def keeps(seeds: Sequence[Found], who: str) -> float:
    """Return the share of what the partner had right that the agent's refinements kept; nan where that was rare."""
    kept = sum(found["team"]["keeps"][who][0] for found in seeds)
    could = sum(found["team"]["keeps"][who][1] for found in seeds)
    return kept / could if could >= RARE else float("nan")


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference between two arms.

    Attributes:
        mean: over tasks and seeds.
        tasks: its 95 % bootstrap interval over tasks, the seeds of a task averaged first: what other tasks would say of
            these trainings.
        trainings: the same where seeds are resampled too: what other trainings would say. With three it is too narrow.
        detectable: the least difference that would be found (`minimum_detectable_effect`), over tasks.
        seeds: the difference of each seed.
    """

    mean: float
    tasks: tuple[float, float]
    trainings: tuple[float, float]
    detectable: float
    seeds: tuple[float, ...]


def difference(arm: Sequence[Found], other: Sequence[Found], read: Callable[[Found], Sequence[float]]) -> Difference:
    """Return a measure of an arm minus that of another, over the seeds that both have, paired by task."""
    gaps = np.array([np.subtract(read(one), read(two)) for one, two in zip(arm, other, strict=False)], np.float64)
    tasks = gaps.mean(axis=0)
    return Difference(
        float(gaps.mean()),
        bootstrap_interval(tasks),
        two_level_interval(gaps),
        minimum_detectable_effect(tasks),
        tuple(float(one) for one in gaps.mean(axis=1)),
    )


def two_level_interval(values: Floats, *, draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a mean where both rows and columns are resampled.

    Args:
        values: shape (seeds, tasks).
        draws: how many resamples.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    rows, columns = (rng.multinomial(count, np.full(count, 1 / count), draws) / count for count in values.shape)
    low, high = np.quantile((rows @ values * columns).sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def interval(bounds: tuple[float, float]) -> str:
    """Return an interval in a cell."""
    return f"[{bounds[0]:+.3f}, {bounds[1]:+.3f}]"


def two(values: Sequence[float]) -> str:
    """Return numbers of A and B in a cell."""
    return " / ".join("-" if value != value else f"{value:.3f}" for value in values)


def main_table(found: Mapping[str, Sequence[Found]]) -> str:
    """Return what each arm came to: means over tasks and seeds."""
    rows = []
    for name, seeds in found.items():
        whos = list(seeds[0]["fresh"])
        nodes = list(seeds[0]["team"]["mcts"])
        cells = [f"{by_task(seeds, team(int(count))).mean():.3f}" for count in nodes]
        rows.append(
            [
                f"{name} ({len(seeds)})",
                two([float(by_task(seeds, fresh(who)).mean()) for who in whos]),
                two([blind_pass(seeds, who) for who in whos]),
                *cells,
                f"{by_task(seeds, team(int(nodes[-1]), 'pass_at_n')).mean():.3f}",
                two([keeps(seeds, who) for who in whos]),
            ]
        )
    head = ["arm (seeds)", "Pass@1 A / B", "blind A / B", *(f"team at {n}" for n in (4, 8, 16)), "Pass@N at 16"]
    return table([*head, "keeps the partner's part A / B"], rows)


def compared(
    found: Mapping[str, Sequence[Found]], reads: Sequence[Callable[[Found], Sequence[float]]]
) -> Iterator[tuple[str, list[Difference]]]:
    """Yield the arms that are compared, as far as they are there, and their differences by some measures."""
    for name, other in COMPARED:
        if name in found and other in found:
            yield f"{name} - {other}", [difference(found[name], found[other], read) for read in reads]


def difference_table(found: Mapping[str, Sequence[Found]]) -> str:
    """Return the paired differences of the arms that are compared, over tasks."""
    rows = [
        [name, *(f"{one.mean:+.3f} {interval(one.tasks)} ({one.detectable:.3f})" for one in gaps)]
        for name, gaps in compared(found, [team(4), team(8), team(16), fresh("a"), fresh("b")])
    ]
    return table(["difference", "team at 4", "at 8", "at 16", "Pass@1 A", "Pass@1 B"], rows)


def training_table(found: Mapping[str, Sequence[Found]]) -> str:
    """Return the same at each seed, with the interval over trainings and tasks."""
    rows = [
        [name, *(f"{interval(one.trainings)}; {' '.join(f'{each:+.3f}' for each in one.seeds)}" for one in gaps)]
        for name, gaps in compared(found, [team(8), fresh("a"), fresh("b")])
    ]
    return table(["difference", "team at 8", "Pass@1 A", "Pass@1 B"], rows)


def cost_table(found: Mapping[str, Sequence[Found]]) -> str:
    """Return what each arm was given and took: completions and tokens of a policy, updates, CPU seconds."""
    rows = []
    for name, seeds in found.items():
        spent = [one["spent"] for one in seeds]
        if not spent[0]:
            continue
        rows.append(
            [name]
            + [
                " / ".join(f"{np.mean([one[who][key] for one in spent]):.0f}" for who in spent[0])
                for key in ("completions", "tokens", "learnt", "updates")
            ]
            + [f"{np.mean([one['cpu_seconds'] for one in seeds]):.0f}"]
        )
    return table(["arm", "completions A / B", "tokens A / B", "samples learnt A / B", "updates A / B", "CPU s"], rows)


def curve_table(found: Mapping[str, Sequence[Found]]) -> str:
    """Return the learning curves: Pass@1 of A and B and the team at 8 nodes, on some held-out tasks.

    Columns are sixths of an arm's steps, of which one has twice as many as the others.
    """
    rows = []
    for name, seeds in found.items():
        curves = [one["curve"] for one in seeds]
        points = list(zip(*curves, strict=True))
        cells = []
        for place in np.linspace(0, len(points) - 1, SIXTHS + 1).round().astype(int) if points else ():
            point = points[place]
            rates = two([float(np.mean([one["fresh"][who] for one in point])) for who in point[0]["fresh"]])
            cells.append(f"{rates}; {np.mean([one['team'] for one in point]):.3f}")
        if cells:
            rows.append([f"{name}, {points[-1][0]['step']} steps", *cells])
    return table(["arm", "start", *(f"{part}/{SIXTHS}" for part in range(1, SIXTHS)), "end"], rows)


def advantage_table(found: Mapping[str, Sequence[Found]]) -> str:
    """Return the mean advantage of each policy over the first, second and last third of its updates."""
    rows = []
    for name, seeds in found.items():
        for who in seeds[0]["trained"]:
            steps = np.array([[step["advantage"] for step in one["trained"][who]] for one in seeds]).mean(axis=0)
            rows.append([name, who, *(f"{part.mean():+.3f}" for part in np.array_split(steps, 3))])
    return table(["arm", "policy", "first third", "second", "last"], rows)


def scaling_table(folder: Path) -> str:
    """Return test-time scaling: Pass@1(MCTS), and Pass@N, after so many nodes, means over seeds."""
    rows = []
    for name, preset in itertools.product(("single", "homogeneous", "heterogeneous", "control"), ("mars2", "tplus")):
        files = sorted(folder.glob(f"{SCALING}.{name}.{preset}.seed*.json"))
        if files:
            curves = [json.loads(file.read_text(encoding="utf-8"))["curves"] for file in files]
            mcts, solved = (np.mean([one[measure] for one in curves], axis=0) for measure in ("mcts", "pass_at_n"))
            cells = [f"{mcts[n - 1]:.3f} / {solved[n - 1]:.3f}" for n in SHOWN]
            rows.append([f"{name}, {preset} ({len(files)})", *cells])
    return table(["team, search (seeds)", *map(str, SHOWN)], rows)


def report(folder: Path) -> str:
    """Return all tables of an experiment's folder."""
    found = results(folder)
    parts = {
        "What each arm came to": main_table(found),
        "Paired differences": difference_table(found),
        "The same by training": training_table(found),
        "What each arm was given": cost_table(found),
        "Learning curves": curve_table(found),
        "Mean advantages": advantage_table(found),
        "Test-time scaling": scaling_table(folder),
    }
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in parts.items())


BEGIN: Final = "<!-- begin of the report -->"
END: Final = "<!-- end of the report -->"


def inserted(page: str, text: str) -> str:
    """Return a page with a report in the place of the one before, between its two marks.

    Raises:
        ConfigError: the page lacks a mark.
    """
    if BEGIN not in page or END not in page:
        raise ConfigError(f"the page has no lines {BEGIN!r} and {END!r} to put the report between; add them.")
    head, rest = page.split(BEGIN, 1)
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.split(END, 1)[1]}"
