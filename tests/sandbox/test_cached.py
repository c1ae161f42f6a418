"""`CachedSandbox`: equal programs on equal inputs run once, and what comes back is what came back then."""

from __future__ import annotations

import asyncio
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from mars2_env import Call, ConfigError, Limits, Problem, Run, SandboxError, TestCase
from mars2_env.judge import Judge
from mars2_env.sandbox import CachedSandbox, Sandbox
from mars2_env.testing import ScriptedSandbox

VALUE = "import fractions\ndef f(x):\n    return [x, {1, 2}, (True, 1.0, 2**70), {'a': b'b'}, fractions.Fraction(1, 2)]"


def test_runs_come_back_as_they_were_types_and_all(docker_sandbox: Sandbox, tmp_path: Path) -> None:
    call = Call("f")
    first = CachedSandbox(docker_sandbox, tmp_path / "runs")
    runs = first.run(VALUE, [[1], [None]], interface=call)
    scripted = ScriptedSandbox(identity=docker_sandbox.identity)
    again = CachedSandbox(scripted, tmp_path / "runs").run(VALUE, [[None], [1]], interface=call)
    assert not scripted.calls
    assert repr(again) == repr(runs[::-1])
    assert runs[0].output[:4] == [1, {1, 2}, (True, 1.0, 2**70), {"a": b"b"}]


def test_only_what_is_new_runs_and_only_when_it_is_reached() -> None:
    behind = ScriptedSandbox()
    box = CachedSandbox(behind)
    box.run("p", ["b"])
    stream = box.stream("p", ["a", "b", "c"])
    assert next(stream) == behind.run("p", ["a"])[0]
    behind.calls.clear()
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    assert behind.calls == []
    assert asyncio.run(box.arun("p", ["c", "a"])) == behind.run("p", ["c", "a"])
    assert (box.hits, box.misses) == (2, 3)


@pytest.mark.parametrize(
    "other", [{"program": "q"}, {"inputs": [[True]]}, {"interface": Call("g")}, {"limits": Limits(cpu_seconds=1)}]
)
def test_whatever_differs_is_another_run(other: dict[str, Any]) -> None:
    behind = ScriptedSandbox()
    box = CachedSandbox(behind)
    box.run("p", [[1]], interface=Call("f"))
    box.run(**{"program": "p", "inputs": [[1]], "interface": Call("f"), **other})
    assert len(behind.calls) == 2


def test_faults_are_raised_and_never_kept() -> None:
    answers = [SandboxError("gone"), "1"]
    box = CachedSandbox(ScriptedSandbox(lambda program, given: answers.pop(0)))
    with pytest.raises(SandboxError, match="gone"):
        box.run("p", ["1"])
    assert box.run("p", ["1"]) == [Run("ok", output="1")]


def test_a_verdict_is_the_same_and_needs_no_second_run() -> None:
    behind = ScriptedSandbox(lambda program, given: given)
    problem = Problem("p", "s", public=tuple(TestCase(str(i), str(i % 3)) for i in range(6)))
    plain, cached = Judge(behind), Judge(CachedSandbox(behind))
    for stop in ("first_failure", "never"):
        wanted = plain.grade(problem, "p", stop=stop)  # type: ignore[arg-type]
        assert [cached.grade(problem, "p", stop=stop) for _ in range(2)] == [wanted] * 2  # type: ignore[arg-type]
    assert isinstance(cached.sandbox, CachedSandbox)
    assert cached.sandbox.misses == 6


def test_a_copy_and_a_forked_process_use_the_same_file(tmp_path: Path) -> None:
    box = CachedSandbox(ScriptedSandbox(), tmp_path / "runs")
    box.run("p", ["a"])
    copy = pickle.loads(pickle.dumps(box))
    copy.run("p", ["a"])
    assert copy.hits == 1
    child = os.fork()
    if child == 0:
        box.run("p", ["b"])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    box.run("p", ["b"])
    assert (box.hits, box.misses) == (1, 1)


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("not a database, and long enough to be taken for one" * 20, encoding="utf-8")
    for path in (tmp_path / "notes", tmp_path / "missing" / "runs"):
        with pytest.raises(ConfigError, match="cannot keep runs"):
            CachedSandbox(ScriptedSandbox(), path)
