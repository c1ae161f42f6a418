"""What one step of AB-MCTS-A costs (ask and tell, no model and no judge), beside TreeQuest 0.3.3's `step`, in one run.

    python -m mars2_bench.speed.search_speed                         # some minutes; prints Markdown tables
    python -m mars2_bench.speed.search_speed --sizes 64,1024         # the rows that matter, in about a minute
    python -m mars2_bench.speed.search_speed --treequest FOLDER      # where TreeQuest is: see below

Both search the same tree: one that our selector grew, with the scores of a coin that later agents and refinements
better. In TreeQuest that tree is made by adding nodes directly, and only steps at N nodes are timed: its default
`step`, which copies the tree, and `step(inplace=True)`. Ours is timed as an episode uses it, a keyed generator for each
ask included. What a step costs depends on the way down, so times are means, over repeats taken in turn; they are
processor time, in which a busy machine matters less. Memory is what the tree takes by `tracemalloc`, without any
program.

TreeQuest is needed for this alone, so it stays out of the project's own packages:

    pip install --target /tmp/treequest treequest==0.3.3
    python -m mars2_bench.speed.search_speed --treequest /tmp/treequest

Without it our own columns are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import mean, median
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress

from mars2_bench.command import run as run_command
from mars2_env import Call, Episode, Problem, Reply, TestCase
from mars2_env.base import keys
from mars2_env.search import AbMctsA, SearchTree
from mars2_env.types import Verdict

SIZES: Final = (16, 64, 256, 1024, 4096, 16384)
FEW_ABOVE: Final = 4096
STEPS: Final = 400
"""Steps of ours that are timed at each size."""
BARS: Final = {
    ("beta", "default"): 300,
    ("gaussian", "default"): 300,
    ("beta", "in place"): 40,
    ("gaussian", "in place"): 200,
}
BAR_SIZE: Final = 1024
BAR_AGENTS: Final = 4
BYTES: Final = 200


def score_of(number: int, agent: int, depth: int) -> float:
    """Return the score of a node, 0 or 1: a coin by its number that later agents and refinements better."""
    return float(keys.generator("coin", number).random() < 0.1 + 0.05 * agent + 0.05 * min(depth, 8))


def ask_and_tell(tree: SearchTree, selector: AbMctsA) -> None:
    """Do one step as an episode does: a generator keyed by the ask's number, a choice, its outcome."""
    number = len(tree)
    parent, agent = selector.select(tree, keys.generator("select", 0, "speed", number))
    tree.add(parent, agent, float(number % 3 == 0))


def grown(size: int, agents: int, posterior: str) -> SearchTree:
    """Return a tree of `size` nodes besides the root, grown by the selector."""
    tree, selector = SearchTree(agents), AbMctsA(posterior)
    while len(tree) <= size:
        parent, agent = selector.select(tree, keys.generator("grow", len(tree)))
        tree.add(parent, agent, score_of(len(tree), agent, int(tree.depth[parent])))
    return tree


def milliseconds(act: Callable[[], object]) -> float:
    """Return how long an act takes."""
    start = time.thread_time()
    act()
    return 1000 * (time.thread_time() - start)


def traced(build: Callable[[], object]) -> tuple[object, int]:
    """Return what is built and the bytes that it holds."""
    gc.collect()
    tracemalloc.start()
    try:
        built = build()
        gc.collect()
        return built, tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def told(distribution: Any, scores: list[float]) -> Any:
    """Return a distribution of TreeQuest's that was told these scores, without its quadratic way there."""
    if not scores:
        return distribution
    if distribution.dist_type == "gaussian":
        distribution.all_obs = scores[:-1]
    else:
        distribution.params["a"] += sum(scores[:-1])
        distribution.params["b"] += len(scores) - 1 - sum(scores[:-1])
    distribution.tell_observation(scores[-1])
    return distribution


def treequest_state(tree: SearchTree, posterior: str) -> tuple[Any, Any, list[str]]:
    """Return TreeQuest's algorithm, its state with the same tree, and its names of the agents."""
    import treequest

    names = [str(agent) for agent in range(tree.n_agents)]
    algorithm = treequest.ABMCTSA(dist_type=posterior, model_selection_strategy="multiarm_bandit_thompson")
    state = algorithm.init_tree()
    below: list[list[float]] = [[] for _ in range(len(tree))]  # scores in each node's subtree
    for node in range(len(tree) - 1, 0, -1):
        below[node].append(float(tree.score[node]))
        below[tree.parent[node]] += below[node]
    nodes = [state.tree.root]
    for name in names:
        state.all_rewards_store[name] = []
    for node in range(1, len(tree)):
        score, agent = float(tree.score[node]), int(tree.agent[node])
        nodes.append(state.tree.add_node(("state", score), nodes[tree.parent[node]]))
        state.all_rewards_store[names[agent]].append(score)
    for node in range(len(tree)):
        children = tree.children(node)
        if not children:
            continue
        probabilities = state.thompson_states.get_or_create(nodes[node], names)
        shared = probabilities.gen_vs_cont_probas["shared"]
        own = [float(tree.score[child]) for child in children]
        told(shared["GEN"], own)
        told(shared["CONT"], [score for child in children for score in below[child][:-1]])
        for place, child in enumerate(children):
            told(probabilities.node_probas["shared"][place], below[child])
            name = names[int(tree.agent[child])]
            probabilities.child_node_to_action[nodes[child].expand_idx] = name
        for agent, name in enumerate(names):
            wrote = [child for child in children if tree.agent[child] == agent]
            told(probabilities.action_probas[name], [score for child in wrote for score in below[child]])
    return algorithm, state, names


@dataclass
class Row:
    """What was measured at one size; times in milliseconds, None where TreeQuest was not or could not be timed."""

    posterior: str
    agents: int
    size: int
    ours: float
    bytes_a_node: float
    children: float
    in_place: float | None = None
    default: float | None = None
    their_bytes: float | None = None


def measure(posterior: str, agents: int, size: int, tree: SearchTree, with_treequest: bool) -> Row:
    """Measure one row; the steps of ours and of theirs are taken in turn."""
    selector = AbMctsA(posterior)
    _, held = traced(lambda: grown_again(tree))
    theirs: dict[str, list[float]] = {"in place": [], "default": []}
    their_bytes = None
    if with_treequest:
        if size <= BAR_SIZE:
            (algorithm, state, names), taken = traced(lambda: treequest_state(tree, posterior))  # type: ignore[misc]
            their_bytes = taken / size
        else:
            algorithm, state, names = treequest_state(tree, posterior)
        generate = {name: (lambda parent: ("state", 0.0)) for name in names}
    repeats, copies = (25, 7) if size <= BAR_SIZE else (8, 3) if size <= FEW_ABOVE else (3, 1)
    ours: list[float] = []
    visited: list[int] = []
    for repeat in range(repeats):
        for step in range(STEPS // repeats):
            if step % max(1, size // 64) == 0:  # so that the tree hardly grows meanwhile
                twin = tree.copy()
                twin.triple(0, 0)
            ours.append(milliseconds(lambda: ask_and_tell(tree=twin, selector=selector)))  # noqa: B023
            visited.append(children_visited(twin))
            ours[-1] += milliseconds(lambda: twin.triple(0, 0))  # noqa: B023 (the told score enters the sums)
        if with_treequest:
            for kind, in_place in (("in place", True), ("default", False)):
                if kind == "default" and repeat >= copies:
                    continue
                with contextlib.suppress(RecursionError):  # its copy is recursive in the depth of the tree
                    theirs[kind].append(milliseconds(lambda: algorithm.step(state, generate, inplace=in_place)))  # noqa: B023
    return Row(
        posterior,
        agents,
        size,
        mean(ours),
        held / size,
        mean(visited),
        mean(theirs["in place"]) if theirs["in place"] else None,
        mean(theirs["default"]) if theirs["default"] else None,
        their_bytes,
    )


def grown_again(tree: SearchTree) -> SearchTree:
    """Return an equal tree, node by node, as a search grows it: its arrays as large as growth has left them."""
    twin = SearchTree(tree.n_agents)
    for node in range(1, len(tree)):
        twin.add(int(tree.parent[node]), int(tree.agent[node]), float(tree.score[node]))
        twin.triple(0, 0)
    return twin


def children_visited(tree: SearchTree) -> int:
    """Return for how many children something was drawn on the way to the newest node: the siblings of its ancestors."""
    node, count = int(tree.parent[tree.parent[-1]]), 0
    while node >= 0:
        count += tree.child_count(node)
        node = int(tree.parent[node])
    return count


def episode_step(size: int, agents: int) -> float:
    """Return the milliseconds of `Episode.ask` and `tell` at `size` nodes: prompts, programs and events included."""
    problem = Problem("speed/0", "Return a number.", Call("f"), public=(TestCase([], 0),))
    episode = Episode(problem.public_view(), [f"agent_{n}" for n in range(agents)], "ab_mcts_a", 10**6, 0)
    times: list[float] = []
    while len(episode.nodes) < size + 200:
        start = time.thread_time()
        turn = episode.ask()
        between = time.thread_time()
        number = len(episode.nodes)
        reply = Reply(f"```python\ndef f():\n    return {number}\n```")
        passed = score_of(number, int(turn.agent.rpartition("_")[2]), 0) == 1.0
        verdict = Verdict({"public": ("passed" if passed else "wrong_answer",)})
        again = time.thread_time()
        episode.tell(turn, reply, verdict)
        times.append(1000 * (between - start + time.thread_time() - again))
    return median(times[size:])


def wide_ask(children: int, repeats: int = 60) -> float:
    """Return the milliseconds of an ask that draws for every child of a root with so many."""
    tree = SearchTree.load([0] * children + [1], [0] * (children + 1), [0.0] * children + [1.0], n_agents=1)
    selector = AbMctsA()
    times: list[float] = []
    number = 0
    while len(times) < repeats:
        rng = keys.generator("wide", number)
        number += 1
        start = time.thread_time()
        choice = selector.select(tree, rng)
        if choice.parent != 0:  # else GEN won, and no child was drawn for
            times.append(1000 * (time.thread_time() - start))
    return median(times)


def fixed(value: float | None, form: str = ",.2f") -> str:
    """Return a number as a cell, a dash for none."""
    return "-" if value is None else format(value, form)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and say which bars are cleared."""
    parser = argparse.ArgumentParser(
        prog="python -m mars2_bench.speed.search_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of nodes (default %(default)s)")
    parser.add_argument("--agents", default="2,4", help="numbers of agents (default %(default)s)")
    parser.add_argument("--posterior", choices=["beta", "gaussian"], help="only this one (default: both)")
    parser.add_argument("--treequest", metavar="FOLDER", help="where `pip install --target FOLDER` put TreeQuest")
    options = parser.parse_args(arguments)
    try:
        sizes, teams = ([int(one) for one in text.split(",")] for text in (options.sizes, options.agents))
    except ValueError:
        parser.error(f"--sizes {options.sizes} --agents {options.agents}: give whole numbers, with commas between")
    if min(*sizes, *teams) < 1:
        parser.error("sizes and agents must be at least 1")
    if options.treequest:
        sys.path.append(options.treequest)
    with contextlib.suppress(ImportError):
        import treequest  # noqa: F401 (its import is no part of what is traced)
    with_treequest = find_spec("treequest") is not None
    if not with_treequest:
        print("TreeQuest is not installed, so only ours is measured. To compare:", file=sys.stderr)
        print("    pip install --target /tmp/treequest treequest==0.3.3", file=sys.stderr)
        print("    python -m mars2_bench.speed.search_speed --treequest /tmp/treequest\n", file=sys.stderr)
    rows: list[Row] = []
    cells = [
        (posterior, agents, size)
        for posterior in ([options.posterior] if options.posterior else ["beta", "gaussian"])
        for agents in teams
        for size in sizes
    ]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("measuring", total=len(cells))
        for posterior, agents, size in cells:
            progress.update(bar, description=f"{posterior}, {agents} agents, {size} nodes")
            rows.append(measure(posterior, agents, size, grown(size, agents, posterior), with_treequest))
            progress.advance(bar)
    print(
        "| posterior | agents | nodes | ours, us | children drawn for | bytes a node "
        "| TreeQuest in place, ms | default, ms | bytes a node | x in place | x default |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.posterior} | {row.agents} | {row.size} | {1000 * row.ours:,.0f} | {row.children:,.0f} "
            f"| {row.bytes_a_node:.0f} | {fixed(row.in_place)} | {fixed(row.default)} "
            f"| {fixed(row.their_bytes, ',.0f')} "
            f"| {fixed(ratio(row.in_place, row.ours), ',.0f')} | {fixed(ratio(row.default, row.ours), ',.0f')} |"
        )
    print("\n| children of the root | ask that draws for all of them, us | ns a child |")
    print("|---|---|---|")
    for children in (16, 64, 256, 1024, 4096, 16384):
        took = wide_ask(children)
        print(f"| {children} | {1000 * took:,.0f} | {1e6 * took / children:,.0f} |")
    print("\n| nodes | Episode.ask + tell, us (4 agents, beta; prompt, program extraction and events included) |")
    print("|---|---|")
    for size in (16, 256, 1024, 4096):
        print(f"| {size} | {1000 * episode_step(size, 4):,.0f} |")
    print()
    for row in rows:
        if (row.size, row.agents) == (BAR_SIZE, BAR_AGENTS):
            for kind, theirs in (("in place", row.in_place), ("default", row.default)):
                times, least = ratio(theirs, row.ours), BARS[row.posterior, kind]
                if times is not None:
                    word = "holds" if times >= least else "MISSED"
                    print(f"{word}: {row.posterior}, {kind} step: {times:,.0f} times as fast; the bar is {least}")
    most = max(row.bytes_a_node for row in rows if row.size >= min(BAR_SIZE, max(sizes)))
    print(f"{'holds' if most < BYTES else 'MISSED'}: at most {most:.0f} bytes a node; the bar is {BYTES}")
    return 0


def ratio(theirs: float | None, ours: float) -> float | None:
    """Return how many times as long theirs took."""
    return None if theirs is None else theirs / ours


if __name__ == "__main__":
    run_command(main)
