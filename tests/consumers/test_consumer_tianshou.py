"""A learner of Tianshou for each agent, on the AEC form of `place` (scripts/consumers.sh tianshou)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from learning import assert_learned, trained

from mars2_env.sandbox import Sandbox

pytestmark = [
    pytest.mark.consumer,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore"),  # those of the libraries, which others answer for
]


def test_the_documented_program_learns(
    docker_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tianshou.data import Batch

    program: Any = trained("tianshou", tmp_path, monkeypatch)
    team = program["team"]

    def act(observation: Any, mask: Any, agent: str) -> int:
        seen = Batch(obs=Batch(obs=observation[None], mask=mask[None] == 1), info=Batch())
        return int(team.get_algorithm(agent).policy(seen).act[0])

    assert_learned(act, "aec", docker_sandbox, tmp_path)
