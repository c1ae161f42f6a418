"""Where a run's problems come from: jobs that are claimed one at a time, held while their trees grow, and done."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from inspect import iscoroutine
from typing import Any, Protocol, runtime_checkable

from mars2_env.base.blame import blamed
from mars2_env.base.checks import text, whole_number
from mars2_env.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Job:
    """One tree to be grown.

    Attributes:
        problem: the id of its problem.
        number: its place in the run: of turns that are equally urgent that of the tree with the lower number is first.
    """

    problem: str
    number: int = 0

    def __post_init__(self) -> None:
        text("problem", self.problem, empty=False, where="Job")
        whole_number("number", self.number, least=0, where="Job")


@runtime_checkable
class Feed(Protocol):
    """Hands out jobs. Its methods are called on the event loop of the run: while one is at it, the run stands still."""

    def claim(self) -> Job | None:
        """Return the next job, which is this run's from now on; None when there are no more."""
        ...

    def renew(self, job: Job) -> None:
        """Hold on to a job: its tree grows. Called after each outcome, and every so often while none comes in."""
        ...

    def done(self, job: Job) -> None:
        """Take that the tree of a job is finished and written.

        A job that is not reported when its run ends is free again: its tree is gone on with.
        """
        ...


class ListFeed:
    """The jobs of a list of problems, in order."""

    def __init__(self, problems: Iterable[str]) -> None:
        if isinstance(problems, str) or not isinstance(problems, Iterable):
            raise ConfigError(f"ListFeed({problems!r:.200}): give a list of the ids of problems.")
        self._left = deque(Job(problem, number) for number, problem in enumerate(problems))

    def claim(self) -> Job | None:
        """Return the next job; None when there are no more."""
        return self._left.popleft() if self._left else None

    def renew(self, job: Job) -> None:
        """Nobody else has this list."""

    def done(self, job: Job) -> None:
        """Nobody else has this list."""


def claimed(feed: Feed) -> Job | None:
    """Return the next job of a feed; None when there are no more.

    Raises:
        ConfigError: what it hands out is no job.
    """
    with blamed("claim() of the feed", feed):
        found: Any = feed.claim()
    if found is None or isinstance(found, Job):
        return found
    if iscoroutine(found):
        found.close()
    raise ConfigError(
        f"claim() of the feed {feed!r:.200} returned {found!r:.200}: return Job(problem=ID, number=PLACE), of "
        "mars2_env.engine, or None when there are no more."
    )
