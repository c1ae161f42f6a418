"""What a training is to be: checked before its first turn, and written into its folder, which takes no other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from mars2_agents.algorithms.lesson import Algorithm
from mars2_agents.algorithms.remembering import Remembering
from mars2_agents.training.evaluating import HeldOut, split_apart
from mars2_agents.training.order import steps_of_epoch
from mars2_agents.training.settings import Settings, Student, check_scored, check_students
from mars2_env.base.checks import function, instance, is_path
from mars2_env.base.journal import claim
from mars2_env.errors import ConfigError
from mars2_env.problems import ProblemSet
from mars2_env.tasks import Task, identity_of
from mars2_env.tasks import task as task_of

CLAIM: Final = "train.json"

_ADDRESS: Final = re.compile(r"\bat 0x[0-9a-fA-F]+")

FREE: Final = frozenset({"steps", "save_every", "deadline", "heartbeat", "policy_retries", "policy_failures"})
"""Settings that may be others when a training is gone on with: they decide no sample."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a training is to be.

    Attributes:
        task: what is played.
        team: agent -> student.
        students: name -> policy and learner.
        algorithm: from trees to what each student learns.
        settings: how to go about it.
        out: its folder.
        ids: the problems to train on.
        held: what is held out.
        evaluation: the task that is evaluated on; None where nothing is held out.
    """

    task: Task
    team: Mapping[str, str]
    students: Mapping[str, Student]
    algorithm: Algorithm
    settings: Settings
    out: Path
    ids: tuple[str, ...]
    held: HeldOut | None
    evaluation: Task | None

    @property
    def batches(self) -> dict[str, int]:
        """Student that learns -> the samples of an update."""
        learning = {name: one for name, one in self.students.items() if one.learner is not None}
        return {name: one.batch or self.settings.batch for name, one in learning.items()}

    def config(self) -> dict[str, Any]:
        """Return what decides the samples and updates of the training, as plain data."""
        held = self.evaluation
        return {
            "task": self.task.config(),
            "problems": self.task.problems.hash,
            "trained": list(self.ids),
            "held_out": None if held is None else {"task": held.config(), "problems": held.problems.hash},
            "team": dict(self.team),
            "batches": self.batches,
            "students": {name: described(one) for name, one in self.students.items()},
            "algorithm": name_of(self.algorithm),
            "settings": {name: value for name, value in asdict(self.settings).items() if name not in FREE},
        }


def planned(
    task: str | ProblemSet | Task,
    team: Mapping[str, str],
    students: Mapping[str, Student],
    algorithm: Algorithm,
    settings: Settings | None,
    out: str | Path,
    held_out: HeldOut | str | Sequence[str] | ProblemSet | None,
    problems: Sequence[str] | None,
) -> Plan:
    """Return the plan of a training, and hold its folder to it. Arguments and errors are those of `train`."""
    task, settings = task_of(task), settings or Settings()
    instance("settings", settings, Settings, "a Settings", where="train")
    function("algorithm", algorithm, where="train")
    if not is_path(out):
        raise ConfigError(f"train(out={out!r:.200}) is not a folder.")
    check_scored(task)
    check_students(task, team, students)
    held = held_out if isinstance(held_out, HeldOut | None) else HeldOut(held_out)
    ids, evaluation = split_apart(task, held, problems)
    steps_of_epoch(len(ids), settings.problems)
    found = Plan(task, dict(team), dict(students), algorithm, settings, Path(out), tuple(ids), held, evaluation)
    claim(found.out / CLAIM, found.config())
    return found


def without_hidden(task: Task) -> Task:
    """Return a task whose problems have no hidden tests, for what trains to look at."""
    problems = tuple(replace(problem, hidden=()) for problem in task.problems)
    return replace(task, problems=replace(task.problems, problems=problems))


def name_of(algorithm: Any) -> str:
    """Return what a training's folder knows an algorithm by: its name, with the options that can be told.

    Of a function made by another one, such as `heterogeneous(gamma=0.0)`, these are the values that it was made with.
    """
    if isinstance(algorithm, partial):
        options = [repr(one) for one in algorithm.args] + [f"{k}={v!r}" for k, v in sorted(algorithm.keywords.items())]
        return f"{name_of(algorithm.func)}({', '.join(options)})"
    if isinstance(algorithm, Remembering):  # what it remembers is no part of what it is
        return name_of(algorithm.algorithm)
    if not _is_function(algorithm):
        return identity_of(algorithm)
    name = f"{algorithm.__module__}.{algorithm.__qualname__}"
    made_with = dict(zip(algorithm.__code__.co_freevars, algorithm.__closure__ or (), strict=True))
    options = [f"{key}={text}" for key, cell in made_with.items() if (text := _value_of(cell.cell_contents))]
    return f"{name}({', '.join(options)})" if options else name


def _is_function(value: Any) -> bool:
    return hasattr(value, "__code__") and hasattr(value, "__qualname__")


def _value_of(value: Any) -> str:
    """Return a value that an algorithm was made with, if it says the same in every process; "" if not."""
    if _is_function(value):
        return name_of(value)
    text = repr(value)
    return "" if _ADDRESS.search(text) or isinstance(value, set | frozenset) else text


def described(student: Student) -> dict[str, Any]:
    """Return what a training's folder knows a student by: kinds and settings, but not weights that change."""
    policy, learner = student.policy, getattr(student.learner, "own", student.learner)  # over however many processes
    if student.learner is None:
        return {"fixed": identity_of(policy)}
    found: dict[str, Any] = {"policy": type(policy).__qualname__, "learner": type(learner).__qualname__}
    for name, one in (("sampling", getattr(policy, "settings", None)), ("optimising", _optimising(learner))):
        if is_dataclass(one) and not isinstance(one, type):
            found[name] = asdict(one)
    return found


def _optimising(learner: Any) -> Any:
    return getattr(learner, "optimising", None)
