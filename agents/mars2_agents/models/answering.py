"""The answer of a finished tree by a reward model that its search did not have."""

from __future__ import annotations

from dataclasses import replace

from mars2_env.episode import Rules, chosen
from mars2_env.log import Tree
from mars2_env.tasks import ratings
from mars2_env.tasks.policies import check_rated
from mars2_env.types import Node, PublicView, RewardModel


def liked(tree: Tree, model: RewardModel, problem: PublicView) -> Node | None:
    """Return the node that a reward model likes best among those with the highest score on public tests.

    It is what `mars2_env.answer(tree, "reward")` would be had the model been there. All programs that could be the
    answer are rated in one call, each once.

    Args:
        tree: the tree.
        model: the model.
        problem: what may be seen of the tree's problem.

    Returns:
        The node; None if no node has a program.

    Raises:
        ConfigError: the model learned from this problem.
        PolicyError: it did not return one score in [0, 1] for each program.
    """
    check_rated(model, [problem])
    rules = Rules(**tree.header.task["rules"])
    written = [node for node in tree.nodes if node.program is not None]
    public = {node.id: rules.score_of(node.verdict, "public") for node in written}
    best = max(public.values(), default=0.0)
    first = {_original(node): node for node in reversed(written) if public[node.id] == best}
    asked = list(first.values())
    scores = ratings(model, problem, [node.program or "" for node in asked], [node.verdict for node in asked])
    score = dict(zip(first, scores, strict=True))
    number = chosen([replace(node, model_score=score.get(_original(node))) for node in written], rules, "reward")
    return None if number is None else tree.nodes[number - 1]


def _original(node: Node) -> int:
    """Return the number of the first node with this program."""
    return node.id if node.duplicate_of is None else node.duplicate_of
