"""A search tree of scored nodes in flat arrays: numbers only, no texts.

Node 0 is the root; it holds no program, but in a repair problem the one to be repaired. For each node p three triples
(count, sum, sum of squares) of scores are kept:

    CHILDREN  own scores of p's direct children                      (data of the GEN posterior)
    BELOW     scores of p's grandchildren and everything below them  (data of the CONT posterior)
    SUBTREE   own score of p, CHILDREN and BELOW                     (data of p's own posterior, as a child)

and one triple per agent over all nodes it wrote. The root's own score, where it has one, is nobody's draw and enters no
triple: the laws see what expansions brought.

Sums are exact: a score and its square enter them as whole multiples of 2**-39 (1.8e-12), added as 64-bit integers; they
hold 2**24 nodes. So a sum depends neither on the order in which scores came nor on what was added and taken out
again, and a tree that is loaded, resumed or copied has the statistics, bit for bit, of one that was grown.

Adding a node only notes it. What is read next brings the sums up to date: by a walk from each new node to the root or,
where that is more work, by one pass over the tree. Folding a log, which reads nothing, thus takes one pass in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mars2_env.base.checks import is_whole, whole_number
from mars2_env.errors import ConfigError

ROOT: Final = 0
CHILDREN: Final = 0
BELOW: Final = 1
SUBTREE: Final = 2
EVERYONE: Final = -1
"""In place of an agent: the statistics over the nodes of all of them."""

UNITS: Final = 2.0**39
"""In a sum, a score of 1 counts so many; see the module's text."""

Triple = tuple[float, float, float]
"""(n, S, Q): how many scores, their sum, and the sum of their squares."""
Triples = NDArray[np.float64]
"""Rows of (n, S, Q), the last axis."""

Number = TypeVar("Number", bound=np.generic)

_SHORT: Final = 16
"""Up to so many nodes, adding to the numbers of one after the other is faster than numpy's adding (measured)."""


class PendingScore(NamedTuple):
    """An expansion in flight: its parent, the index of its agent, and the score that it stands in for meanwhile."""

    parent: int
    agent: int
    score: float


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


def exact_triple(score: float) -> tuple[int, int, int]:
    """Return (1, score, score squared) as it enters the sums, the last two in units of 2**-39."""
    return 1, round(score * UNITS), round(score * score * UNITS)


def _real(exact: NDArray[np.int64]) -> Triples:
    """Return sums as numbers; the last axis is (n, S, Q)."""
    found = exact.astype(np.float64)
    found[..., 1:] /= UNITS
    return found


class _Sums:
    """The triples of every node over the scores of one agent's nodes, or of everyone's, as far as they are summed."""

    __slots__ = ("exact", "flat", "laid", "summed", "whose")

    def __init__(self, whose: int, capacity: int) -> None:
        self.whose = whose
        self.summed = 1
        self.laid: tuple[PendingScore, ...] = ()
        self._hold(np.zeros((capacity, 3, 3), np.int64))

    def _hold(self, exact: NDArray[np.int64]) -> None:
        self.exact = exact
        self.flat = exact.reshape(-1).data  # reads of single numbers are five times faster than numpy's

    def grow(self, capacity: int) -> None:
        self._hold(_longer(self.exact, capacity, 0))

    def __getstate__(self) -> tuple[int, int, tuple[PendingScore, ...], NDArray[np.int64]]:
        return self.whose, self.summed, self.laid, self.exact

    def __setstate__(self, state: tuple[int, int, tuple[PendingScore, ...], NDArray[np.int64]]) -> None:
        self.whose, self.summed, self.laid, exact = state
        self._hold(exact)

    def copy(self) -> _Sums:
        twin = _Sums(self.whose, 0)
        twin.summed, twin.laid = self.summed, self.laid
        twin._hold(self.exact.copy())
        return twin

    def count(self, score: float, path: Sequence[int], *, node: int | None = None, sign: int = 1) -> None:
        """Add the score of `node`, or of an expansion in flight, to the path from its parent to the root.

        With `sign` -1 it is taken out again.
        """
        one, first, second = (sign * value for value in exact_triple(score))
        places = [9 * path[0] + 3 * CHILDREN, 9 * path[0] + 3 * SUBTREE]
        if node is not None:
            places.append(9 * node + 3 * SUBTREE)
        if len(path) > _SHORT:
            self.exact[path[1:], BELOW:] += np.array((one, first, second), np.int64)
        else:
            for above in path[1:]:
                places += (9 * above + 3 * BELOW, 9 * above + 3 * SUBTREE)
        flat = self.flat
        for place in places:
            flat[place] += one
            flat[place + 1] += first
            flat[place + 2] += second


def read_only(array: NDArray[Number]) -> NDArray[Number]:
    """Return an array after it was made one that nothing writes into through this name."""
    array.flags.writeable = False
    return array


def _longer(array: NDArray[Number], capacity: int, fill: int) -> NDArray[Number]:
    longer = np.full((capacity, *array.shape[1:]), fill, array.dtype)
    longer[: len(array)] = array
    return longer


class SearchTree:
    """The shape of a tree, who wrote each node, its score, and the statistics that selectors read."""

    def __init__(self, n_agents: int, *, capacity: int = 16) -> None:
        """Start with the root alone.

        Args:
            n_agents: how many agents may write nodes; agents are indices 0 ... n_agents - 1.
            capacity: nodes to make room for at first; the arrays grow by half as they fill.

        Attributes:
            n_agents: how many agents there are, those that joined later (`join`) and those that left included.
            joined: how many of them joined later.
            allowed: which agents may be chosen now, shape (n_agents,); None where all may. Whoever owns the tree says
                so; a selector that draws an agent draws among these.
        """
        n_agents = whole_number("n_agents", n_agents, where="SearchTree")
        capacity = max(whole_number("capacity", capacity, least=0, where="SearchTree"), 2)
        self.n_agents = n_agents
        self.joined = 0
        self.allowed: NDArray[np.bool_] | None = None
        self._size = 1
        self._parent = np.full(capacity, -1, np.int32)
        self._agent = np.full(capacity, -1, np.int32)
        self._depth = np.zeros(capacity, np.int32)
        self._score = np.zeros(capacity, np.float64)
        # The children of a node lie side by side in `_places`, from `_first`, in room for a power of two of them; where
        # that is full they move to the end, into room for twice as many.
        self._first = np.zeros(capacity, np.int32)
        self._count = np.zeros(capacity, np.int32)
        self._places = np.zeros(capacity, np.int32)
        self._placed = 0
        self._widths = [1]
        self._agent_sums = [[0, 0, 0] for _ in range(n_agents)]
        self._pending: tuple[PendingScore, ...] = ()
        self._sums = {EVERYONE: _Sums(EVERYONE, capacity)}

    @classmethod
    def load(cls, parents: ArrayLike, agents: ArrayLike, scores: ArrayLike, *, n_agents: int) -> SearchTree:
        """Return the tree with these nodes, in one pass whatever its depth.

        Args:
            parents: the parent of node 1, 2, ..., shape (nodes,); each a node before it, 0 the root.
            agents: the index of the agent that wrote each, shape (nodes,).
            scores: their scores in [0, 1], shape (nodes,).
            n_agents: as for the class.

        Raises:
            ConfigError: the lists differ in length, or a node is not one that `add` would take; it is named.
        """
        columns = [np.asarray(column).ravel() for column in (parents, agents, scores)]
        if len({len(column) for column in columns}) > 1:
            raise ConfigError(f"SearchTree.load: {', '.join(str(len(c)) for c in columns)} parents, agents and scores.")
        tree = cls(n_agents, capacity=len(columns[0]) + 1)
        for parent, agent, score in zip(*(column.tolist() for column in columns), strict=True):
            tree.add(parent, agent, score)
        return tree

    def __len__(self) -> int:
        """Number of nodes, the root included."""
        return self._size

    @property
    def parent(self) -> NDArray[np.int32]:
        """Parent of each node, shape (len,); -1 for the root."""
        return read_only(self._parent[: self._size])

    @property
    def agent(self) -> NDArray[np.int32]:
        """Index of the agent that wrote each node, shape (len,); -1 for the root."""
        return read_only(self._agent[: self._size])

    @property
    def depth(self) -> NDArray[np.int32]:
        """Depth of each node, shape (len,); 0 for the root."""
        return read_only(self._depth[: self._size])

    @property
    def score(self) -> NDArray[np.float64]:
        """Score of each node in [0, 1], shape (len,); 0 for a root without a program."""
        return read_only(self._score[: self._size])

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take, room to grow included."""
        arrays: list[NDArray[Any]] = [value for value in vars(self).values() if isinstance(value, np.ndarray)]
        return sum(array.nbytes for array in arrays) + sum(sums.exact.nbytes for sums in self._sums.values())

    def seed(self, score: float) -> None:
        """Give the root the score of the program that it holds: the seed node of a repair problem.

        Raises:
            ConfigError: the score is not in [0, 1].
        """
        self._score[ROOT] = checked_score(score)

    @property
    def stats(self) -> Triples:
        """The triples of all nodes, shape (len, 3, 3): node, which (CHILDREN, BELOW, SUBTREE), (n, S, Q).

        A new array at each reading; `triple` and `triples` read single ones. Scores that pending expansions stand in
        for are counted (`set_pending`).
        """
        return _real(self._summed(EVERYONE).exact[: self._size])

    def triple(self, node: int, which: int, whose: int = EVERYONE) -> Triple:
        """Return one triple (n, S, Q).

        Args:
            node: a node.
            which: CHILDREN, BELOW or SUBTREE.
            whose: an agent's index, to count the scores of the nodes it wrote alone. The first such reading sums them
                for all nodes; from then on they are kept beside the others (72 bytes a node and agent).
        """
        at = 9 * node + 3 * which
        n, s, q = self._summed(whose).flat[at : at + 3]
        return float(n), s / UNITS, q / UNITS

    def triples(self, nodes: ArrayLike, which: int, whose: int = EVERYONE) -> Triples:
        """Return the triples of several nodes, shape (nodes, 3); the arguments are those of `triple`."""
        return _real(self._summed(whose).exact[np.asarray(nodes, np.int64), which])

    def child_triples(self, node: int, whose: int = EVERYONE) -> Triples:
        """Return the SUBTREE triple of each child of a node, in order, shape (children, 3); `whose` as in `triple`."""
        return _real(self._summed(whose).exact[self._children(node), SUBTREE])

    def few_child_triples(self, node: int, whose: int = EVERYONE) -> list[Triple]:
        """Return what `child_triples` says as plain numbers, which is faster for a few children."""
        flat = self._summed(whose).flat
        found = []
        for child in self.children(node):
            at = 9 * child + 3 * SUBTREE
            found.append((float(flat[at]), flat[at + 1] / UNITS, flat[at + 2] / UNITS))
        return found

    @property
    def agent_stats(self) -> Triples:
        """The triples of the agents, shape (n_agents, 3), pending expansions counted; a new array at each reading."""
        return np.array(self.agent_triples(), np.float64)

    def agent_triples(self) -> list[Triple]:
        """Return what `agent_stats` says as plain numbers, which is faster for a few agents."""
        sums = self._agent_sums
        if self._pending:
            sums = [list(own) for own in sums]
            for pending in self._pending:
                for place, value in enumerate(exact_triple(pending.score)):
                    sums[pending.agent][place] += value
        return [(float(n), s / UNITS, q / UNITS) for n, s, q in sums]

    def set_pending(self, pending: Iterable[PendingScore]) -> None:
        """Say which expansions are in flight and which score each stands in for, in place of what was said before.

        They enter exactly the triples that a real score would and, sums being exact, leave no trace when they go. What
        is read next pays for the change: a walk to the root for each that came or went.
        """
        self._pending = tuple(pending)

    def join(self) -> int:
        """Make room for one more agent, without any node of its own so far, and return its index."""
        self._agent_sums.append([0, 0, 0])
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
            elif isinstance(value, dict):
                value = {whose: sums.copy() for whose, sums in value.items()}
            setattr(twin, name, value)
        return twin

    def child_count(self, node: int) -> int:
        """Return how many children a node has."""
        return int(self._count[node])

    @property
    def child_counts(self) -> NDArray[np.int32]:
        """How many children each node has, shape (len,)."""
        return read_only(self._count[: self._size])

    def child(self, node: int, place: int) -> int:
        """Return one child of a node, the first of which has place 0."""
        return int(self._children(node)[place])

    def children(self, node: int) -> list[int]:
        """Return the children of a node in the order they were added."""
        found: list[int] = self._children(node).tolist()
        return found

    def _children(self, node: int) -> NDArray[np.int32]:
        first = int(self._first[node])
        return self._places[first : first + int(self._count[node])]

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
        if not (is_whole(parent) and 0 <= parent < self._size):
            raise ConfigError(f"parent {parent!r:.200} is not a node of this tree of {self._size} nodes.")
        if not (is_whole(agent) and 0 <= agent < self.n_agents):
            raise ConfigError(f"agent {agent!r:.200} is not one of the {self.n_agents} agents of this tree.")
        score = checked_score(score)
        node = self._size
        if node == len(self._parent):
            self._grow()
        depth = int(self._depth[parent]) + 1
        self._parent[node] = parent
        self._agent[node] = agent
        self._depth[node] = depth
        self._score[node] = score
        self._size += 1
        if depth == len(self._widths):
            self._widths.append(0)
        self._widths[depth] += 1
        self._place(node, parent)
        sums = self._agent_sums[agent]
        for place, value in enumerate(exact_triple(score)):
            sums[place] += value
        return node

    def _place(self, node: int, parent: int) -> None:
        """Put a node behind its siblings."""
        count, first = int(self._count[parent]), int(self._first[parent])
        if count & (count - 1) == 0:  # 0, 1, 2, 4, 8 ...: their room is full
            room = max(1, 2 * count)
            if self._placed + room > len(self._places):
                self._places = _longer(self._places, (self._placed + room) * 3 // 2 + 1, 0)
            self._places[self._placed : self._placed + count] = self._places[first : first + count]
            self._first[parent] = first = self._placed
            self._placed += room
        self._places[first + count] = node
        self._count[parent] = count + 1

    def _summed(self, whose: int) -> _Sums:
        """Return the sums over someone's nodes, brought up to date."""
        sums = self._sums.get(whose)
        if sums is None:
            if not 0 <= whose < self.n_agents:
                raise ConfigError(f"agent {whose} is not one of the {self.n_agents} agents of this tree.")
            sums = self._sums[whose] = _Sums(whose, len(self._parent))
        if sums.summed != self._size:
            self._sum(sums)
        if sums.laid is not self._pending:
            self._lay(sums)
        return sums

    def _sum(self, sums: _Sums) -> None:
        """Count the nodes that were added since the last time."""
        new = range(sums.summed, self._size)
        sums.summed = self._size
        if len(new) > 1 and int(self._depth[new[0] : self._size].sum()) > self._size:
            self._sum_again(sums)
            return
        for node in new:
            if sums.whose in (EVERYONE, self._agent[node]):
                sums.count(float(self._score[node]), self._path(int(self._parent[node])), node=node)

    def _sum_again(self, sums: _Sums) -> None:
        """Count all nodes in one pass, from the last to the first: a child comes after its parent."""
        sums.laid = ()
        subtree: list[list[int]] = [[0, 0, 0] for _ in range(self._size)]
        direct: list[list[int]] = [[0, 0, 0] for _ in range(self._size)]
        parents, scores, agents = self.parent.tolist(), self.score.tolist(), self.agent.tolist()
        for node in range(self._size - 1, ROOT, -1):
            whole, above, own = subtree[node], subtree[parents[node]], direct[parents[node]]
            if sums.whose in (EVERYONE, agents[node]):
                for place, value in enumerate(exact_triple(scores[node])):
                    whole[place] += value
                    own[place] += value
            for place, value in enumerate(whole):
                above[place] += value
        exact = sums.exact[: self._size]
        exact[:, SUBTREE] = subtree
        exact[:, CHILDREN] = direct
        exact[:, BELOW] = exact[:, SUBTREE] - exact[:, CHILDREN]
        for node in range(1, self._size):
            if sums.whose in (EVERYONE, agents[node]):
                exact[node, BELOW] -= exact_triple(scores[node])

    def _lay(self, sums: _Sums) -> None:
        """Count the expansions in flight, and no longer those that were."""
        gone = list(sums.laid)
        come = []
        for pending in self._pending:
            if pending in gone:
                gone.remove(pending)
            else:
                come.append(pending)
        for sign, changed in ((-1, gone), (1, come)):
            for pending in changed:
                if sums.whose in (EVERYONE, pending.agent):
                    sums.count(pending.score, self._path(pending.parent), sign=sign)
        sums.laid = self._pending

    def _path(self, node: int) -> list[int]:
        """Return a node and its ancestors, the root last."""
        path = [node]
        parent = self._parent.data
        while node != ROOT:
            node = parent[node]
            path.append(node)
        return path

    def _grow(self) -> None:
        capacity = len(self._parent) * 3 // 2 + 1
        for name, fill in (
            ("_parent", -1),
            ("_agent", -1),
            ("_depth", 0),
            ("_score", 0),
            ("_first", 0),
            ("_count", 0),
        ):
            setattr(self, name, _longer(getattr(self, name), capacity, fill))
        for sums in self._sums.values():
            sums.grow(capacity)
