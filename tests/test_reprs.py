"""What is printed of an object: short, without a hidden or scoring test, and in a notebook harmless."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

import mars2_env
from mars2_env.log.page import MOST_NODES
from mars2_env.results import TreeResult
from mars2_env.sandbox.scripted import ScriptedSandbox

HOSTILE = (
    "</pre><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x1b[2J&amp;\"'><style>*{display:none}</style>"
)
SECRETS = ("SECRET-SCORING", "SECRET-HIDDEN", "SECRET-REFERENCE")


def problem(statement: str = "Say it.", id: str = "p/0") -> mars2_env.Problem:
    return mars2_env.Problem(
        id,
        statement,
        public=(mars2_env.TestCase("", "shown"),),
        scoring=(mars2_env.TestCase("SECRET-SCORING", "SECRET-SCORING"),),
        hidden=(mars2_env.TestCase("SECRET-HIDDEN", "SECRET-HIDDEN"),) * 3,
        reference="print('SECRET-REFERENCE')",
    )


class Hostile:
    """A policy whose programs try to be markup."""

    def act(self, turns: list[mars2_env.Turn]) -> list[mars2_env.Reply]:
        return [mars2_env.Reply(f"```python\nx = '''{HOSTILE}{turn.id}'''\n```") for turn in turns]


@pytest.fixture(scope="module")
def task() -> mars2_env.Task:
    problems = mars2_env.ProblemSet("secrets", (problem(),))
    return mars2_env.task(problems, budget=3, sandbox=ScriptedSandbox())


@pytest.fixture(scope="module")
def tree(task: mars2_env.Task) -> mars2_env.Tree:
    (grown,) = mars2_env.rollout(task, Hostile())
    return grown


class Reader(HTMLParser):
    """Collects which elements and attributes a page really has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_no_repr_holds_a_scoring_or_hidden_test_or_a_reference(task: mars2_env.Task, tree: mars2_env.Tree) -> None:
    env = mars2_env.make(task)
    env.reset(seed=0)
    shown = [task, task.problems, problem(), problem().public_view(), tree, tree.nodes, env.unwrapped, env.turn]
    for one in shown:
        assert len(repr(one)) < 5000
        assert not any(secret in repr(one) for secret in SECRETS), type(one)


def test_reprs_name_what_there_is(task: mars2_env.Task, tree: mars2_env.Tree) -> None:
    assert repr(task.problems) == "ProblemSet('secrets', split='test', use='training', 1 problems)"
    assert repr(problem()) == "Problem('p/0', Stdin(), tests: 1 public, 1 scoring, 3 hidden)"
    assert repr(tree) == "Tree('p/0', seed=0, 3 nodes, best score 0, budget)"
    assert repr(tree.nodes[0]) == f"Node(1, parent=0, agent={tree.nodes[0].agent!r}, wrong_answer, score=0)"
    assert repr(task).startswith("Task(problems=ProblemSet('secrets'")
    assert repr(mars2_env.task("mars2/Starter-v0")).startswith("Task('mars2/Starter-v0', ")


def test_the_starter_set_is_shown_in_a_line() -> None:
    assert len(repr(mars2_env.load_problems("starter"))) < 100


def test_a_test_case_with_a_megabyte_of_input_is_shown_in_a_line() -> None:
    assert len(repr(mars2_env.TestCase(["x" * 10**6, list(range(10**5))], 10**5000))) < 200


def test_a_tree_in_a_notebook_shows_hostile_programs_as_text(tree: mars2_env.Tree) -> None:
    page = Reader(tree._repr_html_())
    assert page.tags == {"iframe", "div", "p", "b", "details", "summary", "pre"}
    assert page.attributes == {"title", "sandbox", "srcdoc", "style"}
    assert "<script>alert(1)</script>" in page.text  # as text
    assert "\u202e" not in page.text and "\x1b" not in page.text


def test_a_tree_in_a_notebook_is_bounded(task: mars2_env.Task) -> None:
    class Long:
        def act(self, turns: list[mars2_env.Turn]) -> list[mars2_env.Reply]:
            return [mars2_env.Reply(f"x = {'1' * 5000} + {turn.id}") for turn in turns]

    (grown,) = mars2_env.rollout(mars2_env.task(task, budget=MOST_NODES + 5), Long())
    page = grown._repr_html_()
    assert "and 5 more nodes" in page
    assert page.count("<iframe") == 1
    assert len(page) < 5000 * MOST_NODES + 300_000  # the list, and the viewer


def test_results_in_a_notebook_show_hostile_names_as_text() -> None:
    results = mars2_env.Results((TreeResult(HOSTILE, 0, 3, 1, 2, True, 1),), unfinished=2)
    assert repr(results) == "Results(1 trees, Pass@1(MCTS) 1.000, Pass@N 1.000, 2 missing)"
    page = Reader(results._repr_html_())
    assert page.tags == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert not page.attributes


def test_results_as_plain_data_have_stable_keys() -> None:
    results = mars2_env.Results((TreeResult("p", 0, 3, 1, 2, True, 1),))
    found = results.to_dict()
    assert list(found) == [
        "trees",
        "unfinished",
        "planned",
        "missing",
        "answer",
        "pass_at_1_mcts",
        "pass_at_1_mcts_interval",
        "pass_at_1_mcts_bounds",
        "pass_at_n",
        "pass_at_n_interval",
        "pass_at_n_bounds",
        "duplicate_share",
        "by_tree",
    ]
    assert found["by_tree"][0]["answer_passed"] is True


def test_results_as_a_table_of_pandas_say_what_to_install_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    results = mars2_env.Results((TreeResult("p", 0, 3, 1, 2, True, 1),))
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(mars2_env.ConfigError, match="pip install pandas"):
        results.to_dataframe()
