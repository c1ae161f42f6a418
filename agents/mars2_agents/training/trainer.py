"""Training: trees are grown, an algorithm makes lessons of them, each policy updates when its buffer holds a batch.

    for report in train(task, team, students=students, algorithm=heterogeneous(), settings=Settings(), out="runs/t"):
        print(report.step, report.values["train/solve_rate"])

The same call goes on where a run was cut off, however it ended. Trees in flight are gone on with inside (`rollout`);
what was learnt since the last checkpoint is learnt again, from the same logs, in the same order. With `sync` nothing
depends on when that was, up to rounding: a step that is gone on with inside asks a policy about other turns together
than the whole step would have, and rows of other batches round otherwise. A policy that takes one turn at a time
(`batch_size=1` of `TransformersPolicy`) on a fixed number of threads comes to the same weights, bit by bit.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from mars2_agents.algorithms.lesson import Algorithm, Crew, Encodes, Lesson, Remembers
from mars2_agents.learners.updating import Report, update
from mars2_agents.training.buffers import Buffer, Counts
from mars2_agents.training.checkpoints import folder_of, load_checkpoint, save_checkpoint
from mars2_agents.training.evaluating import Evaluation, HeldOut, evaluated, hard_coding
from mars2_agents.training.filtering import kept_samples, kept_trees
from mars2_agents.training.growing import Ahead, Grower, Grown, in_turn, seated
from mars2_agents.training.measures import Measures
from mars2_agents.training.pacing import Heartbeat, Pacer, Pulse
from mars2_agents.training.plan import Plan, planned, without_hidden
from mars2_agents.training.progress import Numbers, Progress, Silent, summary
from mars2_agents.training.settings import Settings, Student
from mars2_agents.training.telling import step_measures, warnings_of
from mars2_agents.training.weights import deliver
from mars2_env.base.abilities import keeps
from mars2_env.credit import Sample
from mars2_env.episode import Event
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.log import Header, Trace
from mars2_env.problems import ProblemSet
from mars2_env.render.metrics import MetricsKind
from mars2_env.tasks import Task

_log = logging.getLogger(__name__)

GROW: Final = "grow"
WAIT: Final = "wait"

NOT_TRAINED: Final = "not trained"
"""Why samples of a fixed partner are left out."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step came to.

    Attributes:
        step: counted from 1.
        problems: whose trees were grown, in order.
        values: every number of the step by its name, as the metrics have it.
        counts: policy -> what became of all that ever came for it.
        updates: policy -> what each of its updates came to, in order.
        versions: policy -> the version of its weights.
        evaluation: on held-out problems, where it was due.
        warnings: what somebody should look at.
    """

    step: int
    problems: tuple[str, ...]
    values: Measures
    counts: Mapping[str, Counts]
    updates: Mapping[str, tuple[Report, ...]]
    versions: Mapping[str, int]
    evaluation: Evaluation | None = None
    warnings: tuple[str, ...] = ()


def train(
    task: str | ProblemSet | Task,
    team: Mapping[str, str],
    *,
    students: Mapping[str, Student],
    algorithm: Algorithm,
    settings: Settings | None = None,
    out: str | Path,
    held_out: HeldOut | str | Sequence[str] | ProblemSet | None = None,
    problems: Sequence[str] | None = None,
    metrics: Sequence[MetricsKind] = ("jsonl",),
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Training:
    """Train a team, and yield a report of each step; steps that were made earlier, in the same folder, are over.

    Args:
        task: what is played: a task, or what `mars2_env.task` makes one of. It scores on `scoring` tests.
        team: agent -> the name of the student that acts for it; several agents may share one.
        students: name -> policy and learner; one without a learner is a fixed partner, which acts and never learns.
        algorithm: from trees to what each student learns. An update is made by the loss of the latest lesson.
        settings: how to go about it.
        out: the folder of the training, in which the same call goes on.
        held_out: what it is evaluated on: a `HeldOut`, or only its problems. None: nothing.
        problems: ids of the problems to train on; by default all of the task's but those held out.
        metrics: where numbers go: `jsonl`, `tensorboard`, `trackio`.
        progress: is told where the training stands (`mars2_agents.training.progress.Shown`).
        clock: returns seconds, from any beginning.

    Raises:
        ConfigError: something does not fit, or could not be learnt from.
        LogError: `out` holds another training; the message names what differs.
    """
    plan = planned(task, team, students, algorithm, settings, out, held_out, problems)
    return Training(plan, metrics, progress or Silent(), clock)


class Training(Iterator[StepReport]):
    """A training, step by step. Leave it by `close`, or by `with`; what is written can be gone on with.

    Attributes:
        step: how many steps are done.
        hard_coding: the share of held-out problems that copying the public examples solves; None before the first step,
            and where nothing is held out.
    """

    def __init__(
        self, plan: Plan, metrics: Sequence[MetricsKind], progress: Progress, clock: Callable[[], float]
    ) -> None:
        settings = plan.settings
        self.hard_coding: float | None = None
        self._plan, self._progress, self._clock = plan, progress, clock
        self._pulse = Pulse(settings.silence, clock)
        self._heartbeat = Heartbeat(plan.out / "heartbeat.json", settings.heartbeat, progress.line, clock)
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._learners = {name: one.learner for name, one in plan.students.items() if one.learner is not None}
        self._buffers = {name: Buffer(plan.batches.get(name, settings.batch)) for name in plan.students}
        policies = {name: one.policy for name, one in plan.students.items()}
        encoders = {name: one for name, one in policies.items() if name in self._learners and keeps(one, Encodes)}
        self._crew = Crew(plan.team, encoders, without_hidden(plan.task))
        self._seats = seated(plan.team, policies)
        self._from = load_checkpoint(plan.out, self._learners, self._buffers)
        self.step = 0 if self._from is None else self._from.step
        if self._from is not None and self._from.memory is not None and isinstance(plan.algorithm, Remembers):
            plan.algorithm.remember(self._from.memory)
        self._numbers = Numbers(plan.out, metrics, None if self._from is None else self.step)
        self._pacer = Pacer(plan.batches, settings.max_staleness, self._pulse)
        self._pacer.learnt(self.step, self._waiting())
        grower = Grower(plan.task, self._seats, plan.ids, plan.out, settings, self._observe)
        steps = range(self.step + 1, settings.steps + 1)
        self._source: Iterator[Grown] = (
            in_turn(grower, steps, clock)
            if settings.sync
            else Ahead(grower, steps, plan.team, self._pacer, self._pulse, clock)
        )
        self._begun = self._closed = False

    def __iter__(self) -> Training:
        return self

    def __enter__(self) -> Training:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __next__(self) -> StepReport:
        """Make a step, write it down, and return what it came to.

        Raises:
            Mars2Error: as what it is made of raises; what is written can be gone on with.
        """
        if self._closed:
            raise StopIteration
        try:
            if not self._begun:
                self._begin()
            phase = GROW if self._plan.settings.sync else WAIT
            with self._phase(self.step + 1, phase, "growing trees"):
                grown = next(self._source)
            report = self._learn(grown)
            self._write(report)
        except BaseException:
            self.close()
            raise
        return report

    def close(self) -> None:
        """End the training, within some seconds. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if isinstance(self._source, Ahead):
            self._source.close()
        self._heartbeat.stop()
        self._numbers.close()

    def _begin(self) -> None:
        """Give policies the weights that learners have, and see where the team, and copying, stand before training."""
        self._begun = True
        self._heartbeat.start()
        for name, learner in self._learners.items():
            if learner.version > 0 or getattr(learner, "is_adapter", False):
                self._deliver(name)
        if self._from is not None:
            self._from.set_random()
        plan = self._plan
        if plan.evaluation is None:
            return
        with self._phase(self.step, "evaluate", "evaluating the copying of examples"):
            self.hard_coding = hard_coding(plan.evaluation, plan.out / "hard_coding", plan.settings)
        self._progress.line(f"copying the public examples solves {self.hard_coding:.3f} of the held-out problems")
        if self._from is None and plan.held is not None:
            values = self._held_out_values(self._evaluate(0, plan.held, plan.evaluation))
            self._numbers.write(0, values)
            self._save(0)
            self._progress.line(summary(0, plan.settings.steps, values, self._versions()))

    def _learn(self, grown: Grown) -> StepReport:
        """Learn from the trees of a step, as far as there are batches."""
        step, plan = grown.step, self._plan
        trees, without = kept_trees(grown.trees, plan.settings.filtering)
        for tree, why in without:
            for name, nodes in Counter(plan.team[node.agent] for node in tree.nodes).items():
                self._buffers[name].filter({why: nodes})
        with self._phase(step, "lessons", "making lessons"):
            lessons = plan.algorithm(trees, self._crew) if trees else {}
        kept: list[Sample] = []
        reports: dict[str, tuple[Report, ...]] = dict.fromkeys(plan.students, ())
        for name, lesson in lessons.items():
            kept += self._take(name, lesson)
            if name not in self._learners:
                continue
            with self._phase(step, "update", f"updating {name}"):
                reports[name] = tuple(self._updates(name, lesson))
            if any(report.updates for report in reports[name]):
                with self._phase(step, "deliver", f"giving {name} its new weights"):
                    self._deliver(name)
        self._pacer.learnt(step, self._waiting())
        evaluation = None
        if plan.held is not None and plan.evaluation is not None and plan.held.due(step, plan.settings.steps):
            evaluation = self._evaluate(step, plan.held, plan.evaluation)
        counts = {name: buffer.counts for name, buffer in self._buffers.items()}
        values = step_measures(grown.trees, kept, plan.team, reports, counts)
        values |= self._held_out_values(evaluation)
        self._seconds[GROW] = grown.seconds
        values |= {f"seconds/{phase}": seconds for phase, seconds in self._seconds.items()}
        self._seconds.clear()
        return StepReport(
            step,
            tuple(tree.problem for tree in grown.trees),
            values,
            counts,
            reports,
            self._versions(),
            evaluation,
            tuple(warnings_of(values, plan.team)),
        )

    def _write(self, report: StepReport) -> None:
        """Write a step down: its numbers first, which are taken back where the checkpoint does not come to be."""
        step, settings = report.step, self._plan.settings
        self._numbers.write(step, report.values)
        if step % settings.save_every == 0 or step == settings.steps:
            self._save(step)
        self.step = step
        self._progress.line(summary(step, settings.steps, report.values, report.versions))
        for warning in report.warnings:
            _log.warning("step %d: %s", step, warning)

    def _save(self, step: int) -> None:
        with self._phase(step, "save", "saving"):
            algorithm = self._plan.algorithm
            memory = algorithm.memory if isinstance(algorithm, Remembers) else None
            save_checkpoint(self._plan.out, step, self._learners, self._buffers, memory)

    def _take(self, name: str, lesson: Lesson) -> list[Sample]:
        """Let the samples of a lesson wait, and return them; those that teach nothing are counted."""
        if name not in self._buffers:
            raise ConfigError(f"train: the algorithm has a lesson for {unknown_name('student', name, self._buffers)}")
        self._buffers[name].filter(lesson.left_out)
        if name not in self._learners:
            self._buffers[name].filter({NOT_TRAINED: len(lesson.samples)})
            return []
        kept, without = kept_samples(lesson.samples, self._learners[name].context)
        self._buffers[name].filter(without)
        self._buffers[name].add(kept)
        return kept

    def _updates(self, name: str, lesson: Lesson) -> Iterator[Report]:
        """Update a policy as often as its buffer holds a batch."""
        settings = self._plan.settings
        while batch := self._buffers[name].take():
            yield update(
                self._learners[name],
                batch,
                lesson.loss,
                reference=lesson.reference,
                minibatches=settings.minibatches,
                epochs=settings.epochs,
            )
            self._pulse.beat()

    def _deliver(self, name: str) -> None:
        """Export a learner's weights and give them to the policy that acts."""
        folder = self._plan.out / "weights" / folder_of(name)
        learner = self._learners[name]
        new = folder / f"{learner.version:08d}"
        deliver(self._plan.students[name].policy, learner.export(new))
        others = sorted(one for one in folder.iterdir() if one != new) if folder.is_dir() else []
        # A server may still be reading those from before; later ones are of a run that was cut off.
        before = [one for one in others if one.name.isdecimal() and one < new][-1:]
        for old in others:
            if old not in before:
                shutil.rmtree(old, ignore_errors=True)

    def _evaluate(self, step: int, held: HeldOut, task: Task) -> Evaluation:
        plan = self._plan
        with self._phase(step, "evaluate", "evaluating"):
            folder = plan.out / "evaluations" / f"{step:06d}"
            return evaluated(task, self._seats, held, folder, plan.settings, step=step, observer=self._observe)

    def _held_out_values(self, evaluation: Evaluation | None) -> Measures:
        found = {} if self.hard_coding is None else {"baseline/hard_coding": self.hard_coding}
        if evaluation is None:
            return found
        missing = {"eval/missing": float(evaluation.missing)}
        return found | missing | {f"eval/{name}": value for name, value in evaluation.measures.items()}

    def _waiting(self) -> dict[str, int]:
        return {name: len(self._buffers[name]) for name in self._learners}

    def _versions(self) -> dict[str, int]:
        return {name: learner.version for name, learner in self._learners.items()}

    def _observe(self, header: Header, event: Event, trace: Trace | None) -> None:
        self._pulse.beat()
        self._progress(header, event, trace)

    @contextmanager
    def _phase(self, step: int, phase: str, doing: str) -> Iterator[None]:
        """Measure a phase of a step, and tell what is being done."""
        self._pulse.beat()
        self._heartbeat.enter(step, doing)
        self._progress.enter(step, self._plan.settings.steps, doing)
        begun = self._clock()
        try:
            yield
        finally:
            self._seconds[phase] += self._clock() - begun
            self._pulse.beat()
