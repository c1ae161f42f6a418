"""Our own parts keep the contracts that users' parts are held to, and a broken part fails the right test of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import mars2_env
from mars2_env import Policy, Problem, ProblemSet, Reply, Run, Sandbox, SandboxError, TestCase, Turn
from mars2_env.problems.starter import load as load_starter
from mars2_env.sandbox import CachedSandbox
from mars2_env.search import SELECTORS, Choice, SearchTree, Selector, make_selector
from mars2_env.testing import (
    NoisePolicy,
    PolicyContract,
    ProblemSetContract,
    SandboxContract,
    ScriptedPolicy,
    ScriptedSandbox,
    SelectorContract,
)


class TestNoisePolicy(PolicyContract):
    def make_policy(self) -> Policy:
        return NoisePolicy(self.problems())


class TestScriptedPolicy(PolicyContract):
    def make_policy(self) -> Policy:
        return ScriptedPolicy(lambda turn: f"print({turn.seed})")


class TestSelectors(SelectorContract):
    @pytest.fixture(autouse=True, params=sorted(SELECTORS))
    def _name(self, request: pytest.FixtureRequest) -> None:
        self.name = request.param

    def make_selector(self) -> Selector:
        return make_selector(self.name)


class TestScriptedSandbox(SandboxContract):
    runs_programs = False

    def make_sandbox(self) -> Sandbox:
        return ScriptedSandbox()


@pytest.mark.docker
class TestDockerSandbox(SandboxContract):
    def make_sandbox(self) -> Sandbox:
        return mars2_env.make_sandbox("docker", workers=1)


class TestBubblewrapSandbox(SandboxContract):
    @pytest.fixture(autouse=True)
    def _needs_bubblewrap(self) -> None:
        try:
            self.make_sandbox().close()
        except SandboxError as error:
            pytest.skip(f"needs bubblewrap (run `make bubblewrap`): {error}")

    def make_sandbox(self) -> Sandbox:
        return mars2_env.make_sandbox("bubblewrap", workers=1)


@pytest.mark.slow
@pytest.mark.docker
class TestCachedSandbox(SandboxContract):
    def make_sandbox(self) -> Sandbox:
        return CachedSandbox(mars2_env.make_sandbox("docker", workers=1))


@pytest.mark.docker
class TestStarter(ProblemSetContract):
    @pytest.fixture(autouse=True, params=["train", "test"])
    def _split(self, request: pytest.FixtureRequest) -> None:
        self.split = request.param

    def make_problems(self) -> ProblemSet:
        return load_starter(split=self.split)


@pytest.mark.docker
class TestFiles(ProblemSetContract):
    references = 2

    @pytest.fixture(autouse=True, params=["humaneval/test", "mbpp/train", "mbpp/test", "quixbugs/test"])
    def _set(self, request: pytest.FixtureRequest, shared: Path) -> None:
        self.name, self.split = request.param.split("/")
        files = {"humaneval": "HumanEval.jsonl.gz", "mbpp": "mbpp.jsonl", "quixbugs": "quixbugs_python.tar.gz"}
        self.path = shared / "data" / files[self.name]

    def make_problems(self) -> ProblemSet:
        return mars2_env.load_problems(self.name, path=self.path, split=self.split)


def failing(contract: Any) -> set[str]:
    """Return the names of the contract's tests that the part fails."""
    failed = set()
    for name in dir(contract):
        if name.startswith("test_"):
            try:
                getattr(contract, name)()
            except AssertionError as error:
                assert len(str(error)) > 20, f"{name} fails without saying why"
                failed.add(name)
    return failed


class Steady:
    """A policy that keeps the contract, to be broken in one place."""

    def act(self, turns: list[Turn]) -> list[Reply]:
        return [self.reply(turn) for turn in turns]

    def reply(self, turn: Turn) -> Reply:
        return Reply(f"print({turn.seed})", parent=turn.parents[-1] if turn.parent is None else None)


class Forgetful(Steady):
    def act(self, turns: list[Turn]) -> list[Reply]:
        return super().act(turns)[:1] * bool(turns)


class NeedsTurns(Steady):
    def act(self, turns: list[Turn]) -> list[Reply]:
        return [Reply("") for _ in turns] if turns[0].parent is not None else super().act(turns)


class Backwards(Steady):
    def act(self, turns: list[Turn]) -> list[Reply]:
        replies = super().act(turns)
        return replies if turns and turns[0].parent is None else replies[::-1]


class Counting(Steady):
    count = 0

    def reply(self, turn: Turn) -> Reply:
        self.count += 1
        return replace(super().reply(turn), text=f"print({self.count})")


class OffTheTree(Steady):
    def reply(self, turn: Turn) -> Reply:
        return replace(super().reply(turn), parent=99 if turn.parent is None else None)


class Overrules(Steady):
    def reply(self, turn: Turn) -> Reply:
        return super().reply(turn) if turn.parent is None else Reply("", parent=turn.parent + 1)


class Consumes(Steady):
    def act(self, turns: list[Turn]) -> list[Reply]:
        replies = super().act(turns)
        turns.clear()
        return replies


def test_the_policy_that_is_broken_in_the_next_test_keeps_the_contract() -> None:
    contract: Any = PolicyContract()
    contract.make_policy = Steady
    assert failing(contract) == set()


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Backwards, "replies_come_in_the_order_of_the_turns"),
        (OffTheTree, "where_the_agent_picks_it_names_a_parent_on_offer"),
        (Overrules, "where_a_selector_picked_it_does_not_name_another_parent"),
        (Consumes, "it_leaves_the_batch_as_it_is"),
    ],
)
def test_a_broken_policy_fails_the_test_of_what_it_breaks(broken: type[Policy], test: str) -> None:
    contract: Any = PolicyContract()
    contract.make_policy = broken
    assert failing(contract) == {f"test_{test}"}


def test_a_policy_that_loses_replies_and_one_that_counts_fail_the_tests_of_that() -> None:
    contract: Any = PolicyContract()
    contract.make_policy = Forgetful
    with pytest.raises(AssertionError, match="1 replies for 3 turns"):
        contract.test_a_batch_gets_one_reply_each()
    contract.make_policy = Counting
    assert failing(contract) == {
        "test_replies_come_in_the_order_of_the_turns",
        "test_the_same_turn_gets_the_same_reply",
    }
    contract.deterministic = False
    assert failing(contract) == set()
    contract.make_policy = NeedsTurns
    with pytest.raises(IndexError):
        contract.test_no_turns_get_no_replies()


@dataclass(frozen=True)
class Newest:
    """A selector that keeps the contract, to be broken in one place."""

    name: ClassVar[str] = "test-newest"

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        return self.choice(tree, rng, pending)

    def choice(self, tree: SearchTree, rng: np.random.Generator, pending: Any) -> Choice:
        return Choice(len(tree) - 1, int(rng.integers(tree.n_agents)))


mars2_env.register_selector("test-newest")(Newest)


class PastTheEnd(Newest):
    def choice(self, tree: SearchTree, rng: np.random.Generator, pending: Any) -> Choice:
        return Choice(len(tree) - (not pending), 0) if pending else super().choice(tree, rng, pending)


class Global(Newest):
    def choice(self, tree: SearchTree, rng: np.random.Generator, pending: Any) -> Choice:
        np.random.random()
        return super().choice(tree, rng, pending)


class Spoils(Newest):
    def choice(self, tree: SearchTree, rng: np.random.Generator, pending: Any) -> Choice:
        tree._score[len(tree) - 1] = 0.125
        return super().choice(tree, rng, pending)


@dataclass(frozen=True)
class Remembers(Newest):
    seen: ClassVar[list[int]] = []

    def choice(self, tree: SearchTree, rng: np.random.Generator, pending: Any) -> Choice:
        own = self.__dict__.setdefault("asked", [])
        own.append(len(tree))
        return Choice(len(own) % len(tree), super().choice(tree, rng, pending).agent)


class KeepsAnOption(Newest):
    def __init__(self) -> None:
        object.__setattr__(self, "back", 1)

    def choice(self, tree: SearchTree, rng: np.random.Generator, pending: Any) -> Choice:
        return Choice(max(0, len(tree) - 1 - self.back), super().choice(tree, rng, pending).agent)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("broken", "tests"),
    [
        (Newest, set()),
        (PastTheEnd, {"expansions_in_flight_are_taken"}),
        (Global, {"all_randomness_comes_from_the_generator_given"}),
        (Spoils, {"it_leaves_the_tree_as_it_is"}),
        (Remembers, {"it_remembers_nothing", "a_log_can_name_it"}),
        (KeepsAnOption, {"a_log_can_name_it"}),
    ],
)
def test_a_broken_selector_fails_the_tests_of_what_it_breaks(broken: type[Selector], tests: set[str]) -> None:
    contract: Any = SelectorContract()
    contract.make_selector = broken
    assert failing(contract) == {f"test_{test}" for test in tests}


class Shuffles(ScriptedSandbox):
    def run(self, program: str, inputs: Sequence[Any], **options: Any) -> list[Run]:
        return super().run(program, inputs, **options)[::-1]


class Unclosable(ScriptedSandbox):
    def close(self) -> None:
        pass


class Renamed(ScriptedSandbox):
    @property
    def identity(self) -> str:
        return str(id(self))


class Swallows(ScriptedSandbox):
    """Makes an exception an empty output, as a sandbox that only looks at the exit status might."""

    def stream(self, program: str, inputs: Sequence[Any], **options: Any) -> Iterator[Run]:
        yield from (Run("ok", output="7\n") for _ in inputs)


@pytest.mark.parametrize(
    ("broken", "tests"),
    [
        (Shuffles, {"inputs_get_one_run_each_in_order"}),
        (Unclosable, {"a_closed_one_refuses_and_may_be_closed_again"}),
        (Renamed, {"it_has_the_methods_of_a_sandbox_and_an_identity"}),
    ],
)
def test_a_broken_sandbox_fails_the_test_of_what_it_breaks(broken: type[Sandbox], tests: set[str]) -> None:
    contract: Any = SandboxContract()
    contract.make_sandbox = broken
    contract.runs_programs = False
    assert failing(contract) == {f"test_{test}" for test in tests}


def test_a_sandbox_that_runs_nothing_fails_every_test_of_what_programs_do() -> None:
    contract: Any = SandboxContract()
    contract.make_sandbox = Swallows
    found = failing(contract)
    assert found >= {
        "test_output_is_what_was_printed",
        "test_calls_return_plain_data_type_by_type",
        "test_an_exception_is_a_runtime_error_that_says_which",
        "test_what_does_not_compile_is_a_compile_error",
        "test_limits_hold",
        "test_nothing_is_left_for_the_next_run",
    }


RIGHT = Problem(
    "p/0",
    "Print 1.",
    public=(TestCase("", "1"),),
    scoring=(TestCase("", "1"),),
    hidden=(TestCase("", "1"),),
    reference="print(1)",
)


def only_prints_1(program: str, given: str) -> Run:
    return Run("ok", output="1" if program == "print(1)" else "")


@pytest.mark.parametrize(
    ("problem", "use", "tests"),
    [
        (RIGHT, "training", set()),
        (replace(RIGHT, statement=" "), "training", {"it_is_a_set_of_problems"}),
        (replace(RIGHT, scoring=()), "training", {"tests_come_in_the_groups_that_its_use_asks_for"}),
        (RIGHT, "evaluation", {"tests_come_in_the_groups_that_its_use_asks_for", "it_is_plain_data"}),
        (replace(RIGHT, starter_code="print(1)"), "training", {"nothing_that_is_hidden_is_in_the_public_view"}),
        (replace(RIGHT, reference="print(2)"), "training", {"reference_programs_pass_all_tests"}),
    ],
)
def test_a_broken_problem_set_fails_the_test_of_what_it_breaks(problem: Problem, use: Any, tests: set[str]) -> None:
    contract: Any = ProblemSetContract()
    contract.make_problems = lambda: ProblemSet("p", (problem,), "train", use)
    contract.make_sandbox = lambda: ScriptedSandbox(only_prints_1)
    assert failing(contract) == {f"test_{test}" for test in tests}


def test_a_set_that_loads_otherwise_each_time_is_found_out() -> None:
    statements = iter(range(100))
    contract: Any = ProblemSetContract()
    contract.references = 0
    contract.make_problems = lambda: ProblemSet("p", (replace(RIGHT, statement=f"{next(statements)}"),))
    assert failing(contract) == {"test_loading_again_gives_the_same_set"}
