"""Budgets: how they are written, and when one is spent."""

from __future__ import annotations

from typing import Any

import pytest

from mars2_env import Budget, ConfigError, Usage
from mars2_env.search.budget import MAX_NODES, parse_budget


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (8, Budget(8)),
        ("8", Budget(8)),
        ("nodes=60, tokens=20000", Budget(60, tokens=20000)),
        ("tokens=100", Budget(tokens=100)),
        ("60,coder_0.tokens=5000", Budget(60, agents={"coder_0": Budget(tokens=5000)})),
        ("model_seconds=1.5,cost=0.25", Budget(model_seconds=1.5, cost=0.25)),
        ({"nodes": 6, "agents": {"a_0": 2}}, Budget(6, agents={"a_0": Budget(2)})),
        ({"judge_seconds": 3}, Budget(judge_seconds=3)),
        (Budget(3), Budget(3)),
    ],
)
def test_a_budget_is_a_number_a_mapping_or_a_text(given: Any, meant: Budget) -> None:
    assert parse_budget(given) == meant
    assert parse_budget(meant.config()) == meant
    assert parse_budget(str(meant)) == meant


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (0, "at least 1"),
        (True, "budget=True"),
        (1.5, "budget=1.5"),
        (None, "budget=None"),
        ("", "not a whole number"),
        ("many", "'many' is not a whole number"),
        ("many", "Write nodes=60,tokens=20000 or the like"),
        ("8:foo", "'8:foo' is not key=value, nor a name"),
        (",nodes=3", "is not key=value, nor a name"),
        ("nodes=60,token=5", "Did you mean 'tokens'"),
        ("tokens=5,tokens=6", "twice"),
        ("tokens=x", "'x' is not a whole number"),
        ("tokens=0", "above 0"),
        ("tokens=1.5", "'1.5' is not a whole number"),
        ("cost=nan", "finite"),
        ("cost=inf", "finite"),
        ("a_0.nodes=0", "at least 1"),
        ({"nodes": 5, "token": 5}, "Did you mean 'tokens'"),
        ({"agents": {"a_0": {"nodes": 1, "agents": {"b_0": 1}}}}, "one level"),
        ({"agents": 5}, "must map"),
        ({"tokens": 2.5}, "whole number"),
        ({}, "nothing is limited"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_and_says_why(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_budget(given)


def test_a_budget_of_nodes_alone_is_written_as_it_always_was() -> None:
    assert Budget(8).config() == {"nodes": 8}
    assert Budget(tokens=5).nodes == MAX_NODES


def test_the_first_limit_that_is_reached_is_named() -> None:
    budget = Budget(10, tokens=100, cost=0.5)
    assert budget.reached(9, Usage(99, cost=0.4)) == ""
    assert budget.reached(10, Usage()) == "nodes: 10 of 10"
    assert budget.reached(1, Usage(120, cost=0.6)) == "tokens: 120 of 100"
    assert budget.metered == {"tokens", "cost"}


@pytest.mark.parametrize("wrong", [{"tokens": -1}, {"cost": float("nan")}, {"model_seconds": "1"}, {"tokens": True}])
def test_usage_is_made_of_numbers(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Usage(**wrong)
