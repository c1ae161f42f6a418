"""Staged slips hide real ones, in the tables and in a real sandbox; teams get their roles by lot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bank_play import few_problems
from mars2_bench.suite.authors import Chances, Skill, programs_of, refined_masks
from mars2_bench.suite.bank import OUTCOMES, read_bank
from mars2_bench.suite.staged import SHOWN, STAGES, Kinds
from mars2_bench.suite.teams import Team, TeamAuthor
from mars2_bench.suite.vector import make_vec

import mars2_env
from mars2_env import Call, ConfigError, Judge, Turn
from mars2_env.prompt.programs import extract_program, fenced, normal_form
from mars2_env.testing.mutation import FAMILIES

THREE = Kinds(("syntax", "crash", "flood"), 2)
ABLE = Skill(Chances(0.9, 0.6, 0.0), Chances(0.1, 0.0, 0.3), frozenset(FAMILIES))


def test_the_first_staged_slip_decides_and_without_one_a_program_is_the_banks() -> None:
    bank = read_bank()
    scores, outcomes = THREE.scores(bank, "scoring"), THREE.outcomes(bank, ("public", "scoring"))
    assert scores.shape == outcomes.shape == (500, 32)
    first = ["compile_error", "runtime_error", "compile_error", "output_limit"]
    assert [SHOWN[code] for code in outcomes[7, [1, 2, 3, 4]]] == first
    staged = np.arange(32) % 8 > 0
    assert (scores[:, staged] == 0).all()
    for place in (0, 100, 499):
        low, high = THREE.chosen(bank)[place]
        real = [0, 1 << low, 1 << high, 1 << low | 1 << high]
        assert scores[place, ::8].tolist() == bank.scores("scoring")[place, real].tolist()
        assert outcomes[place, ::8].tolist() == bank.outcomes(("public", "scoring"))[place, real].tolist()


def test_real_slips_are_taken_that_show_as_no_staged_one_does() -> None:
    bank, wrong = read_bank(), OUTCOMES.index("wrong_answer")
    scores, outcomes = bank.scores("scoring"), bank.outcomes(("public", "scoring"))
    ambiguous = 0
    for place, chosen in enumerate(THREE.chosen(bank)):
        singles = [1 << bit for bit in chosen]
        ambiguous += int(((outcomes[place, singles] != wrong) & (scores[place, singles] == 0)).sum())
        others = [1 << bit for bit in range(bank.counts[place]) if bit not in chosen]
        if (scores[place, singles] == 0).any():  # only where there is nothing better
            assert (scores[place, others] == 0).all()
    assert ambiguous == 0


def test_only_what_shows_can_be_mended_and_what_is_whole_can_break() -> None:
    never, always = np.zeros((1, 5)), np.ones((1, 5))
    draws = np.full((1, 5), 0.5)

    def refined(mask: int, slip: Any = never) -> int:
        return int(refined_masks(np.array([mask]), draws, always, slip, THREE.staged)[0])

    assert refined(0b11110) == 0b11100  # the crash goes, what it hid stays
    assert refined(0b11100) == 0b11000
    assert refined(0b11000) == 0  # real slips show together
    assert refined(0b00010, always) == 0b11101  # a break in all that was whole
    assert refined_masks(np.array([0b11110]), draws, never, never, THREE.staged).tolist() == [0b11110]


def test_programs_with_staged_slips_differ_and_are_read_back_from_replies() -> None:
    bank = read_bank()
    for problem in few_problems(25):
        programs = programs_of(bank, problem.id, THREE)
        name = problem.interface.name if isinstance(problem.interface, Call) else None
        texts = [programs.text(mask) for mask in range(32)]
        assert len({normal_form(text) for text in texts}) == 32
        read = [extract_program(f"(simulated)\n\n{fenced(text, 'python')}\n", name) for text in texts]
        fresh = type(programs)(
            problem, bank.entry(problem.id), THREE.stages, THREE.chosen(bank)[bank.places[problem.id]]
        )
        assert [fresh.mask(text or "") for text in read] == list(range(32))


def test_a_real_sandbox_finds_what_a_staged_slip_stands_for(docker_sandbox: Any) -> None:
    bank = read_bank()
    called, read = (
        next(problem for problem in few_problems(50) if isinstance(problem.interface, Call) is kind)
        for kind in (True, False)
    )
    expected = THREE.outcomes(bank, ("public", "scoring", "hidden"))
    for problem in (called, read):
        programs, place = programs_of(bank, problem.id, THREE), bank.places[problem.id]
        for mask in (0b00001, 0b00010, 0b00100, 0b11111, 0b11110, 0b11100):
            verdict = Judge(docker_sandbox).grade(problem, programs.text(mask), "all", "never")
            assert set(verdict.outcomes) == {SHOWN[expected[place, mask]]}, f"{problem.id} {mask:05b}"


def test_wrong_stages_say_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'syntax'"):
        Kinds(("sintax",))
    with pytest.raises(ConfigError, match="order syntax, crash, flood"):
        Kinds(("crash", "syntax"))
    with pytest.raises(ConfigError, match="real"):
        Kinds(("crash",), 4)
    assert set(STAGES) == {"syntax", "crash", "flood"}


def test_an_author_of_a_team_writes_by_its_role_in_the_tree() -> None:
    sure = Skill(Chances(1.0, 1.0, 0.0), families=frozenset({*FAMILIES, *STAGES}))
    lost = Skill(Chances(0.0, 0.0, 0.0), families=frozenset({*FAMILIES, *STAGES}))
    author = TeamAuthor(Team((sure, lost), "tree", THREE), ("a_0", "b_0"))
    problem = next(iter(few_problems(1)))
    programs, solved = programs_of(read_bank(), problem.id, THREE), set()
    for tree_seed in range(30):
        turns = [Turn(0, agent, problem.public_view(), 5, (), 0, (0,), tree_seed=tree_seed) for agent in author.agents]
        name = getattr(problem.interface, "name", None)
        masks = [programs.mask(extract_program(reply.text, name) or "") for reply in author.act(turns)]
        cards = [author.card(tree_seed, problem.public_view(), agent) for agent in author.agents]
        assert sorted(masks) == [0, 31]  # type: ignore[type-var]
        assert cards[masks.index(0)] == [1.0, 0.0]
        solved.add(masks.index(0))
    assert solved == {0, 1}


def test_a_team_is_for_its_own_agents() -> None:
    with pytest.raises(ConfigError, match="1 agents for 2 roles"):
        TeamAuthor(Team((ABLE, ABLE)), ("a_0",))
    with pytest.raises(ConfigError, match="one role for each agent"):
        Team(())
    problem = next(iter(few_problems(1)))
    author = TeamAuthor(Team((ABLE,)), ("coder_0",))
    with pytest.raises(ConfigError, match="coder_0"):
        author.act([Turn(0, "koder_0", problem.public_view(), 5, (), 0, (0,))])
    task = mars2_env.task(few_problems(1), game="route", agents=["x_0"], generators=author, score="fraction")
    with pytest.raises(ConfigError, match=r"the team's agents are \['coder_0'\]"):
        make_vec(task, 1)
