"""Credit by name: what each node of a finished tree was worth, before that is normalised.

`Credit(credit="c3")` or `Credit(credit="pkpo,k=4")` name one of these; `node_credit` calls it, so that credit of one's
own can be made of several: `Credit(credit=lambda tree: node_credit("c3", tree) + node_credit("tree_rl", tree))`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeAlias

import numpy as np

from mars2_env.base.checks import real_number, whole_number
from mars2_env.base.parts import Parts
from mars2_env.base.spec import parse_spec, typed_options
from mars2_env.credit.advantages import rae
from mars2_env.credit.arrays import Bools, Floats, Numbers
from mars2_env.credit.collaborative import agent_difference, node_difference, shapley, team_returns
from mars2_env.credit.estimates import pkpo
from mars2_env.credit.values import c3, tree_rl, tree_rpo
from mars2_env.errors import ConfigError, PartError, unknown_name
from mars2_env.log import Header, Tree

NodeCredit: TypeAlias = Callable[[Tree], Numbers]
"""From a finished tree to one number a node, in order of number."""

SHAPING = "shaping"
"""The credit of MARS2, `tree_shaping`, whose settings are those of `Credit` itself."""


def told(tree: Tree) -> tuple[list[int], list[float], list[str]]:
    """Return the parents, raw rewards and agents of a tree's nodes, as the functions of credit take them."""
    return (
        [node.parent for node in tree.nodes],
        [node.score for node in tree.nodes],
        [node.agent for node in tree.nodes],
    )


def _of_agents(values: Mapping[Hashable, float], tree: Tree) -> Floats:
    """Return for each node what its agent is worth."""
    return np.array([values[node.agent] for node in tree.nodes], dtype=np.float64)


def _agent_difference(tree: Tree, counts: Bools) -> Floats:
    return _of_agents(agent_difference(*told(tree)), tree)


def _c3(tree: Tree, counts: Bools) -> Floats:
    return c3(*told(tree), mask=counts)


def _node_difference(tree: Tree, counts: Bools) -> Floats:
    return node_difference(*told(tree)[:2])


def _pkpo(tree: Tree, counts: Bools, k: int = 4, solved: float = 1.0) -> Floats:
    """`pkpo` over all nodes of a tree; one that has fewer than k of them is taken with as many as it has."""
    whole_number("k", k, where="pkpo")
    real_number("solved", solved, above=0, where="pkpo")
    passed = [node.score >= solved for node in tree.nodes]
    return pkpo(passed, min(k, max(len(passed), 1)))


def _rae(tree: Tree, counts: Bools, decay: float = 0.95) -> Floats:
    """`rae` over the nodes of a tree, whose agents' means begin at 0; `Credit` has it go on from tree to tree."""
    return RunningBaselines(decay)(tree, counts)


def _shapley(tree: Tree, counts: Bools) -> Floats:
    return _of_agents(shapley(*told(tree)), tree)


def _team_return(tree: Tree, counts: Bools) -> Floats:
    return team_returns([tree.problem] * len(tree.nodes), told(tree)[1])[0]


def _tree_rl(tree: Tree, counts: Bools) -> Floats:
    return tree_rl(*told(tree)[:2])


def _tree_rpo(tree: Tree, counts: Bools) -> Floats:
    return tree_rpo(*told(tree)[:2])


CREDITS = Parts(
    "credit",
    "mars2_env.credits",
    {
        "agent_difference": _agent_difference,
        "c3": _c3,
        "node_difference": _node_difference,
        "pkpo": _pkpo,
        "rae": _rae,
        "shapley": _shapley,
        "team_return": _team_return,
        "tree_rl": _tree_rl,
        "tree_rpo": _tree_rpo,
    },
)
"""Name -> function of a tree, of which nodes count, and of options; what a duplicate that is masked tells of its parent
and of the tree stays told: it was drawn like any other. `c3`, whose means are over siblings, leaves it out of them."""

_EMPTY = Tree(Header("", 0, {}, "", "", "", ""), (), (), None, None)


def node_credit(credit: str | NodeCredit, tree: Tree, counts: Bools | None = None) -> Floats:
    """Return what each node of a tree was worth.

    Args:
        credit: a name with options, such as `tree_rl` or `pkpo,k=4`; or a function of the tree.
        tree: the tree.
        counts: which nodes count; all by default.

    Raises:
        PartError: there is no such credit.
        ConfigError: its options are wrong, or the function did not return one number a node.
    """
    every = np.ones(len(tree.nodes), bool) if counts is None else counts
    if isinstance(credit, str):
        spec = parse_spec(credit, "credit")
        if spec.rest:
            raise ConfigError(f"credit {credit!r:.200}: options are given as {spec.name},key=value.")
        given = CREDITS.build(spec.name, tree, every, options=spec.options)
    elif isinstance(credit, RunningBaselines):
        given = credit(tree, every)
    else:
        given = credit(tree)
    try:
        values = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.zeros(())
    if values.shape != (len(tree.nodes),):
        raise ConfigError(
            f"credit {credit!r:.200} returned {given!r:.200} for a tree of {len(tree.nodes)} nodes; one number each is "
            "needed."
        )
    return values


def check_credit(credit: str | NodeCredit) -> None:
    """Refuse what is no credit, or one whose options are wrong, before any tree is grown for it.

    Raises:
        PartError: there is no such credit.
        ConfigError: its options make no sense.
    """
    if not callable(credit) and credit != SHAPING:
        if isinstance(credit, str) and parse_spec(credit, "credit").name == SHAPING:
            raise ConfigError(f"credit {credit!r}: the settings of {SHAPING} are gamma and mix of Credit itself.")
        if not isinstance(credit, str):
            raise ConfigError(f"Credit(credit={credit!r:.200}): give a name, or a function of a tree.")
        if (name := parse_spec(credit, "credit").name) not in CREDITS:
            raise PartError(unknown_name("credit", name, [SHAPING, *CREDITS.names()]))
        node_credit(credit, _EMPTY)


class RunningBaselines:
    """Credit against each agent's own running mean, which goes on from tree to tree: `rae` with a memory.

    `Credit(credit="rae", estimator="none")` has one of its own, and so has any algorithm that is given "rae"; it may be
    given as such too. Trees count in the order in which they are credited, once each time that they are; who goes on
    with a run keeps `means`.

    Source: role-conditioned advantage estimation (arXiv 2506.24119).

    Args:
        decay: how slowly the means move, in [0, 1].
        means: agent -> its mean so far.
    """

    def __init__(self, decay: float = 0.95, means: Mapping[Hashable, float] | None = None) -> None:
        self.decay = real_number("decay", decay, least=0, most=1, where="RunningBaselines")
        self.means: dict[Hashable, float] = dict(means or {})

    def __repr__(self) -> str:
        return f"RunningBaselines(decay={self.decay})"

    def __call__(self, tree: Tree, counts: Bools | None = None) -> Floats:
        """Return each node's reward minus its agent's mean before it, and move the means.

        Args:
            tree: the tree.
            counts: which nodes count, all by default; others, such as masked duplicates, are worth 0 and move nothing.
        """
        _, rewards, agents = told(tree)
        counted = np.flatnonzero(np.ones(len(rewards), bool) if counts is None else counts).tolist()
        found = np.zeros(len(rewards))
        found[counted], self.means = rae(
            [rewards[place] for place in counted], [agents[place] for place in counted], self.means, decay=self.decay
        )
        return found


def with_memory(credit: str | NodeCredit) -> str | NodeCredit:
    """Return a credit as it is, but for `rae`: that is what goes on from tree to tree, with a memory of its own."""
    if not isinstance(credit, str):
        return credit
    spec = parse_spec(credit, "credit")
    return RunningBaselines(**typed_options(RunningBaselines, spec.options, "credit")) if spec.name == "rae" else credit
