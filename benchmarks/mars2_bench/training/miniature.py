"""The miniature experiment: what training in a shared tree teaches, in arms that differ in one thing each.

    python -m mars2_bench.training.miniature --out runs/miniature
    python -m mars2_bench.training.miniature --out runs/miniature --report
    python -m mars2_bench.training.miniature --out runs/miniature --report --into docs/experiments.md
    python -m mars2_bench.training.miniature --out runs/miniature --report --figure curves.png

Each arm and seed is one file of results, written when it is through: what is there is not made again, so that a run
that was stopped goes on where it was. Several may share one folder, each taking what no other has begun. All programs
run in the sandbox, equal ones on equal inputs once (`CachedSandbox`), which is what makes it cheap.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
import transformers

from mars2_bench.command import run
from mars2_bench.training.arms import ARMS
from mars2_bench.training.figure import draw
from mars2_bench.training.report import SCALING, inserted, report
from mars2_bench.training.running import FULL, QUICK, Bench, bench, run_arm
from mars2_bench.training.scaling import PRESETS, TEAMS, scaled
from mars2_env.base.checks import one_of

QUICK_ARMS: Final = ("base", "rs2")


@contextmanager
def claimed(file: Path) -> Iterator[bool]:
    """Hold a file of results, and say whether it is to be made: it is not there, and nobody is at it."""
    with file.with_suffix(".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield not file.exists()


def written(file: Path, found: Any) -> None:
    """Write results to a file, whole or not at all."""
    build = file.with_suffix(".part")
    build.write_text(json.dumps(found), encoding="utf-8")
    build.rename(file)


def run_arms(place: Bench, arms: Sequence[str], seeds: int) -> None:
    """Run what is not there yet of some arms, all of them at one seed after the other; tell what became of each."""
    for seed in range(seeds):
        for name in arms:
            one_of("arm", name, tuple(ARMS), where="miniature")
            file = place.out / f"{name}.seed{seed}.json"
            if ARMS[name].training == "none" and seed:
                continue  # a base is the same at every seed
            with claimed(file) as wanted:
                if wanted:
                    found = run_arm(place, ARMS[name], seed, f"{name}.seed{seed}")
                    written(file, {"arm": name, "seed": seed, "size": asdict(place.size), **found})
                    team = {nodes: sum(row) / len(row) for nodes, row in found["team"]["mcts"].items()}
                    print(name, seed, f"{found['cpu_seconds']:.0f} s of CPU, the team by nodes:", team, flush=True)


def run_scaling(place: Bench, seeds: int) -> None:
    """Run what is not there yet of test-time scaling, as far as the arms that it needs are through."""
    for seed, (name, team), preset in itertools.product(range(seeds), TEAMS.items(), PRESETS):
        file = place.out / f"{SCALING}.{name}.{preset}.seed{seed}.json"
        if not (place.out / f"{team.arm}.seed{seed}.json").exists():
            print(f"{file.name}: the arm {team.arm} at seed {seed} is not through; left for another time", flush=True)
            continue
        with claimed(file) as wanted:
            if wanted:
                found = scaled(place, team, preset, seed)
                written(file, {"team": name, "preset": preset, "seed": seed, **found})
                print(file.name, f"{found['curves']['mcts'][-1]:.3f}", flush=True)


def main() -> None:
    """Run the experiment, or report it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/miniature"), help="folder of bases, weights and results")
    parser.add_argument("--arms", nargs="+", default=None, metavar="ARM", help=f"of {', '.join(ARMS)}; all by default")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each arm")
    parser.add_argument("--quick", action="store_true", help=f"a reduced form: one seed of {' and '.join(QUICK_ARMS)}")
    parser.add_argument("--report", action="store_true", help="print the tables of what is there, and run nothing")
    parser.add_argument("--into", type=Path, default=None, metavar="PAGE", help="with --report: put the tables there")
    parser.add_argument(
        "--figure", type=Path, default=None, metavar="PNG", help="with --report: draw the curves there (extra bench)"
    )
    given = parser.parse_args()
    if given.report:
        told = report(given.out)
        if given.figure is not None:
            draw(given.out, given.figure)
        if given.into is None:
            print(told)
        else:
            given.into.write_text(inserted(given.into.read_text(encoding="utf-8"), told), encoding="utf-8")
        return
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)  # of so small a model a second thread costs more than it brings
    place = bench(given.out, QUICK if given.quick else FULL)
    arms = given.arms or (QUICK_ARMS if given.quick else tuple(ARMS))
    try:
        run_arms(place, arms, 1 if given.quick else given.seeds)
        if not given.quick and given.arms is None:
            run_scaling(place, given.seeds)
    finally:
        place.sandbox.close()


if __name__ == "__main__":
    run(main)
