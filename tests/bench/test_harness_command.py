"""`mars2 bench`: a reduced run end to end, and what each command says of what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mars2_bench.algorithms.named import ALGORITHMS
from mars2_bench.group import bench
from mars2_bench.harness.algorithms import make
from mars2_bench.harness.command import expansions_of, seeds_of
from mars2_bench.harness.planning import cells_of
from mars2_bench.harness.results import read_result
from mars2_bench.suite.named import NAMED, find
from typer.testing import CliRunner

from mars2_env import ConfigError, LogError

pytestmark = pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")


def called(*words: str | Path) -> str:
    """What a command that must succeed prints."""
    done = CliRunner().invoke(bench, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_reduced_run_learns_is_verified_learned_again_and_reported(tmp_path: Path) -> None:
    folder, page = tmp_path / "results", tmp_path / "docs" / "leaderboard.md"
    algorithms = ["--algo", "ppo", "--algo", "random"]
    said = called("run", "--id", "Route-v1", *algorithms, "--seeds", "0", "--budget", "30k", "--out", folder)
    assert "Route-v1 ppo 30,000 seed 0: test 0." in said
    learned, random = (read_result(folder / f"Route-v1/{name}/seed-0.json") for name in ("ppo/30000", "random/0"))
    assert 20_000 < learned.expansions <= 30_000
    assert learned.curve[-1].score > learned.curve[0].score
    assert learned.evaluations["test"].score > random.evaluations["test"].score + 0.1

    again = called("run", "--id", "Route-v1", *algorithms, "--seeds", "0", "--budget", "30k", "--out", folder)
    assert again.count("(was there)") == 2
    assert "2 of 2 results stand: 1,000 trees" in called("verify", folder)
    again = called("verify", folder, "--rerun", "0")
    assert "ppo 30,000 seed 0: the same to the last action" in again
    assert "random 0 seed 0: the same to the last action" in again
    assert "the same" not in called("verify", folder, "--rerun", "0"), "what was learned again is not again"

    called("report", folder, "--page", page)
    assert "| ppo | 30k |" in page.read_text() and "rerun (1 of 1)" in page.read_text()
    called("report", folder, "--page", page, "--check")
    page.write_text(page.read_text().replace("0.", "1.", 1))
    done = CliRunner().invoke(bench, ["report", str(folder), "--page", str(page), "--check"])
    assert done.exit_code == 1 and "run mars2 bench report" in done.stdout


def test_verify_fails_where_one_file_was_edited(tmp_path: Path) -> None:
    called("run", "--id", "Route-v1", "--algo", "random", "--seeds", "0-1", "--out", tmp_path)
    path = tmp_path / "Route-v1/random/0/seed-1.json"
    said = json.loads(path.read_bytes())
    said["tries"] = 100
    path.write_text(json.dumps(said))
    done = CliRunner().invoke(bench, ["verify", str(tmp_path)])
    assert done.exit_code == 1
    assert f"{path} was changed after it was written" in done.stdout
    assert "1 of 2 results stand" in done.stdout


def test_every_environment_and_algorithm_is_listed() -> None:
    said = called("list")
    assert all(id in said for id in NAMED)
    assert all(name in said for name in ("ppo", "ippo", "mappo", "sb3-maskable-ppo", "oracle", "open-loop"))


def test_help_teaches_each_command() -> None:
    for command in ("list", "run", "verify", "report", "submit"):
        assert "Usage" in called(command, "--help")
    assert "module:factory" in " ".join(called("run", "--help").split())


def test_all_is_every_algorithm_that_plays_the_game_and_needs_no_other_package() -> None:
    cells = cells_of(["all"], ["all"], seeds=[0, 1], budget=50_000, name=None, tries=1)
    found = {(cell.named.id, cell.made.recipe.name) for cell in cells}
    assert {id for id, _ in found} == set(NAMED)
    assert ("mars2/Route-v1", "ppo") in found and ("mars2/Relay-v1", "ppo") not in found
    assert ("mars2/Relay-v1", "ippo-own") in found
    assert not [name for _, name in found if name.startswith(("sb3", "torchrl", "benchmarl"))]
    assert {cell.budget for cell in cells if cell.made.reference} == {0}
    assert [cell.seed for cell in cells if cell.made.recipe.name == "greedy"].count(1) == 0
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells), "seed after seed"


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_the_ladders_algorithms_are_offered_under_their_names(name: str) -> None:
    assert make(name).learn == ALGORITHMS[name]


def test_settings_reach_an_algorithms_own_and_its_inner_ones() -> None:
    (cell,) = cells_of(["Relay-v1"], ["ippo,rate=0.001,share=own"], seeds=[0], budget=1, name="mine", tries=3)
    assert cell.made.recipe.name == "mine" and cell.tries == 3
    assert cell.made.recipe.settings["share"] == "own"
    assert cell.made.recipe.settings["settings"]["rate"] == 0.001


@pytest.mark.parametrize(
    ("ids", "specs", "name", "message"),
    [
        (["Rout-v1"], ["ppo"], None, "Did you mean"),
        (["Route-v1"], ["pppo"], None, "Did you mean 'ppo'"),
        (["Route-v1"], ["ippo"], None, "none of the algorithms ippo plays route"),
        (["Route-v1"], ["ppo,rat=1"], None, "Did you mean 'rate'|Its options"),
        (["Route-v1"], ["ppo", "random"], "mine", "it is for one algorithm, and there are 2"),
    ],
)
def test_what_cannot_be_run_says_why(ids: list[str], specs: list[str], name: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cells_of(ids, specs, seeds=[0], budget=1, name=name, tries=1)


def test_learning_again_is_written_into_one_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name that one folder"):
        called("verify", tmp_path, tmp_path, "--rerun", "0")
    with pytest.raises(LogError, match="there are no results"):
        called("verify", tmp_path)


def test_seeds_and_budgets_are_read_as_people_write_them() -> None:
    assert seeds_of("0-4") == [0, 1, 2, 3, 4]
    assert seeds_of("7, 0,2-3") == [0, 2, 3, 7]
    assert [expansions_of(text) for text in ("200k", "1M", "6144", "50_000")] == [200_000, 1_000_000, 6144, 50_000]
    for text in ("", "a", "4-0", "1-", "0-99999"):
        with pytest.raises(ConfigError, match="write 0-4"):
            seeds_of(text)
    for text in ("", "k", "1.5M", "-3"):
        with pytest.raises(ConfigError, match="write a number of expansions"):
            expansions_of(text)


def test_an_id_is_found_with_and_without_the_projects_name() -> None:
    assert find("Route-v1") is find("mars2/Route-v1")
