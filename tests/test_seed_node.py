"""Repair problems: the program to be repaired is the seed node, which is a parent and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import FaultySandbox, Guesser, problem, problem_set, sandbox

import mars2_env
from mars2_env import (
    Episode,
    EpisodeError,
    Feedback,
    LogError,
    Problem,
    ProblemError,
    ProblemSet,
    Reply,
    Rules,
    Verdict,
)
from mars2_env.episode import Event, Seeded
from mars2_env.features import Layout, state
from mars2_env.log import log_path
from mars2_env.problems import jsonl
from mars2_env.prompt.outline import outline
from mars2_env.render import tree_text
from mars2_env.search import AbMctsA, SearchTree
from mars2_env.testing import ScriptedSandbox

BUGGY = "print(9)\n"
REPAIR = replace(problem(1), seed_program=BUGGY)
SET = ProblemSet("repair", (REPAIR,), split="train")
PASSED = Verdict(groups={"public": ("passed", "passed")})
WRONG = Verdict(
    groups={"public": ("wrong_answer", "not_run")}, feedback=Feedback("wrong_answer", test=0, input="INPUT")
)


def begun(verdict: Verdict = WRONG, game: str = "write", budget: int = 6, **rules: Any) -> Episode:
    selector = AbMctsA() if game == "write" else None
    made = Rules(game=game, **rules)  # type: ignore[arg-type]
    grown = Episode(REPAIR.public_view(), ["a_0", "b_0"], selector, budget, 0, rules=made)
    grown.plant(verdict)
    return grown


def reply(number: int, parent: int | None = None) -> Reply:
    return Reply(f"```python\nprint({number})\n```", parent)


def test_nothing_is_asked_before_the_seed_program_is_graded_and_planted_once() -> None:
    grown = Episode(REPAIR.public_view(), ["a_0"], AbMctsA(), 3, 0)
    assert grown.awaits_seed
    assert not grown.can_ask
    with pytest.raises(EpisodeError, match="plant"):
        grown.ask()
    seed = grown.plant(WRONG)
    assert (seed.id, seed.parent, seed.agent, seed.program, seed.score) == (0, -1, "", BUGGY, 0.0)
    with pytest.raises(EpisodeError, match="planted"):
        grown.plant(WRONG)
    with pytest.raises(EpisodeError, match="no seed program"):
        Episode(problem(1).public_view(), ["a_0"], AbMctsA(), 3, 0).plant(WRONG)


def test_the_seed_node_costs_no_budget_and_is_no_answer() -> None:
    grown = begun(PASSED, budget=3)
    assert grown.spent == 0
    assert grown.answer() is None
    while not grown.done:
        grown.tell(grown.ask(), Reply("no program"), Verdict(settled="no_program"))
    assert len(grown.nodes) == 3
    assert grown.answer() is None


def test_a_seed_program_that_passes_what_is_scored_does_not_end_the_search() -> None:
    grown = begun(PASSED, stop_on_solved=True)
    grown.settle()
    assert not grown.done
    grown.tell(grown.ask(), reply(1), PASSED)
    assert grown.ended == "solved"


@pytest.mark.parametrize("verdict", [PASSED, WRONG])
def test_the_seed_nodes_score_enters_no_posterior(verdict: Verdict) -> None:
    grown = begun(verdict)
    assert not grown.tree.stats.any()
    assert not grown.tree.agent_stats.any()
    assert grown.tree.score[0] == (verdict is PASSED)


def test_a_child_of_the_root_repairs_the_seed_program_with_its_feedback() -> None:
    grown = begun()
    turn = grown.ask()
    assert (turn.parent, turn.program, turn.feedback) == (0, BUGGY, WRONG.feedback)
    assert BUGGY in turn.messages[-1]["content"]
    assert "INPUT" in turn.messages[-1]["content"]


def test_where_others_programs_are_hidden_the_seed_program_is_shown_to_all() -> None:
    written = begun(observe="own")
    assert written.ask().program == BUGGY
    played = begun(game="play", observe="own")
    turn = played.ask()
    assert turn.parents == (0,)
    assert BUGGY in turn.messages[-1]["content"]
    assert "start afresh" not in turn.messages[-1]["content"]
    assert turn.at(0).program == BUGGY


def test_a_reply_that_repeats_the_seed_program_is_a_duplicate_of_it() -> None:
    grown = begun()
    turn = grown.ask()
    said = Reply("```python\nprint( 9 )  # as it was\n```")
    assert grown.submit(turn, said).verdict == WRONG
    node = grown.tell(turn, said, PASSED)
    assert node is not None
    assert (node.duplicate_of, node.verdict) == (0, WRONG)


def test_the_seed_node_is_in_observations_pictures_and_features() -> None:
    grown = begun(Verdict(groups={"public": ("passed", "wrong_answer")}), score="fraction")
    grown.tell(grown.ask(), reply(1), PASSED)
    assert outline(grown.programs).splitlines()[1].split() == ["0", "-", "0", "-", "wrong_answer", "0.50"]
    assert "#0 given wrong_answer 0.50" in tree_text("p", grown.programs, spent=1, budget=6)
    layout = Layout(6, ("a_0", "b_0"), observer=False)
    seen = dict(zip(layout.names, state(grown), strict=True))
    plain = Episode(problem(1).public_view(), ["a_0", "b_0"], AbMctsA(), 6, 0)
    assert state(plain).shape == (layout.size,)
    assert (seen["slot0.score"], seen["slot0.wrong_answer"], seen["slot0.count"]) == (0.5, 1.0, np.float32(1 / 6))


def test_reward_progress_starts_at_the_seed_programs_score() -> None:
    env: Any = mars2_env.make(SET, sandbox=sandbox(), budget=2, agents=1)
    env.reset(seed=0)
    assert "0     -       0      -      wrong_answer" in env.observe("agent_0")["tree"]
    assert BUGGY in env.observe("agent_0")["prompt"]
    env.step({"program": "print(1)"})
    assert env.rewards == {"agent_0": 1.0}


def test_a_repair_run_is_logged_read_replayed_and_resumed_at_any_byte(tmp_path: Path) -> None:
    task = mars2_env.task(SET, sandbox=sandbox(), budget=3)
    (tree,) = mars2_env.rollout(task, Guesser(), out=tmp_path / "whole")
    assert isinstance(tree.events[0], Seeded)
    assert tree.root is not None
    assert tree.root.program == BUGGY
    assert [node.id for node in tree.nodes] == [1, 2, 3]
    assert mars2_env.read_log(tmp_path / "whole") == [tree]
    assert mars2_env.replay(tree) == tree
    whole = log_path(tmp_path / "whole", REPAIR.id, 0).read_bytes()
    assert b"seconds" not in whole.partition(b"\n")[2]
    for number, cut in enumerate(range(0, len(whole), 211)):
        path = log_path(tmp_path / str(number), REPAIR.id, 0)
        path.parent.mkdir(parents=True)
        path.write_bytes(whole[:cut])
        list(mars2_env.rollout(task, Guesser(), out=tmp_path / str(number)))
        assert path.read_bytes() == whole


def test_environment_and_engine_write_the_same_log_of_a_repair(tmp_path: Path) -> None:
    task = mars2_env.task(SET, sandbox=sandbox(), budget=3)
    env: Any = mars2_env.make(task, out=tmp_path / "env")
    env.reset(seed=0)
    seed = env.episode.seed
    policy = Guesser()
    while not env.episode.done:
        env.step({"program": policy.reply(env.turn).text})
    env.close()
    list(mars2_env.rollout(task, Guesser(), out=tmp_path / "run", seed=seed))
    assert (
        log_path(tmp_path / "env", REPAIR.id, seed).read_bytes()
        == log_path(tmp_path / "run", REPAIR.id, seed).read_bytes()
    )


def test_faults_while_the_seed_program_is_graded_are_no_scores() -> None:
    (calm,) = mars2_env.rollout(mars2_env.task(SET, sandbox=FaultySandbox(2), budget=2), Guesser())
    assert calm.ended == "budget"
    (tree,) = mars2_env.rollout(mars2_env.task(SET, sandbox=FaultySandbox(1000), budget=2), Guesser())
    assert (tree.ended, tree.nodes) == ("faults", ())
    assert mars2_env.replay(tree) == tree
    with pytest.raises(mars2_env.SandboxError):
        list(mars2_env.rollout(mars2_env.task(SET, sandbox=FaultySandbox(1), on_fault="raise"), Guesser()))


def test_evaluation_counts_repairs_and_never_the_seed_program() -> None:
    class Repeats:
        def act(self, turns: list[mars2_env.Turn]) -> list[Reply]:
            return [Reply(turn.program or "") for turn in turns]

    task = mars2_env.task(SET, sandbox=sandbox(), budget=2)
    results = mars2_env.evaluate(list(mars2_env.rollout(task, Repeats())), problems=SET, sandbox=sandbox())
    assert (results.pass_at_1_mcts, results.pass_at_n) == (0.0, 0.0)
    solved = list(mars2_env.rollout(task, Guesser(choices=2)))
    assert mars2_env.evaluate(solved, problems=SET, sandbox=sandbox()).trees[0].nodes == 2


def test_a_seed_event_in_mid_log_is_an_error() -> None:
    events: list[Event] = []
    grown = Episode(problem(1).public_view(), ["a_0"], AbMctsA(), 3, 0, on_event=events.append)
    grown.ask()
    with pytest.raises(LogError, match="begun"):
        grown.apply(Seeded(BUGGY, 0.0, WRONG))


def test_a_repair_problem_survives_its_file_and_other_sets_keep_their_hash(tmp_path: Path) -> None:
    jsonl.write_jsonl(SET, tmp_path / "repair.jsonl")
    assert jsonl.load(path=str(tmp_path / "repair.jsonl")).problems == SET.problems
    plain, repair = problem_set(2), ProblemSet("toy", (problem(0), REPAIR), split="train")
    assert plain.hash != repair.hash
    assert "seed_program" not in (tmp_path / "repair.jsonl").read_text().replace('"seed_program": "print(9)', "")


@pytest.mark.parametrize("program", ["", "  \n", 5, "print('\ud800')"])
def test_a_seed_program_that_is_no_program_is_refused(program: Any) -> None:
    with pytest.raises(ProblemError, match="seed_program"):
        Problem("x", "x", seed_program=program)


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), float("inf"), None, "1"])
def test_only_numbers_from_0_to_1_are_scores(score: Any) -> None:
    tree = SearchTree(1)
    for change in (lambda: tree.seed(score), lambda: tree.add(0, 0, score)):
        with pytest.raises(mars2_env.ConfigError, match="score"):
            change()
    assert len(tree) == 1
    assert not tree.stats.any()
    assert tree.score[0] == 0


@pytest.mark.parametrize(
    "options",
    [
        {"game": "write"},
        {"game": "play"},
        {"game": "play", "api": "parallel"},
        {"game": "place", "generators": Guesser()},
        {"game": "place", "api": "parallel", "generators": Guesser()},
        {"game": "route", "generators": Guesser()},
    ],
    ids=lambda options: f"{options['game']}-{options.get('api', 'default')}",
)
@pytest.mark.filterwarnings("error")
def test_an_environment_whose_seed_program_cannot_be_graded_is_truncated_and_goes_on_with_the_next(
    options: dict[str, Any], tmp_path: Path
) -> None:
    faulty = FaultySandbox(3)
    env: Any = mars2_env.make(SET, sandbox=faulty, budget=2, out=tmp_path, **options)
    assert faulty.faults == 3
    for faults in (True, False):  # three faults are as many as are tried; the second episode meets none
        if options["game"] == "route":
            _, info = env.reset(seed=4 if faults else 5)
            assert ("fault" in info) == faults
            _, reward, terminated, truncated, info = env.step(0)
            assert (reward, terminated, truncated, "fault" in info) == (0.0, False, faults, faults)
        elif options.get("api") == "parallel":
            _, infos = env.reset(seed=4 if faults else 5)
            assert all(("fault" in info) == faults for info in infos.values())
            actions = {agent: env.action_space(agent).sample() for agent in env.agents}
            _, _, terminated, truncated, infos = env.step(actions)
            assert set(truncated.values()) == {faults}
            assert all(("fault" in info) == faults for info in infos.values())
            assert env.agents == [] or not faults
        else:
            env.reset(seed=4 if faults else 5)
            _, reward, terminated, truncated, info = env.last()
            assert (reward, terminated, truncated, "fault" in info) == (0, False, faults, faults)
            if faults:
                for _ in list(env.agents):
                    env.step(None)
                assert env.agents == []
    env.close()
    first = mars2_env.read_log(log_path(tmp_path, REPAIR.id, 4))[0]
    assert (first.ended, first.nodes) == ("faults", ())
    assert first.detail == "the seed program could not be graded: the engine is gone"
    assert mars2_env.replay(first) == first


def test_a_fault_at_the_beginning_is_raised_where_the_task_says_so() -> None:
    with pytest.raises(mars2_env.SandboxError):
        mars2_env.make(SET, sandbox=FaultySandbox(1), on_fault="raise").reset(seed=0)


@pytest.mark.parametrize("game", ["play", "route"])
def test_in_a_vector_the_environments_that_cannot_begin_are_cut_off_and_the_others_play(game: str) -> None:
    def outcome(program: str, input: str) -> mars2_env.Run:
        if program == "print(8)\n":
            raise mars2_env.SandboxError("the engine is gone")
        return mars2_env.Run("ok", output="0")

    seeds = ("print(7)\n", "print(8)\n")
    problems = ProblemSet("two", tuple(replace(problem(n), seed_program=seeds[n]) for n in range(2)), split="train")
    options: dict[str, Any] = {"api": "parallel"} if game == "play" else {"generators": Guesser()}
    envs: Any = mars2_env.make_vec(problems, 6, game=game, sandbox=ScriptedSandbox(outcome), budget=2, **options)
    envs.reset(seed=10)
    unlucky = [env.match.problem.id == "toy/1" for env in envs.envs]
    assert 0 < sum(unlucky) < 6
    actions = [0] * 6 if game == "route" else {agent: envs.action_space(agent).sample() for agent in envs.agents}
    _, _, _, truncated, infos = envs.step(actions)
    for cut, told in [(truncated, infos)] if game == "route" else [(truncated[a], infos[a]) for a in envs.agents]:
        assert cut.tolist() == unlucky
        assert [fault is not None for fault in told["fault"]] == unlucky
    envs.step(actions)  # those that were cut off begin again
    envs.close()
