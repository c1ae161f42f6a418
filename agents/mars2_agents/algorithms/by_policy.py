"""From finished trees to one lesson a policy: credit, then to each policy what its agents wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from mars2_agents.algorithms.lesson import Crew, Lesson, Loss
from mars2_env.credit import Credit, Sample, samples
from mars2_env.log import Tree


def lessons(
    trees: Sequence[Tree],
    crew: Crew,
    credit: Credit,
    loss: Loss,
    *,
    reference: bool = False,
    fresh: bool = False,
) -> dict[str, Lesson]:
    """Return what each policy learns of trees: the tokens that its agents wrote, with their advantages.

    Programs that their tree had already are left out, and counted, unless the credit keeps duplicates: in a batch they
    would only thin the means of the loss.

    Args:
        trees: finished trees, logged with their tokens.
        crew: who plays for whom.
        credit: how rewards become advantages.
        loss: what each policy learns by.
        reference: whether the loss needs a reference.
        fresh: whether fresh programs alone are learnt, and compared with each other alone.
    """
    found = samples([fresh_part(tree) for tree in trees] if fresh else trees, policies=crew.policies, credit=credit)
    learnt: dict[str, list[Sample]] = {policy: [] for policy in crew.policies.values()}
    left: dict[str, Counter[str]] = {policy: Counter() for policy in learnt}
    for sample in found.samples:
        if sample.duplicate and credit.duplicates == "mask":
            left[sample.policy]["duplicate"] += 1
        else:
            learnt[sample.policy].append(sample)
    told = {(sample.tree, sample.node) for sample in found.samples}
    for tree in trees:
        for node in tree.nodes:
            if (f"{tree.problem}#{tree.seed}", node.id) not in told and node.agent in crew.policies:
                reason = "refinement" if fresh and node.parent else "no tokens recorded"
                left[crew.policies[node.agent]][reason] += 1
    return {policy: Lesson(tuple(rows), loss, reference, dict(left[policy])) for policy, rows in learnt.items()}


def fresh_part(tree: Tree) -> Tree:
    """Return a tree without its refinements: independent samples, whatever grew beside them."""
    return replace(tree, nodes=tuple(node for node in tree.nodes if node.parent == 0))
