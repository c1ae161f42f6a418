"""Growing the trees of steps: one after the other, or ahead in a thread while others are learnt from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any, Final

from mars2_agents.training.order import problems_of
from mars2_agents.training.pacing import SLICE, Pacer, Pulse
from mars2_agents.training.settings import Settings
from mars2_env.base.keys import seed
from mars2_env.engine import Observer, Trees, rollout
from mars2_env.errors import LogError
from mars2_env.log import Tree
from mars2_env.tasks import Task
from mars2_env.types import Policy

PATIENCE: Final = 10.0
"""Seconds that whoever closes a training waits for the thread that grows trees."""


class Seated:
    """A student's policy as run folders know it: by the student's name, since its weights change as it learns.

    All else is the policy's own.
    """

    def __init__(self, name: str, policy: Policy) -> None:
        self._name = name
        self._policy = policy

    def __getattr__(self, name: str) -> Any:
        if name == "_policy":  # a copy that is not filled yet
            raise AttributeError(name)
        return getattr(self._policy, name)

    def __repr__(self) -> str:
        return f"Seated({self._name!r}, {self._policy!r})"

    @property
    def identity(self) -> str:
        """The student's name."""
        return f"student:{self._name}"


def seated(team: Mapping[str, str], policies: Mapping[str, Policy]) -> dict[str, Policy]:
    """Return agent -> what acts for it; agents of one student have one object."""
    seats = {name: Seated(name, policy) for name, policy in policies.items()}
    return {agent: seats[name] for agent, name in team.items()}


class Grower:
    """Grows the trees of a step.

    Args:
        task: what is played.
        team: agent -> what acts for it.
        ids: the problems to train on.
        out: the training's folder.
        settings: of the training.
        observer: called with each event.
    """

    def __init__(
        self,
        task: Task,
        team: Mapping[str, Policy],
        ids: Sequence[str],
        out: Path,
        settings: Settings,
        observer: Observer,
    ) -> None:
        self._task = task
        self._team = dict(team)
        self._ids = tuple(ids)
        self._out = out
        self._settings = settings
        self._observer = observer
        self._growing: Trees | None = None
        self._stopped = False

    def grow(self, step: int) -> list[Tree]:
        """Return the trees of a step, counted from 1, in the order of its problems; fewer where it was stopped.

        They are logged in a folder of their own, in which a step that was cut off goes on.

        Raises:
            LogError: another run is growing one of them.
            Mars2Error: as `rollout` raises.
        """
        settings = self._settings
        ids = problems_of(step - 1, self._ids, settings.problems, settings.seed)
        self._growing = growing = rollout(
            self._task,
            self._team,
            seed=seed("train", settings.seed, step),
            out=self._out / "rollouts" / f"{step:06d}",
            problems=ids,
            trees=settings.trees or len(ids),
            batch=settings.turns,
            in_flight=settings.in_flight,
            policy_retries=settings.policy_retries,
            policy_failures=settings.policy_failures,
            deadline=settings.deadline,
            observer=self._observer,
        )
        if self._stopped:
            growing.close()
        with growing:
            found = {tree.problem: tree for tree in growing}
        if growing.skipped:
            raise LogError(f"{self._out}: another run is growing {growing.skipped[0]!r} of step {step}; wait for it.")
        return [found[problem] for problem in ids if problem in found]

    def stop(self) -> None:
        """End what grows now, within some seconds; it can be gone on with."""
        self._stopped = True
        if self._growing is not None:
            self._growing.close()


@dataclass(frozen=True, slots=True)
class Grown:
    """The trees of a step, and the seconds that they took."""

    step: int
    trees: tuple[Tree, ...]
    seconds: float


def in_turn(grower: Grower, steps: range, clock: Callable[[], float]) -> Iterator[Grown]:
    """Yield the trees of each step, which grow when they are asked for."""
    for step in steps:
        begun = clock()
        trees = grower.grow(step)
        yield Grown(step, tuple(trees), clock() - begun)


class Ahead(Iterator[Grown]):
    """The trees of each step, which grow in a thread of their own, as far ahead as a pacer lets them.

    Args:
        grower: grows the trees of a step.
        steps: which.
        team: agent -> policy.
        pacer: says when.
        pulse: of all that is waited for.
        clock: returns seconds, from any beginning.
    """

    def __init__(
        self,
        grower: Grower,
        steps: range,
        team: Mapping[str, str],
        pacer: Pacer,
        pulse: Pulse,
        clock: Callable[[], float],
    ) -> None:
        self._grower = grower
        self._steps = steps
        self._team = dict(team)
        self._pacer = pacer
        self._pulse = pulse
        self._clock = clock
        self._came: Queue[Grown | BaseException | None] = Queue()
        self._thread: Thread | None = None

    def __next__(self) -> Grown:
        """Return the next step's trees; what ended their growing is raised here.

        Raises:
            PolicyError: nothing has moved for too long.
        """
        if self._thread is None:
            self._thread = Thread(target=self._run, name="mars2-growing", daemon=True)
            self._thread.start()
        while True:
            try:
                came = self._came.get(timeout=SLICE)
                break
            except Empty:
                self._pulse.check("trees to grow")
        if came is None:
            raise StopIteration
        if isinstance(came, BaseException):
            raise came
        return came

    def close(self) -> None:
        """Grow nothing more, within some seconds; what grows now can be gone on with. Idempotent."""
        self._pacer.close()
        self._grower.stop()
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def _run(self) -> None:
        try:
            for step in self._steps:
                if not self._pacer.may_grow():
                    return
                begun = self._clock()
                trees = self._grower.grow(step)
                self._pacer.grown(step, Counter(self._team[node.agent] for tree in trees for node in tree.nodes))
                self._came.put(Grown(step, tuple(trees), self._clock() - begun))
            self._came.put(None)
        except BaseException as error:  # whoever waits is told, whatever it is
            self._came.put(error)
