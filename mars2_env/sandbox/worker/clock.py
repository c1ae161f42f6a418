"""The clock of a run: real time, less what the machine withheld.

A wall limit is for what sleeps, waits or is deadlocked. A program that is ready to go on while other people's processes
have the cores, or while its whole container is throttled or frozen, does none of these: that time is not its own.
Of the time between two looks counts as withheld

- starvation: what one of the run's tasks has waited for a core (the kernel's account of it, `/proc/PID/schedstat`),
  less what the run's other tasks used of the cores meanwhile: a program cannot starve itself. The task that has waited
  most decides, so that many who wait at once count as one.
- a freeze: what passed in a turn of the supervisor, which takes its turn a hundred times a second, beyond the wait that
  it had asked for, the CPU time that it used and its own waiting for a core. All in the container is frozen together.

A sleeping task waits for no core, so a sleeper's clock is real time, however busy the machine is.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

LOOK_SECONDS: Final = 0.02
"""So long passes at least between two looks; a run that ends before the first costs none."""
_COST: Final = 20
"""Between two looks passes at least so many times the CPU time of the last one: many tasks are looked at less often."""
_FREEZE_SECONDS: Final = 0.05
"""So long a silence of the supervisor that it cannot account for is a freeze."""
_PROBE_SECONDS: Final = 0.05
_STATE: Final = 0
_NICE: Final = 16
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Account(NamedTuple):
    """What the kernel says of a task."""

    ready: bool
    """Whether it is running or waits for a core."""
    cpu: float
    """Seconds for which it has run."""
    delay: float
    """Seconds for which it had waited for a core when it last got one."""
    stuck: bool = False
    """Whether it is in a sleep that no signal ends: as one that is frozen; or for a moment at a disk."""


@dataclass(slots=True)
class Task:
    """A task when it was last looked at."""

    account: Account
    owed: float = 0.0
    """Seconds of its waiting that have not been counted yet; negative where they were counted before it got a core."""
    waiting: bool = False
    """Whether it may have waited for a core ever since that look or an earlier one: nobody knows yet for how long."""


def starved(interval: float, tasks: dict[int, Task], accounts: Mapping[int, Account]) -> float:
    """Return for how much of the time between two looks strangers kept a run from going on.

    Args:
        interval: Seconds between the looks.
        tasks: The run's tasks at the first look, by id; replaced by those at the second.
        accounts: What is said of each at the second.
    """
    used = {
        number: now.cpu - (tasks[number].account.cpu if number in tasks else 0.0) for number, now in accounts.items()
    }
    total = sum(used.values())
    if accounts and all(now.stuck for now in accounts.values()):
        # The run is frozen, and its supervisor not yet, or no longer. A program can bring some of its tasks into such
        # a sleep (by `vfork`), but never the last one.
        still = all(number in tasks and tasks[number].account == now for number, now in accounts.items())
        frozen = {
            number: Task(now, tasks[number].owed if number in tasks else 0.0, waiting=True)
            for number, now in accounts.items()
        }
        tasks.clear()
        tasks.update(frozen)
        return interval if still else 0.0
    # One that was ready and has ended since took the account of its last wait with it. If it did not wait but ran, then
    # for no longer than the CPU limit allows.
    ended = any(task.account.ready for number, task in tasks.items() if number not in accounts)
    most = max(0.0, interval - total) if ended else 0.0
    seen = {}
    for number, now in accounts.items():
        room = max(0.0, interval - used[number])
        before = tasks.get(number)
        unchanged = before is not None and now[1:3] == before.account[1:3]
        task = seen[number] = Task(now, waiting=now.ready and (before is None or unchanged))
        if before is None:
            # How much of it lies before this run, or before the last look, is not known.
            waited = min(now.delay, room)
        elif unchanged and now.ready and before.account.ready:
            # It has been in the queue all the while; the kernel adds that up when its turn comes.
            waited = interval
            task.owed = before.owed - waited
        else:
            owed = before.owed + now.delay - before.account.delay
            waited = min(max(0.0, owed), room)
            task.owed = owed - waited
        most = max(most, waited - (total - used[number]))
    tasks.clear()
    tasks.update(seen)
    return most


class Clock:
    """Tells for how long a run has gone on.

    Args:
        started: When it was begun, on the monotonic clock.
        others: Processes here that are not of the run.
        nice: Its priority. A task that gave itself a lower one waits for cores by its own choice.
    """

    def __init__(self, started: float, others: Collection[int], nice: int) -> None:
        self.started = started
        self.withheld = 0.0
        self.frozen = 0.0
        """Of what was withheld, what passed in freezes."""
        self._others = others
        self._nice = nice
        self._tasks: dict[int, Task] = {}
        self._looked = started
        self._look_at = started + LOOK_SECONDS
        self._own_delay = self._own_cpu = 0.0
        # Since the last look:
        self._froze = 0.0
        self.served = False
        """Whether the run had something for the supervisor, so that it may have waited for it."""

    def time(self, now: float) -> float:
        """Return the run's own seconds since it was begun."""
        return now - self.started - self.withheld

    def is_over(self, limit: float, now: float) -> bool:
        """Whether the run has gone on for more than `limit` seconds, as far as is known at a look at `now`.

        While a task waits for a core it is not known; nor is all of it counted at once when its turn comes.
        """
        owed = max((task.owed for task in self._tasks.values()), default=0.0)
        return self.time(now) - max(0.0, owed) > limit and not any(task.waiting for task in self._tasks.values())

    def passed(self, asked: float, took: float) -> None:
        """Take note of a turn of the supervisor, in which it may have waited and worked.

        Args:
            asked: For how many seconds it wanted to wait, at most.
            took: How many seconds passed.
        """
        if took - asked > _FREEZE_SECONDS:
            # Before a run's first look the supervisor's accounts are not known: then all of it counts.
            known = own_delay() - self._own_delay + time.process_time() - self._own_cpu if self._own_cpu else 0.0
            self._froze += max(0.0, took - asked - known)

    def look(self, now: float, *, at_once: bool = False) -> None:
        """Count what was withheld since the last look, if it is time for another.

        Args:
            now: On the monotonic clock.
            at_once: Look in any case.
        """
        if now < self._look_at and not at_once:
            return
        interval = max(0.0, now - self._looked - self._froze)
        began = time.process_time()
        lost = starved(interval, self._tasks, dict(read_accounts(self._others, self._nice)))
        delay = own_delay()
        if self.served and self._own_delay:
            lost = max(lost, min(delay - self._own_delay, interval))
        self.withheld += lost + self._froze
        self.frozen += self._froze
        self._looked = now
        self._own_delay, self._own_cpu = delay, time.process_time()
        self._look_at = now + max(LOOK_SECONDS, _COST * (self._own_cpu - began))
        self._froze, self.served = 0.0, False


def own_delay() -> float:
    """Return for how many seconds this process has waited for a core; 0.0 where the kernel keeps no account."""
    try:
        with open("/proc/self/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def share_of_a_core() -> float:
    """Return what share of a core a process gets here that does nothing but compute, by being one for a moment."""
    began, used = time.monotonic(), time.process_time()
    while time.process_time() - used < _PROBE_SECONDS:
        pass
    return _PROBE_SECONDS / (time.monotonic() - began)


def read_accounts(others: Collection[int], nice: int) -> Iterator[tuple[int, Account]]:
    """Yield each task that is not of `others`, by id, with its account."""
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in others:
            continue
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{name}/task"):
                # One that ended meanwhile is as good as one that ended before.
                with contextlib.suppress(OSError, IndexError):
                    yield int(task), _read_account(f"/proc/{name}/task/{task}", nice)


def _read_account(folder: str, nice: int) -> Account:
    with open(f"{folder}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    cpu, delay = (int(fields[11]) + int(fields[12])) / _TICKS, 0.0
    # Where the kernel keeps no such account, a task that is ready and gets nowhere is known by the above alone.
    with contextlib.suppress(OSError), open(f"{folder}/schedstat", "rb") as file:
        ran, waited, turns = map(int, file.read().split())
        if turns:
            cpu, delay = ran / 1e9, waited / 1e9
    if int(fields[_NICE]) > nice:
        return Account(False, cpu, 0.0)
    return Account(fields[_STATE] == b"R", cpu, delay, fields[_STATE] == b"D")
