"""MAPPO of BenchMARL on `place` in rounds (scripts/consumers.sh benchmarl)."""

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
    from tensordict import TensorDict

    program: Any = trained("benchmarl", tmp_path, monkeypatch)
    policy, team = program["experiment"].policy, list(program["task"].agents)

    @torch.no_grad()
    def act(observation: Any, mask: Any, agent: str) -> int:
        seen = TensorDict(
            {"observation": {"observation": torch.as_tensor(observation)}, "action_mask": torch.as_tensor(mask == 1)}
        )
        batch = TensorDict({"agents": seen.expand(1, len(team))}, [1])
        logits = policy(batch)["agents", "logits"][0, team.index(agent)]
        return int(logits.masked_fill(torch.as_tensor(mask) == 0, -torch.inf).argmax())

    assert_learned(act, "parallel", docker_sandbox, tmp_path)


@pytest.mark.parametrize("algorithm", ["benchmarl-mappo", "benchmarl-ippo"])
def test_the_harness_runs_its_algorithms_on_the_banks_vectors(algorithm: str) -> None:
    from mars2_bench.harness.algorithms import make
    from mars2_bench.harness.running import Cell, learn
    from mars2_bench.harness.verifying import check
    from mars2_bench.suite.named import find

    cell = Cell(find("Commons-v1"), make(f"{algorithm},envs=20,steps=6,batches=2"), 0, 1_500)
    result = learn(cell)
    assert 1_000 < result.expansions <= 1_500
    check(result)
    assert learn(cell).digest() == result.digest()
