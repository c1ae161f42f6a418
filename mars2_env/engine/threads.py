"""The thread driver of courses: policies are called in this thread on batches, programs graded in others meanwhile."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TypeAlias

from mars2_env.engine.course import Ask, Course, Grade, Plant, Rate, Work
from mars2_env.episode import Event, Told
from mars2_env.errors import PolicyError, SandboxError
from mars2_env.log import Header, Trace, Tree, read_trace
from mars2_env.tasks import Match, PublicTests, calls, ratings, replies_of
from mars2_env.types import Policy, Reply, Turn, Verdict

Observer: TypeAlias = Callable[[Header, Event, Trace | None], None]
"""Called with every event of every tree, those read back from a log included; a told event comes with its trace."""


class Play:
    """One match on its course, and what an observer is told of it."""

    def __init__(self, number: int, match: Match, in_flight: int, observer: Observer | None) -> None:
        """Begin or go on where the match's log stops; `number` is its place in the run."""
        self.number = number
        self.match = match
        self.course = Course(
            match.episode,
            in_flight=in_flight,
            on_fault=match.task.on_fault,
            rated=match.task.reward_model is not None,
            on_trace=self._trace,
        )
        self._observer = observer
        try:
            self._traces = {} if match.writer is None else read_trace(match.writer.path)
            for event in match.events:
                self._observe(event)
        except BaseException:  # an observer's, say: nothing else lets go of the log
            match.close()
            raise
        match.on_event = self._observe

    def _trace(self, trace: Trace) -> None:
        self._traces = {trace.turn: trace}
        if self.match.traces is not None:
            self.match.traces(trace)

    def _observe(self, event: Event) -> None:
        if self._observer is not None:
            trace = self._traces.pop(event.turn, None) if isinstance(event, Told) else None
            self._observer(self.match.header, event, trace)


class ThreadDriver:
    """Grows the trees of several matches at a time.

    Args:
        policies: agent -> policy.
        trees: how many trees grow at a time.
        batch: how many turns are handed to policies at a time.
        retries: how often a call of a policy that failed is made again.
        trial: what policies that ask for it run programs on public tests with.
    """

    def __init__(
        self,
        policies: Mapping[str, Policy],
        trees: int,
        batch: int,
        retries: int = 1,
        trial: PublicTests | None = None,
    ) -> None:
        self._policies = policies
        self._trial = trial
        self._retries = retries
        self._trees = trees
        self._batch = batch
        self._ready: list[tuple[Play, Turn]] = []
        self._to_rate: deque[tuple[Play, Rate]] = deque()
        self._grading: dict[Future[tuple[Verdict | SandboxError, float]], tuple[Play, Turn | None]] = {}
        self._judges = ThreadPoolExecutor(max_workers=max(os.cpu_count() or 1, 1), thread_name_prefix="mars2-judge")

    def run(self, plays: Iterator[Play]) -> Iterator[Tree]:
        """Begin plays as there is room for them, and yield each tree when it is finished."""
        going: list[Play] = []
        more = True
        try:
            while more or going:
                while more and len(going) < self._trees:
                    play = next(plays, None)
                    if play is None:
                        more = False
                        break
                    going.append(play)
                    self._take(play, play.course.begin())
                for play in [play for play in going if play.course.done]:
                    going.remove(play)
                    play.match.close()
                    yield play.match.tree()
                self._step()
        finally:
            for play in going:
                play.match.give_up()
            if self._trial is not None:
                self._trial.give_up()
            self._judges.shutdown(wait=True, cancel_futures=True)
            for play in going:
                play.match.close()

    def _step(self) -> None:
        """Have a batch of turns answered, and wait for grading until the next batch is full or nothing is graded."""
        self._ready = sorted(
            ((play, turn) for play, turn in self._ready if not play.course.done),
            key=lambda one: (one[0].number, one[1].id),
        )
        now, self._ready = self._ready[: self._batch], self._ready[self._batch :]
        for play, turn, reply, trace in answered(self._policies, now, self._retries, self._trial):
            if isinstance(reply, PolicyError):
                self._take(play, play.course.unanswered(turn, reply))
            else:
                self._take(play, play.course.replied(turn, reply, trace))
        self._rate()
        while self._grading and len(self._ready) < self._batch:  # small batches waste a model's time
            done, _ = wait(self._grading, return_when=FIRST_COMPLETED)
            for future in done:
                play, graded = self._grading.pop(future)
                result, seconds = future.result()
                course = play.course
                self._take(play, course.planted(result) if graded is None else course.graded(graded, result, seconds))
            self._rate()

    def _rate(self) -> None:
        """Ask reward models; each is asked about all programs of a tree that wait for it."""
        while self._to_rate:
            play, rate = self._to_rate.popleft()
            model = play.match.task.reward_model
            assert model is not None
            self._take(play, play.course.rated(ratings(model, play.match.episode.problem, rate.programs)))

    def _take(self, play: Play, work: Sequence[Work]) -> None:
        for one in work:
            match one:
                case Ask(turn):
                    self._ready.append((play, turn))
                case Grade(turn, submission):
                    grade = partial(play.match.grade, submission)
                    self._grading[self._judges.submit(_timed, grade)] = play, turn
                case Plant():
                    self._grading[self._judges.submit(_timed, play.match.grade_seed)] = play, None
                case Rate():
                    self._to_rate.append((play, one))


def _timed(grade: Callable[[], Verdict | SandboxError]) -> tuple[Verdict | SandboxError, float]:
    start = time.perf_counter()
    return grade(), time.perf_counter() - start


def answered(
    policies: Mapping[str, Policy],
    batch: Sequence[tuple[Play, Turn]],
    retries: int = 1,
    trial: PublicTests | None = None,
) -> Iterator[tuple[Play, Turn, Reply | PolicyError, Trace]]:
    """Call each policy once on its turns, and yield each reply with what it cost; each has an equal share of a call.

    In place of the reply to a turn that its policy failed on, however often it was asked, the error is yielded.

    Raises:
        PolicyError: a policy did not return one reply a turn.
    """
    for places in calls(policies, [turn for _, turn in batch]):
        members = [batch[place] for place in places]
        start = time.perf_counter()
        replies = replies_of(policies, [turn for _, turn in members], trial, retries=retries)
        tried = [trial.spent(turn) if trial is not None else 0.0 for _, turn in members]
        share = max(0.0, time.perf_counter() - start - sum(tried)) / len(members)
        for (play, turn), reply, seconds in zip(members, replies, tried, strict=True):
            trace = Trace(turn.id) if isinstance(reply, PolicyError) else trace_of(turn, reply, share, seconds)
            yield play, turn, reply, trace


def trace_of(turn: Turn, reply: Reply, seconds: float, tried: float = 0.0) -> Trace:
    """Return what is known of the cost of a reply that took so many seconds in its policy, and so many in its tries."""
    prompt, completion = reply.tokens or (0, 0)
    return Trace(
        turn=turn.id,
        policy_seconds=seconds,
        judge_seconds=tried,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost=reply.cost or 0.0,
        generation=reply.generation,
        steps=reply.steps,
    )
