"""Why a selector chose as it did: what it read and drew (`watched`), told as a walk down the tree.

At a node of the walk a new child, GEN, is held against going on, CONT; then the children of the node against each
other. Before or after the walk, or at each node of it, agents are held against each other. Each of those that are
compared is an `Arm`: the law of its posterior, what was drawn of it, and what it counts as.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from mars2_env.search.ab_mcts import AbMctsA, Guidance, Mars2
from mars2_env.search.ab_mcts_m import AbMctsM, arm_densities, new_child
from mars2_env.search.baselines import RepeatedSampling, Uct, uct_scores
from mars2_env.search.choice import Choice, Selector
from mars2_env.search.posteriors import Gaussian, Posterior, posterior, with_mean
from mars2_env.search.tree import BELOW, CHILDREN, ROOT, SearchTree, Triples
from mars2_env.view.watched import Drawn, Floats, Note, Read, watch

MOST_ARMS: Final = 16
"""How many of a node's children are told of: those with the largest values, and the one that was taken."""

KNOWN: Final = (AbMctsA, AbMctsM, Mars2, RepeatedSampling, Uct)
"""The selectors whose choices can be told of; others choose by rules that need no telling, or are not of ours."""

CURVE: Final = np.linspace(-0.25, 1.25, 49)
"""Where the density of a posterior without a formula of its own is told."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One of those that were held against each other.

    Attributes:
        who: the child's number, or the agent's index; None for GEN and CONT.
        value: what it counts as: the draw, weighed where it was.
        n: how many scores it has seen.
        mean: the mean of these; None where there are none.
        draw: what was drawn, before it was weighed; None where nothing is drawn.
        law: of the posterior: ("beta", a, b), ("t", centre, scale, freedom), ("curve", density at each of `CURVE`); or
            () where nothing is drawn.
        weight: what depth guidance multiplied the draw by, or, with a law that can be negative, added to it.
    """

    who: int | None
    value: float
    n: float
    mean: float | None
    draw: float | None = None
    law: tuple[Any, ...] = ()
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """A node at which the walk stopped to choose.

    Attributes:
        node: the node.
        agents: the agents, where one is chosen at each node (`stack`).
        agent: the index of the one that was chosen there.
        gen: generating a new child here.
        cont: going on; None where GEN is one of the children's rivals.
        children: the children that could be gone on to; `MOST_ARMS` of them.
        rest: how many more there were.
        to: the child that the walk went on to; None where it ended here.
    """

    node: int
    agents: tuple[Arm, ...] = ()
    agent: int | None = None
    gen: Arm | None = None
    cont: Arm | None = None
    children: tuple[Arm, ...] = ()
    rest: int = 0
    to: int | None = None


@dataclass(frozen=True, slots=True)
class Why:
    """Why a choice came out.

    Attributes:
        choice: the choice.
        walk: where it stopped to choose, from the root down; empty for a selector that draws nothing at nodes.
        agents: the agents, where one was chosen for the whole tree.
        agent_first: whether that came before the walk.
        batch: which member of which size of a batch of children it is, where a node is expanded by a batch.
    """

    choice: Choice
    walk: tuple[Stop, ...] = ()
    agents: tuple[Arm, ...] = ()
    agent_first: bool = False
    batch: tuple[int, int] | None = None


def why(selector: Selector, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Why:
    """Return what a selector chooses, and why; the arguments are those of `Selector.select`."""
    choice, notes = watch(selector, tree, rng, pending)
    choice = Choice(*map(int, choice))
    if type(selector) not in KNOWN:
        return Why(choice)
    match selector:
        case AbMctsA(agents="stack"):
            return Why(choice, tuple(_stack_walk(selector, tree, notes)))
        case AbMctsA() | Mars2():
            family = posterior(selector.posterior)
            readings = list(_readings(notes))
            walk = tuple(_walk(readings, tree, family, selector.guidance))
            if isinstance(selector, AbMctsA) and selector.agents == "ucb":
                return Why(choice, walk, _ucb(tree))
            agents = _agent_arms(readings, _agent_families(selector, tree, family))
            return Why(choice, walk, agents, agent_first=isinstance(selector, Mars2))
        case AbMctsM():
            agents = _ucb(tree) if selector.agents == "ucb" else _mixed_agents(notes)
            return Why(choice, tuple(_mixed_walk(notes, tree, selector.guidance)), agents)
        case RepeatedSampling(agents="thompson"):
            return Why(choice, (), _agent_arms(_readings(notes), [posterior("beta")] * tree.n_agents))
        case Uct():
            size = selector.samples * tree.n_agents
            place = (len(tree) - 1 + len(pending)) % size
            return Why(choice, tuple(_uct_walk(tree, selector.weight)) if not place else (), batch=(place + 1, size))
    return Why(choice)


def _arm(who: int | None, row: Iterable[float], law: tuple[Any, ...], draw: float | None, value: float) -> Arm:
    n, s, _ = row
    return Arm(who, value, n, s / n if n else None, draw, law)


@dataclass(frozen=True, slots=True)
class _Draws:
    """What was drawn of the posteriors over some rows.

    Attributes:
        rows: shape (rows, 3).
        parameters: of the law of each, shape (parameters, rows).
        values: shape (rows,).
    """

    rows: Triples
    parameters: Floats
    values: Floats

    def arm(self, place: int, family: Posterior, who: int | None = None) -> Arm:
        """Return the arm of one row."""
        row, drawn = self.rows[place].tolist(), float(self.values[place])
        if isinstance(family, Gaussian):
            centre, scale, freedom = family.parameters(*row)
            value = centre + scale * drawn
            return _arm(who, row, ("t", centre, scale, freedom), value, value)
        return _arm(who, row, ("beta", *self.parameters[:, place].tolist()), drawn, drawn)

    def counted(self, family: Posterior) -> Floats:
        """Return what each row counts as, shape (rows,)."""
        if not isinstance(family, Gaussian):
            return self.values
        centre, scale, _ = family.parameters(*self.rows.T)
        counted: Floats = centre + scale * self.values
        return counted


def _draws(rows: Triples, drawn: Sequence[Drawn], first: int = 0) -> _Draws:
    """Return the draws of some rows, whose first is number `first` of all that was drawn."""
    here = slice(first, first + len(rows))
    parameters = np.concatenate([one.parameters for one in drawn], axis=1)[:, here]
    return _Draws(rows, parameters, np.concatenate([one.values for one in drawn])[here])


def _readings(notes: Sequence[Note]) -> Iterator[tuple[Read, _Draws]]:
    """Yield each reading with the draws of its rows: a draw is of the row that was read first and not drawn of yet."""
    waiting: deque[Read] = deque()
    drawn: list[Drawn] = []  # of the reading that waits longest; no call draws of two
    for note in notes:
        if isinstance(note, Read):
            waiting.append(note)
            continue
        drawn.append(note)
        if sum(len(one.values) for one in drawn) == len(waiting[0].rows):
            read = waiting.popleft()
            yield read, _draws(read.rows, drawn)
            drawn = []


def _walk(
    readings: Iterable[tuple[Read, _Draws]], tree: SearchTree, family: Posterior, guidance: Guidance | None
) -> Iterator[Stop]:
    """Yield the stops of a walk by GEN, CONT and children (`descend`)."""
    stop: Stop | None = None
    for read, drawn in readings:
        if read.what == "gen":
            if stop is not None:
                yield stop
            stop = Stop(read.node, gen=_weighed(drawn.arm(0, family), tree, read.node, guidance))
        elif stop is not None and read.what == "cont":
            stop = replace(stop, cont=drawn.arm(0, family))
        elif stop is not None and read.what == "child":
            arm = partial(drawn.arm, family=family)
            stop = _with_children(stop, drawn.counted(family), tree.children(read.node), arm)
    if stop is not None:
        yield stop


def _weighed(gen: Arm, tree: SearchTree, node: int, guidance: Guidance | None) -> Arm:
    """Return GEN as depth guidance weighs it."""
    if guidance is None or gen.draw is None:
        return gen
    depth = int(tree.depth[node])
    log_weight = guidance.log_weight(depth, tree.width(depth + 1))
    if gen.law[0] == "beta":
        return replace(gen, value=guidance.weigh(gen.draw, None, tree, node), weight=float(np.exp(log_weight)))
    scale = gen.law[2] if gen.law[0] == "t" else gen.law[-1]
    return replace(gen, value=guidance.weigh(gen.draw, scale, tree, node), weight=scale * log_weight)


def _with_children(stop: Stop, values: Floats, children: Sequence[int], arm: Callable[[int], Arm]) -> Stop:
    """Return a stop with its children, the best of many; the best is gone on to.

    Args:
        stop: the stop.
        values: what each child counts as, shape (children,).
        children: their numbers, ascending.
        arm: from the place of a child to its arm.
    """
    ranked = np.argsort(-values, kind="stable").tolist()  # of equals the first
    shown = sorted(ranked[:MOST_ARMS])
    arms = tuple(replace(arm(place), who=children[place]) for place in shown)
    return replace(stop, children=arms, rest=len(values) - len(shown), to=children[ranked[0]])


def _agent_families(selector: AbMctsA | Mars2, tree: SearchTree, family: Posterior) -> list[Posterior]:
    priors = selector.priors if isinstance(selector, AbMctsA) else ()
    own = [with_mean(family, mean) for mean in priors]
    return own + [family] * (tree.n_agents - len(own))


def _agent_arms(readings: Iterable[tuple[Read, _Draws]], families: Sequence[Posterior]) -> tuple[Arm, ...]:
    """Return the arm of each agent."""
    for read, drawn in readings:
        if read.what == "agent":
            return tuple(drawn.arm(agent, family, agent) for agent, family in enumerate(families))
    return ()


def _ucb(tree: SearchTree) -> tuple[Arm, ...]:
    """Return the agents by mean + sqrt(2 ln N / n) (`ucb_agent`); an untried one has no bound."""
    rows = tree.agent_stats
    total = rows[:, 0].sum()
    found = []
    for agent, (n, s, _) in enumerate(rows.tolist()):
        bound = s / n + float(np.sqrt(2 * np.log(total) / n)) if n else float("inf")
        found.append(Arm(agent, bound, n, s / n if n else None))
    return tuple(found)


def _stack_walk(selector: AbMctsA, tree: SearchTree, notes: Sequence[Note]) -> Iterator[Stop]:
    """Yield the stops of a walk that chooses the agent at each node, by its own children there (`stack_choice`).

    Of each reading of the children's rows are drawn: each agent, over the sum of its children's; then GEN, CONT and, if
    CONT won, each child, of the agent that was chosen.
    """
    family = posterior(selector.posterior)
    families = _agent_families(selector, tree, family)
    at = [place for place, note in enumerate(notes) if isinstance(note, Read)]
    for first, after in zip(at, [*at[1:], len(notes)], strict=True):
        read = notes[first]
        assert isinstance(read, Read)
        drawn = [note for note in notes[first + 1 : after] if isinstance(note, Drawn)]
        count = sum(len(one.values) for one in drawn)
        children = np.array(tree.children(read.node), np.int64)
        author = tree.agent[children]
        whole = np.stack([read.rows[author == agent].sum(axis=0) for agent in range(tree.n_agents)])
        own = _draws(whole, drawn)
        agents = tuple(own.arm(agent, family, agent) for agent, family in enumerate(families))
        allowed = range(tree.n_agents) if tree.allowed is None else np.flatnonzero(tree.allowed).tolist()
        chosen = max(allowed, key=lambda agent: agents[agent].value)
        stop = Stop(read.node, agents, chosen)
        if count > tree.n_agents:
            written = children[author == chosen]
            below = (tree.triples(written, CHILDREN) + tree.triples(written, BELOW)).sum(axis=0)
            both = _draws(np.stack([whole[chosen] - below, below]), drawn, tree.n_agents)
            gen = _weighed(both.arm(0, family), tree, read.node, selector.guidance)
            stop = replace(stop, gen=gen, cont=both.arm(1, family))
            if count > tree.n_agents + 2:
                below_it = _draws(read.rows[author == chosen], drawn, tree.n_agents + 2)
                arm = partial(below_it.arm, family=family)
                stop = _with_children(stop, below_it.counted(family), written.tolist(), arm)
        yield stop


def _mixed_draws(notes: Sequence[Note], what: str) -> Iterator[tuple[Read, Floats]]:
    """Yield each reading of a mixed model's groups with its arms' draws: the last of three calls (`draw_arms`)."""
    for place, note in enumerate(notes):
        if isinstance(note, Read) and note.what == what:
            drawn = [one for one in notes[place + 1 : place + 4] if isinstance(one, Drawn)]
            if len(drawn) == 3:
                yield note, drawn[-1].values


def _mixed_walk(notes: Sequence[Note], tree: SearchTree, guidance: Guidance | None) -> Iterator[Stop]:
    """Yield the stops of a walk in which a new child is one arm among the children (`AbMctsM.select`)."""
    for read, drawn in _mixed_draws(notes, "child"):
        old, new = drawn[:-1], float(drawn[-1])
        gen = _arm(None, (0.0, 0.0, 0.0), (), new, new)
        if guidance is not None:
            value = guidance.weigh(new, new_child(read.rows)[1], tree, read.node)
            gen = replace(gen, value=value, weight=value - new)
        children = tree.children(read.node)
        stop = _with_children(Stop(read.node), old, children, partial(_undrawn, read.rows, old))
        shown = [children.index(arm.who or ROOT) for arm in stop.children]
        *laws, last = _curves(read.rows, [*shown, len(old)])
        arms = zip(stop.children, laws, strict=True)
        named = tuple(replace(arm, draw=arm.value, law=law) for arm, law in arms)
        went = stop.to if old.max() >= gen.value else None
        yield replace(stop, gen=replace(gen, law=last), children=named, to=went)


def _mixed_agents(notes: Sequence[Note]) -> tuple[Arm, ...]:
    """Return the agents by a draw of the mixed model (`mixed_agent`): those with nodes come first, then the others."""
    for read, drawn in _mixed_draws(notes, "agent"):
        tried = read.rows[:, 0] > 0
        order = [*np.flatnonzero(tried).tolist(), *np.flatnonzero(~tried).tolist()]
        laws = _curves(read.rows[tried], range(len(order)))
        arms = [
            _arm(agent, read.rows[agent].tolist(), law, value, value)
            for agent, law, value in zip(order, laws, drawn.tolist(), strict=True)
        ]
        return tuple(sorted(arms, key=lambda arm: arm.who or 0))
    return ()


def _curves(groups: Triples, arms: Sequence[int]) -> list[tuple[Any, ...]]:
    return [("curve", *row) for row in arm_densities(groups, arms, CURVE).tolist()]


def _uct_walk(tree: SearchTree, weight: float) -> Iterator[Stop]:
    """Yield the stops of a walk by the largest UCT score (`uct_leaf`)."""
    node = ROOT
    while tree.child_count(node):
        values = uct_scores(tree, node, weight)
        arm = partial(_undrawn, tree.child_triples(node), values)
        stop = _with_children(Stop(node), values, tree.children(node), arm)
        yield stop
        node = stop.to or ROOT


def _undrawn(rows: Triples, values: Floats, place: int) -> Arm:
    """Return an arm that counts as its value, of which nothing is known to be drawn."""
    return _arm(None, rows[place].tolist(), (), None, float(values[place]))
