"""Supervised fine-tuning: answers that are given, learnt by their likelihood; a warm-up before anything is searched.

`taught` makes lessons of any pairs of a turn and a reply, `reference_answers` such pairs of the reference programs of a
task. `sft` is the same as an algorithm: of each tree it learns the problem's reference program, and nothing that grew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mars2_agents.algorithms.answers import Says, agents_of, answer, check_encoders, one_block, turn_of
from mars2_agents.algorithms.lesson import Algorithm, Crew, Lesson
from mars2_agents.algorithms.objective import likelihood
from mars2_env.credit import Sample
from mars2_env.errors import ConfigError
from mars2_env.log import Tree, fresh_turn
from mars2_env.tasks import Task
from mars2_env.types import Turn


def sft(*, says: Says = one_block) -> Algorithm:
    """Return the algorithm that learns the problems' reference programs, as fresh answers of every agent.

    Args:
        says: how a reply holds a program.
    """

    def algorithm(trees: Sequence[Tree], crew: Crew) -> Mapping[str, Lesson]:
        check_encoders(crew)
        return taught(_of_trees(trees, crew, says), crew)

    return algorithm


def taught(pairs: Iterable[tuple[Turn, str]], crew: Crew) -> dict[str, Lesson]:
    """Return what each policy learns of given answers: a sample for each, by the mean likelihood of its tokens.

    Args:
        pairs: what an agent is asked, and what it is to reply.
        crew: who plays for whom, and what tells their tokens.

    Raises:
        ConfigError: an agent has no policy, or nothing tells its tokens.
    """
    found: dict[str, list[Sample]] = {policy: [] for policy in crew.policies.values()}
    for turn, text in pairs:
        policy = crew.policies.get(turn.agent)
        if policy is None or policy not in crew.encoders:
            raise ConfigError(
                f"sft: agent {turn.agent!r} has no policy whose tokens are told; policies: "
                f"{dict(crew.policies)!r:.200}, encoders of {list(crew.encoders)!r:.200}."
            )
        encoder = crew.encoders[policy]
        asked, said = encoder.prompt_ids(turn), encoder.completion_ids(text)
        found[policy].append(answer(policy, turn.agent, asked, said, tree=turn.problem.id))
    return {policy: Lesson(tuple(rows), likelihood) for policy, rows in found.items()}


def reference_answers(
    task: Task, agents: Iterable[str] | None = None, *, says: Says = one_block
) -> Iterator[tuple[Turn, str]]:
    """Yield for each problem that has a reference program, and each agent, the fresh turn and the reply that holds it.

    Repair problems are left out: what is asked there depends on what their seed program fails on.

    Args:
        task: what is played.
        agents: who learns them; all by default.
        says: how a reply holds a program.
    """
    for problem in task.problems:
        if problem.reference is None or problem.seed_program is not None:
            continue
        header = task.header(problem.id, 0, sandbox="")
        for agent in task.agents if agents is None else agents:
            turn = fresh_turn(header, agent, problem.public_view(), task.prompts)
            yield turn, says(turn, problem.reference)


def _of_trees(trees: Sequence[Tree], crew: Crew, says: Says) -> Iterator[tuple[Turn, str]]:
    """Yield the pairs of the problems of trees, for every policy whose tokens are told."""
    assert crew.task is not None
    for tree in trees:
        problem = crew.task.problem(tree.problem)
        if problem.reference is None or (problem.seed_program is not None and tree.root is None):
            continue
        for policy in dict.fromkeys(crew.policies.values()):
            for agent in agents_of(policy, crew, tree) if policy in crew.encoders else ():
                turn = turn_of(crew, tree, agent)
                yield turn, says(turn, problem.reference)
