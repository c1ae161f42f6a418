"""Adaptive-branching MCTS with node aggregation (AB-MCTS-A, arXiv 2503.04412), and MARS2's order of its choices.

At each node two posteriors are held against each other: GEN, over the own scores of its children, and CONT, over the
scores further below. Thompson sampling decides whether a new child is generated here or the walk goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, get_args

import numpy as np

from mars2_env.base.checks import flag, one_of, real_number
from mars2_env.errors import ConfigError
from mars2_env.search.agents import thompson_agent, ucb_agent
from mars2_env.search.choice import Choice
from mars2_env.search.posteriors import FEW, Posterior, posterior, posterior_draws, with_mean
from mars2_env.search.tree import BELOW, CHILDREN, EVERYONE, ROOT, SearchTree, Triple, Triples

AgentChoice = Literal["thompson", "ucb", "stack"]
PendingMode = Literal["none", "mean", "loss"]


def pending_score(tree: SearchTree, parent: int, family: Posterior, mode: PendingMode) -> float | None:
    """Return the score that an expansion of `parent` stands in for while it is in flight.

    `none`: none, it is not counted (the exact law); `mean`: the mean of GEN at its parent at this moment; `loss`: 0, a
    virtual loss.
    """
    if mode == "none":
        return None
    return family.mean(*tree.triple(parent, CHILDREN)) if mode == "mean" else 0.0


@dataclass(frozen=True, slots=True)
class Guidance:
    """Depth-guided exploration (MARS2-T+): GEN draws at depth d are weighed by w(d, c) = gamma(d)^c.

    c is the number of nodes that were generated from depth d in this tree. The papers give gamma near 0.98 when shallow
    and smaller with depth, and no schedule; ours is gamma(d) = gamma * decay^d. A draw that can be negative (gaussian)
    is lowered by s * ln(1/w) instead, with s the posterior's scale.
    """

    gamma: float = 0.98
    decay: float = 0.95

    def __post_init__(self) -> None:
        for name in ("gamma", "decay"):
            object.__setattr__(self, name, real_number(name, getattr(self, name), above=0, most=1, where="Guidance"))

    def log_weight(self, depth: int, count: int) -> float:
        """Return ln w(d, c) = c * (ln gamma + d * ln decay)."""
        return count * (math.log(self.gamma) + depth * math.log(self.decay))

    def weigh(self, draw: float, scale: float | None, tree: SearchTree, node: int) -> float:
        """Return a draw of GEN at a node, weighed; `scale` is its posterior's, None where draws are never negative."""
        depth = int(tree.depth[node])
        log_weight = self.log_weight(depth, tree.width(depth + 1))
        return draw * math.exp(log_weight) if scale is None else draw + scale * log_weight


def generates(
    rng: np.random.Generator,
    family: Posterior,
    gen: Triple,
    cont: Triple,
    weigh: Callable[[float, float | None], float] | None = None,
) -> bool:
    """Return whether a draw from GEN is at least one from CONT (AB-MCTS-A); GEN's draw may be weighed first."""
    draw = family.draw(rng, *gen)
    if weigh is not None:
        draw = weigh(draw, family.scale(*gen))
    return draw >= family.draw(rng, *cont)


def descend(
    tree: SearchTree,
    rng: np.random.Generator,
    family: Posterior,
    guidance: Guidance | None = None,
    whose: int = EVERYONE,
) -> int:
    """Walk down from the root and return the node at which a new child is generated (AB-MCTS-A, arXiv 2503.04412).

    At a node with children, a draw from GEN (own scores of its children) is held against a draw from CONT (scores
    further below); GEN wins ties and stops the walk, else it goes on into the child with the largest draw from that
    child's posterior. A leaf is always expanded. With `guidance`, draws of GEN are weighed by depth; with `whose`, an
    agent's index, all posteriors see the scores of the nodes which that agent wrote, and no others.
    """
    node = ROOT
    while tree.child_count(node):
        weigh = None if guidance is None else partial(guidance.weigh, tree=tree, node=node)
        if generates(rng, family, tree.triple(node, CHILDREN, whose), tree.triple(node, BELOW, whose), weigh):
            break
        node = tree.child(node, _best_child(tree, rng, family, node, whose))
    return node


def _best_child(tree: SearchTree, rng: np.random.Generator, family: Posterior, node: int, whose: int) -> int:
    """Return the place of the child of a node whose posterior draws the largest value."""
    if tree.child_count(node) > FEW:
        return int(posterior_draws(rng, family, tree.child_triples(node, whose)).argmax())
    draws = [family.draw(rng, *triple) for triple in tree.few_child_triples(node, whose)]
    return draws.index(max(draws))


def stack_choice(
    tree: SearchTree,
    rng: np.random.Generator,
    family: Posterior,
    agent_families: Posterior | Sequence[Posterior],
    guidance: Guidance | None = None,
) -> Choice:
    """Choose agent, then GEN or CONT, then child at each node, from what that agent's children there came to (`stack`).

    At a node, an agent's own posterior sees the scores in the subtrees of the children it wrote there, its GEN these
    children's own scores, its CONT the scores below them. GEN wins ties, and an agent without children generates.
    """
    node = ROOT
    while True:
        children = np.array(tree.children(node), np.int64)
        author = tree.agent[children]
        subtree = tree.child_triples(node)
        whole = np.stack([subtree[author == agent].sum(axis=0) for agent in range(tree.n_agents)])
        agent = thompson_agent(whole, rng, agent_families, tree.allowed)
        written = children[author == agent]
        if not len(written):
            return Choice(node, agent)
        below = (tree.triples(written, CHILDREN) + tree.triples(written, BELOW)).sum(axis=0)
        weigh = None if guidance is None else partial(guidance.weigh, tree=tree, node=node)
        if generates(rng, family, triple_of(whole[agent] - below), triple_of(below), weigh):
            return Choice(node, agent)
        node = int(written[posterior_draws(rng, family, subtree[author == agent]).argmax()])


def triple_of(row: Triples) -> Triple:
    """Return a row (n, S, Q) as plain numbers."""
    n, s, q = row.tolist()
    return n, s, q


@dataclass(frozen=True, slots=True)
class AbMctsA:
    """AB-MCTS-A (arXiv 2503.04412).

    Attributes:
        posterior: `beta` or `gaussian`.
        agents: how the agent is chosen: `thompson` (by all scores of the nodes it wrote), `ucb`, or `stack` (by node).
        priors: a prior mean score for each agent, or none; agents that join later have the published prior.
        guidance: depth guidance (T+), or none.
        pending: what an expansion in flight counts as: `loss`, `mean` or `none` (`pending_score`). Where one expansion
            is in flight at a time nothing is pending when a choice is made, and all three are the exact law.
    """

    name: ClassVar[str] = "ab_mcts_a"
    posterior: str = "beta"
    agents: AgentChoice = "thompson"
    priors: tuple[float, ...] = ()
    guidance: Guidance | None = None
    pending: PendingMode = "loss"

    def __post_init__(self) -> None:
        posterior(self.posterior)
        check_pending(self.pending)
        check_guidance(self.guidance)
        one_of("agents", self.agents, get_args(AgentChoice))
        if isinstance(self.priors, str) or not isinstance(self.priors, Sequence):
            raise ConfigError(f"priors={self.priors!r:.200}: give a prior mean for each agent, such as (0.2, 0.6).")
        for mean in self.priors:
            with_mean(posterior(self.posterior), real_number("priors", mean))

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return where and by whom; pending expansions count as the tree has been told (`SearchTree.set_pending`)."""
        family = posterior(self.posterior)
        families: Posterior | list[Posterior] = family
        if self.priors:
            first = tree.n_agents - tree.joined
            if len(self.priors) != first:
                raise ConfigError(f"priors={self.priors!r}: one for each of the {first} agents is needed.")
            families = [*(with_mean(family, mean) for mean in self.priors), *[family] * tree.joined]
        if self.agents == "stack":
            return stack_choice(tree, rng, family, families, self.guidance)
        node = descend(tree, rng, family, self.guidance)
        if self.agents == "ucb":
            return Choice(node, ucb_agent(tree.agent_stats, tree.allowed))
        return Choice(node, thompson_agent(tree.agent_triples(), rng, families, tree.allowed))

    def pending_score(self, tree: SearchTree, choice: Choice) -> float | None:
        """Return the score that a choice stands in for while it is in flight."""
        return pending_score(tree, choice.parent, posterior(self.posterior), self.pending)


def check_pending(mode: str) -> None:
    """Refuse what `PendingMode` does not name, with ConfigError."""
    one_of("pending", mode, get_args(PendingMode))


def check_guidance(guidance: object) -> None:
    """Refuse what is neither a `Guidance` nor None, with ConfigError."""
    if guidance is not None and not isinstance(guidance, Guidance):
        raise ConfigError(
            f"guidance={guidance!r:.200} is not a Guidance; write guidance=default in a text, or give "
            "Guidance(gamma=0.98, decay=0.95) in Python."
        )


@dataclass(frozen=True, slots=True)
class Mars2:
    """MARS2's order (arXiv 2604.14564): the agent first, then the node; the same law as `AbMctsA` with `thompson`.

    Attributes:
        posterior: `beta` or `gaussian`.
        guidance: depth guidance (T+), or none.
        pending: as in `AbMctsA`.
        per_agent: whether the agent that was drawn walks down by posteriors over the scores of its own nodes alone,
            instead of everyone's.
    """

    name: ClassVar[str] = "mars2"
    posterior: str = "beta"
    guidance: Guidance | None = None
    pending: PendingMode = "loss"
    per_agent: bool = False

    def __post_init__(self) -> None:
        posterior(self.posterior)
        check_pending(self.pending)
        check_guidance(self.guidance)
        flag("per_agent", self.per_agent)

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return the agent that Thompson sampling draws and the node that `descend` reaches."""
        family = posterior(self.posterior)
        agent = thompson_agent(tree.agent_triples(), rng, family, tree.allowed)
        return Choice(descend(tree, rng, family, self.guidance, agent if self.per_agent else EVERYONE), agent)

    def pending_score(self, tree: SearchTree, choice: Choice) -> float | None:
        """Return the score that a choice stands in for while it is in flight."""
        return pending_score(tree, choice.parent, posterior(self.posterior), self.pending)
