"""Environments: thin drivers of one `Episode` in the interfaces of PettingZoo and Gymnasium."""

from mars2_env.envs.aec import TreeSearchAEC
from mars2_env.envs.parallel import TreeSearchParallel
from mars2_env.envs.single import TreeSearchRoute

__all__ = ["TreeSearchAEC", "TreeSearchParallel", "TreeSearchRoute"]
