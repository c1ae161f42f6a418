"""What is learnt as it stands: shared solutions, given answers, and one's own programs that passed."""

from __future__ import annotations

from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lettered import (  # noqa: E402
    END,
    Writer,
    chance,
    crew_of,
    grown,
    ids_of,
    learn,
    learner,
    problems,
    prompt_of,
    toy_task,
)
from mars2_agents.algorithms.heterogeneous import heterogeneous  # noqa: E402
from mars2_agents.algorithms.lesson import Crew, Lesson, Scores  # noqa: E402
from mars2_agents.algorithms.objective import likelihood  # noqa: E402
from mars2_agents.algorithms.rejection import rejection, weighted_likelihood  # noqa: E402
from mars2_agents.algorithms.rs2 import rs2  # noqa: E402
from mars2_agents.algorithms.sft import reference_answers, sft, taught  # noqa: E402
from mars2_agents.algorithms.shared_solutions import with_shared_solutions  # noqa: E402
from mars2_agents.learners.updating import scores_of  # noqa: E402

import mars2_env  # noqa: E402
from mars2_env import ConfigError, Generation, ProblemSet, Reply, Step, Turn  # noqa: E402

torch.set_num_threads(1)


def answer_ids(number: int) -> tuple[int, ...]:
    return (*ids_of(f"```python\nprint({number})\n```"), END)


def two_who(first: Writer, second: Writer, out: Path, **options: Any) -> tuple[Any, Crew]:
    """A tree of two policies p and q on problem 1, and the crew."""
    task = toy_task(2, **options)
    a, b = task.agents
    return grown(task, out, {a: first, b: second}, problems=["toy/1"]), crew_of(task, "p", "q")


def imitated(lesson: Lesson) -> list[Any]:
    return [sample for sample in lesson.samples if sample.imitated]


def test_who_solved_nothing_afresh_learns_the_first_solution_as_a_fresh_answer(tmp_path: Path) -> None:
    trees, crew = two_who(Writer(fresh=1, refined=1), Writer(fresh=2, refined=0, version=4), tmp_path)
    plain = heterogeneous()(trees, crew)
    found = with_shared_solutions(heterogeneous())(trees, crew)
    assert found["p"].samples == plain["p"].samples
    (one,) = imitated(found["q"])
    assert found["q"].samples[:-1] == plain["q"].samples
    assert (one.agent, one.policy) == (list(crew.policies)[1], "q")
    assert one.prompt_ids == prompt_of(1) and one.completion_ids == answer_ids(1)
    assert all(one.mask) and all(map(isnan, one.logprobs)) and one.versions == (4,) * len(one.completion_ids)
    assert trees[0].nodes[one.node - 1].score == 1 and one.reward == 1 and one.depth == 1


def test_a_solution_found_in_a_refinement_is_shared_with_both(tmp_path: Path) -> None:
    trees, crew = two_who(Writer(fresh=0, refined=1), Writer(fresh=0, refined=1), tmp_path)
    assert any(node.score == 1 and node.parent for node in trees[0].nodes)
    found = with_shared_solutions(heterogeneous())(trees, crew)
    assert [len(imitated(found[policy])) for policy in "pq"] == [1, 1]


def test_a_tree_without_a_solution_shares_none(tmp_path: Path) -> None:
    trees, crew = two_who(Writer(fresh=0, refined=2), Writer(fresh=2, refined=0), tmp_path)
    found = with_shared_solutions(heterogeneous())(trees, crew)
    assert not imitated(found["p"]) and not imitated(found["q"])


def test_a_policy_without_a_fresh_node_is_asked_as_it_would_have_been(tmp_path: Path) -> None:
    class Elsewhere(Writer):
        """It asks with other tokens than the trace has, so that the test sees which were taken."""

        def prompt_ids(self, turn: Turn) -> tuple[int, ...]:
            assert turn.parent == 0 and "Print 1." in turn.messages[-1]["content"]
            return (1, 77, len(turn.agent))

    trees, crew = two_who(Writer(fresh=1, refined=1), Writer(fresh=0, refined=0), tmp_path)
    first, second = crew.policies
    (tree,) = trees
    alone = replace(tree, nodes=tuple(replace(node, agent=first) for node in tree.nodes))
    crew = replace(crew, encoders={**crew.encoders, "q": Elsewhere(version=7)})
    (one,) = imitated(with_shared_solutions(heterogeneous())([alone], crew)["q"])
    assert one.prompt_ids == (1, 77, len(second)) and one.agent == second


def test_a_plan_is_not_what_a_program_answers(tmp_path: Path) -> None:
    class Planner(Writer):
        """Writes in two calls: what it is asked for first is a plan."""

        def reply(self, turn: Turn) -> Reply:
            said = super().reply(turn)
            assert said.generation is not None
            return Reply(said.text, steps=(Step("planner", Generation((9,), (8,))), Step("coder", said.generation)))

    trees, crew = two_who(Writer(fresh=1, refined=1), Planner(fresh=0, refined=0), tmp_path)
    (one,) = imitated(with_shared_solutions(heterogeneous())(trees, crew)["q"])
    assert one.prompt_ids == prompt_of(1)


def test_the_form_of_a_shared_answer_can_be_said(tmp_path: Path) -> None:
    trees, crew = two_who(Writer(fresh=1, refined=1), Writer(fresh=0, refined=0), tmp_path)
    found = with_shared_solutions(heterogeneous(), says=lambda turn, program: f"<{program.strip()}>")(trees, crew)
    assert imitated(found["q"])[0].completion_ids == (*ids_of("<print(1)>"), END)


def test_a_policy_whose_tokens_nothing_tells_learns_no_shared_solution(tmp_path: Path) -> None:
    trees, crew = two_who(Writer(fresh=1, refined=1), Writer(fresh=0, refined=0), tmp_path)
    found = with_shared_solutions(heterogeneous())(trees, replace(crew, encoders={"p": Writer()}))
    assert not imitated(found["q"])
    with pytest.raises(ConfigError, match="encoders"):
        with_shared_solutions(heterogeneous())(trees, replace(crew, encoders={}))
    with pytest.raises(ConfigError, match="task"):
        with_shared_solutions(heterogeneous())(trees, replace(crew, task=None))


def test_a_shared_solution_becomes_likelier_afresh_and_the_coefficient_says_how_much(tmp_path: Path) -> None:
    trees, crew = two_who(Writer(fresh=1, refined=1), Writer(fresh=0, refined=0), tmp_path)
    gained = []
    for coefficient in (0.0, 1.0):
        lesson = with_shared_solutions(heterogeneous(gamma=0), coefficient=coefficient)(trees, crew)["q"]
        pupil = learner()
        before = chance(pupil, 1, 1)
        for _ in range(4):
            learn(pupil, lesson)
        gained.append(chance(pupil, 1, 1) - before)
    assert gained[1] > gained[0] + 1


def test_alone_an_agent_shares_with_itself_what_it_found_by_refining(tmp_path: Path) -> None:
    task = toy_task()
    trees = grown(task, tmp_path, Writer(fresh=0, refined=1), problems=["toy/1"])
    lesson = with_shared_solutions(rs2())(trees, crew_of(task, "p"))["p"]
    assert [one.completion_ids for one in imitated(lesson)] == [answer_ids(1)]


def test_reference_programs_are_learnt_as_fresh_answers_of_every_agent(tmp_path: Path) -> None:
    task = toy_task(2)
    crew = crew_of(task, "p", "q")
    pairs = list(reference_answers(task))
    assert [(turn.problem.id, turn.agent) for turn, _ in pairs][:2] == [("toy/0", agent) for agent in task.agents]
    found = taught(pairs, crew)
    for lesson in found.values():
        assert [(one.prompt_ids, one.completion_ids) for one in lesson.samples] == [
            (prompt_of(n), answer_ids(n)) for n in range(3)
        ]
        assert all(one.imitated for one in lesson.samples)
    by_trees = sft()(grown(task, tmp_path), crew)
    assert [one.completion_ids for one in by_trees["p"].samples] == [answer_ids(n) for n in range(3)]


def test_given_answers_are_learnt_by_likelihood() -> None:
    task = toy_task(2)
    crew = crew_of(task, "p", "q")
    turn, _ = next(reference_answers(task, agents=list(task.agents)[1:]))
    found = taught([(turn, "hello")], crew)
    assert not found["p"].samples
    (one,) = found["q"].samples
    assert one.completion_ids == (*ids_of("hello"), END)
    batch = scores_of([one], [torch.full((6,), -0.5)])
    assert float(found["q"].loss(batch)) == float(likelihood(batch)) == 0.5
    with pytest.raises(ConfigError, match="no policy"):
        taught([(turn, "hello")], Crew({}))


def test_a_problem_without_a_reference_teaches_nothing(tmp_path: Path) -> None:
    bare = ProblemSet("toy", tuple(replace(problem, reference=None) for problem in problems()), split="train")
    task = mars2_env.task(bare, agents=1, budget=1, sandbox=toy_task().sandbox)
    crew = crew_of(task, "p")
    assert not list(reference_answers(task))
    assert sft()(grown(task, tmp_path), crew)["p"].samples == ()


def test_rejection_keeps_what_passed_and_weighs_problems_alike(tmp_path: Path) -> None:
    task = toy_task(budget=16)
    trees = grown(task, tmp_path, Writer(choices=2))
    more = replace(trees[0], nodes=tuple(replace(node, duplicate_of=None) for node in trees[0].nodes))
    lesson = rejection()([more, *trees[1:]], crew_of(task, "p"))["p"]
    assert {one.reward for one in lesson.samples} == {1.0} and all(one.imitated for one in lesson.samples)
    weights: dict[str, float] = {}
    for one in lesson.samples:
        weights[one.tree] = weights.get(one.tree, 0) + one.advantage
    assert weights == {"toy/0#0": pytest.approx(1), "toy/1#0": pytest.approx(1)}  # nobody prints 2
    assert len([one for one in lesson.samples if one.tree == "toy/0#0"]) > 1
    assert lesson.left_out["not passing"] + lesson.left_out["duplicate"] + len(lesson.samples) == 48


def test_rejection_can_leave_refinements_out(tmp_path: Path) -> None:
    task = toy_task(budget=8)
    trees = grown(task, tmp_path, Writer(fresh=0, refined=1), problems=["toy/1"])
    assert len(rejection()(trees, crew_of(task, "p"))["p"].samples) == 1
    assert rejection(fresh=True)(trees, crew_of(task, "p"))["p"].samples == ()


def test_a_weighted_likelihood_is_the_weighted_mean_of_means() -> None:
    mask = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    logprob = torch.tensor([[-1.0, -3.0, float("nan")], [-4.0, float("nan"), float("nan")], [float("nan")] * 3])
    batch = Scores(
        logprob=logprob,
        old=logprob,
        sampler=logprob,
        reference=None,
        mask=mask,
        advantage=torch.tensor([0.5, 1.0, 1.0]),
        imitated=torch.ones(3, dtype=torch.bool),
        lag=torch.zeros(3),
    )
    assert float(weighted_likelihood(batch)) == pytest.approx((0.5 * 2 + 1.0 * 4) / 2.5)
    assert float(weighted_likelihood(replace(batch, advantage=torch.zeros(3)))) == 0
