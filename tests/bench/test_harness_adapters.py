"""Algorithms of other libraries learn on the bank's vectors, in `route` and in `place`, and their results stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness_toys import Uniform
from mars2_bench.harness.adapters.actors import Actors, acting, seen
from mars2_bench.harness.algorithms import make
from mars2_bench.harness.metering import Meter, metered
from mars2_bench.harness.running import Cell, learn
from mars2_bench.harness.verifying import check
from mars2_bench.suite.named import find

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the libraries, which others answer for


def smallest(algorithm: str, id: str, budget: int = 1_500) -> Cell:
    return Cell(find(id), make(algorithm), 0, budget)


@pytest.mark.parametrize("id", ["Route-v1", "Commons-v1"])
def test_actors_act_see_and_are_paid_as_the_vector_says(id: str) -> None:
    plain, rng = find(id).make_vec(40, autoreset_mode="SameStep"), np.random.default_rng(0)
    actors = Actors(metered(find(id), meter := Meter(None)).make_vec(40, autoreset_mode="SameStep"))
    observations, _ = plain.reset(seed=3)
    rows, masks = actors.reset(seed=3)
    for _ in range(30):
        assert rows.shape == (40, actors.actors, actors.columns)
        for one, other in zip((rows, masks), seen(observations, actors.agents), strict=True):
            assert np.array_equal(one, other)
        actions = np.where(masks, rng.random(masks.shape), -1.0).argmax(2)
        rows, masks, rewards, ended = actors.step(actions)
        observations, paid, over, _, _ = plain.step(acting(actions, actors.agents))
        if actors.agents is None:
            paid, over = {"controller": paid}, {"controller": over}
        assert rewards == pytest.approx(np.stack(list(paid.values()), 1))
        assert np.array_equal(ended, next(iter(over.values())))
    assert actors.expansions == meter.spent > 0


@pytest.mark.parametrize(
    ("algorithm", "id"),
    [
        ("sb3-maskable-ppo", "Route-v1"),
        ("sb3-maskable-ppo", "Commons-v1"),
        ("sb3-a2c", "Route-v1"),
        pytest.param("sb3-ppo", "Commons-v1", marks=pytest.mark.slow),
    ],
)
def test_algorithms_of_stable_baselines3_learn_within_their_budget(algorithm: str, id: str) -> None:
    pytest.importorskip("sb3_contrib", reason="needs the extra sb3")
    result = learn(smallest(f"{algorithm},envs=20,steps=6", id))
    assert 1_000 < result.expansions <= 1_500
    check(result)


def test_rows_are_what_stable_baselines3_takes_for_environments() -> None:
    pytest.importorskip("sb3_contrib", reason="needs the extra sb3")
    from mars2_bench.harness.adapters.sb3 import Rows
    from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

    rows = Rows(Actors(find("Relay-v1").make_vec(10, autoreset_mode="SameStep")), seed=5)
    first = rows.reset()
    assert first.shape == (30, *rows.observation_space.shape)
    assert all(rows.observation_space.contains(row) for row in first)
    assert is_masking_supported(rows)
    assert get_action_masks(rows).shape == (30, rows.action_space.n)
    _, rewards, ends, infos = rows.step(np.zeros(30, int))
    assert rewards.shape == ends.shape == (30,) and len(infos) == 30
    rows.close()


@pytest.mark.slow
@pytest.mark.parametrize("id", ["Route-v1", "Commons-v1"])
@pytest.mark.parametrize("mode", ["untouched", "seeded"])
def test_an_environment_of_torchrl_keeps_to_its_specs(id: str, mode: str) -> None:
    pytest.importorskip("torchrl", reason="needs the extra torchrl")
    from mars2_bench.harness.adapters.torchrl import BankEnv
    from torchrl.envs.utils import check_env_specs

    env = BankEnv(find(id).make_vec(6, autoreset_mode="Disabled"), seed=2 if mode == "seeded" else None)
    if mode == "seeded":
        env.set_seed(4)
    check_env_specs(masked(env))


def masked(env: Any) -> Any:
    """Random actions of TorchRL's check are then among those on offer."""
    from torchrl.envs import ActionMask, TransformedEnv

    return TransformedEnv(env, ActionMask(("agents", "action"), ("agents", "action_mask")))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "id"),
    [("torchrl-ppo", "Route-v1"), ("torchrl-ppo", "Commons-v1"), ("torchrl-mappo", "Commons-v1")],
)
def test_ppo_of_torchrls_parts_learns_within_its_budget(algorithm: str, id: str) -> None:
    pytest.importorskip("torchrl", reason="needs the extra torchrl")
    cell = smallest(f"{algorithm},envs=20,steps=6", id)
    result = learn(cell)
    assert 1_000 < result.expansions <= 1_500
    check(result)
    assert learn(cell).digest() == result.digest()


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["sb3-maskable-ppo,rate=1e-3", "torchrl-ppo"])
def test_who_is_able_is_learned(algorithm: str) -> None:
    pytest.importorskip("sb3_contrib", reason="needs the extra sb3")
    pytest.importorskip("torchrl", reason="needs the extra torchrl")
    result = learn(smallest(algorithm, "Route-v1", budget=60_000))
    assert result.evaluations["test"].score > chance("Route-v1") + 0.1


def chance(id: str) -> float:
    from mars2_bench.harness.algorithms import player_of
    from mars2_bench.harness.running import evaluate

    return evaluate(find(id), "test", player_of(Uniform()), seed=0).score
