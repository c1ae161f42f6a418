"""Presets: a name for several options, which other options come before."""

from __future__ import annotations

from typing import Any

import pytest

import mars2_env
from mars2_env.base.parts import Parts
from mars2_env.errors import ConfigError
from mars2_env.prompt import BaseTemplates, Prompts
from mars2_env.search import Guidance, Mars2, Uct
from mars2_env.tasks import Task, build
from tests import toys


def task(**options: Any) -> Task:
    return mars2_env.task(toys.problem_set(), sandbox=toys.sandbox(), **options)


def test_tplus_is_the_search_of_mars2_with_error_feedback_and_depth_guidance() -> None:
    plain, plus = task(preset="mars2"), task(preset="tplus")
    assert (plain.selector, plain.prompts) == (Mars2(), Prompts(feedback=False))
    assert (plus.selector, plus.prompts) == (Mars2(guidance=Guidance()), Prompts(feedback=True))
    assert plus.config() == task(selector="mars2,guidance=default").config()


def test_what_is_said_beside_a_preset_comes_first() -> None:
    assert task(preset="tplus", selector="uct").selector == Uct()
    assert task(preset="mars2", prompts="base").prompts == Prompts(BaseTemplates(), feedback=False)
    assert task(preset="mars2", prompts="feedback=on").prompts == Prompts()
    assert task(preset="mars2", score="fraction").rules.score == "fraction"


class Lengths:
    """Likes short programs."""

    def score(self, problem: mars2_env.types.PublicView, programs: list[str]) -> list[float]:
        return [1 / (1 + len(program)) for program in programs]


def test_tplus_weighs_a_reward_model_where_one_is_given() -> None:
    plus = task(preset="tplus", reward_model=Lengths(), budget=4)
    assert plus.rules.model_weight == 0.25
    assert task(preset="tplus", reward_model=Lengths(), model_weight=0.0).rules.model_weight == 0
    assert task(preset="mars2", reward_model=Lengths()).rules.model_weight == 0
    (tree,) = mars2_env.rollout(plus, toys.Guesser(), limit=1)
    assert any(node.model_score for node in tree.nodes)
    assert {node.score for node in tree.nodes} <= {0.0, 1.0}  # what the tests gave stays as it was


def test_a_preset_changes_a_task() -> None:
    base = task(budget=5, prompts="siblings=1")
    changed = mars2_env.task(base, preset="mars2")
    assert (changed.selector, changed.prompts, changed.budget) == (Mars2(), Prompts(feedback=False), base.budget)


def test_presets_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown preset 'tpluss'.*'tplus'"):
        task(preset="tpluss")
    with pytest.raises(ConfigError, match="presets are searches, for game='write'"):
        task(preset="tplus", game="play")


def test_what_mars2_plus_tells_and_plain_mars2_does_not() -> None:
    told = {}
    for preset in ("mars2", "tplus"):
        player = toys.Guesser()
        list(mars2_env.rollout(task(preset=preset, budget=12), player, limit=4))
        refinements = [turn for turn in player.turns if turn.parent]
        assert refinements
        told[preset] = {"The first failing test" in turn.messages[1]["content"] for turn in refinements}
    assert told["mars2"] == {False}
    assert True in told["tplus"]


def test_an_environment_that_a_package_offers_is_made_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def offered(id: str) -> dict[str, Any]:
        return {"problems": toys.problem_set(), "game": "place", "agents": 3, "sandbox": toys.sandbox()}

    monkeypatch.setattr(build, "OFFERED", Parts("environment", "nobody", {"toy/Three-v0": offered}, in_specs=False))
    found = mars2_env.task("toy/Three-v0")
    assert (found.id, found.rules.game, len(found.agents)) == ("toy/Three-v0", "place", 3)
    assert mars2_env.task("toy/Three-v0", budget=6).id is None
    with pytest.raises(ConfigError, match="registered already"):
        mars2_env.register_task("toy/Three-v0", problems="starter")
