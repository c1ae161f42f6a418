"""What people and machines are told of a training, each number once."""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("torch")

from mars2_agents.training.progress import Numbers, Shown, forget_after, summary
from rich.console import Console

from mars2_env import ConfigError, Verdict
from mars2_env.episode import Told
from mars2_env.log import Header

HEADER = Header("toy/1", 0, {}, "", "", "", "")


def told(node: int) -> Told:
    return Told(node, node, 0, 0.0, Verdict(settled="no_program"), "")


def shown(terminal: bool) -> tuple[Shown, StringIO]:
    out = StringIO()
    return Shown(5, Console(file=out, force_terminal=terminal, width=100)), out


def test_without_a_terminal_there_are_plain_lines_alone() -> None:
    progress, out = shown(terminal=False)
    with progress:
        progress.enter(1, 5, "growing trees")
        progress(HEADER, told(1), None)
        progress.line("step 1/5: [solved] 0.500")
    assert out.getvalue() == "step 1/5: [solved] 0.500\n"


def test_a_terminal_has_a_bar_with_what_is_being_done() -> None:
    progress, out = shown(terminal=True)
    with progress:
        progress.enter(3, 5, "growing trees")
        progress(HEADER, told(1), None)
        progress(HEADER, told(2), None)
    assert "2/5" in out.getvalue() and "growing trees, 2 nodes" in out.getvalue()


def test_a_step_in_a_line_has_what_counts() -> None:
    values = {"train/reward": 0.25, "train/solve_rate": 0.5, "eval/pass_at_1_mcts/8": 0.75, "seconds/grow": 3.0}
    line = summary(3, 5, values, {"a": 4})
    assert line == "step 3/5: reward 0.250, solved 0.500, held-out Pass@1(MCTS) at 8 nodes 0.750, a v4"


def test_a_line_says_how_much_of_a_batch_waits_and_what_keeps_an_update_away() -> None:
    values = {
        "policies/a/waiting": 12.0,
        "policies/a/batch": 16.0,
        "policies/a/updates": 0.0,
        "policies/a/filtered/no trained token": 1.0,
        "policies/a/filtered/duplicate": 20.0,
        "policies/b/waiting": 3.0,
        "policies/b/batch": 8.0,
        "policies/b/updates": 2.0,
        "policies/b/filtered/duplicate": 4.0,
    }
    assert summary(1, 5, values, {"a": 0, "b": 2}) == (
        "step 1/5: a v0 (waiting 12 of 16; left out so far: 20 duplicate, 1 no trained token), b v2 (waiting 3 of 8)"
    )


def steps(folder: Path) -> list[Any]:
    return [line.split(",")[0] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_numbers_of_steps_that_are_made_again_are_taken_back(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path, ["jsonl"], None)
    for step in range(4):
        numbers.write(step, {"x": step / 2})
    numbers.close()
    again = Numbers(tmp_path, ["jsonl"], 1)
    again.write(2, {"x": 9.0})
    again.close()
    assert steps(tmp_path) == ['{"step": 0', '{"step": 1', '{"step": 2']
    assert '"x": 9.0' in (tmp_path / "metrics.jsonl").read_text()
    Numbers(tmp_path, ["jsonl"], None).close()
    assert steps(tmp_path) == []


def test_a_line_that_a_kill_cut_off_is_no_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0}\n{"step": 1, "x"')
    forget_after(path, 5)
    numbers = Numbers(tmp_path, ["jsonl"], 5)
    numbers.write(6, {})
    numbers.close()
    assert steps(tmp_path) == ['{"step": 0}', '{"step": 6}']


class FakeTrackio(ModuleType):
    """Keeps what it is told, and is as talkative as the real one."""

    def __init__(self) -> None:
        super().__init__("trackio")
        self.told: list[Any] = []

    def init(self, **options: Any) -> None:
        print("* Trackio project initialized")
        self.told.append(options)

    def log(self, values: dict[str, float], step: int) -> None:
        self.told.append((step, values))

    def finish(self) -> None:
        print("* Run finished.")
        self.told.append("finished")


def test_trackio_has_the_numbers_of_a_training_in_one_run_that_the_same_folder_goes_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeTrackio()
    monkeypatch.setitem(sys.modules, "trackio", fake)
    for folder, step in ((tmp_path / "one" / "run", 1), (tmp_path / "one" / "run", 2), (tmp_path / "two" / "run", 1)):
        folder.mkdir(parents=True, exist_ok=True)
        numbers = Numbers(folder, ["jsonl", "trackio"], step - 1)
        numbers.write(step, {"train/reward": step / 4})
        numbers.close()
    begun = [one for one in fake.told if isinstance(one, dict)]
    assert [one["resume"] for one in begun] == ["allow"] * 3 and {one["project"] for one in begun} == {"mars2_env"}
    names = [one["name"] for one in begun]
    assert names[0] == names[1] != names[2] and all(name.startswith("run-") for name in names)
    assert [one for one in fake.told if isinstance(one, tuple)] == [
        (1, {"train/reward": 0.25}),
        (2, {"train/reward": 0.5}),
        (1, {"train/reward": 0.25}),
    ]
    assert fake.told.count("finished") == 3
    shown = capsys.readouterr()
    assert shown.out == "" and "Trackio" in shown.err  # what is printed has to stay one object of JSON


def test_an_unknown_kind_of_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wandb"):
        Numbers(tmp_path, ["wandb"], None)  # type: ignore[list-item]
