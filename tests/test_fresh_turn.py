"""The turn in which an agent would be asked for a fresh program: as the game itself would have asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toys

import mars2_env
from mars2_env import ConfigError, LogError, ProblemSet, Reply, Turn
from mars2_env.log import fresh_turn
from mars2_env.prompt import answer_text, extract_program


def grown(out: Path, **options: Any) -> tuple[Any, mars2_env.Tree, list[Turn]]:
    options = {"agents": {"coder": "You write.", "fixer": "You correct."}, "sandbox": toys.sandbox(), **options}
    task = mars2_env.task(options.pop("problems", toys.problem_set(1)), budget=12, **options)
    policy = toys.Guesser()
    (tree,) = mars2_env.rollout(task, policy, out=out)
    return task, tree, policy.turns


@pytest.mark.parametrize("prompts", ["chat", "base", "chat,siblings=2,feedback=off"])
def test_it_asks_as_the_agents_own_first_fresh_turn_did(prompts: str, tmp_path: Path) -> None:
    task, tree, turns = grown(tmp_path, prompts=prompts)
    view = task.problem(tree.problem).public_view()
    for agent in task.agents:
        asked = next(turn for turn in turns if turn.agent == agent and turn.parent == 0)
        turn = fresh_turn(tree, agent, view, task.prompts)
        assert (turn.messages, turn.seed, turn.path, turn.child) == (asked.messages, asked.seed, asked.path, 0)
        assert fresh_turn(tree.header, agent, view, task.prompts) == turn


def test_a_log_that_was_read_again_tells_the_same(tmp_path: Path) -> None:
    task, tree, _ = grown(tmp_path)
    (again,) = mars2_env.read_log(tmp_path)
    view = task.problem(tree.problem).public_view()
    assert fresh_turn(again, "coder_0", view) == fresh_turn(tree, "coder_0", view)


def test_in_play_the_agent_chooses_the_place_itself(tmp_path: Path) -> None:
    task, tree, turns = grown(tmp_path, game="play")
    turn = fresh_turn(tree, "coder_0", task.problem(tree.problem).public_view(), task.prompts)
    assert turn.parent is None and turn.messages == turns[0].messages
    assert turn.seed == turns[0].seed


@pytest.mark.parametrize("game", ["place", "route"])
def test_where_others_choose_the_place_it_is_the_root(game: Any) -> None:
    task = mars2_env.task(toys.problem_set(1), game=game, agents=2, budget=4, sandbox=toys.sandbox())
    agent = next(iter(task.agents))
    turn = fresh_turn(task.header("toy/0", 0, ""), agent, task.problem("toy/0").public_view(), task.prompts)
    assert (turn.agent, turn.parent) == (agent, 0) and "Print 0." in turn.messages[-1]["content"]


def test_a_repair_problem_shows_the_program_that_it_starts_from(tmp_path: Path) -> None:
    repair = ProblemSet("toy", (replace(toys.problem(0), seed_program="print(5)"),), split="train")
    task, tree, turns = grown(tmp_path, problems=repair)
    view = task.problem("toy/0").public_view()
    turn = fresh_turn(tree, "coder_0", view, task.prompts)
    assert turn.program == "print(5)" and turn.feedback is not None
    assert turn.messages == next(one for one in turns if one.agent == "coder_0" and one.parent == 0).messages
    with pytest.raises(LogError, match="was not graded"):
        fresh_turn(tree.header, "coder_0", view, task.prompts)


def test_another_problem_and_an_agent_that_is_none_are_refused(tmp_path: Path) -> None:
    task, tree, _ = grown(tmp_path)
    view = task.problem(tree.problem).public_view()
    with pytest.raises(ConfigError, match="coder_0"):
        fresh_turn(tree, "coder_9", view)
    with pytest.raises(ConfigError, match="toy/1"):
        fresh_turn(tree, "coder_0", replace(view, id="toy/1"))


@pytest.mark.parametrize("program", ["print(1)\n", "print('```')", "def add(a, b):\n    return a + b"])
@pytest.mark.parametrize("prompts", ["chat", "base", "reasoning"])
def test_an_answer_is_read_as_the_program_that_it_holds(program: str, prompts: str) -> None:
    task = mars2_env.task(toys.problem_set(1), agents=1, sandbox=toys.sandbox(), prompts=prompts)
    turn = fresh_turn(task.header("toy/0", 0, ""), "agent_0", task.problem("toy/0").public_view(), task.prompts)
    found = extract_program(Reply(answer_text(turn.messages, program)).text)
    assert found is not None and found.strip() == program.strip()
