"""Specs: the one notation for naming a part on the command line, `name:rest,key=value,key=value`.

`hf:smollm2,temperature=1.0` names the policy `hf` with the rest `smollm2` and one option. Selectors use the same
notation (`ab_mcts_a,posterior=gaussian`). Policies come from the entry-point group `mars2_env.policies`, reward models
from `mars2_env.reward_models`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from mars2_env.errors import ConfigError, PolicyError, unknown_name
from mars2_env.problems.base import ProblemSet
from mars2_env.types import Policy, RewardModel

POLICIES = "mars2_env.policies"
REWARD_MODELS = "mars2_env.reward_models"


@dataclass(frozen=True, slots=True)
class Spec:
    """A parsed spec: which part, what of it, and its options as texts."""

    name: str
    rest: str
    options: dict[str, str]


def parse_spec(text: str) -> Spec:
    """Parse `name[:rest][,key=value]...`.

    Raises:
        ConfigError: the name is missing, or an option is not `key=value` or is given twice.
    """
    head, *pairs = text.split(",")
    name, _, rest = head.partition(":")
    if not name.strip():
        raise ConfigError(
            f"spec {text!r} has no name; write name:rest,key=value, for example hf:smollm2,temperature=0.8."
        )
    options: dict[str, str] = {}
    for pair in pairs:
        option, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not option:
            raise ConfigError(f"spec {text!r}: {pair!r} is not key=value.")
        if option in options:
            raise ConfigError(f"spec {text!r} gives {option!r} twice.")
        options[option] = value
    return Spec(name.strip(), rest.strip(), options)


def make_policy(text: str, *, problems: ProblemSet | None = None) -> Policy:
    """Build the policy that a spec names.

    Args:
        text: the spec, such as `hf:smollm2,temperature=1.0` or `noise:default`.
        problems: the problem set to be played; simulated policies need its reference programs.

    Raises:
        ConfigError: the spec is malformed or names no known policy.
        PolicyError: the policy's package cannot be imported, or what it built is not a policy.
    """
    spec = parse_spec(text)
    factory = _factory("policy", POLICIES, spec.name)
    policy = factory(spec.rest, problems=problems, **spec.options)
    if not isinstance(policy, Policy):
        raise PolicyError(f"policy {text!r}: {factory!r} returned {type(policy).__name__}, which has no act(turns).")
    return policy


def make_reward_model(text: str) -> RewardModel:
    """Build the reward model that a spec names.

    Raises:
        ConfigError: the spec is malformed or names no known model.
        PolicyError: the model's package cannot be imported, or what it built is not a reward model.
    """
    spec = parse_spec(text)
    factory = _factory("reward model", REWARD_MODELS, spec.name)
    model = factory(spec.rest, **spec.options)
    if not isinstance(model, RewardModel):
        raise PolicyError(f"reward model {text!r}: {factory!r} returned {type(model).__name__}, which has no score().")
    return model


def _factory(kind: str, group: str, name: str) -> Any:
    found = {point.name: point for point in entry_points(group=group)}
    if name not in found:
        raise ConfigError(unknown_name(kind, name, found))
    try:
        return found[name].load()
    except ImportError as error:
        raise PolicyError(f"{kind} {name!r} cannot be loaded: {error}. Install the extra it needs.") from error
