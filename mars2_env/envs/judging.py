"""Judging side by side: threads that all environments of a process share, each waiting for one program's verdict."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Final, TypeVar

from mars2_env.episode import Episode, Submission
from mars2_env.errors import PolicyError, SandboxError, SandboxUnavailableError
from mars2_env.tasks import Match
from mars2_env.types import Reply, Turn, Verdict

THREADS: Final = 64
"""They mostly wait: how many programs run at a time is the sandbox's affair."""

Made = TypeVar("Made")

_threads: ThreadPoolExecutor | None = None


def _forget_threads() -> None:
    global _threads
    _threads = None


os.register_at_fork(after_in_child=_forget_threads)  # the parent's threads are not there to take work


def side_by_side(calls: Sequence[Callable[[], Made]]) -> list[Made]:
    """Return what each call returns, in order; they go on at once. None of them may use this function itself."""
    global _threads
    if len(calls) == 1:
        return [calls[0]()]
    if _threads is None:
        _threads = ThreadPoolExecutor(THREADS, thread_name_prefix="mars2-judge")
    futures = [_threads.submit(call) for call in calls]
    wait(futures)  # all of them, so that nothing goes on after an error
    return [future.result() for future in futures]


def submitted(episode: Episode, turn: Turn, reply: Reply | PolicyError) -> Submission | PolicyError:
    """Return what a reply amounts to; the error of a generator that failed stays what it is."""
    return reply if isinstance(reply, PolicyError) else episode.submit(turn, reply)


def graded(match: Match, submission: Submission | PolicyError) -> Verdict | SandboxError | PolicyError:
    """Return the verdict on a submission, or why there is none."""
    return submission if isinstance(submission, PolicyError) else match.grade(submission)


def grade_side_by_side(
    jobs: Sequence[tuple[Match, Submission | PolicyError]],
) -> list[Verdict | SandboxError | PolicyError]:
    """Return what became of each job, in order; all are judged at once, and no tree changes meanwhile.

    Raises:
        SandboxUnavailableError: there is no sandbox any more. As nothing has changed, the same can be asked for later.
    """
    results = side_by_side([partial(graded, match, submission) for match, submission in jobs])
    for result in results:
        if isinstance(result, SandboxUnavailableError):
            raise result
    return results
