"""Multi-agent tree search, alone: a tree in flat arrays and selectors over it. Needs numpy and nothing else.

from mars2_env.search import AbMctsA, SearchTree
import numpy as np

tree, selector, rng = SearchTree(n_agents=2), AbMctsA(), np.random.default_rng(0)
for _ in range(8):
    parent, agent = selector.select(tree, rng)
    tree.add(parent, agent, score=0.5)
"""

from mars2_env.search.ab_mcts import AbMctsA, Guidance, Mars2, descend, stack_choice
from mars2_env.search.ab_mcts_m import AbMctsM
from mars2_env.search.agents import thompson_agent, ucb_agent
from mars2_env.search.baselines import (
    BestFirst,
    BreadthFirst,
    Random,
    RepeatedSampling,
    Schedule,
    SequentialRefinement,
    Uct,
)
from mars2_env.search.choice import Choice, Selector
from mars2_env.search.exhaustive import Exhaustive, full_size
from mars2_env.search.posteriors import Beta, Gaussian, Posterior
from mars2_env.search.selectors import SELECTORS, make_selector, register_selector, selector_config, selector_names
from mars2_env.search.tree import ROOT, PendingScore, SearchTree

__all__ = [
    "ROOT",
    "SELECTORS",
    "AbMctsA",
    "AbMctsM",
    "BestFirst",
    "Beta",
    "BreadthFirst",
    "Choice",
    "Exhaustive",
    "Gaussian",
    "Guidance",
    "Mars2",
    "PendingScore",
    "Posterior",
    "Random",
    "RepeatedSampling",
    "Schedule",
    "SearchTree",
    "Selector",
    "SequentialRefinement",
    "Uct",
    "descend",
    "full_size",
    "make_selector",
    "register_selector",
    "selector_config",
    "selector_names",
    "stack_choice",
    "thompson_agent",
    "ucb_agent",
]
