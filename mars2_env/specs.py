"""Policies and reward models by spec: names that stood here before they moved to `mars2_env.tasks.policies`."""

from mars2_env.base.spec import Spec, parse_spec
from mars2_env.tasks.policies import (
    POLICIES,
    REWARD_MODELS,
    NamedRewardModel,
    PolicyFactory,
    make_policy,
    make_reward_model,
    register_policy,
    register_reward_model,
)

__all__ = [
    "POLICIES",
    "REWARD_MODELS",
    "NamedRewardModel",
    "PolicyFactory",
    "Spec",
    "make_policy",
    "make_reward_model",
    "parse_spec",
    "register_policy",
    "register_reward_model",
]
