"""Budgets: what a tree, and each agent in it, may spend; and what expansions cost.

Five resources: `nodes` (expansions), `tokens` (of completions), `model_seconds`, `judge_seconds`, and `cost` in
whatever unit the replies say. Nodes are counted; the rest is told with each outcome. Limits compose: the first that is
reached ends the tree, or, where it is an agent's own, that agent's turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from operator import index
from typing import Any, Final

from mars2_env.base.checks import is_whole, real_number, text, whole_number
from mars2_env.base.spec import parse_spec, typed
from mars2_env.errors import ConfigError, unknown_name

MAX_NODES: Final = 10**7
"""A budget that does not limit nodes has this many: more than any tree here can hold."""

METERED: Final = ("tokens", "model_seconds", "judge_seconds", "cost")
RESOURCES: Final = ("nodes", *METERED)
_KINDS: Final = {"nodes": int, "tokens": int}


@dataclass(frozen=True, slots=True)
class Usage:
    """What one expansion used, or what several have used together: completion tokens, seconds, and cost."""

    tokens: int = 0
    model_seconds: float = 0.0
    judge_seconds: float = 0.0
    cost: float = 0.0

    def __post_init__(self) -> None:
        for name in METERED:
            object.__setattr__(self, name, real_number(name, getattr(self, name), least=0, where="Usage"))
        object.__setattr__(self, "tokens", whole_number("tokens", self.tokens, least=0, where="Usage"))

    def only(self, resources: Iterable[str]) -> Usage:
        """Return this usage with every other resource at 0."""
        return Usage(**{name: getattr(self, name) for name in METERED if name in resources})

    def __add__(self, other: Usage) -> Usage:
        if not isinstance(other, Usage):
            return NotImplemented
        return Usage(
            self.tokens + other.tokens,
            self.model_seconds + other.model_seconds,
            self.judge_seconds + other.judge_seconds,
            self.cost + other.cost,
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """How much one tree may spend; what is left out is not limited.

    Seconds are clock times: runs whose budget limits them are logged and resumed like any other, but two of them are
    not the same to the bit. An expansion that has begun is finished, so all but nodes may end a little above the limit.

    Attributes:
        nodes: expansions (an illegal one counts too; a void one does not).
        tokens: completion tokens.
        model_seconds: seconds in policies; of a batch, each turn has an equal share.
        judge_seconds: seconds in the judge, summed over expansions.
        cost: the sum of `Reply.cost`.
        agents: agent -> a budget of its own. An agent that has spent its budget is not asked any more; when that is
            true of every agent, the tree ends.
    """

    nodes: int = MAX_NODES
    tokens: int | None = None
    model_seconds: float | None = None
    judge_seconds: float | None = None
    cost: float | None = None
    agents: Mapping[str, Budget] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", whole_number("nodes", self.nodes, most=MAX_NODES, where="Budget"))
        for name in METERED:
            value = getattr(self, name)
            if value is None:
                continue
            object.__setattr__(self, name, real_number(name, value, above=0, where="Budget"))
            if name == "tokens" and value != int(value):
                raise ConfigError(f"Budget(tokens={value!r}): must be a whole number.")
        if not isinstance(self.agents, Mapping):
            raise ConfigError(f"Budget(agents={self.agents!r:.200}): must map agents to budgets.")
        for agent in self.agents:
            text("agent", agent, empty=False, where="Budget(agents=...)")
        own = {agent: parse_budget(budget) for agent, budget in self.agents.items()}
        for agent, budget in own.items():
            if budget.agents:
                raise ConfigError(f"Budget: the budget of agent {agent!r} has agents of its own; one level is enough.")
        object.__setattr__(self, "agents", own)
        if not self.config():
            raise ConfigError(f"Budget(): nothing is limited; give at least one of {', '.join(RESOURCES)}, or agents.")

    @property
    def limits(self) -> dict[str, float]:
        """Resource -> limit, of those that are limited."""
        found = {name: getattr(self, name) for name in RESOURCES}
        if self.nodes == MAX_NODES:
            del found["nodes"]
        return {name: limit for name, limit in found.items() if limit is not None}

    @property
    def metered(self) -> frozenset[str]:
        """The resources besides nodes that this budget, or that of an agent, limits."""
        found = set(self.limits).union(*(own.limits for own in self.agents.values()))
        return frozenset(found - {"nodes"})

    def reached(self, nodes: int, usage: Usage) -> str:
        """Return which limit has been reached, as in "tokens: 2048 of 2000"; "" if none has."""
        if nodes >= self.nodes != MAX_NODES:
            return f"nodes: {nodes:.10g} of {self.nodes:.10g}"
        for name in METERED:
            limit, spent = getattr(self, name), getattr(usage, name)
            if limit is not None and spent >= limit:
                return f"{name}: {spent:.10g} of {limit:.10g}"
        return ""

    def config(self) -> dict[str, Any]:
        """Return what is limited, as plain data that `parse_budget` takes."""
        own = {agent: budget.config() for agent, budget in self.agents.items()}
        return {**self.limits, **({"agents": own} if own else {})}

    def __str__(self) -> str:
        pairs = [f"{name}={limit:.10g}" for name, limit in self.limits.items()]
        pairs += [
            f"{agent}.{name}={limit:.10g}" for agent, own in self.agents.items() for name, limit in own.limits.items()
        ]
        return ",".join(pairs)


def parse_budget(value: Budget | int | str | Mapping[str, Any]) -> Budget:
    """Return the budget that is meant.

    Args:
        value: a budget; a number of nodes; a mapping such as {"nodes": 60, "agents": {"coder_0": {"tokens": 5000}}};
            or a text such as "60" or "nodes=60,tokens=20000,coder_0.tokens=5000".

    Raises:
        ConfigError: it is none of these, or a resource is unknown, or a limit makes no sense.
    """
    if isinstance(value, Budget):
        return value
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, Mapping):
        known = [one.name for one in fields(Budget)]
        for name in value:
            if name not in known:
                raise ConfigError(unknown_name("resource of a budget", str(name), known))
        return Budget(**value)
    if not is_whole(value):
        raise ConfigError(
            f"budget={value!r:.200}: give a number of nodes, a Budget, a mapping, or a text such as "
            "'nodes=60,tokens=20000'."
        )
    return Budget(index(value))


def _from_text(text: str) -> Budget:
    spec = parse_spec(text, "budget", named=False)
    limits: dict[str, Any] = {}
    agents: dict[str, dict[str, Any]] = {}
    nodes = {"nodes": spec.name} if spec.name or not spec.options else {}
    if nodes.keys() & spec.options.keys():
        raise ConfigError(f"budget {text!r:.200} gives 'nodes' twice.")
    for name, number in (nodes | spec.options).items():
        agent, dot, resource = name.rpartition(".")
        if resource not in RESOURCES:
            raise ConfigError(unknown_name(f"resource in budget {text!r:.200}:", resource, RESOURCES))
        place = agents.setdefault(agent, {}) if dot else limits
        try:
            place[resource] = typed(number, _KINDS.get(resource, float), f"budget {text!r:.200}: {name}")
        except ConfigError as error:
            raise ConfigError(f"{error} Write nodes=60,tokens=20000 or the like.") from None
    return Budget(**limits, agents={agent: Budget(**own) for agent, own in agents.items()})
