"""The bank: its tables are what a real sandbox says, and its authors write by the law they state."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mars2_bench.group import bench
from mars2_bench.suite import draws
from mars2_bench.suite.authors import BankAuthor, Chances, Skill, fresh_masks, from_spec, programs_of, refined_masks
from mars2_bench.suite.bank import MOST_SLIPS, SLIPS_FILE, Entry, read_bank, write_bank
from mars2_bench.suite.build import SPLITS, build, chosen, letters
from typer.testing import CliRunner

import mars2_env
from mars2_env import ConfigError, Judge, Problem, Turn
from mars2_env.base import keys
from mars2_env.episode.luck import child_key, child_keys, child_tail
from mars2_env.errors import LogError
from mars2_env.prompt.programs import extract_program, normal_form
from mars2_env.testing.mutation import Reference


def starter() -> dict[str, Problem]:
    return {problem.id: problem for split in SPLITS for problem in mars2_env.load_problems("starter", split=split)}


def turn(problem: Problem, seed: int, program: str | None = None) -> Turn:
    parent = 0 if program is None else 1
    return Turn(0, "able_0", problem.public_view(), seed, (), parent, (0, 1), program=program)


def test_the_bank_has_every_problem_of_the_starter_set_and_is_small() -> None:
    bank = read_bank()
    sets = [mars2_env.load_problems("starter", split=split) for split in SPLITS]
    assert [entry.problem for entry in bank.entries] == [problem.id for one in sets for problem in one]
    assert bank.header.problems == {one.split: one.hash for one in sets}
    assert SLIPS_FILE.stat().st_size < 5_000_000
    assert all(1 <= len(entry.families) <= MOST_SLIPS for entry in bank.entries)


def test_the_reference_solves_every_problem_and_each_single_slip_fails() -> None:
    bank = read_bank()
    for group in ("public", "scoring", "hidden"):
        assert (bank.scores(group)[:, 0] == 1.0).all()
    assert (bank.outcomes(("public", "scoring", "hidden"))[:, 0] == 0).all()
    for place, entry in enumerate(bank.entries):
        singles = [1 << bit for bit in range(len(entry.families))]
        assert (bank.scores("scoring")[place, singles] < 1.0).all(), entry.problem


def test_programs_of_a_problem_differ_and_are_told_apart() -> None:
    bank = read_bank()
    for entry in bank.entries[::50]:
        programs, fresh = programs_of(bank, entry.problem), Reference(starter()[entry.problem].reference or "")
        texts = [programs.text(mask) for mask in range(1 << len(entry.families))]
        assert len({normal_form(text) for text in texts}) == len(texts)
        assert [entry.mask_of(fresh, text) for text in texts] == list(range(len(texts)))
    assert programs_of(bank, entry.problem).mask("print('of somebody else')") is None


def test_sixty_entries_judged_again_by_themselves_come_to_the_same(docker_sandbox: Any) -> None:
    bank, problems, rng = read_bank(), starter(), random.Random(20260207)
    picked = [(entry, rng.randrange(1 << len(entry.families))) for entry in rng.choices(bank.entries, k=60)]

    def again(one: tuple[Entry, int]) -> str | None:
        entry, mask = one
        program = programs_of(bank, entry.problem).text(mask)
        return letters(Judge(docker_sandbox).grade(problems[entry.problem], program, "all", "never"))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(again, picked))
    tests = sum(bank.header.tests)
    assert found == [entry.outcomes[mask * tests : (mask + 1) * tests] for entry, mask in picked]


def test_building_again_gives_the_same_entries(docker_sandbox: Any, tmp_path: Path) -> None:
    bank, told = read_bank(), []
    built = build(docker_sandbox, problems=2, told=lambda done, all: told.append((done, all)))
    assert built.entries == (*bank.entries[:2], *bank.entries[250:252])
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    write_bank(built, tmp_path / "slips.jsonl")
    assert read_bank(tmp_path / "slips.jsonl").digest == built.digest != bank.digest


def test_a_damaged_file_is_no_bank(tmp_path: Path) -> None:
    lines = SLIPS_FILE.read_bytes().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_bytes(lines[0] + lines[1][:-300])
    with pytest.raises(LogError, match="no bank of slips"):
        read_bank(tmp_path / "cut.jsonl")
    (tmp_path / "other.jsonl").write_bytes(lines[0].replace(b'"bank":1', b'"bank":7'))
    with pytest.raises(LogError, match="version 7"):
        read_bank(tmp_path / "other.jsonl")
    bank = read_bank()
    short = replace(bank, entries=(replace(bank.entries[0], outcomes=bank.entries[0].outcomes[:-1]),))
    with pytest.raises(LogError, match="damaged"):
        short.scores("public")


def test_partial_slips_are_taken_first_and_those_that_hide_each_other_are_not() -> None:
    reference = Reference("def f(a, b):\n    if a < b:\n        return a + 1\n    return b * 2\n")
    sites = {site.number: site.family for site in reference.sites}
    number = {family: next(n for n, name in sites.items() if name == family) for family in sites.values()}
    rated = {
        family: {(at, 0): 0.5 if family != "return" else 0.0} for family, at in number.items() if family != "condition"
    }
    taken = chosen(reference, rated)
    assert "return" not in taken  # `return` without a value would hide the slip inside it
    assert {"arithmetic", "comparison", "constant"} <= set(taken)
    assert list(taken) == sorted(taken)


def test_draws_are_those_of_the_ordinary_environment() -> None:
    seeds = list(range(400))
    for count in (1, 2, 250, 2**31):
        drawn = draws.problems(seeds, count)
        assert drawn.tolist() == [int(keys.generator("problem", seed).integers(count)) for seed in seeds]
    parents, tails = [0, 7, 10**38], [child_tail("a_0", 0), child_tail("b_1", 12), child_tail("a_0", 3)]
    assert child_keys(parents, tails) == [child_key(0, "a_0", 0), child_key(7, "b_1", 12), child_key(10**38, "a_0", 3)]


def test_a_rare_draw_that_numpy_rejects_is_left_to_numpy() -> None:
    count = 2**31 + 1  # of these numpy rejects half
    drawn = [keys.key("draw", number) for number in range(64)]
    expected = [int(np.random.Generator(np.random.Philox(key=key)).integers(count)) for key in drawn]
    assert draws.integers(drawn, count).tolist() == expected


def test_uniform_draws_are_splitmix64() -> None:
    words = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    drawn = draws.uniforms(np.array([1234567], np.uint64), 5)
    assert drawn.tolist() == [[(word >> 11) * 2.0**-53 for word in words]]


def test_the_law_of_fresh_programs_and_refinements() -> None:
    low, high = np.full((1, 6), 0.1), np.full((1, 6), 0.9)
    chances = np.full((1, 6), 0.5)
    assert fresh_masks(low, chances).tolist() == [0]
    assert fresh_masks(high, chances).tolist() == [0b111111]
    parents = np.array([0b010101])
    assert refined_masks(parents, low, chances, np.zeros((1, 6))).tolist() == [0]  # all mended, none made
    assert refined_masks(parents, high, chances, chances).tolist() == [0b010101]  # nothing happens
    assert refined_masks(parents, low, np.zeros((1, 6)), chances).tolist() == [0b111111]  # none mended, all made


def test_a_longer_program_is_harder_and_an_author_is_able_in_its_own_families() -> None:
    skill = Skill(Chances(0.5, 0.9, 0.1), Chances(0.2, 0.3, 0.4), frozenset({"return"}))
    fresh, mend, slip = skill.table(("constant", "return"))
    assert fresh.tolist() == [0.2 ** (2.5**0.5), 0.5 ** (2.5**0.5), 1, 1, 1, 1]
    assert mend.tolist() == [0.3, 0.9, 1, 1, 1, 1]
    assert slip.tolist() == [0.4, 0.1, 0, 0, 0, 0]


def test_an_author_writes_what_its_draws_say_and_mends_the_parent_alone() -> None:
    problem = next(iter(starter().values()))
    author = from_spec("able", fresh="1", mend="1", slip="0")
    (fresh,) = author.act([turn(problem, 5)])
    name = getattr(problem.interface, "name", None)
    programs = programs_of(read_bank(), problem.id)
    assert programs.mask(extract_program(fresh.text, name) or "") == 0
    (mended,) = author.act([turn(problem, 5, programs.text(3))])
    assert programs.mask(extract_program(mended.text, name) or "") == 0
    (same,) = from_spec("able", mend="0", slip="0").act([turn(problem, 5, programs.text(3))])
    assert programs.mask(extract_program(same.text, name) or "") == 3
    assert author.act([turn(problem, 5)]) == author.act([turn(problem, 5)])


def test_a_program_that_is_not_the_banks_is_written_afresh() -> None:
    problem, author = next(iter(starter().values())), from_spec("able")
    assert author.act([turn(problem, 9, "print('x')")]) == author.act([turn(problem, 9)])


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        ("abel", {}, "Did you mean 'able'"),
        ("able", {"fresch": "1"}, "option of bank"),
        ("able", {"fresh": "much"}, "not a number"),
        ("able", {"mend": "2"}, "mend"),
    ],
)
def test_wrong_specs_say_what_is_wrong(spec: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        from_spec(spec, **options)
    with pytest.raises(ConfigError, match="family of slips"):
        Skill(Chances(1, 1, 1), families=frozenset({"typo"}))


def test_authors_are_known_by_skill_and_bank() -> None:
    assert (
        from_spec("able").identity
        != from_spec("able", mend="0.5").identity
        != BankAuthor(Skill(Chances(1, 1, 1))).identity
    )
    assert read_bank().digest[:16] in from_spec("able").identity


def test_a_problem_that_is_not_in_the_bank_is_refused() -> None:
    strange = mars2_env.ProblemSet("mine", (replace(next(iter(starter().values())), id="mine/1"),), "train", "training")
    with pytest.raises(ConfigError, match="no problem 'mine/1'"):
        from_spec("able", problems=strange)


def test_the_command_says_what_the_bank_holds() -> None:
    said = CliRunner().invoke(bench, ["bank", "show"])
    assert said.exit_code == 0
    assert read_bank().digest in said.output and "500" in said.output
