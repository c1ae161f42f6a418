"""The comparison of searches: its trials are the trees of `rollout`, and nothing is run twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mars2_bench.search.selectors import MEASURES, compare, problem_means, row
from mars2_bench.search.trials import Plan, Trial, Trials, Verdicts, parse_team, search_options

import mars2_env
from mars2_env.errors import ConfigError, LogError
from mars2_env.sandbox.base import Sandbox

TEAM = {"pair": ["noise:default", "noise:weak"]}


def plan(problems: int = 2, budget: int = 6, seeds: int = 1, searches: tuple[str, ...] = ("preset:tplus",)) -> Plan:
    sets = [mars2_env.load_problems("starter", split="test")]
    return Plan(searches, TEAM, sets, problems, seeds, budget)


@pytest.mark.docker
def test_a_trial_is_the_tree_that_rollout_grows_with_the_hidden_results_of_evaluate(
    tmp_path: Path, docker_sandbox: Sandbox
) -> None:
    trials = Trials(tmp_path, plan(), docker_sandbox)
    found = list(trials.run(threads=2))
    assert len(found) == 2
    for trial in found:
        task = mars2_env.task(
            "starter", split="test", preset="tplus", agents=2, budget=6, score_on="public", sandbox=docker_sandbox
        )
        team = dict(zip(task.agents, TEAM["pair"], strict=True))
        (tree,) = mars2_env.rollout(task, team, problems=[trial.problem])
        assert [node.parent for node in tree.nodes] == list(trial.parents)
        assert [list(task.agents).index(node.agent) for node in tree.nodes] == list(trial.agents)
        assert [node.score for node in tree.nodes] == list(trial.scores)
        results = mars2_env.evaluate([tree], problems=task.problems, sandbox=docker_sandbox)
        assert results.trees[0].nodes_passed == sum(trial.hidden)
        assert results.pass_at_1_mcts == MEASURES["Pass@1(MCTS)"](trial)
        assert results.pass_at_n == MEASURES["Pass@N"](trial)


@pytest.mark.docker
def test_an_interrupted_comparison_goes_on_and_judges_nothing_twice(tmp_path: Path, docker_sandbox: Sandbox) -> None:
    first = Trials(tmp_path, plan(), docker_sandbox)
    assert len(list(first.run(threads=2))) == 2
    assert first.verdicts.judged > 0
    stored = tmp_path / "trials.jsonl"
    whole = sorted(stored.read_bytes().splitlines())
    stored.write_bytes(whole[0] + b"\n" + whole[1][:40])  # killed while it wrote
    again = Trials(tmp_path, plan(), docker_sandbox)
    assert len(again.missing()) == 1
    assert len(list(again.run(threads=2))) == 1
    assert again.verdicts.judged == 0
    assert sorted(stored.read_bytes().splitlines()) == whole
    with pytest.raises(LogError, match="budget was 6 and is now 7"):
        Trials(tmp_path, plan(budget=7), docker_sandbox)
    more = Trials(tmp_path, plan(problems=2, seeds=2, searches=("preset:tplus", "uct")), docker_sandbox)
    assert len(more.missing()) == 6  # of eight, two are there


@pytest.mark.docker
def test_the_public_part_of_a_verdict_is_what_the_judge_says_of_the_public_tests(
    tmp_path: Path, docker_sandbox: Sandbox
) -> None:
    problems = plan().sets[0]
    problem = next(iter(problems))
    (player,) = {mars2_env.tasks.policies.make_policy("noise:weak", problems=problems)}
    verdicts = Verdicts(tmp_path / "verdicts.jsonl", docker_sandbox)
    judge = mars2_env.Judge(docker_sandbox)
    episode = mars2_env.Episode(problem.public_view(), ["a_0"], "repeated_sampling", 6, 0)
    for _ in range(6):
        turn = episode.ask()
        submission = episode.submit(turn, player.act([turn])[0])
        public = judge.grade(problem, submission.program or "", tests="public")
        whole = verdicts(problem, submission.program or "")
        assert whole.groups["public"] == public.groups["public"]
        assert whole.feedback == public.feedback
        episode.tell(turn, player.act([turn])[0], submission.verdict or public)


@pytest.mark.docker
def test_the_command_prints_a_report_and_the_second_time_runs_nothing(tmp_path: Path, docker_engine: None) -> None:
    command = [
        sys.executable, "-m", "mars2_bench.search.selectors", "--set", "starter:test", "--problems", "2",
        "--budget", "3",
        "--search", "repeated_sampling", "--search", "mars2;prompts=feedback=off", "--team", "one=noise:weak",
        "--out", str(tmp_path),
    ]  # fmt: skip
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert "4/4" in first.stderr
    report = (tmp_path / "report.md").read_text()
    assert "| `mars2;prompts=feedback=off` |" in report
    assert "| Pass@N | one |" in report
    assert (tmp_path / "report.csv").read_text().count("\n") == 1 + 2 * len(MEASURES)
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.stdout == first.stdout
    assert "4/4 0 programs judged" in " ".join(second.stderr.split())


def trial(problem: str, seed: int, hidden: list[bool], search: str = "s") -> Trial:
    n = len(hidden)
    return Trial(search, "t", problem, seed, (0,) * n, (0,) * n, tuple(map(float, hidden)), tuple(hidden))


def test_seeds_of_a_problem_are_averaged_and_differences_are_taken_problem_by_problem() -> None:
    ours = [trial("a", 0, [True]), trial("a", 1, [False]), trial("b", 0, [True]), trial("b", 1, [True])]
    base = [trial("a", 0, [False]), trial("a", 1, [False]), trial("b", 0, [True]), trial("b", 1, [True])]
    assert problem_means(ours, MEASURES["Pass@N"]).tolist() == [0.5, 1.0]
    found = compare(ours, base, MEASURES["Pass@N"])
    assert (found.mean, found.difference) == (0.75, 0.25)
    assert (found.low, found.high) == (0.0, 0.5)
    assert found.detectable > 0.25


def test_unsolved_trees_count_as_later_than_any_solved_one() -> None:
    trials = [trial("a", 0, [False, True]), trial("b", 0, [False, False]), trial("c", 0, [False, False])]
    assert row("s", trials, trials).first == float("inf")
    assert row("s", trials[:1], trials[:1]).first == 2
    assert np.allclose(row("s", trials, trials).solved, [0, 1 / 3])


def test_searches_and_teams_are_named_on_the_command_line() -> None:
    assert search_options("preset:tplus") == {"preset": "tplus"}
    assert search_options("uct;prompts=feedback=off") == {"selector": "uct", "prompts": "feedback=off"}
    assert parse_team("two=noise:strong noise:weak,slip=0.1") == ("two", ["noise:strong", "noise:weak,slip=0.1"])
    with pytest.raises(ConfigError, match="not option=value"):
        search_options("uct;feedback")
    with pytest.raises(ConfigError, match="NAME=SPEC"):
        parse_team("noise:strong")
    with pytest.raises(ConfigError, match="unknown selector 'ucd'"):
        plan(searches=("ucd",)).tasks()


def test_the_curves_are_drawn_where_matplotlib_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra bench")
    from mars2_bench.search.selectors import plot

    rows = [row("s", [trial("a", 0, [False, True])], [trial("a", 0, [False, True])])]
    assert plot(tmp_path / "curves.png", {"one": rows, "two": rows})
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
