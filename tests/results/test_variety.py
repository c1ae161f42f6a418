"""How different programs of searches are: what is compared with what, and at which numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from toys import Guesser, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, Reply, Run, Turn
from mars2_env.cli import main
from mars2_env.results import grading
from mars2_env.results.variety import BEHAVIOUR_FILE, Diversity, diversity_of
from mars2_env.testing import ScriptedSandbox

GUIDE = (Path(__file__).parents[2] / "docs/guide.md").read_text(encoding="utf-8")
PROBLEMS = problem_set(3)


class Writes(Guesser):
    """Writes these programs one after the other; `{}` is the number of the problem."""

    def __init__(self, *programs: str) -> None:
        super().__init__()
        self.programs = programs

    def act(self, turns: list[Turn]) -> list[Reply]:
        return [
            Reply(f"```python\n{self.programs[turn.id % len(self.programs)].format(turn.problem.id[-1])}\n```")
            for turn in turns
        ]


def grow(*programs: str, out: Path | None = None) -> list[mars2_env.Tree]:
    task = mars2_env.task(PROBLEMS, sandbox=sandbox(), budget=len(programs), selector="repeated_sampling")
    return list(mars2_env.rollout(task, Writes(*programs), out=out))


def measured(runs: Any, **options: Any) -> Diversity:
    return diversity_of(runs, **{"problems": PROBLEMS, "sandbox": sandbox(), **options})


ONE_WAY = ("print({})", "print({})", "print(90)", "print(91)")
TWO_WAYS = ("print({})", "if True: print({})", "print(90)", "print(90)")


def test_right_and_wrong_programs_are_measured_apart() -> None:
    found = measured({"one": grow(*ONE_WAY), "two": grow(*TWO_WAYS)})
    assert found.count == 2
    assert found.written["one"] == {"all": 12, "correct": 6, "wrong": 6}
    assert found.value("one", "da", "correct", "program") == 1.0
    assert found.value("two", "da", "correct", "program") == 2.0
    assert found.value("one", "da", "wrong", "program") == 2.0
    assert found.value("two", "da", "wrong", "program") == 1.0


def test_programs_that_differ_in_a_constant_are_of_one_shape_and_not_of_one_behaviour() -> None:
    found = measured({"one": grow(*ONE_WAY)})
    assert found.value("one", "da", "wrong", "shape") == 1.0
    assert found.value("one", "da", "wrong", "behaviour") == 2.0
    assert found.value("one", "ast_distance", "wrong") > 0
    assert found.value("one", "vendi", "wrong") == pytest.approx(1.0)


def test_programs_that_do_the_same_are_of_one_behaviour() -> None:
    found = measured({"two": grow(*TWO_WAYS)})
    assert found.value("two", "da", "correct", "behaviour") == 1.0
    assert found.value("two", "da", "correct", "shape") == 2.0


def test_utility_counts_right_programs_of_a_new_class_among_all() -> None:
    found = measured({"two": grow(*TWO_WAYS)}, count=4)
    weights = [0.8**place for place in range(4)]
    assert found.value("two", "utility", "all", "shape") == pytest.approx((1 + 0.8) / sum(weights))
    assert found.value("two", "utility", "all", "behaviour") == pytest.approx(1 / sum(weights))
    assert found.value("two", "utility", "wrong", "shape") is None


def test_problems_without_enough_programs_are_left_out_of_every_search() -> None:
    few = grow("print({})", "nothing", "print(90)", "print(91)")
    found = measured({"few": few, "two": grow(*TWO_WAYS)}, count=2)
    assert found.value("two", "da", "correct", "program") is None
    assert any("no problem has 2 correct programs" in note for note in found.notes)
    assert found.value("two", "da", "wrong", "program") == 1.0


def test_a_copy_counts_as_what_was_written() -> None:
    found = measured({"copies": grow("print({})", "print({})", "print({})")}, count=3)
    assert found.value("copies", "ea", "all", "program") == 1.0
    assert found.written["copies"]["correct"] == 9


def test_no_program_runs_twice_on_varied_inputs(tmp_path: Path) -> None:
    grow(*TWO_WAYS, out=tmp_path)
    mars2_env.evaluate(tmp_path, problems=PROBLEMS, sandbox=sandbox())
    first, second = sandbox(), sandbox()
    found = measured([tmp_path], sandbox=first)
    assert (tmp_path / BEHAVIOUR_FILE).exists()
    assert {program for program, _ in first.calls} >= {"print(90)\n"}
    assert measured([tmp_path], sandbox=second) == found
    assert second.calls == []


def test_no_hidden_input_is_used_to_tell_behaviour_apart(tmp_path: Path) -> None:
    grow(*TWO_WAYS, out=tmp_path)
    mars2_env.evaluate(tmp_path, problems=PROBLEMS, sandbox=sandbox())  # opens the hidden tests
    box = sandbox()
    measured([tmp_path], sandbox=box)
    assert box.calls and "fourth" not in {input for _, input in box.calls}


def test_programs_that_fail_on_every_input_behave_alike() -> None:
    def fails(program: str, input: str) -> Run:
        return Run("runtime_error")

    trees = {"wrong": grow("print(90)", "print(91)")}
    found = measured(trees, sandbox=ScriptedSandbox(fails))
    assert found.value("wrong", "da", "wrong", "behaviour") == 1.0


@pytest.mark.parametrize(("options", "message"), [({"count": 1}, "count=1"), ({"inputs": 0}, "inputs=0")])
def test_numbers_that_make_no_sense_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        measured({"one": grow(*ONE_WAY)}, **options)


def test_the_command_prints_tables_and_the_documented_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(grading, "sandbox_for", lambda trees: sandbox())
    monkeypatch.setattr("mars2_env.results.variety.sandbox_for", lambda trees: sandbox())
    task = mars2_env.task("starter", sandbox=sandbox(), budget=4)
    out = tmp_path / "run"
    list(mars2_env.rollout(task, Writes(*TWO_WAYS), out=out, limit=2))
    (row,) = re.findall(r"^\| `diversity` \| (.*) \|$", GUIDE, re.MULTILINE)
    for arguments in ((), ("--json",)):
        monkeypatch.setattr("sys.argv", ["mars2", "diversity", str(out), "--count", "2", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        printed = capsys.readouterr().out
        if arguments:
            assert set(json.loads(printed)) == set(re.findall(r"`([a-z0-9_]+)`", row))
        else:
            assert "DA@2" in printed and "utility_2" in printed and "Vendi" in printed
