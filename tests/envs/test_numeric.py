"""The numeric games: `place` (an agent picks the parent, its generator writes), `route` (a controller picks both)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from toys import FaultySandbox, Guesser, outcome, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, EpisodeError, PolicyError, Reply, Run, Turn
from mars2_env.envs import TreeSearchParallel, TreeSearchRoute
from mars2_env.features import Layout
from mars2_env.testing import ScriptedSandbox


class Prints:
    """A generator that prints one number, and notes where it was asked to."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.turns: list[Turn] = []

    def act(self, turns: list[Turn]) -> list[Reply]:
        self.turns += turns
        return [Reply(f"n = {turn.id}\nprint({self.number})") for turn in turns]


def place(api: str = "parallel", box: Any = None, **options: Any) -> Any:
    options = {"generators": Guesser(), "budget": 6, **options}
    return mars2_env.make(problem_set(), game="place", api=api, sandbox=box or sandbox(), **options)


def route(box: Any = None, **options: Any) -> TreeSearchRoute:
    options = {"generators": Guesser(), "budget": 6, **options}
    made = mars2_env.make(problem_set(), game="route", sandbox=box or sandbox(), **options)
    assert isinstance(made, TreeSearchRoute)
    return made


def test_the_generator_of_the_agent_writes_at_the_chosen_place() -> None:
    generators = {"a_0": Prints(1), "b_0": Prints(2)}
    env = place("aec", agents=["a", "b"], generators=generators)
    env.reset(seed=0)
    for slot in (0, 1, 2):
        env.step(slot)
    assert [(node.agent, node.parent, node.program[-9:]) for node in env.episode.nodes] == [
        ("a_0", 0, "print(1)\n"),
        ("b_0", 1, "print(2)\n"),
        ("a_0", 2, "print(1)\n"),
    ]
    refined = generators["b_0"].turns[0]
    assert (refined.parent, refined.program) == (1, env.episode.node(1).program)
    assert "first failing test" in refined.messages[-1]["content"]


def test_route_action_is_agent_times_slots_plus_slot() -> None:
    env = route(agents=3)
    assert isinstance(env.action_space, gymnasium.spaces.Discrete)
    assert env.action_space.n == 3 * 7
    env.reset(seed=0)
    env.step(2 * 7 + 0)
    env.step(0 * 7 + 1)
    assert [(node.agent, node.parent) for node in env.episode.nodes] == [("agent_2", 0), ("agent_0", 1)]


def test_masks_say_which_slots_exist_in_the_observation_and_in_the_infos() -> None:
    env = route()
    observation, info = env.reset(seed=0)
    for size in range(1, 7):
        for mask in (observation["action_mask"], info["action_mask"], env.action_masks()):
            assert mask.dtype == np.int8
            assert mask.reshape(2, 7).tolist() == [[1] * size + [0] * (7 - size)] * 2
        observation, _, _, _, info = env.step(0)
    rounds = place()
    observations, infos = rounds.reset(seed=0)
    observations, _, _, _, infos = rounds.step({agent: 0 for agent in rounds.agents})
    for agent in rounds.agents:
        assert (
            observations[agent]["action_mask"].tolist() == infos[agent]["action_mask"].tolist() == [1, 1, 1, 0, 0, 0, 0]
        )


def test_observations_are_the_features_and_differ_by_observer() -> None:
    env = place("aec")
    env.reset(seed=0)
    env.step(0)
    layout = Layout(6, ("agent_0", "agent_1"), observer=True)
    seen = {}
    for agent in env.possible_agents:
        observation = env.observe(agent)
        assert env.observation_space(agent).contains(observation)
        seen[agent] = dict(zip(layout.names, observation["observation"], strict=True))
        assert seen[agent]["slot1.by.agent_0"] == 1.0
    assert {name for name in layout.names if seen["agent_0"][name] != seen["agent_1"][name]} == {
        "agent_0.self",
        "agent_1.self",
    }
    controller = route()
    observation, _ = controller.reset(seed=0)
    assert np.array_equal(observation["observation"], controller.state())


def test_observe_own_hides_outcomes_in_numbers_too() -> None:
    env = place("aec", observe="own")
    env.reset(seed=0)
    env.step(0)
    names = Layout(6, ("agent_0", "agent_1"), observer=True).names
    outcome = names.index(f"slot1.{env.episode.node(1).verdict.outcome}")
    assert env.observe("agent_0")["observation"][outcome] == 1.0
    assert env.observe("agent_1")["observation"][outcome] == 0.0


@pytest.mark.parametrize("slot", [3, 6])
def test_an_illegal_slot_costs_a_turn_and_adds_nothing(slot: int) -> None:
    generator = Prints(2)
    env = route(generators=generator, budget=6)
    env.reset(seed=0, options={"problem": "toy/2"})
    before = env.state()
    observation, reward, terminated, truncated, info = env.step(slot)
    assert (reward, terminated, truncated, info["outcome"]) == (0.0, False, False, "illegal")
    assert (env.episode.spent, env.episode.nodes, generator.turns) == (1, [], [])
    assert np.flatnonzero(observation["observation"] != before).tolist() == [0]  # the budget alone
    rounds = place(generators=generator)
    rounds.reset(seed=0)
    _, rewards, _, _, infos = rounds.step({"agent_0": slot, "agent_1": 0})
    assert rewards["agent_0"] == 0.0
    assert infos["agent_0"]["outcome"] == "illegal"
    assert [node.agent for node in rounds.episode.nodes] == ["agent_1"]


@pytest.mark.parametrize("action", [-1, 14, 1.5, "0", None, True, [0]])
def test_what_is_no_action_is_refused_and_changes_nothing(action: Any) -> None:
    env = route()
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="action"):
        env.step(action)
    assert (env.episode.spent, env.episode.asked) == (0, 0)
    env.step(np.int64(0))
    if action not in (-1, 14):  # in `place` a number that is no slot is an illegal parent
        rounds = place()
        rounds.reset(seed=0)
        with pytest.raises(ConfigError, match="action"):
            rounds.step({"agent_0": 0, "agent_1": action})
        assert rounds.episode.spent == 0


def test_a_round_expands_the_tree_as_it_stood_and_judges_side_by_side() -> None:
    together = threading.Barrier(3, timeout=60)

    def waits(program: str, input: str) -> Run:
        if input == "third":
            together.wait()  # passes only when the three programs are judged at once
        return outcome(program, input)

    generators = [Prints(2), Prints(2), Prints(2)]
    env = place(box=ScriptedSandbox(waits), generators=generators, budget=3)
    env.reset(seed=0, options={"problem": "toy/2"})
    assert env.possible_agents == ["agent_0", "agent_1", "agent_2"]
    _, rewards, terminated, _, infos = env.step({agent: 0 for agent in env.agents})
    assert rewards == {"agent_0": 1.0, "agent_1": 0.0, "agent_2": 0.0}
    assert [info["node"] for info in infos.values()] == [1, 2, 3]
    assert all(terminated.values())


def test_progress_telescopes_to_the_best_final_score() -> None:
    env = route(budget=12)
    for seed in range(6):
        env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            legal = np.flatnonzero(env.action_masks())
            _, reward, over, _, _ = env.step(legal[(seed + env.episode.spent) % len(legal)])
            total += reward
        assert total == env.episode.best_score


def test_a_fault_is_a_void_step_and_the_controller_may_choose_anew() -> None:
    env = route(FaultySandbox(1))
    env.reset(seed=0)
    _, reward, terminated, truncated, info = env.step(0)
    assert (reward, terminated, truncated, env.episode.spent) == (0.0, False, False, 0)
    assert "engine is gone" in info["fault"]
    _, _, _, _, info = env.step(7)
    assert (info["agent"], info["node"]) == ("agent_1", 1)


@pytest.mark.parametrize("actions", [[0, 0, 0], [0, 7, 0]])
def test_lasting_faults_truncate_whoever_was_picked(actions: list[int]) -> None:
    env = route(FaultySandbox(10**6), max_faults=3)
    env.reset(seed=0)
    ends = [env.step(action)[2:4] for action in actions]
    assert ends == [(False, False), (False, False), (False, True)]
    with pytest.raises(EpisodeError, match="reset"):
        env.step(0)


def test_faults_in_a_round_are_retried_with_the_same_programs() -> None:
    calm, shaken = place(), place(box=FaultySandbox(2))
    for env in (calm, shaken):
        env.reset(seed=4)
        while env.agents:
            env.step({agent: 0 for agent in env.agents})
    assert shaken.episode.nodes == calm.episode.nodes


def test_on_fault_raise_leaves_an_episode_that_goes_on() -> None:
    env = route(FaultySandbox(1), on_fault="raise")
    env.reset(seed=0)
    with pytest.raises(mars2_env.SandboxError):
        env.step(0)
    _, _, _, _, info = env.step(0)
    assert info["node"] == 1


def test_a_generator_that_fails_leaves_an_episode_that_goes_on(tmp_path: Path) -> None:
    class Shaky:
        calls = 0

        def act(self, turns: list[Turn]) -> list[Reply]:
            self.calls += 1
            return [Reply("print(1)")] * (len(turns) if self.calls > 1 else 0)

    for made in (
        route(generators=Shaky(), out=tmp_path / "route"),
        place("aec", generators=Shaky(), out=tmp_path / "p"),
    ):
        made.reset(seed=0)
        with pytest.raises(PolicyError):
            made.step(0)
        made.step(0)
        assert len(made.episode.nodes) == 1
        made.close()
        (tree,) = mars2_env.read_log(made.task.out)
        assert mars2_env.replay(tree) == tree


def play(env: Any, seed: int) -> None:
    """Play one episode by actions that depend on the seed alone, illegal ones among them."""
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    while not env.episode.done:
        slot = rng.integers(len(env.episode.tree) + 1)
        if isinstance(env, TreeSearchRoute):
            env.step(rng.integers(len(env.possible_agents)) * (env.episode.budget.nodes + 1) + slot)
        else:
            env.step({agent: slot for agent in env.agents} if isinstance(env, TreeSearchParallel) else slot)


MAKERS = {"route": route, "place": place, "place aec": lambda **options: place("aec", **options)}


@pytest.mark.parametrize("game", MAKERS)
def test_logs_replay_and_repeat_byte_for_byte(game: str, tmp_path: Path) -> None:
    for number, box in enumerate((sandbox(), FaultySandbox(1), sandbox())):
        env = MAKERS[game](box=box, out=tmp_path / str(number), budget=8, generators=[Guesser(), Guesser()])
        play(env, 3)
        env.close()
        assert 0 < len(env.episode.nodes) < 8
    first, shaken, again = (mars2_env.read_log(tmp_path / str(number))[0] for number in range(3))
    assert first.path is not None and again.path is not None
    assert first.path.read_bytes() == again.path.read_bytes()
    assert shaken.events != first.events
    for tree in (first, shaken):
        assert tree.ended == "budget"
        assert mars2_env.replay(tree) == tree


@pytest.mark.parametrize("game", ["place", "route"])
def test_a_repair_problem_starts_from_its_program(game: str) -> None:
    from dataclasses import replace

    problems = problem_set()
    broken = tuple(replace(problem, seed_program="print(5)") for problem in problems)
    env = mars2_env.make(replace(problems, problems=broken), game=game, generators=Guesser(), sandbox=sandbox())
    env.reset(seed=0)
    names = Layout(8, tuple(env.task.agents), observer=False).names
    assert dict(zip(names, env.state(), strict=True))["slot0.wrong_answer"] == 1.0


def test_the_same_choice_meets_the_same_luck_in_route_and_in_search() -> None:
    task = mars2_env.task(problem_set(), agents=2, budget=8, sandbox=sandbox())
    (tree,) = mars2_env.rollout(task, Guesser(), seed=3, problems=["toy/1"])
    env = route(budget=8)
    env.reset(seed=3, options={"problem": "toy/1"})
    for node in tree.nodes:
        env.step(env.possible_agents.index(node.agent) * 9 + node.parent)
    assert env.episode.nodes == list(tree.nodes)


def test_generators_come_as_one_a_list_or_a_mapping() -> None:
    assert route(generators=[Guesser()] * 3).possible_agents == ["agent_0", "agent_1", "agent_2"]
    assert route(generators={"coder_0": Guesser(), "fixer_0": Guesser()}).possible_agents == ["coder_0", "fixer_0"]
    starter = mars2_env.make("mars2/StarterRoute-v0", sandbox="scripted")
    assert isinstance(starter, TreeSearchRoute)
    assert starter.task.generators == "noise:default"
    assert "default" in repr(starter.generators["agent_0"])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"game": "play", "generators": "noise:weak"}, "generators"),
        ({"game": "route", "api": "aec"}, "api='gymnasium'"),
        ({"game": "place", "api": "gymnasium"}, "api='aec' or 'parallel'"),
        ({"game": "place", "budget": 7}, "whole number of rounds"),
        ({"game": "place", "selector": "uct"}, "agents choose"),
        ({"game": "route", "share": "team"}, "one controller"),
        ({"game": "route", "observe": "own"}, "one controller"),
        ({"game": "route", "reward": "difference"}, "difference"),
        ({"game": "play", "reward": "difference", "share": "team"}, "share"),
        ({"game": "route", "generators": [Guesser()], "agents": 2}, "1 policies for 2 agents"),
        ({"game": "route", "generators": {"a_0": Guesser()}, "agents": 2}, "team"),
        ({"game": "route", "generators": "nose:weak"}, "noise"),
    ],
)
def test_combinations_that_make_no_sense_are_refused_at_make(options: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        mars2_env.make(problem_set(), sandbox=sandbox(), **options)


def test_a_task_changes_its_game() -> None:
    write = mars2_env.task(problem_set(), agents=3)
    moved = mars2_env.task(write, game="route", generators=Guesser())
    assert (moved.api, moved.selector, list(moved.agents)) == ("gymnasium", None, list(write.agents))
    assert mars2_env.task(moved, game="write").api == "aec"
    with pytest.raises(ConfigError, match="environment"):
        mars2_env.rollout(moved, Guesser())


@pytest.mark.docker
@pytest.mark.parametrize("game", ["place", "route"])
def test_real_programs_are_judged_in_real_containers(game: str, docker_sandbox: Any) -> None:
    id = f"mars2/Starter{game.title()}-v0"
    for profile, score in (("perfect", 1.0), ("hopeless", 0.0)):
        env: Any = mars2_env.make(id, generators=f"noise:{profile}", budget=2, sandbox=docker_sandbox)
        env.reset(seed=0)
        for _ in range(2):
            env.step(0)
        assert [node.score for node in env.episode.nodes] == [score] * 2
