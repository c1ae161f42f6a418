"""Multi-agent tree search, alone: a tree in flat arrays and selectors over it. Needs numpy and nothing else.

from mars2_env.search import AbMctsA, SearchTree
import numpy as np

tree, selector, rng = SearchTree(n_agents=2), AbMctsA(), np.random.default_rng(0)
for _ in range(8):
    parent, agent = selector.select(tree, rng)
    tree.add(parent, agent, score=0.5)
"""

from mars2_env.search.posteriors import Beta, Gaussian, Posterior
from mars2_env.search.selectors import (
    AbMctsA,
    Choice,
    RepeatedSampling,
    Selector,
    descend,
    make_selector,
    selector_config,
    thompson_agent,
)
from mars2_env.search.tree import ROOT, SearchTree

__all__ = [
    "ROOT",
    "AbMctsA",
    "Beta",
    "Choice",
    "Gaussian",
    "Posterior",
    "RepeatedSampling",
    "SearchTree",
    "Selector",
    "descend",
    "make_selector",
    "selector_config",
    "thompson_agent",
]
