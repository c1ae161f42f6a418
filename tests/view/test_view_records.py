"""The records of a tree: all that the page knows of it, as the log says, and nothing of a test that is not public."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import looked_at
import msgspec
import pytest

import mars2_env
from mars2_env.errors import ConfigError, LogError, SandboxError
from mars2_env.log.codec import EVENTS
from mars2_env.sandbox.scripted import ScriptedSandbox
from mars2_env.search.selectors import SELECTORS
from mars2_env.types import Outcome, Run
from mars2_env.view.runs import Made, all_made, open_run, selector_text


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return looked_at.grown(tmp_path_factory.mktemp("records") / "x")


@pytest.fixture(scope="module")
def trees(run: Path) -> list[Made]:
    return list(all_made(open_run(run)))


def told(made: Made) -> list[dict[str, Any]]:
    return [record for record in made.tree["events"] if record["kind"] == "told"]


def asked(made: Made) -> list[dict[str, Any]]:
    return [record for record in made.tree["events"] if record["kind"] == "asked"]


def test_every_event_has_a_record_that_says_what_the_log_says(run: Path, trees: list[Made]) -> None:
    logs = mars2_env.read_log(run)
    assert [made.summary["problem"] for made in trees] == [tree.problem for tree in logs]
    for made, tree in zip(trees, logs, strict=True):
        assert len(made.tree["events"]) == len(tree.events)
        assert not made.tree["trouble"]
        for record, node in zip(told(made), tree.nodes, strict=True):
            assert (record["node"], record["parent"], record["score"]) == (node.id, node.parent, node.score)
            assert (record["program"], record["reply"]) == (node.program, node.reply)
            assert record["outcome"] == node.verdict.outcome
            assert record.get("duplicate_of") == node.duplicate_of
            assert {name: len(letters) for name, letters in record["groups"].items()} == {
                name: len(outcomes) for name, outcomes in node.verdict.groups.items()
            }


def test_the_page_knows_every_event_and_every_outcome(repository: Path) -> None:
    read = lambda name: (repository / "viewer" / name).read_text(encoding="utf-8")  # noqa: E731
    assert set(re.findall(r'^  kind: "(\w+)";$', read("data.ts"), re.MULTILINE)) == set(EVENTS)
    listed = re.search(r"OUTCOMES: Outcome\[\] = \[(.*?)\];", read("marks.ts"), re.DOTALL)
    assert listed is not None and tuple(re.findall(r'"(\w+)"', listed[1])) == get_args(Outcome)


def test_the_line_of_a_tree_says_what_it_came_to(run: Path, trees: list[Made]) -> None:
    for made, tree in zip(trees, mars2_env.read_log(run), strict=True):
        line = made.summary
        assert (line["nodes"], line["best"], line["ended"]) == (len(tree.nodes), tree.best_score, tree.ended)
        assert (line["answer"], line["duplicates"]) == (tree.answer, tree.duplicates)
        assert line["scores"] == [node.score for node in tree.nodes]
        solver = next((node for node in tree.nodes if node.score >= 1), None)
        assert line["solved_by"] == (solver and solver.agent)
        assert line["solved_at"] == (solver and solver.id)
        assert sum(line["turns"].values()) == len(tree.nodes)
        assert line["tokens"] == [11] * len(tree.nodes)


def test_each_ask_has_the_prompt_that_the_policy_was_given(tmp_path: Path) -> None:
    seen: dict[tuple[str, int], list[list[str]]] = {}

    def remember(turn: mars2_env.Turn) -> str:
        seen[turn.problem.id, turn.id] = [[one["role"], one["content"]] for one in turn.messages]
        return f"print('two')  # {turn.seed % 3}"

    looked_at.grown(tmp_path / "x", text=remember, prompts="reasoning,siblings=1,fixer=base", count=2)
    for made in all_made(open_run(tmp_path / "x")):
        assert not made.tree["trouble"]
        for record in asked(made):
            assert record["prompt"] == seen[made.summary["problem"], record["turn"]]


def test_each_ask_has_the_reason_of_its_place(trees: list[Made]) -> None:
    for made in trees:
        for record in asked(made):
            parent, agent = record["why"]["choice"]
            assert parent == record["parent"]
            assert ["coder_0", "fixer_0"][agent] == record["agent"]


@pytest.mark.parametrize("selector", sorted(SELECTORS))
def test_every_selector_of_the_library_can_be_asked_why(selector: str, tmp_path: Path) -> None:
    looked_at.grown(tmp_path / "x", selector=selector, count=1, budget=8)
    (made,) = all_made(open_run(tmp_path / "x"))
    assert not made.tree["trouble"]
    assert all("why" in record for record in asked(made))


def test_several_expansions_in_flight_are_told_with_the_reasons_of_their_places(tmp_path: Path) -> None:
    looked_at.grown(tmp_path / "x", count=1, budget=9, in_flight=3)
    (made,) = all_made(open_run(tmp_path / "x"))
    kinds = [record["kind"] for record in made.tree["events"]]
    assert kinds[:3] == ["asked"] * 3
    assert not made.tree["trouble"]
    assert all("why" in record and "prompt" in record for record in asked(made))


def test_a_game_in_which_agents_choose_has_prompts_and_no_reasons(tmp_path: Path) -> None:
    looked_at.grown(tmp_path / "x", game="play", count=1, budget=4)
    (made,) = all_made(open_run(tmp_path / "x"))
    assert not made.tree["trouble"]
    assert not any("why" in record for record in asked(made))
    assert all("Print the word" in json.dumps(record["prompt"]) for record in asked(made))


@pytest.mark.parametrize("game", ["write", "place"])
def test_what_an_environment_logged_has_its_prompts_where_its_set_has_a_name(game: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"generators": looked_at.Writer()} if game == "place" else {}
    env = mars2_env.make(
        "starter", game=game, budget=2, sandbox=looked_at.sandbox(), out=str(tmp_path / "x"), **options
    )
    env.reset(seed=3)
    for _ in env.agent_iter():
        *_, ended, cut, _ = env.last()
        env.step(None if ended or cut else {"program": "print('two')"} if game == "write" else 0)
    env.close()
    (made,) = all_made(open_run(tmp_path / "x"))
    assert not made.tree["trouble"]
    assert len(told(made)) == 2
    assert all("prompt" in record for record in (asked if game == "write" else told)(made))
    assert all(("why" in record) == (game == "write") for record in asked(made))


def test_the_program_that_a_repair_problem_starts_from_is_told_with_its_verdict(tmp_path: Path) -> None:
    looked_at.grown(tmp_path / "x", count=1, budget=4, seed_program="print('given')")
    (made,) = all_made(open_run(tmp_path / "x"))
    first = made.tree["events"][0]
    assert (first["kind"], first["program"]) == ("seeded", "print('given')")
    assert set(first["groups"]) == {"public", "scoring"}
    assert not made.tree["trouble"]
    assert all("print('given')" in json.dumps(record["prompt"]) for record in asked(made) if record["parent"] == 0)


def test_the_steps_to_a_reply_are_told_with_what_they_cost_and_without_their_tokens(tmp_path: Path) -> None:
    looked_at.grown(tmp_path / "x", count=1, budget=2, writer=looked_at.Staged())
    (made,) = all_made(open_run(tmp_path / "x"))
    steps = made.tree["traces"]["0"]["steps"]
    assert [step["role"] for step in steps] == ["planner", "public_tests", "coder"]
    assert steps[0]["generation"]["text"] == "Print a word."
    assert steps[0]["generation"]["logprob"] == -1
    assert (steps[1]["call"], steps[1]["observation"]) == ("print('one')", "wrong answer on test 2")
    assert steps[2]["generation"]["finish"] == "length"
    assert made.summary["tokens"] == [3, 3]
    assert "completion_ids" not in json.dumps(made.tree)


def test_a_turn_that_a_fault_made_void_is_told_and_the_next_is_not_drawn(tmp_path: Path) -> None:
    faults = iter([SandboxError("the engine was away")])

    def faulty(program: str, given: str) -> Run | SandboxError:
        return next(faults, None) or looked_at.answers(program, given)

    looked_at.grown(tmp_path / "x", count=1, budget=3, sandbox=ScriptedSandbox(faulty))
    (made,) = all_made(open_run(tmp_path / "x"))
    kinds = [record["kind"] for record in made.tree["events"]]
    assert kinds[:3] == ["asked", "failed", "asked"]
    assert "the engine was away" in made.tree["events"][1]["reason"]
    first, again, *others = asked(made)
    assert "why" in first and "again" not in first
    assert again["again"] and "why" not in again
    assert all("why" in record for record in others)
    assert not made.tree["trouble"]


def test_a_run_of_a_set_that_is_gone_has_no_prompts_and_says_why(tmp_path: Path) -> None:
    looked_at.grown(tmp_path / "x", count=1, budget=3)
    (tmp_path / "x.jsonl").unlink()
    (made,) = all_made(open_run(tmp_path / "x"))
    assert "could not be loaded" in made.tree["trouble"]["prompts"]
    assert "statement" not in made.tree["problem"]
    assert all("why" in record and "prompt" not in record for record in asked(made))


def test_a_set_that_has_changed_is_not_taken_for_the_one_that_was_played(tmp_path: Path) -> None:
    looked_at.grown(tmp_path / "x", count=1, budget=3)
    looked_at.problem_file(tmp_path / "x.jsonl", 1, statement="Another text.")
    (made,) = all_made(open_run(tmp_path / "x"))
    assert "another version" in made.tree["trouble"]["prompts"]
    assert "Another text" not in json.dumps(made.tree)


def test_a_selector_that_chooses_otherwise_now_is_not_believed(tmp_path: Path) -> None:
    looked_at.grown(tmp_path / "x", count=1, budget=12)
    (log,) = (tmp_path / "x" / "trees").glob("*.jsonl")
    head, *lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    header = json.loads(head)
    header["task"]["selector"] = {"name": "mars2"}
    log.write_text("".join([json.dumps(header) + "\n", *lines]), encoding="utf-8")
    (made,) = all_made(open_run(tmp_path / "x"))
    assert "otherwise than the log says" in made.tree["trouble"]["why"]
    assert "why" not in asked(made)[-1]
    assert "prompt" in asked(made)[-1]


def test_a_selector_that_is_not_here_costs_its_reasons_alone(tmp_path: Path) -> None:
    looked_at.grown(tmp_path / "x", count=1, budget=4)
    (log,) = (tmp_path / "x" / "trees").glob("*.jsonl")
    text = log.read_text(encoding="utf-8")
    log.write_text(text.replace('"name":"ab_mcts_a"', '"name":"of_somebody_else"', 1), encoding="utf-8")
    (made,) = all_made(open_run(tmp_path / "x"))
    assert "cannot be built here" in made.tree["trouble"]["why"]
    assert all("prompt" in record for record in asked(made))


def test_a_log_that_was_cut_off_is_told_as_far_as_it_goes(tmp_path: Path) -> None:
    looked_at.grown(tmp_path / "x", count=1, budget=6)
    (log,) = (tmp_path / "x" / "trees").glob("*.jsonl")
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:7])[:-20])
    (made,) = all_made(open_run(tmp_path / "x"))
    assert made.summary["ended"] is None
    assert made.summary["nodes"] == len(told(made)) == 2
    assert "credit" not in made.tree


def test_a_finished_tree_has_the_papers_credit(run: Path, trees: list[Made]) -> None:
    for made, tree in zip(trees, mars2_env.read_log(run), strict=True):
        credit = made.tree["credit"]
        assert credit["name"] == "shaping"
        assert len(credit["shaped"]) == len(credit["advantage"]) == len(tree.nodes)


def test_no_record_holds_a_scoring_or_hidden_test_or_a_reference(trees: list[Made]) -> None:
    text = msgspec.json.encode([(made.summary, made.tree) for made in trees]).decode()
    assert "Print the word" in text
    assert "SECRET" not in text


def test_hidden_verdicts_are_told_where_they_are_asked_for_and_nowhere_else(run: Path, trees: list[Made]) -> None:
    with pytest.raises(ConfigError, match="mars2 evaluate"):
        open_run(run, hidden=True)
    mars2_env.evaluate(run, sandbox=looked_at.sandbox())
    assert "hidden" not in msgspec.json.encode([(made.summary, made.tree) for made in all_made(open_run(run))]).decode()
    for made in all_made(open_run(run, hidden=True)):
        verdicts = [record["hidden"] for record in told(made)]
        assert made.summary["hidden"] == verdicts
        assert None not in verdicts
        assert True in verdicts
        assert not any("SECRET" in text for text in json.dumps(made.tree).split())


def test_the_log_of_one_tree_is_looked_at_like_a_run(run: Path) -> None:
    log = sorted((run / "trees").glob("*.jsonl"))[1]
    (made,) = all_made(open_run(log))
    assert made.summary["problem"] == "words/1"
    assert "prompt" in asked(made)[0]


@pytest.mark.parametrize(
    ("place", "said"), [("nothing", "there is nothing"), ("empty", "holds no trees"), ("training", "is a training")]
)
def test_what_is_no_run_is_refused_with_a_word_on_what_to_give(place: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    looked_at.grown(tmp_path / "training" / "rollouts" / "000000", count=1, budget=2)
    with pytest.raises(LogError, match=said):
        open_run(tmp_path / place)


def test_a_selector_is_written_as_in_a_command() -> None:
    assert selector_text({"name": "ab_mcts_a", "posterior": "beta", "priors": []}) == "ab_mcts_a"
    assert selector_text({"name": "mars2", "per_agent": True}) == "mars2,per_agent=True"
    assert selector_text({"name": "elsewhere", "depth": 3}) == "elsewhere,depth=3"
    assert selector_text({"name": "mars2", "guidance": {"gamma": 0.98, "decay": 0.95}}) == "mars2,guidance=default"
    assert (
        selector_text({"name": "mars2", "guidance": {"gamma": 0.5, "decay": 1}}) == "mars2,guidance=gamma=0.5 decay=1"
    )
    assert selector_text(None) == ""
