"""What controllers of `place` are held against: open-loop schedules and random, on the same problems with one luck."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from mars2_bench.control.controllers import AGENTS, TEMPLATES
from mars2_bench.control.placing import (
    BUDGET,
    Schedule,
    best_schedule,
    few_seeds,
    held_out,
    place_task,
    play,
    random_act,
    schedules,
    scores,
)

import mars2_env
from mars2_env.features import Layout
from mars2_env.testing import ScriptedSandbox

Form = Literal["parallel", "aec"]
LAYOUT = Layout(BUDGET, AGENTS, observer=True)
EVERYONE = frozenset(range(len(AGENTS)))


def environment(api: Form, **options: Any) -> Any:
    return mars2_env.make(place_task(api, "train", ScriptedSandbox(), variants=1, **options))


def parents(env: Any, act: Any) -> list[tuple[str, int]]:
    play(env, act, env.unwrapped.task.problems.problems[0].id, 3)
    return [(node.agent, node.parent) for node in env.unwrapped.episode.nodes]


@pytest.mark.parametrize("api", ["parallel", "aec"])
def test_a_schedule_drafts_first_and_then_refines_where_it_says(api: Form) -> None:
    own = parents(environment(api), Schedule(LAYOUT, 1, EVERYONE, "own"))
    assert own == [(AGENTS[turn % 3], max(0, turn - 2)) for turn in range(BUDGET)]
    one = parents(environment(api), Schedule(LAYOUT, 2, frozenset({1}), "drafts"))
    assert [parent for agent, parent in one if agent != AGENTS[1]] == [0] * 12
    assert [parent for agent, parent in one if agent == AGENTS[1]] == [0, 0, 2, 5, 2, 5]
    of_first = parents(environment(api), Schedule(LAYOUT, 1, frozenset({2}), 0))
    newest = {"parallel": [0, 1, 4, 7, 10, 13], "aec": [0, 4, 7, 10, 13, 16]}  # a round sees the tree as it began
    assert [parent for agent, parent in of_first if agent == AGENTS[2]] == newest[api]


def test_schedules_differ_and_say_what_they_do() -> None:
    found = schedules(environment("parallel").unwrapped.task)
    assert len({str(schedule) for schedule in found}) == len(found) > 50


@pytest.mark.parametrize("api", ["parallel", "aec"])
def test_random_takes_only_slots_that_are_there_and_repeats(api: Form) -> None:
    first, again = (parents(environment(api), random_act(7)) for _ in range(2))
    assert first == again
    assert len(first) == BUDGET


@pytest.mark.parametrize("api", ["parallel", "aec"])
def test_trees_begin_with_a_few_seeds_and_any_problem(api: Form) -> None:
    env = few_seeds(environment(api), 2, seed=1)
    drawn = []
    for _ in range(80):
        env.reset()
        drawn.append((env.unwrapped.episode.problem.id, env.unwrapped.match.header.seed))
    assert {seed for _, seed in drawn} == {0, 1}
    assert len({problem for problem, _ in drawn}) == len(TEMPLATES)
    env.reset(seed=1)
    assert (env.unwrapped.episode.problem.id, env.unwrapped.match.header.seed) == drawn[0]


def test_the_best_schedule_is_one_of_those_with_the_highest_scores() -> None:
    task = place_task("parallel", "train", ScriptedSandbox(), variants=1)

    class Late:
        """Right where it refines a program of the agent itself."""

        def act(self, turns: list[mars2_env.Turn]) -> list[mars2_env.Reply]:
            return [mars2_env.Reply(f"```python\nprint({int(turn.parent != 0)})\n```") for turn in turns]

    def run(program: str, given: Any) -> mars2_env.Run:
        return mars2_env.Run("ok", output="right" if "1" in program else "wrong")

    problems = [
        mars2_env.Problem("a/b/banner/0", "?", public=(case,), scoring=(case,), hidden=(case,))
        for case in [mars2_env.TestCase("", "right")]
    ]
    found = mars2_env.ProblemSet("toy", tuple(problems), "train", "training")
    late = mars2_env.task(
        found,
        game="place",
        api="parallel",
        agents=list(AGENTS),
        generators=Late(),
        budget=task.budget,
        score="fraction",
        sandbox=ScriptedSandbox(run),
    )
    env = mars2_env.make(late)
    best = best_schedule(env, [0])
    assert scores(env, best, [0]).mean() == 1.0
    assert scores(env, Schedule(LAYOUT, 6, frozenset(), "own"), [0]).mean() == 0.0


def test_a_controller_that_is_random_is_no_better_than_random() -> None:
    schedule = Schedule(LAYOUT, 1, EVERYONE, "own")
    held = held_out(random_act(0), "parallel", ScriptedSandbox(), variants=1, seeds=[1000], schedule=schedule)
    assert held.random.better == held.random.other and held.random.p == 1.0
    assert "random" in str(held) and "schedule" in str(held)
    assert np.isfinite(held.schedule.p)
