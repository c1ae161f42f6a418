"""Algorithms on tiny logged trees: the better program becomes likelier, and who learns what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import toys  # noqa: E402
from lettered import Writer, crew_of, grown, learn, learner, margin, toy_task  # noqa: E402
from mars2_agents.algorithms.by_policy import lessons  # noqa: E402
from mars2_agents.algorithms.grpo import grpo  # noqa: E402
from mars2_agents.algorithms.heterogeneous import heterogeneous  # noqa: E402
from mars2_agents.algorithms.lesson import Algorithm, Crew  # noqa: E402
from mars2_agents.algorithms.mars2_plus import mars2_plus  # noqa: E402
from mars2_agents.algorithms.named import ALGORITHMS, Recipe, recipe  # noqa: E402
from mars2_agents.algorithms.objective import objective  # noqa: E402
from mars2_agents.algorithms.rs2 import rs2  # noqa: E402

import mars2_env  # noqa: E402
from mars2_env import ConfigError, Reply, Turn  # noqa: E402
from mars2_env.base import parts  # noqa: E402
from mars2_env.credit import Credit, samples  # noqa: E402
from mars2_env.errors import PartError, SandboxError  # noqa: E402

torch.set_num_threads(1)

CREWS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "grpo": (1, ("p",)),
    "rs2": (1, ("p",)),
    "homogeneous": (2, ("p",)),
    "heterogeneous": (2, ("p", "q")),
    "mars2_plus": (2, ("p", "q")),
    "shared_solutions": (2, ("p", "q")),
    "sft": (2, ("p", "q")),
    "rejection": (2, ("p",)),
}


def test_every_algorithm_is_tried_here() -> None:
    assert set(CREWS) == {name for name in ALGORITHMS.names() if ALGORITHMS.owns(name)}


@pytest.mark.parametrize("name", CREWS)
def test_the_better_program_becomes_likelier(name: str, tmp_path: Path) -> None:
    made = recipe(name)
    given = {"duplicates": "keep", "kl": ("k3", 1e-3), "tis": 2.0}
    agents, policies = CREWS[name]
    task = toy_task(agents, **{**made.task, "budget": 12})
    crew = crew_of(task, *policies)
    made.check(crew)
    algorithm = made(**{option: value for option, value in given.items() if option in made.options})
    found = algorithm(grown(task, tmp_path, problems=["toy/1"]), crew)
    assert set(found) == set(policies)
    for lesson in found.values():
        pupil = learner()
        before = margin(pupil)
        reports = [learn(pupil, lesson) for _ in range(6)]
        assert all(0 < report.grad_norm < float("inf") for report in reports)
        assert margin(pupil) > before + 0.5


def test_grpo_compares_fresh_programs_of_a_tree_with_each_other_and_leaves_the_others_out(tmp_path: Path) -> None:
    task = toy_task(budget=16)
    trees = grown(task, tmp_path)
    fresh = sum(node.parent == 0 for tree in trees for node in tree.nodes)
    assert 0 < fresh < 48
    lesson = grpo(duplicates="keep")(trees, crew_of(task, "p"))["p"]
    assert len(lesson.samples) == fresh and {sample.depth for sample in lesson.samples} == {1}
    assert lesson.left_out == {"refinement": 48 - fresh}
    for tree in trees:
        mine = [one for one in lesson.samples if one.tree.startswith(tree.problem)]
        assert abs(sum(one.advantage for one in mine)) < 1e-6
        assert all(one.shaped == one.reward for one in mine)


def test_rs2_learns_every_node_with_shaped_rewards(tmp_path: Path) -> None:
    task = toy_task(budget=16)
    lesson = rs2(duplicates="keep")(grown(task, tmp_path), crew_of(task, "p"))["p"]
    assert len(lesson.samples) == 48 and any(sample.depth > 1 for sample in lesson.samples)
    assert any(sample.shaped != sample.reward for sample in lesson.samples)


def test_each_policy_learns_what_its_own_agents_wrote(tmp_path: Path) -> None:
    task = toy_task(3)
    trees = grown(task, tmp_path)
    crew = crew_of(task, "p", "q")  # the first and the third agent are played by one policy
    found = heterogeneous(duplicates="keep")(trees, crew)
    written = Counter(crew.policies[node.agent] for tree in trees for node in tree.nodes)
    assert {policy: len(lesson.samples) for policy, lesson in found.items()} == dict(written)
    for policy, lesson in found.items():
        assert all(crew.policies[sample.agent] == policy == sample.policy for sample in lesson.samples)


def test_advantages_of_each_agent_have_mean_zero_where_it_is_normalised_alone(tmp_path: Path) -> None:
    task = toy_task(2, budget=12)
    trees, crew = grown(task, tmp_path), crew_of(task, "p", "q")
    means = {}
    for scope in ("tree", "agent_in_tree"):
        found = heterogeneous(scope=scope)(trees, crew)
        means[scope] = [sum(one.advantage for one in lesson.samples) for lesson in found.values()]
    assert max(map(abs, means["agent_in_tree"])) < 1e-9 < max(map(abs, means["tree"]))


def test_a_masked_duplicate_is_no_sample_and_is_counted(tmp_path: Path) -> None:
    task = toy_task()
    trees = grown(task, tmp_path)
    lesson = rs2()(trees, crew_of(task, "p"))["p"]
    duplicates = sum(tree.duplicates for tree in trees)
    assert duplicates and lesson.left_out == {"duplicate": duplicates}
    assert len(lesson.samples) == 24 - duplicates


def test_nodes_without_tokens_are_counted_for_the_policy_that_wrote_them(tmp_path: Path) -> None:
    class Silent(Writer):
        def reply(self, turn: Turn) -> Reply:
            return Reply(super().reply(turn).text)

    task = toy_task(2)
    first, second = task.agents
    trees = grown(task, tmp_path, {first: Writer(), second: Silent()})
    found = heterogeneous()(trees, crew_of(task, "p", "q"))
    silent = sum(node.agent == second for tree in trees for node in tree.nodes)
    assert not found["q"].samples and found["q"].left_out == {"no tokens recorded": silent}
    assert "no tokens recorded" not in found["p"].left_out


def test_a_policy_whose_agents_wrote_nothing_has_an_empty_lesson(tmp_path: Path) -> None:
    task = toy_task()
    crew = Crew({**crew_of(task, "p").policies, "other_0": "q"})
    found = heterogeneous()(grown(task, tmp_path), crew)
    assert found["q"].samples == () and found["p"].samples


def test_no_trees_are_no_samples() -> None:
    task = toy_task(2)
    crew = crew_of(task, "p", "q")
    for name in CREWS:
        found = recipe(name)()([], crew)
        assert all(lesson.samples == () for lesson in found.values())


def test_a_tree_that_faults_cut_short_teaches_what_it_has(tmp_path: Path) -> None:
    class Failing(toys.FaultySandbox):
        def _outcome(self, program: str, input: str) -> Any:
            self.faults -= 1
            if self.faults < 0:
                raise SandboxError("the engine is gone")
            return toys.outcome(program, input)

    task = mars2_env.task(toys.problem_set(1), agents=1, budget=8, sandbox=Failing(6), max_faults=1)
    trees = grown(task, tmp_path, Writer(choices=9))
    assert [tree.ended for tree in trees] == ["faults"] and 0 < len(trees[0].nodes) < 8
    lesson = rs2()(trees, crew_of(task, "p"))["p"]
    assert len(lesson.samples) + sum(lesson.left_out.values()) == len(trees[0].nodes)
    assert all(abs(sample.advantage) < 11 for sample in lesson.samples)


def test_trees_of_one_node_and_trees_of_equal_scores_teach_nothing(tmp_path: Path) -> None:
    for budget, number in ((1, None), (6, 9)):
        task = toy_task(budget=budget)
        trees = grown(task, tmp_path / str(budget), Writer(fresh=number, refined=number))
        lesson = rs2(duplicates="keep", gamma=0)(trees, crew_of(task, "p"))["p"]
        assert [sample.advantage for sample in lesson.samples] == [0.0] * 3 * budget


def test_overlong_replies_are_worth_less_in_mars2_plus(tmp_path: Path) -> None:
    task = toy_task()
    trees, crew = grown(task, tmp_path), crew_of(task, "p")
    length = len(samples(trees).samples[0].completion_ids)
    plain = mars2_plus()(trees, crew)["p"].samples
    short = mars2_plus(max_length=length + 1, buffer=2)(trees, crew)["p"].samples
    for one, other in zip(plain, short, strict=True):
        assert other.shaped == pytest.approx(one.shaped - 0.5)


def test_an_algorithm_of_ones_own_is_credit_and_a_loss(tmp_path: Path) -> None:
    task = toy_task(2)
    crew = crew_of(task, "p", "q")
    credit = Credit(credit=lambda tree: [float(node.depth) for node in tree.nodes], estimator="none", duplicates="keep")
    found = lessons(grown(task, tmp_path), crew, credit, objective("gspo"))
    assert all(one.advantage == one.depth for lesson in found.values() for one in lesson.samples)


@pytest.mark.parametrize("name", ["grpo", "rs2", "homogeneous", "heterogeneous", "mars2_plus", "shared_solutions"])
def test_a_lesson_asks_for_the_reference_where_its_loss_needs_it(name: str, tmp_path: Path) -> None:
    agents, policies = CREWS[name]
    task = toy_task(agents)
    trees, crew = grown(task, tmp_path, limit=1), crew_of(task, *policies)
    for kl, needed in ((None, False), (("k2", 1e-2), True), (1e-3, True), (0.0, False)):
        found = recipe(name)(kl=kl)(trees, crew)
        assert {lesson.reference for lesson in found.values()} == {needed}


def test_a_slip_in_a_name_or_an_option_names_what_was_meant() -> None:
    with pytest.raises(PartError, match="heterogeneous"):
        recipe("heterogenous")
    with pytest.raises(ConfigError, match="gamma"):
        recipe("rs2")(gama=0.5)
    with pytest.raises(ConfigError, match="surrogate"):
        recipe("rs2")(surogate="gspo")
    with pytest.raises(ConfigError, match="a number"):
        recipe("rs2")(gamma="much")
    with pytest.raises(ConfigError, match="agent_in_tree"):
        recipe("heterogeneous")(scope="agents")


def test_options_are_read_as_their_types_say() -> None:
    made: dict[str, Any] = {}

    def build(*, weight: float = 1.0, sizes: tuple[int, ...] = (), named: str = "x", any_of_them=None) -> Algorithm:  # type: ignore[no-untyped-def]
        made.update(weight=weight, sizes=sizes, named=named, any_of_them=any_of_them)
        return lambda trees, crew: {}

    Recipe("mine", build)(weight="0.5", sizes=[1, 2], named="y", any_of_them="z")
    assert made == {"weight": 0.5, "sizes": (1, 2), "named": "y", "any_of_them": "z"}
    assert recipe("rs2").options.keys() >= {"gamma", "mix", "surrogate", "kl", "tis"}


@pytest.mark.parametrize(
    ("name", "agents", "policies", "says"),
    [
        ("grpo", 2, ("p", "q"), "one policy"),
        ("rs2", 2, ("p",), "one agent"),
        ("homogeneous", 1, ("p",), "several agents"),
        ("homogeneous", 2, ("p", "q"), "several agents"),
        ("heterogeneous", 2, ("p",), "several policies"),
    ],
)
def test_a_crew_that_an_algorithm_is_not_for_is_refused(
    name: str, agents: int, policies: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        recipe(name).check(crew_of(toy_task(agents), *policies))


def nothing_at_all(*, much: float = 1.0) -> Algorithm:
    """An algorithm that a package offers: a function of options."""
    return lambda trees, crew: {}


def test_packages_offer_algorithms_by_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("nothing", f"{__name__}:nothing_at_all", "mars2_agents.algorithms")
    monkeypatch.setattr(
        parts,
        "entry_points",
        lambda **wanted: EntryPoints([point] if wanted.get("name", "nothing") == "nothing" else []),
    )
    found = recipe("nothing")
    assert "nothing" in ALGORITHMS.names() and found(much=2)([], Crew({})) == {}
    with pytest.raises(ConfigError, match="much"):
        found(mush=2)
