"""Replies that took several calls of models and tools: what they may hold, who counts it, and where it is kept."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

import pytest

import mars2_env
from mars2_env import Generation, PolicyError, Reply, Step, Trial, Turn
from mars2_env.log import read_trace
from mars2_env.sandbox.scripted import ScriptedSandbox
from mars2_env.tasks import PublicTests

PLAN = Step("planner", Generation((1, 2), (3, 4, 5), text="add them"))
TRIED = Step("public_tests", call="print(1)", observation="passed", seconds=0.5)
WROTE = Step("coder", Generation((1, 2, 3), (6, 7), (-0.5, -0.25), text="```python\nprint(1)\n```"))


def test_a_reply_counts_the_tokens_of_all_its_steps() -> None:
    reply = Reply("print(1)", steps=(PLAN, TRIED, WROTE))
    assert reply.tokens == (5, 5)
    assert [one.text for one in reply.generations] == ["add them", "```python\nprint(1)\n```"]
    assert Reply("x", generation=Generation((1,), (2, 3))).tokens == (1, 2)
    assert Reply("x").tokens is None


def test_a_reply_with_a_step_that_tells_no_counts_tells_none() -> None:
    assert Reply("x", steps=(PLAN, Step("coder", Generation()))).tokens is None


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Step("coder"), "either generation"),
        (lambda: Step("coder", Generation(), observation="x"), "either generation"),
        (lambda: Step("", Generation()), "name the role"),
        (lambda: Step("tool", observation="x", seconds=-1), "seconds"),
        (lambda: Reply("x", steps=("plan",)), "not a Step"),
        (lambda: Reply("x", steps=3), "sequence of Steps"),
        (lambda: Reply("x", generation=Generation(), steps=(PLAN,)), "count twice"),
        (lambda: Generation(logprobs_kind="exact"), "logprobs_kind"),
        (lambda: Generation((1,), (2, 3), kept_mass=(0.9,)), "one each"),
        (lambda: Generation((1,), (2, 3), weights_spans=((1, 1),)), "begins at 0"),
        (lambda: Generation(prompt_cut=-1), "prompt_cut"),
        (lambda: Generation(temperature=float("nan")), "temperature"),
    ],
)
def test_steps_and_generations_that_make_no_sense_are_refused(make: Any, says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        make()


def test_a_reply_with_steps_survives_a_pickle() -> None:
    reply = Reply("x", steps=(PLAN, TRIED))
    assert pickle.loads(pickle.dumps(reply)).steps == reply.steps


class Debugger:
    """Tries what it would write on the public tests, and says so in its steps."""

    def __init__(self) -> None:
        self.seen: list[bool] = []

    def act(self, turns: list[Turn], *, trial: Trial) -> list[Reply]:
        replies = []
        for turn in turns:
            verdict = trial.run(turn, "print(input())")
            self.seen.append(verdict.passed)
            tried = Step("public_tests", call="print(input())", observation=verdict.outcome)
            wrote = Step("coder", Generation((1,), (2, 3), text="done"))
            replies.append(Reply("```python\nprint(input())\n```", steps=(tried, wrote)))
        return replies


def test_a_policy_that_asks_for_it_may_run_programs_on_public_tests_alone(tmp_path: Path) -> None:
    task = mars2_env.task("starter", agents=["coder"], budget=2, sandbox=ScriptedSandbox(lambda program, text: text))
    policy = Debugger()
    (tree,) = mars2_env.rollout(task, policy, out=tmp_path, limit=1)
    assert len(policy.seen) == 2
    (log,) = (tmp_path / "trees").glob("*.jsonl")
    traces = read_trace(log)
    assert [step.role for step in traces[0].steps] == ["public_tests", "coder"]
    assert traces[0].completion_tokens == 2
    assert all(trace.judge_seconds > 0 for trace in traces.values())
    problem = task.problem(tree.header.problem)
    assert len(problem.public) < len(problem.public) + len(problem.scoring) + len(problem.hidden)


def test_a_budget_counts_the_tokens_of_steps() -> None:
    class Planner:
        def act(self, turns: list[Turn]) -> list[Reply]:
            return [Reply("print(1)", steps=(PLAN, WROTE)) for _ in turns]

    sandbox = ScriptedSandbox(lambda program, text: text)
    task = mars2_env.task("starter", agents=1, budget="nodes=9,tokens=11", sandbox=sandbox)
    (tree,) = mars2_env.rollout(task, Planner(), limit=1)
    assert len(tree.nodes) == 3  # of 5 tokens each


def test_what_is_no_program_and_no_turn_is_said() -> None:
    task = mars2_env.task("starter", sandbox=ScriptedSandbox(lambda program, text: text))
    trial = PublicTests(task)
    with pytest.raises(mars2_env.EpisodeError, match="turn"):
        trial.run(None, "print(1)")  # type: ignore[arg-type]


def test_a_try_can_be_awaited_and_its_time_is_counted_once() -> None:
    task = mars2_env.task("starter", agents=1, sandbox=ScriptedSandbox(lambda program, text: text))
    trial = PublicTests(task)
    env = mars2_env.make(task)
    env.reset(seed=0)
    problem = task.problem(task.problems[0].id)
    turn = mars2_env.Episode(problem.public_view(), ["agent_0"], "mars2", 2, 0).ask()
    verdict = asyncio.run(trial.arun(turn, "print(1)"))
    assert set(verdict.groups) == {"public"} and "not_run" not in verdict.outcomes
    assert trial.spent(turn) > 0
    assert trial.spent(turn) == 0
