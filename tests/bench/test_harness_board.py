"""The board says what the files say, the same from the same files, and no more than they allow."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness_toys import toy_result
from mars2_bench.harness.board import Rerun, board
from mars2_bench.harness.report import BEGIN, END, budget, encoded, markdown, pages, placed, short, write
from mars2_bench.harness.results import Episodes, Point, Recipe, Result, path_of
from mars2_bench.harness.results import encoded as file_of
from mars2_bench.harness.statistics import interquartile_mean
from mars2_bench.harness.submitting import ABOUT, About, checked, pack

from mars2_env import ConfigError, LogError

SEEDS = range(5)


def result(name: str, seed: int, better: float = 0.0, *, budget: int = 50_000, curve: float = 0.5) -> Result:
    """A result of an algorithm of this name; some more of its trees, the first ones, reach 1."""
    one = toy_result(seed).evaluations["test"]
    scores = one.scores.copy()
    scores[: round(better * len(scores))] = 1.0
    episodes = Episodes(one.problems, one.seeds, scores, one.steps, one.actions)
    return replace(
        toy_result(seed),
        algorithm=Recipe(name, f"elsewhere:{name}", {}, ""),
        budget=budget,
        curve=(Point(500, curve), Point(1000, curve + 0.1 * seed)),
        evaluations={"test": episodes},
    )


@cache
def results() -> tuple[Result, ...]:
    return tuple(result(name, seed, better) for name, better in (("able", 0.4), ("poor", 0.0)) for seed in SEEDS)


def test_rows_say_what_the_scores_say_best_first() -> None:
    (table,) = board(reversed(results()), {})
    able, poor = table.rows
    assert (able.algorithm, poor.algorithm) == ("able", "poor")
    assert (table.problems, table.trees, able.seeds) == (250, 2, (0, 1, 2, 3, 4))
    scores = np.stack([result("able", seed, 0.4).evaluations["test"].scores for seed in SEEDS])
    assert able.mean == pytest.approx(scores.mean())
    assert able.iqm == pytest.approx(interquartile_mean(scores.mean(axis=2)))
    assert able.solved == pytest.approx((scores == 1).mean())
    assert able.by_seed == pytest.approx(scores.mean(axis=(1, 2)).tolist())
    assert able.mean_interval[0] < able.mean < able.mean_interval[1]
    assert table.over_next[0].difference == pytest.approx(able.mean - poor.mean)
    assert table.over_next[0].separated
    assert table.under_best[0].difference == pytest.approx(poor.mean - able.mean)


def test_curves_are_means_over_seeds_with_their_range() -> None:
    (table,) = board(results(), {})
    (first, second) = table.rows[0].curve
    assert first == (500, 0.5, 0.5, 0.5)
    assert second == pytest.approx((1000, 0.7, 0.5, 0.9))


def test_seeds_of_other_settings_make_no_row() -> None:
    other = replace(results()[1], algorithm=replace(results()[1].algorithm, settings={"rate": 1.0}))
    with pytest.raises(LogError, match=r"settings.rate was 1.0 and is now None"):
        board([results()[0], other], {})
    with pytest.raises(LogError, match="a seed is there twice"):
        board([results()[0], results()[0]], {})


def test_results_of_another_environment_make_no_table() -> None:
    with pytest.raises(LogError, match="environment"):
        board([*results(), replace(result("third", 0), environment="f" * 64)], {})


def test_another_budget_is_another_row() -> None:
    (table,) = board([*results(), result("able", 0, 0.9, budget=200_000)], {})
    assert [row.budget for row in table.rows] == [200_000, 50_000, 50_000]


def rerun_of(one: Result, *, identical: bool, score: float) -> dict[str, Rerun]:
    return {one.digest(): Rerun(one.digest(), identical, {"test": score}, {"test": 0.02}, "0.1.0", "")}


def test_a_row_is_rerun_where_learning_again_came_to_the_same_or_to_what_cannot_be_told_from_it() -> None:
    one = results()[0]
    score = one.evaluations["test"].score

    def division(**rerun: Any) -> str:
        return board(results(), rerun_of(one, **rerun))[0].rows[0].division

    assert board(results(), {})[0].rows[0].division == "replayed"
    assert division(identical=True, score=score) == "rerun"
    assert division(identical=False, score=score + 0.015) == "rerun"
    assert division(identical=False, score=score + 0.03) == "replayed"


def test_the_page_has_every_row_and_says_where_seeds_are_missing() -> None:
    text = markdown(board([*results(), result("new", 0, 0.2)], {}))
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert [row[0].strip("| ") for row in rows] == ["able", "new", "poor"]
    assert "(1 of 5)" in rows[1][4] and "of 5" not in rows[0][4]
    assert rows[0][1] == "50k"
    assert rows[0][6].startswith("**+") and not rows[2][6].strip()


def test_references_are_in_italics_and_columns_of_the_short_board() -> None:
    reference = replace(
        result("random", 0), algorithm=Recipe("random", "mars2_bench.harness.references:random", {}, ""), budget=0
    )
    tables = board([*results(), reference], {})
    assert "| *random* | - |" in markdown(tables)
    head, _, row = short(tables).splitlines()
    assert head == "| environment | random | best that learned |"
    means = {one.algorithm: f"{one.mean:.3f}" for one in tables[0].rows}
    assert row.startswith(f"| Route-v1 | {means['random']} | able **{means['able']}** [")


def test_the_same_results_make_the_same_bytes(tmp_path: Path) -> None:
    one, other = (pages(board(order, {}), tmp_path / "board.md") for order in (results(), tuple(reversed(results()))))
    assert one == other


def test_json_says_the_same_with_profiles_and_intervals() -> None:
    tables = board(results(), {})
    said = json.loads(encoded(tables))
    assert said["schema"] == "mars2-bench-report/1"
    row = said["tables"][0]["rows"][0]
    assert row["score"] == round(tables[0].rows[0].mean, 6)
    assert len(row["profile"]) == len(said["thresholds"]) == len(row["profile_band"][0])
    assert all(low <= at <= high for at, low, high in zip(row["profile"], *row["profile_band"], strict=True))
    assert said["tables"][0]["over_next"][0]["interval"][0] > 0


def test_the_picture_is_drawn_where_matplotlib_is_and_is_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra bench")
    tables = board(results(), {})
    first, second = (write(tables, tmp_path / name / "board.md")[-1] for name in ("one", "two"))
    assert first.name == "board.png" and first.read_bytes() == second.read_bytes()
    assert first.read_bytes().startswith(b"\x89PNG")
    assert "(board.png)" in first.with_suffix(".md").read_text()


def test_the_short_board_goes_between_its_marks_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    write(board(results(), {}), tmp_path / "board.md", page)
    text = page.read_text()
    assert text.startswith(f"before\n\n{BEGIN}\n| environment |") and text.endswith(f"|\n{END}\n\nafter\n")
    assert "old" not in text


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_page_without_its_marks_is_left_alone(text: str) -> None:
    with pytest.raises(ConfigError, match="have each of them once"):
        placed(text, "table")


def test_budgets_are_said_in_short() -> None:
    assert [budget(count) for count in (0, 50_000, 1_000_000, 1_234)] == ["-", "50k", "1M", "1,234"]


def folder_of(folder: Path, some: list[Result]) -> Path:
    for one in some:
        path = path_of(folder, one.id, one.algorithm.name, one.budget, one.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file_of(one))
    return folder


def sound(seed: int, **changes: Any) -> Result:
    """A result whose actions come to its scores, with a budget of the board."""
    return replace(toy_result(seed), budget=50_000, **changes)


def test_five_sound_seeds_are_packed_as_the_project_has_them(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", [sound(seed) for seed in SEEDS])
    written = pack(checked(folder), About("A. Person", "https://example.org/code", "", ()), tmp_path / "out")
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in written) == [
        *(f"benchmarks/results/Route-v1/toy/50000/seed-{seed}.json" for seed in SEEDS),
        "benchmarks/submissions/toy.json",
    ]
    about = json.loads((tmp_path / "out" / ABOUT / "toy.json").read_bytes())
    assert about["author"] == "A. Person" and len(about["digests"]) == 5
    for seed in SEEDS:
        name = f"Route-v1/toy/50000/seed-{seed}.json"
        assert (tmp_path / "out/benchmarks/results" / name).read_bytes() == (folder / name).read_bytes()


def test_too_few_seeds_are_not_packed(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"it has the seeds \[0, 1, 3\], and a row of the board needs 0 to 4"):
        checked(folder_of(tmp_path, [sound(seed) for seed in (0, 1, 3)]))


def test_a_budget_of_ones_own_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="a budget of 1,000; the board has 50,000, 200,000, 1,000,000"):
        checked(folder_of(tmp_path, [toy_result(0)]))


def test_a_forged_result_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="the actions come to"):
        checked(folder_of(tmp_path, [replace(result("able", seed, 0.4), expansions=10) for seed in SEEDS]))


def test_another_algorithm_under_a_shipped_name_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="the name 'ppo' is taken"):
        checked(folder_of(tmp_path, [sound(0, algorithm=Recipe("ppo", "mine:Ppo", {}, ""))]))


def test_what_was_packed_before_is_not_overwritten(tmp_path: Path) -> None:
    found = checked(folder_of(tmp_path / "mine", [sound(seed) for seed in SEEDS]))
    pack(found, About("A", "b", "", ()), tmp_path / "out")
    with pytest.raises(LogError, match="pack into an empty folder"):
        pack(found, About("B", "b", "", ()), tmp_path / "out")
