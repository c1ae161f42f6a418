"""What finished trees come to, in numbers: pure functions of logs, each one thing.

A mean over nothing is None, and is told to nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Final

from mars2_env.credit import Sample
from mars2_env.episode import Rules, chosen
from mars2_env.log import Trace, Tree
from mars2_env.types import Node

NODES: Final = (2, 4, 8, 16)
"""After how many nodes Pass@1(MCTS) is looked at."""

DRIFT: Final = 0.2
"""An agent whose mean advantage is further from 0 than this unlearns what it can, or learns whatever it does."""

_WORD: Final = re.compile(r"\w+|[^\w\s]")

Measures = dict[str, float]


def mean(values: Iterable[float]) -> float | None:
    """Return the mean of some numbers; None of none."""
    found = list(values)
    return sum(found) / len(found) if found else None


def told(measures: Mapping[str, float | None]) -> Measures:
    """Return the measures that there are."""
    return {name: float(value) for name, value in measures.items() if value is not None}


def passes_scored(tree: Tree) -> list[bool]:
    """Return of each node of a tree whether it passes the tests that its score is made of."""
    group = Rules(**tree.header.task["rules"]).score_on
    return [node.verdict.group(group).passed for node in tree.nodes]


def pass_at_1_mcts(trees: Sequence[Tree], passed: Sequence[Sequence[bool]], nodes: int) -> float | None:
    """Return Pass@1(MCTS): the share of trees whose answer passes, each tree cut after so many nodes.

    The answer is chosen by public tests, ties to the latest. A tree that ended earlier is taken as it is.

    Source: MARS2 (arXiv 2604.14564).

    Args:
        trees: the trees.
        passed: of each tree, of each node, whether it passes.
        nodes: how many nodes of a tree count.
    """

    def right(tree: Tree, outcomes: Sequence[bool]) -> bool:
        number = chosen(tree.nodes[:nodes], Rules(**tree.header.task["rules"]), "best")
        return number is not None and outcomes[number - 1]

    return mean(right(tree, outcomes) for tree, outcomes in zip(trees, passed, strict=True))


def pass_at_n(passed: Sequence[Sequence[bool]]) -> float | None:
    """Return Pass@N: the share of trees of which some node passes."""
    return mean(any(outcomes) for outcomes in passed)


def pass_at_1(
    trees: Sequence[Tree], passed: Sequence[Sequence[bool]], agents: Collection[str] | None = None
) -> float | None:
    """Return Pass@1: the mean share of a tree's fresh programs that pass, over trees that have one.

    A search writes more fresh programs where they fail, so that each tree has the same weight, whatever their number.

    Args:
        trees: the trees.
        passed: of each tree, of each node, whether it passes.
        agents: whose programs; everybody's by default.
    """
    found = []
    for tree, outcomes in zip(trees, passed, strict=True):
        fresh = [
            outcomes[node.id - 1]
            for node in tree.nodes
            if parent_of(tree, node) is None and (agents is None or node.agent in agents)
        ]
        if fresh:
            found.append(sum(fresh) / len(fresh))
    return mean(found)


def parent_of(tree: Tree, node: Node) -> Node | None:
    """Return the node that a node refines; None for a fresh program."""
    return tree.root if node.parent == 0 else tree.nodes[node.parent - 1]


def kept_of_parent(parent: Node, child: Node) -> tuple[int, int]:
    """Return how many tests that the parent passes the child passes too, and of how many that is known.

    Judging may stop at a failure, and what was not run is not known. A child without a program keeps nothing.
    """
    kept = known = 0
    for group, before in parent.verdict.groups.items():
        after = child.verdict.groups.get(group, ()) or (child.verdict.outcome,) * len(before)
        for was, now in zip(before, after, strict=True):
            if was == "passed" and now != "not_run":
                known += 1
                kept += now == "passed"
    return kept, known


def retention(trees: Sequence[Tree], agent: str) -> float | None:
    """Return which share of what their parents had right an agent's refinements keep; None where nothing is known."""
    pairs = [kept_of_parent(parent, node) for _, parent, node in refinements(trees) if node.agent == agent]
    known = sum(one for _, one in pairs)
    return sum(one for one, _ in pairs) / known if known else None


def refinements(trees: Sequence[Tree]) -> Iterator[tuple[Tree, Node, Node]]:
    """Yield each node that refines another, with its tree and that other."""
    for tree in trees:
        for node in tree.nodes:
            if (parent := parent_of(tree, node)) is not None:
                yield tree, parent, node


def diversity(programs: Sequence[str]) -> float | None:
    """Return how different some programs are: the mean, over pairs, of 1 - the share of neighbouring words in common.

    That is the Jaccard distance of their sets of pairs of words: 0 where all are alike; None of fewer than two.
    """
    sets = [frozenset(pairwise(_WORD.findall(program))) for program in programs]
    return mean(
        1 - len(one & other) / (len(one | other) or 1) if one != other else 0.0 for one, other in combinations(sets, 2)
    )


def of_trees(trees: Sequence[Tree], passed: Sequence[Sequence[bool]], nodes: Sequence[int] = NODES) -> Measures:
    """Return what trees come to as those of a team.

    Args:
        trees: the trees.
        passed: of each tree, of each node, whether it passes.
        nodes: after how many nodes Pass@1(MCTS) is looked at.
    """
    found: dict[str, float | None] = {
        f"pass_at_1_mcts/{count}": pass_at_1_mcts(trees, passed, count) for count in nodes
    }
    found["pass_at_n"] = pass_at_n(passed)
    found["pass_at_1"] = pass_at_1(trees, passed)
    return told(found)


def of_agent(trees: Sequence[Tree], agent: str) -> Measures:
    """Return what the nodes of an agent come to: reward, success of fresh ones and of refinements, and more."""
    own = [(tree, node) for tree in trees for node in tree.nodes if node.agent == agent]
    right = {
        (id(tree), node.id): outcome
        for tree in trees
        for node, outcome in zip(tree.nodes, passes_scored(tree), strict=True)
    }

    def success(refining: bool) -> float | None:
        return mean(right[id(tree), node.id] for tree, node in own if (parent_of(tree, node) is not None) == refining)

    def written(tree: Tree) -> list[str]:
        return [node.program for node in tree.nodes if node.agent == agent and node.program is not None]

    spread = [one for tree in trees if (one := diversity(written(tree))) is not None]
    return told(
        {
            "nodes": len(own),
            "reward": mean(node.score for _, node in own),
            "duplicates": mean(node.duplicate_of is not None for _, node in own),
            "root_success": success(False),
            "refinement_success": success(True),
            "retention": retention(trees, agent),
            "diversity": mean(spread),
        }
    )


def of_samples(samples: Sequence[Sample]) -> Measures:
    """Return what samples of an agent come to: shaped reward and advantage (imitated ones have none), lengths."""
    own = [sample for sample in samples if not sample.imitated]
    return told(
        {
            "samples": len(own),
            "imitated": len(samples) - len(own),
            "shaped_reward": mean(sample.shaped for sample in own),
            "advantage": mean(sample.advantage for sample in own),
            "prompt_tokens": mean(len(sample.prompt_ids) for sample in own),
            "length": mean(sum(sample.mask) for sample in own),
            "length/max": max((sum(sample.mask) for sample in own), default=None),
        }
    )


def of_traces(traces: Sequence[Trace]) -> Measures:
    """Return what the replies of an agent cost: tokens, tokens a second, and the share that their limit cut."""
    seconds = sum(trace.policy_seconds for trace in traces)
    tokens = sum(trace.completion_tokens for trace in traces)
    calls = [
        one
        for trace in traces
        for one in (trace.generation, *(step.generation for step in trace.steps))
        if one is not None
    ]
    return told(
        {
            "tokens": tokens,
            "tokens_per_second": tokens / seconds if seconds > 0 else None,
            "overlong": mean(call.overlong for call in calls),
            "cost": sum(trace.cost for trace in traces) or None,
        }
    )


def merged(rows: Sequence[Mapping[str, float | None]], how: Mapping[str, Callable[[list[float]], float]]) -> Measures:
    """Return several rows of measures as one: the mean of each, or what is said for it.

    Args:
        rows: the rows; a measure that a row lacks, or that is None there, is left out of it.
        how: measure -> what is made of its values.
    """
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            if value is not None:
                values.setdefault(name, []).append(value)
    return {name: float(how[name](found) if name in how else sum(found) / len(found)) for name, found in values.items()}


def drifts(advantages: Mapping[str, float]) -> list[str]:
    """Return a warning for each agent whose mean advantage is far from 0."""
    return [
        f"the mean advantage of {agent} is {value:+.2f}: what it does is learnt or unlearnt whatever it is; "
        "scope='agent_in_tree' has a mean of 0 for each agent, and duplicates are best masked."
        for agent, value in advantages.items()
        if abs(value) > DRIFT
    ]
