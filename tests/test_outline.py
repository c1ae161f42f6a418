"""The table of a tree: what is left out of it, and that nothing is kept of trees that are gone."""

from __future__ import annotations

import gc
from dataclasses import replace

from mars2_env.prompt import outline as module
from mars2_env.prompt.outline import outline
from mars2_env.types import Node, Verdict

NODE = Node(1, 0, 1, "a_0", "reply", "x = 1", Verdict(groups={"public": ("passed",)}), 1.0)


def chain(count: int) -> list[Node]:
    return [replace(NODE, id=number, parent=number - 1, score=float(number == 1)) for number in range(1, count + 1)]


def test_the_newest_nodes_and_the_best_one_are_shown() -> None:
    lines = outline(chain(10), max_rows=4).splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["1", "8", "9", "10"]
    assert lines[-1] == "(6 older nodes are not shown)"


def test_a_growing_tree_has_the_table_that_it_would_have_if_it_were_new() -> None:
    nodes = chain(30)
    for size in (1, 5, 30, 12):
        fresh = [replace(node) for node in nodes[:size]]
        for own in (None, "a_0", "b_0"):
            assert outline(nodes[:size], own=own) == outline(fresh, own=own)


def test_nothing_is_kept_of_a_tree_that_is_gone() -> None:
    gc.collect()
    before = len(module._rows)
    nodes = chain(20)
    outline(nodes)
    assert len(module._rows) == before + 20
    del nodes
    gc.collect()
    assert len(module._rows) == before
