"""What a newcomer gets wrong: each is one sentence of the library's own that says what to do, and no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

import mars2_env
from mars2_env.base.extras import extras_of, how_to_install, needed_by
from mars2_env.errors import ExtraError
from mars2_env.sandbox.scripted import ScriptedSandbox
from mars2_env.search.ab_mcts import AbMctsA, Guidance, Mars2
from mars2_env.search.baselines import Schedule, Uct
from mars2_env.tasks import OPTIONS, TaskOptions


def task(**options: Any) -> mars2_env.Task:
    return mars2_env.task("starter", sandbox=ScriptedSandbox(), **options)


def episode(**options: Any) -> mars2_env.Episode:
    given = {"agents": ["a_0"], "selector": "uct", "budget": 1, "seed": 0, **options}
    return mars2_env.Episode(task().problems[0].public_view(), **given)


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "guidance is a number in a text": (lambda: task(selector="mars2,guidance=0.9"), "guidance='0.9' .*default"),
    "guidance is a number": (lambda: Mars2(guidance=0.9), r"guidance=0.9 .*Guidance\("),  # type: ignore[arg-type]
    "guidance out of range": (lambda: Guidance(gamma=0), r"Guidance\(gamma=0\).*above 0"),
    "priors are a word": (lambda: task(selector="ab_mcts_a,priors=x"), "priors='x' .*0.2/0.6"),
    "priors are a text": (lambda: AbMctsA(priors="x"), "priors='x'.*for each agent"),  # type: ignore[arg-type]
    "priors out of range": (lambda: task(selector="ab_mcts_a,priors=2/3"), "between 0 and 1"),
    "priors are no number": (lambda: task(selector="ab_mcts_a,priors=nan/0.5"), "priors=nan.*finite"),
    "steps in a text": (lambda: task(selector="schedule,steps=0"), "steps='0' .*in Python"),
    "steps are a number": (lambda: Schedule(steps=0), "steps=0.*pair"),  # type: ignore[arg-type]
    "steps are not pairs": (lambda: Schedule(steps=(0, 1)), "pair"),  # type: ignore[arg-type]
    "steps are fractions": (lambda: Schedule(steps=((0.5, 1),)), "whole numbers"),  # type: ignore[arg-type]
    "weight is no number": (lambda: task(selector="uct,weight=nan"), "weight=nan.*finite"),
    "weight is negative": (lambda: Uct(weight=-1), "weight=-1.*at least 0"),
    "a selector's class": (lambda: task(selector=Uct), r"selector=Uct is a class.*Uct\(\.\.\.\)"),
    "a selector's class in an episode": (
        lambda: mars2_env.Episode(task().problems[0].public_view(), ["a_0"], Uct, 1, 0),  # type: ignore[arg-type]
        "is a class",
    ),
    "a selector that is none": (lambda: task(selector=3), "selector=3 is neither"),
    "a place that is not there": (lambda: task().problems[10**6], "none at place 1000000"),
    "a place that is none": (lambda: task().problems[1.5], "1.5 is neither"),  # type: ignore[call-overload]
    "rollout of a number": (lambda: mars2_env.rollout(3, "noise:default"), "not from 3"),  # type: ignore[arg-type]
    "rollout of an unknown set": (lambda: mars2_env.rollout("startr", "noise:default"), "Did you mean 'starter'"),
    "a preset that is a list": (lambda: task(preset=["mars2"]), "unknown preset"),
    "an unknown sandbox": (lambda: mars2_env.task("starter", sandbox="doker"), "Did you mean 'docker'"),
    "generators of no name": (lambda: task(game="place", generators=""), "give a policy or its spec"),
    "a file for a run": (lambda: mars2_env.rollout(task(), "noise:default", out=__file__), "is a file; give a folder"),
    "a sandbox's class": (lambda: mars2_env.task("starter", sandbox=ScriptedSandbox), "an object of it"),  # type: ignore[arg-type]
    "problems by number": (lambda: mars2_env.load_problems(3), r"load_problems\(3\).*starter"),  # type: ignore[arg-type]
    "a slice of ids": (lambda: task().problems["a":], r"such as \[:20\]"),  # type: ignore[misc]
    "one id for a list": (lambda: mars2_env.rollout(task(), "noise:default", problems="p"), r"such as \['p'\]"),
    "an episode of one name": (lambda: episode(agents="a_0"), "list of names"),
    "an episode with other rules": (lambda: episode(rules=3), r"Rules\(\.\.\.\)"),
    "an episode with prompts by name": (lambda: episode(prompts="chat"), r"Prompts\(\.\.\.\)"),
    "an episode whose seed is a word": (lambda: episode(seed="x"), "seed='x'.*whole number"),
    "an episode with a number for a function": (lambda: episode(stop_when=3), "not a function"),
    "a task without a name": (lambda: mars2_env.register_task(3, problems="starter"), "name/Task-v0"),  # type: ignore[arg-type]
    "results of nothing": (lambda: mars2_env.Results(()).pass_at_1_mcts, "no trees"),
    "a reward that is none": (lambda: task(reward=3), "reward=3 is neither a name .* nor a function"),
    "an unknown reward": (lambda: task(reward="progres"), "Did you mean 'progress'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_use_is_one_sentence_that_says_what_to_do(what: str) -> None:
    use, message = WRONG[what]
    with pytest.raises(mars2_env.ConfigError, match=message) as caught:
        use()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: mars2_env.Problem("p", "s", limits=3),  # type: ignore[arg-type]
        lambda: mars2_env.Problem("p", "s", checker=3),  # type: ignore[arg-type]
        lambda: mars2_env.Problem("p", "s", reference=3),  # type: ignore[arg-type]
        lambda: mars2_env.Problem("p", "s", metadata=3),  # type: ignore[arg-type]
        lambda: mars2_env.ProblemSet("s", (3,)),  # type: ignore[arg-type]
        lambda: mars2_env.ProblemSet("s", mars2_env.Problem("p", "s")),  # type: ignore[arg-type]
        lambda: mars2_env.ProblemSet("s", (), use="testing"),  # type: ignore[arg-type]
        lambda: mars2_env.ProblemSet(3, ()),  # type: ignore[arg-type]
    ],
)
def test_a_malformed_problem_or_set_is_known_when_it_is_made(wrong: Callable[[], object]) -> None:
    with pytest.raises(mars2_env.ProblemError):
        wrong()


def test_the_check_of_a_sandbox_can_be_called_twice() -> None:
    import mars2_env.sandbox as sandboxes

    for _ in range(2):
        with pytest.raises(mars2_env.ConfigError, match="scripted"):
            sandboxes.check("scripted")


def test_a_rollout_takes_the_name_of_a_problem_set() -> None:
    trees = list(mars2_env.rollout(mars2_env.task(task(), budget=2), "noise:default", limit=1))
    assert len(trees) == 1
    with pytest.raises(mars2_env.ConfigError, match="play"):
        mars2_env.rollout("mars2/StarterRoute-v0", "noise:default")


def test_a_problem_is_found_by_id_by_place_and_in_slices() -> None:
    problems = mars2_env.load_problems("starter")
    first = problems[0]
    assert problems[first.id] is first and problems[-1] is problems.problems[-1]
    some = problems[:3]
    assert isinstance(some, mars2_env.ProblemSet)
    assert [problem.id for problem in some] == [problem.id for problem in problems.problems[:3]]
    assert first in problems and first.id in some and problems[-1] not in some and 3 not in some
    assert mars2_env.task(some, sandbox=ScriptedSandbox()).problems is some


def penny(episode: mars2_env.Episode) -> Callable[[str, mars2_env.Node | None], float]:
    """A reward: a hundredth for each node."""
    return lambda agent, node: 0.01 * (node is not None)


def test_a_reward_may_be_a_function() -> None:
    env = mars2_env.make(task(reward=penny, budget=2))
    env.reset(seed=0)
    env.step({"program": "print(1)"})
    assert sum(env.rewards.values()) == 0.01
    assert env.unwrapped.task.config() == task(budget=2).config()


def test_a_reward_that_returns_no_function_is_named() -> None:
    env = mars2_env.make(task(reward=lambda episode: 1.0))  # type: ignore[arg-type,return-value]
    with pytest.raises(mars2_env.ConfigError, match=r"returned 1\.0; .*pay"):
        env.reset(seed=0)


@pytest.mark.parametrize("game", ["write", "route"])
def test_render_without_a_mode_warns_and_returns_none(game: str) -> None:
    env: Any = mars2_env.make(task(game=game, budget=2))
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode='ansi'"):
        assert env.unwrapped.render() is None


def test_what_a_task_takes_and_its_types_and_its_documentation_agree() -> None:
    assert set(TaskOptions.__annotations__) == set(OPTIONS)
    told = mars2_env.task.__doc__ or ""
    environments = "".join(
        (Path(__file__).parents[1] / name).read_text(encoding="utf-8") for name in ("README.md", "docs/guide.md")
    )
    for option in OPTIONS:
        assert option in told, f"help(mars2_env.task) does not name {option}"
        assert f"`{option}" in environments, f"neither README nor guide names `{option}`"


def test_a_missing_package_is_one_sentence_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mars2_env.base.extras.requires", lambda name: ["sb3-contrib>=2.7; extra == 'sb3'"])
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(ExtraError, match=r"^learners: .*pip install 'mars2-env\[sb3\]'"), needed_by("learners"):
        import sb3_contrib  # noqa: F401
    assert extras_of() == {"sb3-contrib": ["sb3"]}


def test_a_package_that_no_extra_has_is_named_itself() -> None:
    assert how_to_install(ModuleNotFoundError(name="some_thing.inner")) == "`pip install some-thing` may bring it."


def test_a_missing_package_of_a_part_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mars2_env.base.extras.requires", lambda name: ["torch>=2.4; extra == 'transformers'"])
    monkeypatch.delitem(sys.modules, "mars2_agents.policies.transformers", raising=False)
    for name in [name for name in sys.modules if name.startswith("mars2_agents")]:
        monkeypatch.delitem(sys.modules, name)

    class NoTorch:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name.startswith("mars2_agents"):
                raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(sys, "meta_path", [NoTorch, *sys.meta_path])
    with pytest.raises(mars2_env.PartError, match=r"torch.*pip install 'mars2-env\[transformers\]'"):
        list(mars2_env.rollout(task(budget=2), "hf:smollm2", limit=1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompt_ids": ("a",)}, "prompt_ids"),
        ({"completion_ids": None}, "completion_ids"),
        ({"completion_ids": (2**70,)}, "completion_ids"),
        ({"completion_ids": (-1,)}, "completion_ids"),
        ({"completion_ids": (1, 2), "logprobs": (-0.1,)}, "1 logprobs for 2 completion_ids"),
        ({"logprobs": ("x",)}, "logprobs"),
        ({"weights_version": object()}, "weights_version"),
    ],
)
def test_a_generation_that_is_none_is_refused_where_it_is_made(given: Any, message: str) -> None:
    with pytest.raises(mars2_env.PolicyError, match=message):
        mars2_env.Generation(**given)


def test_numbers_of_numpy_are_numbers_of_a_generation_and_of_its_log(tmp_path: Path) -> None:
    class Tokens:
        def act(self, turns: list[mars2_env.Turn]) -> tuple[mars2_env.Reply, ...]:
            generation = mars2_env.Generation(
                completion_ids=np.arange(2),  # type: ignore[arg-type]
                logprobs=np.array([-0.5, np.nan], "float32"),  # type: ignore[arg-type]
            )
            return tuple(mars2_env.Reply("print(0)", generation=generation) for _ in turns)

    task = mars2_env.task(toys.problem_set(1), budget=2, sandbox=toys.sandbox())
    (tree,) = mars2_env.rollout(task, Tokens(), out=tmp_path)  # type: ignore[arg-type]
    assert tree.nodes[0].generation is not None
    assert tree.nodes[0].generation.completion_ids == (0, 1)
    with pytest.raises(mars2_env.ConfigError, match="is not a folder"):
        mars2_env.rollout(task, Tokens(), out="")  # type: ignore[arg-type]


def test_policies_that_cannot_be_called_or_are_async_are_told_apart() -> None:
    class Number:
        act = 3

    class Later:
        async def act(self, turns: list[mars2_env.Turn]) -> list[mars2_env.Reply]:
            return []

    task = mars2_env.task(toys.problem_set(1), budget=1, sandbox=toys.sandbox())
    with pytest.raises(mars2_env.PolicyError, match="an object with act"):
        mars2_env.rollout(task, Number())  # type: ignore[arg-type]
    with pytest.raises(mars2_env.PolicyError, match="is async"):
        list(mars2_env.rollout(task, Later()))  # type: ignore[arg-type]


def test_a_run_with_a_status_that_is_none_is_a_fault_of_its_sandbox() -> None:
    box = ScriptedSandbox(lambda program, given: mars2_env.Run("timeout"))  # type: ignore[arg-type]
    with pytest.raises(mars2_env.SandboxError, match="status 'timeout', which is none of ok, runtime_error"):
        mars2_env.Judge(box).grade(toys.problem(0), "print(0)")


def test_a_budget_that_lets_a_tree_grow_for_ever_is_refused() -> None:
    with pytest.raises(mars2_env.ConfigError, match="nothing limits agent_1, so that a tree may never end"):
        task(budget="agent_0.nodes=1")
    assert task(budget="agent_0.nodes=1,agent_1.nodes=2").budget.agents
    assert task(budget="agent_0.nodes=1", patience=3).rules.patience == 3


def test_a_tree_is_evaluated_once_and_one_that_met_faults_is_said_to_have() -> None:
    problems = toys.problem_set(2)
    trees = list(mars2_env.rollout(mars2_env.task(problems, budget=1, sandbox=toys.sandbox()), toys.Guesser()))
    with pytest.raises(mars2_env.ConfigError, match="some of them twice"):
        mars2_env.evaluate(trees + trees, problems=problems, sandbox=toys.sandbox())
    faulty = mars2_env.task(problems, budget=1, sandbox=toys.FaultySandbox(1000))
    with pytest.raises(mars2_env.ConfigError, match="2 ended by faults, 0 are cut off"):
        mars2_env.evaluate(mars2_env.rollout(faulty, toys.Guesser()), problems=problems, sandbox=toys.sandbox())
