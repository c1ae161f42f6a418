"""Vectors on the bank's tables play, to the byte, what the ordinary environment plays with the same authors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest
from bank_play import bank_task, few_problems, same, table_sandbox
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from hypothesis import given, settings
from hypothesis import strategies as st
from mars2_bench.speed import bank as speed
from mars2_bench.suite.authors import from_spec
from mars2_bench.suite.bank import read_bank
from mars2_bench.suite.named import NAMED
from mars2_bench.suite.trees import Trees
from mars2_bench.suite.vector import BankRounds, BankRoute, make_vec
from pettingzoo.test import parallel_api_test

import mars2_env
from mars2_env import ConfigError, EpisodeError, ProblemSet
from mars2_env.testing import ScriptedSandbox
from mars2_env.types import PublicView

MODES = ["NextStep", "SameStep", "Disabled"]
AGENTS = 3


@cache
def problems() -> ProblemSet:
    return few_problems(6)


@cache
def sandbox() -> ScriptedSandbox:
    return table_sandbox(problems())


def route(count: int, mode: str = "NextStep", **options: Any) -> BankRoute:
    made = make_vec(bank_task("route", problems(), **options), count, autoreset_mode=mode)
    assert isinstance(made, BankRoute)
    return made


def rounds(count: int, mode: str = "NextStep", **options: Any) -> BankRounds:
    made = make_vec(bank_task("place", problems(), **options), count, autoreset_mode=mode)
    assert isinstance(made, BankRounds)
    return made


def slots(trees: Trees, budget: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Any slot that is there, now and then any at all."""
    there, anywhere = rng.integers(trees.size), rng.integers(budget + 1, size=len(trees.size))
    return np.where(rng.random(len(trees.size)) < 0.9, there, anywhere)


def play_both(
    ordinary: Any, tables: Any, mode: str, seed: int, steps: int, act: Callable[[np.random.Generator], Any]
) -> int:
    """Play the same actions in both, assert that all is the same, and return how many trees ended."""
    rng, ended = np.random.default_rng(seed), 0
    same(ordinary.reset(seed=seed), tables.reset(seed=seed), "reset")
    over = np.zeros(tables.num_envs, np.bool_)
    for step in range(steps):
        if mode == "Disabled" and over.any():
            again = {"reset_mask": over}
            same(ordinary.reset(options=again), tables.reset(options=again), f"reset before step {step}")
        action = act(rng)
        found, expected = tables.step(action), ordinary.step(action)
        same(expected, found, f"step {step}")
        over = found[2] if isinstance(found[2], np.ndarray) else found[2]["first_0"]
        ended += int(over.sum())
    return ended


def play_route(count: int, mode: str, seed: int, steps: int, **options: Any) -> int:
    tables = route(count, mode, **options)
    task = bank_task("route", problems(), sandbox=sandbox(), **options)
    ordinary = mars2_env.make_vec(task, count, autoreset_mode=mode)
    budget = task.budget.nodes

    def act(rng: np.random.Generator) -> Any:
        return rng.integers(AGENTS, size=count) * (budget + 1) + slots(tables.trees, budget, rng)

    return play_both(ordinary, tables, mode, seed, steps, act)


def play_rounds(count: int, mode: str, seed: int, steps: int, **options: Any) -> int:
    tables = rounds(count, mode, **options)
    task = bank_task("place", problems(), sandbox=sandbox(), **options)
    ordinary: Any = mars2_env.make_vec(task, count, autoreset_mode=mode)
    budget, passing = task.budget.nodes, task.rules.rounds is not None

    def act(rng: np.random.Generator) -> Any:
        same(ordinary.state(), tables.state(), "state")
        chosen = {agent: slots(tables.trees, budget, rng) for agent in tables.agents}
        if not passing:
            return chosen
        return {agent: np.where(rng.random(count) < 0.4, budget + 1, some) for agent, some in chosen.items()}

    return play_both(ordinary, tables, mode, seed, steps, act)


COMMON = {
    "mode": st.sampled_from(MODES),
    "seed": st.integers(0, 2**40),
    "stop_on_solved": st.sampled_from([0, 1, 2]),
    "score_on": st.sampled_from(["public", "scoring"]),
}


@settings(max_examples=12, deadline=None)
@given(budget=st.integers(1, 9), reward=st.sampled_from(["progress", "score"]), **COMMON)
def test_route_on_tables_is_route(budget: int, mode: str, seed: int, **options: Any) -> None:
    play_route(4, mode, seed, 2 * budget + 2, budget=budget, **options)


@settings(max_examples=12, deadline=None)
@given(
    turns=st.integers(1, 4),
    reward=st.sampled_from(["progress/own", "progress/team", "score/own", "score/team", "difference/own"]),
    observe=st.sampled_from(["all", "own"]),
    **COMMON,
)
def test_place_in_rounds_on_tables_is_place(turns: int, reward: str, mode: str, seed: int, **options: Any) -> None:
    kind, share = reward.split("/")
    play_rounds(3, mode, seed, 2 * turns + 2, budget=AGENTS * turns, reward=kind, share=share, **options)


@settings(max_examples=12, deadline=None)
@given(
    budget=st.integers(1, 9),
    rounds=st.integers(1, 5),
    share=st.sampled_from(["own", "team"]),
    **COMMON,
)
def test_agents_pass_and_share_a_budget_on_tables_as_elsewhere(mode: str, seed: int, **options: Any) -> None:
    play_rounds(3, mode, seed, 12, **options)


@pytest.mark.slow
def test_a_thousand_trees_of_route_are_the_same() -> None:
    assert play_route(32, "SameStep", 11, 200, budget=6) >= 1000


@pytest.mark.slow
def test_a_thousand_trees_of_place_are_the_same() -> None:
    assert play_rounds(32, "SameStep", 12, 200, budget=18, share="team") >= 1000


def test_a_real_sandbox_gives_what_the_tables_give(docker_sandbox: Any) -> None:
    few = few_problems(2)
    for game in ("route", "place"):
        ordinary = mars2_env.make_vec(bank_task(game, few, sandbox=docker_sandbox, budget=3), 2)
        tables = make_vec(bank_task(game, few, budget=3), 2)
        same(ordinary.reset(seed=4), tables.reset(seed=4))
        for slot in (0, 1, 2) if game == "route" else (0,):
            batch = np.array([slot, slot])
            action: Any = batch if game == "route" else {agent: batch for agent in ("first_0", "second_0", "third_0")}
            same(ordinary.step(action), tables.step(action), game)


def test_a_copy_is_marked_earns_nothing_and_names_the_first() -> None:
    sure = from_spec("able", fresh="1", mend="1", slip="0")
    envs = route(1, "Disabled", authors=[sure] * 3, reward="score", stop_on_solved=False)
    envs.reset(seed=0)
    envs.step(np.array([0]))
    _, rewards, _, _, infos = envs.step(np.array([1]))
    assert rewards.tolist() == [0.0]
    assert infos["duplicate_of"].tolist() == [1] and infos["score"].tolist() == [1.0]


def test_a_slot_that_is_not_there_costs_an_expansion_and_adds_no_node() -> None:
    envs = route(2, "Disabled")
    envs.reset(seed=0)
    _, rewards, _, _, infos = envs.step(np.array([3, 0]))
    assert infos["outcome"][0] == "illegal" and rewards[0] == 0.0
    assert envs.trees.size.tolist() == [1, 2] and envs.trees.spent.tolist() == [1, 1]
    assert infos["_node"].tolist() == [False, True]


def test_a_vector_of_many_plays_what_vectors_of_one_play() -> None:
    many = route(3, "Disabled")
    alone = [route(1, "Disabled") for _ in range(3)]
    many.reset(seed=[5, 9, 2])
    for env, seed in zip(alone, (5, 9, 2), strict=True):
        env.reset(seed=seed)
    for action in (0, 8, 2):
        seen, rewards, *_ = many.step(np.full(3, action))
        for number, env in enumerate(alone):
            one, reward, *_ = env.step(np.array([action]))
            same(one["observation"][0], seen["observation"][number])
            assert reward[0] == rewards[number]


def test_what_is_returned_belongs_to_the_caller() -> None:
    envs = rounds(2)
    seen, _ = envs.reset(seed=1)
    kept = {agent: seen[agent]["observation"].copy() for agent in envs.agents}
    for agent in envs.agents:
        seen[agent]["observation"][:] = 7.0
    again = envs.reset(seed=1)[0]
    for agent in envs.agents:
        same(kept[agent], again[agent]["observation"])


def test_observations_and_actions_are_of_their_spaces() -> None:
    envs = route(5)
    assert isinstance(envs, gymnasium.vector.VectorEnv)
    envs.action_space.seed(3)
    seen, _ = envs.reset(seed=3)
    assert envs.observation_space.contains(seen)
    for _ in range(8):
        seen, *_ = envs.step(envs.action_space.sample())
        assert envs.observation_space.contains(seen)
    many = rounds(4)
    seen, _ = many.reset(seed=3)
    for agent in many.agents:
        assert many.observation_space(agent).contains(seen[agent])
        assert many.single_action_space(agent).contains(0)
        assert many.single_observation_space(agent).contains({name: one[0] for name, one in seen[agent].items()})


def test_gymnasiums_wrappers_take_it() -> None:
    envs = RecordEpisodeStatistics(route(3, budget=2))
    envs.reset(seed=0)
    envs.step(np.zeros(3, np.int64))
    *_, infos = envs.step(np.zeros(3, np.int64))
    assert infos["episode"]["l"].tolist() == [2, 2, 2]


@pytest.mark.filterwarnings("ignore:.*alternative:UserWarning")
def test_the_ordinary_environments_keep_their_contracts_with_the_banks_authors() -> None:
    check_env(mars2_env.make(bank_task("route", problems(), sandbox=sandbox())), skip_render_check=True)
    env: Any = mars2_env.make(bank_task("place", problems(), sandbox=sandbox()))
    parallel_api_test(env, num_cycles=20)


def test_problems_can_be_named_and_are_drawn_by_the_seed() -> None:
    envs, known = route(2), [problem.id for problem in problems()]
    envs.reset(seed=0, options={"problem": known[3]})
    assert envs.trees.place.tolist() == [read_bank().places[known[3]]] * 2
    envs.reset(seed=[4, 4], options={"problem": [known[1], known[2]]})
    assert envs.trees.place.tolist() == [read_bank().places[known[1]], read_bank().places[known[2]]]
    envs.reset(options={"problem": [known[0], known[0]], "reset_mask": np.array([True, False])})
    assert envs.trees.place.tolist() == [read_bank().places[known[0]], read_bank().places[known[2]]]
    with pytest.raises(ConfigError, match="no such problem"):
        envs.reset(options={"problem": "nowhere"})
    with pytest.raises(ConfigError, match="no such problem as 'nowhere'"):
        envs.reset(options={"problem": [known[0], "nowhere"]})
    with pytest.raises(ConfigError, match="1 problems for 2 environments"):
        envs.reset(options={"problem": [known[0]]})
    with pytest.raises(ConfigError, match="did you mean 'problem'"):
        envs.reset(options={"problems": known[3]})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"score": "pass"}, "score='pass'"),
        ({"patience": 2}, "patience=2"),
        ({"reward": lambda episode: lambda agent, node: 0.0}, "reward="),
        ({"stop_when": lambda episode: False}, "stop_when"),
        ({"render_mode": "ansi"}, "render_mode"),
        ({"generators": "noise:default"}, "bank's|own authors"),
    ],
)
def test_a_task_that_tables_cannot_play_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_vec(bank_task("route", problems()), 2, **options)


def test_cards_and_clues_are_checked_as_in_the_ordinary_environment() -> None:
    class Far:
        size = 1

        def __call__(self, problem: PublicView) -> list[float]:
            return [2.0]

    with pytest.raises(ConfigError, match="shows none"):
        make_vec(bank_task("place", problems()), 2, cards=True)
    with pytest.raises(ConfigError, match="clues"):
        make_vec(bank_task("place", problems()), 2, clues=Far())


def test_games_without_a_vector_form_and_wrong_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match="api='aec'"):
        make_vec(bank_task("place", problems()), 2, api="aec")
    with pytest.raises(ConfigError, match="BankRoute plays"):
        BankRoute(bank_task("place", problems()), 2)
    with pytest.raises(ConfigError, match="BankRounds plays"):
        BankRounds(bank_task("route", problems()), 2)


def test_wrong_uses_say_what_is_wrong() -> None:
    envs = route(2, "Disabled", budget=1)
    with pytest.raises(EpisodeError, match="reset"):
        envs.step(np.zeros(2, np.int64))
    with pytest.raises(EpisodeError, match="every environment"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs.reset(seed=0)
    for wrong in (np.zeros(3, np.int64), np.zeros(2), "ab", np.array([0, 99]), np.array([-1, 0])):
        with pytest.raises(ConfigError):
            envs.step(wrong)
    envs.step(np.zeros(2, np.int64))
    with pytest.raises(EpisodeError, match="are over"):
        envs.step(np.zeros(2, np.int64))
    envs.close()
    with pytest.raises(EpisodeError, match="closed"):
        envs.step(np.zeros(2, np.int64))
    many = rounds(2)
    many.reset(seed=0)
    with pytest.raises(ConfigError, match="a batch of actions for each"):
        many.step({"first_0": np.zeros(2, np.int64)})
    many.close()
    with pytest.raises(EpisodeError, match="closed"):
        many.step({agent: np.zeros(2, np.int64) for agent in many.agents})


def test_the_speed_benchmark_reports_games_and_ids(capsys: pytest.CaptureFixture[str]) -> None:
    assert speed.main(["--quick"]) == 0
    rows = [line.split("|")[1:5] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    found = [(name.strip(), count.strip()) for name, count, *_ in rows if count.strip() != "environments"]
    plain = [(game, count) for game in ("route", "place") for count in ("16", "1,024")]
    assert found == plain + [(id, "1,024") for id in NAMED]
    assert all(float(rate.replace(",", "")) > 0 for name, _, rate, _ in rows if name.strip() not in ("game", "id"))
