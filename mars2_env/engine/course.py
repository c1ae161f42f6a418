"""The course of one tree through ask, reply, submit, grade, rate and tell: a state machine that does no I/O.

A driver (threads, an event loop) begins a course and gets work to be done; for each piece it hands back what came of it
and gets the work that follows. The course calls no policy, judge, reward model, file or clock itself; the events of its
episode go wherever the episode's `on_event` writes them.

At most `in_flight` turns are open at a time, and outcomes are applied in the order of asking, whatever comes in first:
ask t is drawn after exactly the outcomes of the asks before t - in_flight + 1. So no tree depends on who was quick. Nor
does what a reward model is asked about at a time: all that is in flight when the oldest of it falls due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from typing import TypeAlias, get_args

from mars2_env.base.checks import one_of, whole_number
from mars2_env.episode import Episode, Submission
from mars2_env.errors import ConfigError, EpisodeError, PolicyError, SandboxError
from mars2_env.log import Trace
from mars2_env.search.budget import Usage
from mars2_env.search.tree import checked_score
from mars2_env.tasks import OnFault, begin, void
from mars2_env.types import Reply, Turn, Verdict


@dataclass(frozen=True, slots=True)
class Plant:
    """To do: grade the program that a repair problem starts from, and hand the verdict to `planted`."""

    program: str


@dataclass(frozen=True, slots=True)
class Ask:
    """To do: ask a policy, and hand its reply to `replied`."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Grade:
    """To do: grade what was submitted, and hand the verdict to `graded`."""

    turn: Turn
    submission: Submission


@dataclass(frozen=True, slots=True)
class Rate:
    """To do: ask the reward model about these programs and what tests found of them, and hand its scores to `rated`."""

    programs: tuple[str, ...]
    verdicts: tuple[Verdict, ...]


Work: TypeAlias = Plant | Ask | Grade | Rate


@dataclass(slots=True)
class _Going:
    """A turn on its way: its reply, what that amounts to, and what is known of it so far."""

    turn: Turn
    reply: Reply | None = None
    submission: Submission | None = None
    trace: Trace | None = None
    result: Verdict | SandboxError | PolicyError | None = None
    model_score: float | None = None


class Course:
    """One tree on its way.

    Args:
        episode: the episode, at its start or as its log left it; nothing else drives it.
        in_flight: how many turns may be open at a time.
        on_fault: whether a fault of the sandbox or of a policy voids a turn or is raised.
        rated: whether a reward model is asked about every new program.
        on_trace: called with what an expansion cost, right before its outcome is told.

    Raises:
        ConfigError: an argument makes no sense.
    """

    def __init__(
        self,
        episode: Episode,
        *,
        in_flight: int = 1,
        on_fault: OnFault = "void",
        rated: bool = False,
        on_trace: Callable[[Trace], None] | None = None,
    ) -> None:
        if not isinstance(episode, Episode):
            raise ConfigError(f"Course({episode!r:.200}): the course is that of an Episode.")
        one_of("on_fault", on_fault, get_args(OnFault), where="Course")
        self.episode = episode
        self._in_flight = whole_number("in_flight", in_flight, where="Course")
        self._on_fault: OnFault = on_fault
        self._begun = False
        self._rates = rated
        self._on_trace = on_trace
        self._going: dict[int, _Going] = {}
        self._order: deque[int] = deque()
        self._rating: list[_Going] = []

    @property
    def done(self) -> bool:
        """Whether the tree is finished."""
        return self.episode.done

    def urgency(self, turn: Turn) -> int:
        """Return how urgent a reply to an open turn is: the smaller, the sooner others stop waiting for it.

        The oldest open turn of a tree holds up all others, so it has 0 or less; of turns that stand in the same place
        the one is more urgent that more outcomes wait behind. 0 for a turn that is not on its way here.
        """
        if turn.id not in self._going:
            return 0
        place = self._order.index(turn.id)
        behind = sum(going.result is not None for going in self._going.values() if going.turn.id > turn.id)
        return place * self._in_flight - behind

    def begin(self) -> list[Work]:
        """Return what there is to do first: what was in flight when the log was left is asked for again.

        Raises:
            EpisodeError: the course has begun already.
        """
        if self._begun:
            raise EpisodeError("this course has begun already; a tree has one.")
        self._begun = True
        if self.episode.awaits_seed:
            return [Plant(self.episode.problem.seed_program or "")]
        return [*map(self._opened, self.episode.pending.values()), *self._ask()]

    def planted(self, outcome: Verdict | SandboxError) -> list[Work]:
        """Take what became of the seed program.

        Raises:
            SandboxError: it is a fault, and the task says that faults are raised.
        """
        begin(self.episode, outcome, self._on_fault)
        return self._ask()

    def replied(self, turn: Turn, reply: Reply, trace: Trace) -> list[Work]:
        """Take the reply to a turn, with what it cost.

        Raises:
            EpisodeError: the turn is not on its way here, or has been replied to, or the trace is of another turn.
            SandboxError: an earlier fault falls due, and the task says that faults are raised.
            PolicyError: a budget limits what the reply does not tell.
        """
        if self.done:  # what was in flight when it ended counts for nothing
            return []
        going = self._of(turn)
        if going.reply is not None:
            raise EpisodeError(f"turn {turn.id} of {turn.agent} has been replied to.")
        if not isinstance(trace, Trace) or trace.turn != turn.id:
            raise EpisodeError(f"turn {turn.id}: {trace!r:.200} is not its trace; give Trace({turn.id}, ...).")
        going.submission = self.episode.submit(turn, reply)
        going.reply, going.trace = reply, trace
        if going.submission.verdict is None:
            return [Grade(turn, going.submission)]
        going.result = going.submission.verdict
        return self._advance()

    def unanswered(self, turn: Turn, error: PolicyError | SandboxError) -> list[Work]:
        """Take that a turn's policy failed to answer it: the turn is void, and the same agent is asked again.

        It is the sandbox's fault where the policy tried a program and the sandbox could not decide.

        Raises:
            SandboxError: an earlier fault falls due, and the task says that faults are raised.
            PolicyError: this one does, likewise.
        """
        if self.done:
            return []
        self._of(turn).result = error
        return self._advance()

    def graded(self, turn: Turn, result: Verdict | SandboxError, seconds: float = 0.0) -> list[Work]:
        """Take the verdict on what a turn submitted, or why the sandbox could not decide.

        Args:
            turn: the turn.
            result: the verdict or the fault.
            seconds: how long it took, by the clock.

        Raises:
            EpisodeError: the turn is not on its way here, or waits for no verdict, or the result is none.
            SandboxError: a fault falls due, and the task says that faults are raised.
            PolicyError: a budget limits what a reply does not tell.
        """
        if self.done:
            return []
        going = self._of(turn)
        if going.reply is None or going.result is not None:
            waits = "a reply" if going.reply is None else "those before it"
            raise EpisodeError(f"turn {turn.id} of {turn.agent} waits for {waits}, not for a verdict.")
        if not isinstance(result, Verdict | SandboxError):
            raise EpisodeError(f"turn {turn.id}: {result!r:.200} is neither a verdict nor a SandboxError.")
        cpu = result.cpu_seconds if isinstance(result, Verdict) else 0.0
        trace = going.trace or Trace(turn.id)
        going.trace = replace(trace, judge_seconds=trace.judge_seconds + seconds, cpu_seconds=cpu)
        going.result = result
        return self._advance()

    def rated(self, scores: Sequence[float]) -> list[Work]:
        """Take the reward model's scores in [0, 1] of the programs that it was last asked about, in order.

        Raises:
            EpisodeError: they are not one score for each of these programs.
            ConfigError: one of them is no number in [0, 1].
        """
        if len(scores) != len(self._rating):
            raise EpisodeError(f"{len(scores)} scores for {len(self._rating)} programs; one each is needed.")
        checked = [checked_score(score, "model_score") for score in scores]
        for going, score in zip(self._rating, checked, strict=True):
            going.model_score = score
        self._rating = []
        return [] if self.done else self._advance()

    def _of(self, turn: Turn) -> _Going:
        if not isinstance(turn, Turn):
            raise EpisodeError(f"{turn!r:.200} is no turn; give one that this course handed out.")
        if turn.id not in self._going:
            raise EpisodeError(f"turn {turn.id} of {turn.agent} is not on its way in this course.")
        return self._going[turn.id]

    def _opened(self, turn: Turn) -> Ask:
        self._order.append(turn.id)
        self._going[turn.id] = _Going(turn)
        return Ask(turn)

    def _ask(self) -> list[Work]:
        """Return the turns that can be asked now."""
        asked: list[Work] = []
        while len(self._order) < self._in_flight and self.episode.can_ask:
            asked.append(self._opened(self.episode.ask()))
        return asked

    def _advance(self) -> list[Work]:
        """Apply what is due, one outcome at a time and asking after each, until something is waited for."""
        work: list[Work] = []
        while self._order and not self._rating and not self.done:
            going = self._going[self._order[0]]
            if going.result is None:
                break
            if self._wants_rating(going):
                in_flight = [self._going[turn] for turn in self._order]
                if any(one.result is None for one in in_flight):
                    break  # what is asked about together must not depend on who was quick
                self._rating = self._to_rate(in_flight)
                programs = tuple(one.submission.program or "" for one in self._rating if one.submission)
                work.append(
                    Rate(programs, tuple(one.result for one in self._rating if isinstance(one.result, Verdict)))
                )
                break
            self._apply(going)
            del self._going[self._order.popleft()]
            work += self._ask()
        return work

    def _wants_rating(self, going: _Going) -> bool:
        """Whether a reward model is to be asked about the program of a turn that has been graded."""
        if not self._rates or going.model_score is not None or not isinstance(going.result, Verdict):
            return False
        assert going.submission is not None
        now = self.episode.compared(going.submission)
        return now.program is not None and now.duplicate_of is None

    def _to_rate(self, in_flight: Sequence[_Going]) -> list[_Going]:
        """Return the turns whose programs are to be rated, each program once, oldest first."""
        first: dict[bytes | None, _Going] = {}
        for going in in_flight:
            if going.submission is not None and self._wants_rating(going):
                first.setdefault(going.submission.form, going)
        return list(first.values())

    def _apply(self, going: _Going) -> None:
        turn, reply, result, submission = going.turn, going.reply, going.result, going.submission
        if isinstance(result, SandboxError) and submission is not None:
            # A program that an earlier turn wrote too is a copy by now: it would not have been run a moment later.
            result = self.episode.compared(submission).verdict or result
        if isinstance(result, SandboxError | PolicyError):
            void(self.episode, turn, result, self._on_fault)
            return
        assert reply is not None and result is not None
        trace = going.trace or Trace(turn.id)
        if self._on_trace is not None:
            self._on_trace(trace)
        self.episode.tell(
            turn,
            reply,
            result,
            model_score=going.model_score,
            usage=used(reply, trace, turn.agent, self.episode.metered),
        )


def used(reply: Reply, trace: Trace, agent: str, metered: Set[str]) -> Usage:
    """Return what an expansion used, as budgets count it.

    Raises:
        PolicyError: a budget limits what the agent's policy does not tell, and would never be spent.
    """
    for resource, where, told in (
        ("tokens", "generation=Generation(completion_tokens=...)", reply.tokens),
        ("cost", "cost=...", reply.cost),
    ):
        if resource in metered and told is None:
            raise PolicyError(
                f"the budget limits {resource}, and the policy of {agent} does not say how much a reply took. A policy "
                f"of your own gives Reply({where}); a server has to tell its usage, and one that does not wants "
                "another budget, such as nodes=60."
            )
    return Usage(trace.completion_tokens, trace.policy_seconds, trace.judge_seconds, reply.cost or 0.0)
