"""Measures of trees: each says what its name says, on trees that are small enough to be counted by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch")

from mars2_agents.training import measures
from mars2_agents.training.telling import of_updates, warnings_of

from mars2_env import Generation, Node, Tree, Verdict
from mars2_env.credit import Sample
from mars2_env.log import Header, Trace
from mars2_env.types import Outcome

P: Outcome = "passed"
W: Outcome = "wrong_answer"
N: Outcome = "not_run"


def verdict(public: tuple[Outcome, ...], scoring: tuple[Outcome, ...]) -> Verdict:
    return Verdict(groups={"public": public, "scoring": scoring})


def node(id: int, parent: int, found: Verdict, agent: str = "coder_0", program: str | None = "", **more: Any) -> Node:
    text = f"print({id})" if program == "" else program
    passed = found.settled is None and found.group("scoring").passed
    return Node(id, parent, 1 if parent == 0 else 2, agent, "reply", text, found, float(passed), **more)


def tree(*nodes: Node, root: Node | None = None) -> Tree:
    rules = {"game": "write", "score": "pass", "score_on": "scoring", "observe": "all", "stop_on_solved": False}
    task = {"rules": {**rules, "max_faults": 3}}
    header = Header("toy/1", 7, task, "", "", "scripted", "0")
    return Tree(header, (), nodes, "budget", None, root=root)


RIGHT, SEEMING, WRONG = verdict((P, P), (P,)), verdict((P, P), (W,)), verdict((P, W), (W,))
NOTHING = Verdict(settled="no_program")


def test_the_answer_after_so_many_nodes_is_the_latest_of_those_that_seem_best() -> None:
    grown = tree(node(1, 0, WRONG), node(2, 0, RIGHT), node(3, 0, SEEMING), node(4, 0, RIGHT))
    passed = [measures.passes_scored(grown)]
    assert passed == [[False, True, False, True]]
    found = [measures.pass_at_1_mcts([grown], passed, nodes) for nodes in (1, 2, 3, 4, 16)]
    assert found == [0, 1, 0, 1, 1]
    assert measures.pass_at_n(passed) == 1
    assert measures.pass_at_1_mcts([tree(node(1, 0, NOTHING, program=None))], [[False]], 4) == 0


def test_each_tree_has_the_same_weight_in_pass_at_1_whatever_its_number_of_fresh_programs() -> None:
    one = tree(node(1, 0, RIGHT))
    other = tree(node(1, 0, WRONG), node(2, 0, WRONG, "fixer_0"), node(3, 1, RIGHT), node(4, 0, RIGHT))
    passed = [measures.passes_scored(one), measures.passes_scored(other)]
    assert measures.pass_at_1([one, other], passed) == pytest.approx((1 + 1 / 3) / 2)
    assert measures.pass_at_1([one, other], passed, ["coder_0"]) == pytest.approx((1 + 1 / 2) / 2)
    assert measures.pass_at_1([one, other], passed, ["fixer_0"]) == 0
    assert measures.pass_at_1([one], passed[:1], ["fixer_0"]) is None


@pytest.mark.parametrize(
    ("parent", "child", "kept"),
    [
        (verdict((P, P), (P, W)), verdict((P, W), (P, P)), (2, 3)),
        (verdict((P, P), (P, W)), verdict((P, N), (N, P)), (1, 1)),  # what was not run is not known
        (verdict((P, P), (P, W)), NOTHING, (0, 3)),
        (verdict((P, P), (P, W)), verdict(("compile_error",) * 2, ("compile_error",) * 2), (0, 3)),
        (NOTHING, RIGHT, (0, 0)),
        (verdict((W, W), (W, W)), verdict((P, P), (P, P)), (0, 0)),
    ],
)
def test_a_refinement_keeps_what_its_parent_had_right_as_far_as_that_is_known(
    parent: Verdict, child: Verdict, kept: tuple[int, int]
) -> None:
    assert measures.kept_of_parent(node(1, 0, parent), node(2, 1, child)) == kept


def test_retention_counts_an_agents_own_refinements_of_programs_given_too() -> None:
    given = replace(node(1, 0, verdict((P, W), (W,)), agent=""), id=0, parent=-1, depth=0)
    grown = tree(node(1, 0, verdict((P, P), (P,))), node(2, 1, verdict((P, W), (P,)), "fixer_0"), root=given)
    assert measures.retention([grown], "coder_0") == 1  # of the program to be repaired
    assert measures.retention([grown], "fixer_0") == pytest.approx(2 / 3)
    assert measures.retention([tree(node(1, 0, RIGHT))], "coder_0") is None


def test_an_agent_is_told_by_its_own_nodes() -> None:
    grown = tree(
        node(1, 0, RIGHT),
        node(2, 0, WRONG),
        node(3, 1, WRONG, "fixer_0"),
        node(4, 2, RIGHT),
        node(5, 2, WRONG, duplicate_of=2),
    )
    found = measures.of_agent([grown], "coder_0")
    assert found["nodes"] == 4 and found["reward"] == 0.5 and found["duplicates"] == 0.25
    assert found["root_success"] == 0.5 and found["refinement_success"] == 0.5
    assert "refinement_success" not in measures.of_agent([tree(node(1, 0, RIGHT))], "coder_0")
    assert measures.of_agent([grown], "nobody_0") == {"nodes": 0}


def test_programs_are_as_different_as_their_neighbouring_words() -> None:
    assert measures.diversity(["a = 1", "a = 1"]) == 0
    assert measures.diversity(["a b c", "d e f"]) == 1
    assert measures.diversity(["a b c", "a b d"]) == pytest.approx(1 - 1 / 3)
    assert measures.diversity(["a b c"]) is None
    assert measures.diversity(["", "a"]) == 0 and measures.diversity([]) is None


def sample(advantage: float, tokens: int, imitated: bool = False) -> Sample:
    ids = tuple(range(tokens))
    mask, told = (True,) * (tokens - 1) + (False,), (-0.5,) * tokens
    return Sample(
        "t",
        1,
        0,
        1,
        "coder_0",
        "a",
        (1, 2),
        ids,
        mask,
        told,
        "sampled",
        1.0,
        1.0,
        (),
        ids,
        1.0,
        2.0,
        advantage,
        False,
        imitated,
    )


def test_samples_tell_means_over_what_the_agent_wrote_itself() -> None:
    found = measures.of_samples([sample(0.5, 3), sample(-0.25, 5), sample(9.0, 8, imitated=True)])
    assert found["advantage"] == 0.125 and found["shaped_reward"] == 2 and found["samples"] == 2
    assert found["length"] == 3 and found["length/max"] == 4 and found["prompt_tokens"] == 2  # of trained tokens
    assert found["imitated"] == 1
    assert measures.of_samples([]) == {"samples": 0, "imitated": 0}


def test_traces_tell_tokens_a_second_and_how_many_replies_were_cut() -> None:
    cut = Generation((1,), (2, 3), finish_reason="length")
    whole = Generation((1,), (2,))
    found = measures.of_traces(
        [
            Trace(0, policy_seconds=2.0, completion_tokens=2, generation=cut),
            Trace(1, policy_seconds=1.0, completion_tokens=1, generation=whole),
        ]
    )
    assert found == {"tokens": 3, "tokens_per_second": 1, "overlong": 0.5}
    assert measures.of_traces([]) == {"tokens": 0}


def test_several_rows_are_one_by_their_means_or_as_is_said() -> None:
    rows = [{"loss": 1.0, "ratio_max": 2.0, "kl": None}, {"loss": 2.0, "ratio_max": 1.5, "kl": 0.5}]
    assert measures.merged(rows, {"ratio_max": max}) == {"loss": 1.5, "ratio_max": 2.0, "kl": 0.5}
    assert measures.merged([], {}) == {} and of_updates([]) == {"updates": 0}


def test_an_agent_whose_mean_advantage_is_far_from_zero_is_warned_of() -> None:
    team = {"coder_0": "a", "fixer_0": "a"}
    values = {"agents/coder_0/advantage": -0.26, "agents/fixer_0/advantage": 0.2}
    (warning,) = warnings_of(values, team)
    assert "coder_0" in warning and "-0.26" in warning
    (missing,) = warnings_of({"policies/a/missing_logprobs": 3.0}, team)
    assert "3 tokens" in missing
