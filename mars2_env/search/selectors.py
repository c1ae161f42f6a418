"""Selectors: from a tree to the next (parent, agent).

A selector is a frozen dataclass, so that it can be written into a configuration, with one method `select`. All of its
randomness comes from the generator it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np

from mars2_env.errors import ConfigError, unknown_name
from mars2_env.search.posteriors import Posterior, posterior
from mars2_env.search.tree import BELOW, CHILDREN, ROOT, SUBTREE, SearchTree


class Choice(NamedTuple):
    """Where the tree grows next, and by whom: a node to expand and the index of an agent."""

    parent: int
    agent: int


@runtime_checkable
class Selector(Protocol):
    """Picks the node to expand and the agent that expands it."""

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return the next choice.

        Args:
            tree: the tree with every outcome that is known so far.
            rng: the source of all randomness of this choice.
            pending: expansions that were asked for and have no outcome yet, oldest first.
        """
        ...


def descend(tree: SearchTree, rng: np.random.Generator, family: Posterior) -> int:
    """Walk down from the root and return the node at which a new child is generated (AB-MCTS-A, arXiv 2503.04412).

    At a node with children, a draw from GEN (own scores of its children) is held against a draw from CONT (scores
    further below); GEN wins ties and stops the walk, else it goes on into the child with the largest draw from that
    child's posterior. A leaf is always expanded.
    """
    node = ROOT
    while children := tree.children(node):
        generate, go_on = family.draw(rng, tree.stats[node, [CHILDREN, BELOW]])
        if generate >= go_on:
            break
        node = children[int(np.argmax(family.draw(rng, tree.stats[children, SUBTREE])))]
    return node


def thompson_agent(tree: SearchTree, rng: np.random.Generator, family: Posterior) -> int:
    """Return the agent with the largest draw from its posterior over the scores of all nodes it wrote."""
    return int(np.argmax(family.draw(rng, tree.agent_stats)))


@dataclass(frozen=True, slots=True)
class AbMctsA:
    """AB-MCTS-A with Thompson sampling over agents (arXiv 2503.04412); `posterior` is `beta` or `gaussian`."""

    name: ClassVar[str] = "ab_mcts_a"
    posterior: str = "beta"

    def __post_init__(self) -> None:
        posterior(self.posterior)

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return the node that `descend` reaches and the agent `thompson_agent` draws; pending ones are ignored."""
        family = posterior(self.posterior)
        node = descend(tree, rng, family)
        return Choice(node, thompson_agent(tree, rng, family))


@dataclass(frozen=True, slots=True)
class RepeatedSampling:
    """Best of N: every node is a fresh one, agents in turn."""

    name: ClassVar[str] = "repeated_sampling"

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return the root and the next agent in turn."""
        return Choice(ROOT, (len(tree) - 1 + len(pending)) % tree.n_agents)


SELECTORS: dict[str, type[Any]] = {kind.name: kind for kind in (AbMctsA, RepeatedSampling)}


def make_selector(name: str, **options: Any) -> Selector:
    """Build a selector by name; options may also be written behind it, as in `ab_mcts_a,posterior=gaussian`.

    Raises:
        ConfigError: the name or an option is unknown, or an option's value makes no sense.
    """
    name, *pairs = (part.strip() for part in name.split(","))
    options |= {option.strip(): value.strip() for option, _, value in (pair.partition("=") for pair in pairs)}
    if name not in SELECTORS:
        raise ConfigError(unknown_name("selector", name, SELECTORS))
    kind = SELECTORS[name]
    known = [f.name for f in fields(kind)]
    for option in options:
        if option not in known:
            raise ConfigError(unknown_name(f"option of selector {name!r}", option, known))
    selector: Selector = kind(**options)
    return selector


def selector_config(selector: Selector) -> dict[str, Any]:
    """Return what identifies a selector in a configuration: its name and, for a dataclass, its fields."""
    name = getattr(selector, "name", type(selector).__qualname__)
    options: dict[str, Any] = asdict(selector) if is_dataclass(selector) and not isinstance(selector, type) else {}
    return {"name": name, **options}
