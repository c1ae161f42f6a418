"""The driver of courses: many trees on one event loop, policies asked and programs judged beside it.

It adds no rules: a course says what is to be done, and the driver has it done. Everything it decides itself is about
time alone (what is asked first, how many trees grow at a time), so no log depends on it.

Trees move in step where every policy only acts and a call takes all the turns there can be: then a language model
sees the same batches in every run, and nothing is asked while nobody waits for a tree. Else trees move on their own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Concatenate, Final, ParamSpec

from mars2_env.base.abilities import keeps
from mars2_env.base.blame import blamed
from mars2_env.base.machine import cores
from mars2_env.base.meters import JUDGE, QUEUE, Meters
from mars2_env.engine.course import Ask, Grade, Plant, Rate, Work
from mars2_env.engine.desks import Asked, Asking, Desk, Fault, Lane
from mars2_env.engine.feed import Feed, Job, claimed
from mars2_env.engine.play import Play
from mars2_env.engine.workers import Inbox, Raised, Workers
from mars2_env.errors import LogInUseError, PolicyError
from mars2_env.log import Trace, Tree
from mars2_env.tasks import PublicTests, Task, call_key, ratings
from mars2_env.types import Closes, Generates, Policy, Reply, RewardModel, Turn, Verdict

PATIENCE: Final = 3.0
"""Seconds that a run which ends waits for what is in flight, before that is left behind; and as many for closing."""
HEARTBEAT: Final = 30.0
"""Seconds between two renewals of a job whose tree gets no outcomes."""

_log = logging.getLogger(__name__)

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run goes about it; none of this is in a log.

    Attributes:
        trees: how many trees grow at a time.
        batch: how many turns a call of a policy that acts may have.
        in_step: whether trees move in step.
        retries: how often a call of a policy that failed is made again.
        deadline: how many seconds one call of a policy may take.
        failures: after so many failed turns of a policy in a row, over all trees, the run ends.
    """

    trees: int
    batch: int
    in_step: bool
    retries: int = 1
    deadline: float = 3600.0
    failures: int = 20


def _ending(method: Callable[Concatenate[Driver, P], None]) -> Callable[Concatenate[Driver, P], None]:
    """Let what a method raises end the run, nothing happen after the end, and the run move on soon after it."""
    return _guarded(method, lambda driver: driver._poke())


def _moving(method: Callable[Concatenate[Driver, P], None]) -> Callable[Concatenate[Driver, P], None]:
    """Do the same, and move on at once: for what has taken all that came with it, which spares a turn of the loop."""
    return _guarded(method, lambda driver: driver._move())


def _guarded(
    method: Callable[Concatenate[Driver, P], None], on: Callable[[Driver], None]
) -> Callable[Concatenate[Driver, P], None]:
    @wraps(method)
    def guarded(self: Driver, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self._over:
            return
        try:
            method(self, *args, **kwargs)
        except BaseException as error:  # an interrupt too: raised in a callback, it would tear down the loop
            self.end(error)
        else:
            on(self)

    return guarded


class Driver:
    """Grows the trees of a feed's jobs. Everything but the constructor is for one event loop.

    Args:
        task: what is played.
        policies: agent -> policy.
        feed: hands out jobs.
        opened: opens the play of a job; `LogInUseError` skips it.
        settings: how to go about it.
        closing: what to close at the end.
        judges: makes what judges programs beside the loop; threads, one a core, by default.
        meters: measure how busy policies and judge are, if anybody asks.

    Attributes:
        skipped: the problems whose trees other runs were growing.
    """

    def __init__(
        self,
        task: Task,
        policies: Mapping[str, Policy],
        feed: Feed,
        opened: Callable[[Job], Play],
        settings: Settings,
        closing: Sequence[Closes] = (),
        judges: Callable[[Inbox], Workers] | None = None,
        meters: Meters | None = None,
    ) -> None:
        self.skipped: list[str] = []
        self._task = task
        self._policies = policies
        self._feed = feed
        self._opened = opened
        self._settings = settings
        self._closing = closing
        self._meters = meters
        self._make_judges = judges or (lambda inbox: Workers(cores(), "mars2-judge", inbox))
        self._trial = PublicTests(task, self._tried)
        self._going: dict[Play, int] = {}
        self._done: list[Play] = []
        self._finished: deque[Tree] = deque()
        self._grading = 0
        self._more = True
        self._begun = self._over = self._poked = False
        self._error: BaseException | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._beat: asyncio.TimerHandle | None = None
        self._end: asyncio.Task[None] | None = None

    def _begin(self) -> None:
        self._begun = True
        self._loop = asyncio.get_running_loop()
        self._ending = self._loop.create_future()
        self._guard = self._loop.create_task(self._guarding())
        self._inbox = Inbox(self._loop)
        self._judges = self._make_judges(self._inbox)
        self._raters = Workers(1, "mars2-rate", self._inbox)
        self._desks: dict[Hashable, Desk | Lane] = {}
        self._desk_of: dict[str, Desk | Lane] = {}
        asking = Asking(self._settings.retries, self._settings.deadline, self._trial, self._meters)
        for agent, policy in self._policies.items():
            generates = keeps(policy, Generates)
            key = (generates, id(policy) if generates else call_key(policy))
            if key not in self._desks:
                self._desks[key] = (
                    Desk(policy, asking, self)
                    if keeps(policy, Generates)
                    else Lane(self._policies, self._settings.batch, asking, self._inbox, self)
                )
            self._desk_of[agent] = self._desks[key]
        self._beat = self._loop.call_later(HEARTBEAT, self._renew)

    async def _guarding(self) -> None:
        """End the run where its loop ends: then every task is cancelled, and this one is there for nothing else."""
        try:
            await self._ending
        except asyncio.CancelledError:
            await self.close()
            raise

    @property
    def closes(self) -> bool:
        """Whether there is something to close even where nothing has begun."""
        return bool(self._closing)

    @property
    def ended(self) -> bool:
        """Whether it was closed, with nothing left to be done."""
        return self._end is not None and self._end.done()

    async def _tried(self, work: Callable[[], Verdict]) -> Verdict:
        """Do what a policy that generates tries on the public tests: among the judges, who are no more than cores."""
        verdict: Verdict = await self._judges.future(work)
        return verdict

    async def next(self) -> Tree | Raised | None:
        """Return the next tree that is finished; None when there are no more, and what ended the run otherwise.

        Errors are returned: whoever asks raises them where nothing is torn down by it. Any number may ask at a time;
        who is cancelled in asking takes nothing with it.
        """
        if not self._begun and not self._over:
            try:
                self._begin()
            except BaseException as error:
                self.end(error)
        while not self._finished and not self._over:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            self._poke()
            try:
                await waiter
            finally:
                self._waiters.remove(waiter)
        if self._finished:
            self._poke()
            return self._finished.popleft()
        await self.close()
        return None if self._error is None else Raised(self._error)

    async def close(self) -> None:
        """End the run: what is in flight is called back, or left behind after `PATIENCE`; logs are closed."""
        if self._end is None:
            self._over = True
            self._wake()
            self._end = asyncio.get_running_loop().create_task(self._torn_down())
        await asyncio.shield(self._end)

    def end(self, error: BaseException) -> None:
        """End the run by an error; trees that are finished are written, the others can be gone on with."""
        if not self._over:
            self._over, self._error = True, error
            self._wake()

    @_moving
    def answered(self, replies: Iterable[tuple[Asked, Reply, Trace]]) -> None:
        """Take all replies that came of one call."""
        for asked, reply, trace in replies:
            self._take(asked.play, asked.play.course.replied(asked.turn, reply, trace))

    @_ending
    def unanswered(self, asked: Asked, error: Fault) -> None:
        """Take that a policy failed on a turn for good."""
        self._take(asked.play, asked.play.course.unanswered(asked.turn, error))
        desk = self._desk_of[asked.turn.agent]
        if desk.failures >= self._settings.failures:
            raise PolicyError(
                f"the policy of {asked.turn.agent} failed on {desk.failures} turns in a row, whatever the tree, so the "
                f"run ends here; the last time: {error} What is written is kept: mend the policy and run the same "
                "again."
            ) from (error.__cause__ or error)

    @_moving
    def _graded(self, play: Play, turn: Turn | None, came: Any) -> None:
        self._grading -= 1
        if isinstance(came, Raised):
            raise came.error
        if play.course.done:
            return
        result, seconds = came
        course = play.course
        self._take(play, course.planted(result) if turn is None else course.graded(turn, result, seconds))

    @_moving
    def _rated(self, play: Play, timer: asyncio.TimerHandle, came: Any) -> None:
        timer.cancel()
        self._grading -= 1
        if isinstance(came, Raised):
            raise came.error
        self._take(play, play.course.rated(came))

    @_ending
    def _unrated(self, model: RewardModel) -> None:
        raise PolicyError(f"the reward model {model!r:.200} has not answered within {self._settings.deadline:g} s.")

    def _take(self, play: Play, work: Sequence[Work]) -> None:
        """Have done what a course says is to be done."""
        for one in work:
            match one:
                case Ask(turn):
                    self._desk_of[turn.agent].add(Asked(play, turn))
                case Grade(turn, submission):
                    self._grade(play, turn, partial(play.match.grade, submission))
                case Plant():
                    self._grade(play, None, play.match.grade_seed)
                case Rate(programs, verdicts):
                    model = play.match.task.reward_model
                    assert model is not None
                    self._grading += 1
                    rate = partial(ratings, model, play.match.episode.problem, programs, verdicts)
                    timer = self._loop.call_later(self._settings.deadline, self._unrated, model)
                    self._raters.submit(rate, partial(self._rated, play, timer))
        if play not in self._going:
            return
        if (events := len(play.match.events)) > self._going[play]:
            self._going[play] = events
            self._hold(play.job)
        if play.course.done:
            del self._going[play]
            self._done.append(play)
            for desk in self._desks.values():
                desk.drop(play)

    def _grade(self, play: Play, turn: Turn | None, grade: Callable[[], Any]) -> None:
        self._grading += 1
        if self._meters is not None:
            self._meters.begin(QUEUE)
        self._judges.submit(partial(_timed, play, grade, self._meters), partial(self._graded, play, turn))

    def _poke(self) -> None:
        """Move on as soon as all that has come in by now is taken."""
        if self._begun and not self._poked and not self._over:
            self._poked = True
            self._loop.call_soon(self._move)

    def _move(self) -> None:
        self._poked = False
        if self._over:
            return
        try:
            self._settle()
            if self._settings.in_step and (self._finished or not self._waiters):
                return
            self._claim()
            more_to_come = self._grading > 0 or any(desk.busy for desk in self._desks.values())
            for desk in self._desks.values():
                desk.move(more_to_come)
            if self._done:
                self._poke()
            elif not self._more and not self._going and not self._finished:
                self._over = True
                self._wake()
        except BaseException as error:
            self.end(error)

    def _settle(self) -> None:
        """Hand out the trees that are finished; those that move in step in their order, whoever was graded first."""
        if not self._done:
            return
        if self._settings.in_step and (self._grading or any(desk.busy for desk in self._desks.values())):
            return
        for play in sorted(self._done, key=lambda play: play.job.number):
            self._done.remove(play)
            play.match.close()
            with blamed("done() of the feed", self._feed):
                self._feed.done(play.job)
            self._finished.append(play.match.tree())
        self._wake()

    def _claim(self) -> None:
        """Begin trees while there is room: those that nobody has taken yet count as well."""
        while self._more and len(self._going) + len(self._done) + len(self._finished) < self._settings.trees:
            job = claimed(self._feed)
            if job is None:
                self._more = False
                return
            try:
                play = self._opened(job)
            except LogInUseError as error:
                self.skipped.append(job.problem)
                _log.warning("%s is left out (%d by now): %s", job.problem, len(self.skipped), error)
                continue
            self._going[play] = len(play.match.events)
            self._take(play, play.course.begin())

    @_ending
    def _renew(self) -> None:
        self._beat = self._loop.call_later(HEARTBEAT, self._renew)
        for play in self._going:
            self._hold(play.job)

    def _hold(self, job: Job) -> None:
        with blamed("renew() of the feed", self._feed):
            self._feed.renew(job)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _torn_down(self) -> None:
        """Call back what is in flight, wait for it as long as there is patience, and close what is open."""
        if self._begun:
            if self._beat is not None:
                self._beat.cancel()
            if not self._ending.done():
                self._ending.set_result(None)
            for play in self._going:
                play.match.give_up()
            self._trial.give_up()
            for desk in self._desks.values():
                desk.stop()
            self._judges.close()
            self._raters.close()
            await _until(lambda: not self._in_flight(), PATIENCE)
            if left := self._in_flight():
                _log.warning("left behind, as they did not end within %g s: %s.", PATIENCE, left)
            for play in [*self._going, *self._done]:
                play.match.close()
        await self._close_policies()

    def _in_flight(self) -> str:
        """Return what has not come back yet, in words; "" if all has."""
        calls = sum(desk.hung for desk in self._desks.values())
        judging = self._judges.alive + self._raters.alive
        named = ((calls, "calls of policies"), (judging, "gradings"))
        return ", ".join(f"{count} {what}" for count, what in named if count)

    async def _close_policies(self) -> None:
        """Close the policies that this run built; one that takes too long is left to it."""
        if not self._closing:
            return
        workers = Workers(len(self._closing), "mars2-close", Inbox(asyncio.get_running_loop()))
        waiting = [workers.future(policy.close) for policy in self._closing]
        done, hanging = await asyncio.wait(waiting, timeout=PATIENCE / 2)
        for future in done:
            if (error := future.exception()) is not None:
                _log.warning("a policy could not be closed: %s: %s", type(error).__name__, error)
        if hanging:
            _log.warning("%d policies did not close within %g s, and are left to it.", len(hanging), PATIENCE / 2)
        workers.close()


async def _until(true: Callable[[], bool], seconds: float) -> None:
    """Wait until something is true, or so many seconds."""
    pause, end = 0.0, asyncio.get_running_loop().time() + seconds
    while not true() and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(pause)
        pause = min(0.02, pause + 0.001)


def _timed(play: Play, grade: Callable[[], Any], meters: Meters | None) -> tuple[Any, float] | None:
    """Grade, unless the tree has ended meanwhile, and say how long it took."""
    if meters is not None:
        meters.end(QUEUE)
    if play.course.done:
        return None
    start = time.perf_counter()
    with nullcontext() if meters is None else meters.measure(JUDGE):
        return grade(), time.perf_counter() - start
