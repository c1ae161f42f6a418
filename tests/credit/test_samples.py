"""Samples for learners: every token of a finished tree once, whatever interrupted the run, with its credit."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import Any

import pytest

import mars2_env
from mars2_env import ConfigError, Generation, Reply, Step, Turn
from mars2_env.credit import Credit, samples
from mars2_env.sandbox.scripted import ScriptedSandbox


class Writer:
    """Writes a program that depends on the turn, and tells its tokens."""

    def act(self, turns: list[Turn]) -> list[Reply]:
        return [self.reply(turn) for turn in turns]

    def reply(self, turn: Turn) -> Reply:
        ids = (turn.seed % 50, turn.id, 7)
        generation = Generation((1, 2), ids, (-0.5, -0.25, -0.125), weights_version=3, logprobs_kind="sampled")
        return Reply(f"```python\nprint({turn.seed % 3})\n```", generation=generation)


def grown(out: Path, policy: Any = None, **options: Any) -> list[mars2_env.Tree]:
    sandbox = ScriptedSandbox(lambda program, text: text)
    task = mars2_env.task("starter", agents=["coder", "fixer"], budget=8, sandbox=sandbox, **options)
    return list(mars2_env.rollout(task, policy or Writer(), limit=4, out=out))


def test_every_node_gives_its_tokens_with_its_credit(tmp_path: Path) -> None:
    grown(tmp_path)
    trees = mars2_env.read_log(tmp_path)
    found = samples(trees)
    assert len(found.samples) == 32 and not found.left_out
    one = found.samples[0]
    assert one.prompt_ids == (1, 2) and one.completion_ids[2] == 7 and one.logprobs == (-0.5, -0.25, -0.125)
    assert one.mask == (True,) * 3 and one.versions == (3,) * 3
    assert {sample.policy for sample in found.samples} == {"coder_0", "fixer_0"}
    named = samples(trees, policies={"coder_0": "shared", "fixer_0": "shared"})
    assert {sample.policy for sample in named.samples} == {"shared"}


class InterruptedRunError(Exception):
    pass


def test_a_run_that_was_interrupted_at_every_event_loses_no_sample_and_has_none_twice(tmp_path: Path) -> None:
    sandbox = ScriptedSandbox(lambda program, text: text)
    task = mars2_env.task("starter", agents=["coder", "fixer"], budget=8, sandbox=sandbox)
    runs, events, done = 0, 0, False
    while not done:
        left = events + 1

        def observer(*seen: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise InterruptedRunError

        try:
            list(mars2_env.rollout(task, Writer(), limit=4, out=tmp_path, trees=1, observer=observer))
            done = True
        except InterruptedRunError:
            events += 1
        runs += 1
    assert runs > 64
    found = samples(mars2_env.read_log(tmp_path))
    assert len(found.samples) == 32
    assert len({(sample.tree, sample.node) for sample in found.samples}) == 32
    grown(tmp_path / "whole")
    whole = samples(mars2_env.read_log(tmp_path / "whole"))
    assert [s.completion_ids for s in found.samples] == [s.completion_ids for s in whole.samples]


def test_duplicates_take_no_advantage_unless_they_are_kept(tmp_path: Path) -> None:
    trees = grown(tmp_path)
    masked = samples(trees).samples
    assert any(sample.duplicate for sample in masked)
    assert all(sample.advantage == 0 for sample in masked if sample.duplicate)
    kept = samples(trees, credit=Credit(duplicates="keep")).samples
    assert len(kept) == len(masked)


class ToolUser(Writer):
    """Asks a tool in between; the second call goes on where the first ended."""

    def reply(self, turn: Turn) -> Reply:
        first = Generation((1, 2), (3, 4), (-1.0, -2.0))
        told = Step("tool", call="x", observation="y")
        second = Generation((1, 2, 3, 4, 9, 9), (5,), (-3.0,))
        return Reply(f"print({turn.seed})", steps=(Step("coder", first), told, Step("coder", second)))


def test_what_a_tool_answered_is_masked(tmp_path: Path) -> None:
    found = samples(grown(tmp_path, ToolUser())).samples
    assert len(found) == 32
    one = found[0]
    assert one.completion_ids == (3, 4, 9, 9, 5)
    assert one.mask == (True, True, False, False, True)
    assert one.logprobs[:2] == (-1.0, -2.0) and isnan(one.logprobs[2]) and one.logprobs[4] == -3.0


class Pipeline(Writer):
    """Two calls with prompts of their own."""

    def reply(self, turn: Turn) -> Reply:
        steps = (Step("planner", Generation((1,), (2,))), Step("coder", Generation((8,), (9, 9))))
        return Reply(f"print({turn.seed})", steps=steps)


def test_calls_with_other_prompts_are_samples_of_their_own(tmp_path: Path) -> None:
    found = samples(grown(tmp_path, Pipeline())).samples
    assert [len(sample.completion_ids) for sample in found[:4]] == [1, 2, 1, 2]
    assert found[0].advantage == found[1].advantage
    assert all(isnan(value) for value in found[1].logprobs)


def test_each_token_has_the_version_of_the_weights_that_wrote_it(tmp_path: Path) -> None:
    class Updated(Writer):
        def reply(self, turn: Turn) -> Reply:
            spans = ((2, 0), (3, 1))
            generation = Generation((1,), (2, 3, 4), weights_version=2, weights_spans=spans)
            return Reply(f"print({turn.seed})", generation=generation)

    assert samples(grown(tmp_path, Updated())).samples[0].versions == (2, 3, 3)


def test_nodes_without_tokens_are_counted(tmp_path: Path) -> None:
    class Silent(Writer):
        def reply(self, turn: Turn) -> Reply:
            return Reply(f"print({turn.seed})")

    found = samples(grown(tmp_path, Silent()))
    assert not found.samples and found.left_out == {"no tokens recorded": 32}


def test_the_penalty_on_length_is_in_the_shaped_reward(tmp_path: Path) -> None:
    trees = grown(tmp_path)
    plain, short = samples(trees), samples(trees, credit=Credit(max_length=4, buffer=2, factor=1.0))
    for one, other in zip(plain.samples, short.samples, strict=True):
        assert other.shaped == pytest.approx(one.shaped - 0.5)


def test_a_tree_that_was_not_logged_says_so() -> None:
    sandbox = ScriptedSandbox(lambda program, text: text)
    task = mars2_env.task("starter", budget=2, sandbox=sandbox)
    (tree,) = mars2_env.rollout(task, Writer(), limit=1)
    with pytest.raises(ConfigError, match="was not logged"):
        samples([tree])


def test_no_trees_give_no_samples() -> None:
    assert samples([]).samples == ()


def test_what_is_no_tree_and_what_is_no_credit_is_refused() -> None:
    with pytest.raises(ConfigError, match="is no tree; give what `read_log` returns"):
        samples("runs/x")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="a Credit"):
        samples([], credit="c3")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="factor"):
        Credit(factor=-1)
