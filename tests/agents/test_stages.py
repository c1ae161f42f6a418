"""Policies made of policies: in which order stages come, what they are told, what it costs, and what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mars2_agents.policies.stage_templates import StageTemplates
from mars2_agents.policies.stages import MAX_OBSERVATION, Stages, ToolUser, observation, tried_program
from toys import FaultySandbox, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, Generation, PolicyError, Reply, Run, SandboxError, Step, Task, Trial, Turn
from mars2_env.log import read_trace
from mars2_env.sandbox.scripted import ScriptedSandbox
from mars2_env.tasks import PublicTests, identity_of
from mars2_env.types import Closes, Feedback, Generates, Limited, Verdict

WRONG, RIGHT = "```python\nprint(9)\n```", "```python\nprint(0)\n```"


class Member:
    """Gives out its texts in order, one a turn, each with 3 tokens of prompt and 2 of completion."""

    def __init__(self, *texts: str | Exception, cost: float | None = None) -> None:
        self.texts, self.cost = list(texts), cost
        self.turns: list[Turn] = []
        self.batches: list[int] = []

    def act(self, turns: list[Turn]) -> list[Reply]:
        self.batches.append(len(turns))
        return [self.reply(turn) for turn in turns]

    def reply(self, turn: Turn) -> Reply:
        self.turns.append(turn)
        text = self.texts.pop(0)
        if isinstance(text, Exception):
            raise text
        made = Generation(prompt_tokens=3, completion_tokens=2)
        return Reply(text, parent=None if turn.parent is not None else 0, generation=made, cost=self.cost)

    def words(self, number: int) -> str:
        """The last message that it was asked with, the so-manieth time."""
        return self.turns[number].messages[-1]["content"]


class Server(Member):
    """A member that generates, and does not act."""

    concurrency = 3
    closed = False

    def act(self, turns: list[Turn]) -> list[Reply]:
        raise AssertionError("it generates")

    async def generate(self, turn: Turn, *, priority: int) -> Reply:
        assert priority == 5
        return self.reply(turn)

    def close(self) -> None:
        self.closed = True


def task(count: int = 1, **options: Any) -> Task:
    return mars2_env.task(problem_set(count), sandbox=options.pop("sandbox", sandbox()), agents=1, **options)


def a_turn(task: Task, id: int = 0, **changes: Any) -> Turn:
    turn = mars2_env.Episode(task.problem(f"toy/{id}").public_view(), ["agent_0"], "mars2", 2, 0).ask()
    return replace(turn, **changes) if changes else turn


def answered(team: Any, turns: Sequence[Turn], trial: Trial, how: str) -> list[Reply]:
    """The replies to turns, by `act` or turn by turn by `generate`."""
    if how == "act":
        return list(team.act(list(turns), trial=trial))

    async def each() -> list[Reply]:
        return [await team.generate(turn, priority=5, trial=trial) for turn in turns]

    return asyncio.run(each())


both = pytest.mark.parametrize("how", ["act", "generate"])


@both
def test_plan_program_tries_and_repairs_come_in_order(how: str) -> None:
    kind: Callable[..., Any] = Member if how == "act" else Server
    planner, coder, debugger = kind("say 0"), kind(WRONG), Member("nothing to see", RIGHT)
    team = Stages(coder, planner=planner, debugger=debugger, rounds=3)
    toys = task()
    (reply,) = answered(team, [a_turn(toys)], PublicTests(toys), how)
    assert [step.role for step in reply.steps] == [
        "planner",
        "coder",
        "public_tests",
        "debugger",
        "debugger",
        "public_tests",
    ]
    assert [one.text for one in reply.generations] == ["say 0", WRONG, "nothing to see", RIGHT]
    assert reply.text == RIGHT and reply.tokens == (12, 8)
    tried = [step for step in reply.steps if step.generation is None]
    assert [step.call for step in tried] == ["print(9)\n", "print(0)\n"]
    assert tried[0].observation is not None and tried[0].observation.startswith("0 of 2 public tests pass.")
    assert tried[1].observation == "2 of 2 public tests pass."
    assert "say 0" in coder.words(0)
    assert "What came out:" in debugger.words(0) and "No program was found" in debugger.words(1)
    assert debugger.turns[0].messages[-2] == {"role": "assistant", "content": WRONG}


def test_what_stages_are_asked_begins_with_what_they_share() -> None:
    planner, coder, toys = Member("a plan"), Member(WRONG, RIGHT), task()
    turn = a_turn(toys)
    Stages(coder, planner=planner).act([turn], trial=PublicTests(toys))
    shared = turn.messages[-1]["content"]
    for asked in (*planner.turns, *coder.turns):
        assert asked.messages[: len(turn.messages) - 1] == turn.messages[:-1]
        assert asked.messages[len(turn.messages) - 1]["content"].startswith(shared)
    first, repair = coder.turns
    assert repair.messages[: len(first.messages)] == first.messages
    assert len({asked.seed for asked in (*planner.turns, *coder.turns)}) == 3


def test_repairs_end_after_their_rounds_and_the_last_one_is_the_reply() -> None:
    coder, toys = Member(WRONG, WRONG + "1", WRONG + "2"), task()
    (reply,) = Stages(coder, rounds=2).act([a_turn(toys)], trial=PublicTests(toys))
    assert reply.text == WRONG + "2"
    assert [step.role for step in reply.steps] == ["coder", "public_tests", "debugger", "public_tests", "debugger"]


def test_without_public_tests_the_coder_answers() -> None:
    toys = task()
    turn = a_turn(toys)
    bare = replace(turn, problem=replace(turn.problem, public=()))
    (reply,) = Stages(Member(WRONG)).act([bare])
    assert reply.text == WRONG and [step.role for step in reply.steps] == ["coder"]
    model = Member("```test\nprint(1)\n```")
    (reply,) = ToolUser(model).act([bare])
    assert model.turns[0].messages == bare.messages and len(reply.steps) == 1


def test_members_are_asked_about_a_whole_batch_at_once() -> None:
    toys = task(3)
    coder, debugger = Member(RIGHT, WRONG, WRONG), Member("```python\nprint(1)\n```", "```python\nprint(2)\n```")
    turns = [a_turn(toys, id) for id in range(3)]
    replies = Stages(coder, debugger=debugger).act(turns, trial=PublicTests(toys))
    assert (coder.batches, debugger.batches) == ([3], [2])
    assert [reply.text for reply in replies] == [RIGHT, "```python\nprint(1)\n```", "```python\nprint(2)\n```"]


def test_a_member_that_only_acts_is_asked_in_batches_of_what_waits() -> None:
    toys = task(3)
    coder = Member(*[RIGHT] * 3, ConnectionError("gone"), RIGHT, ConnectionError("gone"), RIGHT)
    team, turns = Stages(coder), [a_turn(toys, id) for id in range(3)]

    async def together() -> list[Any]:
        asked = (team.generate(turn, priority=0, trial=PublicTests(toys)) for turn in turns)
        return await asyncio.gather(*asked, return_exceptions=True)

    bare = [replace(turn, problem=replace(turn.problem, public=())) for turn in turns]
    turns[:] = bare
    assert [reply.text for reply in asyncio.run(together())] == [RIGHT] * 3
    assert coder.batches == [3]
    outcomes = asyncio.run(together())  # a batch that fails is asked again one by one
    assert coder.batches == [3, 3, 1, 1, 1]
    assert [isinstance(one, ConnectionError) for one in outcomes] == [False, True, False]


@both
def test_a_model_tries_until_it_answers(how: str) -> None:
    texts = ("```test\nprint(9)\n```", "Better.\n```python\nprint(8)\n```\nRUN", RIGHT)
    model, toys = (Member if how == "act" else Server)(*texts), task()
    (reply,) = answered(ToolUser(model, tries=3), [a_turn(toys)], PublicTests(toys), how)
    assert [step.role for step in reply.steps] == ["coder", "public_tests", "coder", "public_tests", "coder"]
    assert [step.call for step in reply.steps if step.generation is None] == ["print(9)\n", "print(8)\n"]
    assert reply.text == RIGHT
    assert "at most 3 times" in model.words(0)
    assert "You may try 2 more times" in model.words(1) and "You may try 1 more times" in model.words(2)


def test_a_model_that_goes_on_trying_has_to_answer() -> None:
    trying, toys = "```test\nprint(9)\n```", task()
    model = Member(trying, trying)
    (reply,) = ToolUser(model, tries=1).act([a_turn(toys)], trial=PublicTests(toys))
    assert reply.text == trying and len(reply.steps) == 3
    assert "Answer now" in model.words(1)


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```test\nprint(1)\n```", "print(1)\n"),
        ("```python\nprint(0)\n```\n```test\nprint(1)\n```", "print(1)\n"),
        ("**RUN**\n```python\nprint(1)\n```", "print(1)\n"),
        ("I could RUN it.\n```python\nprint(1)\n```", None),
        ("```test\n```", None),
        ("<think>\n```test\nprint(1)\n```\n</think>\nNo.", None),
        ("", None),
    ],
)
def test_what_asks_for_a_try(text: str, program: str | None) -> None:
    assert tried_program(a_turn(task()), text) == program


def test_only_public_tests_are_tried_and_tries_are_told_in_the_trace(tmp_path: Path) -> None:
    runs = sandbox()
    toys = task(sandbox=runs, budget=1)
    team = Stages(Member(WRONG, RIGHT), rounds=1)
    list(mars2_env.rollout(toys, team, out=tmp_path))
    problem = toys.problem("toy/0")
    public = {test.input for test in problem.public}
    assert {text for program, text in runs.calls if program == "print(9)\n"} == public
    (log,) = (tmp_path / "trees").glob("*.jsonl")
    trace = read_trace(log)[0]
    assert [step.role for step in trace.steps] == ["coder", "public_tests", "debugger"]
    assert trace.completion_tokens == 4 and trace.judge_seconds > 0


def test_what_is_told_of_a_try_is_bounded() -> None:
    long = "x" * 10**5
    told = observation(
        Verdict({"public": ("wrong_answer",)}, None, Feedback("wrong_answer", False, 0, long, long, long))
    )
    assert len(told) <= MAX_OBSERVATION + 60
    hostile = ScriptedSandbox(lambda program, text: Run("ok", output="y" * 10**6))
    model, toys = Member("```test\nprint(1)\n```", RIGHT), task(sandbox=hostile)
    (reply,) = ToolUser(model).act([a_turn(toys)], trial=PublicTests(toys))
    seen = reply.steps[1].observation
    assert seen is not None and "yyy" in seen and len(seen) < 2 * MAX_OBSERVATION


def test_a_budget_counts_the_tokens_of_every_stage() -> None:
    team = Stages(Member(*[WRONG] * 99), planner=Member(*["plan"] * 99), rounds=1)
    (tree,) = mars2_env.rollout(task(budget="nodes=9,tokens=12"), team)
    assert len(tree.nodes) == 2  # of 6 tokens each


def test_costs_of_members_add_up() -> None:
    toys = task()
    team = Stages(Member(WRONG, cost=0.25), debugger=Member(RIGHT, cost=0.5), planner=Member("plan"), rounds=1)
    assert team.act([a_turn(toys)], trial=PublicTests(toys))[0].cost == 0.75
    assert Stages(Member(RIGHT)).act([a_turn(toys)], trial=PublicTests(toys))[0].cost is None
    priced = Member(RIGHT)
    priced.gives = {"cost"}  # type: ignore[attr-defined]
    team = Stages(Member(WRONG, cost=0.25), debugger=priced, rounds=1)
    assert team.act([a_turn(toys)], trial=PublicTests(toys))[0].cost is None  # part of it is not known


@both
def test_a_member_that_fails_is_a_policy_that_fails(how: str) -> None:
    toys = task()
    with pytest.raises(ConnectionError, match="gone"):
        answered(
            Stages(Member(WRONG), debugger=Member(ConnectionError("gone"))), [a_turn(toys)], PublicTests(toys), how
        )


def test_a_member_that_fails_once_costs_the_tree_nothing() -> None:
    team = Stages(Member(ConnectionError("gone"), WRONG, RIGHT), rounds=1)
    (tree,) = mars2_env.rollout(task(budget=1), team)
    assert tree.ended == "budget" and tree.best_score == 1


@both
def test_a_fault_of_the_sandbox_is_raised_and_is_no_observation(how: str) -> None:
    toys = task(sandbox=FaultySandbox(1))
    debugger = Member(RIGHT)
    with pytest.raises(SandboxError, match="the engine is gone"):
        answered(Stages(Member(WRONG), debugger=debugger), [a_turn(toys)], PublicTests(toys), how)
    assert not debugger.turns


@both
def test_what_members_return_is_checked(how: str) -> None:
    class Odd(Server if how == "generate" else Member):  # type: ignore[misc]
        def act(self, turns: list[Turn]) -> Any:
            return ["text"]

        async def generate(self, turn: Turn, *, priority: int) -> Any:
            return "text"

    odd: Any = Odd()
    if how == "act":
        del Odd.generate
    toys = task()
    with pytest.raises(PolicyError, match="a Reply is needed"):
        answered(Stages(odd), [a_turn(toys)], PublicTests(toys), how)


def test_a_team_can_be_a_member() -> None:
    toys = task()
    inner = ToolUser(Member("```test\nprint(9)\n```", WRONG), role="tinkerer")
    (reply,) = Stages(inner, debugger=Member(RIGHT), rounds=1).act([a_turn(toys)], trial=PublicTests(toys))
    assert [step.role for step in reply.steps] == ["tinkerer", "public_tests", "tinkerer", "public_tests", "debugger"]


def test_the_parent_is_what_coder_or_debugger_name_last() -> None:
    toys = task()
    turn = a_turn(toys, parent=None, parents=(0, 1, 2))

    def parent(*texts: str) -> int | None:
        team = Stages(Member(*texts), planner=Member("PARENT: 1"), rounds=1)
        return team.act([turn], trial=PublicTests(toys))[0].parent

    assert parent(f"PARENT: 2\n{WRONG}", RIGHT) == 2
    assert parent(f"PARENT: 2\n{WRONG}", f"PARENT: 0\n{RIGHT}") == 0
    assert parent(WRONG, RIGHT) == 0


def test_abilities_are_those_of_the_members() -> None:
    server = Server(RIGHT)
    team = Stages(server, planner=Member("plan"))
    for ability in (Generates, Limited, Closes):
        assert isinstance(team, ability)
    assert team.concurrency == 3
    team.close()
    assert server.closed
    assert team.gives == {"token_ids", "logprobs", "token_counts", "cost"}  # neither says what it gives
    server.gives = {"token_counts"}  # type: ignore[attr-defined]
    assert team.gives == {"token_counts"}


def test_identities_tell_members_rounds_and_words_apart() -> None:
    def named(**options: Any) -> str:
        return identity_of(Stages(mars2_env.testing.ScriptedPolicy(["x"]), **options))

    words = StageTemplates(code="Write it.")
    names = {named(), named(rounds=1), named(templates=words), named(planner=mars2_env.testing.ScriptedPolicy(["y"]))}
    assert len(names) == 4 and named() == named()
    assert "stages-1" in named()


def test_what_makes_no_sense_is_refused() -> None:
    toys = task()
    with pytest.raises(PolicyError, match="is no policy"):
        Stages("noise:default")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="rounds=-1"):
        Stages(Member(), rounds=-1)
    with pytest.raises(ConfigError, match="tries=0"):
        ToolUser(Member(), tries=0)
    with pytest.raises(PolicyError, match="nothing to try them with"):
        Stages(Member(WRONG)).act([a_turn(toys)])
    plain = a_turn(toys, messages=({"role": "assistant", "content": "# Problem"},))
    with pytest.raises(PolicyError, match="chat messages"):
        Stages(Member(WRONG)).act([plain])


def test_a_step_of_a_member_that_tells_no_tokens_leaves_the_count_open() -> None:
    class Silent:
        def act(self, turns: list[Turn]) -> list[Reply]:
            return [Reply(RIGHT) for _ in turns]

    toys = task()
    (reply,) = Stages(Silent()).act([a_turn(toys)], trial=PublicTests(toys))
    assert reply.tokens is None
    assert reply.steps[0] == Step("coder", Generation(text=RIGHT))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Stages(Member(), templates="x"), "Stages.templates='x'"),
        (lambda: Stages(Member(), templates=""), "Stages.templates=''"),
        (lambda: Stages(Member(), planner=0), "0 is no policy"),
        (lambda: Stages(Member(), debugger=0), "0 is no policy"),
        (lambda: ToolUser(Member(), templates=StageTemplates), "ToolUser.templates="),
        (lambda: ToolUser(Member(), role=3), "ToolUser.role=3"),
        (lambda: StageTemplates(plan=3), "StageTemplates.plan=3"),
    ],
)
def test_what_stages_cannot_be_made_of_is_said_at_once(make: Callable[[], Any], says: str) -> None:
    with pytest.raises((ConfigError, PolicyError), match=says):
        make()
