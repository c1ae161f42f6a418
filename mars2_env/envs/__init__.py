"""Environments: thin drivers of one `Episode` in the interfaces of PettingZoo and Gymnasium."""

from mars2_env.envs.aec import TreeSearchAEC
from mars2_env.envs.make import make, make_vec, register_task
from mars2_env.envs.parallel import TreeSearchParallel
from mars2_env.envs.single import TreeSearchRoute
from mars2_env.envs.vector import RoundsVector, RouteVector

__all__ = [
    "RoundsVector",
    "RouteVector",
    "TreeSearchAEC",
    "TreeSearchParallel",
    "TreeSearchRoute",
    "make",
    "make_vec",
    "register_task",
]
