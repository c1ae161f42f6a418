r"""What an expansion in flight should count as: `none`, `mean` or `loss`, on trees grown from real verdicts.

    python -m mars2_bench.search.pending --table /tmp/verdicts.jsonl               # simulated authors on real problems
    python -m mars2_bench.search.pending --recorded runs/replies                   # recorded replies of a model
    python -m mars2_bench.search.pending --quick                                   # to see that it works

Simulated authors (`noise:weak` and `noise:default`) write and mend reference programs with slips; each program that
turns up is judged once in the sandbox, and its verdict kept in the table, so that thousands of trees cost little. An
author has `LUCK` ways to go on from a program, by the seed of the turn: the table stays small, and the same choice
meets the same luck in every search.

Recorded replies come from a run folder of `mars2 search`. From a program an author goes on by a score that it was
recorded to reach from one of the same score on the same problem; where there is none, from any score. A few hundred
replies are enough, such as

    mars2 search humaneval --problem HumanEval/23 --problem HumanEval/53 ... --score fraction --selector random \
        --budget 40 --agent coder=hf:smollm2 --agent fixer=hf:smollm2,temperature=1.0 --out runs/replies

A tree has `--nodes` nodes, W expansions in flight at a time, and outcomes applied in the order of asking, as `rollout`
does. Compared are the best score of the tree at the end, and its mean over the nodes as they came (the area under the
curve, which shows how early). Standard errors are over problems x seeds; differences are to `none`, by pairs.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from mars2_bench.command import run as run_command
from mars2_env import Judge, load_problems, make_sandbox, read_log
from mars2_env.base import keys
from mars2_env.errors import Mars2Error
from mars2_env.search import ROOT, AbMctsA, AbMctsM, Choice, Mars2, PendingScore, SearchTree, make_selector
from mars2_env.search.ab_mcts import PendingMode
from mars2_env.testing.mutation import Reference
from mars2_env.testing.noise import PROFILES, Profile, fresh_slips, refined_slips
from mars2_env.types import Limits, Problem

WIDTHS: Final = (1, 4, 8, 16, 32)
MODES: Final[tuple[PendingMode, ...]] = ("none", "mean", "loss")
LUCK: Final = 16
LIMITS: Final = Limits(cpu_seconds=0.5, wall_seconds=3)
"""The references need far less, and many slips make a loop without end."""
AUTHORS: Final = ("weak", "default")

State = Any
"""What a node holds that its children depend on."""


class World(Protocol):
    """One problem, and the authors that write for it."""

    def child(self, parent: State | None, agent: int, seed: int) -> tuple[State, float]:
        """Return what an author makes of a parent (None: afresh), and its score."""
        ...


class Table:
    """Verdicts on programs of simulated authors, each judged once; kept in a file of JSON lines, if there is one."""

    def __init__(self, path: Path | None) -> None:
        """Read what the file holds."""
        self.path = path
        self.known: dict[str, tuple[float, bool]] = {}
        self._judge: Judge | None = None
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                key, fraction, quoted = json.loads(line)
                self.known[key] = (fraction, quoted)

    def verdict(self, problem: Problem, slips: dict[int, int], program: Reference) -> tuple[float, bool]:
        """Return the share of public tests that pass, and whether feedback quotes one."""
        key = json.dumps([problem.id, sorted(slips.items())])
        if key not in self.known:
            if self._judge is None:
                self._judge = Judge(make_sandbox("auto"))
            verdict = self._judge.grade(problem, program.write(slips), "public", "never")
            fraction, quoted = verdict.fraction or 0.0, verdict.feedback is not None
            self.known[key] = (fraction, quoted)
            if self.path is not None:
                with self.path.open("a") as file:
                    file.write(json.dumps([key, fraction, quoted]) + "\n")
        return self.known[key]


class NoiseWorld:
    """SIMULATED authors on a real problem; a state is the slips of a program."""

    def __init__(self, problem: Problem, profiles: Sequence[Profile], table: Table, graded: bool) -> None:
        """Read the reference program."""
        self.problem = replace(problem, limits=LIMITS)
        self.profiles = profiles
        self.table = table
        self.graded = graded
        self.reference = Reference(problem.reference or "")

    def child(self, parent: State | None, agent: int, seed: int) -> tuple[State, float]:
        """Return the slips of the next program, by one of `LUCK` ways to go on, and its score."""
        draw = Random(keys.seed(self.problem.id, repr(parent and sorted(parent.items())), agent, seed % LUCK))
        if parent is None:
            slips = fresh_slips(self.reference, self.profiles[agent], draw)
        else:
            _, quoted = self.table.verdict(self.problem, parent, self.reference)
            slips = refined_slips(self.reference, self.profiles[agent], parent, draw, feedback=quoted)
        fraction, _ = self.table.verdict(self.problem, slips, self.reference)
        return slips, fraction if self.graded else float(fraction == 1.0)


class RecordedWorld:
    """A problem as recorded replies show it; a state is a score."""

    def __init__(self, replies: Sequence[tuple[float | None, int, float]], graded: bool) -> None:
        """Sort (parent's score, agent, score) by where they came from; no parent: afresh."""
        self.graded = graded
        self._from: defaultdict[tuple[int, float | None], list[float]] = defaultdict(list)
        self._any: defaultdict[int, list[float]] = defaultdict(list)
        for parent, agent, score in replies:
            self._from[agent, parent].append(score)
            self._any[agent].append(score)

    def child(self, parent: State | None, agent: int, seed: int) -> tuple[State, float]:
        """Return a score that was reached from such a parent."""
        pool = self._from.get((agent, parent)) or self._any[agent]
        score = pool[seed % len(pool)]
        return score, score if self.graded else float(score == 1.0)


def search(world: World, selector: AbMctsA | AbMctsM | Mars2, nodes: int, width: int, seed: int) -> NDArray[np.float64]:
    """Grow a tree with `width` expansions in flight and return its best score after each node, shape (nodes,)."""
    tree = SearchTree(len(AUTHORS), capacity=nodes + 1)
    states: list[State | None] = [None]
    path = [keys.key("tree", seed)]
    taken: defaultdict[tuple[int, int], int] = defaultdict(int)
    flights: deque[tuple[Choice, PendingScore | None, int]] = deque()
    best = np.zeros(nodes)
    asked = 0
    for told in range(nodes):
        while asked < nodes and len(flights) < width:
            rng = keys.generator("select", seed, asked)
            choice = selector.select(tree, rng, tuple(flight[0] for flight in flights))
            score = selector.pending_score(tree, choice)
            stands_in = None if score is None else PendingScore(*choice, score)
            flights.append((choice, stands_in, keys.key(path[choice.parent], choice.agent, taken[choice])))
            taken[choice] += 1
            asked += 1
            tree.set_pending([flight[1] for flight in flights if flight[1] is not None])
        (parent, agent), _, luck = flights.popleft()
        state, score = world.child(states[parent], agent, luck >> 65)
        tree.set_pending([flight[1] for flight in flights if flight[1] is not None])
        tree.add(parent, agent, score)
        states.append(state)
        path.append(luck)
        best[told] = max(score, best[told - 1] if told else 0.0)
    return best


@dataclass
class Source:
    """Worlds to compare on, under one name."""

    name: str
    worlds: list[World]
    seeds: int


def recorded(folder: Path, graded: bool, seeds: int) -> Source:
    """Return the worlds of a run folder's trees."""
    worlds: list[World] = []
    replies = 0
    for tree in read_log(folder):
        score = {node.id: node.score for node in tree.nodes}
        agents = sorted({node.agent for node in tree.nodes})
        told = [(score.get(n.parent) if n.parent != ROOT else None, agents.index(n.agent), n.score) for n in tree.nodes]
        replies += len(told)
        if len(agents) == len(AUTHORS) and len(set(score.values())) > 1:
            worlds.append(RecordedWorld(told, graded))
    if not worlds:
        raise SystemExit(f"{folder}: no tree of {len(AUTHORS)} agents whose scores differ; record more replies.")
    return Source(f"recorded ({replies} replies, {len(worlds)} problems)", worlds, seeds)


def noise(name: str, count: int, table: Table, graded: bool, seeds: int) -> Source:
    """Return the worlds of the first problems of a set whose references leave room for slips in most families."""
    worlds: list[World] = []
    for problem in load_problems(name):
        if len(worlds) == count:
            break
        if problem.reference is None or not problem.public:
            continue
        try:
            world = NoiseWorld(problem, [PROFILES[author] for author in AUTHORS], table, graded)
        except Mars2Error:
            continue
        if len({site.family for site in world.reference.sites}) >= 4:
            worlds.append(world)
    return Source(f"noise on {name} ({len(worlds)} problems)", worlds, seeds)


def mean_and_error(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and standard error."""
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))


def main(arguments: Sequence[str] | None = None) -> int:
    """Grow the trees and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m mars2_bench.search.pending",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sets", default="starter,humaneval", help="problem sets for simulated authors (%(default)s)")
    parser.add_argument("--problems", type=int, default=8, help="problems of each set (default %(default)s)")
    parser.add_argument("--recorded", type=Path, help="a run folder; then no simulated authors")
    parser.add_argument("--table", type=Path, help="keep verdicts in this file, and begin with those it holds")
    parser.add_argument("--seeds", type=int, default=40, help="trees of each problem (default %(default)s)")
    parser.add_argument("--nodes", type=int, default=64, help="nodes of a tree (default %(default)s)")
    parser.add_argument("--selector", default="ab_mcts_a", help="ab_mcts_a, mars2 or ab_mcts_m, with options")
    parser.add_argument("--score", choices=["pass", "fraction"], default="fraction", help="(default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="two problems, three seeds, 16 nodes")
    options = parser.parse_args(arguments)
    if options.quick:
        options.problems, options.seeds, options.nodes = 2, 3, 16
    if min(options.problems, options.seeds - 1, options.nodes) < 1:
        parser.error("--problems and --nodes must be at least 1, --seeds at least 2")
    graded = options.score == "fraction"
    selectors = {mode: make_selector(options.selector, pending=mode) for mode in MODES}
    try:
        table = Table(options.table)
        sources = (
            [recorded(options.recorded, graded, options.seeds)]
            if options.recorded
            else [noise(name, options.problems, table, graded, options.seeds) for name in options.sets.split(",")]
        )
        rows = compare(sources, selectors, options.nodes)
    except Mars2Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.selector}, score={options.score}, {options.nodes} nodes, {options.seeds} seeds a problem\n")
    print("| source | W | metric | none | mean | loss | mean - none | loss - none |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    return 0


def compare(sources: Sequence[Source], selectors: dict[PendingMode, Any], nodes: int) -> list[str]:
    """Return the rows of the table."""
    rows = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("growing trees", total=sum(len(s.worlds) * s.seeds for s in sources) * len(WIDTHS))
        for source in sources:
            for width in WIDTHS:
                progress.update(bar, description=f"{source.name}, W = {width}")
                modes = MODES if width > 1 else MODES[:1]  # with one in flight nothing is pending at an ask
                found: dict[PendingMode, list[NDArray[np.float64]]] = {mode: [] for mode in modes}
                for world in source.worlds:
                    for seed in range(source.seeds):
                        for mode in modes:
                            found[mode].append(search(world, selectors[mode], nodes, width, seed))
                        progress.advance(bar)
                curves = {mode: np.array(found[mode]) for mode in modes}
                for metric, values in (
                    ("best score", {mode: curve[:, -1] for mode, curve in curves.items()}),
                    ("area", {mode: curve.mean(axis=1) for mode, curve in curves.items()}),
                ):
                    cells = ["{:.4f} ± {:.4f}".format(*mean_and_error(values[mode])) for mode in modes]
                    cells += [
                        "{:+.4f} ± {:.4f}".format(*mean_and_error(values[mode] - values["none"])) for mode in modes[1:]
                    ]
                    cells += ["-"] * (5 - len(cells))
                    rows.append(f"| {source.name} | {width} | {metric} | {' | '.join(cells)} |")
    return rows


if __name__ == "__main__":
    run_command(main)
