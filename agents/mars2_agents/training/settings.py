"""How a training goes about it, who learns in it, and what is refused before its first turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mars2_agents.learners.updating import Learns
from mars2_agents.training.filtering import LEFT_OUT, LeftOut
from mars2_env.base.abilities import keeps
from mars2_env.base.checks import flag, instance, one_of, real_number, whole_number
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.tasks import Task
from mars2_env.types import Gives, Policy

NEEDED: Final = ("token_ids", "logprobs")
"""What the generations of a policy that learns have to tell."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a training goes about it.

    Attributes:
        steps: how many times trees are grown and learnt from.
        problems: of a step, one tree each; at most as many as there are.
        batch: the samples of an update, of a policy that says nothing else (`Student.batch`).
        minibatches: updates of an epoch over a batch.
        epochs: how often a batch is gone through.
        seed: the source of the order of problems and of the luck of trees.
        filtering: trees that teach nothing, to be left out and counted: of "all_solved" and "none_solved".
        sync: whether trees are grown, then learnt from, then grown again; else they are grown while others are learnt
            from, and runs are not repeatable.
        max_staleness: without `sync`, how many updates may be due, of any policy, when the trees of a step begin.
        trees: how many trees grow at a time; those of a step by default.
        turns: how many turns are handed to policies at a time; as in `rollout` by default.
        in_flight: how many expansions of one tree may be open.
        policy_retries: how often a call of a policy that raised is made again.
        policy_failures: after so many failed turns of a policy in a row the training ends.
        save_every: steps between two checkpoints; what lies between is made again from logs.
        deadline: seconds that one call of a policy may take, and that anything may go without a sign of life.
        heartbeat: seconds between two signs of life.
    """

    steps: int = 100
    problems: int = 16
    batch: int = 128
    minibatches: int = 1
    epochs: int = 1
    seed: int = 0
    filtering: tuple[LeftOut, ...] = ()
    sync: bool = True
    max_staleness: int = 1
    trees: int | None = None
    turns: int | None = None
    in_flight: int = 1
    policy_retries: int = 1
    policy_failures: int = 20
    save_every: int = 1
    deadline: float = 3600.0
    heartbeat: float = 30.0

    def __post_init__(self) -> None:
        least = {"seed": 0, "max_staleness": 0, "policy_retries": 0}
        for name in (
            "steps",
            "problems",
            "batch",
            "minibatches",
            "epochs",
            "seed",
            "max_staleness",
            "in_flight",
            "policy_retries",
            "policy_failures",
            "save_every",
        ):
            whole_number(name, getattr(self, name), least=least.get(name, 1), where="Settings")
        for name in ("trees", "turns"):
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name), where="Settings")
        for name in ("deadline", "heartbeat"):
            object.__setattr__(self, name, real_number(name, getattr(self, name), above=0, where="Settings"))
        flag("sync", self.sync, where="Settings")
        given = (self.filtering,) if isinstance(self.filtering, str) else tuple(self.filtering)
        for one in given:
            one_of("filtering", one, LEFT_OUT, where="Settings")
        object.__setattr__(self, "filtering", given)
        if self.batch < self.minibatches:
            raise ConfigError(
                f"Settings(batch={self.batch}, minibatches={self.minibatches}): a batch of so few samples makes fewer "
                "updates; ask for less."
            )

    @property
    def silence(self) -> float:
        """Seconds without a sign of life after which a training takes what it waits for to be gone.

        A call of a policy is silent for its deadline, and so is each time that it is made again.
        """
        return (self.policy_retries + 1) * self.deadline + 2 * self.heartbeat


@dataclass(frozen=True, slots=True)
class Student:
    """One policy that learns, or a fixed partner of those that do.

    Attributes:
        policy: what acts for its agents. It begins with the weights that the learner has.
        learner: what makes new weights for it. None: it acts and never learns, and may be any policy.
        batch: the samples of an update; `Settings.batch` by default.
    """

    policy: Policy
    learner: Learns | None = None
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.batch is not None:
            whole_number("batch", self.batch, where="Student")


def check_students(task: Task, team: Mapping[str, str], students: Mapping[str, Student]) -> None:
    """Check that every agent has a student, every student an agent, and that what learners sample can be learnt from.

    Raises:
        ConfigError: one has not; none has a learner; or one that has samples greedily, or not from its whole
            distribution, or what it writes tells no tokens and log-probabilities.
    """
    instance("students", students, Mapping, "a mapping from the names of policies to Students", where="train")
    instance("team", team, Mapping, "a mapping from agents to the names of policies", where="train")
    for name, student in students.items():
        instance(f"students[{name!r}]", student, Student, "a Student(policy, learner)", where="train")
    if set(team) != set(task.agents):
        raise ConfigError(f"train: the team is for {sorted(team)}, and the task's agents are {sorted(task.agents)}.")
    for agent, name in team.items():
        if name not in students:
            raise ConfigError(f"train: {agent} is played by {unknown_name('student', str(name), students)}")
    if idle := sorted(set(students) - set(team.values())):
        raise ConfigError(f"train: nobody is played by student {idle[0]!r}; give it an agent, or leave it out.")
    learning = {name: student for name, student in students.items() if student.learner is not None}
    if not learning:
        raise ConfigError("train: no student has a learner, so there is nothing to train; give one of them a learner.")
    if len({id(student.learner) for student in learning.values()}) < len(learning):
        raise ConfigError("train: two students have one learner; agents that share weights share one student.")
    for name, student in learning.items():
        _check_sampling(name, student.policy)


def check_scored(task: Task) -> None:
    """Check that a task's rewards come from tests that are never quoted and are not those of evaluation.

    Raises:
        ConfigError: they come from public tests, which a program can hard-code.
    """
    if task.rules.score_on != "scoring":
        raise ConfigError(
            f"train: this task scores on {task.rules.score_on!r} tests, which prompts quote, so that programs that "
            "hard-code them would be learnt. Use a training set, whose problems have scoring tests, and "
            "score_on='scoring'."
        )


def _check_sampling(name: str, policy: Policy) -> None:
    if keeps(policy, Gives) and (lacking := [one for one in NEEDED if one not in policy.gives]):
        raise ConfigError(f"train: the replies of student {name!r} do not tell their {lacking[0]}; use another policy.")
    for one in [policy, *_members(policy)]:
        settings = getattr(one, "settings", None)
        temperature, top_p, top_k = (getattr(settings, key, None) for key in ("temperature", "top_p", "top_k"))
        if temperature == 0:
            raise ConfigError(f"train: student {name!r} samples greedily; sample at temperature=1, say.")
        if top_p is not None and top_p < 1:
            raise ConfigError(
                f"train: student {name!r} samples with top_p={top_p}, so that what it may write is not what is learnt; "
                "give it top_p=1 (0.95 is the default of policies)."
            )
        if top_k:
            raise ConfigError(
                f"train: student {name!r} samples with top_k={top_k}, so that what it may write is not what "
                "is learnt; give it top_k=0."
            )


def _members(policy: Any) -> Sequence[Any]:
    """Return the policies that a policy is made of, such as replicas."""
    found = getattr(policy, "policies", None) or getattr(policy, "members", None) or ()
    return list(found.values() if isinstance(found, Mapping) else found)
