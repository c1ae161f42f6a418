"""What a learner must beat: random, greedy and Thompson, which see what it sees and have learned nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mars2_bench.suite.playing import Vector
from mars2_bench.suite.reading import Ints, Reading
from mars2_env.features import Layout
from mars2_env.search import AbMctsA, SearchTree, descend
from mars2_env.search.posteriors import posterior

Mask = NDArray[np.int8]


class Chooses(Protocol):
    """Chooses an action in each tree from one observer's observations and masks; draws come from `rng`."""

    def __call__(self, seen: Reading, masks: Mask, rng: np.random.Generator) -> Ints:
        """Return the actions, shape (n,)."""
        ...


@dataclass(frozen=True, slots=True)
class Plays:
    """A controller that chooses by observations alone, each agent of `place` by its own.

    Attributes:
        layout: of observations.
        choose: the rule.
    """

    layout: Layout
    choose: Chooses

    def act(self, observations: Any, rng: np.random.Generator) -> Any:
        """Return the actions for observations as a vector returns them."""
        if "observation" in observations:
            return self._one(observations, rng)
        return {agent: self._one(batch, rng) for agent, batch in observations.items()}

    def _one(self, batch: Any, rng: np.random.Generator) -> Ints:
        return self.choose(Reading(self.layout, batch["observation"]), batch["action_mask"], rng)


def player_of(choose: Chooses) -> Callable[[Vector], Plays]:
    """Return what makes a controller of a rule for a vector."""
    return lambda vec: Plays(vec.trees.game.layout, choose)


def random_action(seen: Reading, masks: Mask, rng: np.random.Generator) -> Ints:
    """Choose any action that the mask allows, all equally likely."""
    return np.where(masks > 0, rng.random(masks.shape), -1.0).argmax(1)


def greedy_action(seen: Reading, masks: Mask, rng: np.random.Generator) -> Ints:
    """Expand the node with the highest score, the earliest of them; in `route` by whose nodes did best on average.

    Who wrote nothing yet comes first. Where no node has a score above 0 that is to write afresh.
    """
    slots = np.argmax(seen.slots("score"), axis=1)
    return _routed(seen, slots, _best_author(seen)) if _routes(seen, masks) else slots


def thompson_action(seen: Reading, masks: Mask, rng: np.random.Generator) -> Ints:
    """Expand where AB-MCTS-A does (arXiv 2503.04412); in `route` it draws the agent too."""
    routes, family, selector = _routes(seen, masks), posterior("beta"), AbMctsA()
    found = []
    for tree in search_trees(seen):
        if routes:
            choice = selector.select(tree, rng)
            found.append(choice.agent * (seen.layout.budget + 1) + choice.parent)
        else:
            found.append(descend(tree, rng, family))
    return np.array(found, np.int64)


def search_trees(seen: Reading) -> list[SearchTree]:
    """Return the observed trees as selectors take them."""
    parents, authors = seen.numbers("parent"), seen.written_by().argmax(2)
    sizes, scores, count = seen.size().tolist(), np.minimum(seen.slots("score"), 1.0), len(seen.layout.agents)
    return [
        SearchTree.load(parents[tree, 1:size], authors[tree, 1:size], scores[tree, 1:size], n_agents=count)
        for tree, size in enumerate(sizes)
    ]


def _routes(seen: Reading, masks: Mask) -> bool:
    """Return whether one controller chooses the agent too."""
    return not seen.layout.observer


def _routed(seen: Reading, slots: Ints, agents: Ints) -> Ints:
    return agents * (seen.layout.budget + 1) + slots


def _best_author(seen: Reading) -> Ints:
    """Return whose nodes have the highest mean score, shape (n,); who has none counts as 1."""
    names = seen.layout.agents
    written = np.stack([seen.head(f"{agent}.nodes") for agent in names], 1)
    means = np.stack([seen.head(f"{agent}.mean") for agent in names], 1)
    return np.asarray(np.where(written > 0, means, 2.0).argmax(1))
