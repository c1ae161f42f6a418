"""MAPPO of TorchRL on `place` in rounds (scripts/consumers.sh torchrl)."""

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
    import torch

    program: Any = trained("torchrl", tmp_path, monkeypatch)
    net, team = program["net"], list(program["game"].possible_agents)

    @torch.no_grad()
    def act(observation: Any, mask: Any, agent: str) -> int:
        logits = net(torch.as_tensor(observation).expand(len(team), -1))[team.index(agent)]
        return int(logits.masked_fill(torch.as_tensor(mask) == 0, -torch.inf).argmax())

    assert_learned(act, "parallel", docker_sandbox, tmp_path)
