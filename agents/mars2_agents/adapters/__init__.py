"""This library inside other trainers: plain reward functions, and a plain class that TRL and OpenEnv take.

`rewards` and `session` need nothing but mars2_env; `openenv` needs the extra of that name and is imported by those who
use it.
"""

from mars2_agents.adapters.rewards import JudgeReward, prompt_rows
from mars2_agents.adapters.session import TreeSession

__all__ = ["JudgeReward", "TreeSession", "prompt_rows"]
