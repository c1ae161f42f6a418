"""kill -9 at any moment, and the same call again: nothing is lost, and the weights are those of a run without kills.

Moments are counted, not timed: each event of a tree that was logged, and each file or folder of the training's that is
opened for writing, renamed or removed. A child kills itself at a moment that a seed draws from all of a whole run.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from random import Random, seed
from typing import Any

import msgspec
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from mars2_env.log import read_log

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "shutil.rmtree")


class Moments:
    """Counts moments, and kills this process at one of them."""

    def __init__(self, out: Path, last: int | None) -> None:
        self.out = str(out)
        self.last = last
        self.count = 0

    def pass_(self) -> None:
        """Let a moment pass."""
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """See a call of the operating system coming."""
        writes = event == "open" and isinstance(args[2], int) and bool(args[2] & (os.O_WRONLY | os.O_RDWR))
        paths = [os.fspath(one) for one in args if isinstance(one, str | os.PathLike)]
        if (writes or event in CHANGES) and any(path.startswith(self.out) for path in paths):
            self.pass_()

    def __call__(self, *event: Any) -> None:
        """Take an event of a tree."""
        self.pass_()

    def enter(self, step: int, steps: int, phase: str) -> None:
        """Nothing."""

    def line(self, text: str) -> None:
        """Nothing."""


def run(out: Path, moment: int | None, told: Path, lora: bool, settings: dict[str, Any]) -> None:
    """Train in a process of its own until a moment, or to the end; then tell what came of it."""
    import torch
    from tiny_students import student, training

    torch.set_num_threads(1)
    seed(0)  # of Python's own generator, which a checkpoint holds as well
    moments = Moments(out, moment)
    sys.addaudithook(moments.audit)
    students = {"a": student(0, lora=lora), "b": student(1)}
    with training(out, students=students, settings=settings, progress=moments) as made:
        reports = [asdict(report)["counts"] for report in made]
    told.write_bytes(msgspec.json.encode({"moments": moments.count, "counts": reports[-1] if reports else None}))


class Runner:
    """Runs trainings in children of a process that has torch and transformers loaded already."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        loaded = ["mars2_agents.training.trainer", "transformers.models.llama.modeling_llama"]
        self.context.set_forkserver_preload(loaded)

    def __call__(
        self, out: Path, moment: int | None = None, *, lora: bool = False, **settings: Any
    ) -> dict[str, Any] | None:
        """Train until a moment; return what the run told, None where it was killed."""
        told = out.with_suffix(".told")
        child = self.context.Process(target=run, args=(out, moment, told, lora, settings))
        child.start()
        child.join(300)
        assert child.exitcode in (0, -signal.SIGKILL), f"the training ended by {child.exitcode}"
        return None if child.exitcode else msgspec.json.decode(told.read_bytes())


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner()


@pytest.fixture(scope="module")
def whole(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A training that nothing interrupted, and what it told."""
    out = tmp_path_factory.mktemp("whole") / "run"
    found = runner(out)
    assert found is not None
    return out, found


def hashes(out: Path) -> dict[str, str]:
    """SHA-256 of the weights, moments and waiting samples of the last checkpoint, and of every log."""
    last = sorted((out / "checkpoints").iterdir())[-1]
    files = [*last.rglob("*.safetensors"), *last.rglob("*.json"), *out.rglob("trees/*.jsonl")]
    return {str(file.relative_to(out)): sha256(file.read_bytes()).hexdigest() for file in files}


def metrics(out: Path) -> list[dict[str, Any]]:
    """The lines of a training's metrics, without what clocks say."""
    lines = [msgspec.json.decode(line) for line in (out / "metrics.jsonl").read_bytes().splitlines()]
    return [{key: value for key, value in line.items() if "second" not in key} for line in lines]


def check_same(out: Path, found: dict[str, Any], whole: tuple[Path, dict[str, Any]]) -> None:
    uninterrupted, told = whole
    assert hashes(out) == hashes(uninterrupted)
    assert metrics(out) == metrics(uninterrupted)
    assert found["counts"] in (told["counts"], None)  # None: it was killed behind its last checkpoint


def killed_until(runner: Runner, out: Path, moments: list[int], **options: Any) -> tuple[int, dict[str, Any]]:
    """Kill a training at moments, one after the other, as long as it does not end before; then let it end."""
    kills = 0
    for moment in moments:
        found = runner(out, moment, **options)
        if found is not None:
            return kills, found
        kills += 1
    found = runner(out, **options)
    assert found is not None
    return kills, found


def test_a_training_that_is_killed_twice_comes_to_the_same_weights(
    runner: Runner, whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    total = whole[1]["moments"]
    kills, found = killed_until(runner, tmp_path / "run", [total // 2, total // 3])
    assert kills == 2
    check_same(tmp_path / "run", found, whole)


@pytest.mark.slow
def test_a_training_that_is_killed_at_twenty_moments_comes_to_the_same_weights(
    runner: Runner, whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    draw, kills, trial = Random(13), 0, 0
    while kills < 20:
        moments = [draw.randrange(1, whole[1]["moments"]) for _ in range(20 - kills)]
        more, found = killed_until(runner, tmp_path / str(trial), moments)
        check_same(tmp_path / str(trial), found, whole)
        kills, trial = kills + more, trial + 1


@pytest.mark.slow
def test_adapters_come_to_the_same_weights_too(runner: Runner, tmp_path: Path) -> None:
    found = runner(tmp_path / "whole", lora=True)
    assert found is not None
    draw = Random(14)
    moments = [draw.randrange(1, found["moments"] // 2) for _ in range(5)]
    kills, again = killed_until(runner, tmp_path / "run", moments, lora=True)
    assert kills >= 3
    check_same(tmp_path / "run", again, (tmp_path / "whole", found))


@pytest.mark.slow
def test_a_training_that_grows_ahead_loses_nothing_by_kills(runner: Runner, tmp_path: Path) -> None:
    settings = {"sync": False, "max_staleness": 1, "steps": 8}
    draw = Random(15)
    kills, _ = killed_until(runner, tmp_path / "run", [draw.randrange(100, 250) for _ in range(6)], **settings)
    assert kills >= 3
    out = tmp_path / "run"
    assert [line["step"] for line in metrics(out)] == list(range(9))
    trees = [tree for step in sorted((out / "rollouts").iterdir()) for tree in read_log(step)]
    assert len(trees) == 16 and all(tree.ended == "budget" for tree in trees)
    last = metrics(out)[-1]
    given = sum(value for name, value in last.items() if name.endswith("/given"))
    assert given == sum(len(tree.nodes) for tree in trees) == 64
