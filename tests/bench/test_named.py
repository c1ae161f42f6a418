"""The named environments: on tables they are, to the byte, what they are elsewhere; a digest names their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
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


def test_who_is_able_is_a_matter_of_the_template_and_the_clues_name_it() -> None:
    named = find("Templates-v1")
    seen: dict[str, tuple[int, bytes]] = {}
    for split in named.splits:
        envs = named.make_vec(400, split=split)
        assert isinstance(envs, BankRoute)
        observed, _ = envs.reset(seed=1)
        first = envs.trees.game.layout.names.index("clue.0")
        for place, roles, vector in zip(envs.trees.place, envs.trees.roles, observed["observation"], strict=True):
            template = template_of(envs.trees.game.bank.entries[place].problem)
            told = int(roles.tolist().index(0)), vector[first : first + 16].tobytes()
            assert seen.setdefault(template, told) == told
    assert len(seen) == 50 == len({clues for _, clues in seen.values()})
    apart = {template_of(problem.id) for problem in named.problems("unseen")}
    assert not apart & {template_of(problem.id) for split in ("train", "test") for problem in named.problems(split)}
    assert len(named.problems("test")) >= 150 <= len(named.problems("unseen"))


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


DIGESTS: Mapping[str, str] = {
    "mars2/Route-v1": "71c45fd6bc4b34c26162f6cf1a6d1588bf4c763e39d3dca2f7323b190a28311f",
    "mars2/Relay-v1": "01676386eb16e7312457852466218abf7190a12073f7989389baf2976ae8c8e8",
    "mars2/RelayOwn-v1": "8b326d1554618638ea1b2124db5e500cd24f2e3c1858de9b7135431f7fe77853",
    "mars2/Commons-v1": "bb3b58d42d70338b8513518d8da5c06855c5aa11e0eb102283304b79aa674670",
    "mars2/Templates-v1": "473245b745ccbb104911ed3bba39f4762bcdb3331966769fceff799ebba79f2a",
    "mars2/Scale4-v1": "bc869c900b6e419e4c35e492c2fd700d01a23f021b81f0ccbe060a16de2dc925",
    "mars2/Scale8-v1": "0944861905ef2d2fe1c86c4c9b0a595d8804a939664e7321bb057f494ea2b48c",
}


def test_an_environment_is_known_by_its_digest() -> None:
    assert {named.id: named.digest for named in NAMED.values()} == DIGESTS, "numbers changed: give the id a new number"


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
