"""Judging side by side: threads that all environments of a process share, each waiting for one program's verdict."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from mars2_env.errors import SandboxError
from mars2_env.games import Match
from mars2_env.types import Reply, Turn, Verdict

THREADS: Final = 64
"""They mostly wait: how many programs run at a time is the sandbox's affair."""

_threads: ThreadPoolExecutor | None = None


def _forget_threads() -> None:
    global _threads
    _threads = None


os.register_at_fork(after_in_child=_forget_threads)  # the parent's threads are not there to take work


def grade(match: Match, turn: Turn, reply: Reply) -> Verdict | SandboxError:
    """Return the verdict on a reply, or why the sandbox could not decide."""
    try:
        return match.grade(turn, reply)
    except SandboxError as error:
        return error


def grade_side_by_side(jobs: Sequence[tuple[Match, Turn, Reply]]) -> list[Verdict | SandboxError]:
    """Return what became of each job, in order; all are judged at once, and no tree changes meanwhile."""
    global _threads
    if len(jobs) == 1:
        return [grade(*jobs[0])]
    if _threads is None:
        _threads = ThreadPoolExecutor(THREADS, thread_name_prefix="mars2-judge")
    return list(_threads.map(grade, *zip(*jobs, strict=True)))
