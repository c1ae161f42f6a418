"""Numbers of a run over time: who is busy, what each agent took, and where that is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mars2_env
from mars2_env import Generation, Reply, Turn
from mars2_env.base.meters import JUDGE, QUEUE, Meters
from mars2_env.cli import main
from mars2_env.errors import ConfigError
from mars2_env.render.metrics import Metrics, MetricsKind, time_table
from mars2_env.render.progress import Tally
from mars2_env.sandbox.scripted import ScriptedSandbox


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_programs_that_wait_for_the_judge_keep_nobody_busy() -> None:
    clock = Clock()
    meters = Meters(clock)
    meters.begin(QUEUE, 3)
    clock.now = 2.0
    meters.end(QUEUE, 3)
    meters.begin(JUDGE)
    clock.now = 4.0
    assert (meters.read()[QUEUE].summed, meters.read()[QUEUE].now) == (6.0, 0)
    assert (meters.total().begun, meters.total().busy) == (1, 2.0)
    assert ("programs that waited for the judge, at a time", "1.5") in time_table(meters)


def test_meters_tell_sums_from_the_time_in_which_anything_went_on() -> None:
    clock = Clock()
    meters = Meters(clock)
    meters.begin("coder_0", 2)
    clock.now = 1.0
    meters.begin(JUDGE)
    meters.end("coder_0")
    clock.now = 3.0
    meters.end("coder_0")
    meters.end(JUDGE)
    clock.now = 4.0
    shown = meters.read()
    assert (shown["coder_0"].summed, shown["coder_0"].busy, shown["coder_0"].now) == (4.0, 3.0, 0)
    assert (shown[JUDGE].summed, shown[JUDGE].begun) == (2.0, 1)
    assert meters.total().busy == 3.0 and meters.total().share == 0.75


def test_a_table_says_where_the_time_went() -> None:
    clock = Clock()
    meters = Meters(clock)
    with meters.measure("coder_0"):
        clock.now = 3.0
    clock.now = 4.0
    rows = dict(time_table(meters))
    assert rows["time in which the model of coder_0 was busy"] == "75%, 0.8 at a time"
    assert rows["time in which nothing was"] == "25% of 4 s"


class Talker:
    def act(self, turns: list[Turn]) -> list[Reply]:
        return [
            Reply(f"```python\nprint({turn.seed})\n```", generation=Generation(completion_tokens=len(turn.agent)))
            for turn in turns
        ]


@pytest.mark.parametrize("kind", ["jsonl", "tensorboard"])
def test_metrics_of_a_run_are_written_for_each_agent(tmp_path: Path, kind: MetricsKind) -> None:
    if kind == "tensorboard":
        pytest.importorskip("tensorboardX")
    sandbox = ScriptedSandbox(lambda program, text: text)
    task = mars2_env.task("starter", agents=["coder", "fixer"], budget=6, sandbox=sandbox)
    with Metrics(tmp_path / "metrics", kind, every=0) as metrics:
        for tree in mars2_env.rollout(task, Talker(), limit=2, observer=metrics):
            metrics.finish(tree)
    files = list((tmp_path / "metrics").iterdir())
    assert len(files) == 1
    if kind == "jsonl":
        lines = [json.loads(line) for line in files[0].read_text().splitlines()]
        assert lines[-1]["step"] == 12 and lines[-1]["search/trees"] == 2
        nodes = [lines[-1][f"agents/{agent}/nodes"] for agent in ("coder_0", "fixer_0")]
        assert sum(nodes) == lines[-1]["search/nodes"] == 12
        tokens = [lines[-1][f"agents/{agent}/tokens"] for agent in ("coder_0", "fixer_0")]
        assert tokens == [count * 7 for count in nodes]
    else:
        data = files[0].read_bytes()
        assert b"agents/coder_0/tokens" in data and b"search/nodes" in data


def test_a_kind_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="jsonl, tensorboard, trackio"):
        Metrics(tmp_path, "wandb")  # type: ignore[arg-type]


def test_a_tally_counts_what_each_agent_took() -> None:
    tally = Tally()
    sandbox = ScriptedSandbox(lambda program, text: text)
    task = mars2_env.task("starter", agents=["coder"], budget=3, sandbox=sandbox)
    list(mars2_env.rollout(task, Talker(), limit=1, observer=tally))
    assert tally.to_dict()["agents"]["coder_0"]["tokens"] == 21
    assert tally.agents["coder_0"].nodes == 3


def test_the_command_line_writes_curves_into_the_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["search", "starter", "--limit", "1", "--budget", "2", "--agent", "coder=noise:default"]
    for more, says in (
        (["--metrics", "csv", "--out", str(out)], "jsonl, tensorboard"),
        (["--metrics", "jsonl"], "--out"),
    ):
        monkeypatch.setattr("sys.argv", ["mars2", *command, *more])
        with pytest.raises(SystemExit):
            main()
        assert says in capsys.readouterr().err
