"""The scripted policy gives out exactly what was written down; the scripted sandbox keeps the protocol."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from mars2_env.errors import ConfigError, PolicyError, SandboxError
from mars2_env.sandbox.base import Sandbox
from mars2_env.testing import ScriptedPolicy, ScriptedSandbox
from mars2_env.types import Call, Policy, Problem, Reply, Run, TestCase, Turn

ADD = Problem("add", "Add.", Call("add"), public=(TestCase([1, 2], 3),))
TURN = Turn(
    id=0,
    agent="coder_0",
    problem=ADD.public_view(),
    seed=7,
    messages=({"role": "user", "content": "Add."},),
    parent=0,
    parents=(0,),
)


def test_a_list_is_given_out_in_order_one_item_a_turn() -> None:
    policy = ScriptedPolicy(["a", Reply("b")])
    assert [r.text for r in policy.act([TURN, TURN])] == ["a", "b"]


def test_a_list_that_runs_out_says_so_and_what_to_do() -> None:
    policy = ScriptedPolicy(["a"])
    policy.act([TURN])
    with pytest.raises(PolicyError, match=r"ran out.*1 replies.*coder_0.*Add replies"):
        policy.act([TURN])


def test_a_mapping_is_looked_up_by_turn_then_agent_then_problem() -> None:
    policy = ScriptedPolicy({3: "by turn", "coder_0": ["first", "second"], "add": "by problem"})
    other = replace(TURN, agent="fixer_0")
    turns = [replace(TURN, id=3), TURN, TURN, other]
    assert [r.text for r in policy.act(turns)] == ["by turn", "first", "second", "by problem"]


def test_a_mapping_without_an_entry_names_what_it_has() -> None:
    with pytest.raises(PolicyError, match="fixer_0"):
        ScriptedPolicy({"fixer_0": "x"}).act([TURN])


def test_a_function_sees_the_turn() -> None:
    assert ScriptedPolicy(lambda turn: f"{turn.agent} {turn.seed}").act([TURN])[0].text == "coder_0 7"


def test_the_parent_is_named_only_where_the_agent_chooses_it() -> None:
    free = replace(TURN, parent=None, parents=(0, 1, 2))
    policy = ScriptedPolicy(lambda turn: "x", parent=2)
    assert [r.parent for r in policy.act([TURN, free])] == [None, 2]
    assert ScriptedPolicy([Reply("x", parent=1)]).act([free])[0].parent == 1


def test_one_reply_for_all_turns_is_not_mistaken_for_a_list_of_letters() -> None:
    with pytest.raises(ConfigError, match="lambda"):
        ScriptedPolicy("print()")


def test_something_else_than_a_reply_is_an_error() -> None:
    with pytest.raises(PolicyError, match="int"):
        ScriptedPolicy(lambda turn: 3).act([TURN])  # type: ignore[arg-type, return-value]


def test_both_keep_their_protocols() -> None:
    assert isinstance(ScriptedPolicy([]), Policy)
    assert isinstance(ScriptedSandbox(), Sandbox)
    assert ScriptedSandbox().identity == "scripted"


def test_an_unscripted_run_depends_on_program_and_input_alone() -> None:
    one = ScriptedSandbox().run("p", ["1", "2"])
    assert one == ScriptedSandbox().run("p", ["1", "2"])
    assert all(run.status == "ok" for run in one)
    assert len({run.output for run in [*one, *ScriptedSandbox().run("q", ["1", "2"])]}) == 4


def test_a_script_says_how_a_program_behaves() -> None:
    failed = Run("runtime_error", error_type="ZeroDivisionError")
    box = ScriptedSandbox(
        {
            "by function\n": lambda x: x[0] + 1,
            "by input": {"[1]": 10, "[2]": failed},
            "by order": [7, 8],
            "always": failed,
        }
    )
    assert [run.output for run in box.run("by function", [[1], [2]])] == [2, 3]
    assert box.run("by input", [[1], [2]]) == [Run("ok", 10), failed]
    assert [run.output for run in box.run(" by order ", [[1], [2]])] == [7, 8]
    assert box.run("always", [[1], [2]]) == [failed, failed]
    assert box.run("unknown", [[1]]) == ScriptedSandbox().run("unknown", [[1]])


def test_a_function_gets_program_and_input() -> None:
    assert ScriptedSandbox(lambda program, input: Run("ok", program + input)).run("a", ["b"]) == [Run("ok", "ab")]


def test_a_fault_can_be_played() -> None:
    box = ScriptedSandbox(lambda program, input: SandboxError("the worker died twice"))
    with pytest.raises(SandboxError, match="died"):
        box.run("p", [""])


def test_leaving_the_stream_asks_for_no_further_input() -> None:
    box = ScriptedSandbox()
    for _ in box.stream("p", ["1", "2", "3"]):
        break
    assert box.calls == [("p", "1")]


def test_the_async_twins_agree() -> None:
    box = ScriptedSandbox()

    async def both() -> tuple[list[Run], list[Run]]:
        return await box.arun("p", ["1", "2"]), [run async for run in box.astream("p", ["1", "2"])]

    whole, streamed = asyncio.run(both())
    assert whole == streamed == box.run("p", ["1", "2"])


def test_a_closed_sandbox_refuses() -> None:
    with ScriptedSandbox() as box:
        box.run("p", [""])
    box.close()
    assert box.closed
    with pytest.raises(SandboxError, match="closed"):
        box.run("p", [""])
