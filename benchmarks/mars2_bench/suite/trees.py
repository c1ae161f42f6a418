"""Many search trees grown side by side as arrays, with numpy alone: what `Episode` and `TreeFeatures` do for one.

A node is a bitmask of slips (`bank`), what it came to is looked up, and luck is that of the ordinary environment, by
the path to the node (`episode.luck`). Arrays over nodes have the shape (N, S) for N trees of S = budget + 1 slots;
`_flat` ones index them as if they had one axis: tree * S + slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mars2_bench.suite.authors import fresh_masks, refined_masks
from mars2_bench.suite.draws import uniforms
from mars2_bench.suite.rules import TableGame
from mars2_bench.suite.staged import SHOWN
from mars2_env.episode.luck import child_keys, child_tail, root_key, seed_of
from mars2_env.features import AGENT_COLUMNS, SLOT_COLUMNS, TREE_COLUMNS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]

_PLACE: Final = {column.name: place for place, column in enumerate(SLOT_COLUMNS)}
ROUNDS_LEFT: Final = len(TREE_COLUMNS)
"""Where vectors say what share of the rounds is left, in games with a limit of them."""
_OUTCOME: Final = np.array([_PLACE[outcome if outcome in _PLACE else "limit"] for outcome in SHOWN])


class Expanded:
    """What one expansion in each of some trees came to; arrays over those trees.

    Attributes:
        trees: which trees.
        legal: whether the parent was on offer; elsewhere there is no node, and the others are 0.
        nodes: the number of the new node.
        codes: its outcome, a place in `staged.SHOWN`.
        scores: its score.
        duplicates: the number of the earliest node with an equal program; 0: there is none.
        amounts: what it earns: shape (trees,), or (trees, A) where each agent gets its own.
    """

    __slots__ = ("amounts", "codes", "duplicates", "legal", "nodes", "scores", "trees")

    def __init__(self, trees: Ints, legal: NDArray[np.bool_]) -> None:
        self.trees, self.legal = trees, legal
        self.nodes, self.codes, self.duplicates = (np.zeros(len(trees), np.int64) for _ in range(3))
        self.scores: Floats = np.zeros(len(trees))
        self.amounts: Floats = self.scores


class Trees:
    """N trees of one game.

    Attributes:
        size: how many slots each tree has that can be expanded, shape (N,).
        spent: how many expansions, likewise.
        rounds: how many rounds are over, likewise; only in games with a limit of them.
        over: which trees have ended.
        place: where each tree's problem is in the bank's tables, likewise.
        roles: the role of each agent in each tree (`Team`), shape (N, A).
        mask: the slips of each node's program, shape (N, S); that at slot 0 means nothing.
        vectors: what is observed of each, shape (N, layout.size); without what is the observer's own: `self` and cards.
        expansions: how many there were in all trees, from the first on.
        best: the highest score in each subtree, shape (N, S); that of the tree at slot 0.
    """

    def __init__(self, game: TableGame, count: int) -> None:
        """Make room for so many trees; none has begun."""
        self.game = game
        budget, agents, layout = game.budget, len(game.agents), game.layout
        slots = budget + 1
        self._slots, self._agents = slots, agents
        rules = game.task.rules
        self._partial, self._hides = rules.shown == "own", "own" in (rules.shown, rules.observe)
        self.size = np.ones(count, np.int64)
        self.spent, self.place, self.rounds, self._solved = (np.zeros(count, np.int64) for _ in range(4))
        self.over = np.zeros(count, np.bool_)
        self._parent = np.full((count, slots), -1)  # flat, so that a walk to the root stays flat
        self.roles = np.zeros((count, agents), np.int64)
        self.expansions = 0
        self.mask, self._counts, self._children, self._wrote = (np.zeros((count, slots), np.int64) for _ in range(4))
        self._sums, self.best = np.zeros((count, slots)), np.zeros((count, slots))
        self._depth = np.zeros((count, slots), np.int64)
        self._ordinal = np.zeros((count, slots, agents), np.int64)
        self._bits, self._staged = game.team.kinds.bits, game.team.kinds.staged
        self._first = np.zeros((count, 1 << self._bits), np.int64)
        self._written, self._totals = np.zeros((count, agents), np.int64), np.zeros((count, agents))
        self._without, self._last = np.zeros((count, agents)), np.zeros((count, agents))
        self.hidden = np.zeros((agents, count, slots), np.bool_)
        self._keys: list[list[int]] = [[] for _ in range(count)]
        self._tails = [[child_tail(agent, ordinal) for ordinal in range(budget)] for agent in game.agents]
        self.vectors: Vectors = np.zeros((count, layout.size), np.float32)
        self.rows = self.vectors[:, layout.head :].reshape(count, slots, layout.width)
        assert np.shares_memory(self.rows, self.vectors)
        self._row = (np.arange(count)[:, None] * layout.size + layout.head + np.arange(slots) * layout.width).ravel()
        self._told = layout.first + agents * layout.observer
        self._limit, self._clues = rules.rounds or 0, layout.clues
        self._left = (1.0 - np.arange(budget + 1) / budget).astype(np.float32)
        ages = np.arange(slots + 1)[:, None] - 1 - np.arange(slots)  # by the size of the tree
        self._ages = (np.maximum(ages, 0) / budget).astype(np.float32)
        self._shares = (np.arange(slots + 1) / budget).astype(np.float32)
        self._blank = np.zeros(layout.size, np.float32)
        self._blank[0] = self._left[0]
        self._blank[layout.head + _PLACE["present"]] = 1.0
        if self._limit:
            self._rounds_left = (1.0 - np.arange(self._limit + 1) / self._limit).astype(np.float32)
            self._blank[ROUNDS_LEFT] = 1.0

    def begin(self, trees: Ints, seeds: Sequence[int], problems: Ints) -> None:
        """Begin anew in some trees.

        Args:
            trees: which.
            seeds: the episode seed of each.
            problems: for each the place of its problem in the task's problem set.
        """
        ids, team, drawn = self.game.task.problems.problems, self.game.team, []
        for tree, seed, problem in zip(trees.tolist(), seeds, problems.tolist(), strict=True):
            key = root_key(seed, ids[problem].id)
            self._keys[tree] = [key]
            drawn.append(team.role_seed(seed_of(key), ids[problem].id))
        self.roles[trees] = team.drawn_roles(np.array(drawn, np.uint64))
        self.place[trees] = self.game.places[problems]
        self.size[trees], self.over[trees] = 1, False
        self.spent[trees] = self.rounds[trees] = self._solved[trees] = 0
        for array in (self._counts, self._children, self._sums, self.best, self._ordinal, self._first):
            array[trees] = 0
        for array in (self._written, self._totals, self._without, self._last):
            array[trees] = 0
        self.hidden[:, trees] = False
        self.vectors[trees] = self._blank
        if self._clues:
            first = self.game.layout.first
            self.vectors[trees, first - self._clues : first] = self.game.clues[problems]

    def expand(self, trees: Ints, agents: Ints | int, slots: Ints, offered: Ints | None = None) -> Expanded:
        """Expand each of some trees once.

        Args:
            trees: which, each once, none of them over.
            agents: who expands them, one for each or one for all.
            slots: the node to expand; any number.
            offered: how many slots were on offer; None: all that there are.
        """
        size = self.size[trees]
        legal = (slots >= 0) & (slots < (size if offered is None else offered))
        done = Expanded(trees, legal)
        before = self.best[trees, 0]
        some = None if legal.all() else np.flatnonzero(legal)
        if some is None:
            self._add(done, slice(None), trees, np.broadcast_to(agents, trees.shape), slots, size)
        elif len(some):
            authors = np.broadcast_to(agents, trees.shape)[some]
            self._add(done, some, trees[some], authors, slots[some], size[some])
        self.spent[trees] += 1
        self.expansions += len(trees)
        after = self.best[trees, 0]
        self.vectors[:, 0] = self._left[self.spent]
        self.vectors[trees, 1] = after
        done.amounts = self._amounts(done, before, after)
        solved = self._solved[trees] >= self.game.stop if self.game.stop else False
        self.over[trees] = solved | (self.spent[trees] >= self.game.budget)
        return done

    def aged(self) -> None:
        """Say in the vectors how old each node is; to be called when all expansions of a step are done."""
        self.rows[:, :, _PLACE["age"]] = self._ages[self.size]

    def end_round(self, trees: Ints) -> None:
        """Count a round that all agents have played in these trees, and end those that had their last."""
        self.rounds[trees] += 1
        self.over[trees] |= self.rounds[trees] >= self._limit
        self.vectors[trees, ROUNDS_LEFT] = self._rounds_left[self.rounds[trees]]

    def masks(self) -> NDArray[np.int8]:
        """Return which slots can be expanded, shape (N, S); with one number more where agents may pass."""
        found = (np.arange(self._slots + bool(self._limit)) < self.size[:, None]).astype(np.int8)
        found[:, self._slots :] = 1
        return found

    def _write(self, trees: Ints, agents: Ints, slots: Ints, place: Ints) -> Ints:
        """Return the programs that agents write at these slots, as masks, and remember the luck of their children."""
        flat = trees * self._slots + slots
        at = flat * self._agents + agents
        ordinals = self._ordinal.reshape(-1)
        numbers = ordinals[at]
        ordinals[at] += 1
        tails, kept = self._tails, self._keys
        listed = trees.tolist()
        made = child_keys(
            [kept[tree][slot] for tree, slot in zip(listed, slots.tolist(), strict=True)],
            [tails[agent][number] for agent, number in zip(agents.tolist(), numbers.tolist(), strict=True)],
        )
        for tree, key in zip(listed, made, strict=True):
            kept[tree].append(key)
        draws = uniforms(np.array([key >> 65 for key in made], np.uint64), self._bits)
        roles = self.roles.reshape(-1)[trees * self._agents + agents]
        fresh, mend, slip = self.game.chances[:, roles, place]
        refined = refined_masks(self.mask.reshape(-1)[flat], draws, mend, slip, self._staged)
        unseen = slots == 0
        if self._partial:  # an author is not shown the program of another's node, and writes afresh
            unseen |= self.hidden[agents, trees, slots]
        return np.where(unseen, fresh_masks(draws, fresh), refined)

    def _add(self, done: Expanded, some: Ints | slice, trees: Ints, agents: Ints, slots: Ints, new: Ints) -> None:
        """Add a node to each of some trees, those at `some` of what is done: by agents, under slots, of number new."""
        game, place, row = self.game, self.place[trees], self._row
        masks = self._write(trees, agents, slots, place)
        scores, codes = game.scores[place, masks], game.outcomes[place, masks]
        same = trees << self._bits | masks
        first = self._first.reshape(-1)
        earlier = first[same]
        fresh = earlier == 0
        first[same] = np.where(fresh, new, earlier)
        done.nodes[some], done.codes[some], done.scores[some], done.duplicates[some] = new, codes, scores, earlier

        parent, node = trees * self._slots + slots, trees * self._slots + new
        depth = self._depth.reshape(-1)
        depth[node] = depths = depth[parent] + 1
        self.mask.reshape(-1)[node] = masks
        self._parent.reshape(-1)[node] = parent
        block = np.zeros((len(trees), game.layout.width), np.float32)
        numbers = np.arange(len(trees))
        block[:, _PLACE["present"]] = 1.0
        block[:, _PLACE["parent"]] = self._shares[slots]
        block[:, _PLACE["depth"]] = self._shares[depths]
        for name in ("score", "best", "mean"):
            block[:, _PLACE[name]] = scores
        block[:, _PLACE["count"]] = self._shares[1]
        block[:, _PLACE["duplicate"]] = ~fresh
        block[numbers, _OUTCOME[codes]] = 1.0
        block[numbers, len(SLOT_COLUMNS) + agents] = 1.0
        self.rows[trees, new] = block
        self._counts.reshape(-1)[node] = 1
        self._sums.reshape(-1)[node] = self.best.reshape(-1)[node] = scores
        vector = self.vectors.reshape(-1)
        children = self._children.reshape(-1)
        self._children.reshape(-1)[node] = 0
        children[parent] += 1
        vector[row[parent] + _PLACE["children"]] = self._shares[children[parent]]
        self._rise(parent, scores)

        author = trees * self._agents + agents
        written, totals = self._written.reshape(-1), self._totals.reshape(-1)
        written[author] += 1
        totals[author] += scores
        at = trees * game.layout.size + self._told + agents * len(AGENT_COLUMNS)
        vector[at] = self._shares[written[author]]
        vector[at + 1] = totals[author] / written[author]
        vector[at + 2] = np.maximum(vector[at + 2], scores)
        self.size[trees] = new + 1
        self._solved[trees] += (scores >= 1.0) & fresh
        if self._hides:
            self.hidden[:, trees, new] = np.arange(self._agents)[:, None] != agents
        if game.task.reward == "difference":
            wrote = self._wrote.reshape(-1)
            wrote[node] = path = wrote[parent] | 1 << agents
            free = path[:, None] >> np.arange(self._agents) & 1 == 0
            self._without[trees] = np.where(
                free, np.maximum(self._without[trees], scores[:, None]), self._without[trees]
            )

    def _rise(self, node: Ints, scores: Floats) -> None:
        """Count new scores in all subtrees that they are in, from their parents up to the roots."""
        counts, sums, best = self._counts.reshape(-1), self._sums.reshape(-1), self.best.reshape(-1)
        vector, parents = self.vectors.reshape(-1), self._parent.reshape(-1)
        while len(node):
            counts[node] = count = counts[node] + 1
            sums[node] = total = sums[node] + scores
            best[node] = top = np.maximum(best[node], scores)
            row = self._row[node]
            vector[row + _PLACE["count"]] = self._shares[count]
            vector[row + _PLACE["mean"]] = total / count
            vector[row + _PLACE["best"]] = top
            node = parents[node]
            inner = node >= 0
            if not inner.all():
                node, scores = node[inner], scores[inner]

    def _amounts(self, done: Expanded, before: Floats, after: Floats) -> Floats:
        """Return what each expansion earns (`mars2_env.rewards`)."""
        reward = self.game.task.reward
        if reward == "progress":
            return after - before
        if reward == "score":
            return np.where(done.duplicates > 0, 0.0, done.scores)
        now = after[:, None] - self._without[done.trees]
        amounts: Floats = now - self._last[done.trees]
        self._last[done.trees] = now
        return amounts

    def paid(self, done: Expanded, actors: Ints | int) -> Floats:
        """Return what each agent gets for what was done, shape (trees, A), as `rewards.Ledger` pays it."""
        if done.amounts.ndim == 2:
            return done.amounts
        if self.game.task.share == "team":
            return done.amounts[:, None].repeat(self._agents, axis=1)
        found = np.zeros((len(done.trees), self._agents))
        found[np.arange(len(done.trees)), actors] = done.amounts
        return found
