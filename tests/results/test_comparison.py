"""Searches compared: what pairs, what is left out and said, and what the numbers are of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toys import Guesser, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError
from mars2_env.results import Comparison, compare
from mars2_env.results.comparison import MEASURES

PROBLEMS = problem_set(6)


def grow(out: Path, *, choices: int = 6, seed: int = 0, budget: int = 4, **options: Any) -> Path:
    task = mars2_env.task(options.pop("problems", PROBLEMS), sandbox=sandbox(), budget=budget)
    list(mars2_env.rollout(task, Guesser(choices), out=out, seed=seed, **options))
    return out


def compared(*runs: Any, **options: Any) -> Comparison:
    return compare(*runs, **{"problems": PROBLEMS, "sandbox": sandbox(), **options})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two searches, each under two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        grow(folder / f"wide-{seed}", seed=seed)
        grow(folder / f"narrow-{seed}", choices=3, seed=seed, budget=5)
    yield folder


def all_of(runs: Path, **options: Any) -> Comparison:
    return compared([runs / name for name in ("wide-0", "narrow-0", "wide-1", "narrow-1")], **options)


def test_runs_of_one_search_under_other_seeds_are_one_side(runs: Path) -> None:
    found = all_of(runs)
    assert [(arm.name, len(arm.folders), arm.finished) for arm in found.arms] == [("wide", 2, 12), ("narrow", 2, 12)]
    assert (found.pairs, found.problems, found.expected) == (12, 6, 12)


def test_means_and_differences_are_those_of_evaluate_where_all_trees_pair(runs: Path) -> None:
    found = all_of(runs)
    shares = []
    for name in ("wide", "narrow"):
        results = mars2_env.evaluate([runs / f"{name}-{seed}" for seed in (0, 1)], problems=PROBLEMS, sandbox=sandbox())
        shares.append((results.pass_at_1_mcts, results.pass_at_n))
    for place, measure in enumerate(("pass_at_1_mcts", "pass_at_n")):
        assert [arm.means[measure] for arm in found.arms] == pytest.approx([share[place] for share in shares])
        (row,) = [one for one in found.differences if one.measure == measure]
        assert row.value == pytest.approx(shares[1][place] - shares[0][place])
        assert row.interval[0] <= row.value <= row.interval[1]
    assert found.arms[0].means["nodes"] == 4.0


def test_a_search_does_not_differ_from_itself(runs: Path) -> None:
    found = compared({"one": runs / "wide-0", "other": runs / "wide-0"})
    assert {(one.value, one.interval, one.p) for one in found.differences if one.measure != "seconds"} == {
        (0.0, (0.0, 0.0), 1.0)
    }
    assert all(one.detectable is None for one in found.differences)  # nothing is known of how problems vary


def test_budgets_that_differ_are_said_and_compared_at_equal_nodes(runs: Path) -> None:
    assert any("wide 4, narrow 5" in note and "nodes 4 " in note for note in all_of(runs).notes)
    equal = all_of(runs, nodes=2)
    assert [arm.means["nodes"] for arm in equal.arms] == [2.0, 2.0]
    assert not any("expansions" in note for note in equal.notes)


def test_curves_end_at_what_trees_come_to_and_never_fall_for_pass_at_n(runs: Path) -> None:
    found = all_of(runs)
    for arm in found.arms:
        curve = found.curve(arm.name, "pass_at_n")
        assert curve is not None and curve.x == (1.0, 2.0, 3.0, 4.0, 5.0)
        assert list(curve.y) == sorted(curve.y) and curve.y[-1] == arm.means["pass_at_n"]
        assert arm.means["area_at_n"] == pytest.approx(sum(curve.y) / 5)
        by_time = found.curve(arm.name, "pass_at_n", "seconds")
        assert by_time is not None and by_time.y[-1] == arm.means["pass_at_n"]


def test_tokens_that_no_policy_tells_are_left_out_and_said(runs: Path) -> None:
    found = all_of(runs)
    assert found.arms[0].means["tokens"] is None and found.curve("wide", "pass_at_n", "tokens") is None
    assert any(note.startswith("tokens are left out") for note in found.notes)


def test_trees_without_a_partner_are_counted_and_not_compared(runs: Path, tmp_path: Path) -> None:
    few = grow(tmp_path / "few", choices=3, problems=problem_set(6), limit=2)
    found = compared([runs / "wide-0", few])
    assert (found.pairs, found.expected) == (2, 2)
    assert [arm.alone for arm in found.arms] == [4, 0]


def unfinished(out: Path) -> Path:
    """A run of five choices that was stopped after the first of its trees."""
    task = mars2_env.task(PROBLEMS, sandbox=sandbox(), budget=4)
    run = mars2_env.rollout(task, Guesser(5), out=out, trees=1)
    next(run)
    run.close()  # type: ignore[attr-defined]  # it is a generator
    return out


def test_a_run_that_is_not_finished_is_refused_or_compared_with_bounds(runs: Path, tmp_path: Path) -> None:
    part = unfinished(tmp_path / "part")
    with pytest.raises(ConfigError, match="1 of 6 planned trees"):
        compared([runs / "wide-0", part])
    found = compared([runs / "wide-0", part], partial=True)
    assert (found.pairs, found.expected) == (1, 6)
    assert [(arm.unfinished, arm.waiting) for arm in found.arms] == [(0, 5), (5, 0)]
    (row,) = [one for one in found.differences if one.measure == "pass_at_n"]
    assert row.bounds == pytest.approx(((row.value - 5) / 6, (row.value + 5) / 6))


def written(path: Path, changed: int) -> Path:
    """A file of toy problems, of which one has another statement."""
    with path.open("w") as file:
        for number in range(4):
            tests = {
                group: [{"input": f"{group} {n}", "output": str(number)} for n in range(2)]
                for group in ("public", "scoring", "hidden")
            }
            statement = f"Print {number}{'.' * (number == changed)}"
            print(json.dumps({"id": f"toy/{number}", "statement": statement, "interface": "stdin", **tests}), file=file)
    return path


def test_of_different_problem_sets_only_equal_problems_pair(tmp_path: Path) -> None:
    runs = []
    for name, changed in (("old", 9), ("new", 2)):
        task = mars2_env.task(str(written(tmp_path / f"{name}.jsonl", changed)), sandbox=sandbox(), budget=2)
        list(mars2_env.rollout(task, Guesser(), out=tmp_path / name))
        runs.append(tmp_path / name)
    found = compared(runs, problems=None)
    assert found.pairs == 3 and [arm.other_problem for arm in found.arms] == [1, 1]
    assert any("different problem sets" in note for note in found.notes)


def test_nothing_in_common_is_an_error_that_says_what_to_do(runs: Path) -> None:
    with pytest.raises(ConfigError, match=r"'wide-0' and 'narrow-1' have no problem and seed in common.*--seed"):
        compared([runs / "wide-0", runs / "narrow-1"])
    with pytest.raises(ConfigError, match="1 search is not compared with anything"):
        compared([runs / "wide-0", runs / "wide-1"])
    with pytest.raises(ConfigError, match="takes several runs"):
        compared(runs / "wide-0")


def test_trees_that_were_handed_over_are_compared_under_their_names(runs: Path) -> None:
    named = {name: mars2_env.read_log(runs / f"{name}-0") for name in ("wide", "narrow")}
    found = compared(named)
    assert [arm.name for arm in found.arms] == ["wide", "narrow"] and found.pairs == 6


def test_answers_by_agreement_are_compared_by_whole_trees_alone(runs: Path) -> None:
    found = all_of(runs, answer="agreement")
    assert found.curve("wide", "pass_at_n") is not None and found.curve("wide", "pass_at_1_mcts") is None
    assert found.arms[0].means["area_at_1"] is None
    with pytest.raises(ConfigError, match="agreement"):
        all_of(runs, answer="agreement", nodes=2)


def test_several_searches_have_their_p_adjusted(runs: Path, tmp_path: Path) -> None:
    third = grow(tmp_path / "third", choices=2)
    found = compared([runs / "wide-0", runs / "narrow-0", third])
    for measure in MEASURES:
        rows = [one for one in found.differences if one.measure == measure]
        assert all(row.p_holm >= row.p for row in rows)


def test_a_comparison_is_plain_data(runs: Path) -> None:
    data = json.loads(json.dumps(all_of(runs).to_dict()))
    assert data["pairs"] == 12 and {one["measure"] for one in data["differences"]} < set(MEASURES)


def test_a_team_is_measured_against_its_members_alone_at_equal_nodes(tmp_path: Path) -> None:
    for name, team, budget in (
        ("team", {"a": "noise:default", "b": "noise:weak"}, 4),
        ("a", {"a": "noise:default"}, 6),
        ("b", {"b": "noise:weak"}, 4),
    ):
        task = mars2_env.task("starter", agents=list(team), sandbox=sandbox(), budget=budget)
        policies = {f"{agent}_0": policy for agent, policy in team.items()}
        list(mars2_env.rollout(task, policies, out=tmp_path / name, limit=3))
    found = compared([tmp_path / name for name in ("a", "team", "b")], problems=None)
    (one,) = found.teams
    assert (one.team, set(one.members), one.nodes) == ("team", {"a", "b"}, 4)
    assert compared([tmp_path / "a", tmp_path / "team"], problems=None).teams == ()


def test_the_curves_are_drawn(runs: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from mars2_env.results.picture import draw

    draw(all_of(runs), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="ends in one of"):
        draw(all_of(runs), tmp_path / "curves.exe")
