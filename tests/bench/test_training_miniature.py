"""The miniature experiment: arms, their files, and what its report says; and, slowly, that learning happens."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra transformers")

from mars2_bench.training.arms import ARMS
from mars2_bench.training.figure import curve_of, draw, scaling_curves
from mars2_bench.training.miniature import QUICK_ARMS, claimed, run_arms, run_scaling, written
from mars2_bench.training.report import (
    BEGIN,
    END,
    blind_pass,
    by_task,
    difference,
    fresh,
    inserted,
    keeps,
    report,
    results,
    team,
    two_level_interval,
)
from mars2_bench.training.running import QUICK, Bench, Size, bench, run_arm

from mars2_env.errors import ConfigError, ExtraError
from mars2_env.sandbox.scripted import ScriptedSandbox
from mars2_env.types import Run

TINY = Size(steps=2, samples=16, batch=8, nodes=4, draws=1, tasks=4, every=1, looks=2, fine_tuning=2)


def trusting() -> ScriptedSandbox:
    """A sandbox for programs that this world wrote itself."""

    def script(program: str, given: list[object]) -> Run:
        names: dict[str, object] = {}
        try:
            exec(program, names)
            return Run("ok", output=names["solve"](*given))  # type: ignore[operator]
        except NameError as error:
            return Run("runtime_error", error_type="NameError", error_message=str(error))

    return ScriptedSandbox(script)


def found(fresh: list[float], mcts: list[int], **others: object) -> dict[str, object]:
    """What a file of results holds, as far as tables of differences look."""
    keeps = {"a": [5, 10], "b": [4, 5]}
    team = {"mcts": {n: mcts for n in ("4", "8", "16")}, "pass_at_n": {"16": mcts}, "keeps": keeps}
    told = {"fresh": {"a": fresh, "b": fresh}, "has_blind": {"a": [True, False], "b": [False, True]}, "team": team}
    return {**told, "curve": [], "trained": {}, "spent": {}, "cpu_seconds": 1.0, **others}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A tiny experiment."""
    found = bench(tmp_path_factory.mktemp("miniature"), TINY, trusting())
    yield found
    found.sandbox.close()


@pytest.mark.parametrize("name", ["base", "grpo", "rs2_shared", "homogeneous", "heterogeneous_shared"])
def test_an_arm_of_each_kind_runs_and_tells_what_it_gave_its_policies(name: str, place: Bench) -> None:
    told = run_arm(place, ARMS[name], 0, name)
    policies = {"none": [], "alone": ["a"]}.get(ARMS[name].training, ["a", "b"])
    assert list(told["spent"]) == policies
    assert sum(one["completions"] for one in told["spent"].values()) == 2 * 16 * len(policies)
    assert [point["step"] for point in told["curve"]] == ([] if name == "base" else [0, 1, 2])
    assert all(len(rates) == 4 for rates in told["fresh"].values()) and len(told["team"]["mcts"]["16"]) == 4
    assert (place.out / "weights" / name / "a" / "model.safetensors").exists() == (name != "base")


def test_what_is_there_is_not_made_again(place: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    run_arms(place, ["base"], 2)
    first = (place.out / "base.seed0.json").read_text()
    assert "base 0" in capsys.readouterr().out and not (place.out / "base.seed1.json").exists()
    run_arms(place, ["base"], 2)
    assert capsys.readouterr().out == "" and (place.out / "base.seed0.json").read_text() == first
    run_scaling(place, 1)
    assert capsys.readouterr().out.count("is not through") == 8


def test_who_comes_second_leaves_an_arm_to_who_came_first(tmp_path: Path) -> None:
    file = tmp_path / "rs2.seed0.json"
    with claimed(file) as mine, claimed(file) as theirs:
        assert mine and not theirs
        written(file, {"a": 1})
    with claimed(file) as again:
        assert not again and json.loads(file.read_text()) == {"a": 1}


def test_a_difference_is_paired_by_task_over_the_seeds_that_both_have() -> None:
    arm = [found([1.0, 0.5], [1, 1]), found([1.0, 1.0], [1, 0])]
    other = [found([0.0, 0.5], [0, 1]), found([0.5, 0.5], [1, 0]), found([9.0, 9.0], [9, 9])]
    gap = difference(arm, other, team(8))
    assert gap.mean == 0.25 and gap.seeds == (0.5, 0.0) and gap.tasks[0] <= gap.mean <= gap.tasks[1]
    assert by_task(arm, fresh("a")).tolist() == [1.0, 0.75]
    assert difference(arm, other, fresh("b")).mean == pytest.approx(0.5)


def test_an_interval_over_trainings_is_wider_where_these_differ_more_than_tasks_do() -> None:
    rng = np.random.default_rng(0)
    alike = rng.normal(0.1, 0.2, (3, 100))
    apart = alike + np.array([[-0.3], [0.0], [0.3]])
    width = {name: np.diff(two_level_interval(one)).item() for name, one in (("alike", alike), ("apart", apart))}
    assert width["apart"] > 3 * width["alike"] > 0
    low, high = two_level_interval(np.full((2, 5), 0.25))
    assert low == pytest.approx(0.25) and high == pytest.approx(0.25)


def test_blind_tasks_and_kept_parts_are_counted_over_all_seeds() -> None:
    seeds = [found([1.0, 0.5], [1, 1]), found([0.5, 0.0], [1, 0])]
    assert blind_pass(seeds, "a") == 0.75 and blind_pass(seeds, "b") == 0.25
    assert keeps(seeds, "a") == 0.5 and np.isnan(keeps(seeds, "b"))


def test_the_report_has_a_row_for_each_arm_and_each_pair_that_is_there(tmp_path: Path) -> None:
    for name, rates in (("rs2", [0.0, 0.5]), ("heterogeneous", [0.5, 1.0])):
        written(tmp_path / f"{name}.seed0.json", found(rates, [1, 0]))
    text = report(tmp_path)
    assert "| rs2 (1) | 0.250 / 0.250 |" in text and "| heterogeneous (1) | 0.750 / 0.750 |" in text
    assert "| heterogeneous - rs2 |" in text and "+0.500" in text and "grpo" not in text
    assert list(results(tmp_path)) == ["rs2", "heterogeneous"]


def test_a_report_takes_the_place_of_the_one_before_it() -> None:
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\nrest\n"
    once = inserted(page, "| new |")
    assert "old" not in once and "| new |" in once and once.startswith("# Title") and once.endswith("rest\n")
    assert inserted(once, "| new |") == once
    with pytest.raises(ConfigError, match="no lines"):
        inserted("# Title\n", "| new |")


@pytest.mark.slow
@pytest.mark.timeout(3600)  # three minutes of CPU; how long that takes is the machine's business
@pytest.mark.docker
def test_training_beats_its_own_base_on_held_out_tasks(tmp_path: Path) -> None:
    place = bench(tmp_path, QUICK)
    run_arms(place, QUICK_ARMS, 1)
    place.sandbox.close()
    told = results(tmp_path)
    for read in (fresh("a"), fresh("b"), team(8)):
        gaps = by_task(told["rs2"], read) - by_task(told["base"], read)
        z = gaps.mean() / (gaps.std(ddof=1) / np.sqrt(len(gaps)))
        assert 1 - NormalDist().cdf(z) < 0.01


def curved(*teams: float, who: str = "ab") -> dict[str, object]:
    """What a file of results holds of a learning curve, whose agents are at half of the team."""
    points = [
        {"step": 10 * place, "fresh": dict.fromkeys(who, value / 2), "team": value} for place, value in enumerate(teams)
    ]
    return found([0.5, 0.5], [1, 0], curve=points)


def test_a_learning_curve_is_the_mean_of_its_seeds_with_the_least_and_the_most() -> None:
    seeds = [curved(0.25, 0.5), curved(0.25, 1.0)]
    curve = curve_of(seeds, "team")
    assert curve is not None
    assert (curve.steps.tolist(), curve.mean.tolist()) == ([0, 10], [0.25, 0.75])
    assert (curve.low.tolist(), curve.high.tolist()) == ([0.25, 0.5], [0.25, 1.0])
    assert curve_of([curved(0.25, 0.5, who="a")], "b") is None
    assert curve_of([found([0.5], [1])], "team") is None


def drawable(folder: Path) -> Path:
    """A folder of results with learning curves of two pairs of bases, and test-time scaling."""
    for name in ("rs2", "homogeneous", "second_rs2"):
        who = "a" if name == "homogeneous" else "ab"
        (folder / f"{name}.seed0.json").write_text(json.dumps(curved(0.25, 0.5, who=who)))
    for seed, last in enumerate((0.5, 1.0)):
        written(folder / f"scaling.single.mars2.seed{seed}.json", {"curves": {"mcts": [0.25, last]}})
    return folder


def test_the_curves_of_a_folder_become_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra bench")
    assert scaling_curves(drawable(tmp_path))["single"].tolist() == [0.25, 0.75]
    draw(tmp_path, tmp_path / "some" / "curves.png")
    assert (tmp_path / "some" / "curves.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="the name has to end with one of"):
        draw(tmp_path, tmp_path / "curves.csv")


def test_a_figure_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="has no learning curves"):
        draw(tmp_path, tmp_path / "curves.png")
    for name in ("matplotlib", "matplotlib.backends.backend_agg"):  # whatever is imported already
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExtraError, match=r"a figure: .*matplotlib"):
        draw(drawable(tmp_path), tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
