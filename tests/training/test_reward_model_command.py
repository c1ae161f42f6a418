"""The command that trains a reward model, from run folders to a folder that searches take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import reward_toys as toys
import typer
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra transformers")
pytest.importorskip("transformers", reason="needs the extra transformers")

from mars2_agents.models.command import train_reward_model  # noqa: E402
from mars2_agents.models.reward_model import load_reward_model  # noqa: E402

import mars2_env  # noqa: E402
from mars2_env.errors import Mars2Error  # noqa: E402
from mars2_env.problems.plain import problem_line  # noqa: E402

SMALL = ["--hidden", "32", "--layers", "1", "--max-tokens", "96", "--epochs", "6", "--batch", "16", "--lr", "0.01"]


def command(*words: str | Path) -> Any:
    app = typer.Typer()
    app.command()(train_reward_model)
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that says where its problems are."""
    folder = tmp_path_factory.mktemp("logs")
    lines = "".join(problem_line(one) + "\n" for one in toys.problem_set(16))
    (folder / "toys.jsonl").write_text(lines)
    task = mars2_env.task(
        str(folder / "toys.jsonl"), sandbox=toys.sandbox(), agents=1, budget=12, score_on="public", split="train"
    )
    list(mars2_env.rollout(task, toys.Author(), out=folder / "run"))
    mars2_env.evaluate(folder / "run", sandbox=toys.sandbox())
    return folder / "run"


def test_run_folders_become_a_model_and_what_it_is_worth(run: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    done = command(run, "--out", tmp_path / "model", "--json", *SMALL)
    torch.set_num_threads(before)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["report"]["tied"] > 0.9
    assert told["model"] == load_reward_model(tmp_path / "model", device="cpu").name
    assert "programs of 16 problems" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--objective", "listwise"], "--objective"),
        (["--lora", "4"], "--lora"),
        (["--epochs", "0"], "--epochs"),
        (["--measure-on", "2"], "--measure-on"),
    ],
)
def test_what_makes_no_sense_is_said_in_the_words_of_the_command_line(
    run: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    done = command(run, "--out", tmp_path / "model", *words)
    assert isinstance(done.exception, Mars2Error)
    assert said in str(done.exception)
    assert not (tmp_path / "model").exists()


def test_nothing_is_trained_where_the_model_could_not_be_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    done = command(run, "--out", tmp_path)
    assert isinstance(done.exception, Mars2Error)
    assert "no reward model" in str(done.exception)
    assert "step" not in done.stderr
