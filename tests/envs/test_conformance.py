"""PettingZoo's own contract tests, over games and configurations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pettingzoo
import pytest
from pettingzoo.test import (
    api_test,
    max_cycles_test,
    parallel_api_test,
    parallel_seed_test,
    render_test,
    seed_test,
    state_test,
)
from toys import problem_set, sandbox

import mars2_env
from mars2_env.envs import play_v0, write_v0

CONFIGURATIONS = [
    {"reward": "progress", "share": "own"},
    {"reward": "score", "share": "team", "observe": "own"},
    {"score": "fraction", "score_on": "public", "stop_on_solved": True},
]

EXPECTED_WARNINGS = (
    "Observation is not a NumPy array",  # texts
    "Observation space for each agent probably should be",  # Dict of Text
    "Action space for each agent probably should be",  # Dict of Text
)


@pytest.fixture(autouse=True)
def no_unexpected_warning() -> Iterator[None]:
    """PettingZoo warns where it does not fail: only what follows from texts is allowed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    unexpected = {str(warning.message) for warning in caught if not str(warning.message).startswith(EXPECTED_WARNINGS)}
    assert not unexpected


def maker(game: str, agents: int, **options: Any) -> Callable[..., Any]:
    return partial(mars2_env.make, problem_set(), game=game, agents=agents, sandbox=sandbox(), **options)


@pytest.mark.parametrize("options", CONFIGURATIONS, ids=str)
@pytest.mark.parametrize("agents", [1, 2, 3])
@pytest.mark.parametrize("game", ["write", "play"])
def test_aec(game: str, agents: int, options: dict[str, Any]) -> None:
    make = maker(game, agents, **options)
    api_test(make(), num_cycles=40)
    seed_test(make, num_cycles=20)
    env = make()
    env.reset(seed=0)
    state_test(env, mars2_env.make(problem_set(), game="play", api="parallel", agents=agents, sandbox=sandbox()))


@pytest.mark.parametrize("options", CONFIGURATIONS, ids=str)
@pytest.mark.parametrize("agents", [1, 2, 3])
def test_parallel(agents: int, options: dict[str, Any]) -> None:
    make = maker("play", agents, api="parallel", **options)
    parallel_api_test(make(), num_cycles=40)
    parallel_seed_test(make, num_cycles=20)


@pytest.mark.parametrize("game", ["write", "play"])
def test_render(game: str, capsys: pytest.CaptureFixture[str]) -> None:
    render_test(maker(game, 2))
    assert "toy/" in capsys.readouterr().out


@pytest.mark.parametrize("agents", [1, 2, 3])
def test_max_cycles(agents: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Module:
        env = staticmethod(partial(play_v0.env, sandbox=sandbox(), agents=agents))
        parallel_env = staticmethod(partial(play_v0.parallel_env, sandbox=sandbox(), agents=agents))

    max_cycles_test(Module)


def test_the_module_style_makes_the_default_games() -> None:
    assert write_v0.raw_env(sandbox=sandbox()).task.rules.game == "write"
    assert play_v0.raw_env(sandbox=sandbox()).task.rules.game == "play"
    api_test(write_v0.env(sandbox=sandbox(), max_cycles=3), num_cycles=10)


@pytest.mark.skipif(not hasattr(pettingzoo, "make"), reason="PettingZoo before 1.27 has no registry")
def test_pettingzoos_registry_makes_our_environments() -> None:
    for id in ("mars2/Starter-v0", "mars2/StarterPlay-v0"):
        env = pettingzoo.make("aec", id, sandbox=sandbox())
        assert isinstance(env, mars2_env.envs.TreeSearchAEC)
    env = pettingzoo.make("parallel", "mars2/StarterPlay-v0", sandbox=sandbox())
    assert isinstance(env, mars2_env.envs.TreeSearchParallel)
