"""The page of formulas: each row names a function and a test that are there, and no formula is missing."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from pages import REPOSITORY

PAGE = REPOSITORY / "docs" / "maths.md"
ROW = re.compile(
    r"^\| (?P<what>[^|`]+) \| (?P<formula>.+) \| \[`(?P<name>\w+)`\]\((?P<file>\S+)\) \| (?P<rest>.+) \|$", re.M
)
FORMULAS = [
    *(f"mars2_env/credit/{name}.py" for name in ("shaping", "advantages", "collaborative", "values", "estimates")),
    "mars2_env/search/answers.py",
    "mars2_env/results/paired.py",
    "mars2_env/results/diversity.py",
    "agents/mars2_agents/learners/losses.py",
]
ROWS = [row.groupdict() for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))]


@cache
def defined(file: Path) -> frozenset[str]:
    """The names of functions and classes that a file defines, methods among them."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def test_every_row_of_a_table_is_read() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    heads = [line for line in lines if line.startswith(("| what |", "|---"))]
    assert len(ROWS) == len(lines) - len(heads) > 40


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["what"])
def test_a_formula_is_beside_its_function_its_source_and_its_test(row: dict[str, str]) -> None:
    assert row["name"] in defined((PAGE.parent / row["file"]).resolve())
    source, _, test = row["rest"].rpartition(" | ")
    assert re.search(r"\bpapers\b|\bours\b|\d{4}\.\d{5}|[12][089]\d\d|TreeQuest|standard", source)
    file, _, name = test.strip("`").partition("::")
    assert name.startswith("test_") and name in defined(REPOSITORY / file)


@pytest.mark.parametrize("file", FORMULAS)
def test_no_formula_is_missing(file: str) -> None:
    tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
    public = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    told = {row["name"] for row in ROWS if (PAGE.parent / row["file"]).resolve() == REPOSITORY / file}
    assert public <= told
