"""Teams: names of agents, which policy acts for each, and how policies are called on batches of turns."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from functools import lru_cache
from operator import index
from traceback import extract_tb
from typing import Any, Final, TypeAlias, cast

from mars2_env.base.abilities import keeps
from mars2_env.base.checks import is_whole, said
from mars2_env.base.texts import well_formed
from mars2_env.errors import ConfigError, Mars2Error, PolicyError, PolicyUnavailableError
from mars2_env.problems import ProblemSet
from mars2_env.tasks.policies import make_policy
from mars2_env.types import ActsTogether, Policy, Prepares, Reply, Trial, Turn

_log = logging.getLogger(__name__)

DEFAULT_GENERATOR: Final = "noise:default"

Generators: TypeAlias = Policy | str | Mapping[str, Policy | str] | Sequence[Policy | str]
"""One policy or spec for every agent, a mapping from agent to its own, or one for each agent in order."""

MAX_AGENTS: Final = 10_000
"""The most agents of a task; each is asked about at every turn."""

AGENT_NAME = re.compile(r"[a-z]+_[0-9]+")


def agent_names(agents: int | Mapping[str, str] | list[str] | tuple[str, ...]) -> dict[str, str]:
    """Return agent name -> role for a number of agents, a list of names, or a mapping from name to role.

    Names follow PettingZoo's rule `[a-z]+_[0-9]+`; a bare word gets the next free number, so that `coder` becomes
    `coder_0` and two `coder`s become `coder_0` and `coder_1`.

    Raises:
        ConfigError: there is no agent, or a name is of another form.
    """
    if is_whole(agents):
        if not 1 <= (number := index(cast(int, agents))) <= MAX_AGENTS:
            raise ConfigError(f"{said('agents', agents)}: at least one agent is needed, and {MAX_AGENTS} are the most.")
        agents = ["agent"] * number
    named_well = isinstance(agents, Mapping | list | tuple) and all(isinstance(name, str) for name in agents)
    if not named_well or (isinstance(agents, Mapping) and not all(isinstance(r, str) for r in agents.values())):
        raise ConfigError(f"agents={agents!r:.200}: give a number, a list of names, or a mapping from name to role.")
    pairs = list(agents.items()) if isinstance(agents, Mapping) else [(name, "") for name in cast(list[str], agents)]
    if not pairs:
        raise ConfigError(f"agents={agents!r}: at least one agent is needed.")
    if len(pairs) > MAX_AGENTS:
        raise ConfigError(f"agents=...: {len(pairs)} names; {MAX_AGENTS} agents are the most.")
    free: Counter[str] = Counter()  # bare word -> the least number that may be free
    taken = {name for name, _ in pairs if AGENT_NAME.fullmatch(name)}
    named: dict[str, str] = {}
    for name, role in pairs:
        full = name
        if re.fullmatch(r"[a-z]+", name):
            while (full := f"{name}_{free[name]}") in taken:
                free[name] += 1
            taken.add(full)
        elif not AGENT_NAME.fullmatch(name):
            raise ConfigError(
                f"agent name {name!r}: use lower-case letters, with a number if you like (coder, coder_0)."
            )
        if full in named:
            raise ConfigError(f"agent name {full!r} is given twice.")
        named[full] = role
    return named


def seat(
    agents: Collection[str],
    team: Generators,
    *,
    problems: ProblemSet | None = None,
    played: Collection[str] | None = None,
) -> dict[str, Policy]:
    """Return the policy of every agent; specs are built, equal ones once.

    Args:
        agents: the agents to be seated.
        team: a policy or spec for every agent, a mapping from agent to its own, or one for each agent in order.
        problems: the problems to be played; simulated policies need their reference programs.
        played: the ids of those of them that are; all of them where nothing is said.

    Raises:
        ConfigError: an agent has no policy, or a policy no agent.
        PolicyError: something is not a policy.
    """
    given: Mapping[str, Policy | str]
    if isinstance(team, Mapping):
        given = team
    elif isinstance(team, list | tuple):
        if len(team) != len(agents):
            raise ConfigError(f"{len(team)} policies for {len(agents)} agents ({', '.join(agents)}).")
        given = dict(zip(agents, team, strict=True))
    else:
        given = dict.fromkeys(agents, cast(Policy | str, team))
    if set(given) != set(agents):
        raise ConfigError(f"the team is for {sorted(given)}, and the task's agents are {sorted(agents)}.")
    built: dict[str, Policy] = {}
    seated: dict[str, Policy] = {}
    for agent in agents:
        policy = given[agent]
        if isinstance(policy, str):
            if policy not in built:
                try:
                    built[policy] = make_policy(policy, problems=problems)
                except ConfigError as error:
                    error.args = (f"the policy of {agent}: {error}", *error.args[1:])
                    raise
            policy = built[policy]
        if isinstance(policy, type) or not callable(getattr(policy, "act", None)):
            raise PolicyError(f"the policy of {agent} is {policy!r}; an object with act(turns) is needed.")
        seated[agent] = policy
    ids = [problem.id for problem in problems or ()] if played is None else list(played)
    acting: dict[int, list[str]] = {}
    for agent, policy in seated.items():
        acting.setdefault(id(policy), []).append(agent)
    for names in acting.values():
        if keeps(policy := seated[names[0]], Prepares):
            policy.prepare(names, ids)
    return seated


def call_key(policy: Policy) -> Hashable:
    """Return what policies have in common whose turns one call answers.

    A policy that several agents share is called once, and policies that `ActsTogether` by one key (one model) at once.
    """
    return policy.batch_key if keeps(policy, ActsTogether) else id(policy)


def calls(policies: Mapping[str, Policy], turns: Sequence[Turn]) -> list[list[int]]:
    """Return the places of the turns that one call of a policy answers, a list for each call (`call_key`)."""
    groups: dict[Hashable, list[int]] = {}
    for place, turn in enumerate(turns):
        groups.setdefault(call_key(policies[turn.agent]), []).append(place)
    return list(groups.values())


def replies_of(
    policies: Mapping[str, Policy], turns: Sequence[Turn], trial: Trial | None = None, *, retries: int = 1
) -> list[Reply | PolicyError]:
    """Return the reply to each turn of one call; an error for each that the policy fails on, by an exception.

    A call that failed is made again, at most `retries` times, and then turn by turn, so that one turn that cannot be
    answered costs the others of its batch nothing.

    Raises:
        PolicyError: the policy did not return one reply a turn. That is a slip in its code, which no retry mends.
    """
    failure: Exception | None = None
    for _ in range(retries + 1):
        try:
            return [*call(policies, turns, trial)]
        except Exception as error:  # whatever a server or a model may raise
            if isinstance(error, Mars2Error) and not isinstance(error, PolicyUnavailableError):
                raise
            failure = error
            warn_failed(turns[0].agent, error)
    if len(turns) > 1:
        return [reply for turn in turns for reply in replies_of(policies, [turn], trial, retries=0)]
    assert failure is not None
    return [failed(turns[0].agent, failure)]


def failed(agent: str, error: Exception) -> PolicyError:
    """Return the fault that voids a turn that a policy failed on for good, by this exception, which is its cause."""
    fault = PolicyError(f"the policy of {agent} failed: {_said(error)}")
    fault.__cause__ = error
    return fault


def warn_failed(agent: str, error: Exception, times: Counter[str] | None = None) -> None:
    """Say that a call of a policy failed, and where.

    Args:
        agent: whose policy it is.
        error: how it failed.
        times: how often what was said; what fails alike is said the first time, and then the 10th, the 100th, ...
    """
    said = f"the policy of {agent} failed ({_said(error)}), at {_place(error)}"
    if times is None:
        _log.warning("%s.", said)
        return
    times[said] += 1
    if times[said] == 1:
        _log.warning("%s.", said)
    elif set(str(times[said])) == {"1", "0"} and str(times[said]).count("1") == 1:
        _log.warning("%s: %d times by now.", said, times[said])


def _said(error: Exception) -> str:
    """Return what an exception says, in so few words that a log can hold them."""
    kind = type(error).__name__
    try:
        said = well_formed(f"{kind}: {error}".rstrip(": "))
    except Exception:  # its `__str__` is out of order too
        said = kind
    return said if len(said) <= 300 else f"{said[:300]}..."


def _place(error: Exception) -> str:
    """Return the file and line that raised an exception."""
    frames = extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"


def call(policies: Mapping[str, Policy], turns: Sequence[Turn], trial: Trial | None = None) -> list[Reply]:
    """Return the reply to each turn of one call, which is made once.

    Args:
        policies: agent -> policy.
        turns: turns of agents whose policies have one `call_key`.
        trial: what policies run programs on public tests with, those that ask for it (`Trial`).

    Raises:
        PolicyError: the policy did not return one `Reply` a turn.
        RuntimeError: what it waits for was cancelled: a failure like any other, which `asyncio.CancelledError` is not.
    """
    policy = policies[turns[0].agent]
    try:
        if keeps(policy, ActsTogether):
            replies = policy.act_together([(policies[turn.agent], turn) for turn in turns])
        else:
            tool: dict[str, Any] = {"trial": trial} if takes_trial(policy.act) else {}
            replies = policy.act(list(turns), **tool)
    except asyncio.CancelledError as error:
        raise RuntimeError(f"act() was cancelled {error}".strip()) from error
    if inspect.isawaitable(replies):
        if inspect.iscoroutine(replies):
            replies.close()
        raise PolicyError(f"act() of {policy!r:.200} is async; it is to return the replies themselves.")
    if not isinstance(replies, list | tuple) or len(replies) != len(turns):
        count = f"{len(replies)} replies" if isinstance(replies, list | tuple) else f"{replies!r:.200}"
        raise PolicyError(
            f"{policy!r:.200} returned {count} for {len(turns)} turns; a list with one Reply each is needed."
        )
    for turn, reply in zip(turns, replies, strict=True):
        if not isinstance(reply, Reply):
            raise PolicyError(f"{policy!r} returned {reply!r:.200} for turn {turn.id}; a Reply is needed.")
    return list(replies)


def takes_trial(function: Any) -> bool:
    """Whether a policy's method has a keyword argument `trial`."""
    return _takes_trial(getattr(function, "__func__", function))


@lru_cache(maxsize=256)
def _takes_trial(function: Any) -> bool:
    try:
        return "trial" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
