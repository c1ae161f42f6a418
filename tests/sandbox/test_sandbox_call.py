"""A program whose function is called: values in, values out, one at a time, and no live object crosses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from mars2_env.errors import ConfigError
from mars2_env.sandbox import make_sandbox
from mars2_env.sandbox.base import Sandbox
from mars2_env.sandbox.worker.values import Opaque
from mars2_env.types import Call, Limits, Run

F = Call("f")


def call(sandbox: Sandbox, program: str, *inputs: list[Any], limits: Limits | None = None) -> list[Run]:
    return sandbox.run(program, list(inputs), interface=F, limits=limits or Limits())


@pytest.fixture(scope="module")
def per_input(docker_engine: None) -> Iterator[Sandbox]:
    with make_sandbox("docker", workers=1, isolation="input") as sandbox:
        yield sandbox


def test_values_arrive_and_return_with_their_types(docker_sandbox: Sandbox) -> None:
    value = [None, True, 1, -(2**100), 1.5, -0.0, math.inf, "é\ud800", b"\x00\xff", (1, [2]), {1, 2}, frozenset({3})]
    value += [{"a": (1,), (1, 2): {}}, 1 + 2j]
    result = call(docker_sandbox, "def f(x): return x", [value])[0]
    assert result.status == "ok" and repr(result.output) == repr(value)


def test_large_values_flow_both_ways(docker_sandbox: Sandbox) -> None:
    limits = Limits(output_bytes=20_000_000)
    value = list(range(500_000))
    result = call(docker_sandbox, "def f(x): return x[::-1]", [value], limits=limits)[0]
    assert result.output == value[::-1]


def test_what_is_not_plain_data_is_opaque(docker_sandbox: Sandbox) -> None:
    program = "class T: __eq__ = lambda s, o: True\ndef f(k): return [T(), (x for x in ()), f, {T: 1}][k]"
    results = call(docker_sandbox, program, [0], [1], [2], [3])
    assert [result.output for result in results] == [
        Opaque("T"),
        Opaque("generator"),
        Opaque("function"),
        {Opaque("type"): 1},
    ]


def test_arguments_are_fresh_each_time(docker_sandbox: Sandbox) -> None:
    argument = [1, 2]
    results = call(docker_sandbox, "def f(x):\n    x.append(3)\n    return x", [argument], [argument])
    assert [result.output for result in results] == [[1, 2, 3], [1, 2, 3]] and argument == [1, 2]


def test_a_missing_function_is_an_error_that_names_it(docker_sandbox: Sandbox) -> None:
    result = call(docker_sandbox, "def g(x): return x", [1])[0]
    assert (result.status, result.error_type) == ("runtime_error", "NameError")
    assert "'f'" in result.error_message


def test_errors_name_the_programs_own_lines(docker_sandbox: Sandbox) -> None:
    results = call(docker_sandbox, "def f(x):\n    return 1 // x\n", [0], [1], [2, 3])
    assert [result.status for result in results] == ["runtime_error", "ok", "runtime_error"]
    assert 'File "program.py", line 2, in f\n    return 1 // x\nZeroDivisionError' in results[0].traceback
    assert results[2].error_type == "TypeError"


def test_an_error_while_the_program_is_defined_fails_every_input(docker_sandbox: Sandbox) -> None:
    results = call(docker_sandbox, "def f(x): return x\nimport none_such\n", [1], [2])
    assert [result.error_type for result in results] == ["ModuleNotFoundError"] * 2
    assert {result.status for result in call(docker_sandbox, "def f(x: return x", [1], [2])} == {"compile_error"}


def test_the_main_part_of_a_program_is_not_run(docker_sandbox: Sandbox) -> None:
    program = "def f(x): return x\nif __name__ == '__main__':\n    raise ValueError\n"
    assert call(docker_sandbox, program, [5])[0].output == 5


def test_what_is_printed_goes_nowhere_near_the_answer(docker_sandbox: Sandbox) -> None:
    program = "import sys\ndef f(x):\n    print('7' * 10**6)\n    print('seen', file=sys.stderr)\n    return x"
    result = call(docker_sandbox, program, [5], limits=Limits(output_bytes=1000))[0]
    assert (result.status, result.output, result.stderr) == ("ok", 5, "seen\n")
    assert call(docker_sandbox, "def f(): return input()", [])[0].error_type == "EOFError"


def test_one_process_for_a_program_may_remember(docker_sandbox: Sandbox, per_input: Sandbox) -> None:
    program = "seen = []\ndef f(x):\n    seen.append(x)\n    return seen"
    assert [result.output for result in call(docker_sandbox, program, [1], [2])] == [[1], [1, 2]]
    assert [result.output for result in call(per_input, program, [1], [2])] == [[1], [2]]


def test_a_process_that_dies_decides_no_other_input(docker_sandbox: Sandbox, per_input: Sandbox) -> None:
    program = (
        "import os, sys\n"
        "def f(how):\n"
        "    if how == 'exit': os._exit(0)\n"
        "    if how == 'crash': os.abort()\n"
        "    if how == 'memory': return len(bytearray(10**9))\n"
        "    if how == 'sys': sys.exit(0)\n"
        "    return how\n"
    )
    ways = ["fine", "exit", "fine", "crash", "fine", "memory", "fine", "sys", "fine"]
    expected = ["ok", "runtime_error", "ok", "runtime_error", "ok", "memory_limit", "ok", "runtime_error", "ok"]
    for sandbox in (docker_sandbox, per_input):
        assert [result.status for result in call(sandbox, program, *[[way] for way in ways])] == expected


def test_a_process_that_dies_after_its_answer_decides_no_later_input(docker_sandbox: Sandbox) -> None:
    program = (
        "import os\n"
        "class Last(list):\n"
        "    def __del__(self): os._exit(0)\n"
        "def f(x): return Last([x]) if x % 2 else [x]\n"
    )
    results = call(docker_sandbox, program, *[[n] for n in range(20)])
    assert [result.output for result in results] == [[n] for n in range(20)]


def test_forged_answers_earn_nothing(docker_sandbox: Sandbox) -> None:
    # The program finds the pipe for results and writes answers to inputs that it has not seen.
    program = (
        "import os\ndef f(x):\n"
        "    frame = (1).to_bytes(4, 'big') + b'V' + b'9'\n"
        "    for fd in range(3, 256):\n"
        "        try: os.write(fd, frame * 5)\n"
        "        except OSError: pass\n"
        "    return x\n"
    )
    results = call(docker_sandbox, program, [1], [2], [3])
    assert [(result.status, result.error_type) for result in results] == [("runtime_error", "ProtocolError")] * 3


@pytest.mark.parametrize(
    "frame",
    [
        "b'\\xff\\xff\\xff\\xffV'",
        "b'\\x00\\x00\\x00\\x05V[[[[['",
        "b'\\x00\\x00\\x00\\x02?1'",
        "b'\\x00\\x00\\x00\\x02E['",
        "b'\\x00\\x00\\x00\\x00V'",
        "b'garbage' * 10**6",
        "b'\\x00\\x00\\x00\\x03V1'",
    ],
)
def test_garbage_instead_of_an_answer_is_a_failure(docker_sandbox: Sandbox, frame: str) -> None:
    program = (
        "import os\ndef f(x):\n    for fd in range(3, 256):\n"
        f"        try: os.write(fd, {frame})\n"
        "        except OSError: pass\n    os._exit(0)\n"
    )
    result = call(docker_sandbox, program, [1])[0]
    assert result.status in ("runtime_error", "output_limit") and result.output is None


def test_a_result_above_the_cap_is_an_output_limit(docker_sandbox: Sandbox) -> None:
    results = call(docker_sandbox, "def f(n): return 'x' * n", [2000], [500], limits=Limits(output_bytes=1000))
    assert [result.status for result in results] == ["output_limit", "ok"]


def test_results_that_nest_or_repeat_too_much_are_errors(docker_sandbox: Sandbox) -> None:
    program = (
        "def f(kind):\n    x = []\n    if kind == 'loop': x.append(x)\n"
        "    for _ in range(5000 if kind == 'deep' else 0): x = [x]\n"
        "    for _ in range(100 if kind == 'wide' else 0): x = [x, x]\n    return x\n"
    )
    statuses = [result.status for result in call(docker_sandbox, program, ["loop"], ["deep"], ["wide"], ["fine"])]
    assert statuses == ["runtime_error", "runtime_error", "output_limit", "ok"]


def test_inputs_that_are_not_plain_data_are_refused(docker_sandbox: Sandbox) -> None:
    with pytest.raises(ConfigError, match="not plain data"):
        call(docker_sandbox, "def f(x): return x", [object()])
    with pytest.raises(ConfigError, match="list of positional arguments"):
        docker_sandbox.run("def f(x): return x", [3], interface=F)
    with pytest.raises(ConfigError, match="a text"):
        docker_sandbox.run("print(1)", [b"x"])
    assert call(docker_sandbox, "def f(x): return x", [1])[0].output == 1


@pytest.mark.parametrize(("program", "inputs"), [(5, [""]), ("x", 5), ("print(1)", "ab"), ("x", None)])
def test_what_is_no_program_or_no_list_of_inputs_is_refused(docker_sandbox: Sandbox, program: Any, inputs: Any) -> None:
    with pytest.raises(ConfigError, match=r"program=|inputs="):
        docker_sandbox.run(program, inputs)


class Asked(list[Any]):
    """Inputs that note which of them are taken."""

    def __init__(self, inputs: list[Any]) -> None:
        super().__init__(inputs)
        self.taken: list[int] = []

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        self.taken.append(index)
        return super().__getitem__(index)


def test_the_next_input_of_a_script_is_taken_only_when_it_is_asked_for(docker_sandbox: Sandbox) -> None:
    inputs = Asked([str(n) for n in range(9)])
    stream = docker_sandbox.stream("print(input())", inputs)
    next(stream)
    assert inputs.taken == [0]
    stream.close()
    assert inputs.taken == [0]


def test_a_function_that_answers_at_once_is_asked_a_few_inputs_ahead(docker_sandbox: Sandbox) -> None:
    inputs = Asked([[n] for n in range(100)])
    stream = docker_sandbox.stream("def f(x): return x", inputs, interface=F)
    next(stream)
    stream.close()
    assert len(inputs.taken) < 10


def test_a_function_that_takes_long_is_asked_for_nothing_ahead(docker_sandbox: Sandbox) -> None:
    inputs = Asked([[n] for n in range(100)])
    stream = docker_sandbox.stream("import time\ndef f(x):\n    time.sleep(0.05)\n    return x", inputs, interface=F)
    assert next(stream).output == 0
    inputs.taken.clear()
    assert [next(stream).output for _ in range(3)] == [1, 2, 3] and inputs.taken == [1, 2, 3]
    stream.close()
