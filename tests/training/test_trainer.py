"""Training: each policy updates by itself, its new weights act, and the same call goes on where it was cut off."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from mars2_agents.algorithms.heterogeneous import heterogeneous  # noqa: E402
from mars2_agents.algorithms.homogeneous import homogeneous  # noqa: E402
from mars2_agents.algorithms.named import Recipe  # noqa: E402
from mars2_agents.training.building import NamedAlgorithm  # noqa: E402
from mars2_agents.training.evaluating import HeldOut  # noqa: E402
from mars2_agents.training.settings import Student  # noqa: E402
from tiny_students import (  # noqa: E402
    TEAM,
    algorithm,
    outcome,
    problem,
    problem_set,
    student,
    task,
    training,
    weights,
)

import mars2_env  # noqa: E402
from mars2_env import (  # noqa: E402
    ConfigError,
    LogError,
    PolicyError,
    Problem,
    ProblemSet,
    Reply,
    Run,
    SandboxError,
    TestCase,
    Turn,
)
from mars2_env.credit import Credit, samples  # noqa: E402
from mars2_env.log import read_log, read_trace  # noqa: E402
from mars2_env.testing import NoisePolicy, ScriptedSandbox  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """Sums in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def students(**options: Any) -> dict[str, Student]:
    return {"a": student(0, **options), "b": student(1, **options)}


def same(one: Any, other: Any) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any], dict[str, Student]]:
    """A training of four steps that nothing interrupted."""
    out, made = tmp_path_factory.mktemp("whole"), students()
    return out, list(training(out, students=made)), made


def test_policies_act_with_the_weights_that_their_learners_came_to(whole: Any) -> None:
    _, reports, made = whole
    for name, one in made.items():
        assert reports[-1].versions[name] == one.learner.version == one.policy.weights_version > 1
        assert same(one.policy.engine.model, one.learner.model)
        assert not same(one.learner.model, student(0 if name == "a" else 1).learner.model)


def test_samples_know_the_version_that_wrote_them(whole: Any) -> None:
    out, reports, _ = whole
    before = {"a": 0, "b": 0}
    for report in reports:
        for tree in read_log(out / "rollouts" / f"{report.step:06d}"):
            written = {one.generation.weights_version for one in read_trace(tree.path).values()}
            assert written <= set(before.values())
        for sample in samples(read_log(out / "rollouts" / f"{report.step:06d}"), policies=TEAM).samples:
            assert set(sample.versions) == {before[sample.policy]}
        before = report.versions


def test_every_node_was_used_or_waits_or_was_filtered_for_a_reason(whole: Any) -> None:
    out, reports, _ = whole
    trees = [tree for step in (out / "rollouts").iterdir() for tree in read_log(step)]
    written = Counter(TEAM[node.agent] for tree in trees for node in tree.nodes)
    for name, counts in reports[-1].counts.items():
        assert counts.given == written[name]
        assert counts.given == counts.used + counts.waiting + sum(counts.filtered.values())
        assert counts.waiting < 3 and counts.used % 3 == 0


def test_every_number_that_a_training_tells_is_in_its_metrics(whole: Any) -> None:
    out, reports, _ = whole
    found = lines(out)
    assert [line["step"] for line in found] == [0, 1, 2, 3, 4]
    assert {"step": 4, **reports[-1].values} == found[-1]
    wanted = {"train/solve_rate", "train/pass_at_1_mcts/4", "train/pass_at_n", "agents/coder_0/reward"}
    wanted |= {"agents/fixer_0/advantage", "agents/coder_0/tokens_per_second", "policies/a/entropy"}
    wanted |= {"policies/b/importance_mean", "policies/a/clip_share", "policies/a/staleness", "seconds/grow"}
    assert wanted <= set().union(*found)
    for line in found[1:]:
        for name in ("a", "b"):  # one step, one version: what the sampler told is what the learner scores
            if line.get(f"policies/{name}/staleness") == 0:
                assert line[f"policies/{name}/importance_max"] == pytest.approx(1, abs=1e-4)


def test_a_team_is_evaluated_before_between_and_after_on_hidden_tests(whole: Any) -> None:
    out, reports, _ = whole
    evaluated = [line["step"] for line in lines(out) if "eval/pass_at_n" in line]
    assert evaluated == [0, 2, 4] and reports[0].evaluation is None
    last = reports[3].evaluation
    assert last.trees == 2 and set(last.measures) >= {"pass_at_1_mcts/2", "pass_at_1_mcts/4", "pass_at_1/coder_0"}
    # A program without a line of the toy language is worth 0, which one of the two problems asks for.
    assert all(line["baseline/hard_coding"] == 0.5 for line in lines(out))
    held = {tree.problem for tree in read_log(out / "evaluations" / "000002")}
    trained = {tree.problem for step in (out / "rollouts").iterdir() for tree in read_log(step)}
    assert held == {"sum/4", "sum/5"} and not held & trained


def test_nothing_that_trains_sees_a_hidden_test(whole: Any) -> None:
    out, _, _ = whole
    for file in (out / "rollouts").rglob("*"):
        assert file.is_dir() or b"hidden" not in file.read_bytes()


def test_algorithms_are_given_problems_without_hidden_tests(tmp_path: Path) -> None:
    seen: list[Any] = []

    def looking(trees: Any, crew: Any) -> Mapping[str, Any]:
        seen.extend(problem.hidden for problem in crew.task.problems)
        return algorithm(trees, crew)

    next(training(tmp_path, students=students(), algorithm=looking, held_out=None))
    assert seen == [()] * 6


def test_steps_that_were_made_in_another_process_are_over_and_the_rest_is_the_same(whole: Any, tmp_path: Path) -> None:
    with training(tmp_path, students=students()) as begun:
        assert [next(begun).step, next(begun).step] == [1, 2]
    rest = list(training(tmp_path, students=students()))
    assert [report.step for report in rest] == [3, 4]
    assert rest[-1].counts == whole[1][-1].counts
    assert weights(tmp_path) == weights(whole[0])
    assert list(training(tmp_path, students=students())) == []


def test_one_that_goes_on_in_the_same_process_takes_the_same_students(whole: Any, tmp_path: Path) -> None:
    made = students()
    with training(tmp_path, students=made) as begun:
        next(begun)
    list(training(tmp_path, students=made))
    assert weights(tmp_path) == weights(whole[0])


def test_checkpoints_in_between_may_be_fewer(whole: Any, tmp_path: Path) -> None:
    with training(tmp_path, students=students(), settings={"save_every": 3}) as begun:
        assert [next(begun).step for _ in range(2)] == [1, 2]
    assert [one.name for one in (tmp_path / "checkpoints").iterdir()] == ["000000"]
    again = list(training(tmp_path, students=students(), settings={"save_every": 3}))
    assert [report.step for report in again] == [1, 2, 3, 4]  # from the same logs
    assert weights(tmp_path) == weights(whole[0])
    assert [line["step"] for line in lines(tmp_path)] == [0, 1, 2, 3, 4]


def test_adapters_train_and_go_on_too(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    straight = students(lora=True)
    list(training(tmp_path / "one", students=straight))
    assert straight["a"].policy.weights_version == straight["a"].learner.version > 0
    with training(tmp_path / "two", students=students(lora=True)) as begun:
        next(begun)
    list(training(tmp_path / "two", students=students(lora=True)))
    assert weights(tmp_path / "one") == weights(tmp_path / "two")


def test_several_agents_may_share_one_student(tmp_path: Path) -> None:
    one = student(0)
    found = list(
        training(tmp_path, students={"both": one}, team=dict.fromkeys(TEAM, "both"), settings={"steps": 2, "batch": 4})
    )
    assert found[-1].counts["both"].given == 16 and found[-1].versions["both"] == one.policy.weights_version > 0
    assert same(one.policy.engine.model, one.learner.model)


def test_a_team_learns_what_is_rewarded(tmp_path: Path) -> None:
    def wanted(program: str, input: str) -> Any:
        return Run("ok", output=str(int("print(7)" in program)))

    asked = ProblemSet("sevens", tuple(problem(number) for number in (1, 3, 5, 7)))
    played = mars2_env.task(asked, agents=["coder", "fixer"], budget=6, sandbox=ScriptedSandbox(wanted))
    settings = {"steps": 8, "problems": 4, "batch": 8}
    found = list(training(tmp_path, task=played, students=students(lr=0.02), settings=settings, held_out=None))
    rewards = [report.values["train/reward"] for report in found]
    assert rewards[0] < 0.2 and min(rewards[-2:]) > 0.7


def test_a_policy_updates_without_waiting_for_the_others(tmp_path: Path) -> None:
    made = {"a": student(0, batch=2), "b": student(1, batch=1000)}
    found = list(training(tmp_path, students=made, held_out=None))
    assert found[-1].versions["a"] > 0 == found[-1].versions["b"]
    counts = found[-1].counts["b"]
    assert counts.waiting == counts.given - sum(counts.filtered.values()) > 0 == counts.used
    told = lines(tmp_path)[-1]
    assert (told["policies/b/waiting"], told["policies/b/batch"]) == (counts.waiting, 1000)


def test_a_fixed_partner_acts_and_is_counted_and_never_learns(tmp_path: Path) -> None:
    made = {"a": student(0, batch=3), "b": Student(student(1).policy)}
    frozen = {name: one.clone() for name, one in made["b"].policy.engine.model.state_dict().items()}
    found = list(training(tmp_path / "run", students=made, held_out=None))
    assert found[-1].versions == {"a": found[-1].versions["a"]} and found[-1].versions["a"] > 0
    trees = [tree for step in (tmp_path / "run" / "rollouts").iterdir() for tree in read_log(step)]
    written = Counter(node.agent for tree in trees for node in tree.nodes)
    counts = found[-1].counts["b"]
    assert counts.given == written["fixer_0"] == sum(counts.filtered.values()) and counts.used == counts.waiting == 0
    assert counts.filtered["not trained"] > 0
    assert all(torch.equal(one, frozen[name]) for name, one in made["b"].policy.engine.model.state_dict().items())
    told = lines(tmp_path / "run")[-1]
    assert told["policies/b/filtered/not trained"] == counts.filtered["not trained"]
    cut = {"a": student(0, batch=3), "b": Student(student(1).policy)}
    with training(tmp_path / "cut", students=cut, held_out=None) as some:
        next(some)
    again = {"a": student(0, batch=3), "b": Student(student(1).policy)}
    (*_, last) = training(tmp_path / "cut", students=again, held_out=None)
    assert last.counts == found[-1].counts and weights(tmp_path / "cut") == weights(tmp_path / "run")


def test_a_fixed_partner_may_be_greedy_or_tell_no_tokens_and_one_has_to_learn(tmp_path: Path) -> None:
    greedy = Student(student(1, temperature=0.0).policy)
    list(training(tmp_path / "greedy", students={"a": student(0), "b": greedy}, settings={"steps": 1}, held_out=None))
    simulated = Student(NoisePolicy(problem_set()))
    how: dict[str, Any] = {"settings": {"steps": 1}, "held_out": None, "algorithm": heterogeneous()}
    (report,) = training(tmp_path / "noise", students={"a": student(0), "b": simulated}, **how)
    assert report.counts["b"].given == report.counts["b"].filtered["no tokens recorded"] > 0
    with pytest.raises(ConfigError, match="no student has a learner"):
        training(tmp_path / "none", students={"a": greedy, "b": simulated})
    with pytest.raises(LogError, match="students"):  # another partner is another training
        training(tmp_path / "noise", students={"a": student(0), "b": greedy}, **how)


def test_the_running_means_of_agents_go_on_with_a_training(tmp_path: Path) -> None:
    def shared() -> dict[str, Any]:
        made = Recipe("homogeneous", homogeneous)(credit="rae,decay=0.5", estimator="none")
        named = NamedAlgorithm("homogeneous", "", made)
        team = dict.fromkeys(TEAM, "a")
        return {"students": {"a": student(0, batch=3)}, "algorithm": named, "team": team, "held_out": None}

    def memory(out: Path) -> Any:
        return json.loads((max((out / "checkpoints").iterdir()) / "state.json").read_text())["memory"]

    list(training(tmp_path / "whole", **shared()))
    with training(tmp_path / "cut", **shared()) as some:
        next(some)
        kept = memory(tmp_path / "cut")
    assert set(kept) == set(TEAM)
    list(training(tmp_path / "cut", **shared()))
    assert memory(tmp_path / "cut") == memory(tmp_path / "whole") != kept
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_trees_that_teach_nothing_are_left_out_and_counted(tmp_path: Path) -> None:
    filtering = ("all_solved", "none_solved")
    found = list(training(tmp_path, students=students(), settings={"filtering": filtering}, held_out=None))
    trees = [tree for step in (tmp_path / "rollouts").iterdir() for tree in read_log(step)]
    left = [tree for tree in trees if len({node.score for node in tree.nodes}) == 1]
    assert left
    told = sum(
        number
        for counts in found[-1].counts.values()
        for reason, number in counts.filtered.items()
        if reason.startswith("tree in which")
    )
    assert told == sum(len(tree.nodes) for tree in left)


class GoneFor:
    """A sandbox that fails on every run of one problem's tests."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted

    def __call__(self, program: str, input: str) -> Any:
        if input.endswith(self.wanted):
            raise SandboxError("the engine is gone")
        return outcome(program, input)


def test_a_tree_that_faults_ended_is_not_learnt_from(tmp_path: Path) -> None:
    played = task(sandbox=ScriptedSandbox(GoneFor(" 0")))
    found = list(training(tmp_path, task=played, students=students(), held_out=None, problems=["sum/0", "sum/1"]))
    assert all(report.values["train/trees"] == 2 for report in found)
    told = samples(read_log(tmp_path / "rollouts" / "000001"), credit=Credit()).samples
    assert {sample.tree.partition("#")[0] for sample in told} == {"sum/1"}  # the other has no node at all
    assert sum(counts.given for counts in found[-1].counts.values()) == 16


@pytest.mark.parametrize("staleness", [0, 1])
def test_trees_that_grow_ahead_are_as_stale_as_allowed(whole: Any, tmp_path: Path, staleness: int) -> None:
    settings = {"sync": False, "max_staleness": staleness, "steps": 6, "batch": 100}
    made = {"a": student(0, batch=8), "b": student(1, batch=8)}
    found = list(training(tmp_path, students=made, settings=settings, held_out=None))
    assert [report.step for report in found] == [1, 2, 3, 4, 5, 6]
    trees = [tree for step in (tmp_path / "rollouts").iterdir() for tree in read_log(step)]
    written = Counter(TEAM[node.agent] for tree in trees for node in tree.nodes)
    for name, counts in found[-1].counts.items():
        assert counts.given == written[name] == counts.used + counts.waiting + sum(counts.filtered.values())
    for report in found:  # a step has 8 nodes: at most one update among themselves besides what is due before them
        assert all(update.seen.lag <= staleness + 1 for one in report.updates.values() for update in one)


def test_without_any_staleness_growing_ahead_comes_to_the_same_weights(whole: Any, tmp_path: Path) -> None:
    list(training(tmp_path, students=students(), settings={"sync": False, "max_staleness": 0}))
    assert weights(tmp_path) == weights(whole[0])


def test_a_training_that_grows_ahead_can_be_left_and_gone_on_with(tmp_path: Path) -> None:
    settings = {"sync": False, "max_staleness": 2, "steps": 5}
    with training(tmp_path, students=students(), settings=settings, held_out=None) as begun:
        next(begun)
    found = list(training(tmp_path, students=students(), settings=settings, held_out=None))
    assert [report.step for report in found] == [2, 3, 4, 5]


class Broken:
    """A policy that has nothing to say."""

    weights_version = 0

    def act(self, turns: list[Turn]) -> list[Reply]:
        raise RuntimeError("no model")

    def load_weights(self, ref: Any) -> None:
        """Take weights."""


@pytest.mark.parametrize("sync", [True, False])
def test_what_goes_wrong_while_trees_grow_is_raised_where_reports_are_asked_for(tmp_path: Path, sync: bool) -> None:
    made = {"a": replace(student(0), policy=Broken()), "b": replace(student(1), policy=Broken())}
    settings = {"sync": sync, "policy_retries": 0, "policy_failures": 2}
    running = training(tmp_path, students=made, settings=settings, held_out=None)
    with pytest.raises(PolicyError, match="no model"):
        next(running)
    assert list(running) == []


def test_a_folder_takes_no_other_training(tmp_path: Path) -> None:
    with training(tmp_path, students=students()) as begun:
        next(begun)
    with pytest.raises(LogError, match=r"settings\.seed was 0 and is now 1"):
        training(tmp_path, students=students(), settings={"seed": 1})
    with pytest.raises(LogError, match=r"batches\.a was 3 and is now 5"):
        training(tmp_path, students={"a": student(0, batch=5), "b": student(1)})
    with pytest.raises(LogError, match=r"optimising\.lr was 0\.01 and is now 0\.1"):
        training(tmp_path, students=students(lr=0.1))
    with pytest.raises(LogError, match=r"sampling\.temperature was 1\.0 and is now 0\.5"):
        training(tmp_path, students=students(temperature=0.5))
    with pytest.raises(LogError, match="algorithm was"):
        training(tmp_path, students=students(), algorithm=made_with(Credit(gamma=0.0)))
    assert training(tmp_path, students=students(), settings={"steps": 9}).step == 1


def made_with(credit: Credit) -> Any:
    def other(trees: Any, crew: Any) -> Mapping[str, Any]:
        return algorithm(trees, crew) if credit else {}

    return other


def test_an_algorithm_is_known_by_what_it_was_made_with(tmp_path: Path) -> None:
    training(tmp_path, students=students(), algorithm=made_with(Credit(gamma=0.5)))
    training(tmp_path, students=students(), algorithm=made_with(Credit(gamma=0.5)))
    with pytest.raises(LogError, match=r"gamma=0\.5.*gamma=0\.25"):
        training(tmp_path, students=students(), algorithm=made_with(Credit(gamma=0.25)))


def refused(tmp_path: Path, match: str, **options: Any) -> None:
    with pytest.raises(ConfigError, match=match):
        training(tmp_path, **{"students": students(), **options})
    assert not list(tmp_path.iterdir())


def test_what_could_not_be_learnt_from_is_refused_before_the_first_turn(tmp_path: Path) -> None:
    refused(tmp_path, r"top_p=0\.95.*0\.95 is the default", students=students(top_p=0.95))
    refused(tmp_path, "greedily", students=students(temperature=0.0))
    refused(tmp_path, "top_k=4", students=students(top_k=4))
    refused(tmp_path, "scores on 'public' tests", task=task(score_on="public"))
    refused(tmp_path, "there are 4 problems to train on", settings={"problems": 5})


def test_teams_and_students_have_to_fit(tmp_path: Path) -> None:
    refused(tmp_path, "the task's agents are", team={"coder_0": "a"})
    refused(tmp_path, "fixer_0 is played by", team={"coder_0": "a", "fixer_0": "c"})
    refused(tmp_path, "nobody is played by student 'b'", team=dict.fromkeys(TEAM, "a"))
    one = student(0)
    refused(
        tmp_path, "two students have one learner", students={"a": one, "b": replace(student(1), learner=one.learner)}
    )


def test_problems_are_trained_or_held_out(tmp_path: Path) -> None:
    both = ["sum/0", "sum/1"]
    refused(tmp_path, "'sum/1' is held out and trained on", held_out=["sum/1"], problems=both)
    refused(tmp_path, "all problems are held out", held_out=[f"sum/{number}" for number in range(6)])
    copied = replace(task().problems["sum/0"], id="copy/0")
    refused(tmp_path, "has the statement of the held-out problem", held_out=ProblemSet("copies", (copied,)))
    public = replace(task().problems["sum/0"], id="other/0", statement="Something else.", hidden=())
    refused(tmp_path, "no hidden tests", held_out=ProblemSet("others", (public,)))
    with pytest.raises(ConfigError, match="'budget' is none of"):
        HeldOut(["sum/0"], options={"budget": 3})


def test_an_algorithm_has_lessons_for_students_alone(tmp_path: Path) -> None:
    def wrong(trees: Any, crew: Any) -> Mapping[str, Any]:
        return {"c": next(iter(algorithm(trees, crew).values()))}

    with pytest.raises(ConfigError, match="lesson for"):
        next(training(tmp_path, students=students(), algorithm=wrong, held_out=None))


def test_metrics_go_to_tensorboard_as_well(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    list(
        training(tmp_path, students=students(), settings={"steps": 1}, held_out=None, metrics=("jsonl", "tensorboard"))
    )
    assert len(lines(tmp_path)) == 1 and list((tmp_path / "tensorboard").glob("events*"))


def test_a_step_goes_through_the_real_sandbox(tmp_path: Path) -> None:
    try:
        sandbox = mars2_env.make_sandbox("bubblewrap", workers=1)
    except mars2_env.SandboxUnavailableError as error:
        pytest.skip(str(error))
    asked = tuple(
        Problem(
            f"line/{number}",
            f"Print {number}.",
            public=(TestCase("", f"{number}\n"),),
            scoring=(TestCase("1", f"{number}\n"),),
            hidden=(TestCase("2", f"{number}\n"),),
        )
        for number in range(3)
    )
    with sandbox:
        played = mars2_env.task(ProblemSet("lines", asked), agents=["coder", "fixer"], budget=8, sandbox=sandbox)
        held = HeldOut(["line/2"], nodes=4)
        made = students(max_new_tokens=1)
        (found,) = training(tmp_path, task=played, students=made, held_out=held, settings={"steps": 1})
    assert 0 < found.values["train/reward"] < 1
    assert found.values["baseline/hard_coding"] == 1  # one output whatever the input: copying solves that
    assert any(report.updates for updates in found.updates.values() for report in updates)
