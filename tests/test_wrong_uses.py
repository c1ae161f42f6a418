"""What a newcomer gets wrong: each is one sentence of the library's own that says what to do, and no traceback."""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

import mars2_env
from mars2_env.base.extras import extras_of, how_to_install, needed_by
from mars2_env.base.plain import MAX_DEPTH, why_not_plain
from mars2_env.errors import ExtraError
from mars2_env.features import Layout
from mars2_env.judge import register_checker, same_output
from mars2_env.judge.checkers import checker
from mars2_env.problems.base import Provenance
from mars2_env.problems.jsonl import write_jsonl
from mars2_env.prompt.programs import extract_program, fenced, fenced_blocks, normal_form, parse
from mars2_env.prompt.templates import register_templates
from mars2_env.rewards import Ledger
from mars2_env.sandbox.scripted import ScriptedSandbox
from mars2_env.sandbox.worker import values
from mars2_env.search import SearchTree
from mars2_env.search.ab_mcts import AbMctsA, Guidance, Mars2
from mars2_env.search.baselines import Schedule, Uct
from mars2_env.tasks import OPTIONS, TaskOptions
from mars2_env.tasks.team import agent_names
from mars2_env.testing import NoisePolicy


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
    "a million agents": (lambda: task(agents=10**6), "agents=1000000.*10000 are the most"),
    "too many names": (lambda: task(agents=["a"] * 10_001), "10001 names; 10000 agents"),
    "no agent": (lambda: task(agents=0), "agents=0.*at least one"),
    "problems by place": (lambda: mars2_env.rollout(task(), "noise:default", problems=[3]), r"problem=3\).*a text"),  # type: ignore[list-item]
    "more workers than any machine has": (
        lambda: mars2_env.make_sandbox("docker", workers=10**6),
        r"make_sandbox\(workers=1000000\): must be a whole number of at least 1 and at most 1024",
    ),
    "a NUL in a run folder": (lambda: mars2_env.rollout(task(), "noise:default", out="a\0b"), "is not a folder"),
    "a NUL in a task's folder": (lambda: task(out="a\0b"), r"out='a\\x00b' is not a folder"),
    "a NUL in an environment's folder": (lambda: mars2_env.make(task(out=Path("a\0b"))), "is not a folder"),
    "a lone surrogate in a run folder": (
        lambda: mars2_env.rollout(task(), "noise:default", out="\ud800"),
        "not a folder",
    ),
    "an observer that is none": (
        lambda: mars2_env.rollout(task(), "noise:default", observer=3),  # type: ignore[arg-type]
        r"rollout\(observer=3\): must be a function, or None",
    ),
    "meters that are none": (
        lambda: mars2_env.rollout(task(), "noise:default", meters=3),  # type: ignore[arg-type]
        r"rollout\(meters=3\): must be a Meters, or None",
    ),
    "an unknown reward": (lambda: task(reward="progres"), "Did you mean 'progress'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_use_is_one_sentence_that_says_what_to_do(what: str) -> None:
    use, message = WRONG[what]
    with pytest.raises(mars2_env.ConfigError, match=message) as caught:
        use()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: mars2_env.read_log("a\0b"), "named by its file or folder, not by 'a"),
        (lambda: mars2_env.evaluate("a\0b"), "named by its file or folder, not by 'a"),
        (lambda: mars2_env.evaluate(Path("a\0b")), "named by its file or folder"),
        (lambda: mars2_env.read_log("x" * 300), "File name too long"),
        (
            lambda: mars2_env.rollout(task(), "noise:default", out="x" * 300),
            "cannot be a run folder: File name too long",
        ),
        (lambda: mars2_env.make(task(out="x" * 300)).reset(), "File name too long"),
    ],
)
def test_a_folder_that_no_file_system_has_is_one_sentence(use: Callable[[], object], message: str) -> None:
    with pytest.raises(mars2_env.LogError, match=message) as caught:
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
        (Path(__file__).parents[1] / name).read_text(encoding="utf-8")
        for name in ("README.md", "docs/guide.md", "docs/tasks.md")
    )
    for option in OPTIONS:
        assert option in told, f"help(mars2_env.task) does not name {option}"
        assert f"`{option}" in environments, f"neither README nor guide nor tasks names `{option}`"


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


def refused(kind: type[mars2_env.Mars2Error], *uses: tuple[Callable[[], Any], str]) -> list[Any]:
    """One row for each use and what its message says."""
    return [pytest.param(kind, use, message, id=message[:50]) for use, message in uses]


def problem(*tests: mars2_env.TestCase, **given: Any) -> mars2_env.Problem:
    return mars2_env.Problem("p", "s", mars2_env.Call("f"), hidden=tests, **given)


def case(output: Any, *arguments: Any) -> mars2_env.TestCase:
    return mars2_env.TestCase(list(arguments), output)


def own(output: Any) -> Any:
    """A container that holds itself."""
    output.append(output)
    return output


def deep(levels: int) -> Any:
    """A list in a list in a list, so many of them."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


class Colour(IntEnum):
    RED = 1


EMPTY = mars2_env.Results(())
ON_PUBLIC = mars2_env.Verdict({"public": ("passed",)})
VIEW = mars2_env.Problem("p", "s").public_view()


def a_tree() -> mars2_env.Tree:
    made = mars2_env.task(toys.problem_set(1), budget=1, sandbox=toys.sandbox())
    return next(iter(mars2_env.rollout(made, toys.Guesser())))


def agreed(**given: Any) -> Any:
    options = {"problem": toys.problem(0).public_view(), "sandbox": toys.sandbox(), **given}
    return mars2_env.answer(a_tree(), "agreement", **options)


def vectors() -> Any:
    return mars2_env.make_vec(task(game="route"), 2)


REFUSED: list[Any] = [
    *refused(
        mars2_env.ProblemError,
        (lambda: problem(case(own([]))), r"'p': hidden\[0\]: the output .*contains itself"),
        (lambda: problem(case(1, own([]))), r"'p': hidden\[0\]: the input .*contains itself"),
        (lambda: problem(case(1), case({1: (own([]),)})), r"hidden\[1\]: the output .*contains itself"),
        (lambda: problem(case(1, range(3))), "the input .*type range is not plain"),
        (lambda: problem(case(1, {"a": [lambda: 0]})), "the input .*type function is not plain"),
        (lambda: problem(case(object())), "the output .*type object is not plain"),
        (lambda: problem(case({(1, (2, object()))})), "output .*type object is not plain"),
        (lambda: problem(case({object(): 1})), "output .* type object is not plain"),
        (lambda: problem(case([1, np.array([1])])), "type ndarray is not plain"),
        (lambda: problem(case(np.int64(1))), "type int64 is not plain"),
        (lambda: problem(case([np.float64(1)])), "type float64 is no float to the comparison; make it one"),
        (lambda: problem(case(Colour.RED)), "type Colour is no int to the comparison; make it one"),
        (lambda: problem(case(Fraction(1, 2))), "type Fraction is not plain"),
        (lambda: problem(case(bytearray(b"x"))), "type bytearray is not plain"),
        (lambda: problem(case(...)), "type ellipsis is not plain"),
        (lambda: problem(case(deep(201))), "deeper than 200 levels"),
        (lambda: problem(metadata={3: 4}), "mapping from texts"),
        (lambda: problem().tests("hiden"), "unknown test group 'hiden'. Did you mean 'hidden'"),  # type: ignore[arg-type]
        (lambda: mars2_env.Stdin(3), r"Stdin\(prelude=3\)"),  # type: ignore[arg-type]
        (lambda: mars2_env.Call("f", None), r"Call\(prelude=None\)"),  # type: ignore[arg-type]
        (lambda: mars2_env.Limits(processes=1.5), "processes=1.5.*whole number"),  # type: ignore[arg-type]
        (lambda: mars2_env.Limits(memory_bytes=0.5), "memory_bytes=0.5.*at least 1"),  # type: ignore[arg-type]
        (lambda: mars2_env.PublicView(1, "s", mars2_env.Stdin(), (), "", mars2_env.Limits()), "PublicView.id=1"),  # type: ignore[arg-type]
        (lambda: replace(VIEW, interface=mars2_env.Stdin), r"PublicView\(interface=.*Stdin\(\) or"),  # type: ignore[arg-type]
        (lambda: replace(VIEW, limits=3), r"PublicView\(limits=3\).*a Limits"),  # type: ignore[arg-type]
        (lambda: mars2_env.ProblemSet("x", (), split=3), "split=3.*a text"),  # type: ignore[arg-type]
        (lambda: mars2_env.ProblemSet("x", (), left_out=3), "left_out=3.*by reason"),  # type: ignore[arg-type]
        (lambda: mars2_env.ProblemSet("x", (), provenance=3), "provenance=3.*a Provenance"),  # type: ignore[arg-type]
        (lambda: Provenance(files=3), "files=3.*paths"),  # type: ignore[arg-type]
    ),
    *refused(
        mars2_env.JudgeError,
        (lambda: mars2_env.Verdict(3), "groups=3"),  # type: ignore[arg-type]
        (lambda: mars2_env.Verdict({"zz": ()}), "unknown test group in Verdict 'zz'"),
        (lambda: mars2_env.Verdict({"public": "passed"}), "public='passed'"),  # type: ignore[dict-item]
        (lambda: mars2_env.Verdict({"public": ("pased",)}), "Did you mean 'passed'"),  # type: ignore[dict-item]
        (lambda: mars2_env.Verdict({"public": ([],)}), r"of public tests in Verdict \[\]"),  # type: ignore[dict-item]
        (lambda: mars2_env.Verdict(settled=[]), r"settled outcome in Verdict \[\]"),  # type: ignore[arg-type]
        (lambda: mars2_env.Verdict(feedback=3), "feedback=3"),  # type: ignore[arg-type]
        (lambda: mars2_env.Verdict(cpu_seconds="x"), "cpu_seconds='x'"),  # type: ignore[arg-type]
        (lambda: ON_PUBLIC.group("hidden"), r"group\('hidden'\): this verdict is on public alone"),
        (lambda: mars2_env.Feedback([]), r"outcome in Feedback \[\]"),  # type: ignore[arg-type]
        (lambda: mars2_env.Feedback("passed", unshown=3), "unshown=3"),  # type: ignore[arg-type]
        (lambda: mars2_env.Feedback("passed", test=-1), "test=-1"),
        (lambda: mars2_env.Feedback("passed", input=3), "Feedback.input=3"),  # type: ignore[arg-type]
        (lambda: checker(3), "checker=3 is not a name"),  # type: ignore[arg-type]
        (lambda: checker([]), r"checker=\[\] is not a name"),  # type: ignore[arg-type]
        (lambda: same_output(3, "x"), "compares two texts"),  # type: ignore[arg-type]
    ),
    *refused(
        mars2_env.SandboxError,
        (lambda: mars2_env.Run(3), "status=3"),  # type: ignore[arg-type]
        (lambda: mars2_env.Run("ok", stderr=b""), "stderr=b''"),  # type: ignore[arg-type]
        (lambda: mars2_env.Run("ok", exit_code="x"), "exit_code='x'"),  # type: ignore[arg-type]
        (lambda: mars2_env.Run("ok", cpu_seconds="x"), "cpu_seconds='x'"),  # type: ignore[arg-type]
    ),
    *refused(
        mars2_env.EpisodeError,
        (lambda: mars2_env.Turn(0, "a", 3, 0, (), None, ()), r"Turn\(problem=3\)"),  # type: ignore[arg-type]
        (lambda: mars2_env.Turn(0.5, "a", VIEW, 0, (), None, ()), r"Turn\(id=0.5\)"),  # type: ignore[arg-type]
        (lambda: mars2_env.Turn(0, "a", VIEW, 0, (), "x", ()), r"Turn\(parent='x'\)"),  # type: ignore[arg-type]
        (lambda: mars2_env.Turn(0, "a", VIEW, 0, (), 0, (0,)).at(3), "node 3 is not on offer"),
        (lambda: mars2_env.Node(1, 0, 1, "a", "", None, 3, 0.0), r"Node\(verdict=3\)"),  # type: ignore[arg-type]
        (lambda: mars2_env.Node(1, 0, 1, "a", "", None, ON_PUBLIC, "x"), r"Node\(score='x'\)"),  # type: ignore[arg-type]
        (lambda: mars2_env.make(task()).step(None), r"call reset\(\)"),  # type: ignore[union-attr]
    ),
    *refused(
        mars2_env.PolicyError,
        (lambda: mars2_env.Generation(finish_reason=3), "finish_reason=3"),  # type: ignore[arg-type]
    ),
    *refused(
        mars2_env.ConfigError,
        (lambda: mars2_env.Usage(tokens=1.5), "tokens=1.5.*whole number"),  # type: ignore[arg-type]
        (lambda: mars2_env.Usage(tokens=True), "tokens=True"),
        (lambda: mars2_env.Budget(agents={3: 4}), "agent=3.*a text"),  # type: ignore[dict-item]
        (lambda: mars2_env.evaluate([a_tree()], problems=3), r"evaluate\(problems=3\)"),  # type: ignore[arg-type]
        (lambda: mars2_env.evaluate([a_tree()], problems="starter", observer=3), "observer=3.*a function"),  # type: ignore[arg-type]
        (lambda: mars2_env.evaluate([a_tree()], problems="starter", partial=3), "partial=3.*True or False"),  # type: ignore[arg-type]
        (lambda: mars2_env.Results(None), "trees=None.*TreeResults"),  # type: ignore[arg-type]
        (lambda: mars2_env.Results((1,)), r"trees=\(1,\).*TreeResults"),  # type: ignore[arg-type]
        (lambda: mars2_env.Results((), unfinished="x"), "unfinished='x'"),  # type: ignore[arg-type]
        (lambda: mars2_env.Results((), rule="zz"), "rule='zz'"),  # type: ignore[arg-type]
        (lambda: mars2_env.Results((), planned=-1), "planned=-1"),
        (lambda: EMPTY.interval("pass_at_n"), "no trees, and so no shares"),
        (lambda: EMPTY.interval(0.5), "no trees, and so"),
        (lambda: EMPTY.bounds("pass_at_n"), "no shares to bound"),
        (lambda: EMPTY.bounds(3), "unknown measure 3"),  # type: ignore[arg-type]
        (lambda: agreed(problem=3), "problem=3.*public_view"),
        (lambda: agreed(sandbox=3), "sandbox=3.*make_sandbox"),
        (lambda: agreed(inputs="x"), "inputs='x'"),
        (lambda: agreed(seed=-1), "seed=-1"),
        (lambda: extract_program(None), r"extract_program\(reply=None\)"),  # type: ignore[arg-type]
        (lambda: extract_program("x", []), r"defines=\[\].*name of a function"),  # type: ignore[arg-type]
        (lambda: normal_form(None), r"normal_form\(text=None\)"),  # type: ignore[arg-type]
        (lambda: parse(3), r"parse\(program=3\)"),  # type: ignore[arg-type]
        (lambda: fenced(3), r"fenced\(text=3\)"),  # type: ignore[arg-type]
        (lambda: fenced_blocks(None), r"fenced_blocks\(text=None\)"),  # type: ignore[arg-type]
        (lambda: mars2_env.register_policy(None), "policy name None"),  # type: ignore[arg-type]
        (lambda: mars2_env.register_policy("a:b"), "policy name 'a:b'"),
        (lambda: mars2_env.register_policy("a-b")(3), "policy 'a-b': 3 cannot be called"),  # type: ignore[type-var]
        (lambda: mars2_env.register_policy(toys.Guesser), "policy name .*Guesser"),  # type: ignore[arg-type]
        (lambda: mars2_env.register_reward(3), "reward name 3"),  # type: ignore[arg-type]
        (lambda: mars2_env.register_reward("progress"), "'progress' is registered already"),
        (lambda: mars2_env.register_reward_model(None), "reward model name None"),  # type: ignore[arg-type]
        (lambda: mars2_env.register_selector(""), "selector name ''"),
        (lambda: mars2_env.register_selector("uct"), "'uct' is registered already"),
        (lambda: mars2_env.register_problems(None), r"register_problems\(None\)"),  # type: ignore[arg-type]
        (lambda: mars2_env.register_problems("mine", 3), "'mine': 3 cannot be called"),  # type: ignore[type-var]
        (lambda: register_checker(3), "checker name 3"),  # type: ignore[arg-type]
        (lambda: register_templates([]), r"templates name \[\]"),  # type: ignore[arg-type]
        (lambda: mars2_env.register_task("x/Y-v0", problems=3), r"problems=3\).*a problem set"),  # type: ignore[typeddict-item]
        (lambda: mars2_env.register_task("x/Y-v0", problems="starter", game=[]), r"game=\[\]\) is not one of"),  # type: ignore[typeddict-item]
        (lambda: mars2_env.register_task("x y/Y-v0", problems="starter"), "'x y/Y-v0'.*name/Task-v0"),
        (lambda: mars2_env.load_problems("humaneval", path=3), "path=3.*a file"),  # type: ignore[arg-type]
        (lambda: mars2_env.load_problems("starter", split=3), "split=3.*name of a split"),  # type: ignore[arg-type]
        (lambda: write_jsonl(3, "x.jsonl"), "problem_set=3"),  # type: ignore[arg-type]
        (lambda: write_jsonl(toys.problem_set(1), None), "path=None.*a file"),  # type: ignore[arg-type]
        (lambda: write_jsonl(toys.problem_set(1), "/no/such/x.jsonl"), "no folder '/no/such'"),
        (lambda: mars2_env.Judge(ScriptedSandbox), "a sandbox is needed"),  # type: ignore[arg-type]
        (lambda: mars2_env.Judge(ScriptedSandbox(), strict_types=3), "strict_types=3"),  # type: ignore[arg-type]
        (lambda: mars2_env.make_sandbox("scripted", language=3), "unknown .*language.* 3"),  # type: ignore[arg-type]
        (lambda: episode(agents=[3]), r"Episode\(agent=3\)"),
        (lambda: episode(agents=[""]), r"Episode\(agent=''\)"),
        (lambda: episode(agents={"a_0": 3}), r"agents\['a_0'\]=3"),
        (lambda: episode().answer(3), "unknown .* 3. Known"),  # type: ignore[arg-type]
        (lambda: episode().stop(3), r"stop\(why=3\)"),  # type: ignore[arg-type]
        (lambda: (e := episode()).fail(e.ask(), 3), r"fail\(reason=3\)"),  # type: ignore[arg-type]
        (lambda: (e := episode()).fail(e.ask(), "x", "zz"), r"fail\(kind='zz'\)"),  # type: ignore[arg-type]
        (lambda: vectors().reset(options=3), "options is a dict"),
        (lambda: SearchTree("x"), "n_agents='x'"),  # type: ignore[arg-type]
        (lambda: SearchTree(1).add(None, 0, 0.5), "parent None is not a node"),  # type: ignore[arg-type]
        (lambda: SearchTree(1).add(0, "a_0", 0.5), "agent 'a_0' is not one"),  # type: ignore[arg-type]
        (lambda: Layout("x", ("a_0",), observer=False), r"Layout\(budget='x'\)"),  # type: ignore[arg-type]
        (lambda: NoisePolicy(3), r"NoisePolicy\(3\): give problems"),  # type: ignore[arg-type]
        (lambda: NoisePolicy(toys.problem_set(1), 3), r"profile=3"),  # type: ignore[arg-type]
    ),
]


@pytest.mark.parametrize(("kind", "use", "message"), REFUSED)
def test_what_is_of_the_wrong_kind_is_refused_where_it_is_given(
    kind: type[mars2_env.Mars2Error], use: Callable[[], Any], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        use()
    assert "\n" not in str(caught.value)


def test_all_plain_data_make_a_test_shared_parts_and_deep_ones_too() -> None:
    row = [1, None]
    shared: list[Any] = [row, row, (row, row)]
    for value in (
        shared,
        deep(200),
        OrderedDict(a=Counter("aab")),
        [True, 1.5, 2j, b"x", "\ud800", {frozenset({1}): {(1, 2)}}],
    ):
        assert problem(case(value)).hidden[0].output is value
    assert problem(case(1, Colour.RED, np.float64(0.5), deep(199))).hidden  # is sent as the int, the float it is
    assert MAX_DEPTH == values.MAX_DEPTH


def test_a_value_of_parts_that_are_shared_a_hundred_times_over_is_looked_at_once() -> None:
    value: list[Any] = []
    for _ in range(150):  # 2 ** 150 lists, if each were looked at wherever it stands
        value = [value, value]
    assert why_not_plain(value) == ""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "TreeSearchAEC(problems='starter', game='write', agents=[agent_0, agent_1], budget=8)"),
        ({"agents": ["coder"], "budget": 3}, "agents=[coder_0], budget=3"),
        ({"game": "play", "api": "parallel"}, "TreeSearchParallel(problems='starter', game='play'"),
        ({"game": "route"}, "TreeSearchRoute(problems='starter', game='route'"),
    ],
)
def test_an_environment_says_what_is_played_in_a_line(options: Any, told: str) -> None:
    assert told in repr(mars2_env.make(task(**options)))


def test_an_environment_with_an_id_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mars2_env.envs.base.sandbox_of", lambda task: ScriptedSandbox())
    assert repr(mars2_env.make()).startswith("TreeSearchAEC('mars2/Starter-v0', game='write'")


@pytest.mark.parametrize(
    "amount", ["1.5", b"1", 10**400, pytest.param(10**5000, id="huge"), {"a_0": "1"}, {"a_0": 10**400}, [1.0], None]
)
def test_a_reward_that_pays_no_number_is_named(amount: Any) -> None:
    ledger = Ledger(lambda episode: lambda actor, node: amount, "own", episode())
    with pytest.raises(mars2_env.ConfigError, match=r"reward .* for a_0; give a finite number, or a mapping"):
        ledger.expanded("a_0", None)


@pytest.mark.parametrize("amount", [True, np.float32(1), Fraction(1)])
def test_a_reward_may_pay_whatever_is_a_number(amount: Any) -> None:
    ledger = Ledger(lambda episode: lambda actor, node: amount, "own", episode())
    assert ledger.expanded("a_0", None) == {"a_0": 1.0}


@pytest.mark.parametrize("attribute", ["score", "parent", "agent", "depth", "child_counts"])
def test_a_selector_that_writes_into_the_tree_is_named(attribute: str) -> None:
    class Scribbles:
        name = "scribbles"

        def select(self, tree: SearchTree, rng: Any, pending: Any) -> Any:
            getattr(tree, attribute).fill(1)
            return 0, 0

    with pytest.raises(mars2_env.ConfigError, match=r"Scribbles.* writes into an array of the tree"):
        episode(selector=Scribbles()).ask()


def test_another_error_of_a_selector_is_its_own() -> None:
    class Breaks:
        name = "breaks"

        def select(self, tree: SearchTree, rng: Any, pending: Any) -> Any:
            raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine\b") as caught:
        episode(selector=Breaks()).ask()
    assert caught.value.args == ("mine",)
    assert "select() of the selector" in caught.value.__notes__[0]


def test_the_free_numbers_of_many_agents_are_found_in_one_pass() -> None:
    names = agent_names(["a", "a_1", "a", *["b"] * 9_000])
    assert list(names)[:4] == ["a_0", "a_1", "a_2", "b_0"]
    assert list(names)[-1] == "b_8999"
    assert list(agent_names(np.int64(2))) == ["agent_0", "agent_1"]  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.float32(1), np.float64(1), np.int64(1), np.float16(1)])
def test_numbers_of_numpy_are_numbers_and_are_kept_as_those_of_python(value: Any) -> None:
    kept = [
        mars2_env.Reply("x", cost=value).cost,
        mars2_env.Usage(cost=value).cost,
        mars2_env.Budget(cost=value).cost,
        mars2_env.Limits(cpu_seconds=value).cpu_seconds,
        Uct(weight=value).weight,
        Guidance(gamma=value).gamma,
        mars2_env.Rules(model_weight=value).model_weight,
    ]
    assert all(isinstance(number, int | float) and number == 1 for number in kept)


@pytest.mark.parametrize(
    "value",
    [np.float32("nan"), np.array([1.0, 2.0]), np.array([1, 2]), np.True_, 10**400, pytest.param(10**5000, id="huge")],
)
def test_what_is_no_finite_number_is_refused(value: Any) -> None:
    with pytest.raises(mars2_env.PolicyError, match=r"Reply\(cost=.*finite number of at least 0"):
        mars2_env.Reply("x", cost=value)
    with pytest.raises(mars2_env.ConfigError):
        agent_names(value)


def test_a_problem_with_an_unknown_checker_is_named_with_the_way_to_register_it() -> None:
    wrong = replace(toys.problem(3), checker="no such")
    message = f"problem '{wrong.id}': unknown checker 'no such'.*register_checker"
    with pytest.raises(mars2_env.JudgeError, match=message):
        mars2_env.Judge(toys.sandbox()).grade(wrong, "print(1)", tests="public")
    with pytest.raises(mars2_env.JudgeError, match=message):
        mars2_env.task(mars2_env.ProblemSet("s", (toys.problem(1), wrong)), sandbox=toys.sandbox())
