"""A reward model learns what tells careful programs from hasty ones, keeps it, and rates in searches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import reward_toys as toys

torch = pytest.importorskip("torch", reason="needs the extra transformers")
pytest.importorskip("transformers", reason="needs the extra transformers")

from mars2_agents.models.answering import liked  # noqa: E402
from mars2_agents.models.checkpoints import Scratch  # noqa: E402
from mars2_agents.models.encoding import Encoder, fitted  # noqa: E402
from mars2_agents.models.examples import Examples  # noqa: E402
from mars2_agents.models.fitting import Settings, calibrate, fit, raw_scores  # noqa: E402
from mars2_agents.models.reporting import report  # noqa: E402
from mars2_agents.models.reward_model import LearnedRewardModel, from_spec, load_reward_model  # noqa: E402
from mars2_agents.models.training import train  # noqa: E402

import mars2_env  # noqa: E402
from mars2_env import ConfigError, LogError, PublicView, Verdict  # noqa: E402
from mars2_env.specs import REWARD_MODELS  # noqa: E402

TINY = Settings(
    scratch=Scratch(hidden=32, layers=1, vocabulary=400), max_tokens=96, epochs=4, batch=16, lr=1e-2, device="cpu"
)
PASSED = Verdict({"public": ("passed",)})


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """Train on one thread, so that weights repeat, and leave the number as it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def named() -> None:
    """Let the spec `rm` be known where the package was installed before it had one."""
    if "rm" not in REWARD_MODELS:
        mars2_env.register_reward_model("rm")(from_spec)


def examples(problems: range, kinds: tuple[str, ...] = toys.KINDS, each: int = 4) -> Examples:
    rows = [toys.example(one, kind, one * 7 + n) for one in problems for kind in kinds for n in range(each)]
    return Examples(tuple(rows))


@pytest.fixture(scope="module")
def learned() -> LearnedRewardModel:
    """Learned from problems 0 to 11, calibrated on 12 to 15."""
    return calibrate(fit(examples(range(12)), TINY), examples(range(12, 16)))


def view(number: int, stem: str = "fresh") -> PublicView:
    return toys.problem(number, stem=stem).public_view()


@pytest.mark.parametrize(("objective", "compare"), [("pairwise", "all"), ("pairwise", "tied"), ("pointwise", "all")])
def test_it_learns_to_tell_careful_programs_from_hasty_ones_that_pass_public_tests(
    objective: Any, compare: Any
) -> None:
    model = calibrate(
        fit(examples(range(12)), replace(TINY, objective=objective, compare=compare)), examples(range(12, 16))
    )
    found = report(model, examples(range(16, 24)))
    assert found.tied > 0.95
    assert found.public < 0.8
    assert found.error < 0.1
    careful, hasty = model.score_tested(
        view(30, "toy"), [toys.program("careful", 5), toys.program("hasty", 5)], [PASSED] * 2
    )
    assert careful > 0.5 > hasty


def test_public_facts_are_taken_in_and_may_be_unknown(learned: LearnedRewardModel) -> None:
    programs = [toys.program(kind, 3) for kind in toys.KINDS]
    facts = [PASSED, PASSED, Verdict({"public": ("runtime_error",)})]
    tested, untested = learned.score_tested(view(1), programs, facts), learned.score(view(1), programs)
    assert tested != untested
    assert max(untested) == untested[0]


def test_a_batch_says_what_its_programs_say_one_by_one(learned: LearnedRewardModel) -> None:
    programs = [toys.program(kind, number) * (1 + number % 3) for kind in toys.KINDS for number in range(9)]
    single = [learned.score(view(1), [program])[0] for program in programs]
    for batch in (1, 4, 64):
        learned.batch = batch
        assert learned.score(view(1), programs) == pytest.approx(single, abs=2e-6)
    assert learned.score(view(1), []) == []


def test_the_same_examples_and_seed_make_the_same_model_and_another_seed_another() -> None:
    short = replace(TINY, epochs=1)
    outside = torch.get_rng_state()
    first, again = fit(examples(range(4)), short), fit(examples(range(4)), short)
    assert first.name == again.name
    assert first.name != fit(examples(range(4)), replace(short, seed=1)).name
    assert torch.equal(outside, torch.get_rng_state())


def test_what_is_saved_is_loaded_exactly_without_pickles(learned: LearnedRewardModel, tmp_path: Path) -> None:
    learned.save(tmp_path / "model")
    again = load_reward_model(tmp_path / "model", device="cpu")
    programs = [toys.program(kind, 11) for kind in toys.KINDS]
    assert again.score(view(1), programs) == learned.score(view(1), programs)
    assert (again.name, again.about) == (learned.name, learned.about)
    assert all(file.suffix in (".json", ".safetensors") for file in (tmp_path / "model").rglob("*"))
    learned.told(learned={"note": "second"}).save(tmp_path / "model")
    assert load_reward_model(tmp_path / "model", device="cpu").about.learned["note"] == "second"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_it_refuses_problems_that_it_learned_from_by_id_and_by_statement(learned: LearnedRewardModel) -> None:
    for number in (3, 14):  # one to learn from, one to calibrate on
        with pytest.raises(ConfigError, match=f"learned from problem 'toy/{number}'"):
            learned.score(view(number, "toy"), ["pass"])
    renamed = replace(view(1), statement="solve  puzzle number 3 of the toy collection.")
    with pytest.raises(ConfigError, match=r"learned from problem 'toy/3', which has the statement of 'fresh/1'"):
        learned.check_problems([view(2), renamed])
    with pytest.raises(ConfigError, match="learned from problem 'toy/3', and is measured"):
        report(learned, examples(range(3, 4)))
    with pytest.raises(ConfigError, match="learned from problem 'toy/3', and is calibrated"):
        calibrate(learned, examples(range(3, 4)))


def test_a_search_is_refused_before_it_begins_and_an_environment_as_it_begins(
    learned: LearnedRewardModel, tmp_path: Path
) -> None:
    learned.save(tmp_path / "model")
    task = mars2_env.task(
        toys.problem_set(20, stem="toy"), reward_model=f"rm:{tmp_path / 'model'}", sandbox=toys.sandbox(), budget=2
    )
    with pytest.raises(ConfigError, match="'toy/0'"):
        mars2_env.rollout(task, toys.Author(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert len(list(mars2_env.rollout(task, toys.Author(), problems=["toy/17", "toy/19"]))) == 2
    env: Any = mars2_env.make(task)
    with pytest.raises(ConfigError, match="'toy/5'"):
        env.reset(seed=0, options={"problem": "toy/5"})


def test_a_search_asks_about_many_programs_in_one_forward_pass_with_their_facts(
    learned: LearnedRewardModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned.save(tmp_path / "model")
    asked: list[int] = []
    forward = type(learned.model).forward

    def counted(self: Any, input_ids: Any, **others: Any) -> Any:
        asked.append(len(input_ids))
        return forward(self, input_ids=input_ids, **others)

    monkeypatch.setattr(type(learned.model), "forward", counted)
    problems = toys.problem_set(2, stem="fresh")
    task = mars2_env.task(
        problems,
        preset="tplus",
        reward_model=f"rm:{tmp_path / 'model'},batch=8,device=cpu",
        sandbox=toys.sandbox(),
        agents=2,
        budget=12,
        score_on="public",
    )
    trees = list(mars2_env.rollout(task, toys.Author(), in_flight=4, out=tmp_path / "run"))
    assert max(asked) > 1
    assert sum(asked) == sum(node.duplicate_of is None for tree in trees for node in tree.nodes)
    for tree in trees:
        assert tree.header.task["reward_model"] == learned.name  # what lies behind a path may change
        for node in tree.nodes:
            assert node.program is not None
            told = learned.score_tested(problems[tree.problem].public_view(), [node.program], [node.verdict])
            assert node.model_score == pytest.approx(told[0], abs=2e-6)
    best, liked = (
        mars2_env.evaluate(tmp_path / "run", problems=problems, sandbox=toys.sandbox(), answer=how)
        for how in ("best", "reward")
    )
    assert liked.pass_at_1_mcts == liked.pass_at_n == 1.0
    assert best.pass_at_1_mcts <= liked.pass_at_1_mcts


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("rm", "needs the folder"),
        ("rm:{out}/none", "holds no reward model"),
        ("rm:{out}/model,batch=0", "batch=0"),
        ("rm:{out}/model,device=moon", "device='moon' is not usable here"),
        ("rm:{out}/model,beam=3", "'beam'"),
    ],
)
def test_what_a_spec_gets_wrong_is_said(learned: LearnedRewardModel, tmp_path: Path, spec: str, said: str) -> None:
    learned.save(tmp_path / "model")
    with pytest.raises((ConfigError, LogError), match=said):
        mars2_env.task(toys.problem_set(1), reward_model=spec.format(out=tmp_path))


def test_a_folder_of_something_else_is_never_replaced(learned: LearnedRewardModel, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(ConfigError, match="no reward model"):
        learned.save(tmp_path)
    assert (tmp_path / "diary.txt").read_text() == "mine"
    (tmp_path / "rm.json").write_text('{"max_tokens": 5}')
    with pytest.raises(LogError, match="KeyError"):
        load_reward_model(tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
from mars2_agents.learners import folders
sync = os.fsync
def deadly(handle):
    sync(handle)
    os.kill(os.getpid(), signal.SIGKILL)
folders.os.fsync = deadly
with folders.written(Path(sys.argv[1])) as build:
    (build / "rm.json").write_text("half")
"""


def test_a_kill_while_a_model_is_written_leaves_the_earlier_one(learned: LearnedRewardModel, tmp_path: Path) -> None:
    learned.save(tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "model")], env={**os.environ, "PYTHONPATH": ":".join(sys.path)}
    )
    assert done.returncode == -signal.SIGKILL
    assert load_reward_model(tmp_path / "model", device="cpu").name == learned.name


@pytest.mark.parametrize(
    ("rows", "settings", "said"),
    [
        (examples(range(0)), TINY, "no examples"),
        (examples(range(3), ("careful",)), TINY, "all 12 programs passed"),
        (examples(range(3), ("hasty", "broken")), replace(TINY, objective="pointwise"), "all 24 programs failed"),
        (
            Examples((*examples(range(2), ("careful",)).rows, *examples(range(2, 4), ("hasty",)).rows)),
            TINY,
            "no pairs",
        ),
        (examples(range(3), ("careful", "broken")), replace(TINY, compare="tied"), "no pairs.*compare='all'"),
        (examples(range(3)), replace(TINY, max_tokens=5), "max_tokens=5"),
        (examples(range(3)), replace(TINY, device="moon"), "device='moon'"),
    ],
)
def test_what_cannot_be_learned_from_is_named(rows: Examples, settings: Settings, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        fit(rows, settings)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"objective": "listwise"}, "objective"),
        ({"compare": "none"}, "compare"),
        ({"calibration": "isotonic"}, "calibration"),
        ({"epochs": 0}, "epochs"),
        ({"group": 1}, "group"),
        ({"lr": 0.0}, "lr"),
        ({"untested": 1.5}, "untested"),
        ({"lora": 8}, "an adapter lies over a checkpoint"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Settings(**wrong)
    with pytest.raises(ConfigError, match="multiple of 16"):
        Scratch(hidden=20)


def test_training_keeps_problems_apart_and_says_how_good_the_model_is() -> None:
    rows = examples(range(20))
    model, found = train(rows, TINY)
    assert found is not None
    assert len(model.about.problems) == 16
    assert found.problems == 4
    assert found.tied == 1.0
    assert model.about.learned["report"]["auc"] == found.auc
    json.dumps(model.about.learned, allow_nan=False)
    alone, nothing = train(rows, replace(TINY, epochs=1, calibration="none"), measure_on=0)
    assert nothing is None
    assert len(alone.about.problems) == 20
    with pytest.raises(ConfigError, match="nothing to calibrate on"):
        train(rows, TINY, calibrate_on=0)
    with pytest.raises(ConfigError, match="calibration needs"):
        train(Examples((*examples(range(3)).rows, *examples(range(3, 30), ("hasty",)).rows)), TINY, calibrate_on=0.05)


def test_what_is_too_long_loses_the_statement_first_then_the_facts_then_the_middle_of_the_program() -> None:
    statement, facts, program = list(range(10)), list(range(100, 104)), list(range(200, 206))
    assert fitted(statement, facts, program, 20) == (statement, facts, program)
    assert fitted(statement, facts, program, 13) == (statement[:3], facts, program)
    assert fitted(statement, facts, program, 8) == ([], facts[:2], program)
    assert fitted(statement, facts, program, 5) == ([], [], [200, 201, 202, 204, 205])


def test_a_text_has_all_three_parts_and_never_more_tokens_than_it_may(learned: LearnedRewardModel) -> None:
    whole = Encoder(learned.encoder.tokenizer, 500)
    text = learned.encoder.tokenizer.decode(whole("Add 12.", "passed", "print(1)"))
    assert [part in text for part in ("Problem:", "Public tests:", "Program:", "print(1)")] == [True] * 4
    for size in (1, 40, 400):
        assert len(learned.encoder("word " * size, "passed " * size, "x = 1\n" * size)) <= 96


def test_an_adapter_over_a_checkpoint_is_saved_without_the_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="needs the extra transformers")
    base = fit(examples(range(4)), replace(TINY, epochs=1))
    base.save(tmp_path / "base")
    settings = replace(TINY, base=str(tmp_path / "base"), lora=4, epochs=2)
    model = calibrate(fit(examples(range(12)), settings), examples(range(12, 16)))
    model.save(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    again = load_reward_model(tmp_path / "adapter", device="cpu")
    programs = [toys.program(kind, 11) for kind in toys.KINDS]
    assert again.score(view(1), programs) == model.score(view(1), programs) != base.score(view(1), programs)
    assert again.name == model.name
    more = fit(examples(range(12)), replace(settings, lora=0, epochs=1))  # all weights go on from the checkpoint
    assert not (raw_scores(more, examples(range(2))) == raw_scores(base, examples(range(2)))).any()
    with pytest.raises(ConfigError, match="takes at most 96"):
        fit(examples(range(4)), replace(settings, max_tokens=97))


def test_a_model_that_goes_on_from_another_refuses_what_either_learned_from(tmp_path: Path) -> None:
    short = replace(TINY, epochs=1)
    fit(examples(range(3)), short).save(tmp_path / "first")
    second = fit(examples(range(3, 6)), replace(short, base=str(tmp_path / "first")))
    assert list(second.about.problems) == [f"toy/{number}" for number in range(6)]
    with pytest.raises(ConfigError, match="'toy/1'"):
        second.score(view(1, "toy"), ["pass"])


def test_a_loss_that_is_not_finite_ends_training() -> None:
    with pytest.raises(ConfigError, match=r"the loss of step \d+ is .*; give a lower lr than 1e\+30"):
        fit(examples(range(3)), replace(TINY, lr=1e30))


def test_a_finished_tree_is_answered_as_if_the_model_had_been_there(
    learned: LearnedRewardModel, tmp_path: Path
) -> None:
    problems = toys.problem_set(6, stem="fresh")
    toys.run(tmp_path / "without", problems, budget=6)
    task = mars2_env.task(problems, sandbox=toys.sandbox(), agents=1, budget=6, score_on="public", reward_model=learned)
    with_model = {tree.problem: tree for tree in mars2_env.rollout(task, toys.Author())}
    trees = mars2_env.read_log(tmp_path / "without")
    for tree in trees:
        node, other = liked(tree, learned, problems[tree.problem].public_view()), with_model[tree.problem]
        expected = mars2_env.answer(other, "reward")
        assert node is not None
        assert expected is not None
        assert (node.id, node.program) == (expected.id, expected.program)
    chosen = [liked(tree, learned, problems[tree.problem].public_view()) for tree in trees]
    assert chosen != [mars2_env.answer(tree) for tree in trees]
    with pytest.raises(ConfigError, match="learned from"):
        liked(trees[0], learned, view(3, "toy"))
