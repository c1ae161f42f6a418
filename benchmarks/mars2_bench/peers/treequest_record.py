"""Record what TreeQuest chooses, as data for our own selectors to be held against.

    pip install treequest==0.3.3 scipy
    python -m mars2_bench.peers.treequest_record tests/search/treequest.json

For AB-MCTS-A: how often each (node, agent) is chosen at fixed trees. For UCT, best-first and breadth-first: whole runs,
step by step, on scores without ties. Needs TreeQuest 0.3.3 and nothing of ours.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

DRAWS = 20_000

# (parent, agent, score) of each node in order; node 0 is the root
TREES: dict[str, list[tuple[int, int, float]]] = {
    "one": [(0, 0, 0.5)],
    "two": [(0, 0, 1.0), (0, 1, 0.0)],
    "small": [(0, 0, 1.0), (0, 1, 0.0), (1, 1, 1.0), (1, 0, 0.0)],
    "fractions": [(0, 0, 0.3), (1, 1, 0.6), (1, 0, 0.25), (2, 1, 0.9), (0, 1, 0.45), (5, 0, 0.5)],
    "chain": [(n, n % 2, 0.4 + 0.1 * (n % 3)) for n in range(7)],
    "wide": [(0, n % 3, float(n % 4 == 0)) for n in range(9)],
    "equal": [(0, 0, 0.5), (0, 1, 0.5), (1, 0, 0.5), (1, 1, 0.5), (2, 0, 0.5), (3, 1, 0.5)],
    "zeros": [(0, 0, 0.0), (0, 1, 0.0), (0, 2, 0.0), (1, 3, 0.0), (2, 0, 0.0), (4, 1, 0.0)],
}
PRIORS = (0.2, 0.8, 0.5, 0.35)


def agents_of(tree: list[tuple[int, int, float]]) -> int:
    """Return how many agents a tree has, at least 2."""
    return max(2, 1 + max(agent for _, agent, _ in tree))


def frequencies(
    tree: list[tuple[int, int, float]], posterior: str, choice: str, priors: tuple[float, ...]
) -> list[tuple[int, int, int]]:
    """Return (node, agent, count) of `DRAWS` choices at a tree."""
    import treequest

    names = [str(agent) for agent in range(agents_of(tree))]
    algorithm = treequest.ABMCTSA(
        dist_type=posterior,
        model_selection_strategy="stack" if choice == "stack" else f"multiarm_bandit_{choice}",
        reward_average_priors={name: priors[int(name)] for name in names} if priors else None,
    )
    state = algorithm.init_tree()
    for name in names:
        state.all_rewards_store[name] = []
    nodes = [state.tree.root]
    for parent, agent, score in tree:
        state.thompson_states.get_or_create(nodes[parent], names)
        trial = state.trial_store.create_trial(nodes[parent], names[agent])
        state = algorithm.tell(state, trial.trial_id, ("state", score))
        nodes.append(nodes[parent].children[-1])
    place = {id(node): number for number, node in enumerate(nodes)}
    counts: Counter[tuple[int, int]] = Counter()
    for _ in range(DRAWS):
        node, name = algorithm._get_expand_node_and_action(state, names)
        counts[place[id(node)], int(name)] += 1
    return [(node, agent, count) for (node, agent), count in sorted(counts.items())]


def run(algorithm: Any, agents: int, scores: list[float]) -> list[tuple[int, int, float]]:
    """Return (parent, agent, score) of each step of a run in which step n is told `scores[n]`."""
    names = [str(agent) for agent in range(agents)]
    state = algorithm.init_tree()
    number = {state.tree.root.expand_idx: 0}
    steps = []
    for score in scores:
        state, trial = algorithm.ask(state, names)
        parent = state.tree.get_node(trial.node_to_expand)
        state = algorithm.tell(state, trial.trial_id, ("state", score))
        number[parent.children[-1].expand_idx] = len(number)
        steps.append((number[trial.node_to_expand], int(trial.action), score))
    return steps


def main() -> None:
    """Write the data to the file named on the command line."""
    import numpy as np
    import treequest
    from treequest.algos.best_first_search import BestFirstSearchAlgo

    np.random.seed(0)
    cases = []
    for name, posterior, choice in product(TREES, ("beta", "gaussian"), ("thompson", "ucb", "stack")):
        for priors in ((), PRIORS) if name == "small" and choice != "ucb" else ((),):
            given = priors[: agents_of(TREES[name])]
            cases.append(
                {
                    "name": name,
                    "tree": TREES[name],
                    "agents": agents_of(TREES[name]),
                    "posterior": posterior,
                    "choice": choice,
                    "priors": given,
                    "counts": frequencies(TREES[name], posterior, choice, given),
                }
            )
            print(name, posterior, choice, given, file=sys.stderr)
    rng = random.Random(0)
    runs = []
    for agents in (1, 2, 3):
        scores = [n / 97 for n in rng.sample(range(97), 40)]
        for selector, options, algorithm in (
            ("uct", {"samples": 2}, treequest.StandardMCTS(samples_per_action=2)),
            ("best_first", {"samples": 2}, BestFirstSearchAlgo(num_samples=2)),
            (
                "breadth_first",
                {"breadth": 3, "size": 6},
                treequest.TreeOfThoughtsBFSAlgo(breadth_limit=3, size_limit=6),
            ),
        ):
            runs.append(
                {"selector": selector, "options": options, "agents": agents, "steps": run(algorithm, agents, scores)}
            )
    found = {"source": "treequest 0.3.3", "draws": DRAWS, "cases": cases, "runs": runs}
    Path(sys.argv[1]).write_text(json.dumps(found, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
