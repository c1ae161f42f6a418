"""Numeric features: every column is what its meaning says, kept up to date as the tree grows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import problem_set

from mars2_env import ConfigError, Episode, Reply, Rules, Verdict
from mars2_env.features import (
    AGENT_COLUMNS,
    AUTHOR_COLUMN,
    CARD_COLUMN,
    CLUE_COLUMN,
    ROUNDS_COLUMN,
    SELF_COLUMN,
    SLOT_COLUMNS,
    TREE_COLUMNS,
    Layout,
    TreeFeatures,
    state,
)
from mars2_env.types import Outcome

AGENTS = ("coder_0", "fixer_0")
OUTCOMES: tuple[Outcome, ...] = ("passed", "wrong_answer", "runtime_error", "compile_error", "time_limit")


def episode(budget: int, observe: Any = "all") -> Episode:
    rules = Rules(game="place", score="fraction", observe=observe)
    return Episode(problem_set()["toy/2"].public_view(), AGENTS, None, budget, 0, rules=rules)


def expand(grown: Episode, parent: int, outcomes: tuple[Outcome, Outcome], program: str) -> None:
    turn = grown.ask()
    grown.tell(turn, Reply(program, parent=parent), Verdict(groups={"public": outcomes}))


def table(vector: np.ndarray[Any, Any], layout: Layout) -> dict[str, float]:
    assert len(layout.names) == len(vector) == layout.size
    return dict(zip(layout.names, vector.tolist(), strict=True))


def test_each_column_means_what_it_says() -> None:
    grown = episode(4)
    features = TreeFeatures(grown)
    assert features.state().sum() == 2.0  # the whole budget is left, and the root is there
    expand(grown, 0, ("passed", "wrong_answer"), "print(1)")
    expand(grown, 1, ("passed", "passed"), "print(2)")
    expand(grown, 0, ("time_limit", "wrong_answer"), "print(3)")
    seen = table(features.state(), features.layout)
    assert (seen["budget_left"], seen["best_score"]) == (0.25, 1.0)
    assert (seen["coder_0.nodes"], seen["coder_0.mean"], seen["coder_0.best"]) == (0.5, 0.25, 0.5)
    assert (seen["fixer_0.nodes"], seen["fixer_0.mean"], seen["fixer_0.best"]) == (0.25, 1.0, 1.0)
    wanted = {
        0: {"present": 1, "best": 1.0, "mean": 0.5, "count": 0.75, "children": 0.5, "age": 0.75},
        1: {
            **{"present": 1, "depth": 0.25, "score": 0.5, "best": 1.0, "mean": 0.75, "count": 0.5, "children": 0.25},
            **{"age": 0.5, "wrong_answer": 1, "by.coder_0": 1},
        },
        2: {
            **{"present": 1, "parent": 0.25, "depth": 0.5, "score": 1.0, "best": 1.0, "mean": 1.0, "count": 0.25},
            **{"age": 0.25, "passed": 1, "by.fixer_0": 1},
        },
        3: {"present": 1, "depth": 0.25, "count": 0.25, "limit": 1, "by.coder_0": 1},
        4: {},
    }
    for slot, columns in wanted.items():
        found = {name.split(".", 1)[1]: value for name, value in seen.items() if name.startswith(f"slot{slot}.")}
        assert {name: value for name, value in found.items() if value} == columns
        assert len(found) == len(SLOT_COLUMNS) + len(AGENTS)


def test_a_copy_is_marked() -> None:
    grown = episode(4)
    expand(grown, 0, ("passed", "wrong_answer"), "print(1)")
    expand(grown, 0, ("passed", "wrong_answer"), "print( 1 )")
    seen = table(state(grown), Layout(4, AGENTS, observer=False))
    assert (seen["slot1.duplicate"], seen["slot2.duplicate"]) == (0.0, 1.0)


def test_an_observation_names_its_observer() -> None:
    features = TreeFeatures(episode(4))
    for agent in AGENTS:
        seen = table(features.observation(agent), Layout(4, AGENTS, observer=True))
        assert [seen[f"{name}.self"] for name in AGENTS] == [float(name == agent) for name in AGENTS]


def test_observing_only_ones_own_hides_what_became_of_others_programs() -> None:
    grown = episode(4, observe="own")
    features = TreeFeatures(grown)
    expand(grown, 0, ("passed", "wrong_answer"), "print(1)")
    expand(grown, 0, ("passed", "wrong_answer"), "print(1)")
    layout = Layout(4, AGENTS, observer=True)
    mine, theirs = (table(features.observation(agent, "own"), layout) for agent in AGENTS)
    hidden = {name for name in mine if mine[name] != theirs[name]} - {"coder_0.self", "fixer_0.self"}
    assert hidden == {"slot1.wrong_answer", "slot2.wrong_answer", "slot2.duplicate"}
    assert (mine["slot1.wrong_answer"], mine["slot2.wrong_answer"], mine["slot2.score"]) == (1.0, 0.0, 0.5)
    assert np.array_equal(features.state(), state(grown))  # the global state is not observed by an agent


@pytest.mark.parametrize("observer", [True, False])
def test_slots_is_the_part_with_a_row_for_each_slot(observer: bool) -> None:
    layout = Layout(3, AGENTS, observer)
    vector = np.arange(layout.size, dtype=np.float32)
    slots = layout.slots(vector)
    assert slots.shape == (4, layout.width)
    assert layout.names[int(slots[2, 3])] == "slot2.score"


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from(OUTCOMES), st.integers(0, 5)), min_size=1, max_size=12))
def test_features_kept_up_to_date_equal_those_of_the_finished_tree(steps: list[tuple[int, Outcome, int]]) -> None:
    grown = episode(len(steps))
    features = TreeFeatures(grown)
    for number, (parent, outcome, program) in enumerate(steps):
        expand(grown, parent, ("passed" if number % 2 else "wrong_answer", outcome), f"print({program})")
        if number % 3 == 0:
            features.state()  # asked for now and then, or after several nodes
    found = features.state()
    assert np.array_equal(found, state(grown))
    assert found.dtype == np.float32
    assert 0.0 <= found.min() <= found.max() <= 1.0
    tree = grown.tree
    rows = features.layout.slots(found)
    below = [[node] for node in range(len(tree))]
    for node in range(len(tree) - 1, 0, -1):
        below[tree.parent[node]] += below[node]
    for node, members in enumerate(below):
        counted = [member for member in members if member]
        named = dict(zip([column.name for column in SLOT_COLUMNS], rows[node].tolist(), strict=False))
        assert named["best"] == np.float32(max(tree.score[members]))
        assert named["count"] == np.float32(len(counted) / len(steps))
        assert named["mean"] == pytest.approx(np.mean(tree.score[counted]) if counted else 0.0, abs=1e-6)


MORE: list[dict[str, Any]] = [
    {"observer": False},
    {"observer": True},
    {"observer": False, "rounds": True, "clues": 2},
    {"observer": True, "rounds": True, "card": 3, "clues": 2},
    {"observer": True, "card": 1},
]


@pytest.mark.parametrize("more", MORE, ids=str)
def test_a_layout_describes_every_place_of_its_vector(more: dict[str, Any]) -> None:
    layout = Layout(3, AGENTS, **more)
    meanings: dict[int, tuple[str, str]] = {}
    for line in layout.describe().splitlines():
        place, name, meaning = re.split(r" {2,}", line)
        first, _, step = place.partition(" + ")
        for slot in range(layout.budget + 1) if step else [0]:
            named = name.replace("slotI", f"slot{slot}")
            meanings[int(first) + slot * int(step.removesuffix(" I") or 0)] = (named, meaning)
    assert [meanings[place][0] for place in range(layout.size)] == layout.names
    told = {"observer": SELF_COLUMN, "rounds": ROUNDS_COLUMN, "card": CARD_COLUMN, "clues": CLUE_COLUMN}
    columns = [*TREE_COLUMNS, *AGENT_COLUMNS, *SLOT_COLUMNS, AUTHOR_COLUMN]
    columns += [column for name, column in told.items() if more.get(name)]
    assert {meaning for _, meaning in meanings.values()} == {column.meaning for column in columns}
    assert len(set(layout.names)) == layout.size
    first = layout.names[: layout.first]
    assert first[:2] == [column.name for column in TREE_COLUMNS]
    assert not any(name.startswith(AGENTS) for name in first)
    assert layout.names[layout.first].startswith(AGENTS)
    assert layout.names[layout.head] == "slot0.present"


def test_a_layout_without_an_observer_has_no_card() -> None:
    with pytest.raises(ConfigError, match=r"Layout\(card=2\): a card is its observer's alone; say observer=True"):
        Layout(3, AGENTS, observer=False, card=2)


@pytest.mark.parametrize("wrong", [{"rounds": 3}, {"card": -1}, {"clues": "two"}])
def test_a_layout_refuses_what_is_no_number_of_columns(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"Layout\({next(iter(wrong))}="):
        Layout(3, AGENTS, observer=True, **wrong)
