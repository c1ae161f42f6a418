"""Environments: thin drivers of one `Episode` in the interfaces of PettingZoo."""

from mars2_env.envs.aec import TreeSearchAEC
from mars2_env.envs.parallel import TreeSearchParallel

__all__ = ["TreeSearchAEC", "TreeSearchParallel"]
