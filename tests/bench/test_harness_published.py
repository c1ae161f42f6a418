"""The results in this repository stand, and the pages that show them are what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from mars2_bench.harness.board import read_board
from mars2_bench.harness.report import BEGIN, pages
from mars2_bench.harness.results import files_in
from mars2_bench.harness.verifying import verify

RESULTS = Path("benchmarks/results")
COMMAND = "run `mars2 bench report benchmarks/results --page docs/leaderboard.md --readme README.md`"


@pytest.fixture(autouse=True)
def published(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    if not RESULTS.exists():
        pytest.skip("no results have been published yet")


def test_the_leaderboard_is_what_the_results_say() -> None:
    readme = Path("README.md")
    shown = readme if BEGIN in readme.read_text(encoding="utf-8") else None
    for path, text in pages(read_board(RESULTS), Path("docs/leaderboard.md"), shown).items():
        assert path.read_bytes() == text, f"{path}: {COMMAND}"


def test_of_each_environment_and_algorithm_a_result_stands_the_check() -> None:
    first = [path for path in files_in(RESULTS) if path.name == "seed-0.json"]
    assert not [trouble for _, _, trouble in verify(first) if trouble]


@pytest.mark.slow
def test_every_result_stands_the_check() -> None:
    assert not [trouble for _, _, trouble in verify(files_in(RESULTS)) if trouble]
