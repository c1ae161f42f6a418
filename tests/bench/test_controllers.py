"""The comparison of controllers: paired, on problems that training does not see, against open-loop schedules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mars2_bench.control.controllers import (
    AGENTS,
    BUDGET,
    TEMPLATES,
    FewSeeds,
    Schedule,
    best_schedule,
    compare,
    controller_task,
    hold,
    play,
    problems,
    random_act,
    schedules,
    scores,
    specialists,
    thompson,
    train,
)
from mars2_bench.search.trials import KnownReferences

import mars2_env
from mars2_env.sandbox import CachedSandbox, Sandbox
from mars2_env.testing import ScriptedSandbox


@pytest.fixture
def env() -> Any:
    return mars2_env.make(controller_task("route", "train", ScriptedSandbox(), variants=2))


def test_training_and_evaluation_share_no_problem() -> None:
    train, test = problems("train", 1), problems("test", 3)
    assert (len(train), len(test)) == (len(TEMPLATES), 3 * len(TEMPLATES))
    assert not {problem.id for problem in train} & {problem.id for problem in test}
    assert not {repr(p.scoring) for p in train} & {repr(p.scoring) for p in test}


def test_schedules_name_an_agent_and_a_place_for_each_expansion_and_differ() -> None:
    found = schedules()
    assert len({schedule.steps for schedule in found}) == len(found) > 40
    for schedule in found:
        assert len(schedule.steps) == BUDGET
        assert all(agent in (0, 1, 2) and 0 <= parent <= BUDGET for agent, parent in schedule.steps)
    each_its_own = tuple((turn % 3, max(0, turn - 2)) for turn in range(BUDGET))
    in_one_piece = ((0, 0), (0, 6), (1, 0), (1, 6), (2, 0), (2, 6))
    assert {each_its_own, in_one_piece} <= {schedule.steps for schedule in found}


def test_a_schedule_takes_the_newest_node_where_its_parent_is_not_there_yet(env: Any) -> None:
    play(env, Schedule(((1, 0), (0, BUDGET), (1, 1), *[(0, 0)] * 3)), env.task.problems.problems[0].id, 3)
    assert [(node.agent, node.parent) for node in env.episode.nodes[:3]] == [
        ("second_0", 0),
        ("first_0", 1),
        ("second_0", 1),
    ]


def test_the_same_schedule_meets_the_same_luck(env: Any) -> None:
    schedule = schedules()[0]
    first, again = scores(env, schedule, [5, 6]), scores(env, schedule, [5, 6])
    assert first.shape == (2 * len(TEMPLATES), 2)
    assert (first == again).all()


def test_the_schedule_that_uses_the_agent_that_is_right_is_found() -> None:
    task = controller_task("route", "train", ScriptedSandbox(lambda program, given: given), variants=2, reward="score")
    right: dict[str, str] = {problem.id: problem.reference or "" for problem in task.problems}

    class Fixed:
        def __init__(self, knows: bool) -> None:
            self.knows = knows

        def act(self, turns: list[mars2_env.Turn]) -> list[mars2_env.Reply]:
            return [mars2_env.Reply(right[turn.problem.id] if self.knows else "print()") for turn in turns]

    def run(program: str, given: Any) -> mars2_env.Run:
        for problem in task.problems:
            if program.strip() == right[problem.id].strip():
                for test in (*problem.public, *problem.scoring):
                    if test.input == given:
                        return mars2_env.Run("ok", output=test.output)
        return mars2_env.Run("ok", output="nothing")

    team = {"first_0": Fixed(False), "second_0": Fixed(True), "third_0": Fixed(False)}
    fixed = mars2_env.task(task, generators=team, sandbox=ScriptedSandbox(run))
    found = best_schedule(mars2_env.make(fixed), [0])
    assert 1 in {agent for agent, _ in found.steps}


def test_a_few_seeds_and_all_problems_are_drawn(env: Any) -> None:
    few = FewSeeds(env, 2, seed=0)
    drawn = set()
    for _ in range(200):
        few.reset()
        drawn.add((env.match.header.seed, env.episode.problem.id))
    assert {seed for seed, _ in drawn} == {0, 1}
    assert len({problem for _, problem in drawn}) == 2 * len(TEMPLATES)
    assert few.action_masks().shape == (3 * (BUDGET + 1),)


def test_p_is_small_where_every_problem_is_better_and_one_where_none_differs() -> None:
    better = np.full((12, 4), 0.6)
    assert compare(better, better - 0.1).p == pytest.approx(2**-12, rel=0.5)
    assert compare(better, better).p == 1.0
    assert compare(better - 0.1, better).p == 1.0


def test_p_counts_problems_and_not_their_episodes() -> None:
    gaps = np.array([0.3, -0.1, 0.2, 0.1, -0.2, 0.25])[:, None]
    few, many = (compare(np.repeat(gaps, count, axis=1), np.zeros((6, count))) for count in (1, 50))
    assert few.p == many.p > 0.05


def test_random_takes_only_what_is_on_offer(env: Any) -> None:
    play(env, random_act(0), env.task.problems.problems[0].id, 0)
    assert len(env.episode.nodes) == BUDGET


def fresh(problem: mars2_env.Problem, seed: int) -> mars2_env.Turn:
    return mars2_env.Turn(
        id=0, agent="first_0", problem=problem.public_view(), seed=seed, messages=(), parent=0, parents=(0,)
    )


def test_each_problem_has_one_generator_that_is_able_and_two_that_are_hopeless() -> None:
    found = problems("train", 1)
    able: dict[str, int] = dict.fromkeys(AGENTS, 0)
    for problem in found:
        right = KnownReferences(found, "perfect").act([fresh(problem, 0)])[0].text
        solves = [
            agent
            for agent, policy in specialists(found).items()
            if right in [policy.act([fresh(problem, seed)])[0].text for seed in range(200)]
        ]
        assert len(solves) == 1, problem.id
        able[solves[0]] += 1
    assert set(able.values()) == {len(TEMPLATES) // 3}


def test_thompson_sampling_plays_the_same_problems_with_the_same_generators() -> None:
    task = controller_task("write", "test", ScriptedSandbox(), variants=1)
    found = thompson(task, [5, 6])
    assert found.shape == (len(TEMPLATES), 2)
    assert (found == thompson(task, [5, 6])).all()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "steps"), [("maskable_ppo", 90_000), ("ppo", 150_000)])
def test_a_learner_does_better_on_unseen_problems_than_the_best_open_loop_schedule(
    docker_sandbox: Sandbox, name: str, steps: int
) -> None:
    sandbox = CachedSandbox(docker_sandbox)
    act = train(name, sandbox, steps)
    schedule = best_schedule(mars2_env.make(controller_task("route", "train", sandbox, variants=2)), range(8))
    held = hold(act, schedule, sandbox, variants=5, seeds=range(1000, 1004))
    print(name, *(f"against {other}: {found}" for other, found in held.items()), sep="\n")
    for other, found in held.items():
        assert found.better > found.other and found.p < 0.01, (other, found)
