"""What a learner must beat: random, greedy and Thompson, which see what it sees and have learned nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mars2_bench.suite.playing import Vector
from mars2_bench.suite.reading import Ints, Reading
from mars2_bench.suite.rules import TableGame
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


def plays(choose: Chooses) -> Callable[[Vector], Plays]:
    """Return what makes a controller of a rule for a vector."""
    return lambda vec: Plays(vec.trees.game.layout, choose)


def random_action(seen: Reading, masks: Mask, rng: np.random.Generator) -> Ints:
    """Choose any action that the mask allows, all equally likely."""
    return np.where(masks > 0, rng.random(masks.shape), -1.0).argmax(1)


def greedy_action(seen: Reading, masks: Mask, rng: np.random.Generator) -> Ints:
    """Expand the node with the highest score, the earliest of them; in `route` by whose nodes did best on average.

    Who wrote nothing yet comes first. Where no node has a score above 0 that is to write afresh.
    """
    slots = seen.slots("score").argmax(1)
    return slots if seen.layout.observer else _best_author(seen) * (seen.layout.budget + 1) + slots


def _best_author(seen: Reading) -> Ints:
    """Return whose nodes have the highest mean score, shape (n,)."""
    names = seen.layout.agents
    written = np.stack([seen.head(f"{agent}.nodes") for agent in names], 1)
    means = np.stack([seen.head(f"{agent}.mean") for agent in names], 1)
    return np.asarray(np.where(written > 0, means, 2.0).argmax(1))


@dataclass
class Thompson:
    """Expands where AB-MCTS-A does (arXiv 2503.04412): in `route` it draws the agent too, in `place` agents have turns.

    What it sees of a tree are places, authors and scores, which no game hides.

    Attributes:
        game: the game.
        vectors: the trees' features, which change as they grow.
    """

    game: TableGame
    vectors: NDArray[np.float32]
    _trees: list[SearchTree] = field(default_factory=list)

    def act(self, observations: Any, rng: np.random.Generator) -> Any:
        """Return the actions in all trees as they stand."""
        self._follow()
        if self.game.task.rules.game == "route":
            selector, slots = AbMctsA(), self.game.budget + 1
            choices = [selector.select(tree, rng) for tree in self._trees]
            return np.array([choice.agent * slots + choice.parent for choice in choices], np.int64)
        family = posterior("beta")
        return {
            agent: np.array([descend(tree, rng, family) for tree in self._trees], np.int64)
            for agent in self.game.agents
        }

    def _follow(self) -> None:
        """Add what has grown; a tree that is smaller than it was has begun anew."""
        seen, count = Reading(self.game.layout, self.vectors), len(self.game.agents)
        if not self._trees:
            self._trees = [SearchTree(count) for _ in self.vectors]
        sizes, parents = seen.size().tolist(), seen.numbers("parent")
        authors, scores = seen.written_by().argmax(2), np.minimum(seen.slots("score"), 1.0)
        for number, size in enumerate(sizes):
            if size < len(self._trees[number]):
                self._trees[number] = SearchTree(count)
            tree = self._trees[number]
            for node in range(len(tree), size):
                tree.add(int(parents[number, node]), int(authors[number, node]), float(scores[number, node]))


def thompson(vec: Vector) -> Thompson:
    """Return Thompson sampling for a vector."""
    return Thompson(vec.trees.game, vec.trees.vectors)
