"""The benchmark that measures an expansion on two trees does the same work on both."""

from __future__ import annotations

import ast
from itertools import islice
from pathlib import Path

import pytest
from mars2_bench.speed import expansion_against

from mars2_env.errors import ConfigError
from mars2_env.prompt.syntax import normal_form

HERE = Path(__file__).parents[2]


@pytest.mark.parametrize("lines", expansion_against.LINES)
def test_no_two_programs_of_the_work_are_alike(lines: int) -> None:
    programs = [*islice(expansion_against.varied(lines), 300)]
    assert len({normal_form(program) for program in programs}) == 300
    assert all(lines - 3 < len(program.splitlines()) < lines + 5 for program in programs)
    assert all(ast.parse(program) for program in programs)


def test_a_tree_is_measured_beside_another() -> None:
    tables = expansion_against.compared(str(HERE), rounds=1, scale=False, quick=True)
    assert tables.count("**us of CPU time") == 1
    assert tables.count("| scripted grade |") == 2
    assert "| normal form | 0.0 | 0.0 |" in tables  # none of these programs needs one


def test_what_is_no_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a folder"), expansion_against.tree_of(str(tmp_path)):
        pass
