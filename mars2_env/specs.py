"""Specs: the one notation for naming a part on the command line, `name:rest,key=value,key=value`.

`hf:smollm2,temperature=1.0` names the policy `hf` with the rest `smollm2` and one option. Selectors use the same
notation (`ab_mcts_a,posterior=gaussian`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from mars2_env.errors import ConfigError, PolicyError
from mars2_env.parts import Parts
from mars2_env.problems.base import ProblemSet
from mars2_env.types import Policy, PublicView, RewardModel

POLICIES: Final = Parts("policy", "mars2_env.policies")
REWARD_MODELS: Final = Parts("reward model", "mars2_env.reward_models")


class PolicyFactory(Protocol):
    """Builds the policy of a spec; options come as texts. One that names its options has them checked first."""

    def __call__(self, rest: str, *, problems: ProblemSet | None, **options: str) -> Policy:
        """Return the policy."""
        ...


F = TypeVar("F", bound=Callable[..., Any])


def register_policy(name: str) -> Callable[[F], F]:
    """Return a decorator that makes specs `name:rest,key=value` mean what a class or function builds.

    It is called as `factory(rest, *, problems, **options)`: the text behind the colon, the problem set to be played (or
    None), and the options as texts. Installed packages offer the same by the entry-point group `mars2_env.policies`.

    Raises:
        ConfigError: the name is taken, or holds a character that specs use.
    """
    return POLICIES.decorator(name)


def register_reward_model(name: str) -> Callable[[F], F]:
    """Return a decorator like `register_policy` for reward models, called as `factory(rest, **options)`.

    Raises:
        ConfigError: the name is taken, or holds a character that specs use.
    """
    return REWARD_MODELS.decorator(name)


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
    policy: Policy = POLICIES.build(spec.name, spec.rest, problems=problems, options=spec.options)
    if not isinstance(policy, Policy):
        raise PolicyError(f"policy {text!r}: its factory returned {type(policy).__name__}, which has no act(turns).")
    return policy


@dataclass(frozen=True, slots=True)
class NamedRewardModel:
    """A reward model under the spec that it was built from: the header of a log knows it by that, options and all."""

    name: str
    model: RewardModel

    def score(self, problem: PublicView, programs: Sequence[str]) -> Sequence[float]:
        """Return the model's own scores."""
        return self.model.score(problem, programs)


def make_reward_model(text: str) -> NamedRewardModel:
    """Build the reward model that a spec names.

    Raises:
        ConfigError: the spec is malformed or names no known model.
        PolicyError: the model's package cannot be imported, or what it built is not a reward model.
    """
    spec = parse_spec(text)
    model: RewardModel = REWARD_MODELS.build(spec.name, spec.rest, options=spec.options)
    if not isinstance(model, RewardModel):
        raise PolicyError(f"reward model {text!r}: its factory returned {type(model).__name__}, which has no score().")
    return NamedRewardModel(text, model)
