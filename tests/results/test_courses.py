"""What a log's first t outcomes say of a budget of t."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from toys import Guesser, problem_set, sandbox

import mars2_env
from mars2_env import Reply, Turn
from mars2_env.log import Trace
from mars2_env.results.curves import at, course_of


def grow(policy: Any, budget: int = 8, **options: Any) -> list[mars2_env.Tree]:
    task = mars2_env.task(problem_set(6), sandbox=sandbox(), budget=budget, **options)
    return list(mars2_env.rollout(task, policy))


def passing(tree: mars2_env.Tree) -> list[bool]:
    return [f"print({tree.problem[-1]})" in (node.program or "") for node in tree.nodes]


def test_every_prefix_of_a_log_is_what_a_smaller_budget_comes_to() -> None:
    whole = {tree.problem: course_of(tree, passing(tree), {}) for tree in grow(Guesser())}
    assert any(course.solved[-1] and not course.solved[0] for course in whole.values())
    for budget in (1, 3, 5):
        for tree in grow(Guesser(), budget):
            passed = passing(tree)
            course = whole[tree.problem].first(budget)
            assert course == course_of(tree, passed, {})
            assert course.answered[-1] == (tree.answer is not None and passed[tree.answer - 1])
            assert course.solved[-1] == any(passed)


class Illegal(Guesser):
    """Names a parent that is not there, then prints nothing."""

    def act(self, turns: list[Turn]) -> list[Reply]:
        return [Reply("no program", parent=99 if turn.id == 0 else 0) for turn in turns]


def test_an_illegal_expansion_counts_and_a_tree_without_a_program_has_no_answer() -> None:
    tree = grow(Illegal(), 3, game="play", agents=1)[0]
    assert len(tree.nodes) == 2
    course = course_of(tree, [False, False], {})
    assert course.along("nodes") == (1, 2, 3)
    assert course.answered == course.solved == (False, False, False)


def traces(tree: mars2_env.Tree, **missing: int) -> Mapping[int, Trace]:
    return {
        turn: Trace(turn, policy_seconds=0.5, judge_seconds=0.25, completion_tokens=10 * (turn + 1))
        for turn in range(len(tree.nodes))
        if turn != missing.get("but")
    }


def test_tokens_and_seconds_add_up_along_the_way_and_are_unknown_where_a_trace_is_missing() -> None:
    tree = grow(Guesser(), 3)[0]
    course = course_of(tree, passing(tree), traces(tree))
    assert course.along("tokens") == (10, 30, 60)
    assert course.along("seconds") == pytest.approx((0.75, 1.5, 2.25))
    assert course_of(tree, passing(tree), traces(tree, but=1)).along("tokens") is None


def test_within_a_budget_counts_what_was_reached_by_what_it_pays_for() -> None:
    spent, solved = (10, 30, 60), (False, True, True)
    assert [at(spent, solved, budget) for budget in (0, 10, 29, 30, 1000)] == [0.0, 0.0, 0.0, 1.0, 1.0]
