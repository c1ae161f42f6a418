"""Plain searches to compare with: UCT, best-first, breadth-first, repeated sampling, refinement, random, schedules.

Each is a pure function of the tree and of what is in flight. Those in which agents take turns do so whoever is allowed
(`SearchTree.allowed`): the episode passes the turn of an agent that is not on to the next that is. Searches that expand
a node by a whole batch of children (UCT, best-first, breadth-first) read from the tree how far the batch at hand has
come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mars2_env.base.checks import one_of, real_number, whole_number
from mars2_env.errors import ConfigError
from mars2_env.search.agents import thompson_agent
from mars2_env.search.choice import Choice
from mars2_env.search.posteriors import posterior
from mars2_env.search.tree import ROOT, SUBTREE, SearchTree


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return exp(v) / sum exp(v)."""
    shifted = np.exp(values - values.max())
    normalised: NDArray[np.float64] = shifted / shifted.sum()
    return normalised


def uct_scores(tree: SearchTree, parent: int, weight: float) -> NDArray[np.float64]:
    """Return the UCT score of each child: S/n + weight * prior * sqrt(ln N / n) (UCT, softmax prior).

    n and S are count and sum of scores in the child's subtree, N the count in the parent's; the prior is the softmax of
    the siblings' own scores, and 1 for an only child.
    """
    children = tree.children(parent)
    n, total, _ = tree.child_triples(parent).T
    prior = softmax(tree.score[children]) if len(children) > 1 else np.ones(1)
    visits = tree.triple(parent, SUBTREE)[0]
    scores: NDArray[np.float64] = total / n + weight * prior * np.sqrt(math.log(visits) / n)
    return scores


def uct_leaf(tree: SearchTree, weight: float) -> int:
    """Walk down by the largest UCT score and return the leaf that it leads to."""
    node = ROOT
    while tree.child_count(node):
        node = tree.child(node, int(np.argmax(uct_scores(tree, node, weight))))
    return node


def best_leaf(tree: SearchTree, taken: Sequence[int] = ()) -> int:
    """Return the best unexpanded node, ties to the shallower, then the older; the root if there is none."""
    unexpanded = tree.child_counts == 0
    unexpanded[[ROOT, *taken]] = False
    nodes = np.flatnonzero(unexpanded)
    if not len(nodes):
        return ROOT
    score = tree.score[nodes]
    best = nodes[score == score.max()]
    return int(best[tree.depth[best].argmin()])


def _in_batch(tree: SearchTree, pending: Sequence[Choice], size: int) -> int:
    """Return how many members of the batch at hand have been asked for; 0 where a new one begins."""
    return (len(tree) - 1 + len(pending)) % size


def _last_parent(tree: SearchTree, pending: Sequence[Choice]) -> int:
    return pending[-1].parent if pending else int(tree.parent[-1])


@dataclass(frozen=True, slots=True)
class Uct:
    """Standard MCTS: UCT picks a leaf, which then gets `samples` children of each agent."""

    name: ClassVar[str] = "uct"
    samples: int = 2
    weight: float = math.sqrt(2)

    def __post_init__(self) -> None:
        whole_number("samples", self.samples)
        object.__setattr__(self, "weight", real_number("weight", self.weight, least=0))

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return the next member of the batch at hand, or the first of a new one at the leaf that UCT leads to."""
        done = _in_batch(tree, pending, self.samples * tree.n_agents)
        parent = _last_parent(tree, pending) if done else uct_leaf(tree, self.weight)
        return Choice(parent, done // self.samples)


@dataclass(frozen=True, slots=True)
class BestFirst:
    """Best-first search: the best unexpanded node gets `samples` children of each agent."""

    name: ClassVar[str] = "best_first"
    samples: int = 2

    def __post_init__(self) -> None:
        whole_number("samples", self.samples)

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return the next member of the batch at hand, or the first of a new one at the best unexpanded node."""
        done = _in_batch(tree, pending, self.samples * tree.n_agents)
        parent = _last_parent(tree, pending) if done else best_leaf(tree, [choice.parent for choice in pending])
        return Choice(parent, done // self.samples)


@dataclass(frozen=True, slots=True)
class BreadthFirst:
    """Tree-of-thoughts BFS (Yao et al. 2023): the best `breadth` nodes of each level get `size` children each.

    `size` is shared out among the agents, each writing at least one. The root gets `size` children as well.
    """

    name: ClassVar[str] = "breadth_first"
    breadth: int = 3
    size: int = 5

    def __post_init__(self) -> None:
        whole_number("breadth", self.breadth)
        whole_number("size", self.size)

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return the next expansion of the level at hand, agent by agent; a full level gives way to the next."""
        each = max(1, self.size // tree.n_agents)
        level = int(tree.depth.max())
        for depth in (max(level - 1, 0), level):
            selected = best_of_level(tree, depth, self.breadth)
            below = int((tree.depth == depth + 1).sum()) + sum(tree.depth[choice.parent] == depth for choice in pending)
            if below < len(selected) * each * tree.n_agents:
                agent, place = divmod(below, len(selected) * each)
                return Choice(selected[place // each], agent)
        # the level below is all in flight: widen the level at hand
        return Choice(best_of_level(tree, level, 1)[0], below % tree.n_agents)


def best_of_level(tree: SearchTree, depth: int, breadth: int) -> list[int]:
    """Return the best nodes of a level, highest score first, ties to the older."""
    level = np.flatnonzero(tree.depth == depth)
    order = np.argsort(-tree.score[level], kind="stable")[:breadth]
    return [int(node) for node in level[order]]


@dataclass(frozen=True, slots=True)
class RepeatedSampling:
    """Best of N: every node is a fresh one; agents in `turn`, or by `thompson` sampling (a bandit at the root)."""

    name: ClassVar[str] = "repeated_sampling"
    agents: str = "turn"

    def __post_init__(self) -> None:
        one_of("agents", self.agents, ("turn", "thompson"))

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return the root and the next agent."""
        if self.agents == "thompson":
            return Choice(ROOT, thompson_agent(tree.agent_triples(), rng, posterior("beta"), tree.allowed))
        return Choice(ROOT, (len(tree) - 1 + len(pending)) % tree.n_agents)


@dataclass(frozen=True, slots=True)
class SequentialRefinement:
    """One chain: every node refines the one before it, agents in turn."""

    name: ClassVar[str] = "sequential_refinement"

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return the newest node and the next agent in turn."""
        return Choice(len(tree) - 1, (len(tree) - 1 + len(pending)) % tree.n_agents)


@dataclass(frozen=True, slots=True)
class Random:
    """Any node, the root among them, and any agent, uniformly."""

    name: ClassVar[str] = "random"

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return a uniform draw."""
        agents = np.arange(tree.n_agents) if tree.allowed is None else np.flatnonzero(tree.allowed)
        return Choice(int(rng.integers(len(tree))), int(agents[rng.integers(len(agents))]))


@dataclass(frozen=True, slots=True)
class Schedule:
    """An open-loop schedule: the place and agent of each expansion are fixed beforehand, whatever comes out.

    `steps` are (parent, agent) pairs, used in order and then from the beginning; a parent that is not in the tree yet
    means its newest node.
    """

    name: ClassVar[str] = "schedule"
    steps: tuple[tuple[int, int], ...] = ((ROOT, 0),)

    def __post_init__(self) -> None:
        try:
            steps = tuple((index(parent), index(agent)) for parent, agent in self.steps)
        except (TypeError, ValueError):
            steps = ()
        if not steps or any(parent < 0 or agent < 0 for parent, agent in steps):
            raise ConfigError(
                f"steps={self.steps!r:.200}: give at least one (parent, agent) pair of whole numbers from 0, such as "
                "((0, 0), (0, 1))."
            )
        object.__setattr__(self, "steps", steps)

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return the step that is due."""
        parent, agent = self.steps[(len(tree) - 1 + len(pending)) % len(self.steps)]
        if agent >= tree.n_agents:
            raise ConfigError(f"the schedule names agent {agent}, and there are {tree.n_agents}.")
        return Choice(min(parent, len(tree) - 1), agent)
