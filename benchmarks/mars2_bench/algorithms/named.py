"""The reference algorithms by name, as the harness and the ladder take them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from mars2_bench.algorithms.ippo import Ippo
from mars2_bench.algorithms.joint import Joint
from mars2_bench.algorithms.mappo import Mappo
from mars2_bench.algorithms.ppo import Ppo
from mars2_bench.suite.named import Named
from mars2_bench.suite.playing import Controller, Told


class Algorithm(Protocol):
    """Learns of an environment's training problems, and returns what plays then."""

    def __call__(self, named: Named, expansions: int, seed: int, told: Told | None = None) -> Controller:
        """Return what was learned.

        Args:
            named: the environment.
            expansions: the budget of learning.
            seed: of everything that learning draws: the same seed learns the same.
            told: is told after each update how many expansions were spent, and what would play now.
        """
        ...


ALGORITHMS: Final[Mapping[str, Algorithm]] = MappingProxyType(
    {"ppo": Ppo(), "ippo": Ippo(), "ippo-own": Ippo(share="own"), "mappo": Mappo(), "joint": Joint()}
)
"""By name. `ippo-own` is IPPO where each agent is paid for what it earns itself."""


def reference(named: Named) -> str:
    """Return the name of the algorithm that an environment is admitted by."""
    return "ppo" if named.game == "route" else "ippo"
