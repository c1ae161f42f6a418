"""Buffers: batches oldest first, remainders kept, nothing dropped without a reason, and all of it written down."""

from __future__ import annotations

import json
from dataclasses import replace
from math import nan
from pathlib import Path

import pytest

pytest.importorskip("safetensors")
pytest.importorskip("torch")

from mars2_agents.training.buffers import Buffer, Counts

from mars2_env import ConfigError, LogError
from mars2_env.credit import Sample


def sample(node: int, tokens: int = 2) -> Sample:
    return Sample(
        tree="toy/1#7",
        node=node,
        parent=0,
        depth=1,
        agent="coder_0",
        policy="a",
        prompt_ids=tuple(range(node + 1)),
        completion_ids=tuple(range(tokens)),
        mask=(True,) * tokens,
        logprobs=(-1 / 3,) * tokens,
        logprobs_kind="sampled",
        temperature=0.7,
        top_p=1.0,
        kept_mass=(),
        versions=(4,) * tokens,
        reward=0.1,
        shaped=1 / 7,
        advantage=-2 / 3,
        duplicate=False,
    )


def nodes(samples: tuple[Sample, ...]) -> list[int]:
    return [one.node for one in samples]


def test_a_batch_is_the_oldest_samples_and_the_rest_waits_for_the_next() -> None:
    buffer = Buffer(3)
    buffer.add([sample(1), sample(2)])
    assert buffer.take() == () and len(buffer) == 2
    buffer.add([sample(3), sample(4)])
    assert nodes(buffer.take()) == [1, 2, 3]
    assert nodes(buffer.samples) == [4]
    buffer.add([sample(5), sample(6), sample(7), sample(8), sample(9)])
    assert [nodes(buffer.take()), nodes(buffer.take()), buffer.take()] == [[4, 5, 6], [7, 8, 9], ()]


def test_all_that_came_is_used_or_waits_or_was_filtered_for_a_reason() -> None:
    buffer = Buffer(2)
    buffer.add([sample(1), sample(2), sample(3)])
    buffer.filter({"duplicate": 2, "tree ended by faults": 8})
    buffer.filter({"duplicate": 1})
    buffer.take()
    assert buffer.counts == Counts(14, 2, 1, {"duplicate": 3, "tree ended by faults": 8}, 2)


def test_a_buffer_goes_on_from_what_it_kept_to_the_last_bit(tmp_path: Path) -> None:
    buffer = Buffer(2)
    some = replace(
        sample(3, 3),
        logprobs=(-0.1, nan, -1e-17),
        mask=(True, False, True),
        kept_mass=(0.5, nan, 1.0),
        versions=(4, 4, 5),
    )
    empty = replace(sample(4, 0), logprobs_kind=None, temperature=None, top_p=None, imitated=True, duplicate=True)
    buffer.add([sample(1), sample(2), some, empty])
    buffer.filter({"duplicate": 2})
    buffer.take()
    buffer.save(tmp_path)
    again = Buffer(3)
    again.load(tmp_path)
    assert again.counts == replace(buffer.counts, batch=3)
    assert repr(again.samples) == repr(buffer.samples)  # nan is not nan
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_an_empty_buffer_is_kept_as_such(tmp_path: Path) -> None:
    Buffer(2).save(tmp_path)
    again = Buffer(2)
    again.add([sample(1)])
    again.load(tmp_path)
    assert len(again) == 0 and again.counts == Counts(batch=2)


def test_a_folder_without_a_buffer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no samples of a buffer"):
        Buffer(2).load(tmp_path)
    buffer = Buffer(2)
    buffer.add([sample(1)])
    buffer.save(tmp_path)
    account = json.loads((tmp_path / "samples.json").read_text())
    del account["samples"][0]["tree"]
    (tmp_path / "samples.json").write_text(json.dumps(account))
    with pytest.raises(LogError, match="tree"):
        buffer.load(tmp_path)


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch=0"):
        Buffer(0)
