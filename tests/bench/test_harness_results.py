"""A file of results says what was played, so that it can be checked, and says so if it was changed."""

from __future__ import annotations

import base64
import bz2
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness_toys import toy_result
from mars2_bench.harness.results import Clock, Episodes, Result, decoded, encoded, files_in, read_result, unpacked
from mars2_bench.harness.verifying import check, verify
from mars2_bench.suite.named import find

from mars2_env import LogError


def edited(change: Callable[[dict[str, Any]], None]) -> bytes:
    """The file of a result in which something was changed, by hand as it were."""
    said = json.loads(encoded(toy_result()))
    change(said)
    return json.dumps(said).encode()


def column(values: np.ndarray[Any, Any]) -> str:
    return base64.b85encode(bz2.compress(values.tobytes())).decode()


def with_episodes(**changes: Any) -> Result:
    """A result whose episodes were changed and whose digests were made anew, as a forger would."""
    one = toy_result().evaluations["test"]
    fields = {name: getattr(one, name) for name in ("problems", "seeds", "scores", "steps", "actions")}
    return replace(toy_result(), evaluations={"test": Episodes(**(fields | changes))})


def test_a_result_is_read_as_it_was_written() -> None:
    again = decoded(encoded(toy_result()))
    assert encoded(again) == encoded(toy_result())
    one, other = again.evaluations["test"], toy_result().evaluations["test"]
    for name in ("scores", "steps", "actions"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert one.problems == other.problems == tuple(problem.id for problem in find(again.id).problems("test"))


def test_a_result_of_500_trees_is_a_file_of_a_few_kilobytes() -> None:
    assert toy_result().evaluations["test"].scores.size == 500
    assert len(encoded(toy_result())) < 6_000


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.update(id="mars2/Relay-v1"),
        lambda said: said.update(environment="0" * 64),
        lambda said: said.update(bank="0" * 64),
        lambda said: said.update(commit="0" * 40),
        lambda said: said.update(seed=7),
        lambda said: said.update(budget=2000),
        lambda said: said.update(expansions=10),
        lambda said: said.update(tries=9),
        lambda said: said.update(digest="0" * 64),
        lambda said: said["algorithm"].update(name="ppo"),
        lambda said: said["algorithm"]["settings"].update(envs=50),
        lambda said: said["curve"][0].update(score=0.9),
        lambda said: said["evaluations"]["test"].update(score=0.9),
        lambda said: said["evaluations"]["test"].update(count=600),
        lambda said: said["evaluations"]["test"].update(seeds=[1_000_000, 3]),
        lambda said: said["evaluations"]["test"].update(scores=column(np.ones(500))),
    ],
)
def test_a_change_of_anything_is_noticed(change: Callable[[dict[str, Any]], None]) -> None:
    decoded(edited(lambda said: None))
    with pytest.raises(LogError, match=r"changed after it was written|is not what its scores say"):
        decoded(edited(change))


def test_one_changed_action_is_noticed() -> None:
    def change(said: dict[str, Any]) -> None:
        packed = said["evaluations"]["test"]
        actions = np.frombuffer(bz2.decompress(base64.b85decode(packed["actions"])), "u1").copy()
        actions[100] = (actions[100] + 1) % 7
        packed["actions"] = column(actions)

    with pytest.raises(LogError, match="changed after it was written"):
        decoded(edited(change))


def test_a_tree_too_long_to_be_read_is_refused() -> None:
    def change(said: dict[str, Any]) -> None:
        steps = np.ones(500, "<u2")
        steps[0] = 65_535
        actions = column(np.zeros((65_535 + 499) * 100, "u1"))
        said["evaluations"]["test"].update(steps=column(steps), actions=actions, actors=100)

    with pytest.raises(LogError, match="500 trees of up to 65535 steps are more than this reads"):
        decoded(edited(change))


def test_actions_beyond_255_are_kept() -> None:
    actions = toy_result().evaluations["test"].actions.copy()
    actions[0, 0, 0] = 300
    again = decoded(encoded(with_episodes(actions=actions)))
    assert np.array_equal(again.evaluations["test"].actions, actions)


def test_what_a_clock_said_is_in_no_digest() -> None:
    later = replace(toy_result(), clock=Clock(99.0, 9.0))
    assert later.digest() == toy_result().digest()
    assert encoded(later) != encoded(toy_result())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("scores", 'no "base 85"', "column scores is damaged"),
        ("actions", base64.b85encode(b"no bzip2").decode(), "column actions is damaged"),
        ("actions", column(np.zeros(7, "u1")), "7 bytes of actions for"),
        ("actors", 0, "bytes of actions for 0 of them"),
        ("actors", 2, "bytes of actions for"),
        ("steps", column(np.zeros(500, "<u2")), "bytes of actions for 0 of them"),
        ("steps", column(np.zeros(499, "<u2")), "has 998 bytes"),
        ("scores", base64.b85encode(bz2.compress(bytes(2**27))).decode(), "more than 67,108,864 bytes"),
    ],
)
def test_a_damaged_column_is_refused_with_its_name(name: str, value: object, message: str) -> None:
    with pytest.raises(LogError, match=message):
        decoded(edited(lambda said: said["evaluations"]["test"].update({name: value})))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{}", "schema None"),
        (b'{"schema": "mars2-bench/7"}', "this version reads 'mars2-bench/1'"),
        (b"[1]", "no result"),
        (b"\xff", "no result"),
        (b'{"schema": "mars2-bench/1"}', "no result"),
    ],
)
def test_what_is_no_result_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(LogError, match=f"here.json.*{message}"):
        decoded(data, "here.json")


def test_a_field_that_is_not_known_is_refused() -> None:
    with pytest.raises(LogError, match="unknown field `praise`"):
        decoded(edited(lambda said: said.update(praise="best")))


def test_a_sound_result_stands_the_check() -> None:
    check(decoded(encoded(toy_result())))


def test_a_better_score_with_digests_made_anew_does_not_stand_the_check() -> None:
    scores = toy_result().evaluations["test"].scores.copy()
    scores[3, 1] = 1.0 if scores[3, 1] < 1 else 0.5
    problem = toy_result().evaluations["test"].problems[3]
    with pytest.raises(LogError, match=f"{problem} with seed 1000001: the actions come to .*, the file says"):
        check(decoded(encoded(with_episodes(scores=scores))))


def test_other_actions_with_digests_made_anew_do_not_stand_the_check() -> None:
    actions = toy_result().evaluations["test"].actions.copy()
    actions[:, :, 0] = np.where(actions[:, :, 0] == 0, 7, 0)  # another agent writes the first program
    with pytest.raises(LogError, match="the actions come to"):
        check(with_episodes(actions=actions))


def test_an_action_that_the_game_does_not_have_is_told() -> None:
    actions = toy_result().evaluations["test"].actions.copy()
    actions[5, 0, 1] = 21
    with pytest.raises(LogError, match=r"step 2: .* a number from 0 to 20"):
        check(with_episodes(actions=actions))


def test_actions_after_the_end_or_none_at_all_are_no_end() -> None:
    one = toy_result().evaluations["test"]
    steps = one.steps.copy()
    steps[0, 0] -= 1
    with pytest.raises(LogError, match="the actions come to"):
        check(unpacked_again(with_episodes(steps=steps)))


def unpacked_again(result: Result) -> Result:
    return replace(result, evaluations={split: unpacked(one.packed()) for split, one in result.evaluations.items()})


def test_chosen_trees_are_not_the_published_ones() -> None:
    one = toy_result().evaluations["test"]
    half = {name: getattr(one, name)[:125] for name in ("problems", "scores", "steps", "actions")}
    with pytest.raises(LogError, match="not the published trees"):
        check(with_episodes(**half))
    with pytest.raises(LogError, match="not the published trees"):
        check(with_episodes(seeds=(1_000_000, 1_000_007)))


def test_more_expansions_than_the_budget_are_told() -> None:
    with pytest.raises(LogError, match="1,001 expansions are more than its budget of 1,000"):
        check(replace(toy_result(), expansions=1001))


def test_a_name_that_could_be_more_than_a_name_is_refused() -> None:
    for name in ("../ppo", "a|b", "<b>", ""):
        with pytest.raises(LogError, match="is no name of one"):
            decoded(encoded(replace(toy_result(), algorithm=replace(toy_result().algorithm, name=name))))
    for id in ("../../mars2/Route-v1", "mars2/Route-v1/..", "Route-v1"):
        with pytest.raises(LogError, match="is no name of one"):
            decoded(encoded(replace(toy_result(), id=id)))
    for odd in ({"seed": -1}, {"budget": -5}, {"expansions": -1}, {"tries": 0}):
        with pytest.raises(LogError, match="must be at least"):
            decoded(encoded(replace(toy_result(), **odd)))


def test_an_environment_that_changed_is_another() -> None:
    with pytest.raises(LogError, match="another environment"):
        check(replace(toy_result(), environment="f" * 64))


def test_verify_tells_of_each_file_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "seed-10.json").write_bytes(encoded(toy_result()))
    (tmp_path / "seed-9.json").write_bytes(b"{}")
    (tmp_path / "other.json").write_bytes(b"{}")
    found = [(path.name, bool(trouble)) for path, _, trouble in verify(files_in(tmp_path))]
    assert found == [("seed-9.json", True), ("seed-10.json", False)]


def test_a_folder_without_results_is_told(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="there are no results"):
        list(files_in(tmp_path))
    with pytest.raises(LogError, match="cannot be read"):
        read_result(tmp_path / "seed-0.json")
