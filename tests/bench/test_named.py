"""The named environments: on tables they are, to the byte, what they are elsewhere; a digest names their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import pytest
from bank_play import few_problems, same, table_sandbox
from hypothesis import given, settings
from hypothesis import strategies as st
from mars2_bench.suite.authors import Chances, Skill
from mars2_bench.suite.clues import Fingerprint, template_of
from mars2_bench.suite.named import NAMED, Named, find, offered
from mars2_bench.suite.staged import STAGES, Kinds
from mars2_bench.suite.teams import Team, TeamAuthor
from mars2_bench.suite.vector import BankRounds, BankRoute, make_vec

import mars2_env
from mars2_env import ConfigError, ProblemSet, Task
from mars2_env.base.parts import Parts
from mars2_env.tasks import build
from mars2_env.testing import ScriptedSandbox
from mars2_env.testing.mutation import FAMILIES

PLACE = [named for named in NAMED.values() if named.game == "place"]


@cache
def problems() -> ProblemSet:
    return few_problems(5)


@cache
def sandbox(kinds: Kinds) -> ScriptedSandbox:
    return table_sandbox(problems(), kinds=kinds)


def few(named: Named, **options: Any) -> Task:
    """Return an environment's task on a few problems, judged by what the tables say."""
    options = {**named.game_options, "sandbox": sandbox(named.team.kinds), **options}
    return mars2_env.task(problems(), **options)


def test_every_id_is_made_by_name_as_the_installed_package_offers_it() -> None:
    offering = {point.name: point.value for point in entry_points(group="mars2_env.tasks")}
    assert {id for id, where in offering.items() if where == "mars2_bench.suite.named:offered"} == set(NAMED)
    assert mars2_env.task("mars2/Route-v1").problems.hash == find("Route-v1").problems("train").hash


def choices(trees: Any, task: Task, rng: np.random.Generator) -> Any:
    """Return actions: any node there is, now and then any number at all; where agents may, they pass as often."""
    count, budget, passing = len(trees.size), task.budget.nodes, task.rules.rounds is not None
    any_slot = np.where(rng.random(count) < 0.9, rng.integers(trees.size), rng.integers(budget + 1, size=count))
    if task.rules.game == "route":
        return rng.integers(len(task.agents), size=count) * (budget + 1) + any_slot
    chosen = {}
    for agent in task.agents:
        any_slot = np.where(rng.random(count) < 0.9, rng.integers(trees.size), rng.integers(budget + 1, size=count))
        chosen[agent] = np.where(rng.random(count) < 0.4 * passing, budget + 1, any_slot)
    return chosen


def play_both(task: Task, count: int, steps: int, seed: int, mode: str = "SameStep") -> int:
    """Play the same actions on tables and elsewhere, assert that all is the same, and return how many trees ended."""
    tables, ordinary = make_vec(task, count, autoreset_mode=mode), mars2_env.make_vec(task, count, autoreset_mode=mode)
    rng, ended = np.random.default_rng(seed), 0
    same(ordinary.reset(seed=seed), tables.reset(seed=seed), "reset")
    for step in range(steps):
        if isinstance(tables, BankRounds):
            same(ordinary.state(), tables.state(), f"state before step {step}")  # type: ignore[union-attr]
        actions = choices(tables.trees, task, rng)
        expected, found = ordinary.step(actions), tables.step(actions)
        same(expected, found, f"step {step}")
        over = found[2]
        ended += int((next(iter(over.values())) if isinstance(over, Mapping) else over).sum())
    return ended


@pytest.mark.parametrize("id", NAMED)
def test_an_environment_on_tables_is_the_environment(id: str) -> None:
    named = NAMED[id]
    steps = {"route": 9, "place": 7}[named.game] if len(named.agents) < 8 else 3
    play_both(few(named), 3, steps, 5)


@pytest.mark.slow
@pytest.mark.parametrize("id", NAMED)
def test_a_thousand_trees_of_it_are_the_same(id: str) -> None:
    named, ended, seed = NAMED[id], 0, 0
    while ended < (1000 if len(named.agents) < 8 else 100):
        ended += play_both(few(named), 32, 40, seed)
        seed += 1000


ROLES = {
    **{stage: Skill(Chances(0.9, 0.6, 0), Chances(0.3, 0.1, 0.3), frozenset({stage})) for stage in STAGES},
    "logic": Skill(Chances(0.9, 0.6, 0), Chances(0.3, 0.1, 0.3), frozenset(FAMILIES)),
}


@st.composite
def games(draw: st.DrawFn) -> Task:
    """Return any game of the suite's options on a few problems."""
    stages = tuple(name for name in STAGES if draw(st.booleans()))
    kinds = Kinds(stages, draw(st.sampled_from([1, 2, 3])))
    roles = draw(st.lists(st.sampled_from(sorted(ROLES)), min_size=1, max_size=4))
    team = Team(tuple(ROLES[role] for role in roles), draw(st.sampled_from(["never", "tree", "template"])), kinds)
    agents = tuple(f"one_{number}" for number in range(len(roles)))
    options: dict[str, Any] = {"clues": draw(st.sampled_from([None, Fingerprint(3)]))}
    if draw(st.booleans()):
        options |= {"game": "route", "api": "gymnasium", "budget": draw(st.integers(1, 6))}
    else:
        passing = draw(st.booleans())
        options |= {
            "game": "place",
            "api": "parallel",
            "rounds": draw(st.integers(1, 4)) if passing else None,
            "budget": draw(st.integers(1, 9)) if passing else len(roles) * draw(st.integers(1, 3)),
            "share": draw(st.sampled_from(["own", "team"])),
            "observe": draw(st.sampled_from(["all", "own"])),
            "cards": draw(st.booleans()),
        }
        if draw(st.booleans()):
            options["generators_observe"] = draw(st.sampled_from(["all", "own"]))
    return mars2_env.task(
        problems(),
        agents=list(agents),
        generators=TeamAuthor(team, agents),
        score="fraction",
        stop_on_solved=draw(st.sampled_from([0, 1, 2])),
        sandbox=sandbox(kinds),
        **options,
    )


@settings(max_examples=15, deadline=None)
@given(task=games(), mode=st.sampled_from(["NextStep", "SameStep"]), seed=st.integers(0, 2**40))
def test_any_game_of_these_options_is_the_same_on_tables(task: Task, mode: str, seed: int) -> None:
    play_both(task, 3, 8, seed, mode)


@pytest.mark.parametrize("id", ["mars2/Commons-v1", "mars2/Templates-v1"])
def test_a_real_sandbox_gives_what_the_tables_give(id: str, docker_sandbox: Any) -> None:
    named = NAMED[id]
    options = {**named.game_options, "sandbox": docker_sandbox, "budget": 5}
    play_both(mars2_env.task(few_problems(2), **options), 2, 3, 3)


def test_roles_are_drawn_by_the_tree_and_told_on_cards() -> None:
    envs = find("Relay-v1").make_vec(300)
    assert isinstance(envs, BankRounds)
    seen, _ = envs.reset(seed=0)
    place = envs.trees.game.layout.names.index("card.0")
    cards = np.stack([seen[agent]["observation"][:, place : place + 3] for agent in envs.agents], axis=1)
    assert (cards.sum(axis=2) == 1).all() and (cards.sum(axis=1) == 1).all()  # each agent one role, each role once
    assert (cards.argmax(axis=2) == envs.trees.roles).all()
    ways = np.unique(envs.trees.roles, axis=0, return_counts=True)[1]
    assert len(ways) == 6 and ways.min() > 25  # all orders, about as often
    assert envs.state().shape[1] == seen["agent_0"]["observation"].shape[1] - 6  # without cards and `self`


def test_equal_roles_have_one_card() -> None:
    team = find("Scale8-v1").team
    assert team.cards().shape == (8, 4) and (team.cards()[:4] == team.cards()[4:]).all()


def test_who_is_able_is_a_matter_of_the_template_and_observed_are_the_clues() -> None:
    named = find("Templates-v1")
    able: dict[str, int] = {}
    for split in named.splits:
        envs = named.make_vec(400, split=split)
        assert isinstance(envs, BankRoute)
        observed, _ = envs.reset(seed=1)
        first = envs.trees.game.layout.names.index("clue.0")
        views = [envs.trees.game.bank.entries[place].problem for place in envs.trees.place]
        for problem, roles, vector in zip(views, envs.trees.roles.tolist(), observed["observation"], strict=True):
            assert able.setdefault(template_of(problem), roles.index(0)) == roles.index(0)
            told = named.options["clues"](mars2_env.load_problems("starter", split=problem.split("/")[1])[problem])
            assert vector[first : first + 16].tolist() == list(told)
    assert len(able) == 50 and sorted(Counter(able.values()).values()) == [16, 17, 17]


def test_unseen_templates_are_in_no_other_split_and_problems_are_enough_to_admit_by() -> None:
    named = find("Templates-v1")
    apart = {template_of(problem.id) for problem in named.problems("unseen")}
    assert not apart & {template_of(problem.id) for split in ("train", "test") for problem in named.problems(split)}
    assert len(named.problems("test")) >= 150 <= len(named.problems("unseen"))
    ids = {split: {problem.id for problem in find("Route-v1").problems(split)} for split in ("train", "test")}
    assert not ids["train"] & ids["test"]


def test_fingerprints_are_alike_within_a_template_and_differ_between_them() -> None:
    views = list(mars2_env.load_problems("starter", split="train"))
    exact = {template_of(problem.id): set() for problem in views}  # type: dict[str, set[tuple[float, ...]]]
    for problem in views:
        exact[template_of(problem.id)].add(Fingerprint()(problem))
    assert all(len(found) == 1 for found in exact.values()) and len(set.union(*exact.values())) == 50
    turned = [np.not_equal(Fingerprint()(problem), Fingerprint(noise=0.05)(problem)).mean() for problem in views]
    assert 0.03 < np.mean(turned) < 0.07


def test_what_is_hidden_from_controllers_is_shown_to_authors() -> None:
    full, own = find("Relay-v1").make_vec(8), find("RelayOwn-v1").make_vec(8)
    assert isinstance(full, BankRounds) and isinstance(own, BankRounds)
    full.reset(seed=2)
    own.reset(seed=2)
    for slot in (0, 1, 2):
        action = {agent: np.full(8, slot) for agent in full.agents}
        seen, hidden = full.step(action)[0], own.step(action)[0]
    assert (full.trees.mask == own.trees.mask).all()  # the same programs were written
    assert (seen["agent_0"]["observation"] != hidden["agent_0"]["observation"]).any()


NUMBERS: Mapping[str, tuple[str, str]] = {
    "mars2/Route-v1": (
        "71c45fd6bc4b34c26162f6cf1a6d1588bf4c763e39d3dca2f7323b190a28311f",
        "6025b8de61e6b93163acb845d9a68c9ba37586294d25e1de02f03c80652978c5",
    ),
    "mars2/Relay-v1": (
        "01676386eb16e7312457852466218abf7190a12073f7989389baf2976ae8c8e8",
        "46db10af144daeba55bc08d7ee786947c8296dcae692c91b5551b54db3f80f9d",
    ),
    "mars2/RelayOwn-v1": (
        "8b326d1554618638ea1b2124db5e500cd24f2e3c1858de9b7135431f7fe77853",
        "5886ceb6dc1927fa2f72a60291bff710d1f8dfdeaa88c0e15732b99f2481020a",
    ),
    "mars2/Commons-v1": (
        "49577b79fe1d171ca9feee1a971e9d35229b367152b73d699a6c3e2689711c21",
        "a8c8ab0736f39a6a299e3f70ca20101d87af29372bcd29cc41d308e3a7e5c904",
    ),
    "mars2/Templates-v1": (
        "ce0a8df8600507ab8de3f2a2af23e04811175d0ccca8cb42d76ca2fa7b041fd2",
        "e45e147517d3722d35ccdbf9194621866c012349a507813a7500e4643141361f",
    ),
    "mars2/Scale4-v1": (
        "bc869c900b6e419e4c35e492c2fd700d01a23f021b81f0ccbe060a16de2dc925",
        "f7b2016fb61bd9ce19cffab34644acffc7e4a4dbe55eccdba95bb809e591e360",
    ),
    "mars2/Scale8-v1": (
        "d69c61c8ef589a65850ebf14a072f96ad33a1e3904dd47c89cc986c322416799",
        "558ee24ae958118ce67c0d12167c2f260c3d1c9cfb86cf1e2d74a44b1868a957",
    ),
}
"""Of each id its digest, and that of what a vector of it returns for some actions."""


def played(named: Named) -> str:
    """Return a digest of what some actions come to: observations, rewards and ends."""
    envs, rng, found = named.make_vec(16, autoreset_mode="SameStep"), np.random.default_rng(0), sha256()
    seen, _ = envs.reset(seed=0)
    for _ in range(16):
        seen, rewards, ends, *_ = envs.step(choices(envs.trees, envs.trees.game.task, rng))
        for part in (seen, rewards, ends) if named.game == "route" else (seen["agent_0"], *rewards.values()):
            for array in part.values() if isinstance(part, dict) else (part,):
                found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("id", NAMED)
def test_the_numbers_of_an_id_never_change(id: str) -> None:
    assert (NAMED[id].digest, played(NAMED[id])) == NUMBERS[id], "an id whose numbers change is a new id"


def test_ids_are_found_with_and_without_the_prefix_and_near_names_are_told() -> None:
    assert find("Route-v1") is find("mars2/Route-v1") is NAMED["mars2/Route-v1"]
    with pytest.raises(ConfigError, match="mars2/Relay-v1"):
        find("mars2/Rellay-v1")
    with pytest.raises(ConfigError, match="test"):
        find("Route-v1").task("tset")


@pytest.mark.parametrize("id", NAMED)
def test_an_id_makes_the_ordinary_environment(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "OFFERED", Parts("environment", "nobody", dict.fromkeys(NAMED, offered)))
    found, own = mars2_env.task(id), NAMED[id].task()
    assert found.id == id and found.api == own.api
    assert found.config() == own.config() and found.problems.hash == own.problems.hash
    env: Any = mars2_env.make(id, sandbox=sandbox(NAMED[id].team.kinds))
    env.reset(seed=0)
    assert env.episode.budget.nodes == NAMED[id].budget


def test_near_ids_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "OFFERED", Parts("environment", "nobody", dict.fromkeys(NAMED, offered)))
    with pytest.raises(ConfigError, match="Did you mean 'mars2/Relay-v1'"):
        mars2_env.task("mars2/Realy-v1")
