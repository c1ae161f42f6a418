"""Test-time scaling: what teams come to with 1 to 60 nodes, by the search of MARS2 and by that of T+."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from mars2_agents.learners.learner import WeightsRef

from mars2_bench.training.arms import PAIRS
from mars2_bench.training.held_out import team_measures
from mars2_bench.training.policy import MiniaturePolicy
from mars2_bench.training.running import LUCK, WEIGHTS, Bench, model_of

NODES: Final = 60
TOLD: Final = (8, 16, 32, 60)
"""After how many nodes results are kept task by task."""


@dataclass(frozen=True, slots=True)
class Team:
    """A team at inference: which arm's weights each of its agents has.

    Attributes:
        arm: whose weights.
        agents: agent -> whose of that arm.
    """

    arm: str
    agents: dict[str, str]


TEAMS: Final = {
    "single": Team("rs2", {"a": "a"}),
    "homogeneous": Team("homogeneous", {"a": "a", "b": "a"}),
    "heterogeneous": Team("heterogeneous", {"a": "a", "b": "b"}),
    "control": Team("rs2", {"a": "a", "b": "b"}),
}
"""Name -> team; the control are two policies that were trained apart."""

PRESETS: Final = ("mars2", "tplus")


def weights_of(place: Bench, team: Team, seed: int) -> Path:
    """Return the folder of a team's weights; it is there when its arm is through."""
    return place.out / WEIGHTS / f"{team.arm}.seed{seed}"


def scaled(place: Bench, team: Team, preset: str, seed: int) -> dict[str, Any]:
    """Return what a team comes to on held-out tasks, by number of nodes.

    Args:
        place: the bench.
        team: who plays.
        preset: of `mars2_env.task`.
        seed: of the training that the weights come from.
    """
    policies, blind = {}, {}
    for agent, who in team.agents.items():
        one = PAIRS["first"][who]
        folder = weights_of(place, team, seed) / who
        policies[agent] = MiniaturePolicy(model_of(place, one))
        policies[agent].load_weights(WeightsRef(str(folder), 1))
        blind[agent] = one.blind
    found = team_measures(
        policies, place.held, place.sandbox, blind=blind, nodes=range(1, NODES + 1), seed=LUCK, preset=preset
    )
    measures = {name: found[name] for name in ("mcts", "pass_at_n")}
    return {
        "curves": {
            name: [float(np.mean(rows[str(n)])) for n in range(1, NODES + 1)] for name, rows in measures.items()
        },
        "tasks": {name: {str(n): rows[str(n)] for n in TOLD} for name, rows in measures.items()},
    }
