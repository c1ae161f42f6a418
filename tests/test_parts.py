"""Users' own parts: by decorator within a program, by entry point from a package that is really installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from toys import problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, Episode, Judge, JudgeError, Node, PolicyError, Problem, Reply, Run, TestCase, Turn
from mars2_env.base.parts import Parts
from mars2_env.judge import register_checker
from mars2_env.sandbox import Sandbox, register_sandbox
from mars2_env.search import Choice, SearchTree, make_selector
from mars2_env.tasks.policies import make_policy
from mars2_env.testing import ScriptedPolicy, ScriptedSandbox

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "offered-parts"
version = "1.0"
[project.entry-points."mars2_env.policies"]
always = "offered_parts:Always"
absent = "offered_parts:Nothing"
[project.entry-points."mars2_env.selectors"]
newest = "offered_parts:Newest"
[project.entry-points."mars2_env.problems"]
doubling = "offered_parts:doubling"
[project.entry-points."mars2_env.rewards"]
lines = "offered_parts:lines"
[project.entry-points."mars2_env.reward_models"]
short = "offered_parts:Short"
[project.entry-points."mars2_env.templates"]
terse = "offered_parts:terse"
[project.entry-points."mars2_env.sandboxes"]
echoes = "offered_parts:echoes"
[project.entry-points."mars2_env.checkers"]
even = "offered_parts:even"
number = "offered_parts:NUMBER"
lost = "offered_parts_that_do_not_exist:check"
[project.entry-points."mars2_env.commands"]
greet = "offered_parts:greet"
fails = "offered_parts_that_do_not_exist:app"
"""

PACKAGE = '''
from dataclasses import dataclass
from typing import ClassVar
import mars2_env
from mars2_env.search import Choice
from mars2_env.testing import ScriptedSandbox

class Always:
    def __init__(self, rest, *, problems=None, number="1"):
        self.text = f"print({number}{rest})"
    def act(self, turns):
        return [mars2_env.Reply(f"# {turn.id}\\n{self.text}") for turn in turns]

@dataclass(frozen=True)
class Newest:
    name: ClassVar[str] = "newest"
    back: int = 0
    def select(self, tree, rng, pending=()):
        return Choice(max(0, len(tree) - 1 - self.back), 0)

class Short:
    def __init__(self, rest):
        pass
    def score(self, problem, programs):
        return [0.5 for _ in programs]

def doubling(*, path=None, split=None, size=2):
    case = mars2_env.TestCase("1", "2")
    problem = mars2_env.Problem("doubling/0", "Double it.", public=(case,), scoring=(case,) * size, hidden=(case,))
    return mars2_env.ProblemSet("doubling", (problem,), split or "train")

def lines(episode):
    return lambda actor, node: 0.0 if node is None else float(len(node.program.splitlines()))

def terse(context):
    return ({"role": "user", "content": f"Solve {context.problem.id}."},)

def echoes(*, workers, prefix=""):
    return ScriptedSandbox(lambda program, given: prefix + given, identity=f"echoes:{workers}")

def even(given, output, expected):
    return int(output) % 2 == 0

NUMBER = 3

def greet(name: str = "world"):
    """Greet someone."""
    print(f"hello {name}")
'''

PROGRAM = """
import sys
import mars2_env
from mars2_env.testing import ScriptedSandbox

box = ScriptedSandbox(lambda program, given: mars2_env.Run("ok", output="2"))
task = mars2_env.task("doubling", problem_options={"size": 3}, selector="newest,back=1", reward="lines",
                      reward_model="short", sandbox=box, budget=4, prompts="terse")
assert mars2_env.task(task, prompts="chat,agent_1=terse").config()["prompts"]
assert len(task.problems.problems[0].scoring) == 3
(tree,) = mars2_env.rollout(task, "always:0,number=7", out=sys.argv[1], seed=3)
assert [node.parent for node in tree.nodes] == [0, 0, 1, 2], tree.nodes
assert "print(70)" in tree.nodes[0].program
assert mars2_env.replay(tree.path).nodes == tree.nodes
env = mars2_env.make(task)
env.reset(seed=0)
assert env.turn.messages[0]["content"] == "Solve doubling/0."
env.step({"program": "a = 2\\nprint(a)"})
print(env.rewards)
try:
    mars2_env.task("doubling", selector="newes")
except mars2_env.ConfigError as error:
    print(error)
try:
    mars2_env.rollout(task, "absent").__next__()
except mars2_env.PartError as error:
    print(error)
"""


JUDGED = """
from dataclasses import replace
import mars2_env
from mars2_env import Judge, Problem, TestCase

with mars2_env.make_sandbox("echoes", workers=2, prefix="1") as box:
    print(box.identity)
    problem = Problem("p", "s", public=(TestCase("4", "any"),), checker="even")
    print(Judge(box).grade(problem, "x").outcome, Judge(box).grade(problem, "x", "public").cpu_seconds)
    for checker in ("eve", "number", "lost"):
        try:
            Judge(box).grade(replace(problem, checker=checker), "x")
        except mars2_env.JudgeError as error:
            print(error)
try:
    mars2_env.make_sandbox("echoes", suffix="1")
except mars2_env.ConfigError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed a package that offers parts of every kind."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    (source / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (source / "offered_parts.py").write_text(PACKAGE, encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps")
    subprocess.run([*pip, "--no-build-isolation", "--target", target, source], check=True, stdin=subprocess.DEVNULL)
    return target


def python(installed: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(installed), "COLUMNS": "120"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_parts_of_every_kind_come_from_an_installed_package(installed: Path, tmp_path: Path) -> None:
    done = python(installed, "-c", PROGRAM, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    rewards, unknown, unloadable = done.stdout.splitlines()
    assert rewards == "{'agent_0': 2.0, 'agent_1': 0.0}"
    assert unknown.startswith("unknown selector 'newes'. Did you mean 'newest'? Known: ab_mcts_a,")
    assert "'absent' (offered_parts:Nothing) cannot be loaded" in unloadable


def test_sandboxes_and_checkers_come_from_an_installed_package(installed: Path) -> None:
    done = python(installed, "-c", JUDGED)
    assert done.returncode == 0, done.stderr
    identity, outcome, unknown, no_function, unloadable, option = done.stdout.splitlines()
    assert (identity, outcome) == ("echoes:2", "passed 0.0")
    assert unknown.startswith("problem 'p': unknown checker 'eve'. Did you mean 'even'? Known: ")
    assert no_function.startswith("problem 'p': checker 'number' is 3, which is no function")
    assert "'lost' (offered_parts_that_do_not_exist:check) cannot be loaded" in unloadable
    assert option == "sandbox 'echoes': got an unexpected keyword argument 'suffix'. Its options: prefix."


def test_commands_come_from_an_installed_package_and_a_broken_one_costs_only_itself(installed: Path) -> None:
    done = python(installed, "-m", "mars2_env.cli", "greet", "--name", "tree")
    assert (done.returncode, done.stdout) == (0, "hello tree\n"), done.stderr
    assert done.stderr.startswith("mars2: left out: command 'fails' (offered_parts_that_do_not_exist:app) cannot be")


def test_a_registered_command_is_one_of_mars2(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "from mars2_env.cli import main, register_command\n"
        "@register_command('twice')\n"
        "def twice(number: int) -> None:\n    print(2 * number)\n"
        "main()\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, own, "twice", "21"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr
    with pytest.raises(ConfigError, match="a command named 'search' is registered already"):
        __import__("mars2_env.cli").cli.register_command("search")(print)


def test_a_registered_policy_is_built_from_its_spec() -> None:
    @mars2_env.register_policy("test-echo")
    class Echo:
        def __init__(self, rest: str, *, problems: Any, twice: str = "no") -> None:
            self.text = rest * (2 if twice == "yes" else 1)

        def act(self, turns: list[Turn]) -> list[Reply]:
            return [Reply(self.text) for _ in turns]

    policy = make_policy("test-echo:ab,twice=yes")
    assert isinstance(policy, Echo)
    assert policy.text == "abab"
    with pytest.raises(ConfigError, match=r"'test-echo': got an unexpected keyword argument 'twic'.*options: twice\."):
        make_policy("test-echo:ab,twic=yes")
    with pytest.raises(ConfigError, match="'problems' is not for users to give"):
        make_policy("test-echo:ab,problems=3")
    with pytest.raises(ConfigError, match=r"unknown policy 'test-ech'. Did you mean 'test-echo'\?"):
        make_policy("test-ech")
    mars2_env.register_policy("test-no-policy")(lambda rest, *, problems: 3)
    with pytest.raises(PolicyError, match="its factory returned int, which has no act"):
        make_policy("test-no-policy")


def test_a_registered_selector_runs_and_its_tree_is_replayed_from_the_log(tmp_path: Path) -> None:
    @mars2_env.register_selector("test-chain")
    @dataclass(frozen=True)
    class Chain:
        name: ClassVar[str] = "test-chain"
        agent: int = 0

        def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
            return Choice(len(tree) - 1, self.agent)

    task = mars2_env.task(problem_set(), selector="test-chain,agent=1", sandbox=sandbox(), budget=3)
    policy = ScriptedPolicy(lambda turn: f"print({turn.id})")
    tree = next(mars2_env.rollout(task, policy, out=tmp_path))
    assert [(node.agent, node.parent) for node in tree.nodes] == [("agent_1", 0), ("agent_1", 1), ("agent_1", 2)]
    assert tree.path is not None
    assert mars2_env.replay(tree.path).nodes == tree.nodes


def test_a_selector_that_logs_could_not_name_is_refused() -> None:
    @mars2_env.register_selector("test-nameless")
    class Nameless:
        def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
            return Choice(0, 0)

    with pytest.raises(ConfigError, match="its attribute `name` must be 'test-nameless'"):
        make_selector("test-nameless")


def test_a_registered_reward_is_paid_by_share_or_agent_by_agent() -> None:
    @mars2_env.register_reward("test-depth")
    def depth(episode: Episode) -> Any:
        return lambda actor, node: 0.0 if node is None else node.depth

    @mars2_env.register_reward("test-rivals")
    def rivals(episode: Episode) -> Any:
        def pay(actor: str, node: Node | None) -> dict[str, float]:
            return {agent: 1.0 if agent == actor else -1.0 for agent in episode.agents}

        return pay

    mars2_env.register_reward("test-nan")(lambda episode: lambda actor, node: float("nan"))
    paid = {}
    for reward, share in (("test-depth", "own"), ("test-depth", "team"), ("test-rivals", "own")):
        env: Any = mars2_env.make(problem_set(), game="play", reward=reward, share=share, sandbox=sandbox(), budget=4)
        env.reset(seed=0)
        env.step({"program": "print(1)", "parent": 0})
        paid[reward, share] = dict(env.rewards)
    assert paid == {
        ("test-depth", "own"): {"agent_0": 1.0, "agent_1": 0.0},
        ("test-depth", "team"): {"agent_0": 1.0, "agent_1": 1.0},
        ("test-rivals", "own"): {"agent_0": 1.0, "agent_1": -1.0},
    }
    env = mars2_env.make(problem_set(), reward="test-nan", sandbox=sandbox())
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="reward 'test-nan' returned nan"):
        env.step({"program": "print(1)"})
    with pytest.raises(ConfigError, match=r"unknown reward 'progres'. Did you mean 'progress'\?"):
        mars2_env.task(problem_set(), reward="progres")


def test_a_registered_sandbox_is_made_wherever_a_kind_is_named() -> None:
    made = []

    @register_sandbox("test-two")
    def two(*, workers: int | None, answer: str = "2") -> Sandbox:
        made.append((workers, answer))
        return ScriptedSandbox(lambda program, given: answer)

    with mars2_env.make_sandbox("test-two", workers=3, answer="4") as box:
        assert box.run("p", ["x"]) == [Run("ok", output="4")]
    env: Any = mars2_env.make(problem_set(), sandbox="test-two", budget=1)
    env.reset(seed=0)
    env.step({"program": "print(1)"})
    assert made == [(3, "4"), (None, "2")]


def test_options_that_a_kind_of_sandbox_does_not_take_name_those_it_does() -> None:
    bubblewrap = "isolation, numpy, packages, python_packages, memory_bytes,"
    for kind, taken in (("scripted", "script, identity"), ("bubblewrap", bubblewrap)):
        with pytest.raises(ConfigError, match=rf"sandbox '{kind}': got .* argument 'colour'\. Its options: {taken}"):
            mars2_env.make_sandbox(kind, colour="red")


def test_what_a_factory_returns_in_place_of_a_sandbox_is_named() -> None:
    class Half:
        identity = "half"

        def run(self) -> None: ...

        def __repr__(self) -> str:
            return "half a sandbox"

    register_sandbox("test-half")(lambda *, workers: Half())
    lacks = "it lacks stream, arun, astream, close, __enter__, __exit__"
    with pytest.raises(ConfigError, match=f"'test-half': its factory returned half a sandbox, .*; {lacks}"):
        mars2_env.make_sandbox("test-half")


def test_an_unknown_kind_of_sandbox_is_answered_with_the_known_ones() -> None:
    register_sandbox("test-known")(ScriptedSandbox)
    with pytest.raises(ConfigError, match=r"unknown sandbox 'test-know'\. Did you mean 'test-known'\? Known: auto, "):
        mars2_env.make_sandbox("test-know")
    with pytest.raises(ConfigError, match="a sandbox named 'docker' is registered already"):
        register_sandbox("docker")(ScriptedSandbox)


def test_a_registered_checker_decides_and_the_librarys_own_keep_their_names() -> None:
    @register_checker("test-shorter")
    def shorter(given: Any, output: Any, expected: Any) -> bool:
        return len(output) < len(expected)

    problem = Problem("p", "s", public=(TestCase("1", "long"),), checker="test-shorter")
    judge = Judge(ScriptedSandbox(lambda program, given: program))
    assert [judge.grade(problem, program).passed for program in ("abc", "abcd")] == [True, False]
    with pytest.raises(ConfigError, match="a checker named 'same_set' is registered already"):
        register_checker("same_set")(shorter)
    with pytest.raises(JudgeError, match=r"unknown checker 'test-short'.*'test-shorter'\?.*judge\.register_checker"):
        judge.grade(replace(problem, checker="test-short"), "x")


@pytest.mark.parametrize("name", ["", "two words", "a:b", "a,b", "a=b", 3])
def test_names_that_a_spec_could_not_hold_are_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="give a text"):
        Parts("part", "mars2_env.none").register(name, print)


def test_a_taken_name_is_refused_and_the_same_part_may_come_again() -> None:
    parts = Parts("part", "mars2_env.none", {"own": print})
    assert parts.register("mine", len) is len
    parts.register("mine", len)
    for name in ("mine", "own"):
        with pytest.raises(ConfigError, match=f"a part named '{name}' is registered already"):
            parts.register(name, str)
    assert parts.names() == ["mine", "own"]
