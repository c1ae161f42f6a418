"""Adapters without the libraries they are for: what a reply earns, and a tree as a plain object."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from mars2_agents.adapters import JudgeReward, TreeSession, prompt_rows
from toys import FaultySandbox, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, SandboxError
from mars2_env.testing import ScriptedSandbox


def test_trl_reward_reads_texts_and_conversations() -> None:
    judge = JudgeReward(problem_set(), sandbox())
    replies: list[Any] = [
        "```python\nprint(0)\n```",
        [{"role": "assistant", "content": "```python\nprint(1)\n```"}],
        "```python\nprint(0)\n```",
        "no program here, sorry",
    ]
    ids = ["toy/0", "toy/1", "toy/1", "toy/0"]
    assert judge.trl_reward(prompts=ids, completions=replies, problem=ids, trainer_state=None) == [1.0, 1.0, 0.0, 0.0]


def test_verl_score_takes_the_problem_as_ground_truth() -> None:
    judge = JudgeReward(problem_set(), sandbox())
    assert judge.verl_score("toy", "print(3)", "toy/3", {"split": "train"}) == {"score": 1.0, "acc": 1.0}
    assert judge.verl_score("toy", "print(4)", "toy/3") == {"score": 0.0, "acc": 0.0}


def test_openrlhf_rewards_leave_the_prompt_out() -> None:
    pytest.importorskip("torch")
    judge = JudgeReward(problem_set(), sandbox())
    prompt = "For example:\n```python\nprint(2)\n```\n"
    found = judge.openrlhf_rewards(
        [prompt + "print(2)", prompt + "I do not know"], [prompt, prompt], ["toy/2", "toy/2"]
    )
    assert found["rewards"].tolist() == [1.0, 0.0]


def test_fraction_is_the_share_of_public_and_scoring_tests_and_hidden_ones_are_never_run() -> None:
    box = ScriptedSandbox(lambda program, given: mars2_env.Run("ok", output="1" if given == "third" else "no"))
    judge = JudgeReward(problem_set(2), box, score="fraction")
    assert judge.score("toy/1", "print(1)") == pytest.approx(1 / 3)
    assert {given for _, given in box.calls} == {"first", "second", "third"}


def test_a_fault_is_tried_again_and_is_never_a_score() -> None:
    assert JudgeReward(problem_set(), FaultySandbox(2)).score("toy/0", "print(0)") == 1.0
    with pytest.raises(SandboxError, match="the engine is gone"):
        JudgeReward(problem_set(), FaultySandbox(99)).score("toy/0", "print(0)")


def test_what_must_not_be_trained_on_is_refused() -> None:
    with pytest.raises(ConfigError, match="never from hidden ones"):
        JudgeReward(problem_set(), sandbox(), tests=("public", "hidden"))
    with pytest.raises(ConfigError, match="is one for evaluation"):
        JudgeReward(problem_set(use="evaluation"), sandbox())
    with pytest.raises(ConfigError, match="unknown problem of 'toy' 'toy/9'"):
        JudgeReward(problem_set(), sandbox()).score("toy/9", "print(1)")
    with pytest.raises(ConfigError, match="2 problems for 1 replies"):
        JudgeReward(problem_set(), sandbox()).scores(["toy/0", "toy/1"], ["print(1)"])


def test_rows_hold_prompts_and_ids_and_nothing_unquotable() -> None:
    rows = prompt_rows(problem_set(2))
    assert [row["problem"] for row in rows] == ["toy/0", "toy/1"]
    text = rows[1]["prompt"][-1]["content"]
    assert "Print 1." in text
    assert "third" not in text and "fourth" not in text


def session(**options: Any) -> TreeSession:
    return TreeSession(mars2_env.task(problem_set(), sandbox=sandbox(), **{"agents": 1, "budget": 3, **options}))


def test_a_session_earns_the_best_score_and_ends_with_its_budget() -> None:
    tree = session()
    first = tree.reset(problem="toy/2", seed=0, prompt=[{"role": "user", "content": "a row's column"}])
    assert "Print 2." in first
    said = tree.submit("```python\nprint(5)\n```")
    assert said.startswith("Outcome: wrong_answer.") and len(said) > 100
    assert tree.get_reward() == 0.0
    tree.submit("print(2)")
    assert tree.get_reward() == 1.0 and not tree.over
    assert tree.submit("print(7)") == "Outcome: wrong_answer. This problem is over."
    assert tree.over and tree.get_reward() == 1.0
    assert "nothing more" in tree.submit("print(2)")
    tree.reset(problem="toy/2", seed=0)
    assert tree.get_reward() == 0.0


def test_a_session_that_meets_a_fault_asks_again_and_spends_nothing() -> None:
    tree = TreeSession(mars2_env.task(problem_set(), sandbox=FaultySandbox(1), agents=1, budget=1))
    tree.reset(problem="toy/1", seed=0)
    assert tree.submit("print(1)").startswith("It could not be judged; submit it again.")
    assert tree.submit("print(1)") == "Outcome: passed. This problem is over."


def test_the_only_tool_of_a_session_is_submit() -> None:
    methods = {name for name, _ in inspect.getmembers(TreeSession, inspect.isfunction) if not name.startswith("_")}
    assert methods == {"reset", "submit", "get_reward"}


def test_sessions_play_write_alone() -> None:
    with pytest.raises(ConfigError, match="sessions play 'write'"):
        session(game="play")
