"""`mars2 show`: a run, a tree, a node, for people at a terminal; hostile text does nothing there."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from in_process import mars2
from toys import Guesser, problem_set, sandbox

import mars2_env
from mars2_env import Reply, Turn
from mars2_env.results.verdicts import HIDDEN_FILE

Show = Callable[..., str]

EVIL = "\x1b]0;owned\x07\x1b[2J\u202e\r[red]x[/red][link=file:///etc]y[/link][/bold]"


class Writer(Guesser):
    """Writes the number of the problem, then something hostile, then nothing, then the first again."""

    def act(self, turns: list[Turn]) -> list[Reply]:
        return [Reply(self.write(turn)) for turn in turns]

    def write(self, turn: Turn) -> str:
        number = turn.problem.id[-1]
        return (
            f"```python\nprint({number})\n```",
            f"```python\n# {EVIL}\nprint({EVIL!r})\nprint({number}0)\n```",
            f"I do not know. {EVIL}",
            f"```python\nprint({number})  # again\n```",
        )[turn.id % 4]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three trees of four nodes."""
    out = tmp_path_factory.mktemp("shown") / "run"
    task = mars2_env.task(problem_set(3), sandbox=sandbox(), budget=4, selector="repeated_sampling")
    list(mars2_env.rollout(task, Writer(), out=out))
    return out


def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path, status: int = 0
) -> str:
    found, out, err = mars2(monkeypatch, capsys, "show", *arguments)
    assert found == status, err
    return out + err


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    return lambda *arguments, **options: shown(monkeypatch, capsys, *arguments, **options)


def test_the_trees_of_a_run_are_listed_with_who_solved_them(run: Path, show: Show) -> None:
    text = show(run)
    for number in range(3):
        (line,) = [line for line in text.splitlines() if f" toy/{number} " in line]
        assert "at #1" in line and "nodes: 4 of 4" in line
    assert "hidden" not in text


def test_a_tree_is_shown_with_the_program_of_its_answer(run: Path, show: Show) -> None:
    text = show(run, "toy/1")
    assert "#1 " in text and "#4 " in text and "= #1" in text
    assert "<- answer" in text and "1 print(1)  # again" in text
    assert "I do not know" not in text


def test_a_problem_may_be_named_by_a_part_that_is_its_own(run: Path, show: Show) -> None:
    assert "toy/2, seed 0" in show(run, "2")
    assert "unknown problem" in show(run, "toy", status=2)


def test_every_node_is_shown_with_its_tests_and_feedback(run: Path, show: Show) -> None:
    text = show(run, "toy/1", "--all")
    assert "public tests: 2 x wrong_answer" in text
    assert "What came out:" in text and "There is no program in the reply:" in text
    assert text.count("print(1)") == 1  # the copy says whose it is


def test_a_node_is_shown_by_its_number_and_one_that_is_not_there_is_an_error(run: Path, show: Show) -> None:
    text = show(run, "toy/1", "--node", "3")
    assert "I do not know" in text and "print(1)" not in text
    assert "--node 9: the nodes of this tree are 1 to 4" in show(run, "toy/1", "--node", "9", status=2)


def test_what_a_model_wrote_neither_steers_the_terminal_nor_is_markup(run: Path, show: Show) -> None:
    text = show(run, "toy/1", "--all")
    steering = {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")} - {"\n", "\t"}
    assert not steering
    assert text.count("[red]x[/red][link=file:///etc]y[/link][/bold]") >= 3


def test_hidden_verdicts_are_shown_on_demand_and_only_as_far_as_they_were_found(run: Path, show: Show) -> None:
    assert "not graded" in show(run, "toy/1", "--hidden")
    assert "not graded yet" in show(run, "--hidden")
    mars2_env.evaluate(run, problems=problem_set(3), sandbox=sandbox())
    before = (run / HIDDEN_FILE).read_bytes()
    text = show(run, "toy/1", "--all", "--hidden")
    assert text.count("hidden: passes") == 2 and text.count("hidden: fails") == 2
    assert "answer passes; 2 of 4 nodes pass" in show(run, "--hidden")
    assert "hidden" not in show(run, "toy/1", "--all")
    assert (run / HIDDEN_FILE).read_bytes() == before


def test_a_refinement_is_shown_as_what_it_changes(tmp_path: Path, show: Show) -> None:
    task = mars2_env.task(problem_set(1), sandbox=sandbox(), budget=2, selector="sequential_refinement")
    list(mars2_env.rollout(task, Writer(), out=tmp_path))
    text = show(tmp_path, "--node", "2", "--diff")
    assert "-print(0)" in text and "+print(00)" in text


def test_of_several_trees_of_a_problem_one_is_named_by_its_seed(tmp_path: Path, show: Show) -> None:
    env = mars2_env.make(problem_set(1), sandbox=sandbox(), budget=1, out=tmp_path, api="aec")
    for seed in (3, 5):
        env.reset(seed=seed)
        env.step({"program": "print(0)"})
    assert "by --seed, of 3, 5" in show(tmp_path, "toy/0", status=2)
    assert "seed 5" in show(tmp_path, "toy/0", "--seed", "5")


def test_a_long_chain_stays_within_the_page(tmp_path: Path, show: Show) -> None:
    task = mars2_env.task(problem_set(1), sandbox=sandbox(), budget=60, selector="sequential_refinement")
    list(mars2_env.rollout(task, Writer(), out=tmp_path))
    text = show(tmp_path)
    assert max(map(len, text.splitlines())) < 250 and "(child of #59)" in text
