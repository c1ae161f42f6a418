"""A search tree of scored nodes in flat arrays: numbers only, no texts.

Node 0 is the root; it holds no program, but in a repair problem the one to be repaired. For each node p three triples
(count, sum, sum of squares) of scores are kept up to date, each add costing one walk to the root:

    CHILDREN  own scores of p's direct children                      (data of the GEN posterior)
    BELOW     scores of p's grandchildren and everything below them  (data of the CONT posterior)
    SUBTREE   own score of p, CHILDREN and BELOW                     (data of p's own posterior, as a child)

and one triple per agent over all nodes it wrote. The root's own score, where it has one, is nobody's draw and enters no
triple: the laws see what expansions brought. Triples are only ever added to, so that sums of 0/1 scores stay exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mars2_env.errors import ConfigError

ROOT: Final = 0
CHILDREN: Final = 0
BELOW: Final = 1
SUBTREE: Final = 2

Triples = NDArray[np.float64]
"""Rows of (n, S, Q): how many scores, their sum, and the sum of their squares."""


class PendingScore(NamedTuple):
    """An expansion in flight: its parent, the index of its agent, and the score that it stands in for meanwhile."""

    parent: int
    agent: int
    score: float


def _triple(score: float) -> Triples:
    return np.array((1.0, score, score * score))


def checked_score(score: float, name: str = "score") -> float:
    """Return a score as a float.

    Raises:
        ConfigError: it is not a number in [0, 1]; nan is not.
    """
    try:
        if 0.0 <= score <= 1.0:
            return float(score)
    except (TypeError, ValueError):
        pass
    raise ConfigError(f"{name} {score!r:.200} is not a number in [0, 1].")


class SearchTree:
    """The shape of a tree, who wrote each node, its score, and the statistics that selectors read."""

    def __init__(self, n_agents: int, *, capacity: int = 64) -> None:
        """Start with the root alone.

        Args:
            n_agents: how many agents may write nodes; agents are indices 0 ... n_agents - 1.
            capacity: nodes to make room for at first; the arrays double as they fill.

        Attributes:
            n_agents: how many agents there are, those that joined later (`join`) and those that left included.
            joined: how many of them joined later.
            allowed: which agents may be chosen now, shape (n_agents,); None where all may. Whoever owns the tree says
                so; a selector that draws an agent draws among these.
        """
        if n_agents < 1:
            raise ConfigError(f"SearchTree(n_agents={n_agents}): at least one agent is needed.")
        capacity = max(capacity, 1)
        self.n_agents = n_agents
        self.joined = 0
        self.allowed: NDArray[np.bool_] | None = None
        self._size = 1
        self._parent = np.full(capacity, -1, np.int32)
        self._agent = np.full(capacity, -1, np.int32)
        self._depth = np.zeros(capacity, np.int32)
        self._score = np.zeros(capacity, np.float64)
        self._stats = np.zeros((capacity, 3, 3), np.float64)
        self._children: list[list[int]] = [[]]
        self._widths = [1]
        self._agent_stats: Triples = np.zeros((n_agents, 3), np.float64)
        self._pending: tuple[PendingScore, ...] = ()

    def __len__(self) -> int:
        """Number of nodes, the root included."""
        return self._size

    @property
    def parent(self) -> NDArray[np.int32]:
        """Parent of each node, shape (len,); -1 for the root."""
        return self._parent[: self._size]

    @property
    def agent(self) -> NDArray[np.int32]:
        """Index of the agent that wrote each node, shape (len,); -1 for the root."""
        return self._agent[: self._size]

    @property
    def depth(self) -> NDArray[np.int32]:
        """Depth of each node, shape (len,); 0 for the root."""
        return self._depth[: self._size]

    @property
    def score(self) -> NDArray[np.float64]:
        """Score of each node in [0, 1], shape (len,); 0 for a root without a program."""
        return self._score[: self._size]

    def seed(self, score: float) -> None:
        """Give the root the score of the program that it holds: the seed node of a repair problem.

        Raises:
            ConfigError: the score is not in [0, 1].
        """
        self._score[ROOT] = checked_score(score)

    @property
    def stats(self) -> Triples:
        """The triples, shape (len, 3, 3): node, which (CHILDREN, BELOW, SUBTREE), (n, S, Q).

        Scores that pending expansions stand in for are counted (`set_pending`); nothing of them is stored here.
        """
        if not self._pending:
            return self._stats[: self._size]
        stats = self._stats[: self._size].copy()
        for pending in self._pending:
            self._count(stats, pending.parent, _triple(pending.score))
        return stats

    @property
    def agent_stats(self) -> Triples:
        """The triples of the agents, shape (n_agents, 3), pending expansions counted as in `stats`."""
        if not self._pending:
            return self._agent_stats
        stats = self._agent_stats.copy()
        for pending in self._pending:
            stats[pending.agent] += _triple(pending.score)
        return stats

    def set_pending(self, pending: Iterable[PendingScore]) -> None:
        """Say which expansions are in flight and which score each stands in for, in place of what was said before.

        They enter exactly the triples that a real score would. Real statistics are kept apart from them, so that taking
        one out leaves no trace.
        """
        self._pending = tuple(pending)

    def join(self) -> int:
        """Make room for one more agent, without any node of its own so far, and return its index."""
        self._agent_stats = np.concatenate([self._agent_stats, np.zeros((1, 3))])
        self.n_agents += 1
        self.joined += 1
        return self.n_agents - 1

    def copy(self) -> SearchTree:
        """Return a tree that is equal to this one and independent of it, in O(nodes)."""
        twin = object.__new__(type(self))
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                value = value.copy()
            elif isinstance(value, list):
                value = [list(item) if isinstance(item, list) else item for item in value]
            setattr(twin, name, value)
        return twin

    def children(self, node: int) -> Sequence[int]:
        """Return the children of a node in the order they were added."""
        return self._children[node]

    def width(self, depth: int) -> int:
        """Return how many nodes there are at a depth."""
        return self._widths[depth] if depth < len(self._widths) else 0

    def add(self, parent: int, agent: int, score: float) -> int:
        """Add a node and return its id: the number of nodes before it.

        Args:
            parent: an existing node.
            agent: the index of the agent that wrote it.
            score: in [0, 1].

        Raises:
            ConfigError: an argument is out of range; the tree is unchanged.
        """
        if not 0 <= parent < self._size:
            raise ConfigError(f"parent {parent} is not a node of this tree of {self._size} nodes.")
        if not 0 <= agent < self.n_agents:
            raise ConfigError(f"agent {agent} is not one of the {self.n_agents} agents of this tree.")
        score = checked_score(score)
        node = self._size
        if node == len(self._parent):
            self._grow()
        self._size += 1
        self._parent[node] = parent
        self._agent[node] = agent
        self._depth[node] = self._depth[parent] + 1
        self._score[node] = score
        if self._depth[node] == len(self._widths):
            self._widths.append(0)
        self._widths[self._depth[node]] += 1
        self._children.append([])
        self._children[parent].append(node)

        triple = _triple(score)
        self._agent_stats[agent] += triple
        self._stats[node, SUBTREE] += triple
        self._count(self._stats, parent, triple)
        return node

    def _count(self, stats: Triples, parent: int, triple: Triples) -> None:
        """Add the score of a child of `parent` to the triples of `parent` and its ancestors."""
        stats[parent, CHILDREN] += triple
        stats[parent, SUBTREE] += triple
        ancestor = int(self._parent[parent])
        while ancestor >= 0:
            stats[ancestor, BELOW] += triple
            stats[ancestor, SUBTREE] += triple
            ancestor = int(self._parent[ancestor])

    def _grow(self) -> None:
        room = len(self._parent)
        self._parent = np.concatenate([self._parent, np.full(room, -1, np.int32)])
        self._agent = np.concatenate([self._agent, np.full(room, -1, np.int32)])
        self._depth = np.concatenate([self._depth, np.zeros(room, np.int32)])
        self._score = np.concatenate([self._score, np.zeros(room, np.float64)])
        self._stats = np.concatenate([self._stats, np.zeros((room, 3, 3), np.float64)])
