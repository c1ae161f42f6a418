"""Checkpoints: whole or not at all, the last two kept, everything in them that a training goes on from."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from mars2_agents.training import checkpoints  # noqa: E402
from mars2_agents.training.buffers import Buffer  # noqa: E402
from mars2_agents.training.checkpoints import load_checkpoint, save_checkpoint  # noqa: E402
from test_buffers import sample  # noqa: E402
from tiny_students import student  # noqa: E402

from mars2_env import LogError  # noqa: E402


def learners(seed: int = 0) -> dict[str, Any]:
    return {"a/b": student(seed).learner}  # a name that is no name of a folder


def buffers() -> dict[str, Buffer]:
    return {"a/b": Buffer(4)}


def names(out: Path) -> list[str]:
    return sorted(one.name for one in (out / "checkpoints").iterdir())


def step_of(out: Path, made: Any, waiting: Any) -> int:
    place = load_checkpoint(out, made, waiting)
    assert place is not None
    return place.step


def test_a_training_goes_on_from_learners_buffers_and_random_states(tmp_path: Path) -> None:
    made, waiting = learners(), buffers()
    waiting["a/b"].add([sample(1), sample(2)])
    made["a/b"].version = 5
    torch.manual_seed(3)
    random.seed(3)
    save_checkpoint(tmp_path, 12, made, waiting)
    drawn = torch.rand(2).tolist(), random.random()
    again, empty = learners(seed=9), buffers()
    place = load_checkpoint(tmp_path, again, empty)
    assert place is not None and place.step == 12
    assert again["a/b"].version == 5 and empty["a/b"].samples == waiting["a/b"].samples
    for name, one in made["a/b"].model.state_dict().items():
        assert torch.equal(one, again["a/b"].model.state_dict()[name])
    place.set_random()
    assert (torch.rand(2).tolist(), random.random()) == drawn


def test_where_nothing_was_written_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, learners(), buffers()) is None


def test_the_last_two_are_kept_and_nothing_else(tmp_path: Path) -> None:
    made, waiting = learners(), buffers()
    for step in (1, 2, 3, 10):
        save_checkpoint(tmp_path, step, made, waiting)
    assert names(tmp_path) == ["000003", "000010"]
    assert step_of(tmp_path, made, waiting) == 10


def test_it_is_json_and_safetensors_alone(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, learners(), buffers())
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".json", ".safetensors"} and len(files) > 5


def test_one_that_could_not_be_finished_is_not_there_and_the_one_before_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, waiting = learners(), buffers()
    save_checkpoint(tmp_path, 1, made, waiting)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(LogError, match="Make room"):
        save_checkpoint(tmp_path, 2, made, waiting)
    assert names(tmp_path) == ["000001"]


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, learners(), buffers())
    (tmp_path / "checkpoints" / ".000002.x1" / "learners").mkdir(parents=True)
    assert step_of(tmp_path, learners(), buffers()) == 1
    assert names(tmp_path) == ["000001"]


def test_a_step_that_is_saved_again_takes_the_place_of_its_checkpoint(tmp_path: Path) -> None:
    made, waiting = learners(), buffers()
    save_checkpoint(tmp_path, 1, made, waiting)
    waiting["a/b"].add([sample(1)])
    save_checkpoint(tmp_path, 1, made, waiting)
    again = buffers()
    load_checkpoint(tmp_path, made, again)
    assert names(tmp_path) == ["000001"] and len(again["a/b"]) == 1


def test_a_damaged_one_is_named_with_the_one_before_it(tmp_path: Path) -> None:
    made, waiting = learners(), buffers()
    for step in (1, 2):
        save_checkpoint(tmp_path, step, made, waiting)
    (tmp_path / "checkpoints" / "000002" / "state.json").write_text("{}")
    with pytest.raises(LogError, match=r"000002 cannot be gone on from.*000001") as raised:
        load_checkpoint(tmp_path, made, waiting)
    assert "nothing is lost" in str(raised.value)
