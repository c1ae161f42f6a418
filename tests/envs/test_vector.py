"""Vectors: many environments as one, judged side by side, each playing just what it would play alone."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from toys import FaultySandbox, Guesser, outcome, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, EpisodeError, Reply, Run, Turn
from mars2_env.envs import RoundsVector, RouteVector
from mars2_env.testing import ScriptedSandbox

MODES = ["NextStep", "SameStep", "Disabled"]


def task(game: str, box: Any = None, **options: Any) -> mars2_env.Task:
    options = {"generators": Guesser(), "budget": 4, **options}
    api = "gymnasium" if game == "route" else "parallel"
    return mars2_env.task(problem_set(), game=game, api=api, sandbox=box or sandbox(), **options)


def route(count: int, mode: str = "NextStep", **options: Any) -> RouteVector:
    made = mars2_env.make_vec(task("route", **options), count, autoreset_mode=mode)
    assert isinstance(made, RouteVector)
    return made


def rounds(count: int, mode: str = "NextStep", **options: Any) -> RoundsVector:
    made = mars2_env.make_vec(task("place", **options), count, autoreset_mode=mode)
    assert isinstance(made, RoundsVector)
    return made


def test_each_environment_plays_what_it_would_play_alone() -> None:
    many = route(3, "Disabled")
    alone: list[Any] = [mars2_env.make(task("route")) for _ in range(3)]
    observations, infos = many.reset(seed=7)
    singles = [env.reset(seed=7 + number) for number, env in enumerate(alone)]
    assert many.observation_space.contains(observations)
    rng = np.random.default_rng(0)
    for _ in range(4):
        for number, (observation, info) in enumerate(singles):
            assert np.array_equal(observations["observation"][number], observation["observation"])
            assert np.array_equal(infos["action_mask"][number], info["action_mask"])
        actions = [rng.choice(np.flatnonzero(mask)) for mask in many.action_masks()]
        observations, rewards, terminated, truncated, infos = many.step(np.array(actions))
        steps = [env.step(action) for env, action in zip(alone, actions, strict=True)]
        singles = [(step[0], step[4]) for step in steps]
        assert rewards.tolist() == [step[1] for step in steps]
        assert terminated.tolist() == [step[2] for step in steps]
        assert truncated.tolist() == [step[3] for step in steps]
        assert infos["node"].tolist() == [step[4]["node"] for step in steps]
    assert terminated.all()
    assert [env.episode.nodes for env in many.envs] == [env.episode.nodes for env in alone]


def test_rounds_of_each_environment_are_those_it_would_play_alone() -> None:
    many = rounds(3, "Disabled")
    alone: list[Any] = [mars2_env.make(task("place")) for _ in range(3)]
    observations, _ = many.reset(seed=7)
    singles = [env.reset(seed=7 + number)[0] for number, env in enumerate(alone)]
    for number in range(2):
        for agent in many.agents:
            assert many.observation_space(agent).contains(observations[agent])
            assert np.array_equal(
                observations[agent]["observation"], np.stack([one[agent]["observation"] for one in singles])
            )
        chosen = {agent: np.array([0, number, 0]) for agent in many.agents}
        observations, rewards, terminated, _, infos = many.step(chosen)
        steps = [env.step({agent: batch[place] for agent, batch in chosen.items()}) for place, env in enumerate(alone)]
        singles = [step[0] for step in steps]
        for agent in many.agents:
            assert rewards[agent].tolist() == [step[1][agent] for step in steps]
            assert terminated[agent].tolist() == [step[2][agent] for step in steps]
            assert infos[agent]["node"].tolist() == [step[4][agent]["node"] for step in steps]
            assert np.array_equal(infos[agent]["action_mask"], observations[agent]["action_mask"])
    assert terminated["agent_0"].all()
    assert np.array_equal(many.state(), np.stack([env.state() for env in alone]))


@pytest.mark.parametrize("game", ["route", "place"])
def test_judging_overlaps_and_each_policy_is_called_once_a_step(game: str) -> None:
    count = 3 if game == "route" else 6  # programs a step: one an environment, or one an agent in each
    together = threading.Barrier(count, timeout=60)
    calls = []

    class Counting(Guesser):
        def act(self, turns: list[Turn]) -> list[Reply]:
            calls.append(len(turns))
            return [Reply(f"n = {number}\nprint(9)") for number in range(len(turns))]

    def waits(program: str, input: str) -> Run:
        if input == "third":
            together.wait()  # passes only when all programs of the step are judged at once
        return outcome(program, input)

    made = mars2_env.make_vec(task(game, ScriptedSandbox(waits), generators=Counting()), 3)
    made.reset(seed=0)
    made.step(np.zeros(3, np.int64) if game == "route" else {agent: np.zeros(3, np.int64) for agent in made.agents})
    assert calls == [count]


@pytest.mark.parametrize("mode", MODES)
def test_an_episode_that_is_over_is_followed_as_the_mode_says(mode: str) -> None:
    envs = route(2, mode, budget=2, agents=1)
    assert envs.metadata["autoreset_mode"] == AutoresetMode(mode)
    _, infos = envs.reset(seed=1)
    _, rewards, terminated, _, infos = envs.step([0, 0])
    last, _, terminated, _, infos = envs.step([0, 0])
    assert terminated.all()
    if mode == "Disabled":
        with pytest.raises(EpisodeError, match="reset"):
            envs.step([0, 0])
        observations, _ = envs.reset(options={"reset_mask": np.array([True, False])})
        assert observations["action_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
        return
    if mode == "NextStep":
        assert last["action_mask"].tolist() == [[1, 1, 1]] * 2
        last, rewards, terminated, _, infos = envs.step([2, 2])
        assert not rewards.any() and not terminated.any()
        assert "node" not in infos
    else:
        assert [one["action_mask"].tolist() for one in infos["final_obs"]] == [[1, 1, 1]] * 2
        assert infos["final_info"]["node"].tolist() == [2, 2]
    assert last["action_mask"].tolist() == [[1, 0, 0]] * 2
    assert [env.episode.spent for env in envs.envs] == [0, 0]


@pytest.mark.parametrize("mode", MODES)
def test_rounds_follow_the_mode_too(mode: str) -> None:
    envs = rounds(2, mode, budget=2)
    envs.reset(seed=1)
    zeros = {agent: [0, 0] for agent in envs.agents}
    last, _, terminated, _, infos = envs.step(zeros)
    assert terminated["agent_1"].all()
    if mode == "Disabled":
        with pytest.raises(EpisodeError, match="reset"):
            envs.step(zeros)
        observations, _ = envs.reset(options={"reset_mask": np.array([False, True])})
        assert observations["agent_0"]["action_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
        return
    if mode == "NextStep":
        last, rewards, terminated, _, infos = envs.step(zeros)
        assert not rewards["agent_0"].any() and not terminated["agent_0"].any()
    else:
        assert infos["agent_0"]["final_info"]["node"].tolist() == [1, 1]
        assert infos["agent_0"]["final_obs"][1]["action_mask"].tolist() == [1, 1, 1]
    assert last["agent_0"]["action_mask"].tolist() == [[1, 0, 0]] * 2


def test_a_fault_in_one_environment_leaves_the_others_alone() -> None:
    envs = rounds(2, box=FaultySandbox(1))
    calm = rounds(2)
    for made in (envs, calm):
        made.reset(seed=2)
        made.step({agent: [0, 0] for agent in made.agents})
    assert [env.episode.nodes for env in envs.envs] == [env.episode.nodes for env in calm.envs]
    single = route(2, box=FaultySandbox(1))
    single.reset(seed=2)
    _, _, _, _, infos = single.step([0, 0])
    assert infos["_fault"].tolist() in ([True, False], [False, True])  # whichever was judged first
    assert sorted(env.episode.spent for env in single.envs) == [0, 1]


def test_an_action_that_is_none_is_refused_and_no_tree_has_grown() -> None:
    envs = route(2)
    envs.reset(seed=0)
    for actions in ([0, 99], [0], [0, 0.5]):
        with pytest.raises(ConfigError):
            envs.step(actions)
        assert [env.episode.spent for env in envs.envs] == [0, 0]
    envs.step([0, 0])
    assert [len(env.episode.nodes) for env in envs.envs] == [1, 1]
    many = rounds(2)
    many.reset(seed=0)
    for wrong in ({"agent_0": [0, 0]}, {"agent_0": [0], "agent_1": [0, 0]}):
        with pytest.raises(ConfigError):
            many.step(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs"),
        ({"num_envs": 2, "autoreset_mode": "never"}, "NextStep"),
        ({"num_envs": 2, "game": "write", "task": "starter"}, "no vector form"),
    ],
)
def test_vectors_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mars2_env.make_vec(sandbox="scripted", **options)


def test_text_rounds_come_as_vectors_too() -> None:
    envs = RoundsVector(mars2_env.task(problem_set(), game="play", api="parallel", sandbox=sandbox()), 2)
    observations, _ = envs.reset(seed=0, options={"problem": "toy/2"})
    assert [text.startswith("Print 2") for text in observations["agent_0"]["problem"]] == [True, True]
    assert envs.observation_space("agent_0").contains(observations["agent_0"])
    action = {"parent": np.array([0, 0]), "program": ("print(2)", "print(3)")}
    _, rewards, _, _, _ = envs.step({agent: action for agent in envs.agents})
    assert rewards["agent_0"].tolist() == [1.0, 0.0]


def test_gymnasiums_own_make_vec_makes_ours() -> None:
    envs = gymnasium.make_vec("mars2/StarterRoute-v0", 2, vectorization_mode="vector_entry_point", sandbox="scripted")
    assert isinstance(envs, RouteVector)
    envs.reset(seed=0)
    envs.step(envs.action_space.sample())
    envs.close()


def test_factories_are_pickled_and_played_in_forked_processes() -> None:
    factory = pickle.loads(pickle.dumps(partial(mars2_env.make, task("route"))))
    ours = route(2)
    forked: Any = AsyncVectorEnv([factory, factory])
    try:
        for envs in (ours, forked):
            envs.reset(seed=5)
        for actions in ([0, 5], [1, 0], [0, 2], [6, 1]):
            mine, theirs = ours.step(np.array(actions)), forked.step(np.array(actions))
            assert np.array_equal(mine[0]["observation"], theirs[0]["observation"])
            assert np.array_equal(mine[1], theirs[1])
    finally:
        forked.close()


@pytest.mark.parametrize("game", ["route", "place"])
def test_the_programs_that_repair_problems_begin_with_are_judged_side_by_side(game: str) -> None:
    together = threading.Barrier(3, timeout=60)

    def waits(program: str, input: str) -> Run:
        if input == "third":
            together.wait()
        return outcome(program, input)

    broken = tuple(
        replace(problem, seed_program=f"print({number + 5})") for number, problem in enumerate(problem_set())
    )
    made = task(game, ScriptedSandbox(waits))
    envs = mars2_env.make_vec(replace(made, problems=replace(made.problems, problems=broken)), 3)
    envs.reset(seed=0)
    assert [env.episode.programs[0].verdict.outcome for env in envs.envs] == ["wrong_answer"] * 3


def test_all_environments_of_a_vector_share_one_sandbox_and_their_generators() -> None:
    envs = mars2_env.make_vec("mars2/StarterRoute-v0", 3, sandbox="scripted", generators=["noise:weak", "noise:strong"])
    envs.reset(seed=0)
    assert len({id(env.match.judge.sandbox) for env in envs.envs}) == 1
    assert len({id(env.generators["agent_1"]) for env in envs.envs}) == 1


_FORK = """
import os, sys
import mars2_env
envs = mars2_env.make_vec("mars2/StarterPlace-v0", 2, api="parallel", sandbox="scripted")
envs.reset(seed=1)
slots = {agent: [0, 0] for agent in envs.agents}
envs.step(slots)  # its judging threads are running when the process forks
pid = os.fork()
envs.step(slots)
if pid:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
print(*[len(env.episode.nodes) for env in envs.envs], flush=True)
if not pid:
    os._exit(7)
"""


def test_a_forked_process_judges_on_threads_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORK], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "4 4\n4 4\n", done.stderr


@pytest.mark.parametrize("seed", [-1, 1.5, "ab", [1], [1, -2], [1, "b"]])
@pytest.mark.parametrize("make", [route, rounds])
def test_a_seed_that_is_none_is_an_error_of_ours(make: Any, seed: Any) -> None:
    with pytest.raises(ConfigError, match="seed"):
        make(2).reset(seed=seed)


@pytest.mark.parametrize("actions", [None, 5])
def test_actions_that_are_no_batch_are_an_error_of_ours(actions: Any) -> None:
    one, several = route(2), rounds(2)
    one.reset(seed=0)
    several.reset(seed=0)
    with pytest.raises(ConfigError, match="a batch of actions"):
        one.step(actions)
    with pytest.raises(ConfigError, match="a batch of actions"):
        several.step(dict.fromkeys(several.agents, actions))


@pytest.mark.parametrize("seed", [-1, 1.5, "x"])
def test_a_controller_refuses_a_bad_seed_and_takes_one_of_numpy(seed: Any) -> None:
    env: Any = mars2_env.make(task("route"))
    with pytest.raises(ConfigError, match="seed="):
        env.reset(seed=seed)
    first, _ = env.reset(seed=np.int64(3))
    assert np.array_equal(first["observation"], env.reset(seed=3)[0]["observation"])


@pytest.mark.parametrize("make", [route, rounds])
def test_a_closed_vector_is_not_stepped(make: Any) -> None:
    many = make(2)
    many.reset(seed=0)
    actions = np.zeros(2, np.int64) if make is route else {agent: np.zeros(2, np.int64) for agent in many.agents}
    many.step(actions)
    many.close()
    with pytest.raises(EpisodeError, match="after close"):
        many.step(actions)
