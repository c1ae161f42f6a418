"""Environments and tasks travel: to worker processes by pickling, into forked processes as they are."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import pytest
from toys import Guesser, problem_set
from toys import sandbox as toy_sandbox

import mars2_env
from mars2_env.envs.base import AgentGame
from mars2_env.errors import EpisodeError
from mars2_env.testing import ScriptedSandbox

APIS = [("write", "aec"), ("play", "aec"), ("play", "parallel"), ("place", "aec"), ("place", "parallel")]


def made(game: str, api: str, **options: Any) -> Any:
    if game == "place":
        options["generators"] = Guesser()
    return mars2_env.make(problem_set(), game=game, api=api, sandbox=toy_sandbox(), **options)


def play(env: Any) -> list[Any]:
    """Play the episode that was begun, by programs that depend on nothing, and return what was seen of it."""
    seen: list[Any] = [env.episode.problem.id]
    while env.agents:
        actions = {agent: {"program": f"print({len(seen)})"} for agent in env.agents}
        if env.task.rules.game == "play":
            actions = {agent: {**action, "parent": 0} for agent, action in actions.items()}
        if env.task.rules.game == "place":
            actions = dict.fromkeys(env.agents, 0)
        if env.task.api == "parallel":
            seen.append(env.step(actions))
            continue
        agent = env.agent_selection
        seen.append((agent, env.last()))
        dead = env.terminations[agent] or env.truncations[agent]
        env.step(None if dead else actions[agent])
    return seen


def plain(seen: list[Any]) -> str:
    return repr(seen).replace("\n", "")


@pytest.mark.parametrize(("game", "api"), APIS)
@pytest.mark.parametrize("copied", [lambda env: pickle.loads(pickle.dumps(env)), copy.deepcopy])
def test_a_pickled_environment_goes_on_with_the_next_episode(game: str, api: str, copied: Any) -> None:
    env = made(game, api)
    env.reset(seed=5)
    first = plain(play(env))
    there = copied(env)
    for one in (env, there):
        one.reset()
    assert plain(play(there)) == plain(play(env)) != first
    there.reset(seed=5)
    assert plain(play(there)) == first


@pytest.mark.parametrize(("game", "api"), APIS)
def test_an_environment_pickled_in_mid_episode_leaves_the_episode_behind(game: str, api: str, tmp_path: Any) -> None:
    env = made(game, api, out=tmp_path)
    env.reset(seed=5)
    there = pickle.loads(pickle.dumps(env))
    with pytest.raises(EpisodeError, match="reset"):
        there.state()
    there.reset()
    play(there)
    play(env)  # the one it was copied from goes on, and its log is its own
    assert len(list(mars2_env.read_log(tmp_path))) == 2


@pytest.mark.parametrize(("game", "api"), APIS)
def test_an_environment_that_was_never_reset_can_be_pickled(game: str, api: str) -> None:
    env = pickle.loads(pickle.dumps(made(game, api)))
    env.reset(seed=3)
    assert len(play(env)) > 1


def test_spaces_keep_their_generators() -> None:
    env = made("play", "aec")
    for agent in env.possible_agents:
        env.action_space(agent).seed(7)
    there = pickle.loads(pickle.dumps(env))
    for agent in env.possible_agents:
        assert there.action_space(agent) is there.action_space(agent)
        assert there.action_space(agent).sample() == env.action_space(agent).sample()


@pytest.mark.parametrize("copied", [lambda env: pickle.loads(pickle.dumps(env)), copy.deepcopy])
def test_a_pickled_controllers_environment_goes_on_with_the_next_episode(copied: Any) -> None:
    def step(env: Any) -> list[Any]:
        return [env.step(action)[0]["observation"].tolist() for action in (0, 9, 1)]

    env = mars2_env.make(problem_set(), game="route", generators=Guesser(), sandbox=toy_sandbox())
    env.reset(seed=5)
    first = step(env)
    there = copied(env)
    for one in (env, there):
        one.reset()
    assert step(there) == step(env) != first
    there.reset(seed=5)
    assert step(there) == first


def test_a_simulated_generator_travels_with_its_environment() -> None:
    weak = mars2_env.testing.NoisePolicy(mars2_env.load_problems("starter", limit=3), "weak")
    env: Any = mars2_env.make(
        "starter", problem_options={"limit": 3}, game="route", generators=weak, sandbox="scripted"
    )
    there = pickle.loads(pickle.dumps(env))
    for one in (env, there):
        one.reset(seed=1)
        one.step(0)
    assert there.episode.nodes == env.episode.nodes


@pytest.mark.parametrize("selector", ["ab_mcts_a", "ab_mcts_a,posterior=gaussian", "repeated_sampling"])
def test_a_task_is_the_same_task_after_pickling(selector: str) -> None:
    task = mars2_env.task(selector=selector, limits=mars2_env.Limits(cpu_seconds=1))
    there = pickle.loads(pickle.dumps(task))
    assert there.config() == task.config() and there.problems.hash == task.problems.hash
    assert there.problems == task.problems and there.agents == task.agents and there.source == task.source


def test_an_unpickled_environment_shares_the_sandbox_of_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mars2_env.tasks.match._shared", {"scripted": toy_sandbox()})
    env = mars2_env.make(problem_set(), sandbox="scripted")
    assert isinstance(env, AgentGame)
    there = pickle.loads(pickle.dumps(env))
    there.reset(seed=1)
    assert there.match.judge.sandbox is mars2_env.tasks.match._shared["scripted"]
    assert isinstance(there.match.judge.sandbox, ScriptedSandbox)


_FORK = """
import os, sys, pickle, threading
import mars2_env
from mars2_env.tasks import match as tasks_match
env = mars2_env.make(API sandbox="docker")
reference = {problem.id: problem.reference for problem in env.task.problems}

def solve(env):
    env.reset()
    program = reference[env.episode.problem.id]
    while not env.episode.done:
        action = {"program": program}
        if env.task.rules.game == "play":
            action["parent"] = 0
        env.step({agent: action for agent in env.agents} if env.task.api == "parallel" else action)
    return [node.score for node in env.episode.nodes]

env.reset(seed=1)
assert set(solve(env)) == {1.0}
mine = tasks_match.shared_sandbox("docker").containers
held = threading.Event()
def hold():
    with tasks_match._shared_lock:
        held.set()
        threading.Event().wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()  # the worst moment to fork
pid = os.fork()
if pid == 0:
    assert set(solve(env)) == {1.0}
    theirs = tasks_match.shared_sandbox("docker").containers
    assert theirs and not set(theirs) & set(mine), (mine, theirs)
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
assert set(mine) <= set(tasks_match._shared["docker"].containers)  # more of its workers may have come up since
env.task.sandbox  # the parent's shared sandbox is asked directly: its lock is held for good
runs = tasks_match._shared["docker"].run("print(input())", ["a", "b"])
assert [run.output for run in runs] == ["a\\n", "b\\n"]
assert set(mine) <= set(tasks_match._shared["docker"].containers)
print("both")
"""


@pytest.mark.docker
@pytest.mark.parametrize("api", ["", 'game="play", api="parallel",'])
def test_a_forked_process_plays_in_containers_of_its_own(api: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORK.replace("API", api)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "both\n", done.stderr


_UNPICKLE = """
import pickle, sys
env = pickle.load(sys.stdin.buffer)
env.reset(seed=1)
reference = env.task.problems[env.episode.problem.id].reference
while not env.episode.done:
    env.step({"program": reference})
print(*[node.score for node in env.episode.nodes], len(env.task.sandbox.containers) > 0)
"""


@pytest.mark.docker
def test_an_environment_with_a_docker_sandbox_works_in_another_process() -> None:
    with mars2_env.make_sandbox("docker", workers=1, isolation="input") as box:
        env = mars2_env.make(sandbox=box, budget=2)
        data = pickle.dumps(env)
        assert len(box.identity) < len(data)
        done = subprocess.run([sys.executable, "-c", _UNPICKLE], input=data, capture_output=True, timeout=120)
        assert done.stdout == b"1.0 1.0 True\n", done.stderr
        env.reset(seed=1)
        assert box.run("print(1)", [""])[0].output == "1\n"
