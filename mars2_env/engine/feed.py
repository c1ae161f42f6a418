"""Where a run's problems come from: jobs that are claimed one at a time, held while their trees grow, and done."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Job:
    """One tree to be grown.

    Attributes:
        problem: the id of its problem.
        number: its place in the run: of turns that are equally urgent that of the tree with the lower number is first.
    """

    problem: str
    number: int = 0


@runtime_checkable
class Feed(Protocol):
    """Hands out jobs. Its methods are called on the event loop of the run, so they are to be quick."""

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
        self._left = deque(Job(problem, number) for number, problem in enumerate(problems))

    def claim(self) -> Job | None:
        """Return the next job; None when there are no more."""
        return self._left.popleft() if self._left else None

    def renew(self, job: Job) -> None:
        """Nobody else has this list."""

    def done(self, job: Job) -> None:
        """Nobody else has this list."""
