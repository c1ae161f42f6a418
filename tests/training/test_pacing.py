"""Pacing: trees grow ahead as far as staleness allows, and nobody waits for ever."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Thread

import pytest

pytest.importorskip("torch")

from mars2_agents.training.pacing import Heartbeat, Pacer, Pulse, updates_due

from mars2_env import PolicyError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_updates_are_due_for_whole_batches_of_the_policy_that_has_most() -> None:
    assert updates_due({"a": 7, "b": 2}, {"a": 4, "b": 1}) == 2
    assert updates_due({"a": 3}, {"a": 4}) == 0
    assert updates_due({}, {}) == 0


def test_trees_may_grow_while_no_more_updates_are_due_than_allowed() -> None:
    pacer = Pacer({"a": 4, "b": 4}, 1, Pulse(60))
    assert pacer.may_grow()
    pacer.grown(1, {"a": 5, "b": 3})
    assert pacer.due == 1 and pacer.may_grow()
    pacer.grown(2, {"a": 3, "b": 3})
    assert pacer.due == 2  # 8 nodes of a: two batches before a sample of the next step
    pacer.learnt(1, {"a": 1, "b": 3})
    assert pacer.due == 1 and pacer.may_grow()


def test_who_waits_goes_on_when_updates_were_made() -> None:
    pacer = Pacer({"a": 2}, 0, Pulse(60))
    pacer.grown(1, {"a": 2})
    allowed: list[bool] = []
    waiting = Thread(target=lambda: allowed.append(pacer.may_grow()))
    waiting.start()
    pacer.learnt(1, {"a": 0})
    waiting.join(30)
    assert allowed == [True]


def test_who_waits_is_let_go_when_the_training_is_closed() -> None:
    pacer = Pacer({"a": 2}, 0, Pulse(60))
    pacer.grown(1, {"a": 2})
    allowed: list[bool] = []
    waiting = Thread(target=lambda: allowed.append(pacer.may_grow()))
    waiting.start()
    pacer.close()
    waiting.join(30)
    assert allowed == [False]


def test_who_waits_for_what_has_stopped_moving_is_told_so() -> None:
    clock = Clock()
    pulse = Pulse(10, clock)
    clock.now = 9
    pulse.check("trees")
    pulse.beat()
    clock.now = 19
    pulse.check("trees")
    clock.now = 19.5
    with pytest.raises(PolicyError, match="waited for trees"):
        pulse.check("trees")


def test_a_heartbeat_says_what_is_done_and_since_when(tmp_path: Path) -> None:
    clock, lines = Clock(), list[str]()
    heart = Heartbeat(tmp_path / "heartbeat.json", 30, lines.append, clock)
    heart.enter(3, "growing trees")
    clock.now = 60.0
    heart.beat()
    assert lines == ["step 3: growing trees for 60 s"]
    found = json.loads((tmp_path / "heartbeat.json").read_text())
    assert (found["step"], found["phase"], found["seconds"]) == (3, "growing trees", 60.0)
    heart.start()
    heart.stop()
    assert json.loads((tmp_path / "heartbeat.json").read_text())["phase"] == "ended while growing trees"
