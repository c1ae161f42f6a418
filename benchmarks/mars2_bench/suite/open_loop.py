"""The best open-loop schedule: who writes where at each step, whatever comes out, searched for on training problems.

A suite whose hidden facts can be ignored is won by such a schedule (SMAC was: arXiv 2212.07489); here it must lose. The
search begins with every plain shape (some drafts, then refinements, by one agent or by all in turn), then changes the
best ones step by step. Each round is a successive halving (Jamieson, Talwalkar: Non-stochastic Best Arm Identification,
AISTATS 2016): the better half of the candidates goes on to twice as many trees, the same ones for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mars2_bench.suite.named import Named
from mars2_bench.suite.playing import MOST_TREES, ends_of, rounds_of
from mars2_bench.suite.rules import TableGame

Ints = NDArray[np.int64]

FIRST_TREES: Final = 16
"""Trees for each candidate in the first round of a halving."""


@dataclass(frozen=True, slots=True)
class Moves:
    """What a schedule consists of: `steps` times one slot, or pass, for each of `columns`.

    In `place` a column is an agent. In `route` there is one column, and an action is agent * slots + slot.

    Attributes:
        agents: the names of the agents.
        slots: how many slots a tree has.
        steps: how many steps a tree has at most.
        route: whether one controller chooses the agent too.
        passes: whether an agent may pass; then the action is `slots`.
        rounds_left: where an observation says how much of the rounds is left; None: the budget says it.
    """

    agents: tuple[str, ...]
    slots: int
    steps: int
    route: bool
    passes: bool
    rounds_left: int | None

    @property
    def columns(self) -> int:
        """How many actions a step has."""
        return 1 if self.route else len(self.agents)

    def step(self, vector: NDArray[np.float32]) -> Ints:
        """Return the number of the step that is due, shape (n,), from observations of any agent, shape (n, size)."""
        if self.rounds_left is not None:
            return self.steps - np.rint(vector[:, self.rounds_left] * self.steps).astype(np.int64)
        return self.steps - np.rint(vector[:, 0] * (self.slots - 1) / self.columns).astype(np.int64)

    def legal(self, plans: Ints) -> Ints:
        """Return plans, shape (C, steps, columns), where a slot that is not there yet becomes the newest one."""
        found, size = plans.copy(), np.ones(len(plans), np.int64)
        for step in range(self.steps):
            now = found[:, step]
            if self.route:
                agents, slots = np.divmod(now, self.slots)
                now[:] = agents * self.slots + np.minimum(slots, size[:, None] - 1)
                size += 1
            else:
                acts = now < self.slots
                now[:] = np.where(acts, np.minimum(now, size[:, None] - 1), now)
                size = np.minimum(size + acts.sum(1), self.slots)
        return found


def moves_of(game: TableGame) -> Moves:
    """Return what a schedule for a game consists of."""
    route, names = game.task.rules.game == "route", game.layout.names
    return Moves(
        game.agents,
        game.budget + 1,
        rounds_of(game),
        route,
        game.task.rules.rounds is not None,
        names.index("rounds_left") if "rounds_left" in names else None,
    )


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """A controller that follows a plan, or a plan of its own in each tree.

    Attributes:
        moves: what plans consist of.
        plans: shape (1 or trees, steps, columns).
    """

    moves: Moves
    plans: Ints

    def act(self, observations: Any, rng: np.random.Generator) -> Any:
        """Return the actions that are due; nothing is drawn."""
        moves = self.moves
        one = observations if moves.route else observations[moves.agents[0]]
        steps = np.minimum(moves.step(one["observation"]), moves.steps - 1)
        due = self.plans[np.arange(len(steps)) % len(self.plans), steps]
        return due[:, 0] if moves.route else {agent: due[:, number] for number, agent in enumerate(moves.agents)}

    def __str__(self) -> str:
        moves = self.moves
        if moves.route:
            steps = (f"{moves.agents[a // moves.slots]}@{a % moves.slots}" for a in self.plans[0, :, 0].tolist())
        else:
            steps = (
                ",".join("-" if slot == moves.slots else str(slot) for slot in row) for row in self.plans[0].tolist()
            )
        return " ".join(steps)


def shapes(moves: Moves) -> Ints:
    """Return plans of every plain shape, shape (C, steps, columns).

    A writer at each step (one agent, or all in turn); some drafts; then the newest node, the drafts one after the
    other, the first draft, or each writer's own newest node is refined. In `place` all agents write in every round;
    where they may pass, also one agent a round in turn, and one agent alone.
    """
    return moves.legal(np.array(list(_route_shapes(moves) if moves.route else _place_shapes(moves))))


def _route_shapes(moves: Moves) -> Iterator[Ints]:
    count, slots = len(moves.agents), moves.slots
    turns = [np.full(moves.steps, one) for one in range(count)] + [np.arange(moves.steps) % count]
    for drafters, menders, drafts in product(turns, turns, range(1, moves.steps + 1)):
        writers = np.where(np.arange(moves.steps) < drafts, drafters, menders)
        for place in ("newest", "drafts", "first", "own"):
            plan = np.zeros(moves.steps, np.int64)
            for step in range(drafts, moves.steps):
                plan[step] = _slot(place, step, drafts, writers, int(writers[step]))
            yield (writers * slots + plan)[:, None]


def _place_shapes(moves: Moves) -> Iterator[Ints]:
    count, slots = len(moves.agents), moves.slots
    everyone = np.ones((moves.steps, count), np.bool_)
    patterns = [everyone]
    if moves.passes:
        in_turn = np.arange(moves.steps)[:, None] % count == np.arange(count)
        patterns += [in_turn, *(np.tile(np.arange(count) == one, (moves.steps, 1)) for one in range(count))]
        patterns += [np.concatenate([everyone[:lead], in_turn[lead:]]) for lead in range(1, min(4, moves.steps))]
    for acts, drafts in product(patterns, range(1, moves.steps + 1)):
        for place in ("newest", "drafts", "first", "own", "next"):
            plan = np.full((moves.steps, count), slots)
            wrote: list[int] = []
            for step in range(moves.steps):
                size, before = len(wrote), np.array(wrote, np.int64)
                for agent in np.flatnonzero(acts[step]).tolist():
                    told = (agent + 1) % count if place == "next" else agent
                    slot = 0 if step < drafts else _slot(place, size, drafts * int(acts[0].sum()), before, told)
                    plan[step, agent] = slot
                    wrote.append(agent)
            yield plan


def _slot(place: str, size: int, drafts: int, writers: Ints, agent: int) -> int:
    """Return the node to refine in a tree of `size` nodes of which `writers[i]` wrote node i + 1; 0: write afresh."""
    if place == "newest":
        return size
    if place == "drafts":
        return 1 + size % drafts if drafts else 0
    if place == "first":
        return 1
    own = np.flatnonzero(writers[:size] == agent)
    return int(own[-1]) + 1 if len(own) else 0


def mutated(moves: Moves, plans: Ints, count: int, rng: np.random.Generator) -> Ints:
    """Return plans, shape (count, steps, columns), each a given one with one to three actions drawn anew."""
    found = plans[rng.integers(len(plans), size=count)].copy()
    actions = moves.slots * len(moves.agents) if moves.route else moves.slots + moves.passes
    for plan in found:
        for _ in range(int(rng.integers(1, 4))):
            plan[rng.integers(moves.steps), rng.integers(moves.columns)] = rng.integers(actions)
    return moves.legal(found)


def best_open_loop(named: Named, *, generations: int = 6, width: int = 128, seed: int = 0) -> OpenLoop:
    """Return the best schedule that the search finds on the training problems.

    Args:
        named: the environment.
        generations: how often the best ones are changed.
        width: how many changed plans a generation has.
        seed: of the search, and of the trees that it plays.
    """
    moves, rng = moves_of(named.make_vec(1).trees.game), np.random.default_rng(seed)
    trees = iter(range(seed * 10_000_000 + 1, (seed + 1) * 10_000_000))
    kept = halved(named, moves, np.unique(shapes(moves), axis=0), 8, trees)
    for _ in range(generations):
        field = np.concatenate([kept, mutated(moves, kept, width, rng)])
        kept = halved(named, moves, np.unique(field, axis=0), 8, trees)
    return OpenLoop(moves, halved(named, moves, kept, 1, trees, first=32 * FIRST_TREES))


def halved(named: Named, moves: Moves, plans: Ints, keep: int, seeds: Iterator[int], first: int = FIRST_TREES) -> Ints:
    """Return the `keep` best of some plans, best first: the worse half leaves after each round, and trees double."""
    trees = first
    while True:
        scores = means(named, moves, plans, [next(seeds) for _ in range(trees)])
        order = np.argsort(-scores, kind="stable")
        if len(plans) <= keep:
            return plans[order]
        plans, trees = plans[order[: max(keep, len(plans) // 2)]], 2 * trees


def means(named: Named, moves: Moves, plans: Ints, seeds: list[int]) -> NDArray[np.float64]:
    """Return the mean best score of each plan over training trees of these seeds, which draw their problems too."""
    each = max(1, MOST_TREES * 2 // len(seeds))
    found = []
    for begin in range(0, len(plans), each):
        some = plans[begin : begin + each]
        vec = named.make_vec(len(some) * len(seeds), split="train", autoreset_mode="NextStep")
        controller = OpenLoop(moves, some.repeat(len(seeds), axis=0))
        observations, _ = vec.reset(seed=seeds * len(some))
        best, over = np.zeros(vec.num_envs), np.zeros(vec.num_envs, np.bool_)
        while not over.all():
            observations, _, ended, _, _ = vec.step(controller.act(observations, _NO_DRAWS))
            new = ends_of(vec, ended) & ~over
            best[new] = vec.trees.best[new, 0]
            over |= new
        found.append(best.reshape(len(some), -1).mean(1))
        vec.close()
    return np.concatenate(found)


_NO_DRAWS: Final = np.random.default_rng(0)
