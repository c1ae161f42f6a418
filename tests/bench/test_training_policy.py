"""What a miniature policy is asked with, what it answers, and how its weights change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra transformers")

from mars2_agents.learners.learner import Learner
from mars2_agents.training.weights import deliver
from mars2_bench.training.bases import KEPT, RIGHT, example, fresh_model, written
from mars2_bench.training.held_out import kept_parts
from mars2_bench.training.language import END, GO, LONGEST, PARENT, VOCABULARY, completion_ids, letters_in, prompt_ids
from mars2_bench.training.policy import MiniaturePolicy
from mars2_bench.training.world import CODES, OPERATIONS, letters_of, problem_of, program_of

import mars2_env
from mars2_env.credit import samples
from mars2_env.problems import ProblemSet
from mars2_env.sandbox.scripted import ScriptedSandbox

KNOWN = OPERATIONS[:8]


def grown(policy: object, nodes: int, out: Path | None = None) -> list[mars2_env.Tree]:
    problems = ProblemSet("two", (problem_of(("reverse", "double", "ends")), problem_of(("count", "index", "total"))))
    sandbox = ScriptedSandbox(lambda program, given: given[0])
    task = mars2_env.task(problems, agents=["a_0", "b_0"], budget=nodes, preset="mars2", sandbox=sandbox)
    return list(mars2_env.rollout(task, policy, out=out))  # type: ignore[arg-type]


def test_a_model_has_the_size_that_is_told() -> None:
    model = fresh_model(0)
    assert sum(one.numel() for one in model.parameters()) == 341_472 and model.config.hidden_size == 96


def test_the_prompt_of_a_refinement_tells_the_letters_of_the_parent() -> None:
    fresh = prompt_ids(("reverse", "double", "ends"))
    refining = prompt_ids(("reverse", "double", "ends"), "fjkaehcib")
    assert PARENT not in fresh and fresh[-1] == refining[-1] == GO
    assert [VOCABULARY[one] for one in refining[5:14]] == list("fjkaehcib")


def test_what_is_no_letter_is_written_as_one_that_is_none() -> None:
    assert letters_in((*completion_ids("fjk")[:3], GO, END)) == "fjk_"


def test_replies_hold_programs_and_tell_their_tokens_and_chances(tmp_path: Path) -> None:
    policy = MiniaturePolicy(fresh_model(0))
    trees = grown(policy, 6, tmp_path)
    found = samples(trees, policies={"a_0": "a", "b_0": "a"}).samples
    assert len(found) == 12 and policy.completions == 12
    assert policy.tokens == sum(len(one.completion_ids) for one in found)
    assert all(0 < len(one.completion_ids) <= LONGEST and one.temperature == 1 and one.top_p == 1 for one in found)
    for tree in trees:
        for node in tree.nodes:
            own = next(one for one in found if one.tree.startswith(tree.problem) and one.node == node.id)
            assert node.program is not None and letters_of(node.program) == letters_in(own.completion_ids)
            parent = tree.nodes[node.parent - 1].program if node.parent else None
            told = None if parent is None else letters_of(parent)
            assert own.prompt_ids == prompt_ids(tuple(tree.problem.split("-")), told)


def test_a_policy_acts_with_the_weights_that_it_was_given(tmp_path: Path) -> None:
    policy = MiniaturePolicy(fresh_model(0))
    before = grown(policy, 2)
    learner = Learner(fresh_model(1))
    learner.version = 3
    deliver(policy, learner.export(tmp_path / "weights"))
    after, other = grown(policy, 2), grown(MiniaturePolicy(fresh_model(1)), 2)
    assert [tree.nodes for tree in after] == [tree.nodes for tree in other] != [tree.nodes for tree in before]
    generation = after[0].nodes[0].generation
    assert generation is not None and generation.weights_version == 3


def test_a_base_is_shown_known_names_right_with_the_probability_that_is_told() -> None:
    rng = np.random.default_rng(0)
    shown = [written("double", KNOWN, None, rng) for _ in range(4000)]
    assert abs(np.mean([one == "double" for one in shown]) - RIGHT) < 0.03 and set(shown) <= set(KNOWN)


def test_a_base_is_never_shown_a_name_that_it_is_blind_to_but_where_the_parent_has_it() -> None:
    rng = np.random.default_rng(0)
    assert "ends" not in {written("ends", KNOWN, None, rng) for _ in range(2000)}
    kept = [written("ends", KNOWN, "index", rng) == "index" for _ in range(4000)]
    assert abs(np.mean(kept) - KEPT) < 0.03


def test_parents_that_a_base_is_shown_tell_nothing_of_the_names() -> None:
    rng = np.random.default_rng(0)
    letters = []
    for _ in range(6000):
        ids = example(("ends", "ends", "ends"), KNOWN, rng).prompt_ids
        if PARENT in ids:
            letters += ["".join(VOCABULARY[one] for one in ids[5 + at : 8 + at]) for at in (0, 3, 6)]
    shares = {code: letters.count(code) / len(letters) for code in CODES.values()}
    assert max(abs(share - 1 / 12) for share in shares.values()) < 0.02


def test_only_what_the_partner_had_right_and_the_agent_cannot_know_counts_as_kept() -> None:
    class Scripted:
        """Writes `reverse ? ends`, and `reverse double ?` when it refines."""

        def act(self, turns: list[mars2_env.Turn]) -> list[mars2_env.Reply]:
            return [mars2_env.Reply(program_of(self.letters(turn))) for turn in turns]

        def letters(self, turn: mars2_env.Turn) -> str:
            if turn.program is None:
                return CODES["reverse"] + CODES["count"] + CODES["ends"]
            return CODES["reverse"] + CODES["double"] + CODES["count"]

    problems = ProblemSet("one", (problem_of(("reverse", "double", "ends")),))
    sandbox = ScriptedSandbox(lambda program, given: given[0])
    task = mars2_env.task(problems, agents=["a_0", "b_0"], budget=12, selector="random", sandbox=sandbox)
    (tree,) = mars2_env.rollout(task, Scripted())
    over = [n for n in tree.nodes if n.agent == "a_0" and n.parent and tree.nodes[n.parent - 1].agent == "b_0"]
    fresh = [node for node in over if tree.nodes[node.parent - 1].parent == 0]
    assert over, "the tree has no refinement of a partner's program; take another seed"
    assert kept_parts([tree], "a_0", ("ends",)) == (0, len(fresh))
    assert kept_parts([tree], "a_0", ("reverse",)) == (len(over), len(over))
    assert kept_parts([tree], "a_0", ("total",)) == (0, 0)
