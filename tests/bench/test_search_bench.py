"""The benchmarks of search grow the trees that they say they grow."""

from __future__ import annotations

import numpy as np
import pytest
from mars2_bench.search import pending
from mars2_bench.speed import search_speed

from mars2_env.search import AbMctsA

REPLIES = [(None, agent, score) for agent in (0, 1) for score in (0.0, 0.25, 0.5)]
REPLIES += [(score, agent, min(1.0, score + 0.25)) for agent in (0, 1) for score in (0.25, 0.5, 0.75)]


def test_with_one_expansion_in_flight_nothing_is_pending_and_all_modes_are_one() -> None:
    world = pending.RecordedWorld(REPLIES, graded=True)
    curves = [pending.search(world, AbMctsA(pending=mode), 24, 1, 3) for mode in pending.MODES]
    assert np.array_equal(curves[0], curves[1])
    assert np.array_equal(curves[0], curves[2])
    assert (np.diff(curves[0]) >= 0).all()
    assert curves[0][-1] > 0


@pytest.mark.parametrize("mode", pending.MODES)
def test_the_first_expansions_of_a_wide_search_are_all_fresh(mode: pending.PendingMode) -> None:
    class Watched(pending.RecordedWorld):
        def child(self, parent: float | None, agent: int, seed: int) -> tuple[float, float]:
            parents.append(parent)
            return super().child(parent, agent, seed)

    parents: list[float | None] = []
    pending.search(Watched(REPLIES, graded=True), AbMctsA(pending=mode), 32, 8, 0)
    assert len(parents) == 32
    assert parents[:8] == [None] * 8
    assert any(parent is not None for parent in parents)


def test_recorded_replies_go_on_from_a_score_as_they_did() -> None:
    world = pending.RecordedWorld(REPLIES, graded=True)
    assert {world.child(0.5, 0, seed)[1] for seed in range(9)} == {0.75}
    assert {world.child(None, 1, seed)[1] for seed in range(9)} == {0.0, 0.25, 0.5}
    assert pending.RecordedWorld(REPLIES, graded=False).child(0.5, 0, 0) == (0.75, 0.0)


def test_the_speed_benchmark_times_a_tree_of_the_size_it_names(capsys: pytest.CaptureFixture[str]) -> None:
    tree = search_speed.grown(40, 3, "beta")
    assert len(tree) == 41
    assert search_speed.grown_again(tree).stats.tolist() == tree.stats.tolist()
    row = search_speed.measure("beta", 3, 40, tree, with_treequest=False)
    assert len(tree) == 41
    assert row.ours > 0
    assert row.in_place is None
    assert row.children <= 40
