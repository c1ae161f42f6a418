"""Controllers are scored on the same trees, whoever plays; the policies that learn nothing play as they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mars2_bench.suite.baselines import Plays, greedy_action, plays, random_action, thompson
from mars2_bench.suite.hand_written import Specialist, hand_written, progress
from mars2_bench.suite.named import find
from mars2_bench.suite.oracles import oracle
from mars2_bench.suite.playing import EVALUATION_SEEDS, begin, ends_of, play, record
from mars2_bench.suite.reading import Reading

RNG = np.random.default_rng(0)


def some_problems(id: str, count: int) -> list[str]:
    found = find(id).problems("test").problems
    return [problem.id for problem in found[:: len(found) // count][:count]]


@pytest.mark.parametrize("id", ["Route-v1", "Relay-v1", "Commons-v1"])
def test_recorded_actions_played_again_come_to_the_same_scores(id: str) -> None:
    named, problems, seeds = find(id), some_problems(id, 6), [5, 6]
    played = record(named, "test", hand_written, problems=problems, seeds=seeds)
    vec = named.make_vec(12, split="test")
    begin(vec, [(problem, seed) for problem in problems for seed in seeds])
    best, steps = np.zeros(12), played.steps.reshape(-1)
    for number in range(played.actions.shape[2]):
        at = np.maximum(played.actions.reshape(12, *played.actions.shape[2:])[:, number], 0)
        actions: Any = at if named.game == "route" else {a: at[:, n] for n, a in enumerate(named.agents)}
        ended = ends_of(vec, vec.step(actions)[2])
        assert (ended[steps == number + 1]).all() and not ended[steps > number + 1].any()
        best[steps == number + 1] = vec.trees.best[steps == number + 1, 0]
    assert best.tolist() == played.scores.reshape(-1).tolist()
    assert 0 < best.mean() < 1


def test_after_the_end_of_a_tree_no_action_is_recorded() -> None:
    played = record(find("Route-v1"), "test", oracle, problems=some_problems("Route-v1", 20), seeds=[1])
    numbers = np.arange(played.actions.shape[2])
    assert ((played.actions == -1) == (numbers >= played.steps[:, :, None])).all()
    assert played.steps.min() < played.steps.max()


def test_what_a_tree_comes_to_does_not_depend_on_the_trees_beside_it() -> None:
    named, problems = find("Relay-v1"), some_problems("Relay-v1", 5)
    together = play(named, "test", hand_written, problems=problems, seeds=[1, 2])
    assert (play(named, "test", hand_written, problems=problems[3:], seeds=[2])[:, 0] == together[3:, 1]).all()


def test_the_same_draws_play_the_same_and_others_do_not() -> None:
    named, problems = find("Route-v1"), some_problems("Route-v1", 30)
    first, again, other = (
        play(named, "test", plays(random_action), problems=problems, seeds=EVALUATION_SEEDS[:2], draws=draws)
        for draws in (1, 1, 2)
    )
    assert (first == again).all() and (first != other).any()


def test_random_takes_every_action_that_is_allowed_and_no_other() -> None:
    vec = find("Commons-v1").make_vec(400)
    observations, _ = vec.reset(seed=0)
    observations, *_ = vec.step({agent: np.full(400, 0) for agent in vec.agents})
    actions = plays(random_action)(vec).act(observations, RNG)
    assert sorted(set(actions["agent_0"].tolist())) == [0, 1, 2, 3, 4, 10]


def test_greedy_refines_the_best_node_and_first_tries_everybody() -> None:
    vec = find("Route-v1").make_vec(64)
    observations, _ = vec.reset(seed=0)
    controller, slots = plays(greedy_action)(vec), vec.trees.game.budget + 1
    for agent in range(3):
        actions = controller.act(observations, RNG)
        scores = Reading(vec.trees.game.layout, observations["observation"]).slots("score")
        going = ~vec.trees.over
        assert (actions[going] // slots == agent).all()
        assert (scores[np.arange(64), actions % slots] == scores.max(1)).all()
        observations, *_ = vec.step(actions)


def test_thompson_sees_the_trees_as_they_grow_and_begin_anew() -> None:
    vec = find("Relay-v1").make_vec(3)
    observations, _ = vec.reset(seed=0)
    controller = thompson(vec)
    for _ in range(9):
        actions = controller.act(observations, RNG)
        for number, tree in enumerate(controller._trees):
            size = int(vec.trees.size[number])
            assert len(tree) == size and tree.score[1:].tolist() == pytest.approx(
                Reading(vec.trees.game.layout, vec.trees.vectors).slots("score")[number, 1:size].tolist()
            )
        assert all((chosen < vec.trees.size).all() for chosen in actions.values())
        observations, *_ = vec.step(actions)


def test_a_specialist_refines_only_what_it_mends_itself() -> None:
    vec = find("Relay-v1").make_vec(200)
    observations, _ = vec.reset(seed=3)
    controller = hand_written(vec)
    assert isinstance(controller.choose, Specialist)
    stages, refined = vec.trees.game.team.kinds.stages, 0
    for _ in range(5):
        actions = controller.act(observations, RNG)
        for agent, batch in observations.items():
            seen = Reading(vec.trees.game.layout, batch["observation"])
            shown = progress(seen, stages).astype(int)[np.arange(200), actions[agent]]
            chosen = actions[agent] > 0
            assert (np.minimum(shown, len(stages))[chosen] == seen.card().argmax(1)[chosen]).all()
            refined += int(chosen.sum())
        observations, *_ = vec.step(actions)
    assert refined > 500


def test_by_hand_one_agent_drafts_and_whoever_mends_what_shows_acts_in_its_turn() -> None:
    vec = find("Commons-v1").make_vec(100)
    observations, _ = vec.reset(seed=3)
    controller = hand_written(vec)
    first = controller.act(observations, RNG)
    assert [set(first[agent].tolist()) for agent in vec.agents] == [{0}, {10}, {10}, {10}]
    observations, *_ = vec.step(first)
    shows = Reading(vec.trees.game.layout, observations["agent_0"]["observation"])
    front = (shows.slots("compile_error") + shows.slots("runtime_error"))[:, 1] > 0
    able = np.where(front[:, None], vec.trees.roles < 2, vec.trees.roles >= 2)
    second = controller.act(observations, RNG)  # after 1 of 12 rounds 11 are left: the odd numbers' turn
    assert front.any() and not front.all() and not vec.trees.over.any()
    for number, agent in enumerate(vec.agents):
        assert (second[agent] == np.where(able[:, number] & (number % 2 == 1), 1, 10)).all()


def test_by_hand_a_stage_is_guessed_where_outcomes_are_hidden() -> None:
    vec = find("RelayOwn-v1").make_vec(100)
    observations, _ = vec.reset(seed=3)
    controller = hand_written(vec)
    observations, *_ = vec.step(controller.act(observations, RNG))
    actions, guessed = controller.act(observations, RNG), 0
    for number, agent in enumerate(vec.agents):
        seen = Reading(vec.trees.game.layout, observations[agent]["observation"])
        other = ~seen.written_by()[np.arange(100), actions[agent], number] & (actions[agent] > 0)
        assert not other[(vec.trees.roles[:, number] == 2) & (seen.slots("score").max(1) == 0)].any()
        guessed += int(other.sum())
    assert guessed > 50


@pytest.mark.parametrize("id", ["Route-v1", "Relay-v1", "Commons-v1", "Templates-v1"])
def test_by_hand_is_above_random_and_the_oracle_above_both(id: str) -> None:
    named, problems = find(id), some_problems(id, 40)
    random, by_hand, best = (
        float(play(named, "test", player, problems=problems, seeds=[1, 2]).mean())
        for player in (plays(random_action), hand_written, oracle)
    )
    assert random + 0.2 < by_hand < best


def test_a_rule_is_asked_for_each_agents_own_observation() -> None:
    vec = find("Relay-v1").make_vec(2)
    observations, _ = vec.reset(seed=0)
    asked: list[np.ndarray[Any, Any]] = []

    def rule(seen: Reading, masks: Any, rng: np.random.Generator) -> Any:
        asked.append(seen.vectors)
        return np.zeros(len(masks), np.int64)

    Plays(vec.trees.game.layout, rule).act(observations, RNG)
    assert all((one == observations[agent]["observation"]).all() for one, agent in zip(asked, vec.agents, strict=True))
