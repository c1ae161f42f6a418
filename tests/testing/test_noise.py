"""The simulated policy: labelled as such, a function of the turn and its seed, and as good as its profile says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mars2_env.errors import ConfigError, PolicyError
from mars2_env.problems.base import ProblemSet
from mars2_env.prompt.programs import extract_program, normal_form
from mars2_env.testing import PROFILES, NoisePolicy, Profile
from mars2_env.testing.noise import from_spec
from mars2_env.types import Call, Feedback, Policy, Problem, Reply, TestCase, Turn

REFERENCE = """
def count(values, low):
    found = 0
    for index in range(len(values)):
        if values[index] > low:
            found += values[index] * 2
    return found
"""
COUNT = Problem("count", "Count.", Call("count"), public=(TestCase([[1], 0], 2),), reference=REFERENCE)
BARE = Problem("bare", "No reference.", Call("count"))
SET = ProblemSet("two", (COUNT, BARE))
TURN = Turn(
    id=0,
    agent="coder_0",
    problem=COUNT.public_view(),
    seed=7,
    messages=({"role": "user", "content": "Count."},),
    parent=0,
    parents=(0,),
)
FAILED = Feedback("wrong_answer", test=0, input="[1], 0", expected="2", actual="0")


def program(reply: Reply) -> str:
    found = extract_program(reply.text)
    assert found is not None
    return found


def is_right(reply: Reply) -> bool:
    return normal_form(program(reply)) == normal_form(REFERENCE)


def share_right(policy: NoisePolicy, turn: Turn, n: int = 400) -> float:
    return sum(is_right(reply) for reply in policy.act([replace(turn, seed=seed) for seed in range(n)])) / n


def test_it_says_that_it_is_simulated() -> None:
    policy = NoisePolicy(SET)
    assert isinstance(policy, Policy)
    assert "simulated" in repr(policy)
    assert "simulated" in policy.act([TURN])[0].text
    assert "SIMULATED" in (NoisePolicy.__doc__ or "")


def test_a_reply_is_a_function_of_the_turn_and_its_seed_alone() -> None:
    turns = [replace(TURN, seed=seed) for seed in range(20)]
    one = NoisePolicy(SET).act(turns)
    other = NoisePolicy(SET)
    assert [other.act([turn])[0] for turn in reversed(turns)] == one[::-1]
    assert len({reply.text for reply in one}) > 5


def test_programs_come_right_as_often_as_the_skills_say() -> None:
    policy = NoisePolicy(SET)
    families = {site.family for site in policy.reference("count").sites}
    expected = 1.0
    for family in families:
        expected *= policy.profile.skill[family] ** (5 / len(families)) ** 0.5
    assert abs(share_right(policy, TURN, 800) - expected) < 0.05
    assert share_right(NoisePolicy(SET, "perfect"), TURN) == 1
    assert share_right(NoisePolicy(SET, "hopeless"), TURN) == 0


def test_a_better_profile_is_better() -> None:
    weak, default, strong = (share_right(NoisePolicy(SET, name), TURN) for name in ("weak", "default", "strong"))
    assert weak < default < strong


def refining(policy: NoisePolicy, slips: dict[int, int], feedback: Feedback | None) -> float:
    parent = policy.reference("count").write(slips)
    return share_right(policy, replace(TURN, parent=1, parents=(0, 1), program=parent, feedback=feedback), 400)


def test_refining_helps_and_feedback_helps_it() -> None:
    policy = NoisePolicy(SET)
    blind, told = refining(policy, {0: 0}, None), refining(policy, {0: 0}, FAILED)
    assert told > 2 * blind
    assert told > 1.5 * share_right(policy, TURN, 400)


def test_feedback_that_quotes_nothing_does_not_help() -> None:
    policy = NoisePolicy(SET)
    unshown = Feedback("wrong_answer", unshown=True)
    assert refining(policy, {0: 0}, unshown) == refining(policy, {0: 0}, None)


def test_a_policy_mends_what_it_is_good_at() -> None:
    sites = NoisePolicy(SET).reference("count").sites
    arithmetic = next(site.number for site in sites if site.family == "arithmetic")
    boundary = next(site.number for site in sites if site.family == "boundary")
    good_at_arithmetic, good_at_boundaries = NoisePolicy(SET, "arithmetic"), NoisePolicy(SET, "boundary")
    assert refining(good_at_arithmetic, {arithmetic: 0}, FAILED) > 1.5 * refining(
        good_at_boundaries, {arithmetic: 0}, FAILED
    )
    assert refining(good_at_boundaries, {boundary: 0}, FAILED) > 1.5 * refining(
        good_at_arithmetic, {boundary: 0}, FAILED
    )


def test_an_unskilled_refinement_leaves_the_slips_where_they_were() -> None:
    policy = NoisePolicy(SET, Profile(repair=0.0, slip=0.0))
    parent = policy.reference("count").write({1: 0, 3: 0})
    reply = policy.act([replace(TURN, parent=1, parents=(0, 1), program=parent, feedback=FAILED)])[0]
    assert program(reply) == parent


def test_a_parent_that_is_not_the_reference_with_slips_is_written_afresh() -> None:
    policy = NoisePolicy(SET)
    foreign = replace(TURN, parent=1, parents=(0, 1), program="def count(v, l): return sum(v)", feedback=FAILED)
    assert program(policy.act([foreign])[0]) == program(policy.act([TURN])[0])


def test_where_it_chooses_it_takes_a_parent_on_offer_with_that_place_program_and_seed() -> None:
    policy = NoisePolicy(SET)
    parent = policy.reference("count").write({0: 0})

    def places(turn: Turn, node: int) -> Turn:
        return replace(turn, parent=node, program=parent if node else None, feedback=FAILED, seed=1000 + node)

    free = replace(TURN, parent=None, parents=(0, 2, 5), places=places)
    turns = [replace(free, seed=seed) for seed in range(60)]
    replies = policy.act(turns)
    assert {reply.parent for reply in replies} == {0, 2, 5}
    for turn, reply in zip(turns, replies, strict=True):
        assert reply.parent is not None
        assert reply.text == policy.act([turn.at(reply.parent)])[0].text


def test_a_problem_without_a_reference_is_an_error_that_names_it() -> None:
    with pytest.raises(PolicyError, match="'bare'"):
        NoisePolicy(SET).act([replace(TURN, problem=BARE.public_view())])
    with pytest.raises(PolicyError, match="no problem here has one"):
        NoisePolicy((BARE,))


def test_references_can_be_given_by_problem_id() -> None:
    assert is_right(NoisePolicy({"count": REFERENCE}, "perfect").act([TURN])[0])


def test_a_spec_names_a_profile_and_changes_it() -> None:
    policy = from_spec("strong", problems=SET, boundary="0.1", repair="0.3")
    assert policy.profile.skill["boundary"] == 0.1
    assert policy.profile.skill["constant"] == PROFILES["strong"].skill["constant"]
    assert policy.profile.repair == 0.3
    assert "strong,boundary=0.1,repair=0.3" in repr(policy)
    assert from_spec("", problems=SET).profile == PROFILES["default"]


@pytest.mark.parametrize(
    ("rest", "options", "message"),
    [
        ("expert", {}, "unknown profile.*'expert'.*strong"),
        ("default", {"temperature": "1"}, "unknown option of noise 'temperature'.*boundary"),
        ("default", {"boundary": "high"}, "boundary='high': not a number"),
        ("default", {"boundary": "1.5"}, r"boundary=1.5\): must be a probability"),
    ],
)
def test_a_spec_that_makes_no_sense_says_why(rest: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_spec(rest, problems=SET, **options)


def test_a_spec_needs_the_problems() -> None:
    with pytest.raises(PolicyError, match="problems"):
        from_spec("default")
