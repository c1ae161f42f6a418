"""A learner over two processes is one learner: the same scores, gradients and files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")

from mars2_agents.learners import following  # noqa: E402
from mars2_agents.learners.learner import Learner  # noqa: E402
from mars2_agents.learners.sharding import Shards, deal, layers_of  # noqa: E402
from small_learners import LONGER, model  # noqa: E402

from mars2_env import ConfigError  # noqa: E402

TWO = Path(__file__).with_name("sharded.py")


def two_processes(folder: Path, *cases: str) -> list[dict[str, Any]]:
    """What both processes came to, by case."""
    paths = [str(TWO.parent), *filter(None, sys.path)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(TWO), str(folder), *cases],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


Both = tuple[Path, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Where two processes wrote, and what they came to in the cases that are quick."""
    folder = tmp_path_factory.mktemp("two")
    return folder, two_processes(folder, "full, checkpointing", "lora", "led")


def check(both: Both, *cases: str) -> None:
    folder, told = both
    for name in cases:
        most = 1e-3 if "bfloat16" in name else 1e-6
        for found in (told[0][name], told[1][name]):
            assert found["sharded"] == found["parts"] > 0
            assert found["largest gradient"] > 0.05
            assert found["scores"] <= most and found["gradients"] <= most and found["loss"] <= most
            assert found["resumed"] == 0 and found["versions"] == [1, 3, 3]
        assert told[0][name]["share"] + told[1][name]["share"] == 1
        files = {file.suffix for file in (folder / name).rglob("*") if file.is_file()}
        assert files <= {".json", ".safetensors", ".md"}  # the last is peft's card of an adapter


def test_two_processes_equal_one_and_take_over_from_each_other(both: Both) -> None:
    check(both, "full, checkpointing", "lora")


def test_what_two_processes_export_loads_as_a_checkpoint(both: Both) -> None:
    folder = both[0] / "full, checkpointing"
    loaded = transformers.LlamaForCausalLM.from_pretrained(folder / "out").eval()
    kept = Learner(model(seed=3, initializer_range=0.1))
    kept.load(folder / "kept")
    for one, other in zip(Learner(loaded).score(LONGER), kept.score(LONGER), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_two_processes_equal_one_in_every_way_of_training(tmp_path: Path) -> None:
    cases = [
        "full",
        "full, one head",
        "full, bfloat16",
        "lora, checkpointing",
        "lora, bfloat16",
        "lora, base in bfloat16",
    ]
    check((tmp_path, two_processes(tmp_path, *cases)), *cases)


def test_one_process_leads_and_the_other_follows(both: Both) -> None:
    first, second = (told["led"] for told in both[1])
    assert first["led"] <= 1e-6 and first["version"] == second["version"] == 1


@pytest.mark.parametrize(
    ("raised", "hangs_up"), [(KeyboardInterrupt(), False), (ConfigError("no"), True), (OSError("full"), True)]
)
def test_others_are_told_of_the_end_unless_they_were_left_in_the_middle_of_a_call(
    raised: BaseException, hangs_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(following, "tell", lambda asked, group: told.append(asked))
    line, asked = following.Line(None), following.Asked("one", "step", {})

    class Broken:
        def step(self) -> None:
            raise raised

    with pytest.raises(type(raised)):
        line(asked, Broken())  # type: ignore[arg-type]  # of a learner one method is enough
    line.close()
    assert told == [asked, None] if hangs_up else told == [asked]


def test_where_one_process_cannot_write_all_of_them_say_so(both: Both) -> None:
    first, second = (told["led"] for told in both[1])
    assert (first["error"], second["error"]) == ("FileExistsError", "LogError")


def test_samples_are_dealt_out_by_their_tokens() -> None:
    shares = deal([7, 1, 5, 3, 4, 4], 2)
    assert shares == [[0, 1, 5], [2, 3, 4]]
    assert deal([2, 2], 3) == [[0], [1], []]
    assert deal([], 2) == [[], []]


def test_shards_without_a_process_group_say_how_to_make_one() -> None:
    with pytest.raises(ConfigError, match="torchrun"):
        Shards()


def test_a_model_that_does_not_name_its_layers_is_refused() -> None:
    net = model()
    assert len(layers_of(net)) == 2
    net._no_split_modules = []
    with pytest.raises(ConfigError, match="what its layers are"):
        layers_of(net)
