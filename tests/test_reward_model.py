"""A reward model's score: beside the tests' score in the log, mixed into what selectors see, and into the answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from toys import Guesser, problem, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, Episode, PolicyError, PublicView, Reply, Rules, Verdict, specs
from mars2_env.episode.events import Told
from mars2_env.log import log_path
from mars2_env.search import AbMctsA

PASSED = Verdict(groups={"public": ("passed", "passed")})
WRONG = Verdict(groups={"public": ("wrong_answer", "wrong_answer")})


class LikesLarge:
    """Rates a toy program by the number it prints."""

    name = "likes large"

    def __init__(self, rest: str = "", scale: str = "10") -> None:
        self.scale = int(scale)
        self.seen: list[tuple[str, str]] = []

    def score(self, problem: PublicView, programs: Sequence[str]) -> list[float]:
        self.seen += [(problem.id, program) for program in programs]
        return [int(program[len("print(") : program.index(")")]) / self.scale for program in programs]


def trees(model: Any, out: Path | None = None, **options: Any) -> list[mars2_env.Tree]:
    task = mars2_env.task(problem_set(2), sandbox=sandbox(), reward_model=model, **options)
    return list(mars2_env.rollout(task, Guesser(), out=out))


def test_every_program_is_rated_once_and_the_tests_score_stays_as_it_is() -> None:
    model = LikesLarge()
    plain = {tree.problem: tree for tree in trees(None)}
    for tree in trees(model):
        assert [node.score for node in tree.nodes] == [node.score for node in plain[tree.problem].nodes]
        for node in tree.nodes:
            assert node.program is not None
            assert node.model_score == int(node.program[6]) / 10  # that of an earlier equal one too
    assert len(model.seen) == len(set(model.seen))


def test_its_score_is_a_field_of_its_own_in_the_log_and_a_replay_needs_no_model(tmp_path: Path) -> None:
    found = trees(LikesLarge(), tmp_path, model_weight=0.5, budget=12)
    for tree in found:
        assert b'"model_score":' in log_path(tmp_path, tree.problem, 0).read_bytes()
        assert mars2_env.replay(tree) == tree
        assert tree.header.task["reward_model"] == "likes large"
    assert mars2_env.read_log(tmp_path) == sorted(found, key=lambda tree: tree.problem)
    for tree in trees(None):
        assert all(event.model_score is None for event in tree.events if isinstance(event, Told))


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_selectors_see_the_mixture_that_the_rules_say(weight: float) -> None:
    grown = Episode(problem(1).public_view(), ["a_0"], AbMctsA(), 4, 0, rules=Rules(model_weight=weight))
    grown.tell(grown.ask(), Reply("print(1)"), PASSED, model_score=0.5)
    grown.tell(grown.ask(), Reply("print(2)"), WRONG, model_score=0.5)
    grown.tell(grown.ask(), Reply("print(3)"), PASSED)  # was not rated
    assert grown.tree.score[1:].tolist() == [1 - weight / 2, weight / 2, 1.0]
    assert [node.score for node in grown.nodes] == [1.0, 0.0, 1.0]
    assert (grown.best_score, grown.solved) == (1.0, 2)


def test_a_weight_changes_where_the_tree_grows() -> None:
    shapes = [
        [[node.parent for node in tree.nodes] for tree in trees(LikesLarge(), budget=16, model_weight=weight)]
        for weight in (0.0, 1.0)
    ]
    assert shapes[0] == [[node.parent for node in tree.nodes] for tree in trees(None, budget=16)]
    assert shapes[0] != shapes[1]


def test_the_answer_may_go_to_what_the_model_likes_among_the_best() -> None:
    grown = Episode(problem(1).public_view(), ["a_0"], AbMctsA(), 4, 0)
    for number, verdict, liked in ((1, PASSED, 0.9), (2, PASSED, 0.1), (3, WRONG, 1.0)):
        grown.tell(grown.ask(), Reply(f"print({number})"), verdict, model_score=liked)
    best, reward = grown.answer(), grown.answer("reward")
    assert best is not None
    assert reward is not None
    assert (best.id, reward.id) == (2, 1)
    with pytest.raises(ConfigError, match="way to answer"):
        grown.answer("rewards")  # type: ignore[arg-type]


@pytest.mark.parametrize("returned", [[], [0.5, 0.5], [1.5], [float("nan")], [None], 0.5, None, ["x"]])
def test_a_model_that_does_not_return_one_score_is_named(returned: Any) -> None:
    class Broken:
        def score(self, problem: PublicView, programs: Sequence[str]) -> Any:
            return returned

    with pytest.raises(PolicyError, match="Broken"):
        trees(Broken())


def test_environments_rate_programs_as_the_engine_does(tmp_path: Path) -> None:
    task = mars2_env.task(problem_set(1), sandbox=sandbox(), reward_model=LikesLarge(), model_weight=0.5, budget=5)
    env: Any = mars2_env.make(task, out=tmp_path / "env")
    env.reset(seed=0)
    policy, seed = Guesser(), env.episode.seed
    while not env.episode.done:
        env.step({"program": policy.reply(env.turn).text})
    env.close()
    list(mars2_env.rollout(task, Guesser(), out=tmp_path / "run", seed=seed))
    paths = [log_path(tmp_path / name, "toy/0", seed) for name in ("env", "run")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_weight": 0.5}, "no reward_model"),
        ({"reward_model": 5}, "score"),
        ({"reward_model": LikesLarge}, "not an object"),
        ({"reward_model": "nobody"}, "unknown reward model 'nobody'"),
    ],
)
def test_what_is_no_model_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mars2_env.task(problem_set(), **options)


def test_a_registered_model_is_built_from_its_spec() -> None:
    mars2_env.register_reward_model("test-large")(LikesLarge)
    task = mars2_env.task(problem_set(), reward_model="test-large,scale=20", sandbox=sandbox())
    assert isinstance(task.reward_model, specs.NamedRewardModel)
    assert isinstance(task.reward_model.model, LikesLarge)
    assert task.reward_model.model.scale == 20
    assert task.config()["reward_model"] == "test-large,scale=20"
    (tree,) = mars2_env.rollout(task, Guesser(), problems=["toy/1"])
    assert {node.model_score for node in tree.nodes} <= {number / 20 for number in range(9)}
    mars2_env.register_reward_model("test-list")(list)
    with pytest.raises(PolicyError, match="no score"):
        mars2_env.task(problem_set(), reward_model="test-list")


@pytest.mark.parametrize("reward", ["progress", "difference", "score"])
def test_environments_pay_by_the_tests_alone(reward: str) -> None:
    paid = []
    for options in ({}, {"reward_model": LikesLarge(), "model_weight": 1.0}):
        env: Any = mars2_env.make(problem_set(2), sandbox=sandbox(), game="play", reward=reward, budget=6, **options)
        env.reset(seed=0)
        for number in (3, 9, 1, 0, 5, 4):
            env.step({"parent": 0, "program": f"print({number})"})
            paid.append(dict(env.rewards))
    assert paid[:6] == paid[6:]
    assert any(sum(one.values()) for one in paid)


class Judging(LikesLarge):
    """Rates by what public tests found, and refuses one problem."""

    identity = "tested:1"

    def __init__(self, rest: str = "") -> None:
        super().__init__(rest)
        self.verdicts: list[Verdict] = []

    def score_tested(self, problem: PublicView, programs: Sequence[str], verdicts: Sequence[Verdict]) -> list[float]:
        self.verdicts += verdicts
        return [0.75 if verdict.passed else 0.25 for verdict in verdicts]

    def check_problems(self, problems: Sequence[PublicView]) -> None:
        if any(problem.id == "toy/1" for problem in problems):
            raise ConfigError("learned from 'toy/1'")


@pytest.mark.parametrize("named", [False, True])
def test_a_model_that_asks_for_them_is_told_the_public_verdicts_and_no_others(named: bool) -> None:
    mars2_env.register_reward_model("test-tested")(Judging)
    task = mars2_env.task(
        problem_set(1), sandbox=sandbox(), reward_model="test-tested" if named else Judging(), score_on="scoring"
    )
    model: Any = task.reward_model.model if named else task.reward_model  # type: ignore[union-attr]
    (tree,) = mars2_env.rollout(task, Guesser(), in_flight=3)
    assert {frozenset(verdict.groups) for verdict in model.verdicts} == {frozenset({"public"})}
    assert all(verdict.feedback is None or not verdict.feedback.unshown for verdict in model.verdicts)
    for node in tree.nodes:
        assert node.model_score == (0.75 if node.verdict.group("public").passed else 0.25)
    assert not model.seen  # `score` was not asked
    env: Any = mars2_env.make(task)
    env.reset(seed=0)
    env.step({"program": "print(0)"})
    assert env.episode.nodes[0].model_score == 0.75


def test_a_model_that_refuses_a_problem_ends_a_run_before_it_begins(tmp_path: Path) -> None:
    task = mars2_env.task(problem_set(3), sandbox=sandbox(), reward_model=Judging())
    with pytest.raises(ConfigError, match="learned from 'toy/1'"):
        mars2_env.rollout(task, Guesser(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert len(list(mars2_env.rollout(task, Guesser(), problems=["toy/0", "toy/2"]))) == 2
    env: Any = mars2_env.make(task)
    with pytest.raises(ConfigError, match="learned from 'toy/1'"):
        env.reset(seed=0, options={"problem": "toy/1"})


def test_a_log_knows_a_model_by_what_it_says_it_is() -> None:
    mars2_env.register_reward_model("test-tested")(Judging)
    task = mars2_env.task(problem_set(1), sandbox=sandbox(), reward_model="test-tested:somewhere")
    assert task.config()["reward_model"] == "tested:1"


def test_the_public_part_of_a_verdict_quotes_nothing_else() -> None:
    feedback = mars2_env.Feedback("wrong_answer", test=1, expected="3")
    failed = Verdict({"public": ("passed", "wrong_answer"), "scoring": ("not_run",)}, feedback=feedback)
    assert failed.public == Verdict({"public": ("passed", "wrong_answer")}, feedback=feedback)
    unshown = Verdict(
        {"public": ("passed",), "scoring": ("wrong_answer",)}, feedback=mars2_env.Feedback("wrong_answer", True)
    )
    assert unshown.public == Verdict({"public": ("passed",)})
    assert Verdict(settled="no_program").public == Verdict(settled="no_program")
    assert Verdict({"scoring": ("passed",)}).public == Verdict()
