"""Evaluation: hidden tests are opened here alone, once, and the numbers are the field's."""

from __future__ import annotations

from pathlib import Path

import pytest
from toys import FaultySandbox, Guesser, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, ProblemSet, Run
from mars2_env.results.evaluation import HIDDEN_FILE, wilson_interval
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


def test_a_tree_that_ended_by_faults_is_left_out_and_counted() -> None:
    calm = grow()
    shaken = mars2_env.task(problem_set(6), sandbox=FaultySandbox(1000), budget=4)
    faulty = list(mars2_env.rollout(shaken, Guesser(), problems=["toy/1"]))
    assert faulty[0].ended == "faults"
    results = mars2_env.evaluate([*calm, *faulty], problems=problem_set(6), sandbox=sandbox())
    assert (len(results.trees), results.unfinished) == (6, 1)
