"""What a reward model learns from: programs of logs with their hidden verdicts, and nothing of hidden tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import reward_toys as toys
from mars2_agents.models.examples import UNTESTED, Examples, digest, facts, read_examples, split, status

import mars2_env
from mars2_env import ConfigError, Feedback, Verdict


def test_programs_come_once_each_with_the_verdict_of_the_evaluation(tmp_path: Path) -> None:
    problems = toys.run(tmp_path)
    found = read_examples([tmp_path], problems=problems)
    nodes = [node for tree in mars2_env.read_log(tmp_path) for node in tree.nodes]
    assert {row.program for row in found.rows} == {node.program for node in nodes}
    assert len(found.rows) == len({(row.problem, row.program) for row in found.rows})
    assert len(found.rows) + sum(found.left_out.values()) == len(nodes)
    for row in found.rows:
        assert row.passed == ("careful" in row.program)
        assert row.public == ("broken" not in row.program)
        assert row.status == ("failed" if "broken" in row.program else "passed")
        assert row.statement == problems[row.problem].statement
    assert len(read_examples([tmp_path, tmp_path], problems=problems).rows) == len(found.rows)


def test_hidden_and_scoring_tests_never_come_in(tmp_path: Path) -> None:
    problems = toys.run(tmp_path)
    texts = "".join(str(row) for row in read_examples([tmp_path], problems=problems).rows)
    assert "unseen" not in texts
    assert "hidden" not in texts


def test_facts_are_those_of_public_tests() -> None:
    feedback = Feedback("runtime_error", test=1, error_type="KeyError", error_message="'a'", traceback="line 3")
    verdict = Verdict({"public": ("passed", "runtime_error"), "scoring": ("wrong_answer",)}, feedback=feedback)
    assert facts(verdict) == "passed runtime_error\nKeyError: 'a'"
    unshown = Verdict({"public": ("passed",), "scoring": ("wrong_answer",)}, feedback=Feedback("wrong_answer", True))
    assert facts(unshown) == facts(Verdict({"public": ("passed",), "scoring": ("passed",)})) == "passed"
    assert facts(None) == facts(Verdict()) == UNTESTED
    assert facts(Verdict(settled="no_program")) == "no_program"
    assert [status(one) for one in (verdict, unshown, None, Verdict())] == ["failed", "passed", "untested", "untested"]


def test_a_run_that_was_not_evaluated_says_which_command_does_it(tmp_path: Path) -> None:
    problems = toys.run(tmp_path, evaluated=False)
    with pytest.raises(ConfigError, match=r"none of its \d+ programs has a hidden verdict.*mars2 evaluate"):
        read_examples([tmp_path], problems=problems)


def test_programs_that_an_evaluation_did_not_reach_are_counted(tmp_path: Path) -> None:
    problems = toys.run(tmp_path)
    lines = (tmp_path / "hidden.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "hidden.jsonl").write_bytes(b"".join(lines[:10]))
    found = read_examples([tmp_path], problems=problems)
    assert len(found.rows) == 10
    assert found.left_out["no hidden verdict"] == len(lines) - 10


def test_an_evaluation_set_is_refused_unless_it_is_named(tmp_path: Path) -> None:
    problems = toys.run(tmp_path, toys.problem_set(use="evaluation", stem="exam"))
    with pytest.raises(ConfigError, match="'exam', a set for evaluation"):
        read_examples([tmp_path], problems=problems)
    assert read_examples([tmp_path], problems=problems, allow=["exam"]).rows


def test_another_set_than_was_played_is_refused(tmp_path: Path) -> None:
    toys.run(tmp_path)
    with pytest.raises(ConfigError, match="another version of problem set"):
        read_examples([tmp_path], problems=toys.problem_set(9))
    with pytest.raises(ConfigError, match=r"does not say how its problems were loaded; give problems="):
        read_examples([tmp_path])
    with pytest.raises(ConfigError, match="no run folder"):
        read_examples([])


def test_parts_of_a_split_share_no_problem_and_lose_no_example(tmp_path: Path) -> None:
    examples = Examples(tuple(toys.example(one, kind, 0) for one in range(10) for kind in toys.KINDS))
    first, second = split(examples, 0.3, seed=5)
    assert len(second.problems) == 3
    assert first.problems.keys().isdisjoint(second.problems)
    assert {*first.rows, *second.rows} == set(examples.rows)
    assert split(examples, 0.3, seed=5) == (first, second)
    assert len(split(examples, 1.0)[0].problems) == 1
    with pytest.raises(ConfigError, match="at least two"):
        split(examples.of(["toy/1"]), 0.5)


def test_a_statement_is_known_again_in_another_layout() -> None:
    assert digest("Print  the\nsum.") == digest("print the sum.") != digest("Print the product.")
