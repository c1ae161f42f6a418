"""A run does what is not done yet: it can be killed at any moment, started twice, and held to its budget."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness_toys import ROUTE, Toy, Uniform, toy_cell, toy_result
from mars2_bench.harness.algorithms import make, player_of, remade
from mars2_bench.harness.metering import Meter, metered
from mars2_bench.harness.results import Claim, encoded, read_result
from mars2_bench.harness.running import evaluate, learn, run
from mars2_bench.harness.verifying import compared
from mars2_bench.suite.named import find

from mars2_env import ConfigError, LogError, PolicyError


def apart_from_the_clock(path: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(path.read_bytes())
    del said["clock"]
    return said


def test_the_same_cell_comes_to_the_same_file() -> None:
    one, other = toy_result(), learn(toy_cell())
    assert one.digest() == other.digest()
    assert one.evaluations["test"].digest() != toy_result(seed=1).evaluations["test"].digest()


def test_a_result_says_what_was_learned_and_at_what_cost() -> None:
    result = toy_result()
    assert (result.id, result.seed, result.budget, result.expansions) == (ROUTE, 0, 1000, 1000)
    assert result.algorithm.factory == "harness_toys:Toy"
    assert result.algorithm.settings == {"envs": 100, "split": "train", "fatal": ""}
    assert [point.expansions for point in result.curve] == [300, 800]
    assert result.clock.learning > 0 and result.clock.evaluation > 0


def test_a_run_that_is_killed_and_started_again_has_the_files_of_one_that_was_not(tmp_path: Path) -> None:
    command = "; ".join(
        [
            "import sys; from pathlib import Path; from harness_toys import toy_cell",
            "from mars2_bench.harness.running import run",
            "list(run([toy_cell(seed, fatal=sys.argv[2]) for seed in (0, 1)], Path(sys.argv[1])))",
        ]
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore"}

    def started(folder: str) -> int:
        return subprocess.run(
            [sys.executable, "-c", command, folder, "fatal"], cwd=tmp_path, env=environment
        ).returncode

    assert started("killed") == -9
    assert not list((tmp_path / "killed").rglob("*.json"))
    assert started("killed") == 0
    assert started("whole") == 0
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*") if path.is_file())
    assert [file.name for file in files] == ["seed-0.json", "seed-1.json"]
    assert files == sorted(
        path.relative_to(tmp_path / "killed") for path in (tmp_path / "killed").rglob("*") if path.is_file()
    )
    for file in files:
        assert apart_from_the_clock(tmp_path / "killed" / file) == apart_from_the_clock(tmp_path / "whole" / file)


def test_what_a_kill_left_of_a_file_is_not_taken_for_one(tmp_path: Path) -> None:
    cell = toy_cell()
    path = cell.path(tmp_path)
    path.parent.mkdir(parents=True)
    for left in (encoded(toy_result())[:500], encoded(toy_result())):
        path.unlink(missing_ok=True)
        path.with_name(path.name + ".part").write_bytes(left)
        (done,) = run([cell], tmp_path)
        assert not done.kept
        assert [one.name for one in path.parent.iterdir()] == [path.name]
        assert read_result(path).digest() == toy_result().digest()


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    (first,) = run([toy_cell()], tmp_path)
    before = first.path.read_bytes()
    again, new = run([toy_cell(), toy_cell(seed=1)], tmp_path)
    assert (again.kept, new.kept) == (True, False)
    assert first.path.read_bytes() == before


def test_a_file_of_other_settings_is_not_overwritten(tmp_path: Path) -> None:
    list(run([toy_cell()], tmp_path))
    with pytest.raises(LogError, match=r"algorithm.settings.envs was 100 and is now 50"):
        list(run([toy_cell(envs=50)], tmp_path))


def test_a_cell_at_which_another_process_is_is_passed_over(tmp_path: Path) -> None:
    other = Claim(toy_cell().path(tmp_path))
    taken, free = run([toy_cell(), toy_cell(seed=1)], tmp_path)
    assert taken.result is None and free.result is not None
    other.close()
    (done,) = run([toy_cell()], tmp_path)
    assert done.result is not None


def test_an_algorithm_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        list(run([toy_cell(split="test")], tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@dataclass(frozen=True)
class Endless:
    """An algorithm that goes on and on, and prefers something else after each step."""

    tells: bool

    def __call__(self, named: Any, expansions: int, seed: int, told: Any) -> Uniform:
        vec, rng = named.make_vec(100, autoreset_mode="SameStep"), np.random.default_rng(seed)
        observations, _ = vec.reset(seed=seed)
        for step in itertools.count(1):
            observations, *_ = vec.step(Uniform().act(observations, rng))
            if self.tells:
                told(step * 100, Uniform(preferred=step))
        raise AssertionError


def test_an_algorithm_that_goes_on_is_stopped_within_its_budget_and_what_it_told_last_plays() -> None:
    cell = toy_cell(budget=450)
    result = learn(replace(cell, made=replace(cell.made, learn=Endless(tells=True))))
    assert result.expansions == 400
    alike = evaluate(cell.named, "test", player_of(Uniform(preferred=4)), seed=0)
    assert result.evaluations["test"].digest() == alike.digest()


def test_one_that_goes_on_and_tells_nothing_has_no_result() -> None:
    cell = toy_cell(budget=450)
    with pytest.raises(PolicyError, match="400 expansions of a budget of 450 are spent, and a step may take 100"):
        learn(replace(cell, made=replace(cell.made, learn=Endless(tells=False))))


def test_an_algorithm_does_not_see_the_problems_that_it_is_measured_on() -> None:
    with pytest.raises(PolicyError, match="learns from the split 'train'"):
        learn(toy_cell(split="test"))
    with pytest.raises(PolicyError, match="learns from the split 'train'"):
        metered(find(ROUTE), Meter(10)).task("test")


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_each_expansion_is_counted_once_whatever_becomes_of_ended_trees(mode: str) -> None:
    meter, rng = Meter(None), np.random.default_rng(0)
    vec = metered(find(ROUTE), meter).make_vec(30, autoreset_mode=mode)
    observations, _ = vec.reset(seed=0)
    counted = 0
    for _ in range(40):
        waiting = int(vec._fleet.waiting.sum())
        observations, *_ = vec.step(Uniform().act(observations, rng))
        counted += 30 - waiting
        assert meter.spent == counted


def test_what_is_learned_again_is_compared_to_the_last_action() -> None:
    result = toy_result()
    found = compared(result, learn(toy_cell()))
    assert found.identical and found.agrees(result)
    other = compared(result, toy_result(seed=1))
    assert not other.identical
    assert other.scores == {"test": toy_result(seed=1).evaluations["test"].score}


def test_an_algorithm_is_made_again_from_what_its_result_says() -> None:
    recipe = make("harness_toys:Toy,envs=50").recipe
    again = remade(recipe)
    assert again.recipe == recipe and again.learn == Toy(50)
    changed = type(recipe)(recipe.name, recipe.factory, recipe.settings, "0" * 64)
    with pytest.raises(ConfigError, match="has other sources here"):
        remade(changed)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nothing", "unknown algorithm 'nothing'"),
        ("no_such_module:Toy", "No module named 'no_such_module'"),
        ("harness_toys:Nothing", "has no attribute 'Nothing'"),
        ("harness_toys:ROUTE", "is no factory"),
        ("harness_toys:Toy,width=3", "Its options: envs, split, fatal"),
        ("harness_toys:Toy,envs=many", "envs='many' is not a whole number"),
    ],
)
def test_a_spec_that_names_no_algorithm_says_why(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(spec)


def test_nobody_goes_by_the_name_of_another() -> None:
    with pytest.raises(ConfigError, match="the name 'oracle' is taken"):
        make("ppo", "oracle")
    with pytest.raises(ConfigError, match="random is a reference, and keeps its name"):
        make("random", "mine")
    assert make("ppo", "mine").recipe.name == "mine"


def test_the_name_on_the_board_is_the_factorys_unless_one_is_given() -> None:
    assert make("harness_toys:Toy").recipe.name == "toy"
    assert make("harness_toys:Toy", "toy-50").recipe.name == "toy-50"
    with pytest.raises(ConfigError, match="small letters"):
        make("harness_toys:Toy", "a/b")


def test_what_is_no_controller_is_refused() -> None:
    with pytest.raises(PolicyError, match="returned 3"):
        player_of(3)  # type: ignore[arg-type]


def test_an_algorithm_from_elsewhere_is_not_shown_the_trees_that_it_is_measured_on() -> None:
    cell = toy_cell()
    peeking = replace(cell, made=replace(cell.made, learn=lambda *_: lambda vec: Uniform()))
    with pytest.raises(PolicyError, match=r"return a controller, which has act\(observations, rng\)"):
        learn(peeking)
