"""The contract tests of PettingZoo, Gymnasium, Stable-Baselines3 and TorchRL, over games, interfaces and agent counts.

Programs are random texts or a simulated policy's, so the sandbox is the scripted one.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gymnasium
import pettingzoo
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import (
    api_test,
    max_cycles_test,
    parallel_api_test,
    parallel_seed_test,
    performance_benchmark,
    render_test,
    seed_test,
    state_test,
)
from toys import Guesser, problem_set, sandbox

import mars2_env
from mars2_env.envs import place_v0, play_v0, write_v0

AGENTS = [1, 2, 3, 5]

CONFIGURATIONS: list[dict[str, Any]] = [
    {"reward": "progress", "share": "own"},
    {"reward": "score", "share": "team", "observe": "own"},
    {"reward": "difference", "score": "fraction", "score_on": "public", "stop_on_solved": True},
]

CASES = [(1, 0), (2, 0), (2, 1), (2, 2), (3, 1), (5, 2)]
"""(agents, configuration): each configuration with two agents, each number of agents once."""

EXPECTED_WARNINGS = {
    "Observation is not a NumPy array": "texts, or a Dict with an action mask",
    "Observation space for each agent probably should be": "a Dict",
    "Action space for each agent probably should be": "a Dict of texts, in `write` and `play`",
    "PettingZoo in TorchRL is tested using version": "TorchRL names the version it was made with",
}


@pytest.fixture(autouse=True)
def no_unexpected_warning() -> Iterator[None]:
    """The checkers warn where they do not fail: only what the list above justifies is allowed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    unexpected = {
        str(warning.message) for warning in caught if not str(warning.message).startswith(tuple(EXPECTED_WARNINGS))
    }
    assert not unexpected


def maker(game: str, agents: int, configuration: int = 0, **options: Any) -> Callable[..., Any]:
    options = {"game": game, "agents": agents, "sandbox": sandbox(), **CONFIGURATIONS[configuration], **options}
    if game == "place":
        options["generators"] = Guesser()
    return partial(mars2_env.make, problem_set(), **options)


@pytest.mark.parametrize(("agents", "configuration"), CASES)
@pytest.mark.parametrize("game", ["write", "play", "place"])
def test_pettingzoo_aec(game: str, agents: int, configuration: int) -> None:
    make = maker(game, agents, configuration)
    api_test(make(), num_cycles=30)
    seed_test(make, num_cycles=15)
    env = make()
    env.reset(seed=0)
    state_test(env, maker("place" if game == "place" else "play", agents, configuration, api="parallel")())


@pytest.mark.parametrize(("agents", "configuration"), CASES)
@pytest.mark.parametrize("game", ["play", "place"])
def test_pettingzoo_parallel(game: str, agents: int, configuration: int) -> None:
    make = maker(game, agents, configuration, api="parallel")
    parallel_api_test(make(), num_cycles=30)
    parallel_seed_test(make, num_cycles=15)


class Dealer(Guesser):
    """A generator with a card."""

    card_size = 2

    def card(self, tree_seed: int, problem: mars2_env.PublicView, agent: str) -> list[float]:
        """Return two numbers that differ from tree to tree."""
        return [tree_seed % 7 / 6, float(agent == "agent_0")]


class Length:
    """A clue: how long the statement is."""

    size = 1

    def __call__(self, problem: mars2_env.PublicView) -> list[float]:
        """Return a share of 50 characters."""
        return [min(len(problem.statement), 50) / 50]


MORE: list[dict[str, Any]] = [
    {"agents": 3, "budget": 7, "rounds": 4},
    {"agents": 2, "budget": 5, "rounds": 3, "cards": True, "clues": Length(), "observe": "own", "share": "team"},
    {"agents": 2, "budget": 6, "cards": True, "clues": Length(), "observe": "own", "generators_observe": "all"},
]
"""`place` with rounds, cards and clues."""


def more_of_place(options: dict[str, Any], api: str) -> Callable[..., Any]:
    return partial(
        mars2_env.make, problem_set(), game="place", api=api, generators=Dealer(), sandbox=sandbox(), **options
    )


@pytest.mark.parametrize("options", MORE, ids=lambda options: "+".join(options))
def test_pettingzoo_on_rounds_cards_and_clues(options: dict[str, Any]) -> None:
    make = more_of_place(options, "aec")
    api_test(make(), num_cycles=30)
    seed_test(make, num_cycles=15)
    env = make()
    env.reset(seed=0)
    parallel = more_of_place(options, "parallel")
    state_test(env, parallel())
    parallel_api_test(parallel(), num_cycles=30)
    parallel_seed_test(parallel, num_cycles=15)


@pytest.mark.parametrize("options", MORE, ids=lambda options: "+".join(options))
@pytest.mark.parametrize("api", ["aec", "parallel"])
def test_torchrl_check_env_specs_on_rounds_cards_and_clues(api: str, options: dict[str, Any]) -> None:
    library = pytest.importorskip("torchrl.envs.libs.pettingzoo")
    env = more_of_place(options, api)()
    check_specs(library.PettingZooWrapper(env, use_mask=api == "aec", return_state=True, categorical_actions=True))


def test_gymnasium_on_clues() -> None:
    check_env(registered_route(2, clues=Length()).unwrapped)


@pytest.mark.parametrize("game", ["write", "play", "place"])
def test_pettingzoo_render(game: str, capsys: pytest.CaptureFixture[str]) -> None:
    render_test(maker(game, 2))  # of AEC environments alone
    assert "toy/" in capsys.readouterr().out


@pytest.mark.parametrize("agents", AGENTS)
@pytest.mark.parametrize("module", [play_v0, place_v0])
def test_pettingzoo_max_cycles(module: Any, agents: int) -> None:
    class Module:  # random actions: illegal parents neither crash nor shorten an episode
        env = staticmethod(partial(module.env, sandbox="scripted", agents=agents))
        parallel_env = staticmethod(partial(module.parallel_env, sandbox="scripted", agents=agents))

    max_cycles_test(Module)


@pytest.mark.parametrize("game", ["write", "play", "place"])
def test_pettingzoo_performance_benchmark(game: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:  # it steps for five seconds of this clock, which are fifty looks at it
        time = partial(next, itertools.count(0.0, 0.1))

    monkeypatch.setattr(sys.modules["pettingzoo.test.performance_benchmark"], "time", Clock)
    performance_benchmark(maker(game, 2)())


def test_the_module_style_makes_the_default_games() -> None:
    modules: dict[str, Any] = {"write": write_v0, "play": play_v0, "place": place_v0}
    for game, module in modules.items():
        assert module.raw_env(sandbox="scripted").task.rules.game == game
        api_test(module.env(sandbox="scripted", max_cycles=3), num_cycles=10)


@pytest.mark.skipif(not hasattr(pettingzoo, "make"), reason="PettingZoo before 1.27 has no registry")
def test_pettingzoos_registry_makes_our_environments() -> None:
    for id in ("mars2/Starter-v0", "mars2/StarterPlay-v0", "mars2/StarterPlace-v0"):
        env = pettingzoo.make("aec", id, sandbox=sandbox())
        assert isinstance(env, mars2_env.envs.TreeSearchAEC)
    for id in ("mars2/StarterPlay-v0", "mars2/StarterPlace-v0"):
        env = pettingzoo.make("parallel", id, sandbox=sandbox())
        assert isinstance(env, mars2_env.envs.TreeSearchParallel)


def registered_route(agents: int, **options: Any) -> gymnasium.Env[Any, Any]:
    options = {"agents": agents, "generators": "noise:weak", "sandbox": "scripted", **options}
    return gymnasium.make("mars2/StarterRoute-v0", **options)


@pytest.mark.parametrize("reward", ["progress", "score"])
@pytest.mark.parametrize("agents", AGENTS)
def test_gymnasium_check_env(agents: int, reward: str) -> None:
    check_env(registered_route(agents, reward=reward).unwrapped)


@pytest.mark.parametrize("agents", AGENTS)
def test_gymnasiums_wrappers_find_nothing_wrong(agents: int) -> None:
    env = registered_route(agents)  # in Gymnasium's passive checker and order enforcer
    env.reset(seed=0)
    for _ in range(8):
        _, _, over, _, _ = env.step(env.action_space.sample(env.get_wrapper_attr("action_masks")()))
    assert over
    env.close()


@pytest.mark.parametrize("agents", AGENTS)
def test_stable_baselines3_check_env(agents: int) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(registered_route(agents).unwrapped)


@pytest.mark.parametrize(("agents", "configuration"), CASES)
@pytest.mark.parametrize("api", ["aec", "parallel"])
def test_torchrl_check_env_specs_on_place(api: str, agents: int, configuration: int) -> None:
    library = pytest.importorskip("torchrl.envs.libs.pettingzoo")
    env = maker("place", agents, configuration, api=api)()
    wrapped = library.PettingZooWrapper(env, use_mask=api == "aec", return_state=True, categorical_actions=True)
    check_specs(wrapped)


@pytest.mark.parametrize("agents", AGENTS)
def test_torchrl_check_env_specs_on_route(agents: int) -> None:
    library = pytest.importorskip("torchrl.envs.libs.gym")
    check_specs(library.GymWrapper(registered_route(agents), categorical_action_encoding=True))


def check_specs(env: Any) -> None:
    """Run TorchRL's own check, and an episode of random legal actions."""
    from torchrl.envs.utils import check_env_specs

    check_env_specs(env)
    rollout = env.rollout(20)
    assert rollout["next", "terminated"].any()
