"""A match: one play of a task on one problem, what every driver (environment, rollout engine) does the same way.

It is the episode with its log, opened or resumed, and the grading of replies. Drivers add only who is asked when.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Event as Flag
from threading import Lock

from mars2_env.base.abilities import keeps
from mars2_env.base.blame import blamed
from mars2_env.episode import Episode, Event, Submission
from mars2_env.errors import LogError, PolicyError, SandboxError, SandboxUnavailableError
from mars2_env.judge import Judge
from mars2_env.log import LogWriter, TraceWriter, Tree, follow, log_path, make_episode, tree_of
from mars2_env.sandbox import Sandbox, make_sandbox
from mars2_env.search.budget import Usage
from mars2_env.search.tree import checked_score
from mars2_env.tasks.absence import outlasting
from mars2_env.tasks.policies import check_rated, itself
from mars2_env.tasks.task import OnFault, Task
from mars2_env.types import Node, PublicView, RatesTested, Reply, RewardModel, Turn, Verdict

_shared: dict[str, Sandbox] = {}
_shared_lock = Lock()


def _new_lock() -> None:
    global _shared_lock
    _shared_lock = Lock()


os.register_at_fork(after_in_child=_new_lock)  # a thread that held it at the fork is not there to let go of it


def shared_sandbox(kind: str) -> Sandbox:
    """Return the sandbox of a kind that this process shares; it closes with the process.

    Raises:
        SandboxUnavailableError: there is none on this machine; the message says what to do.
    """
    with _shared_lock:
        if kind not in _shared:
            _shared[kind] = make_sandbox(kind)
        return _shared[kind]


def sandbox_of(task: Task) -> Sandbox:
    """Return the sandbox of a task: its own, or the one that this process shares for that kind."""
    return shared_sandbox(task.sandbox) if isinstance(task.sandbox, str) else task.sandbox


def begin(episode: Episode, seed: Verdict | SandboxError, on_fault: OnFault) -> None:
    """Begin a repair problem's episode with the verdict on its seed program; a fault ends it, or is raised."""
    if isinstance(seed, Verdict):
        episode.plant(seed)
    elif on_fault == "raise" or isinstance(seed, SandboxUnavailableError):
        raise seed
    else:
        episode.abandon(f"the seed program could not be graded: {seed}")


def void(episode: Episode, turn: Turn, error: SandboxError | PolicyError, on_fault: OnFault) -> None:
    """Void a turn after a fault of the sandbox or of its policy, or raise the fault.

    That there is no sandbox (any more) says nothing about the turn: it is raised in any case, and the turn stays open.
    """
    if on_fault == "raise" or isinstance(error, SandboxUnavailableError):
        raise error
    episode.fail(turn, str(error), "policy" if isinstance(error, PolicyError) else "sandbox")


def ratings(
    model: RewardModel, problem: PublicView, programs: Sequence[str], verdicts: Sequence[Verdict]
) -> list[float]:
    """Return what a reward model says of programs of one problem, one score in [0, 1] each.

    Args:
        model: the model; of its verdicts it sees what may be quoted, where it `RatesTested`.
        problem: what may be seen of the problem.
        programs: the programs.
        verdicts: one for each.

    Raises:
        PolicyError: it returned something else.
    """
    own = itself(model)
    with blamed("score() of the reward model", model):
        if keeps(own, RatesTested):
            scores = own.score_tested(problem, programs, [verdict.public for verdict in verdicts])
        else:
            scores = own.score(problem, programs)
    try:
        found = [checked_score(score) for score in scores]
        if len(found) == len(programs):
            return found
    except (TypeError, ValueError):
        pass
    one = len(programs) == 1
    count = "one program; one score in [0, 1] is" if one else f"{len(programs)} programs; one each in [0, 1] is"
    raise PolicyError(f"reward model {model!r:.200} returned {scores!r:.200} for {count} needed.") from None


class Match:
    """One play of a task on one problem: the episode, its events, its log, and the judge.

    `on_event`, if set, is called with each new event after it is written and before it takes effect.
    """

    def __init__(
        self,
        task: Task,
        problem: str,
        seed: int,
        *,
        out: str | Path | None = None,
        resume: bool = False,
    ) -> None:
        """Begin, or go on where the log in `out` stops.

        Args:
            task: what is played.
            problem: the id of the problem.
            seed: with the problem's id, the source of all randomness.
            out: run folder to log to; None keeps the events in memory alone.
            resume: whether a log that is there already is gone on with; else it is an error. A tree that ended by
                faults is taken up again.

        Raises:
            LogError: the log in `out` belongs to another configuration, or is there already and not to be resumed.
            ConfigError: the task's reward model learned from this problem.
        """
        self.task = task
        self._given_up = Flag()
        self.problem = task.problem(problem)
        check_rated(task.reward_model, [self.problem.public_view()])
        sandbox = sandbox_of(task)
        self.judge = Judge(sandbox, strict_types=task.strict_types)
        self.header = task.header(problem, seed, sandbox.identity)
        self.events: list[Event] = []
        self.writer = None if out is None else LogWriter(log_path(out, problem, seed), self.header, reopen=resume)
        self.on_event: Callable[[Event], None] | None = None
        self.episode: Episode = make_episode(
            self.header,
            self.problem.public_view(),
            task.selector,
            on_event=self._record,
            prompts=task.prompts,
            stop_when=task.stop_when,
        )
        self.traces = None if self.writer is None else TraceWriter(self.writer.path)
        if self.writer is not None:
            if self.writer.events and not resume:
                self.writer.close()
                raise LogError(
                    f"{self.writer.path} holds this tree already; environments begin trees and never resume them: "
                    "use another `out` folder (or seed), or `rollout` to resume."
                )
            try:
                self.events += self.writer.events
                follow(self.episode, self.events, self.writer.path)
                self.episode.settle()
            except BaseException:
                self.writer.close()
                raise

    def begin(self) -> None:
        """Grade and plant the program that a repair problem starts from; nothing where there is none.

        Raises:
            SandboxError: with `on_fault="raise"`, the sandbox could not decide.
        """
        if self.episode.awaits_seed:
            begin(self.episode, self.grade_seed(), self.task.on_fault)

    def grade_seed(self) -> Verdict | SandboxError:
        """Return the verdict on the program that a repair problem starts from, or the fault that lasted.

        A fault is tried again, `max_faults` times in all (once with `on_fault="raise"`). Safe to call from any thread.
        """
        submission = Submission(self.problem.seed_program, None)
        for _ in range(1 if self.task.on_fault == "raise" else self.task.rules.max_faults):
            found = self.grade(submission)
            if isinstance(found, Verdict | SandboxUnavailableError):
                break
        return found

    def _record(self, event: Event) -> None:
        if self.writer is not None:
            self.writer(event)
        self.events.append(event)
        if self.on_event is not None:
            self.on_event(event)

    def grade(self, submission: Submission) -> Verdict | SandboxError:
        """Return the verdict on a submission, or why the sandbox could not decide; what needs no running is not run.

        While the sandbox's engine is away it is waited for, a minute at most. Safe to call from several threads.
        """
        if submission.verdict is not None:
            return submission.verdict
        rules = self.task.rules
        grade = partial(self.judge.grade, self.problem, submission.program or "", tests=rules.tests, stop=rules.stop)
        try:
            return outlasting(grade, self._given_up.wait)
        except SandboxError as error:
            return error

    def tell(self, turn: Turn, reply: Reply, verdict: Verdict, usage: Usage | None = None) -> Node | None:
        """Tell the episode an outcome, with what a reward model says of the program, and return the node it added.

        Raises:
            PolicyError: the reward model did not return one score in [0, 1].
        """
        rating = None
        submission = self.episode.submit(turn, reply)
        if self.task.reward_model is not None and submission.program is not None and submission.duplicate_of is None:
            (rating,) = ratings(self.task.reward_model, self.episode.problem, [submission.program], [verdict])
        return self.episode.tell(turn, reply, verdict, model_score=rating, usage=usage)

    def fault(self, turn: Turn, error: SandboxError | PolicyError) -> None:
        """Void a turn after a fault of the sandbox or of its policy, or raise it where the task says so."""
        void(self.episode, turn, error, self.task.on_fault)

    def tree(self) -> Tree:
        """Return the tree as it stands."""
        path = None if self.writer is None else self.writer.path
        return tree_of(self.header, tuple(self.events), self.episode, path)

    def give_up(self) -> None:
        """Wait for no sandbox any more: gradings that do end at once."""
        self._given_up.set()

    def close(self) -> None:
        """Close the log; it can be resumed later."""
        self.give_up()
        if self.writer is not None:
            self.writer.close()
        if self.traces is not None:
            self.traces.close()
