"""The tool that policies may use: programs are run on the public tests of the problem that a turn is about."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from threading import Event, Lock

from mars2_env.base.checks import said
from mars2_env.errors import ConfigError, EpisodeError
from mars2_env.judge import Judge
from mars2_env.tasks.absence import outlasting
from mars2_env.tasks.match import sandbox_of
from mars2_env.tasks.task import Task
from mars2_env.types import Turn, Verdict


class PublicTests:
    """Runs programs on the public tests of a task's problems (`Trial`), and knows how long it took for each turn.

    Neither scoring nor hidden tests can be asked for, and what it says may be quoted. Safe to use from any thread.

    Args:
        task: what is played; its sandbox runs the programs, under the limits of each problem.
        in_thread: does what `arun` awaits in a thread; `asyncio.to_thread` by default.
    """

    def __init__(
        self, task: Task, in_thread: Callable[[Callable[[], Verdict]], Awaitable[Verdict]] | None = None
    ) -> None:
        self._task = task
        self._in_thread = in_thread or asyncio.to_thread
        self._judge: Judge | None = None
        self._lock = Lock()
        self._seconds: dict[tuple[str, int], float] = defaultdict(float)
        self._given_up = Event()

    def run(self, turn: Turn, program: str) -> Verdict:
        """Return the verdict on the public tests, every one of them run; the feedback is on the first that fails.

        Raises:
            ConfigError: the problem has no public tests.
            EpisodeError: `turn` is no turn, or the program is no text.
            SandboxError: the sandbox could not decide.
        """
        if not isinstance(turn, Turn):
            raise EpisodeError(f"trial.run({turn!r:.200}, ...): give the turn that the program is for.")
        if not isinstance(program, str):
            raise EpisodeError(f"{said('program', program, 'trial.run')}: a program is a text.")
        problem = self._task.problem(turn.problem.id)
        if not problem.public:
            raise ConfigError(f"problem {problem.id!r} has no public tests, so there is nothing to try a program on.")
        with self._lock:
            if self._judge is None:
                self._judge = Judge(sandbox_of(self._task), strict_types=self._task.strict_types)
            judge = self._judge
        start = time.perf_counter()
        try:
            grade = partial(judge.grade, problem, program, tests="public", stop="never")
            return outlasting(grade, self._given_up.wait)
        finally:
            with self._lock:
                self._seconds[turn.problem.id, turn.id] += time.perf_counter() - start

    async def arun(self, turn: Turn, program: str) -> Verdict:
        """`run`, awaited: it goes on in a thread."""
        return await self._in_thread(partial(self.run, turn, program))

    def spent(self, turn: Turn) -> float:
        """Return how many seconds were spent for a turn since this was last asked."""
        with self._lock:
            return self._seconds.pop((turn.problem.id, turn.id), 0.0)

    def give_up(self) -> None:
        """Wait for no sandbox any more."""
        self._given_up.set()
