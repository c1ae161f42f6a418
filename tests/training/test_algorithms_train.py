"""The algorithms of the package train by the trainer as they are, each with the task and the team it is meant for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from mars2_agents.algorithms.named import recipe
from tiny_students import TEAM, student, task, training

TEAMS = {
    "grpo": {"coder_0": "a"},
    "rs2": {"coder_0": "a"},
    "homogeneous": dict.fromkeys(TEAM, "a"),
    "heterogeneous": TEAM,
    "mars2_plus": TEAM,
    "shared_solutions": TEAM,
    "rejection": TEAM,
    "sft": TEAM,
}


@pytest.mark.parametrize("name", TEAMS)
def test_an_algorithm_trains(tmp_path: Path, name: str) -> None:
    made, team = recipe(name), TEAMS[name]
    played = task(**{"agents": [agent.partition("_")[0] for agent in team], **made.task})
    options: dict[str, Any] = {"kl": None} if "kl" in made.options else {}
    students = {policy: student(seed) for seed, policy in enumerate(dict.fromkeys(team.values()))}
    found = list(
        training(
            tmp_path,
            task=played,
            team=team,
            students=students,
            algorithm=made(**options),
            settings={"steps": 3, "batch": 2},
            held_out=None,
        )
    )
    assert max(found[-1].versions.values()) > 0
    for counts in found[-1].counts.values():
        assert counts.given == counts.used + counts.waiting + sum(counts.filtered.values()) > 0
