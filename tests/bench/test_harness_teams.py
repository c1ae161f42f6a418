"""Teams that write are compared on the same problems at equal nodes and equal tokens, and nothing is grown twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from bank_play import few_problems, table_sandbox
from mars2_bench.harness.teams import TeamCell, TeamResult, read_team, run_teams, team_of, team_page, team_tables
from mars2_bench.suite.authors import AUTHORS, BankAuthor

import mars2_env
from mars2_env import ConfigError, Generation, LogError, Reply, Turn
from mars2_env.testing import ScriptedSandbox

PROBLEMS = few_problems(6, "test")


class Wordy(BankAuthor):
    """An author whose replies cost 100 tokens each."""

    def act(self, turns: list[Turn]) -> list[Reply]:
        return [replace(reply, generation=Generation(completion_tokens=100)) for reply in super().act(turns)]


@mars2_env.register_policy("wordy")
def wordy(rest: str, **context: Any) -> Wordy:
    return Wordy(AUTHORS[rest], rest)


@pytest.fixture
def box() -> ScriptedSandbox:
    return table_sandbox(PROBLEMS)


def cell(team: str = "pair", seed: int = 0, budget: str = "nodes=4", **options: Any) -> TeamCell:
    specs = {"pair": ("bank:able", "bank:numbers"), "lost": ("bank:hopeless",), "wordy": ("wordy:able",)}[team]
    return TeamCell(PROBLEMS, budget, team, specs, seed, {"stop_on_solved": True, **options})


def grown(cells: list[TeamCell], out: Path, box: ScriptedSandbox) -> list[TeamResult]:
    found = [result for _, result in run_teams(cells, out, sandbox=box)]
    assert all(result is not None for result in found)
    return [result for result in found if result is not None]


def test_a_cell_says_what_each_tree_came_to_on_hidden_tests(tmp_path: Path, box: ScriptedSandbox) -> None:
    (result,) = grown([cell()], tmp_path, box)
    assert [tree.problem for tree in result.trees] == [problem.id for problem in PROBLEMS]
    assert result.agents == {"agent_0": "bank:able", "agent_1": "bank:numbers"}
    assert any(tree.answer for tree in result.trees)
    assert all(tree.any or not tree.answer for tree in result.trees)
    assert max(tree.nodes for tree in result.trees) <= 4
    assert read_team(tmp_path / "starter-test/nodes=4/pair/trees-0.json") == result


def test_equal_tokens_are_a_budget_of_their_own(tmp_path: Path, box: ScriptedSandbox) -> None:
    (result,) = grown([cell("wordy", budget="tokens=250", stop_on_solved=False)], tmp_path, box)
    assert {(tree.nodes, tree.tokens) for tree in result.trees} == {(3, 300)}


def test_a_run_that_is_done_is_read_and_not_played(tmp_path: Path, box: ScriptedSandbox) -> None:
    first = grown([cell()], tmp_path, box)
    unusable = ScriptedSandbox(lambda program, given: pytest.fail("a program was run"))
    assert grown([cell()], tmp_path, unusable) == first


def test_a_run_that_was_cut_off_comes_to_the_same(tmp_path: Path, box: ScriptedSandbox) -> None:
    (whole,) = grown([cell()], tmp_path / "whole", box)
    begun = mars2_env.rollout(
        replace(cell(), options={"stop_on_solved": True, "sandbox": box}).task(),
        cell().policies(),
        seed=0,
        out=tmp_path / "cut/starter-test/nodes=4/pair/seed-0",
        trees=1,
    )
    next(iter(begun))
    begun.close()
    assert grown([cell()], tmp_path / "cut", box) == [whole]


def test_what_is_there_of_other_settings_is_refused(tmp_path: Path, box: ScriptedSandbox) -> None:
    grown([cell()], tmp_path, box)
    with pytest.raises(LogError, match=r"agents.agent_1 was 'bank:numbers' and is now 'bank:branches'"):
        grown([replace(cell(), agents=("bank:able", "bank:branches"))], tmp_path, box)


def test_teams_are_compared_problem_by_problem(tmp_path: Path, box: ScriptedSandbox) -> None:
    results = grown([cell(team, seed) for team in ("pair", "lost") for seed in (0, 1)], tmp_path, box)
    (table,) = team_tables(reversed(results))
    assert [row.team for row in table.rows] == ["pair", "lost"]
    pair = np.array([[tree.answer for tree in result.trees] for result in results[:2]], float)
    assert np.array_equal(table.rows[0].answers, pair)
    assert table.over_next[0].difference == pytest.approx(pair.mean() - table.rows[1].answers.mean())
    page = team_page([table])
    assert page.startswith("## starter-test, nodes=4\n") and "| pair | 2 | " in page


def test_dates_of_problems_stand_with_their_figures(tmp_path: Path, box: ScriptedSandbox) -> None:
    (result,) = grown([cell()], tmp_path, box)
    dated = [msgspec.structs.replace(tree, date=f"2024-08-0{day}") for day, tree in enumerate(result.trees, start=1)]
    tables = team_tables([msgspec.structs.replace(result, trees=tuple(dated))])
    assert "problems of 2024-08-01 to 2024-08-06" in team_page(tables)


def test_a_team_is_written_as_a_name_and_specs() -> None:
    assert team_of("pair=hf:smollm2,temperature=0.8 noise:weak") == (
        "pair",
        ("hf:smollm2,temperature=0.8", "noise:weak"),
    )
    for text in ("", "pair", "pair=", "=noise:weak", "../x=noise:weak"):
        with pytest.raises(ConfigError, match="is not NAME=SPEC"):
            team_of(text)
