"""What commands print for programs: one JSON object with documented keys; and what they say where nobody watches."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from in_process import mars2
from rich.console import Console

import mars2_env
from mars2_env.cli.options import say_json
from mars2_env.cli.search import search
from mars2_env.cli.speaking import flags_of, spoken
from mars2_env.render.pace import Pace
from mars2_env.render.progress import ProgressBar, Tally, wide_console
from mars2_env.sandbox.scripted import ScriptedSandbox

GUIDE = (Path(__file__).parents[1] / "docs/guide.md").read_text(encoding="utf-8")
TEAM = ("--agent", "coder=noise:default")


def documented(command: str) -> set[str]:
    """The keys that the guide's table names for a command."""
    (row,) = re.findall(rf"^\| `{re.escape(command)}` \| (.*) \|$", GUIDE, re.MULTILINE)
    return set(re.findall(r"`([a-z0-9_]+)`", row))


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("problems list", ("problems", "list")),
        ("problems list SET", ("problems", "list", "starter")),
        ("problems show SET", ("problems", "show", "mbpp")),
        ("problems show ID", ("problems", "show", "starter/train/badge/0")),
        ("problems check", ("problems", "check", "starter", "--no-references")),
    ],
)
def test_problems_print_the_documented_keys(
    command: str, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = mars2(monkeypatch, capsys, *arguments, "--json")
    assert status == 0
    assert set(json.loads(out)) == documented(command)


def test_a_search_its_evaluation_and_a_verdict_print_the_documented_keys(
    docker_engine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    status, out, err = mars2(
        monkeypatch, capsys, "search", "starter", *TEAM, "--limit", "2", "--budget", "2", "--out", run, "--json"
    )
    assert status == 0, err
    found = json.loads(out)
    assert set(found) == documented("search") and found["trees"] == 2
    assert "2/2 trees" in err
    status, out, err = mars2(monkeypatch, capsys, "evaluate", run, "--json")
    assert status == 0, err
    assert set(json.loads(out)) == documented("evaluate")
    (tmp_path / "p.py").write_text("print(1)")
    status, out, _ = mars2(monkeypatch, capsys, "judge", "starter/train/badge/0", tmp_path / "p.py", "--json")
    assert (status, set(json.loads(out))) == (1, documented("judge"))
    status, out, _ = mars2(monkeypatch, capsys, "env", "--json")
    assert (status, set(json.loads(out))) == (0, documented("env"))


def test_json_holds_nothing_that_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2J\u202e\x00\n"
    say_json({"x": hostile})
    out = capsys.readouterr().out
    assert out.isascii() and all(char.isprintable() for char in out.rstrip("\n"))
    assert json.loads(out) == {"x": hostile}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("budget='x' is no budget.", "--budget 'x' is no budget."),
        ("budget 'x': no.", "--budget 'x': no."),
        ("Budget(nodes=0): no.", "--budget (nodes=0): no."),
        ("rollout(in_flight=0): must be more.", "--in-flight 0: must be more."),
        ("rollout(seed=-1): must be more.", "--seed -1: must be more."),
        ("problem_options=3 is not right.", "--option 3 is not right."),
        ("the tree of 'seed' was cut off.", "the tree of 'seed' was cut off."),
    ],
)
def test_errors_speak_of_the_option(message: str, said: str) -> None:
    assert spoken(message, flags_of(search)) == said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--budget", "x"), "--budget"),
        (("--budget", "0"), "--budget"),
        (("--seed", "-1"), "--seed -1"),
        (("--trees", "0"), "--trees 0"),
        (("--limit", "0"), "--limit 0"),
        (("--patience", "0"), "--patience 0"),
        (("--score", "x"), "--score 'x'"),
        (("--game", "x"), "--game 'x'"),
        (("--selector", "mars2,guidance=0.9"), "--selector 'mars2'"),
        (("--model-weight", "2"), "--model-weight 2"),
    ],
)
def test_a_command_names_the_option_that_is_wrong(
    options: tuple[str, str],
    said: str,
    docker_engine: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, _, err = mars2(monkeypatch, capsys, "search", "starter", *TEAM, *options)
    assert status == 2
    assert err.startswith(f"mars2: {said}")
    assert len(err.splitlines()) == 1


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_is_due_once_a_period() -> None:
    clock = Clock()
    pace = Pace(60, clock)
    found = []
    for clock.now in (0.0, 59.0, 60.0, 61.0, 119.0, 121.0, 500.0, 501.0):
        found.append(pace.due())
    assert found == [False, False, True, False, False, True, True, False]
    assert pace.elapsed == 501.0


def watched(console: Console, clock: Clock) -> ProgressBar:
    """A run of two trees of three nodes, in which ten seconds pass for each event that is told."""
    task = mars2_env.task("starter", budget=3, sandbox=ScriptedSandbox())
    bar = ProgressBar(2, 3, console, clock=clock)

    def observe(*event: Any) -> None:
        clock.now += 10
        bar(*event)

    with bar:
        for tree in mars2_env.rollout(task, "noise:default", limit=2, observer=observe):
            bar.finish(tree)
    return bar


def test_without_a_terminal_a_plain_line_a_minute_says_where_a_run_stands() -> None:
    out = io.StringIO()
    watched(Console(file=out, width=20), Clock())
    lines = out.getvalue().splitlines()
    shape = re.compile(r"\d+ nodes, \d/2 trees, \d solved, \d judged, \d\.\d\d nodes/s, \d+ s")
    standing = [line for line in lines if shape.fullmatch(line)]
    assert len(standing) >= 2  # at least once on the way, and at the end
    assert standing[-1].startswith("6 nodes, 2/2 trees")
    assert len(lines) == len(standing) + 2  # besides, a line for each tree, none of them wrapped


def test_tables_are_not_cut_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert wide_console().width == 500


def test_a_tally_as_plain_data_has_its_fields_as_keys() -> None:
    assert set(Tally().to_dict()) | {"out"} == documented("search")
    assert json.dumps(Tally().to_dict())
