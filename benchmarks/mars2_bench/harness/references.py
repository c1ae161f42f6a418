"""What every learner is held against, as algorithms: they learn nothing, or as the best open loop only a schedule."""

from __future__ import annotations

from mars2_bench.harness.algorithms import Algorithm
from mars2_bench.suite import baselines
from mars2_bench.suite.hand_written import hand_written
from mars2_bench.suite.open_loop import best_open_loop
from mars2_bench.suite.oracles import oracle as oracle_of
from mars2_bench.suite.playing import Player


def _plays(player: Player) -> Algorithm:
    return lambda named, expansions, seed, told: player


def random() -> Algorithm:
    """Return what takes any action that the mask allows."""
    return _plays(baselines.plays(baselines.random_action))


def greedy() -> Algorithm:
    """Return what expands the best node."""
    return _plays(baselines.plays(baselines.greedy_action))


def thompson() -> Algorithm:
    """Return what searches as AB-MCTS-A does, by what is observed."""
    return _plays(baselines.thompson)


def by_hand() -> Algorithm:
    """Return what somebody would write who has read how the authors write."""
    return _plays(hand_written)


def oracle() -> Algorithm:
    """Return what knows roles and slips."""
    return _plays(oracle_of)


def open_loop() -> Algorithm:
    """Return what follows the best schedule that a search on training problems finds."""
    return lambda named, expansions, seed, told: best_open_loop(named, seed=seed)
