"""Online rewards: what environments pay for one expansion. Credit for finished trees is `mars2_env.credit`'s.

A reward is a function of an episode at its start, which returns the function that pays: given the actor and the node it
added (None for an illegal parent), what that expansion earns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Final, TypeAlias, TypeVar

from mars2_env.base.blame import blamed
from mars2_env.base.checks import shown
from mars2_env.base.parts import Parts
from mars2_env.episode import Episode
from mars2_env.errors import ConfigError
from mars2_env.search.tree import SearchTree
from mars2_env.types import Node

Amount: TypeAlias = float | Mapping[str, float]
"""What an expansion earns: a number, which the task's `share` hands out, or an amount for each agent.

True and False are 1 and 0, as everywhere in Python.
"""

Pay: TypeAlias = Callable[[str, Node | None], Amount]
Reward: TypeAlias = Callable[[Episode], Pay]
R = TypeVar("R", bound=Reward)


def progress(best_before: float, best_after: float) -> float:
    """Return the increase of the tree's best score; over an episode it telescopes to the best final score."""
    return best_after - best_before


def score(node: Node | None) -> float:
    """Return the new node's score; an illegal turn (no node) and a duplicate earn 0."""
    return 0.0 if node is None or node.duplicate_of is not None else node.score


def best_without(parents: Sequence[int], agents: Sequence[int], scores: Sequence[float], n_agents: int) -> list[float]:
    """Return, for each agent, the best score of the tree without that agent's nodes and their descendants.

    Args:
        parents: the parent of each node, -1 for the root; parents come before their children.
        agents: the index of the agent that wrote each node, -1 for the root.
        scores: the score of each node.
        n_agents: how many agents there are.
    """
    best = [scores[0]] * n_agents
    wrote = [0]  # of each node, as bits: the agents that wrote it or one of its ancestors
    for parent, agent, value in zip(parents[1:], agents[1:], scores[1:], strict=True):
        path = wrote[parent] | 1 << agent
        wrote.append(path)
        for other in range(n_agents):
            if value > best[other] and not path >> other & 1:
                best[other] = value
    return best


def differences(tree: SearchTree, scores: Sequence[float] | None = None) -> list[float]:
    """Return, for each agent, how much of the tree's best score there would not be without it.

    Best score of the tree minus best score without the agent's nodes and their descendants: in [0, 1], and 0 for an
    agent without nodes. What `difference` pays is the change of it, so that it telescopes to its final value.

    Args:
        tree: the tree.
        scores: the score of each node, the root included, where the tree's own numbers are mixed with a reward model's.
    """
    scores = tree.score.tolist() if scores is None else scores
    top = max(scores)
    without = best_without(tree.parent.tolist(), tree.agent.tolist(), scores, tree.n_agents)
    return [top - rest for rest in without]


def paid(agents: Sequence[str], actor: str, amount: float, share: str) -> dict[str, float]:
    """Return what each agent gets: the amount to the actor alone (`own`) or to every agent (`team`)."""
    return {agent: amount if share == "team" or agent == actor else 0.0 for agent in agents}


def pay_progress(episode: Episode) -> Pay:
    """Pay `progress`; what a seed node brought is paid to nobody."""
    best = episode.best_score

    def pay(actor: str, node: Node | None) -> float:
        nonlocal best
        before, best = best, episode.best_score
        return progress(before, best)

    return pay


def pay_score(episode: Episode) -> Pay:
    """Pay `score`."""
    return lambda actor, node: score(node)


def pay_difference(episode: Episode) -> Pay:
    """Pay each agent the change of its difference (`differences`)."""
    last = [0.0] * len(episode.agents)

    def pay(actor: str, node: Node | None) -> dict[str, float]:
        nonlocal last
        scores = None
        if episode.rules.model_weight:
            scores = [episode.root.score if episode.root else 0.0, *(node.score for node in episode.nodes)]
        before, last = last, differences(episode.tree, scores)
        return {agent: after - earlier for agent, earlier, after in zip(episode.agents, before, last, strict=True)}

    return pay


REWARDS: Final = Parts(
    "reward",
    "mars2_env.rewards",
    {"progress": pay_progress, "score": pay_score, "difference": pay_difference},
)


def register_reward(name: str) -> Callable[[R], R]:
    """Return a decorator that makes the task option `reward=name` mean a function of yours.

    It is called with the `Episode` at its start (to look at, not to drive) and returns the function that pays: called
    with the actor and its new node (None for an illegal parent) after each expansion, it returns a number, which the
    option `share` hands out, or a mapping with an amount for every agent. Installed packages offer the same by the
    entry-point group `mars2_env.rewards`.

    Raises:
        ConfigError: the name is taken, or holds a character that specs use.
    """
    return REWARDS.decorator(name)


class Ledger:
    """Pays for the expansions of one episode, each as it is told, by one kind of reward."""

    def __init__(self, kind: str | Reward, share: str, episode: Episode) -> None:
        """Begin with the tree as it stands.

        Args:
            kind: a reward's name, or the reward itself.
            share: to whom a plain number goes, `own` or `team`.
            episode: the episode at its start.

        Raises:
            ConfigError: the reward did not return a function that pays.
        """
        self._kind, self._share, self._agents = kind, share, episode.agents
        self._pay: Pay = REWARDS.build(kind, episode, options={}) if isinstance(kind, str) else kind(episode)
        if not callable(self._pay):
            raise ConfigError(
                f"reward {kind!r:.200} returned {self._pay!r:.200}; called with the episode at its start, it is to "
                "return a function pay(agent, node) of each expansion."
            )

    def expanded(self, actor: str, node: Node | None) -> dict[str, float]:
        """Return what each agent gets for the expansion that was told last.

        Args:
            actor: the agent that acted.
            node: the node it added; None for an illegal parent.

        Raises:
            ConfigError: what the reward returned is neither a finite number nor one for every agent.
        """
        with blamed("the reward", self._kind):
            amount: object = self._pay(actor, node)
        try:
            if isinstance(amount, Mapping):
                found = dict(amount)
            elif not isinstance(amount, str | bytes | bytearray):  # which float() would read as a number
                found = paid(self._agents, actor, float(amount), self._share)  # type: ignore[arg-type]  # is caught
            else:
                found = {}
            if set(found) == set(self._agents) and all(isfinite(value) for value in found.values()):
                return found
        except (TypeError, ValueError, OverflowError):
            pass
        raise ConfigError(
            f"reward {self._kind!r} returned {shown(amount)} for {actor}; give a finite number, or a mapping with one "
            f"for each of {', '.join(self._agents)}."
        )
