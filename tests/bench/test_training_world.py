"""The miniature world: what its codes, problems and bases are, and what they must not give away."""

from __future__ import annotations

import itertools

import pytest
from mars2_bench.training.arms import ARMS, PAIRS
from mars2_bench.training.world import (
    ALPHABET,
    CODES,
    INPUTS,
    OPERATIONS,
    PUBLIC,
    SCORING,
    SLOTS,
    Knowledge,
    applied,
    held_out,
    letters_of,
    pipeline_of,
    pipelines,
    problem_of,
    program_of,
)

from mars2_env.errors import ConfigError
from mars2_env.judge import Judge
from mars2_env.sandbox import make_sandbox


def test_any_two_codes_differ_in_two_places_or_more() -> None:
    for one, other in itertools.combinations(CODES.values(), 2):
        assert sum(a != b for a, b in zip(one, other, strict=True)) >= 2


def test_no_change_of_a_single_slot_passes_any_group_of_tests() -> None:
    outputs = {
        pipeline: [applied(pipeline, list(xs)) for xs in INPUTS]
        for pipeline in itertools.product(OPERATIONS, repeat=SLOTS)
    }
    groups = (slice(0, PUBLIC), slice(PUBLIC, PUBLIC + SCORING), slice(PUBLIC + SCORING, None))
    for pipeline, own in outputs.items():
        for slot, name in itertools.product(range(SLOTS), OPERATIONS):
            changed = (*pipeline[:slot], name, *pipeline[slot + 1 :])
            if changed != pipeline:
                assert all(outputs[changed][group] != own[group] for group in groups)


def test_a_quarter_of_the_pipelines_is_held_out_and_trained_on_by_nobody() -> None:
    held, trained = set(pipelines(held=True)), set(pipelines(held=False))
    assert len(held) == 432 and len(trained) == 1296 and not held & trained
    assert all(held_out(one) for one in held)


def test_every_operation_is_held_out_equally_often_in_every_slot() -> None:
    for slot in range(SLOTS):
        counts = {name: sum(one[slot] == name for one in pipelines(held=True)) for name in OPERATIONS}
        assert set(counts.values()) == {36}


def test_a_problem_has_its_three_groups_of_tests_and_names_its_pipeline() -> None:
    problem = problem_of(("reverse", "double", "ends"))
    assert (len(problem.public), len(problem.scoring), len(problem.hidden)) == (2, 4, 4)
    assert pipeline_of(problem.statement) == ("reverse", "double", "ends")
    assert problem.public[0].output == applied(("reverse", "double", "ends"), list(INPUTS[0]))


@pytest.mark.parametrize("letters", ["fjkcgedfc", "fjkaaabbb", "f", "", "fjkcgedfca", "___"])
def test_letters_are_read_back_from_the_program_that_they_stand_for(letters: str) -> None:
    program = program_of(letters)
    compile(program, "program", "exec")
    assert letters_of(program) == letters
    assert letters_of(f"Here it is:\n```python\n{program}```\n") == letters


def test_both_agents_of_every_pair_know_codes_with_all_letters() -> None:
    for pair in PAIRS.values():
        for one in pair.values():
            assert set("".join(CODES[name] for name in one.known)) == set(ALPHABET)
            assert len(one.known) == 8 and len(one.blind) == 4


def test_agents_of_the_negative_control_are_blind_to_the_same_and_those_of_the_others_to_nothing_in_common() -> None:
    assert PAIRS["alike"]["a"].blind == PAIRS["alike"]["b"].blind
    for name in ("first", "second"):
        assert not set(PAIRS[name]["a"].blind) & set(PAIRS[name]["b"].blind)


def test_a_deal_that_leaves_a_letter_unseen_is_refused() -> None:
    with pytest.raises(ConfigError, match="letters"):
        Knowledge(OPERATIONS[:2], OPERATIONS[2:3], OPERATIONS[3:])


def test_arms_that_are_compared_have_equal_bases_and_steps() -> None:
    assert ARMS["heterogeneous"].pair == ARMS["rs2"].pair and ARMS["heterogeneous"].steps == ARMS["rs2"].steps
    assert ARMS["alike_heterogeneous"].pair == ARMS["alike_rs2"].pair == "alike"


@pytest.mark.docker
def test_programs_in_the_sandbox_do_what_their_pipelines_do() -> None:
    with make_sandbox(workers=1) as sandbox:
        judge = Judge(sandbox)
        for first in range(0, len(OPERATIONS), SLOTS):
            pipeline = OPERATIONS[first : first + SLOTS]
            problem = problem_of(pipeline)
            assert judge.grade(problem, problem.reference or "", tests="all").passed
            turned = program_of("".join(CODES[name] for name in (pipeline[1], pipeline[0], pipeline[2])))
            assert judge.grade(problem, turned, tests="hidden").passed == (
                [applied(pipeline, list(xs)) for xs in INPUTS]
                == [applied((pipeline[1], pipeline[0], pipeline[2]), list(xs)) for xs in INPUTS]
            )
        assert judge.grade(problem, program_of("fjkaaacge"), tests="hidden").outcome == "runtime_error"
