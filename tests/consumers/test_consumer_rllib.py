"""A smoke run of RLlib's PPO on place in rounds, with real judging (scripts/consumers.sh rllib)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import docs_program

from mars2_env.sandbox import Sandbox

pytestmark = [
    pytest.mark.consumer,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore"),  # those of the library, which others answer for
]


@pytest.fixture(autouse=True)
def cluster() -> Iterator[None]:
    yield
    import ray

    ray.shutdown()


def test_the_documented_program_trains_on_episodes(docker_sandbox: Sandbox, tmp_path: Path) -> None:
    program: Any = docs_program("rllib", tmp_path)
    found = program["found"]
    assert found["num_episodes"] > 0
    assert 0 < found["episode_return_mean"] <= 1  # of progress, which sums to the best score of programs that were run
    weights = program["algorithm"].get_module("shared").state_dict()
    fresh = program["config"].build_algo().get_module("shared").state_dict()
    assert any(not np.array_equal(weights[name], fresh[name]) for name in weights if "bias" in name)
