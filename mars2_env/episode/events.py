"""The events of an episode: every change of its state, and all that is needed to make that change again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from mars2_env.search.budget import Usage
from mars2_env.types import Verdict

EndReason: TypeAlias = Literal["solved", "budget", "no_improvement", "stopped", "faults"]
"""Why an episode ended: solved as often as asked for; a budget spent; no improvement for as long as allowed; stopped by
a rule of the caller's own or from outside; or faults, which say nothing about any program."""


FaultKind: TypeAlias = Literal["sandbox", "policy"]


@dataclass(frozen=True, slots=True)
class Seeded:
    """The root got the program that a repair problem starts from; always the first event of such an episode."""

    program: str
    score: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Joined:
    """An agent joined in mid-search, or came back; `budget` is its own, as `parse_budget` takes it."""

    agent: str
    role: str = ""
    budget: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """An agent left, and its turns in flight were taken back with it; its nodes and their scores stay."""

    agent: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A turn was handed out. `parent` is None where the agent chooses it.

    `pending` is the score that the expansion stands in for until it is told, None if it is not counted.
    """

    turn: int
    agent: str
    parent: int | None
    seed: int
    pending: float | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A turn came back with a reply and a verdict. `node` is None where no node was added (an illegal parent).

    `score` is what the tests gave, or, with `given`, what the driver gave in its place. `model_score` is what a reward
    model gave besides. `usage` holds what a budget limits, and nothing else.
    """

    turn: int
    node: int | None
    parent: int | None
    score: float
    verdict: Verdict
    reply: str
    program: str | None = None
    duplicate_of: int | None = None
    given: bool = False
    model_score: float | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """An agent let its turn pass: no node, no budget, but one of its rounds is over."""

    turn: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A turn was void through a fault that says nothing about the program: no node, no budget; it is asked again.

    `kind` is whose fault it was: the sandbox's, or the policy's, which did not reply.
    """

    turn: int
    reason: str
    kind: FaultKind = "sandbox"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A turn was taken back: no node, no budget, and it is not asked again."""

    turn: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The episode is over; `detail` says what exactly ended it, such as "tokens: 2048 of 2000"."""

    reason: EndReason
    detail: str = ""


Event: TypeAlias = Seeded | Joined | Left | Asked | Told | Passed | Failed | Cancelled | Ended
