"""Policies and reward models by name: a spec `name:rest,key=value` builds one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from hashlib import sha256
from pathlib import PurePath
from typing import Any, Final, Protocol, TypeVar

from mars2_env.base.abilities import keeps
from mars2_env.base.parts import Parts
from mars2_env.base.spec import parse_spec
from mars2_env.errors import PolicyError
from mars2_env.problems.base import ProblemSet
from mars2_env.types import ChecksProblems, Clues, Identified, Policy, PublicView, RewardModel

POLICIES: Final = Parts("policy", "mars2_env.policies")
_ADDRESS: Final = re.compile(r"\b0x[0-9a-fA-F]{4,}")
_SHOWN: Final = 400
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


def identity_of(policy: Policy | Identified | Clues) -> str:
    """Return what a run folder knows a policy by, so that no other goes on with its run; and a task its clues.

    That is its `identity` (`Identified`); else, of a dataclass, its name and those fields that hold plain values, since
    others may change as it plays; else its `repr`, unless an address is in it; else the name of its class.

    Raises:
        PolicyError: its `identity` is no text.
    """
    if isinstance(policy, Identified):
        identity = policy.identity
        if not isinstance(identity, str) or not identity:
            raise PolicyError(f"{type(policy).__qualname__}.identity is {identity!r:.200}; a text is needed.")
        return identity
    name = type(policy).__qualname__
    if is_dataclass(policy):
        values = {one.name: getattr(policy, one.name) for one in fields(policy) if one.repr}
        return f"{name}({', '.join(f'{key}={value!r}' for key, value in values.items() if _is_plain(value))})"
    if type(policy).__repr__ is object.__repr__:
        return name
    said = repr(policy)
    if _ADDRESS.search(said):
        return name
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}... ({sha256(said.encode()).hexdigest()[:12]})"


def _is_plain(value: Any) -> bool:
    """Whether a value is data that cannot change."""
    if isinstance(value, tuple | frozenset):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | complex | str | bytes | PurePath | Enum)


@dataclass(frozen=True, slots=True)
class NamedRewardModel:
    """A reward model under the name by which the header of a log knows it.

    That is its `identity`, if it has one (`Identified`): what lies behind a path may change. Else it is the spec that
    it was built from, options and all.
    """

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
    return NamedRewardModel(identity_of(model) if keeps(model, Identified) else text, model)


def itself(model: RewardModel) -> RewardModel:
    """Return a reward model without the name that a spec gave it: optional abilities are the model's own."""
    return model.model if isinstance(model, NamedRewardModel) else model


def check_rated(model: RewardModel | None, problems: Sequence[PublicView]) -> None:
    """Check that a task's reward model, if there is one, may rate programs for these problems.

    Raises:
        ConfigError: it learned from one of them.
    """
    own = None if model is None else itself(model)
    if own is not None and keeps(own, ChecksProblems):
        own.check_problems(problems)
