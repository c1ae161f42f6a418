"""A smoke run of AgileRL's IPPO on place in rounds, with real judging (scripts/consumers.sh agilerl)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pages import docs_program

from mars2_env.sandbox import Sandbox

pytestmark = [
    pytest.mark.consumer,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore"),  # those of the library, which others answer for
]


def test_what_the_documented_program_trained_plays_a_tree(docker_sandbox: Sandbox, tmp_path: Path) -> None:
    program: Any = docs_program("agilerl", tmp_path)
    team, env = program["team"], program["make"]()
    assert team.steps >= 256
    assert all(0 <= fitness <= 1 for fitness in program["fitness"])
    observations, infos = env.reset(seed=0)
    paid = 0.0
    while env.agents:
        actions, *_ = team.get_action({agent: seen[None] for agent, seen in observations.items()}, infos)
        observations, rewards, _, _, infos = env.step({agent: int(chosen[0]) for agent, chosen in actions.items()})
        paid += sum(rewards.values())
    assert paid == pytest.approx(env.unwrapped.episode.best_score)
