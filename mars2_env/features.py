"""Numeric features of a tree: what value functions and controllers see instead of texts.

A vector has the numbers of the whole tree first, then those of each agent, then a row for each slot: slot 0 is the root
(to expand it is to write a fresh program), slot i is node i. Games with more options have more numbers: the rounds that
are left and clues about the problem among those of the tree, the observer's own card right before the slots. All are
float32 in [0, 1]; what does not exist is 0.
Which numbers these are is said here alone: `Layout.names` names each place of a vector, `Layout.describe()` says what
stands there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mars2_env.base.checks import flag, instance, whole_number
from mars2_env.episode import Episode
from mars2_env.errors import ConfigError
from mars2_env.types import Node, Outcome

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Column:
    """One feature: its name, and what it means. Values are float32 in [0, 1]."""

    name: str
    meaning: str


TREE_COLUMNS: Final = (
    Column("budget_left", "the share of the budget that is left"),
    Column("best_score", "the highest score in the tree"),
)
"""Numbers of the whole tree, once."""

ROUNDS_COLUMN: Final = Column("rounds_left", "the share of the rounds that are not over")
"""One more number of the tree, after `TREE_COLUMNS`, in games with so many rounds (`Rules.rounds`)."""

CLUE_COLUMN: Final = Column("clue", "a number that the task's clues tell of the problem")
"""More numbers of the tree, after all others of it, named `clue.I`, in tasks with `clues`."""

AGENT_COLUMNS: Final = (
    Column("nodes", "how many nodes it wrote, over the budget"),
    Column("mean", "the mean score of its nodes"),
    Column("best", "the highest score of its nodes"),
)
"""Numbers of each agent, named `AGENT.COLUMN`."""

SELF_COLUMN: Final = Column("self", "1 if this agent is the observer")
"""One more number of each agent, in agents' own observations alone; it comes before the others, for all agents."""

SLOT_COLUMNS: Final = (
    Column("present", "1 if the slot can be expanded: the root, and each node there is"),
    Column("parent", "the slot of its parent, over the budget"),
    Column("depth", "its depth, over the budget; 0 for the root"),
    Column("score", "its own score; the root has one in repair problems alone"),
    Column("best", "the highest score in its subtree, its own included"),
    Column("mean", "the mean score in its subtree; the root's own does not count"),
    Column("count", "how many nodes its subtree has, itself included but for the root, over the budget"),
    Column("children", "how many children it has, over the budget"),
    Column("age", "how many nodes were added after it, over the budget"),
    Column("duplicate", "1 if its program is equal to an earlier one"),
    Column("passed", "1 if it passed every test that it was judged on"),
    Column("wrong_answer", "1 if its first failing test ended in a wrong answer"),
    Column("runtime_error", "1 if its first failing test ended in an error"),
    Column("compile_error", "1 if it does not compile"),
    Column("limit", "1 if its first failing test exceeded the limit of time, memory or output"),
    Column("no_program", "1 if its reply held no program"),
)
"""Numbers of each slot, named `slotI.COLUMN`. With `observe="own"` others' nodes have 0 from `duplicate` on."""

CARD_COLUMN: Final = Column("card", "a number that the observer's own generator tells its agent alone")
"""More numbers of an agent's own observation, right before the slots, named `card.I`, in tasks with `cards`."""

AUTHOR_COLUMN: Final = Column("by", "1 if that agent wrote the node")
"""One more number of each slot for each agent, after the others, named `slotI.by.AGENT`."""

_PLACE: Final = {column.name: index for index, column in enumerate(SLOT_COLUMNS)}
_PRESENT, _PARENT, _DEPTH = _PLACE["present"], _PLACE["parent"], _PLACE["depth"]
_SCORE, _BEST, _MEAN, _COUNT = _PLACE["score"], _PLACE["best"], _PLACE["mean"], _PLACE["count"]
_CHILDREN, _AGE, _DUPLICATE = _PLACE["children"], _PLACE["age"], _PLACE["duplicate"]
_AUTHOR: Final = len(SLOT_COLUMNS)
_OUTCOME: Final[dict[Outcome, int]] = {
    "passed": _PLACE["passed"],
    "wrong_answer": _PLACE["wrong_answer"],
    "runtime_error": _PLACE["runtime_error"],
    "compile_error": _PLACE["compile_error"],
    "time_limit": _PLACE["limit"],
    "memory_limit": _PLACE["limit"],
    "output_limit": _PLACE["limit"],
    "no_program": _PLACE["no_program"],
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Which number lies where, for a budget of so many nodes and these agents.

    Attributes:
        budget: nodes a tree may have; there are budget + 1 slots.
        agents: their names, in order.
        observer: whether there are `self` columns, as in an agent's own observation.
        rounds: whether the game has a limit of rounds, so that there is `rounds_left`.
        card: how many numbers are on the observer's card; 0 for none.
        clues: how many numbers are told of the problem; 0 for none.
    """

    budget: int
    agents: tuple[str, ...]
    observer: bool
    rounds: bool = False
    card: int = 0
    clues: int = 0

    def __post_init__(self) -> None:
        whole_number("budget", self.budget, where="Layout")
        instance("agents", self.agents, tuple | list, "the names of the agents, in order", where="Layout")
        flag("observer", self.observer, where="Layout")
        flag("rounds", self.rounds, where="Layout")
        whole_number("card", self.card, least=0, where="Layout")
        whole_number("clues", self.clues, least=0, where="Layout")
        if self.card and not self.observer:
            raise ConfigError(f"Layout(card={self.card}): a card is its observer's alone; say observer=True.")

    @property
    def width(self) -> int:
        """How many columns a slot has."""
        return len(SLOT_COLUMNS) + len(self.agents)

    @property
    def first(self) -> int:
        """How many numbers are about the whole tree, its clues included; they come first."""
        return len(TREE_COLUMNS) + self.rounds + self.clues

    @property
    def head(self) -> int:
        """How many numbers come before the slots."""
        return self.first + len(self.agents) * (len(AGENT_COLUMNS) + self.observer) + self.card

    @property
    def size(self) -> int:
        """The length of a vector."""
        return self.head + (self.budget + 1) * self.width

    @property
    def names(self) -> list[str]:
        """The name of each place of a vector, in order."""
        slot = [column.name for column in self._slot()]
        head = [column.name for column in self._head()]
        return head + [f"slot{number}.{name}" for number in range(self.budget + 1) for name in slot]

    def describe(self) -> str:
        """Return a table: place, name and meaning of each number before the slots, then of each column of a slot I.

        Places count from 0; `10 + 18 I` is 10 for slot 0, 28 for slot 1 and so on.
        """
        head, slot = self._head(), self._slot()
        lines = [(str(place), column.name, column.meaning) for place, column in enumerate(head)]
        lines += [
            (f"{place} + {self.width} I", f"slotI.{column.name}", column.meaning)
            for place, column in enumerate(slot, len(head))
        ]
        places, names = (max(len(line[part]) for line in lines) for part in (0, 1))
        return "\n".join(f"{place:<{places}}  {name:<{names}}  {meaning}" for place, name, meaning in lines)

    def _head(self) -> list[Column]:
        """The numbers before the slots, in order."""
        tree = [*TREE_COLUMNS, *[ROUNDS_COLUMN] * self.rounds, *_numbered(CLUE_COLUMN, self.clues)]
        own = [Column(f"{agent}.{SELF_COLUMN.name}", SELF_COLUMN.meaning) for agent in self.agents if self.observer]
        told = [Column(f"{agent}.{column.name}", column.meaning) for agent in self.agents for column in AGENT_COLUMNS]
        return [*tree, *own, *told, *_numbered(CARD_COLUMN, self.card)]

    def _slot(self) -> list[Column]:
        """The numbers of one slot, in order."""
        by = [Column(f"{AUTHOR_COLUMN.name}.{agent}", AUTHOR_COLUMN.meaning) for agent in self.agents]
        return [*SLOT_COLUMNS, *by]

    def slots(self, vector: Vector) -> Vector:
        """Return the part of a vector that is about slots, shape (budget + 1, width): a view."""
        return vector[self.head :].reshape(self.budget + 1, self.width)


def _numbered(column: Column, count: int) -> list[Column]:
    """Return so many columns of one meaning, with numbers from 0."""
    return [Column(f"{column.name}.{number}", column.meaning) for number in range(count)]


class TreeFeatures:
    """The features of one growing tree, kept up to date: a new node costs its own row and one walk to the root.

    Turns that are asked for and not told yet count for nothing here.

    Attributes:
        layout: of the state.
    """

    def __init__(self, episode: Episode, clues: Sequence[float] = ()) -> None:
        """Begin with what the episode's tree has by now.

        Args:
            episode: the episode.
            clues: what is told of its problem, numbers in [0, 1].
        """
        self._episode = episode
        self._rounds = episode.rules.rounds
        self._clues = tuple(clues)
        self.layout = Layout(
            episode.budget.nodes,
            episode.agents,
            observer=False,
            rounds=self._rounds is not None,
            clues=len(self._clues),
        )
        slots, agents = self.layout.budget + 1, len(episode.agents)
        self._index = {agent: index for index, agent in enumerate(episode.agents)}
        self._rows = np.zeros((slots, self.layout.width), np.float32)
        self._rows[0, _PRESENT] = 1.0
        self._parents, self._best, self._counts, self._sums = [-1], [0.0], [0], [0.0]
        self._written = np.zeros((agents, len(AGENT_COLUMNS)), np.float32)
        self._totals = [(0, 0.0)] * agents
        self._hidden = np.zeros((agents, slots), np.bool_)
        self._seeded = False

    def state(self) -> Vector:
        """Return the features of the tree, shape (layout.size,): those of `Layout(..., observer=False)`."""
        self._update()
        return self._vector(None, self._rows)

    def observation(self, agent: str, observe: str = "all", card: Sequence[float] = ()) -> Vector:
        """Return what an agent sees of the tree, shape (Layout(..., observer=True, card=len(card)).size,).

        Args:
            agent: the observer.
            observe: `all`; or `own`: of others' nodes only place, author and score.
            card: what the agent alone is told, numbers in [0, 1].
        """
        self._update()
        observer = self._index[agent]
        rows = self._rows
        if observe == "own":
            rows = rows.copy()
            rows[self._hidden[observer], _DUPLICATE:_AUTHOR] = 0.0
        return self._vector(observer, rows, card)

    def _vector(self, observer: int | None, rows: Vector, card: Sequence[float] = ()) -> Vector:
        head = [1.0 - self._episode.spent / self.layout.budget, self._best[0]]
        if self._rounds is not None:
            head.append(1.0 - self._episode.rounds_over / self._rounds)
        head += self._clues
        if observer is not None:
            head += [float(index == observer) for index in range(len(self._index))]
        return np.concatenate(
            [np.array(head, np.float32), self._written.ravel(), np.array(card, np.float32), rows.ravel()]
        )

    def _update(self) -> None:
        root, nodes = self._episode.root, self._episode.nodes
        if root is not None and not self._seeded:
            self._seeded = True
            self._rows[0, _SCORE] = root.score
            self._judged(root)
            self._raise(0, root.score)
        if len(nodes) < len(self._parents):
            return
        for node in nodes[len(self._parents) - 1 :]:
            self._add(node)
        size = len(self._parents)
        self._rows[:size, _AGE] = np.arange(size - 1, -1, -1) / self.layout.budget

    def _add(self, node: Node) -> None:
        budget, author = self.layout.budget, self._index[node.agent]
        row = self._rows[node.id]
        row[_PRESENT] = 1.0
        row[_PARENT] = node.parent / budget
        row[_DEPTH] = node.depth / budget
        row[_SCORE] = node.score
        row[_DUPLICATE] = node.duplicate_of is not None
        row[_AUTHOR + author] = 1.0
        self._judged(node)
        self._hidden[:, node.id] = True
        self._hidden[author, node.id] = False
        self._parents.append(node.parent)
        self._counts.append(0)
        self._sums.append(0.0)
        self._best.append(-1.0)
        self._count(node.id, node.score)
        self._raise(node.id, node.score)
        self._rows[node.parent, _CHILDREN] = self._episode.tree.child_count(node.parent) / budget
        count, total = self._totals[author]
        self._totals[author] = count, total = count + 1, total + node.score
        self._written[author] = count / budget, total / count, max(self._written[author, 2], node.score)

    def _judged(self, node: Node) -> None:
        column = _OUTCOME.get(node.verdict.outcome)
        if column is not None:
            self._rows[node.id, column] = 1.0

    def _count(self, node: int, score: float) -> None:
        """Count a score in the subtrees of a node and of all its ancestors."""
        counts, sums, rows, budget = self._counts, self._sums, self._rows, self.layout.budget
        while node >= 0:
            counts[node] += 1
            sums[node] += score
            rows[node, _COUNT] = counts[node] / budget
            rows[node, _MEAN] = sums[node] / counts[node]
            node = self._parents[node]

    def _raise(self, node: int, score: float) -> None:
        """Raise the best score of a node and of its ancestors, up to the first that has as high a one."""
        while node >= 0 and self._best[node] < score:
            self._best[node] = score
            self._rows[node, _BEST] = score
            node = self._parents[node]


def state(episode: Episode) -> Vector:
    """Return the features of a tree, shape (Layout(budget, agents, observer=False).size,)."""
    return TreeFeatures(episode).state()
