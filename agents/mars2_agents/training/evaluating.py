"""Evaluation while training goes on: a team on held-out problems, whose hidden tests nothing else ever sees.

Search goes by public tests, as at inference; hidden tests are opened when the trees are finished, by `evaluate`. Of a
tree of 16 nodes the first 8 are what a budget of 8 would have given, so that one search tells Pass@1(MCTS) at each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from mars2_agents.training.measures import NODES, Measures, of_trees, pass_at_1, pass_at_n, told
from mars2_agents.training.settings import Settings
from mars2_env.base.checks import instance, whole_number
from mars2_env.base.journal import read_journal
from mars2_env.base.keys import seed
from mars2_env.engine import Observer, rollout
from mars2_env.errors import ConfigError
from mars2_env.log import Tree
from mars2_env.problems import ProblemSet
from mars2_env.results import evaluate
from mars2_env.results.verdicts import HIDDEN_FILE, HiddenVerdict, key_of
from mars2_env.tasks import Task, sandbox_of
from mars2_env.tasks import task as task_of
from mars2_env.testing import HardCodingPolicy
from mars2_env.types import Policy

OPTIONS: Final = frozenset({"selector", "prompts", "sandbox", "limits", "agents", "reward_model", "model_weight"})
"""What of a task an evaluation may do otherwise than training, besides its problems and its budget."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What a training is evaluated on.

    Attributes:
        problems: ids of the task's own problems, which are then not trained on; or a split of its set; or a set.
        every: steps between two evaluations; there is one before the first step and one after the last in any case.
        nodes: of a tree.
        at: after how many nodes Pass@1(MCTS) is looked at.
        limit: only the first so many problems.
        options: what the task does otherwise (`mars2_env.task`), such as {"selector": "ab_mcts_a"}.
    """

    problems: str | Sequence[str] | ProblemSet
    every: int = 10
    nodes: int = 16
    at: tuple[int, ...] = NODES
    limit: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        whole_number("every", self.every, where="HeldOut")
        whole_number("nodes", self.nodes, where="HeldOut")
        if self.limit is not None:
            whole_number("limit", self.limit, where="HeldOut")
        for one in self.at:
            whole_number("at", one, where="HeldOut")
        object.__setattr__(self, "at", tuple(one for one in self.at if one <= self.nodes))
        instance("options", self.options, Mapping, "a mapping from options of a task to values", where="HeldOut")
        if strange := sorted(set(self.options) - OPTIONS):
            raise ConfigError(f"HeldOut(options): {strange[0]!r} is none of {', '.join(sorted(OPTIONS))}.")

    def due(self, step: int, steps: int) -> bool:
        """Whether there is an evaluation after so many of all steps."""
        return step % self.every == 0 or step == steps


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a team came to on held-out problems.

    Attributes:
        step: after how many steps of training.
        trees: how many finished.
        missing: how many did not, by faults.
        measures: the team's, by name: Pass@1(MCTS) after so many nodes, Pass@N, and Pass@1, the team's and agents'.
    """

    step: int
    trees: int
    missing: int
    measures: Measures


def split_apart(task: Task, held: HeldOut | None, problems: Sequence[str] | None) -> tuple[list[str], Task | None]:
    """Return the ids of the problems to train on, and the task that is evaluated on, all of whose problems are played.

    Args:
        task: what is trained on.
        held: what is held out.
        problems: ids of the problems to train on; by default all of the task's but those held out.

    Raises:
        ConfigError: a problem would be trained and evaluated on, there is none left to train on, or a held-out one has
            no hidden tests.
    """
    chosen = None if problems is None else list(dict.fromkeys(task.problem(id).id for id in problems))
    if held is None:
        return chosen or [problem.id for problem in task.problems], None
    if isinstance(held.problems, str):
        found = task.on_split(held.problems).problems
    elif isinstance(held.problems, ProblemSet):
        found = held.problems
    else:
        own = [task.problems[id] for id in dict.fromkeys(held.problems)]
        found = ProblemSet(task.problems.name, tuple(own), f"{task.problems.split} (held out)", task.problems.use)
    found = ProblemSet(found.name, found.problems[: held.limit], found.split, found.use, provenance=found.provenance)
    if not len(found):
        raise ConfigError("train: there are no held-out problems; name some, or give held_out=None.")
    if chosen is None:
        apart = isinstance(held.problems, str | ProblemSet)
        chosen = [problem.id for problem in task.problems if apart or problem.id not in found]
    if not chosen:
        raise ConfigError("train: all problems are held out, so there is none to train on.")
    _check_disjoint([task.problems[id] for id in chosen], found)
    if lacking := found.lacking(["hidden"]):
        raise ConfigError(f"train: held-out problem {lacking[0]!r} has no hidden tests to evaluate on.")
    options: dict[str, Any] = {"budget": held.nodes, "score_on": "public", "stop_on_solved": False, **held.options}
    return chosen, replace(task_of(task, **options), problems=found, source={}, id=None)


def _check_disjoint(trained: Iterable[Any], held: ProblemSet) -> None:
    texts = {problem.statement.strip(): problem.id for problem in held}
    for problem in trained:
        if problem.id in held:
            raise ConfigError(f"train: problem {problem.id!r} is held out and trained on; it can be one of them only.")
        if (same := texts.get(problem.statement.strip())) is not None:
            raise ConfigError(
                f"train: problem {problem.id!r} has the statement of the held-out problem {same!r}; leave one out."
            )


def evaluated(
    task: Task,
    team: Mapping[str, Policy],
    held: HeldOut,
    out: Path,
    settings: Settings,
    *,
    step: int = 0,
    observer: Observer | None = None,
) -> Evaluation:
    """Return what a team comes to on held-out problems; one luck whatever the step, and gone on with where cut off.

    Args:
        task: that of evaluation (`split_apart`).
        team: agent -> what acts for it.
        held: what is looked at.
        out: the folder of this evaluation.
        settings: of the training.
        step: after how many of its steps.
        observer: called with each event.

    Raises:
        ConfigError: no tree was finished.
        Mars2Error: as `rollout` and `evaluate` raise.
    """
    trees = _grown(task, team, out, settings, observer)
    verdicts = _verdicts(out)
    passed = [hidden_outcomes(tree, verdicts) for tree in trees]
    measures = of_trees(trees, passed, held.at)
    fresh = {f"pass_at_1/{agent}": pass_at_1(trees, passed, [agent]) for agent in task.agents}
    return Evaluation(step, len(trees), len(task.problems) - len(trees), measures | told(fresh))


def hard_coding(task: Task, out: Path, settings: Settings) -> float:
    """Return the share of held-out problems that the quoted examples alone solve, by hidden tests.

    Args:
        task: that of evaluation.
        out: the folder of this baseline.
        settings: of the training.
    """
    single = task_of(task, budget=len(task.agents))
    trees = _grown(single, dict.fromkeys(task.agents, HardCodingPolicy()), out, settings, None)
    verdicts = _verdicts(out)
    return pass_at_n([hidden_outcomes(tree, verdicts) for tree in trees]) or 0.0


def _grown(
    task: Task, team: Mapping[str, Policy], out: Path, settings: Settings, observer: Observer | None
) -> list[Tree]:
    """Return the finished trees of a task, in the order of its problems, graded on hidden tests in their folder."""
    growing = rollout(
        task,
        team,
        seed=seed("evaluation", settings.seed),
        out=out,
        trees=settings.trees or settings.problems,
        batch=settings.turns,
        in_flight=settings.in_flight,
        policy_retries=settings.policy_retries,
        policy_failures=settings.policy_failures,
        deadline=settings.deadline,
        observer=observer,
    )
    with growing:
        found = {tree.problem: tree for tree in growing}
    evaluate(out, problems=task.problems, sandbox=sandbox_of(task), partial=True)
    finished = [found[problem.id] for problem in task.problems if problem.id in found]
    return [tree for tree in finished if tree.ended not in (None, "faults")]


def _verdicts(out: Path) -> dict[str, bool]:
    return {one.key: one.passed for one in read_journal(out / HIDDEN_FILE, HiddenVerdict)}


def hidden_outcomes(tree: Tree, verdicts: Mapping[str, bool]) -> list[bool]:
    """Return of each node of a tree whether it passes the hidden tests.

    Args:
        tree: one that `evaluate` was given in its folder.
        verdicts: what it kept there, by key.
    """
    found: list[bool] = []
    for node in tree.nodes:
        if node.program is None:
            found.append(False)
        elif node.duplicate_of:
            found.append(found[node.duplicate_of - 1])
        elif node.duplicate_of == 0:  # the program to be repaired, as it was
            found.append(tree.root is not None and verdicts[key_of(tree, tree.root.program or "")])
        else:
            found.append(verdicts[key_of(tree, node.program)])
    return found
