"""New weights to the policies that act: one call for every kind of policy.

A policy that takes other ways says so by `load_weights(ref)` of its own (`TakesWeights`). What is asked of a policy
while new weights come waits for them, or ends with those that it began with, or tells which of its tokens came from
which (`Generation.weights_spans`): as its kind does it. No sample is labelled with weights that did not write it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from mars2_agents.learners.learner import WeightsRef
from mars2_agents.policies.engine import adapter_name
from mars2_agents.policies.replicas import Replicas
from mars2_agents.policies.transformers import TransformersPolicy
from mars2_agents.policies.vllm import VLLMPolicy
from mars2_env.base.checks import whole_number
from mars2_env.errors import PolicyError
from mars2_env.types import Policy

TAKERS: Final = (
    "TransformersPolicy and VLLMPolicy (checkpoints and adapters), Replicas, Stages and ToolUser of such, and policies "
    "with load_weights(ref)"
)


@runtime_checkable
class TakesWeights(Protocol):
    """A policy that loads weights by itself; where it also has a `weights_version`, that is held to rise."""

    def load_weights(self, ref: WeightsRef) -> None:
        """Act with these weights from the next turn on; where that cannot be, raise and keep those from before."""
        ...


@runtime_checkable
class HasMembers(Protocol):
    """A policy made of policies (`Stages`, `ToolUser`)."""

    @property
    def members(self) -> Sequence[Policy]:
        """Each of them once."""
        ...


@dataclass(frozen=True, slots=True)
class _Door:
    """How a policy takes weights.

    Attributes:
        version: of the weights that it acts with; None where it has none yet, or does not tell.
        same: whether those are the ones that are delivered, if the versions are equal.
        take: gives it the new ones.
    """

    version: int | None
    same: Callable[[], bool]
    take: Callable[[], object]


def deliver(policy: Policy, ref: WeightsRef) -> None:
    """Give new weights to a policy, without a restart of anything; from the next turn on it acts with them.

    Policies that share an engine share its full weights: delivered to one of them, they are there for all. Adapters
    are a policy's own. Of `Replicas` all take them, and who is gone takes them when revived; of `Stages` and
    `ToolUser` every member does.

    Args:
        policy: what acts.
        ref: a checkpoint or an adapter, in a folder that the policy's server reads too. Its version is above that of
            the policy's weights, or the same with the same folder (or content, of adapters in this process): then
            nothing is done. Version 0 of a checkpoint is what a policy began with.

    Raises:
        PolicyError: the policy takes no such weights, the version does not rise, or loading fails; those from before
            stay, except in members and replicas that had taken the new ones already: delivered again, those are left
            alone.
        PolicyUnavailableError: what it acts with is gone.
    """
    whole_number("version", ref.version, least=0, where="deliver")
    # Looked at before the first takes anything: a member that cannot is not found out half way.
    for take in [one for member in _leaves(policy) if (one := _needed(member, ref)) is not None]:
        take()


def _leaves(policy: Any) -> Iterator[Any]:
    """Yield what a policy is made of, itself where it is not made of others; each once."""
    found: dict[int, Any] = {}
    waiting = [policy]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, HasMembers) and not isinstance(one, TakesWeights):
            waiting += one.members
        else:
            found[id(one)] = one
    yield from found.values()


def _needed(policy: Any, ref: WeightsRef) -> Callable[[], object] | None:
    """Return what gives a policy the weights; None where it has them already.

    Raises:
        PolicyError: it takes none, or has newer ones, or others of that version.
    """
    if isinstance(policy, Replicas):
        for replica in policy.policies:
            _needed(replica, ref)
        return lambda: policy.renew(lambda replica: deliver(replica, ref))
    door = _door(policy, ref)
    if door.version is None or ref.version > door.version:
        return door.take
    if ref.version < door.version:
        raise PolicyError(
            f"deliver(version={ref.version}): {policy!r:.200} has version {door.version}; versions have to rise. A run "
            "that is gone on with delivers before its first turn."
        )
    if not door.same():
        raise PolicyError(
            f"deliver({ref.path!r}, version={ref.version}): {policy!r:.200} has other weights of that version. "
            "Policies that are trained apart need engines, or adapters, of their own."
        )
    return None


def _door(policy: Any, ref: WeightsRef) -> _Door:
    if isinstance(policy, TakesWeights):
        told = getattr(policy, "weights_version", None)
        return _Door(told if isinstance(told, int) else None, lambda: True, lambda: policy.load_weights(ref))
    if isinstance(policy, TransformersPolicy):
        return _transformers_adapter(policy, ref) if ref.adapter else _weights(policy, ref, policy.engine.load_weights)
    if isinstance(policy, VLLMPolicy):
        return _vllm_adapter(policy, ref) if ref.adapter else _weights(policy, ref, policy.update_weights)
    raise PolicyError(f"deliver: {policy!r:.200} takes no weights; these do: {TAKERS}.")


def _weights(policy: TransformersPolicy | VLLMPolicy, ref: WeightsRef, take: Callable[[str, int], None]) -> _Door:
    engine = policy.engine
    if policy.adapter is not None:
        raise PolicyError(
            f"deliver({ref.path!r}): {policy!r:.200} acts with a LoRA adapter, and takes adapters; these are full "
            "weights, for which that adapter was not made. Give it no adapter, or train one."
        )
    return _Door(
        engine.weights_version,
        lambda: engine.weights is None or _one_place(engine.weights, ref.path),
        lambda: take(ref.path, ref.version),
    )


def _transformers_adapter(policy: TransformersPolicy, ref: WeightsRef) -> _Door:
    held = policy.adapter
    return _Door(
        None if held is None else held.version,
        lambda: held is not None and held.name == adapter_name(Path(ref.path)),
        lambda: policy.load_adapter(ref.path, ref.version),
    )


def _vllm_adapter(policy: VLLMPolicy, ref: WeightsRef) -> _Door:
    held = policy.adapter
    return _Door(
        None if held is None else held[1],
        lambda: held is not None and _one_place(held[0], ref.path),
        lambda: policy.load_adapter(ref.path, ref.version),
    )


def _one_place(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()
