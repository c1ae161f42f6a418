"""`mars2 export`: every trained token of a run in a file that others can read, with the credit that was asked for."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toys
from in_process import mars2

import mars2_env
from mars2_env import ConfigError, Generation, LogError, Reply, Turn
from mars2_env.credit import COLUMNS, SCOPES, Credit, samples, write_samples
from mars2_env.errors import ExtraError


class Writer:
    """Writes a program that depends on the turn, and tells its tokens, of which the last has no log-probability."""

    def act(self, turns: list[Turn]) -> list[Reply]:
        return [self.reply(turn) for turn in turns]

    def reply(self, turn: Turn) -> Reply:
        generation = Generation(
            (1, 2),
            (turn.seed % 50, 40_000 + turn.id, 7),
            (-0.5, -0.25, math.nan),
            weights_version=3,
            logprobs_kind="sampled",
            temperature=1.0,
            top_p=1.0,
        )
        return Reply(f"```python\nprint({turn.seed % 5})\n```", generation=generation)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four trees of eight nodes by two agents, some programs twice, with scores between 0 and 1."""
    folder = tmp_path_factory.mktemp("run")
    task = mars2_env.task(toys.problem_set(4), agents=["coder", "fixer"], budget=8, sandbox=toys.sandbox())
    list(mars2_env.rollout(task, Writer(), limit=4, out=folder))
    return folder


def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str | Path
) -> tuple[int, str, str]:
    """Run `mars2 export` in this process; return exit status, standard output and error."""
    return mars2(monkeypatch, capsys, "export", *arguments)


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra export")
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def with_null(values: Any) -> Any:
    """Values with None for nan, as lines of JSON have them."""
    if isinstance(values, list | tuple):
        return [with_null(one) for one in values]
    return None if isinstance(values, float) and math.isnan(values) else values


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_every_sample_of_a_run_is_a_row_with_all_that_is_known_of_it(run: Path, form: str, tmp_path: Path) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra export")
    out = tmp_path / "some" / f"samples.{form}"
    told: list[tuple[int, int]] = []
    found = write_samples(run, out, observer=lambda *where: told.append(where))
    expected = samples(mars2_env.read_log(run)).samples
    rows = rows_of(out)
    assert (found.path, found.trees, found.samples, found.left_out) == (out, 4, 32, {})
    assert len(rows) == 32
    for row, sample in zip(rows, expected, strict=True):
        assert list(row) == [column.name for column in COLUMNS]
        for name in row.keys() - {"weight"}:
            assert with_null(row[name]) == with_null(
                list(value) if isinstance(value := getattr(sample, name), tuple) else value
            ), name
        assert row["weight"] == (0.0 if sample.duplicate else 1.0)
    assert found.tokens == 3 * sum(row["weight"] > 0 for row in rows)
    assert 0 < sum(row["duplicate"] for row in rows) < 32
    assert len({row["advantage"] for row in rows}) > 2
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_parquet_tells_what_its_columns_mean_and_how_the_credit_was_made(run: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra export")
    write_samples(run, tmp_path / "s.parquet", credit=Credit(gamma=0.25), policies=dict.fromkeys(AGENTS, "one"))
    schema = parquet.read_schema(tmp_path / "s.parquet")
    for column in COLUMNS:
        assert schema.field(column.name).metadata[b"meaning"].decode() == column.meaning
        found = str(schema.field(column.name).type).replace("<element: ", "<")
        assert found == column.kind
    about = json.loads(schema.metadata[b"mars2_env"])
    assert about["credit"]["gamma"] == 0.25
    assert about["policies"] == {"coder_0": "one", "fixer_0": "one"}
    assert {row["policy"] for row in rows_of(tmp_path / "s.parquet")} == {"one"}
    write_samples(run, tmp_path / "r.parquet", credit=Credit(credit="rae", estimator="none"))
    about = json.loads(parquet.read_schema(tmp_path / "r.parquet").metadata[b"mars2_env"])
    assert about["credit"]["credit"] == "RunningBaselines(decay=0.95)"


AGENTS = ("coder_0", "fixer_0")


def test_the_documentation_says_what_stands_in_each_column() -> None:
    page = (Path(__file__).parents[2] / "docs" / "train.md").read_text(encoding="utf-8")
    for column in COLUMNS:
        assert f"| `{column.name}` | `{column.kind}` | {column.meaning} |" in page


def test_rows_are_written_a_group_at_a_time(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra export")
    monkeypatch.setattr(sys.modules[write_samples.__module__], "GROUP_TOKENS", 45)  # nine samples of five tokens
    write_samples(run, tmp_path / "s.parquet")
    about = parquet.ParquetFile(tmp_path / "s.parquet").metadata
    assert [about.row_group(place).num_rows for place in range(about.num_row_groups)] == [9, 9, 9, 5]


@pytest.mark.parametrize("scope", SCOPES)
def test_advantages_read_tree_by_tree_are_those_of_all_trees_at_once(run: Path, scope: Any, tmp_path: Path) -> None:
    credit = Credit(scope=scope, max_length=4, buffer=2)
    write_samples(run, tmp_path / "s.jsonl", credit=credit)
    expected = samples(mars2_env.read_log(run), credit=credit).samples
    assert [row["advantage"] for row in rows_of(tmp_path / "s.jsonl")] == pytest.approx(
        [sample.advantage for sample in expected], abs=1e-12
    )
    assert [row["shaped"] for row in rows_of(tmp_path / "s.jsonl")] == [sample.shaped for sample in expected]


@pytest.mark.parametrize("scope", ["tree", "batch"])
def test_a_credit_with_a_memory_sees_each_tree_once(run: Path, scope: Any, tmp_path: Path) -> None:
    write_samples(run, tmp_path / "s.jsonl", credit=Credit(credit="rae", scope=scope, estimator="none"))
    expected = samples(mars2_env.read_log(run), credit=Credit(credit="rae", scope=scope, estimator="none")).samples
    rows = rows_of(tmp_path / "s.jsonl")
    assert [row["advantage"] for row in rows] == pytest.approx([sample.advantage for sample in expected], abs=1e-12)
    assert [row["shaped"] for row in rows] == [sample.shaped for sample in expected]


def test_trees_that_are_not_finished_are_left_out_and_counted_unless_asked_for(run: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    (cut / "trees").mkdir(parents=True)
    logs = sorted((run / "trees").glob("*.jsonl"))
    for place, log in enumerate(logs):
        lines = log.read_bytes().splitlines(keepends=True)
        (cut / "trees" / log.name).write_bytes(b"".join(lines[:9] if place == 0 else lines if place < 3 else []))
        trace = log.with_suffix(".trace")
        (cut / "trees" / trace.name).write_bytes(trace.read_bytes())
    found = write_samples(cut, tmp_path / "s.jsonl")
    assert (found.trees, found.samples, found.left_out) == (2, 16, {"tree is not finished": 2})
    across = write_samples(cut, tmp_path / "a.jsonl", credit=Credit(scope="agent"))
    assert (across.samples, across.left_out) == (16, found.left_out)
    whole = write_samples(cut, tmp_path / "p.jsonl", partial=True)
    assert whole.samples == 16 + sum(b'"told"' in line for line in logs[0].read_bytes().splitlines()[:9])
    assert whole.samples > 16 and whole.left_out == {"tree is not finished": 1}


def test_the_folder_of_a_training_gives_the_trees_of_all_steps_with_its_policies(run: Path, tmp_path: Path) -> None:
    training = tmp_path / "training"
    for step in ("000001", "000002"):
        (training / "rollouts" / step / "trees").mkdir(parents=True)
    for place, file in enumerate(sorted((run / "trees").iterdir())):
        step = "000001" if place < 4 else "000002"  # logs and traces in turn: two trees each
        (training / "rollouts" / step / "trees" / file.name).write_bytes(file.read_bytes())
    (training / "train.json").write_text(json.dumps({"team": {"coder_0": "strong", "fixer_0": "weak"}}))
    found = write_samples(training, tmp_path / "s.jsonl")
    assert (found.trees, found.samples) == (4, 32)
    assert {(row["agent"], row["policy"]) for row in rows_of(tmp_path / "s.jsonl")} == {
        ("coder_0", "strong"),
        ("fixer_0", "weak"),
    }
    write_samples(training, tmp_path / "own.jsonl", policies=dict.fromkeys(AGENTS, "one"))
    assert {row["policy"] for row in rows_of(tmp_path / "own.jsonl")} == {"one"}


def test_nodes_without_tokens_are_counted(run: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    (bare / "trees").mkdir(parents=True)
    for log in (run / "trees").glob("*.jsonl"):
        (bare / "trees" / log.name).write_bytes(log.read_bytes())
    found = write_samples(bare, tmp_path / "s.jsonl")
    assert (found.samples, found.left_out) == (0, {"no tokens recorded": 32})
    assert rows_of(tmp_path / "s.jsonl") == []


def test_a_file_is_whole_or_not_there_and_is_not_replaced_unasked(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "s.jsonl"
    with pytest.raises(ConfigError, match="agent 'coder_0' has no policy"):
        write_samples(run, out, policies={"fixer_0": "one"})
    assert list(tmp_path.iterdir()) == []
    out.write_text("precious")
    with pytest.raises(ConfigError, match=r"s\.jsonl'\): it is there already"):
        write_samples(run, out)
    with pytest.raises(ConfigError, match="it is a folder"):
        write_samples(run, tmp_path)
    assert out.read_text() == "precious"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="no regular file"):
        write_samples(run, tmp_path / "pipe", form="jsonl", overwrite=True)
    (tmp_path / "pipe").unlink()
    write_samples(run, out, overwrite=True)
    assert len(rows_of(out)) == 32 and list(tmp_path.iterdir()) == [out]


def test_without_pyarrow_the_error_names_the_extra(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExtraError, match=r"samples in Parquet: .*pyarrow.*pip install 'mars2-env\["):
        write_samples(run, tmp_path / "s.parquet")
    assert list(tmp_path.iterdir()) == []


def test_the_command_fails_where_there_is_nothing_to_train_on(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare" / "trees"
    bare.mkdir(parents=True)
    for log in (run / "trees").glob("*.jsonl"):
        (bare / log.name).write_bytes(log.read_bytes())
    status, _, told = command(capsys, monkeypatch, bare.parent, "--out", tmp_path / "s.jsonl")
    assert status == 1 and "no tokens were recorded" in told


def test_the_command_says_what_it_wrote_and_what_it_left_out(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "s.jsonl"
    options = ("--policy", "coder=strong", "--policy", "fixer=weak", "--scope", "agent_in_tree", "--gamma", "0")
    status, printed, _ = command(capsys, monkeypatch, run, "--out", out, *options, "--duplicates", "keep", "--json")
    assert status == 0
    assert json.loads(printed) == {"out": str(out), "trees": 4, "samples": 32, "tokens": 96, "left_out": {}}
    credit = Credit(gamma=0, scope="agent_in_tree", duplicates="keep")
    expected = samples(mars2_env.read_log(run), credit=credit, policies={"coder_0": "strong", "fixer_0": "weak"})
    assert [(row["policy"], row["advantage"]) for row in rows_of(out)] == [
        (sample.policy, sample.advantage) for sample in expected.samples
    ]
    status, printed, _ = command(capsys, monkeypatch, run, "--out", out, "--overwrite")
    assert status == 0
    assert "32 samples of 4 trees" in printed


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [b"\x00\xff\n", *lines[1:5], b'{"turn": "x"}\n', *lines[6:]],
        lambda lines: lines[:6],
        lambda lines: [*lines[:-2], lines[-2][:9]],
    ],
    ids=["lines that are none", "lines that are gone", "an end that is gone"],
)
def test_what_damage_took_is_counted_and_said_and_the_rest_is_written(
    damage: Callable[[list[bytes]], list[bytes]],
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(run, tmp_path / "run")
    trace = min((tmp_path / "run" / "trees").glob("*.trace"))
    lines = trace.read_bytes().splitlines(keepends=True)
    assert len(lines) == 8
    trace.write_bytes(b"".join(damage(lines)))
    out = tmp_path / "s.jsonl"
    status, printed, told = command(capsys, monkeypatch, tmp_path / "run", "--out", out)
    assert status == 1
    assert "30 samples of 4 trees" in printed and len(rows_of(out)) == 30
    assert "left out: 2 (its line of the trace is damaged or missing)" in told
    assert "2 nodes are lost to damage" in told and "nothing to train on" not in told
    status, printed, _ = command(capsys, monkeypatch, tmp_path / "run", "--out", out, "--overwrite", "--json")
    assert status == 1
    assert json.loads(printed)["left_out"] == {"its line of the trace is damaged or missing": 2}


def test_a_trace_of_which_nothing_can_be_read_is_damage_and_not_silence(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    for trace in (tmp_path / "run" / "trees").glob("*.trace"):
        trace.write_bytes(b"\x00" * 99 + b"\n")
    found = write_samples(tmp_path / "run", tmp_path / "s.jsonl")
    assert (found.samples, found.damaged) == (0, 32)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--out", "s.txt"), "ends with neither .parquet nor .jsonl"),
        (("--out", "s.jsonl", "--format", "csv"), "--format 'csv' is not one of parquet, jsonl"),
        (("--out", "s.jsonl", "--scope", "all"), "is not one of tree, agent_in_tree"),
        (("--out", "s.jsonl", "--policy", "coder"), "'coder' is not agent=policy"),
        (("--out", "s.jsonl", "--policy", "nobody=x"), "unknown agent 'nobody_0'. Known: coder_0, fixer_0."),
        (("--out", "s.jsonl", "--policy", "codr=x"), "--policy {'codr_0': 'x'}: unknown agent 'codr_0'. Did you mean"),
        (("--out", "s.jsonl", "--format", "parquet"), "'s.jsonl' ends with .jsonl, and whoever reads it would take it"),
        (("--out", "s.jsonl", "--gamma", "nan"), "--gamma nan"),
        (("--out", "s.jsonl", "--max-length", "9"), "--max-length 9: must be at least the buffer, 2048, within whose"),
        (("--out", "s.jsonl", "--credit", "tree_lr"), "unknown credit 'tree_lr'. Did you mean 'tree_rl'?"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(
    run: Path,
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, errors = command(capsys, monkeypatch, run, *arguments)
    assert status == 2
    (line,) = errors.splitlines()
    assert said in line
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_trees_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="holds no trees"):
        write_samples(tmp_path, tmp_path / "s.jsonl")
