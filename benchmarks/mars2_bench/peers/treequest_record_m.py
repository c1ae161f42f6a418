"""Record what TreeQuest's AB-MCTS-M, which samples by NUTS, chooses at fixed trees, as data to hold our grid against.

    python -m venv /tmp/treequest && /tmp/treequest/bin/pip install "treequest[abmcts-m]==0.3.3"
    cd benchmarks && /tmp/treequest/bin/python -m mars2_bench.peers.treequest_record_m ../tests/search/treequest_m.json

Each posterior that a case needs is sampled `REPEATS` times anew (minutes a case); the probability of each choice
follows from the samples. Written down are mean and standard error over the repeats. TreeQuest's pruning of subtrees
with equal scores, which is not in the paper, is off. Needs TreeQuest 0.3.3 with PyMC and nothing of ours.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any

REPEATS = 3
DRAWS = 4000
"""NUTS draws in each of four chains."""

# (parent, agent, score) of each node in order; node 0 is the root
TREES: dict[str, list[tuple[int, int, float]]] = {
    "one": [(0, 0, 0.5)],
    "small": [(0, 0, 1.0), (0, 1, 0.0), (1, 1, 1.0), (1, 0, 0.0)],
    "fractions": [(0, 0, 0.3), (1, 1, 0.6), (1, 0, 0.25), (2, 1, 0.9), (0, 1, 0.45), (5, 0, 0.5)],
    "wide": [(0, n % 2, float(n % 4 == 0)) for n in range(9)],
}
AGENTS = 2


class Samples:
    """Stands in for TreeQuest's draw from an array of samples: keeps the array, in the order of asking."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, array: Any) -> float:
        """Keep an array of samples."""
        self.seen.append(array.values.flatten())
        return 0.0


def largest(rng: Any, arms: list[Any], draws: int = 200_000) -> list[float]:
    """Return, for each arm, how often an independent draw from its samples is the largest."""
    import numpy as np

    drawn = np.stack([rng.choice(arm, draws) for arm in arms])
    return [float((drawn.argmax(axis=0) == place).mean()) for place in range(len(arms))]


def probabilities(tree: list[tuple[int, int, float]], rng: Any) -> dict[str, float]:
    """Return the probability of each "node,agent", every posterior sampled once."""
    import treequest

    algorithm = treequest.ABMCTSM(enable_pruning=False, max_process_workers=1)
    state = algorithm.init_tree()
    names = [str(agent) for agent in range(AGENTS)]
    nodes = [state.tree.root]
    for parent, agent, score in tree:
        trial = state.trial_store.create_trial(nodes[parent], names[agent])
        state = algorithm.tell(state, trial.trial_id, ("state", score))
        nodes.append(nodes[parent].children[-1])
    place = {id(node): number for number, node in enumerate(nodes)}
    interface = algorithm.pymc_interface
    everything = list(state.all_observations.values())

    samples = Samples()
    interface.get_score = samples
    interface._select_best_action(everything, names, strategy="thompson")
    agents = largest(rng, samples.seen)

    found: dict[str, float] = {}
    waiting = [(nodes[0], 1.0)]
    while waiting:
        node, chance = waiting.pop()
        here = [1.0]
        if node.children:
            samples = Samples()
            interface.get_score = samples
            interface.calculate_score(
                type(everything[0]).collect_all_observations_of_descendant(node, state.all_observations), action=None
            )
            *here_children, new = largest(rng, samples.seen)
            waiting += [(child, chance * p) for child, p in zip(node.children, here_children, strict=True)]
            here = [new]
        for agent, p in enumerate(agents):
            found[f"{place[id(node)]},{agent}"] = chance * here[0] * p
    return found


def main() -> None:
    """Write the data to the file named on the command line."""
    import numpy as np
    from treequest.algos.ab_mcts_m import pymc_interface

    pymc_interface.sample_numpyro_nuts = partial(pymc_interface.sample_numpyro_nuts, draws=DRAWS, tune=1000)
    rng = np.random.default_rng(0)
    cases = []
    for name, tree in TREES.items():
        runs = []
        for repeat in range(REPEATS):
            runs.append(probabilities(tree, rng))
            print(f"{name}: {repeat + 1} of {REPEATS}", file=sys.stderr, flush=True)
        choices = []
        for choice in runs[0]:
            node, agent = map(int, choice.split(","))
            values = [run[choice] for run in runs]
            choices.append([node, agent, statistics.mean(values), statistics.stdev(values) / math.sqrt(REPEATS)])
        cases.append({"name": name, "tree": tree, "agents": AGENTS, "choices": choices})
        found = {"source": "treequest 0.3.3, AB-MCTS-M by NUTS", "repeats": REPEATS, "cases": cases}
        Path(sys.argv[1]).write_text(json.dumps(found, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
