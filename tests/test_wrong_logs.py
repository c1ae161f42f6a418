"""Logs, banks and run folders that are not what they seem: what is wrong is said, and nothing is read for ever."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest
from toys import Guesser, problem_set, sandbox

import mars2_env
from mars2_env import LogError, Reply, Task
from mars2_env.bank import read_bank, record
from mars2_env.bank.file import BANK_FILE
from mars2_env.log import log_path
from mars2_env.tasks import Match

SPLITS = ("train", "test")
FIFOS = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")


def task(count: int = 2, **options: Any) -> Task:
    return mars2_env.task(problem_set(count), sandbox=sandbox(), **{"budget": 3, **options})


def played(out: Path, **options: Any) -> list[mars2_env.Tree]:
    return list(mars2_env.rollout(task(**options), Guesser(), out=out))


def evaluated(out: Path) -> mars2_env.Results:
    return mars2_env.evaluate(out, problems=problem_set(2), sandbox=sandbox())


@FIFOS
@pytest.mark.parametrize("name", ["trees/toy%2F0.seed0.jsonl", "run.json"])
@pytest.mark.parametrize("read", [played, evaluated])
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(read: Any, name: str, tmp_path: Path) -> None:
    played(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(LogError, match=f"{name} is no file, but a pipe"):
        read(tmp_path)


def test_a_log_under_the_name_of_another_tree_is_said_before_anything_is_played(tmp_path: Path) -> None:
    played(tmp_path)
    log_path(tmp_path, "toy/0", 0).rename(log_path(tmp_path, "toy/7", 0))
    with pytest.raises(LogError, match=r"toy%2F7.seed0.jsonl is the log of toy/0, seed 0; call it toy%2F0.seed0.jsonl"):
        played(tmp_path)


@pytest.mark.parametrize(
    ("before", "after"), [('"score":0.0', '"score":1.0'), ('"score":0.0', '"score":0.5'), ("wrong_answer", "passed")]
)
def test_a_log_whose_scores_are_not_what_its_outcomes_make_is_refused(tmp_path: Path, before: str, after: str) -> None:
    played(tmp_path)
    path = log_path(tmp_path, "toy/0", 0)
    path.write_text(path.read_text().replace(before, after))
    for read in (mars2_env.read_log, evaluated, played):
        with pytest.raises(LogError, match=r"toy%2F0.* its outcomes make it"):
            read(tmp_path)


def test_scores_of_a_drivers_own_are_read_back(tmp_path: Path) -> None:
    match = Match(task(1, agents=["a"]), "toy/0", 0, out=tmp_path)
    for text in ("print(1)", "print(2)", "print(1)"):  # the last is a copy, and has the score of the first
        turn, reply = match.episode.ask(), Reply(f"```python\n{text}\n```")
        verdict = match.episode.submit(turn, reply).verdict or match.judge.grade(
            match.problem, text, tests=match.episode.rules.tests
        )
        match.episode.tell(turn, reply, verdict, score=0.25)
    match.close()
    (tree,) = mars2_env.read_log(tmp_path)
    assert [node.score for node in tree.nodes] == [0.25] * 3 and tree.duplicates == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"selector": "mars2"}, "task.selector.name was 'ab_mcts_a' and is now 'mars2'"),
        ({"selector": "random", "budget": 4}, "task.budget"),
    ],
)
def test_another_run_is_named_by_what_makes_it_another(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    played(tmp_path)
    with pytest.raises(LogError, match=says):
        played(tmp_path, **options)


def test_another_split_is_said_before_the_policies_that_differ_by_it(tmp_path: Path) -> None:
    @mars2_env.register_policy("of_the_split")
    def build(rest: str, *, problems: Any = None) -> Guesser:
        policy = Guesser()
        policy.identity = f"for {problems.split}"  # type: ignore[attr-defined]
        return policy

    train, test = (mars2_env.task("starter", agents=["a"], budget=1, split=one, sandbox=sandbox()) for one in SPLITS)
    list(mars2_env.rollout(train, "of_the_split", out=tmp_path, limit=1))
    with pytest.raises(LogError, match=r"task\.split was 'train' and is now 'test'"):
        mars2_env.rollout(test, "of_the_split", out=tmp_path, limit=1)


def test_a_bank_that_says_a_reply_twice_is_refused(tmp_path: Path) -> None:
    record(task(1, agents=["a"]), Guesser(), children=1, depth=2, out=tmp_path)
    file = tmp_path / BANK_FILE
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    file.write_bytes(gzip.compress(b"".join([*lines, lines[-1]])))
    with pytest.raises(LogError, match="line 4 repeats an earlier one"):
        read_bank(tmp_path)


def test_what_is_no_file_is_no_bank() -> None:
    with pytest.raises(LogError, match="/dev/null is no regular file"):
        read_bank("/dev/null")


def test_kept_verdicts_that_cannot_be_read_may_be_deleted(tmp_path: Path) -> None:
    played(tmp_path)
    (tmp_path / "hidden.jsonl").write_text("garbage\n")
    with pytest.raises(LogError, match=r"hidden.jsonl: line 1: .* Delete that line, or the file"):
        evaluated(tmp_path)
