"""The reference algorithms: their formulas, what each part of them sees, and that they learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mars2_bench.algorithms.clipped import Settings, advantages, objective  # noqa: E402
from mars2_bench.algorithms.ippo import Ippo  # noqa: E402
from mars2_bench.algorithms.joint import Joint  # noqa: E402
from mars2_bench.algorithms.mappo import Mappo  # noqa: E402
from mars2_bench.algorithms.named import ALGORITHMS, reference  # noqa: E402
from mars2_bench.algorithms.network import SlotNetwork, log_policy, sampled  # noqa: E402
from mars2_bench.algorithms.ppo import Ppo  # noqa: E402
from mars2_bench.algorithms.views import Views, own_first  # noqa: E402
from mars2_bench.suite.baselines import plays, random_action  # noqa: E402
from mars2_bench.suite.named import Named, find  # noqa: E402
from mars2_bench.suite.playing import play  # noqa: E402

from mars2_env import ConfigError  # noqa: E402
from mars2_env.features import Layout  # noqa: E402

SMALL = Settings(envs=16, steps=4, epochs=1, batches=2, hidden=8)
KINDS = {"ppo": Ppo, "ippo": Ippo, "mappo": Mappo, "joint": Joint}
PLACES = ["ippo", "mappo", "joint"]


def of(name: str) -> Named:
    return find("Route-v1" if name == "ppo" else "Commons-v1")


def some_trees(id: str, steps: int = 3) -> tuple[Any, Any]:
    """Return a vector, and what is observed after a few steps at random."""
    vec, rng = find(id).make_vec(20), np.random.default_rng(0)
    observations, _ = vec.reset(seed=0)
    controller = plays(random_action)(vec)
    for _ in range(steps):
        observations, *_ = vec.step(controller.act(observations, rng))
    return vec, observations


def test_with_trace_one_an_advantage_is_the_rest_of_the_tree_minus_its_value() -> None:
    rewards = np.array([[[1.0]], [[2.0]], [[4.0]], [[8.0]]], np.float32)
    values = np.array([[[10.0]], [[20.0]], [[30.0]], [[40.0]]], np.float32)
    ends, last = np.array([[False], [True], [False], [False]]), np.array([[5.0]], np.float32)
    assert advantages(rewards, values, ends, last, 1.0).ravel().tolist() == [3 - 10, 2 - 20, 4 + 8 + 5 - 30, 8 + 5 - 40]


def test_with_trace_zero_an_advantage_looks_one_step_ahead() -> None:
    rewards = np.array([[[1.0]], [[2.0]]], np.float32)
    values = np.array([[[10.0]], [[20.0]]], np.float32)
    ends, last = np.array([[False], [True]]), np.array([[5.0]], np.float32)
    assert advantages(rewards, values, ends, last, 0.0).ravel().tolist() == [1 + 20 - 10, 2 - 20]


@pytest.mark.parametrize(
    ("ratio", "gain", "expected"), [(1.5, 1.0, 1.2), (1.5, -1.0, -1.5), (0.5, -1.0, -0.8), (1.1, 2.0, 2.2)]
)
def test_a_ratio_counts_only_as_far_as_it_is_clipped(ratio: float, gain: float, expected: float) -> None:
    found = objective(torch.tensor([ratio]).log(), torch.zeros(1), torch.tensor([gain]), 0.2)
    assert float(found) == pytest.approx(expected)


def test_actions_are_drawn_as_often_as_the_policy_says_and_never_where_they_are_masked() -> None:
    logs = log_policy(torch.tensor([[0.0, 1.0, 5.0]]), torch.tensor([[True, True, False]]))
    drawn = sampled(logs.repeat(20_000, 1), np.random.default_rng(0))
    assert set(drawn.tolist()) == {0, 1}
    assert (drawn == 1).mean() == pytest.approx(np.e / (1 + np.e), abs=0.01)


def test_a_slot_that_is_not_there_changes_nothing() -> None:
    torch.manual_seed(0)
    network = SlotNetwork(3, 4, each=2, others=1, hidden=8)
    seen = torch.rand(5, 3 + 6 * 4)
    seen[:, 3::4] = torch.tensor([1.0, 1, 1, 0, 0, 0])
    short = seen[:, : 3 + 3 * 4]
    logits, values = network(seen)
    few, same = network(short)
    assert torch.allclose(values, same)
    assert torch.allclose(logits[:, [0, 1, 2, 6, 7, 8, 12]], few)


def test_agents_see_themselves_first_and_the_others_in_turn() -> None:
    layout = Layout(2, ("a_0", "b_0", "c_0"), observer=True, card=2)
    names = layout.names
    view = [names[place] for place in own_first(layout, 1)]
    assert view[:5] == names[:5]  # the tree, and who looks
    assert view[5:14] == [f"{a}.{column}" for a in ("b_0", "c_0", "a_0") for column in ("nodes", "mean", "best")]
    assert view[14:16] == ["card.0", "card.1"]
    assert view[-3:] == ["slot2.by.b_0", "slot2.by.c_0", "slot2.by.a_0"]
    assert sorted(view) == sorted(names)


def test_a_central_view_has_all_cards_and_what_is_hidden_of_each_node() -> None:
    vec, observations = some_trees("RelayOwn-v1")
    layout, views = vec.trees.game.layout, Views(vec.trees.game.layout)
    central = views.central(observations)
    assert central.shape == (20, 3, layout.size + 2 * layout.card)
    cards = vec.trees.game.team.cards()[vec.trees.roles]  # (trees, agents, numbers)
    for agent in range(3):
        told = central[:, agent, layout.head - layout.card : views.central_head].reshape(20, 3, -1)
        assert (told == cards[:, (np.arange(3) + agent) % 3]).all()
    rows = central[:, 0, views.central_head :]
    assert (rows == vec.trees.vectors[:, layout.head :]).all()
    assert (observations["agent_0"]["observation"][:, layout.head :] != rows).any()


@pytest.mark.parametrize("name", KINDS)
def test_what_is_learned_from_is_weighed_as_it_was_chosen(name: str) -> None:
    controller = KINDS[name](SMALL)(of(name), 1, 0)
    _, observations = some_trees(of(name).id)
    looked = [torch.from_numpy(one) for one in controller.look(observations)]
    with torch.no_grad():
        actions, logs, values = controller.choose(looked, np.random.default_rng(0))
        again, worth, entropy = controller.weigh(looked, torch.from_numpy(actions))
    assert torch.allclose(logs, again, atol=1e-5) and torch.allclose(values, worth, atol=1e-5)
    assert float(entropy) > 0 and float(logs.max()) < 0


@pytest.mark.parametrize("name", KINDS)
def test_the_same_seed_learns_the_same_and_another_does_not(name: str) -> None:
    first, again, other = (KINDS[name](SMALL)(of(name), 200, seed).network.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[part], again[part]) for part in first)
    assert any(not torch.equal(first[part], other[part]) for part in first)


@pytest.mark.parametrize("name", ["ppo", "ippo"])
def test_expansions_are_counted_and_the_budget_of_learning_is_kept(name: str) -> None:
    told: list[int] = []
    KINDS[name](SMALL)(of(name), 500, 0, lambda spent, controller: told.append(spent))
    step = SMALL.envs * (1 if name == "ppo" else 4)
    assert 500 - step < told[-1] <= 500
    assert all(0 < spent <= SMALL.steps * step for spent in np.diff([0, *told]))
    assert name != "ppo" or told == [64, 128, 192, 256, 320, 384, 448, 496]


def test_the_centre_knows_what_agents_before_chose_in_this_round() -> None:
    centre = Joint(SMALL)(find("Commons-v1"), 1, 0)
    vec, observations = some_trees("Commons-v1", 1)
    looked = [torch.from_numpy(one) for one in centre.look(observations)]
    one, other = torch.zeros(20, 4, dtype=torch.int64), torch.zeros(20, 4, dtype=torch.int64)
    other[:, 0] = 10
    with torch.no_grad():
        centre.network.slot.weight.mul_(1000)  # a policy that has learned nothing is nearly uniform
        logs = [centre.weigh(looked, actions)[0] for actions in (one, other)]
        marked = [centre._marked(looked[0][:, 1], centre._mark(actions[:, 0])) for actions in (one, other)]
    assert (logs[0] != logs[1]).any()
    assert marked[0].shape == (20, centre.views.central_head + 1 + 10 * (vec.trees.game.layout.width + 1))
    assert (marked[0][:, centre.views.central_head] == 0).all() and (
        marked[1][:, centre.views.central_head] == 0.25
    ).all()


def test_a_critic_has_no_say_in_what_agents_do() -> None:
    agents = Mappo(SMALL)(find("Relay-v1"), 1, 0)
    _, observations = some_trees("Relay-v1")
    before = agents.act(observations, np.random.default_rng(0))
    with torch.no_grad():
        for weights in agents.critic.parameters():
            weights.add_(1.0)
    after = agents.act(observations, np.random.default_rng(0))
    assert all((before[agent] == after[agent]).all() for agent in before)


def test_own_reward_pays_who_earned_it_and_team_reward_everybody() -> None:
    found = {}
    for share in ("own", "team"):
        vec = find("Relay-v1").make_vec(200, share=share)
        vec.reset(seed=0)
        for slot in (0, 1, 2):
            rewards = vec.step({agent: np.full(200, slot) for agent in vec.agents})[1]
        found[share] = np.stack([rewards[agent] for agent in vec.agents])
    assert (found["team"] == found["own"].sum(0)).all() and (found["own"] != found["team"]).any()


def test_ppo_learns_who_is_able_where_that_never_changes() -> None:
    route = find("Route-v1")
    named = replace(route, team=replace(route.team, drawn="never"))
    controller = Ppo(Settings(envs=64))(named, 20_000, 0)
    problems = [problem.id for problem in named.problems("test")][:60]
    learned = play(named, "test", lambda vec: controller, problems=problems, seeds=[1, 2])
    assert learned.mean() > play(named, "test", plays(random_action), problems=problems, seeds=[1, 2]).mean() + 0.4


@pytest.mark.parametrize("name", PLACES)
def test_algorithms_say_which_game_they_play(name: str) -> None:
    with pytest.raises(ConfigError, match="place"):
        ALGORITHMS[name](find("Route-v1"), 10, 0)
    with pytest.raises(ConfigError, match="route"):
        ALGORITHMS["ppo"](find("Relay-v1"), 10, 0)


@pytest.mark.parametrize("options", [{"envs": 0}, {"rate": 0.0}, {"entropy": -1.0}, {"hidden": 1.5}])
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Settings(**options)


def test_every_environment_has_a_reference_that_plays_its_game() -> None:
    assert {reference(find(id)) for id in ("Route-v1", "Templates-v1")} == {"ppo"}
    assert {reference(find(id)) for id in ("Relay-v1", "Commons-v1", "Scale8-v1")} == {"ippo"}
    assert {"ppo", "ippo", "mappo", "joint"} <= set(ALGORITHMS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("id", "name", "least"), [("Route-v1", "ppo", 0.7), ("Relay-v1", "ippo", 0.65), ("Commons-v1", "ippo", 0.55)]
)
def test_the_references_reach_in_a_hundred_thousand_expansions_what_they_are_known_for(
    id: str, name: str, least: float
) -> None:
    named = find(id)
    controller = ALGORITHMS[name](named, 100_000, 0)
    assert play(named, "test", lambda vec: controller, seeds=[1, 2]).mean() > least
