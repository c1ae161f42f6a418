"""Evaluation: hidden tests are opened here alone, once, and the numbers are the field's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import FaultySandbox, Guesser, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, ProblemSet, Results, Run
from mars2_env.results import TreeResult, clustered_interval, wilson_interval
from mars2_env.results.verdicts import HIDDEN_FILE
from mars2_env.testing import ScriptedSandbox


def grow(out: Path | None = None, problems: ProblemSet | None = None) -> list[mars2_env.Tree]:
    task = mars2_env.task(problems or problem_set(6), sandbox=sandbox(), budget=4)
    return list(mars2_env.rollout(task, Guesser(), out=out))


def test_pass_at_1_mcts_and_pass_at_n_count_trees() -> None:
    trees = grow()
    results = mars2_env.evaluate(trees, problems=problem_set(6), sandbox=sandbox())
    solved = [any(node.program == f"print({tree.problem[-1]})\n" for node in tree.nodes) for tree in trees]
    assert 0 < sum(solved) < 6
    assert results.pass_at_n == sum(solved) / 6
    # in the toy world public and hidden tests agree, so the answer is right wherever some node is
    assert results.pass_at_1_mcts == results.pass_at_n


def test_a_program_that_hard_codes_the_public_tests_does_not_pass() -> None:
    def seen_only(program: str, input: str) -> Run:
        return Run("ok", output="1" if input in ("first", "second") else "hard-coded")

    task = mars2_env.task(problem_set(2), sandbox=ScriptedSandbox(seen_only), score_on="public")
    trees = list(mars2_env.rollout(task, Guesser(), problems=["toy/1"]))
    assert trees[0].best_score == 1.0
    results = mars2_env.evaluate(trees, problems=problem_set(2), sandbox=ScriptedSandbox(seen_only))
    assert (results.pass_at_1_mcts, results.pass_at_n) == (0.0, 0.0)


def test_no_hidden_input_reaches_the_sandbox_before_evaluation(tmp_path: Path) -> None:
    box = sandbox()
    task = mars2_env.task(problem_set(3), sandbox=box, score_on="scoring")
    list(mars2_env.rollout(task, Guesser(), out=tmp_path))
    assert {input for _, input in box.calls} == {"first", "second", "third"}
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"fourth" not in path.read_bytes()


def test_hidden_verdicts_are_kept_beside_the_logs_and_not_made_twice(tmp_path: Path) -> None:
    grow(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "trees").iterdir()}
    first_box, second_box = sandbox(), sandbox()
    first = mars2_env.evaluate(tmp_path, problems=problem_set(6), sandbox=first_box)
    assert {path: path.read_bytes() for path in (tmp_path / "trees").iterdir()} == before
    assert first_box.calls
    store = tmp_path / HIDDEN_FILE
    whole = store.read_bytes()
    assert mars2_env.evaluate(tmp_path, problems=problem_set(6), sandbox=second_box) == first
    assert second_box.calls == []
    store.write_bytes(whole[: len(whole) // 2])  # cut off in mid-line
    for _ in range(2):
        assert mars2_env.evaluate(tmp_path, problems=problem_set(6), sandbox=sandbox()) == first
    assert len(store.read_bytes()) == len(whole)


def test_another_version_of_the_problem_set_is_refused() -> None:
    with pytest.raises(ConfigError, match="another version"):
        mars2_env.evaluate(grow(), problems=problem_set(5), sandbox=sandbox())


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no finished tree"):
        mars2_env.evaluate([], problems=problem_set(), sandbox=sandbox())


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0)]
)
def test_the_wilson_interval_has_its_published_values(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_a_kept_verdict_is_that_of_the_program_and_not_of_the_nodes_number(tmp_path: Path) -> None:
    class Writes:
        def __init__(self, number: int) -> None:
            self.number = number

        def act(self, turns: list[mars2_env.Turn]) -> list[mars2_env.Reply]:
            return [mars2_env.Reply(f"n = {turn.id}\nprint({self.number})") for turn in turns]

    task = mars2_env.task(problem_set(6), sandbox=sandbox(), budget=2)
    for number, share in ((1, 1.0), (0, 0.0)):
        list(mars2_env.rollout(task, Writes(number), out=tmp_path, problems=["toy/1"]))
        assert mars2_env.evaluate(tmp_path, problems=problem_set(6), sandbox=sandbox()).pass_at_n == share
        for path in (tmp_path / "trees").iterdir():
            path.unlink()


def test_a_folder_that_does_not_know_its_problems_says_what_to_give(tmp_path: Path) -> None:
    env = mars2_env.make(problem_set(6), sandbox=sandbox(), out=tmp_path)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="problems="):
        mars2_env.evaluate(tmp_path)


def unfinished(out: Path) -> None:
    """A run that was interrupted after the first of its trees."""
    task = mars2_env.task(problem_set(6), sandbox=sandbox(), budget=4)
    run = mars2_env.rollout(task, Guesser(), out=out, trees=1)
    next(run)
    run.close()  # type: ignore[attr-defined]  # it is a generator


def test_a_run_that_is_not_finished_is_refused_or_evaluated_with_bounds(tmp_path: Path) -> None:
    unfinished(tmp_path)
    with pytest.raises(ConfigError, match=r"1 of 6 planned trees are finished.*partial=True"):
        mars2_env.evaluate(tmp_path, problems=problem_set(6), sandbox=sandbox())
    part = mars2_env.evaluate(tmp_path, problems=problem_set(6), sandbox=sandbox(), partial=True)
    assert (len(part.trees), part.planned, part.missing) == (1, 6, 5)
    solved = part.pass_at_n
    assert part.bounds("pass_at_n") == (solved / 6, (solved + 5) / 6)
    grow(tmp_path)
    whole = mars2_env.evaluate(tmp_path, problems=problem_set(6), sandbox=sandbox())
    assert (whole.planned, whole.missing) == (6, 0)
    low, high = part.bounds("pass_at_n")
    assert low <= whole.pass_at_n <= high
    assert whole.bounds("pass_at_n") == (whole.pass_at_n, whole.pass_at_n)


def test_the_plan_of_a_folder_is_all_that_was_to_be_played_in_it(tmp_path: Path) -> None:
    task = mars2_env.task(problem_set(6), sandbox=sandbox(), budget=4)
    for ids in (["toy/1"], ["toy/1", "toy/2"], ["toy/0"]):
        list(mars2_env.rollout(task, Guesser(), out=tmp_path, problems=ids))
        results = mars2_env.evaluate(tmp_path, problems=problem_set(6), sandbox=sandbox())
        assert results.planned == len(results.trees)
    assert results.planned == 3


def test_a_folder_without_a_plan_is_evaluated_and_says_that_it_has_none(tmp_path: Path) -> None:
    unfinished(tmp_path)
    path = tmp_path / "run.json"
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "plan"}))
    results = mars2_env.evaluate(tmp_path, problems=problem_set(6), sandbox=sandbox())
    assert (len(results.trees), results.planned) == (1, None)


def results_of(outcomes: dict[str, list[bool]]) -> Results:
    """Results with so many trees of each problem, of which these pass."""
    return Results(
        tuple(
            TreeResult(problem, seed, 1, 0, 1, passed, int(passed))
            for problem, passes in outcomes.items()
            for seed, passed in enumerate(passes)
        )
    )


def test_one_tree_a_problem_has_the_wilson_interval_and_copies_of_trees_add_nothing_to_it() -> None:
    alone = results_of({f"p{k}": [k < 12] for k in range(40)})
    assert alone.interval("pass_at_n") == wilson_interval(12, 40) == alone.interval(0.3)
    copied = results_of({f"p{k}": [k < 12] * 10 for k in range(40)})
    assert copied.interval("pass_at_n") == pytest.approx(wilson_interval(12 * 39 / 40, 39), abs=1e-12)  # K / (K - 1)
    with pytest.raises(ConfigError, match="400 trees are of 40 problems"):
        copied.interval(0.3)
    with pytest.raises(ConfigError, match="Did you mean 'pass_at_n'"):
        copied.interval("pass_at_m")  # type: ignore[arg-type]


def test_trees_of_one_problem_that_are_independent_count_in_full() -> None:
    mixed = results_of({f"p{k}": [True, False] for k in range(20)})
    assert mixed.interval("pass_at_n") == wilson_interval(20, 40)


@pytest.mark.parametrize("passes", [True, False])
def test_where_all_trees_agree_each_problem_counts_once(passes: bool) -> None:
    same = results_of({f"p{k}": [passes] * 5 for k in range(8)})
    assert same.interval("pass_at_n") == wilson_interval(8 * passes, 8)
    one = results_of({"p": [True, False, True]})
    assert one.interval("pass_at_n") == wilson_interval(2 / 3, 1)


def test_the_interval_over_seeds_covers_the_truth_and_one_that_takes_trees_for_problems_does_not() -> None:
    rng = np.random.default_rng(7)
    covered = naive = 0
    for _ in range(400):
        chances = rng.beta(0.3, 0.3, size=40)  # problems are easy or hard; the true share is 1/2
        passes = rng.random((40, 8)) < chances[:, None]
        low, high = clustered_interval(passes.ravel().tolist(), np.repeat(np.arange(40), 8).tolist())
        covered += low <= 0.5 <= high
        low, high = wilson_interval(int(passes.sum()), passes.size)
        naive += low <= 0.5 <= high
    assert 0.92 < covered / 400 < 0.98
    assert naive / 400 < 0.75


def test_a_tree_that_ended_by_faults_is_left_out_and_counted() -> None:
    calm = grow()
    shaken = mars2_env.task(problem_set(6), sandbox=FaultySandbox(1000), budget=4)
    faulty = list(mars2_env.rollout(shaken, Guesser(), problems=["toy/1"]))
    assert faulty[0].ended == "faults"
    results = mars2_env.evaluate([*calm, *faulty], problems=problem_set(6), sandbox=sandbox())
    assert (len(results.trees), results.unfinished) == (6, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sandbox": "docker"}, r"evaluate\(sandbox='docker'\): give a sandbox, such as make_sandbox\('docker'\)"),
        ({"sandbox": sandbox}, r"evaluate\(sandbox=<function"),
        ({"problems": 3}, r"evaluate\(problems=3\)"),
        ({"problems": []}, r"evaluate\(problems=\[\]\)"),
        ({"partial": "yes"}, r"evaluate\(partial='yes'\)"),
        ({"observer": 1}, r"evaluate\(observer=1\)"),
        ({"answer": None}, "unknown way to answer"),
    ],
)
def test_an_argument_that_is_none_is_named_as_that_of_evaluate(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        mars2_env.evaluate(tmp_path, **options)


def test_runs_of_one_search_under_other_seeds_are_evaluated_together(tmp_path: Path) -> None:
    task = mars2_env.task(problem_set(6), sandbox=sandbox(), budget=4)
    for seed in (0, 1):
        list(mars2_env.rollout(task, Guesser(), out=tmp_path / str(seed), seed=seed))
    each = [mars2_env.evaluate(tmp_path / str(n), problems=problem_set(6), sandbox=sandbox()) for n in (0, 1)]
    both = mars2_env.evaluate([tmp_path / "0", str(tmp_path / "1")], problems=problem_set(6), sandbox=sandbox())
    assert both.trees == each[0].trees + each[1].trees
    assert (both.planned, both.missing) == (12, 0)
    low, high = both.interval("pass_at_n")
    assert high - low > np.subtract(*wilson_interval(12 * both.pass_at_n, 12)[::-1]) - 1e-12  # two trees a problem


def test_runs_of_different_searches_or_with_the_same_trees_are_not_evaluated_together(tmp_path: Path) -> None:
    task = mars2_env.task(problem_set(6), sandbox=sandbox(), budget=4)
    for name, choices in (("a", 6), ("b", 5), ("c", 6)):
        list(mars2_env.rollout(task, Guesser(choices), out=tmp_path / name))
    with pytest.raises(ConfigError, match=r"b and .*a are runs of different searches.*mars2 compare"):
        mars2_env.evaluate([tmp_path / "a", tmp_path / "b"], problems=problem_set(6), sandbox=sandbox())
    with pytest.raises(ConfigError, match=r"a and .*c both hold the tree of 'toy/0' with seed 0"):
        mars2_env.evaluate([tmp_path / "a", tmp_path / "c"], problems=problem_set(6), sandbox=sandbox())
