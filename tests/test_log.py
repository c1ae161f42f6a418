"""The log: what is written, how it is resumed, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toys import FaultySandbox, Guesser, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, Feedback, Generation, LogError, Task, Tree, Usage, Verdict
from mars2_env.episode.events import Asked, Cancelled, Ended, Event, Failed, Joined, Left, Passed, Seeded, Told
from mars2_env.log import (
    LogWriter,
    Trace,
    TraceWriter,
    decode_event,
    encode_event,
    log_path,
    read_trace,
    trace_path,
)
from mars2_env.testing import ScriptedPolicy

EVENTS: list[Event] = [
    Asked(0, "a_0", 0, 2**63 - 1),
    Asked(1, "a_0", None, 5),
    Told(0, 1, 0, 0.5, Verdict(groups={"public": ("passed", "not_run")}), "text \u2028 \x00 \n", "x = 1\n", 1),
    Told(1, None, 7, 0.0, Verdict(settled="illegal"), ""),
    Told(2, 2, 0, 0.0, Verdict(groups={"public": ("time_limit",)}, feedback=Feedback("time_limit", limit="3 s")), "r"),
    Told(
        3,
        3,
        0,
        0.25,
        Verdict(groups={"public": ("passed",)}),
        "r",
        "y = 1\n",
        None,
        True,
        0.5,
        Usage(7, 0.1, 1e-9, 2.5),
    ),
    Failed(3, "gone"),
    Passed(4),
    Cancelled(4),
    Seeded("x = 1\n", 0.5, Verdict(groups={"public": ("passed", "wrong_answer")})),
    Joined("c_0"),
    Joined("c_0", "You are new.", {"nodes": 3, "tokens": 10}),
    Left("c_0"),
    Ended("budget"),
    Ended("stopped", "enough"),
]


def task(**options: Any) -> Task:
    return mars2_env.task(problem_set(), sandbox=sandbox(), **options)


def grown(out: Path, **options: Any) -> Tree:
    (tree,) = mars2_env.rollout(task(**options), Guesser(), problems=["toy/1"], out=out)
    return tree


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_reads_back_as_it_was_written(event: Event) -> None:
    line = encode_event(event)
    assert b"\n" not in line
    assert decode_event(line) == event


def test_no_clock_time_is_in_a_log(tmp_path: Path) -> None:
    grown(tmp_path)
    text = log_path(tmp_path, "toy/1", 0).read_text()
    assert "seconds" not in text.partition("\n")[2]


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b'{"event":"asked"}', b'{"event":"flew","turn":1}', b"\xff", b"1"])
def test_a_line_that_is_no_event_is_an_error_of_ours(line: bytes) -> None:
    with pytest.raises(LogError):
        decode_event(line)


def test_a_damaged_line_is_named_with_file_and_number(tmp_path: Path) -> None:
    grown(tmp_path)
    path = log_path(tmp_path, "toy/1", 0)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"garbage\n", *lines[3:]]))
    with pytest.raises(LogError, match=r"seed0\.jsonl: line 4"):
        mars2_env.read_log(path)


def test_an_event_that_does_not_follow_is_an_error(tmp_path: Path) -> None:
    grown(tmp_path)
    path = log_path(tmp_path, "toy/1", 0)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    with pytest.raises(LogError):
        mars2_env.read_log(path)


def test_reading_gives_the_tree_that_was_grown(tmp_path: Path) -> None:
    tree = grown(tmp_path)
    assert mars2_env.read_log(tmp_path) == [tree]
    assert mars2_env.read_log(log_path(tmp_path, "toy/1", 0)) == [tree]


@pytest.mark.parametrize("game", ["write", "play"])
def test_a_replay_draws_the_same_choices(tmp_path: Path, game: str) -> None:
    tree = grown(tmp_path, game=game)
    assert mars2_env.replay(tree) == tree
    assert mars2_env.replay(log_path(tmp_path, "toy/1", 0)) == tree


def test_a_replay_of_a_log_with_faults_agrees(tmp_path: Path) -> None:
    shaken = mars2_env.task(problem_set(), sandbox=FaultySandbox(2))
    (tree,) = mars2_env.rollout(shaken, Guesser(), problems=["toy/1"], out=tmp_path)
    assert any(isinstance(event, Failed) for event in tree.events)
    assert mars2_env.replay(tree) == tree


def test_a_replay_takes_the_programs_that_were_found_when_the_log_was_written(tmp_path: Path) -> None:
    """Rules by which a program is found in a reply may change; what a log says was found does not."""
    tree = grown(tmp_path)
    older = tuple(
        replace(event, reply=f"Before it: {event.reply}\n```python\nprint('today this one is found')\n```")
        if isinstance(event, Told)
        else event
        for event in tree.events
    )
    programs = [event.program for event in older if isinstance(event, Told)]
    again = mars2_env.replay(replace(tree, events=older))
    assert again.events == older
    assert [node.program for node in again.nodes] == programs


def test_a_replay_takes_a_reply_for_one_without_a_program_where_the_log_does(tmp_path: Path) -> None:
    silent = ScriptedPolicy(lambda turn: "I do not know.")
    (tree,) = mars2_env.rollout(task(), silent, problems=["toy/1"], out=tmp_path)
    older = tuple(replace(event, reply="print(1)") if isinstance(event, Told) else event for event in tree.events)
    again = mars2_env.replay(replace(tree, events=older))
    assert again.events == older
    assert all(node.program is None for node in again.nodes)


def test_a_replay_of_a_log_that_was_tampered_with_fails(tmp_path: Path) -> None:
    tree = grown(tmp_path)
    first = tree.events[0]
    assert isinstance(first, Asked)
    for forged in (
        replace(first, seed=first.seed + 1),
        replace(first, agent="agent_1" if first.agent == "agent_0" else "agent_0"),
    ):
        with pytest.raises(LogError, match="event 0"):
            mars2_env.replay(replace(tree, events=(forged, *tree.events[1:])))


def test_a_log_cut_at_any_byte_is_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    grown(tmp_path / "whole")
    whole = log_path(tmp_path / "whole", "toy/1", 0).read_bytes()
    for number, cut in enumerate(range(0, len(whole), 97)):
        out = tmp_path / str(number)
        path = log_path(out, "toy/1", 0)
        path.parent.mkdir(parents=True)
        path.write_bytes(whole[:cut])
        grown(out)
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"budget": 9}, "task.budget.nodes"),
        ({"score": "fraction"}, "task.rules.score"),
        ({"selector": "ab_mcts_a,posterior=gaussian"}, "task.selector.posterior"),
        ({"agents": ["x", "y"]}, "task.agents"),
        ({"limits": mars2_env.Limits(cpu_seconds=1)}, "task.limits"),
    ],
)
def test_a_resume_under_another_configuration_is_refused_and_names_the_key(
    tmp_path: Path, options: dict[str, Any], key: str
) -> None:
    def header(made: Task) -> Any:
        return made.header("toy/1", 0, "scripted")

    path = tmp_path / "tree.jsonl"
    LogWriter(path, header(task())).close()
    with pytest.raises(LogError, match=key):
        LogWriter(path, header(task(**options)))
    LogWriter(path, header(task())).close()


def test_another_sandbox_problem_set_or_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tree.jsonl"
    header = task().header("toy/1", 0, "docker:1")
    LogWriter(path, header).close()
    for changed, key in (
        (replace(header, sandbox="docker:2"), "sandbox"),
        (replace(header, problems="0"), "problems"),
        (replace(header, package="9"), "package"),
        (replace(header, seed=1), "seed"),
    ):
        with pytest.raises(LogError, match=key):
            LogWriter(path, changed)


def test_a_log_of_another_schema_is_refused(tmp_path: Path) -> None:
    grown(tmp_path)
    path = log_path(tmp_path, "toy/1", 0)
    path.write_bytes(path.read_bytes().replace(b'"schema":1', b'"schema":99', 1))
    with pytest.raises(LogError, match="schema 99; this version reads schemas 1 and 2"):
        mars2_env.read_log(path)


def test_a_log_from_before_its_younger_fields_is_read(tmp_path: Path) -> None:
    tree = grown(tmp_path)
    assert (tree.ended, tree.detail) == ("budget", "nodes: 8 of 8")
    path = log_path(tmp_path, "toy/1", 0)
    data = path.read_bytes()
    for younger in (b"given", b"model_score", b"usage", b"patience", b"model_weight"):
        assert younger not in data  # at their defaults they are not written
    assert data.count(b',"detail":"nodes: 8 of 8"') == 1
    path.write_bytes(data.replace(b',"detail":"nodes: 8 of 8"', b""))
    (older,) = mars2_env.read_log(tmp_path)
    assert (older.nodes, older.ended, older.detail) == (tree.nodes, "budget", "")


def test_a_folder_without_trees_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no trees"):
        mars2_env.read_log(tmp_path)
    with pytest.raises(LogError, match="cannot be read"):
        mars2_env.read_log(tmp_path / "none.jsonl")


def test_problem_ids_make_file_names_that_stay_in_the_folder(tmp_path: Path) -> None:
    for id in ("../../etc/passwd", "a/b", "a b", "\u00e9", "x" * 50):
        assert log_path(tmp_path, id, 0).parent == tmp_path / "trees"
    assert log_path(tmp_path, "a/b", 0) != log_path(tmp_path, "a-b", 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"turn":0', b'"turn":7'),
        (b'"score":0.0', b'"score":99.0'),
        (b'"groups":{"public"', b'"groups":{"private"'),
        (b'"rules":{', b'"rulez":{'),
        (b'"nodes":8', b'"nodes":99999999999999'),
        (b'"agents":[[', b'"agents":[["a_0"],['),
    ],
)
def test_a_log_that_makes_no_tree_is_an_error_that_names_the_file(tmp_path: Path, old: bytes, new: bytes) -> None:
    grown(tmp_path)
    path = log_path(tmp_path, "toy/1", 0)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    with pytest.raises(LogError, match=r"seed0\.jsonl"):
        mars2_env.read_log(tmp_path)


@pytest.mark.parametrize("wrong", [5, None])
def test_what_is_no_log_and_no_tree_is_an_error_of_ours(wrong: Any) -> None:
    with pytest.raises(LogError, match="file or folder"):
        mars2_env.read_log(wrong)
    with pytest.raises(LogError, match="file or folder"):
        mars2_env.replay(wrong)
    with pytest.raises(ConfigError, match="takes a run folder"):
        mars2_env.evaluate(wrong)
    with pytest.raises(ConfigError, match="takes a run folder"):
        mars2_env.evaluate([wrong])
    with pytest.raises(ConfigError, match="takes a tree"):
        mars2_env.answer(wrong)


def damaged(out: Path, data: bytes, name: str = "toy%2F1.seed0.jsonl") -> Path:
    """A run folder whose log of toy/1 is something else."""
    path = out / "trees" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


GARBAGE = bytes(range(256))
DAMAGE: dict[str, tuple[bytes, str]] = {
    "invalid UTF-8 in the header": (b'{"problem":"\xff"}\n', "line 1: not a log header"),
    "binary garbage": (GARBAGE * 9, "line 1: not a log header"),
    "binary garbage without a newline": (GARBAGE.replace(b"\n", b""), "line 1: not a log header"),
    "an empty line": (b"\n", "line 1: not a log header"),
    "a list": (b"[]\n", "line 1: not a log header: no schema"),
    "a header that lacks fields": (b'{"schema":1}\n', "line 1: not a log header"),
    "brackets without end": (b"[" * 10**5 + b"\n", "line 1: not a log header"),
    "another program's lines": (b'{"id":1}\n{"id":2}\n', "line 1: not a log header: no schema"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_has_the_name_of_a_log_and_is_none_stops_whoever_reads_or_goes_on(tmp_path: Path, what: str) -> None:
    data, message = DAMAGE[what]
    path = damaged(tmp_path, data)
    for act in (
        lambda: mars2_env.read_log(path),
        lambda: mars2_env.read_log(tmp_path),
        lambda: mars2_env.rollout(task(), Guesser(), problems=["toy/0"], out=tmp_path),
        lambda: grown(tmp_path),
    ):
        with pytest.raises(LogError, match=rf"toy%2F1\.seed0\.jsonl: {message}"):
            act()
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"null", "line 3: not an event: 'null' is no object with the key 'event'.*put the log back"),
        (b"3", "line 3: not an event: '3' is no object"),
        (b"[]", r"line 3: not an event: '\[\]' is no object"),
        (b"{}", "line 3: not an event: '{}' is no object with the key 'event'"),
        (b'{"event":null}', "line 3: unknown event None"),
        (b'{"event":["told"]}', "line 3: not an event"),
        (b'{"event":"asked","agent":"\xff"}', "line 3: not an event"),
        (b"[" * 10**5, "line 3: not an event"),
        (GARBAGE.replace(b"\n", b"").replace(b"\r", b""), "line 3: not an event"),
        (b"", "line 3: not an event"),
        (b'{"event":"ended"}', "line 3: not an event"),
        (b'{"event":"failed","turn":77,"reason":""}', "line 3: the events do not make a tree: turn 77"),
        (b'{"event":"joined","agent":"x_0","budget":{"nodes":-1}}', "line 3: the events do not make a tree"),
    ],
)
def test_a_damaged_line_is_named_by_whoever_reads_and_whoever_goes_on(
    tmp_path: Path, line: bytes, message: str
) -> None:
    grown(tmp_path)
    path = log_path(tmp_path, "toy/1", 0)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], line, b"\n", *lines[2:]]))
    for act in (lambda: mars2_env.read_log(path), lambda: mars2_env.read_log(tmp_path), lambda: grown(tmp_path)):
        with pytest.raises(LogError, match=rf"toy%2F1\.seed0\.jsonl: {message}"):
            act()


def test_a_folder_in_the_place_of_a_log_is_named(tmp_path: Path) -> None:
    path = log_path(tmp_path, "toy/1", 0)
    path.mkdir(parents=True)
    for act in (lambda: mars2_env.read_log(path.parent.parent), lambda: grown(tmp_path)):
        with pytest.raises(LogError, match=r"seed0\.jsonl: cannot be read: Is a directory"):
            act()
    with pytest.raises(LogError, match=r"trees: cannot be read: Not a directory"):
        damaged(tmp_path / "other", b"", "../trees/x").parent.rename(tmp_path / "moved")
        (tmp_path / "other" / "trees").write_text("")
        mars2_env.read_log(tmp_path / "other")


def test_what_has_not_the_name_of_a_log_is_left_alone_by_all(tmp_path: Path) -> None:
    for name in ("notes.jsonl", "toy%2F1.jsonl", "toy%2F1.seedx.jsonl", "toy%2F1.seed0.jsonl.bak", ".DS_Store"):
        damaged(tmp_path, GARBAGE, name)
    with pytest.raises(LogError, match="no trees"):
        mars2_env.read_log(tmp_path)
    tree = grown(tmp_path)
    assert mars2_env.read_log(tmp_path) == [tree]
    assert grown(tmp_path) == tree


def test_an_empty_log_is_a_tree_that_was_not_begun(tmp_path: Path) -> None:
    path = damaged(tmp_path, b"")
    with pytest.raises(LogError, match=r"seed0\.jsonl is empty"):
        mars2_env.read_log(path)
    assert mars2_env.read_log(tmp_path) == []
    assert mars2_env.read_log(tmp_path) == [] and grown(tmp_path) == mars2_env.read_log(tmp_path)[0]


@pytest.mark.parametrize("data", [b"\xff", b"[]", b"{", b"[" * 10**5])
def test_a_damaged_description_of_a_run_is_named(tmp_path: Path, data: bytes) -> None:
    grown(tmp_path)
    (tmp_path / "run.json").write_bytes(data)
    with pytest.raises(LogError, match=r"run\.json: not a description of a run"):
        grown(tmp_path)


LOGPROBS = (-0.5, float("nan"), float("inf"), float("-inf"), 0.0, -1e-300)


def test_log_probabilities_that_are_not_finite_survive_in_a_trace(tmp_path: Path) -> None:
    log = tmp_path / "tree.jsonl"
    trace = Trace(0, 0.1, generation=Generation((1,), tuple(range(6)), LOGPROBS, "length", 3))
    writer = TraceWriter(log)
    writer(trace)
    writer(Trace(1, generation=Generation((1,), (2,), (-0.25,))))
    writer.close()
    lines = trace_path(log).read_bytes().splitlines()
    written = json.loads(lines[0], parse_constant=pytest.fail)
    assert written["generation"]["logprobs"] == [-0.5, "nan", "inf", "-inf", 0.0, -1e-300]
    read = read_trace(log)
    assert repr(read[0]) == repr(trace)
    assert read[1].generation == Generation((1,), (2,), (-0.25,))


def test_a_trace_that_an_earlier_version_wrote_is_read(tmp_path: Path) -> None:
    log = tmp_path / "tree.jsonl"
    trace_path(log).write_text('{"turn":0,"generation":{"completion_ids":[5,6],"logprobs":[null,-0.5]}}\n')
    generation = read_trace(log)[0].generation
    assert generation is not None
    assert repr(generation.logprobs) == "(nan, -0.5)"


@pytest.mark.parametrize(
    "line",
    [
        b'{"turn":9,"generation":{"finish_reason":"\xff"}}',
        b'{"turn":9,"generation":{"completion_ids":[-1]}}',
        b'{"turn":9,"generation":{"completion_ids":[1],"logprobs":["much"]}}',
        b'{"turn":9,"generation":{"completion_ids":[1],"logprobs":[[]]}}',
        b"[" * 10**5,
        b"[]",
        b"",
        GARBAGE.replace(b"\n", b"").replace(b"\r", b""),
    ],
)
def test_a_line_of_a_trace_that_cannot_be_read_costs_no_other_and_is_said(
    tmp_path: Path, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "tree.jsonl"
    trace_path(log).write_bytes(b'{"turn":0}\n' + line + b'\n{"turn":1}\n{"turn":2')
    assert read_trace(log) == {0: Trace(0), 1: Trace(1)}
    (said,) = (record.getMessage() for record in caplog.records)
    assert "tree.trace: line 2 is left out" in said


def test_a_trace_that_cannot_be_read_at_all_is_named(tmp_path: Path) -> None:
    trace_path(tmp_path / "tree.jsonl").mkdir()
    with pytest.raises(LogError, match=r"tree\.trace: cannot be read"):
        read_trace(tmp_path / "tree.jsonl")
