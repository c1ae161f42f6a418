"""This library inside other trainers: plain reward functions, and a plain class that TRL and OpenEnv take.

`rewards`, `session` and `vectors` (plain vectors, such as AgileRL wants) need nothing but mars2_env; `openenv` and
`benchmarl` need the library of that name and are imported by those who use it. verifiers finds its plugin by the name
of a top-level module: `mars2_tree`.
"""

from mars2_agents.adapters.rewards import JudgeReward, prompt_rows
from mars2_agents.adapters.session import TreeSession

__all__ = ["JudgeReward", "TreeSession", "prompt_rows"]
