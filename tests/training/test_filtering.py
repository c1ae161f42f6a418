"""What is not learnt from, and for which reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")

from mars2_agents.training.filtering import EMPTY, FAULTS, REASONS, kept_samples, reason_to_leave_out
from test_buffers import sample
from test_measures import RIGHT, WRONG, node, tree

ALL = ("all_solved", "none_solved")


def test_trees_in_which_all_nodes_earn_the_same_are_left_out_if_that_is_asked_for() -> None:
    solved, none = tree(node(1, 0, RIGHT), node(2, 1, RIGHT)), tree(node(1, 0, WRONG))
    mixed = tree(node(1, 0, RIGHT), node(2, 0, WRONG))
    assert reason_to_leave_out(solved, ALL) == REASONS["all_solved"]
    assert reason_to_leave_out(none, ALL) == REASONS["none_solved"]
    assert reason_to_leave_out(mixed, ALL) == ""
    assert reason_to_leave_out(solved, ["none_solved"]) == reason_to_leave_out(none, ["all_solved"]) == ""


def test_a_part_of_a_score_teaches_something() -> None:
    part = replace(node(1, 0, WRONG), score=0.5)
    assert reason_to_leave_out(tree(part, node(2, 0, WRONG)), ALL) == ""


def test_trees_that_faults_ended_or_that_have_no_nodes_are_left_out_in_any_case() -> None:
    assert reason_to_leave_out(replace(tree(node(1, 0, RIGHT)), ended="faults"), []) == FAULTS
    assert reason_to_leave_out(replace(tree(node(1, 0, RIGHT)), ended=None), []) == FAULTS
    assert reason_to_leave_out(tree(), []) == EMPTY


def test_masked_duplicates_long_ones_and_those_without_tokens_are_counted_and_not_learnt() -> None:
    one = sample(1)
    copied = replace(one, duplicate=True)
    masked = replace(copied, advantage=0.0)
    shared = replace(masked, imitated=True)
    told = replace(one, mask=(False, False))
    long = replace(one, prompt_ids=tuple(range(20)))
    kept, left = kept_samples([one, masked, copied, told, shared, long], context=10)
    assert kept == [one, copied, shared]  # a copy that has an advantage was kept by its algorithm's credit
    assert left == {"duplicate": 1, "no trained token": 1, "longer than the model's context": 1}
