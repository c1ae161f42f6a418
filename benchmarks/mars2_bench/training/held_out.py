"""What two policies come to on held-out pipelines, on hidden tests: alone, and as a team in one tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import mars2_env
from mars2_bench.training.policy import MiniaturePolicy
from mars2_bench.training.world import CODES, codes_of, letters_of, pipeline_of
from mars2_env.judge import Judge
from mars2_env.log import Tree
from mars2_env.problems import ProblemSet
from mars2_env.results.curves import answer_curve, solved_curve
from mars2_env.sandbox import Sandbox
from mars2_env.tasks import Task

AGENTS: Final = {"a": "a_0", "b": "b_0"}
"""What an agent is called in tables, and in trees."""

TREES: Final = 144
"""Trees that grow at a time."""


@dataclass(frozen=True, slots=True)
class Grown:
    """A tree on hidden tests, node by node.

    Attributes:
        problem: its id.
        public: the score on public tests.
        hidden: whether the hidden tests are passed.
        agents: who wrote it.
    """

    problem: str
    public: tuple[float, ...]
    hidden: tuple[bool, ...]
    agents: tuple[str, ...]


def team_task(
    problems: ProblemSet,
    sandbox: Sandbox,
    agents: Sequence[str],
    nodes: int,
    *,
    score_on: Literal["public", "scoring"],
    **options: Any,
) -> Task:
    """Return the task of growing trees by the search of MARS2.

    Args:
        problems: what is played.
        sandbox: where programs run.
        agents: the names of the agents.
        nodes: nodes a tree.
        score_on: `scoring` in training, `public` in evaluation.
        **options: of `mars2_env.task`, such as another preset or selector.
    """
    given: dict[str, Any] = {"preset": "mars2", **options}
    return mars2_env.task(
        problems, agents=list(agents), budget=nodes, sandbox=sandbox, score_on=score_on, score="pass", **given
    )


def graded(trees: Iterable[Tree], problems: ProblemSet, sandbox: Sandbox) -> list[Grown]:
    """Return trees with the hidden verdict on each of their nodes, in the order of the problems."""
    judge, found = Judge(sandbox), {}
    for tree in trees:
        problem = problems[tree.problem]
        known: dict[str | None, bool] = {None: False}
        for node in tree.nodes:
            if node.program not in known:
                known[node.program] = judge.grade(problem, node.program or "", tests="hidden").passed
        found[tree.problem] = Grown(
            tree.problem,
            tuple(node.score for node in tree.nodes),
            tuple(known[node.program] for node in tree.nodes),
            tuple(node.agent for node in tree.nodes),
        )
    return [found[problem.id] for problem in problems if problem.id in found]


def kept_parts(trees: Iterable[Tree], agent: str, blind: Sequence[str]) -> tuple[int, int]:
    """Return how often an agent kept what its partner had right and it cannot know, and how often it could have.

    Looked at are refinements of a program by another agent, in each slot that names an operation to which the agent's
    base is blind and where the parent has it right.
    """
    kept = could = 0
    for tree in trees:
        names = tree.problem.split("-")
        for node in tree.nodes:
            if node.agent != agent or node.parent == 0 or node.program is None:
                continue
            parent = tree.nodes[node.parent - 1]
            if parent.agent == agent or parent.program is None:
                continue
            own, before = codes_of(letters_of(node.program)), codes_of(letters_of(parent.program))
            for slot, name in enumerate(names):
                if name in blind and before[slot] == CODES[name]:
                    could += 1
                    kept += own[slot] == CODES[name]
    return kept, could


def team_measures(
    policies: Mapping[str, MiniaturePolicy],
    problems: ProblemSet,
    sandbox: Sandbox,
    *,
    blind: Mapping[str, Sequence[str]],
    nodes: Sequence[int],
    seed: int,
    **options: Any,
) -> dict[str, Any]:
    """Return what a team's trees come to: by number of nodes, task by task, and what refinements keep.

    Args:
        policies: `a` and `b` -> the policy that acts for it.
        problems: what is played.
        sandbox: where programs run.
        blind: `a` and `b` -> the operations to which its base is blind.
        nodes: after how many nodes the tree is looked at; trees have the most of these.
        seed: of the trees.
        **options: of `team_task`.
    """
    agents = [AGENTS[who] for who in policies]
    task = team_task(problems, sandbox, agents, max(nodes), score_on="public", **options)
    team = {AGENTS[who]: policy for who, policy in policies.items()}
    trees = list(mars2_env.rollout(task, team, seed=seed, trees=TREES))
    grown = graded(trees, problems, sandbox)
    answers = [answer_curve(one.public, one.hidden) for one in grown]
    solved = [solved_curve(one.hidden) for one in grown]
    return {
        "mcts": {str(count): [int(curve[count - 1]) for curve in answers] for count in nodes},
        "pass_at_n": {str(count): [int(curve[count - 1]) for curve in solved] for count in nodes},
        "keeps": {who: kept_parts(trees, AGENTS[who], blind[who]) for who in policies},
    }


def fresh_measures(
    policy: MiniaturePolicy, problems: ProblemSet, sandbox: Sandbox, *, draws: int, seed: int
) -> list[float]:
    """Return, task by task, the share of fresh answers that pass the hidden tests: Pass@1."""
    task = team_task(problems, sandbox, ["a_0"], draws, score_on="public", selector="repeated_sampling")
    trees = mars2_env.rollout(task, policy, seed=seed, trees=TREES)
    return [sum(one.hidden) / draws for one in graded(trees, problems, sandbox)]


def has_blind(problems: ProblemSet, blind: Sequence[str]) -> list[bool]:
    """Return which tasks name an operation of these."""
    return [any(name in blind for name in pipeline_of(problem.statement)) for problem in problems]
