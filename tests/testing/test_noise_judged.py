"""The simulated policy meets the judge: its slips are real mistakes, and the judge's feedback lets it mend them."""

from __future__ import annotations

from dataclasses import replace

from mars2_env.base.keys import seed
from mars2_env.judge import Judge
from mars2_env.problems import starter
from mars2_env.prompt.programs import extract_program
from mars2_env.sandbox.base import Sandbox
from mars2_env.testing import NoisePolicy
from mars2_env.types import Problem, Reply, Turn


def fresh_turn(problem: Problem) -> Turn:
    return Turn(
        id=0,
        agent="coder_0",
        problem=problem.public_view(),
        seed=seed("test", problem.id),
        messages=({"role": "user", "content": problem.statement},),
        parent=0,
        parents=(0,),
    )


def program(reply: Reply) -> str:
    found = extract_program(reply.text)
    assert found is not None
    return found


def test_some_fresh_programs_are_right_and_refining_the_others_helps(docker_sandbox: Sandbox) -> None:
    problems = list(starter.load(split="train"))[::5]
    policy, judge = NoisePolicy(problems), Judge(docker_sandbox)
    right = mended = 0
    for problem in problems:
        turn = fresh_turn(problem)
        first = program(policy.act([turn])[0])
        verdict = judge.grade(problem, first, tests=("public", "scoring"))
        right += verdict.passed
        if not verdict.passed:
            again = replace(turn, id=1, seed=turn.seed // 2, parent=1, program=first, feedback=verdict.feedback)
            mended += judge.grade(problem, program(policy.act([again])[0]), tests=("public", "scoring")).passed
    assert 0.08 < right / len(problems) < 0.3
    assert mended > 0.1 * (len(problems) - right)


def test_the_perfect_profile_is_right_on_every_problem(docker_sandbox: Sandbox) -> None:
    problems = list(starter.load(split="test"))[::25]
    policy, judge = NoisePolicy(problems, "perfect"), Judge(docker_sandbox)
    for problem in problems:
        assert judge.grade(problem, program(policy.act([fresh_turn(problem)])[0]), tests="all").passed, problem.id
