"""A play: one match on its course, what an observer is told of it, and what its replies cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from mars2_env.base.blame import blamed
from mars2_env.engine.course import Course
from mars2_env.engine.feed import Job
from mars2_env.episode import Event, Told
from mars2_env.log import Header, Trace, read_trace
from mars2_env.tasks import Match
from mars2_env.types import Reply, Turn

Observer: TypeAlias = Callable[[Header, Event, Trace | None], None]
"""Called with every event of every tree, those read back from a log included; a told event comes with its trace."""


class Play:
    """One match on its course, and what an observer is told of it."""

    def __init__(self, job: Job, match: Match, in_flight: int, observer: Observer | None) -> None:
        """Begin or go on where the match's log stops."""
        self.job = job
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

    def urgency(self, turn: Turn) -> tuple[int, int, int]:
        """Return how urgent a turn is among those of all trees: the smaller, the sooner it is asked."""
        return self.course.urgency(turn), self.job.number, turn.id

    def _trace(self, trace: Trace) -> None:
        self._traces = {trace.turn: trace}
        if self.match.traces is not None:
            self.match.traces(trace)

    def _observe(self, event: Event) -> None:
        if self._observer is not None:
            trace = self._traces.pop(event.turn, None) if isinstance(event, Told) else None
            with blamed("the observer", self._observer):
                self._observer(self.match.header, event, trace)


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
