"""An environment is admitted where everybody is told apart from who is above and below."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from mars2_bench.group import bench
from mars2_bench.suite import admission
from mars2_bench.suite.admission import SEPARATIONS, Ladder, Run, admit, rung, separate, step, unpaired_step
from mars2_bench.suite.named import find
from mars2_bench.suite.playing import EVALUATION_SEEDS, Scores
from typer.testing import CliRunner

from mars2_env import ConfigError

RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 0.1, (200, 4))
FLAT = np.full((200, 4), 0.5)


def test_a_rung_is_a_mean_with_an_interval_over_problems_and_the_mean_of_each_seed() -> None:
    found = rung("who", [FLAT + NOISE, FLAT + NOISE + 0.2])
    assert found.mean == pytest.approx(0.6, abs=0.02) and found.low < found.mean < found.high
    assert found.seeds[1] - found.seeds[0] == pytest.approx(0.2)
    assert 0.01 < found.high - found.low < 0.03  # 4 * 0.05 / sqrt(200)
    assert rung("who", [FLAT]).seeds == ()


def test_a_step_must_exceed_the_effect_that_could_be_detected() -> None:
    below = [FLAT]
    assert step("a", "b", below, [FLAT + NOISE + 0.05]).passed
    close = step("a", "b", below, [FLAT + NOISE - NOISE.mean() + 0.004])
    assert not close.passed and close.least == pytest.approx(2.8 * NOISE.mean(1).std() / np.sqrt(200), rel=0.02)
    assert not step("a", "b", below, [FLAT - 0.1]).passed


def test_a_step_is_paired_by_problem() -> None:
    hard = RNG.random((200, 1)) * np.ones((1, 4))
    found = step("a", "b", [hard], [hard + 0.02 + NOISE / 100])
    assert found.passed and found.high - found.low < 0.001
    assert found.difference == pytest.approx(0.02, abs=0.001)


def test_what_is_asked_for_must_be_exceeded_and_the_interval_be_above_zero() -> None:
    assert step("a", "b", [FLAT], [FLAT + NOISE + 0.2], 0.1).passed
    assert not step("a", "b", [FLAT], [FLAT + NOISE + 0.05], 0.1).passed
    assert not step("a", "b", [FLAT], [FLAT + RNG.normal(0.01, 1.0, (200, 4))], 0.0).passed


def test_sides_on_different_problems_are_compared_without_pairs() -> None:
    found = unpaired_step("a", "b", [FLAT[:150] + NOISE[:150]], [FLAT + 0.5 + NOISE], 0.4)
    assert found.passed and found.low < 0.5 < found.high
    assert not unpaired_step("a", "b", [FLAT], [FLAT + 0.3], 0.4).passed


def test_a_ladder_has_everybody_on_fresh_trees_and_says_why_it_fails() -> None:
    told: list[str] = []
    ladder = admit(find("Route-v1"), expansions=1500, learners=2, trees=1, told=told.append)
    assert [rung.name for rung in ladder.rungs] == [
        "random", "open loop", "greedy", "thompson", "hand-written", "ppo", "oracle",
    ]  # fmt: skip
    assert ladder.digest == find("Route-v1").digest and ladder.problems >= 150
    means = {rung.name: rung.mean for rung in ladder.rungs}
    assert means["random"] < means["open loop"] < means["hand-written"] < means["oracle"]
    assert len(ladder.rungs[5].seeds) == 2 and means["ppo"] == pytest.approx(np.mean(ladder.rungs[5].seeds))
    first, second, third = ladder.steps
    assert first.passed and third.passed and third.upper == "oracle"
    assert not second.passed and not ladder.admitted  # nothing was learned in 1,500 expansions
    assert second.lower == max(("open loop", "greedy", "thompson"), key=means.__getitem__)
    assert sum("ppo, seed" in words for words in told) == 2
    assert not set(admission.SEEDS) & set(EVALUATION_SEEDS)


def test_too_few_problems_admit_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "LEAST_PROBLEMS", 300)
    with pytest.raises(ConfigError, match=r"250 problems in 'test'; admission needs 300"):
        admit(find("Route-v1"))
    with pytest.raises(ConfigError, match="trees=99"):
        admit(find("Route-v1"), trees=99)


def test_separations_compare_what_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    heights = {"ippo-own": 0.2, "ippo": 0.5}

    def learned(run: Run) -> list[Scores]:
        shapes = [(len(run.named.problems(split)), len(run.trees)) for split in run.splits]
        return [np.full(shape, heights[run.algorithm]) + run.seed / 100 for shape in shapes]

    monkeypatch.setattr(admission, "learned", learned)
    commons = SEPARATIONS[0]
    found = separate([commons], learners=2, trees=1)[commons.shows]
    assert (found.lower, found.upper) == (str(commons.lower), str(commons.upper))
    assert found.difference == pytest.approx(0.3) and found.least == 0.1 and found.passed


def test_the_command_asks_for_an_id_or_for_separations() -> None:
    for arguments in (["admit"], ["admit", "Route-v1", "--separations"]):
        found = CliRunner().invoke(bench, arguments)
        assert isinstance(found.exception, ConfigError) and "--separations" in str(found.exception)


def test_the_command_writes_the_figures_and_fails_where_the_environment_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rungs = (rung("random", [FLAT]), rung("ippo", [FLAT, FLAT + NOISE]))
    steps = (step("random", "ippo", [FLAT], [FLAT]),)
    ladder = Ladder("mars2/Relay-v1", "d1", "ippo", 100, 200, 4, rungs, steps, "0,0,0")
    monkeypatch.setattr(admission, "admit", lambda named, **options: ladder)
    out = tmp_path / "ladder.json"
    found = CliRunner().invoke(bench, ["admit", "Relay-v1", "--out", str(out)])
    assert found.exit_code == 1 and "NOT admitted" in found.output and "0.500" in found.output
    written = json.loads(out.read_text())
    assert written["digest"] == "d1" and written["admitted"] is False and written["rungs"][1]["name"] == "ippo"
