"""Where turns wait for a policy, and how it is asked: a desk for each policy, one call or many at a time.

A policy that only acts has a `Lane`: one call at a time, on a batch of turns, in a thread. One that generates has a
`Desk`: each turn is a coroutine on the loop, as many at a time as the policy wants. Either takes the most urgent turns
first, and gives each call a hard deadline: what does not come back by then has failed, and is left behind.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from heapq import nsmallest
from typing import Any, Protocol, TypeAlias

from mars2_env.base.abilities import keeps
from mars2_env.base.checks import whole_number
from mars2_env.base.meters import Meters
from mars2_env.engine.play import Play, trace_of
from mars2_env.engine.workers import Inbox, Raised, Workers
from mars2_env.errors import (
    Mars2Error,
    PolicyError,
    PolicyUnavailableError,
    SandboxError,
    SandboxUnavailableError,
)
from mars2_env.log import Trace
from mars2_env.tasks import PublicTests, call, failed, takes_trial, warn_failed
from mars2_env.types import Generates, Limited, Policy, Reply, Turn

_log = logging.getLogger(__name__)

Fault: TypeAlias = PolicyError | SandboxError


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A turn of a play that waits for its reply."""

    play: Play
    turn: Turn


class Driver(Protocol):
    """What a desk tells of."""

    def answered(self, replies: Iterable[tuple[Asked, Reply, Trace]]) -> None:
        """Take all replies that came of one call."""

    def unanswered(self, asked: Asked, error: Fault) -> None:
        """Take that a turn failed for good."""

    def end(self, error: BaseException) -> None:
        """Take what ends the run."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a run asks its policies.

    Attributes:
        retries: how often a call that failed is made again.
        deadline: how many seconds one call may take.
        trial: what policies run programs on public tests with.
        meters: measure how long each agent's policy is at it, if anybody asks.
        failures: how often policies failed how in a row, so that what fails alike is not said each time.
    """

    retries: int
    deadline: float
    trial: PublicTests
    meters: Meters | None = None
    failures: Counter[str] = field(default_factory=Counter)

    def measured(self, turns: Sequence[Turn]) -> AbstractContextManager[None]:
        """Measure a block as answering these turns."""
        if self.meters is None:
            return nullcontext()
        return self.meters.measure_all(Counter(turn.agent for turn in turns))


def urgency(asked: Asked) -> tuple[int, int, int]:
    """Return how urgent a turn is: the smaller, the sooner it is asked."""
    return asked.play.urgency(asked.turn)


@dataclass(slots=True, eq=False)
class _Call:
    """One call of policies that act: on which turns, how often it may yet be made, and what it has taken so far."""

    asked: Sequence[Asked]
    tries: int
    seconds: float = 0.0


class Lane:
    """Policies that act, in one call at a time, in a thread.

    Args:
        policies: agent -> policy.
        batch: how many turns a call may have.
        asking: how policies are asked.
        inbox: brings replies back.
        driver: whom to tell.
    """

    def __init__(
        self, policies: Mapping[str, Policy], batch: int, asking: Asking, inbox: Inbox, driver: Driver
    ) -> None:
        self._policies = policies
        self._batch = batch
        self._asking = asking
        self._inbox = inbox
        self._driver = driver
        self._ready: list[Asked] = []
        self._again: deque[_Call] = deque()
        self._call: _Call | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._workers = Workers(1, "mars2-policy", inbox)
        self.failures = 0

    @property
    def busy(self) -> bool:
        """Whether it is at a call, or is to make one again."""
        return self._call is not None or bool(self._again)

    @property
    def hung(self) -> int:
        """How many threads have not come back, but for those that were left behind and said."""
        return self._workers.alive

    def add(self, asked: Asked) -> None:
        """Let a turn wait."""
        self._ready.append(asked)

    def drop(self, play: Play) -> None:
        """Ask no more for a play; a call that is being made cannot be called back."""
        self._ready = [one for one in self._ready if one.play is not play]

    def move(self, more_to_come: bool) -> None:
        """Make the next call if there is one to be made: small batches waste a model's time.

        Args:
            more_to_come: whether something goes on that could add to the batch.
        """
        if self._call is not None:
            return
        if self._again:
            self._begin(self._again.popleft())
        elif self._ready and (len(self._ready) >= self._batch or not more_to_come):
            self._ready.sort(key=urgency)
            now, self._ready = self._ready[: self._batch], self._ready[self._batch :]
            self._begin(_Call(now, self._asking.retries + 1))

    def stop(self) -> None:
        """Make no more calls."""
        self._ready.clear()
        self._again.clear()
        self._call = None
        if self._timer is not None:
            self._timer.cancel()
        self._workers.close()

    def _begin(self, one: _Call) -> None:
        self._call = one
        self._timer = asyncio.get_running_loop().call_later(self._asking.deadline, self._hangs, one)
        turns = [asked.turn for asked in one.asked]
        self._workers.submit(partial(_called, self._policies, turns, self._asking), partial(self._came, one))

    def _came(self, one: _Call, came: tuple[list[Reply] | Exception, float] | Raised) -> None:
        if self._call is not one:  # it was given up
            return
        self._call = None
        assert self._timer is not None
        self._timer.cancel()
        if isinstance(came, Raised):
            self._driver.end(came.error)
            return
        replies, seconds = came
        one.seconds += seconds
        if isinstance(replies, Exception):
            self._failed(one, replies)
            return
        self.failures = 0
        self._asking.failures.clear()
        tried = [self._asking.trial.spent(asked.turn) for asked in one.asked]
        share = max(0.0, one.seconds - sum(tried)) / len(one.asked)
        self._driver.answered(
            [
                (asked, reply, trace_of(asked.turn, reply, share, spent))
                for asked, reply, spent in zip(one.asked, replies, tried, strict=True)
            ]
        )

    def _failed(self, one: _Call, failure: Exception) -> None:
        """Make a call again, or each of its turns alone: one that cannot be answered costs the others nothing."""
        agent = one.asked[0].turn.agent
        one.tries -= 1
        if one.tries > 0:
            self._again.append(one)
        elif len(one.asked) > 1:
            each = one.seconds / len(one.asked)
            self._again.extend(_Call([asked], 1, each) for asked in one.asked)
        else:
            self.failures += 1
            self._driver.unanswered(one.asked[0], fault_of(agent, failure))
            return
        self.move(True)

    def _hangs(self, one: _Call) -> None:
        if self._call is not one:
            return
        self._call = None
        self._workers.close()
        self._workers = Workers(1, "mars2-policy", self._inbox)
        agent, deadline = one.asked[0].turn.agent, self._asking.deadline
        _log.warning(
            "the policy of %s has not answered within %g s; its call cannot be ended and is left behind in a thread.",
            agent,
            deadline,
        )
        self.failures += 1  # of its turns all but one may be innocent
        for asked in one.asked:
            self._driver.unanswered(asked, _late(agent, deadline))


def _called(
    policies: Mapping[str, Policy], turns: Sequence[Turn], asking: Asking
) -> tuple[list[Reply] | Exception, float]:
    """Make one call, and return the replies, or what may be mended by a retry, and the seconds it took.

    Raises:
        Mars2Error: what no retry mends, such as a policy that did not return one reply a turn: a slip in its code.
    """
    start = time.perf_counter()
    try:
        with asking.measured(turns):
            return call(policies, turns, asking.trial), time.perf_counter() - start
    except Exception as error:
        if final(error):
            raise
        warn_failed(turns[0].agent, error, asking.failures)
        return error, time.perf_counter() - start


class Desk:
    """A policy that generates, asked for many turns at a time on the loop.

    Args:
        policy: the policy.
        asking: how policies are asked.
        driver: whom to tell.
    """

    def __init__(self, policy: Generates, asking: Asking, driver: Driver) -> None:
        self._policy = policy
        self._asking = asking
        self._driver = driver
        self._tool: dict[str, Any] = {"trial": asking.trial} if takes_trial(policy.generate) else {}
        self._ready: list[Asked] = []
        self._tasks: dict[Asked, _Going] = {}
        self._cancelled: set[asyncio.Task[None]] = set()
        self.failures = 0
        self._room()

    @property
    def busy(self) -> bool:
        """Whether other desks should wait for it: never, since it is hardly ever idle."""
        return False

    @property
    def hung(self) -> int:
        """How many tasks were cancelled and go on."""
        return len(self._cancelled)

    def add(self, asked: Asked) -> None:
        """Let a turn wait."""
        self._ready.append(asked)

    def drop(self, play: Play) -> None:
        """Ask no more for a play, and cancel what it was asked for."""
        self._ready = [one for one in self._ready if one.play is not play]
        for asked in [asked for asked in self._tasks if asked.play is play]:
            self._cancel(asked)

    def move(self, more_to_come: bool) -> None:
        """Ask for as many turns as the policy has room for; it has nothing to gain by waiting."""
        if not self._ready or (room := self._room()) <= 0:
            return
        if room < len(self._ready):
            now = nsmallest(room, self._ready, key=urgency)
            chosen = set(now)
            self._ready = [one for one in self._ready if one not in chosen]
        else:
            now, self._ready = sorted(self._ready, key=urgency), []
        loop = asyncio.get_running_loop()
        for asked in now:
            self._tasks[asked] = going = _Going()
            going.task = loop.create_task(self._answer(asked, going))

    def stop(self) -> None:
        """Cancel everything."""
        self._ready.clear()
        for asked in list(self._tasks):
            self._cancel(asked)

    def _room(self) -> int:
        """Return how many more turns the policy wants to be answering."""
        if not keeps(self._policy, Limited):
            return len(self._ready)
        where = f"{type(self._policy).__name__}.concurrency"
        return whole_number("concurrency", self._policy.concurrency, where=where) - len(self._tasks)

    def _cancel(self, asked: Asked) -> None:
        going = self._tasks.pop(asked)
        if going.timer is not None:
            going.timer.cancel()
        task = going.task
        assert task is not None
        self._cancelled.add(task)
        task.add_done_callback(self._cancelled.discard)
        task.cancel()

    async def _answer(self, asked: Asked, going: _Going) -> None:
        """Ask until there is a reply or no further try; what comes of it is told, never raised into the loop."""
        start = time.perf_counter()
        turn, agent = asked.turn, asked.turn.agent
        failure: Exception | None = None
        outcome: Reply | Fault | BaseException | None = None
        for _ in range(self._asking.retries + 1):
            going.timer = asyncio.get_running_loop().call_later(self._asking.deadline, self._hangs, asked, going)
            try:
                with self._asking.measured([turn]):
                    found = self._policy.generate(turn, priority=asked.play.course.urgency(turn), **self._tool)
                    outcome = _reply_of(self._policy, turn, await found if inspect.isawaitable(found) else found)
            except asyncio.CancelledError as error:
                if self._tasks.get(asked) is not going:
                    raise  # nobody waits for it any more
                if going.task is not None and going.task.cancelling():
                    outcome = error  # all tasks of the loop are, as it ends
                failure = RuntimeError(f"generate() was cancelled {error}".strip())
            except Exception as error:
                if final(error):
                    outcome = error
                failure = error
            except BaseException as error:  # raised here, it would tear down the loop of the caller
                outcome = error
            finally:
                going.timer.cancel()
            if self._tasks.get(asked) is not going:
                return
            if outcome is not None:
                break
            assert failure is not None
            warn_failed(agent, failure, self._asking.failures)
        del self._tasks[asked]
        if isinstance(outcome, Reply):
            self.failures = 0
            self._asking.failures.clear()
            tried = self._asking.trial.spent(turn)
            seconds = max(0.0, time.perf_counter() - start - tried)
            self._driver.answered([(asked, outcome, trace_of(turn, outcome, seconds, tried))])
        elif isinstance(outcome, BaseException):
            self._driver.end(outcome)
        elif failure is not None:
            self.failures += 1
            self._driver.unanswered(asked, fault_of(agent, failure))

    def _hangs(self, asked: Asked, going: _Going) -> None:
        if self._tasks.get(asked) is going:
            self._cancel(asked)
            self.failures += 1
            self._driver.unanswered(asked, _late(asked.turn.agent, self._asking.deadline))


@dataclass(slots=True, eq=False)
class _Going:
    """A turn that a policy is generating the reply to."""

    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = field(default=None)


def _reply_of(policy: Generates, turn: Turn, found: Any) -> Reply:
    """Return what a policy generated.

    Raises:
        PolicyError: it is no reply.
    """
    if not isinstance(found, Reply):
        raise PolicyError(f"{policy!r:.200} generated {found!r:.200} for turn {turn.id}; a Reply is needed.")
    return found


def final(error: Exception) -> bool:
    """Whether what a policy raised ends the run: an error of the library's own, which no retry mends.

    A fault of the sandbox, and a server that is away, are not of that kind.
    """
    if isinstance(error, SandboxError):
        return isinstance(error, SandboxUnavailableError)
    return isinstance(error, Mars2Error) and not isinstance(error, PolicyUnavailableError)


def fault_of(agent: str, failure: Exception) -> Fault:
    """Return the fault that voids a turn that a policy failed on, by this exception, for good."""
    if isinstance(failure, SandboxError):  # of a program that the policy tried
        return failure
    return failed(agent, failure)


def _late(agent: str, deadline: float) -> PolicyError:
    return PolicyError(f"the policy of {agent} failed: it has not answered within {deadline:g} s")
