"""Online rewards: what environments pay for one expansion. Credit for finished trees is `mars2_env.credit`'s."""

from __future__ import annotations

from collections.abc import Sequence

from mars2_env.episode import Episode
from mars2_env.search.tree import SearchTree
from mars2_env.types import Node


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


class Ledger:
    """Pays for the expansions of one episode, each as it is told, by one kind of reward."""

    def __init__(self, kind: str, share: str, episode: Episode) -> None:
        """Begin with the tree as it stands: what a seed node brought is paid to nobody."""
        self._kind, self._share, self._episode = kind, share, episode
        self._best = episode.best_score
        self._differences = [0.0] * len(episode.agents)

    def expanded(self, actor: str, node: Node | None) -> dict[str, float]:
        """Return what each agent gets for the expansion that was told last.

        Args:
            actor: the agent that acted.
            node: the node it added; None for an illegal parent.
        """
        episode = self._episode
        if self._kind == "difference":
            scores = None
            if episode.rules.model_weight:
                scores = [episode.root.score if episode.root else 0.0, *(node.score for node in episode.nodes)]
            before, self._differences = self._differences, differences(episode.tree, scores)
            return {
                agent: after - earlier
                for agent, earlier, after in zip(episode.agents, before, self._differences, strict=True)
            }
        before_best, self._best = self._best, episode.best_score
        amount = progress(before_best, self._best) if self._kind == "progress" else score(node)
        return paid(episode.agents, actor, amount, self._share)
