"""What a step tells in numbers: of trees and agents, of policies and their updates, by the names that metrics have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict

from mars2_agents.learners.updating import Report
from mars2_agents.training.buffers import Counts
from mars2_agents.training.measures import (
    Measures,
    drifts,
    mean,
    merged,
    of_agent,
    of_samples,
    of_traces,
    of_trees,
    passes_scored,
    told,
)
from mars2_env.credit import Sample
from mars2_env.episode import Told
from mars2_env.log import Trace, Tree, read_trace


def step_measures(
    trees: Sequence[Tree],
    samples: Sequence[Sample],
    team: Mapping[str, str],
    reports: Mapping[str, Sequence[Report]],
    counts: Mapping[str, Counts],
) -> Measures:
    """Return the numbers of a step.

    Args:
        trees: all that grew, those that were left out among them.
        samples: all that will be learnt, of all policies.
        team: agent -> policy.
        reports: policy -> what its updates came to.
        counts: policy -> what became of its samples.

    Returns:
        `train/...` of trees, by their scored tests; `agents/NAME/...`; `policies/NAME/...`.
    """
    passed = [passes_scored(tree) for tree in trees]
    found = {f"train/{name}": value for name, value in of_trees(trees, passed).items()}
    nodes = [node for tree in trees for node in tree.nodes]
    found |= {
        f"train/{name}": value
        for name, value in told(
            {
                "trees": len(trees),
                "nodes": len(nodes),
                "reward": mean(node.score for node in nodes),
                "solve_rate": mean(any(outcomes) for outcomes in passed),
                "duplicates": mean(node.duplicate_of is not None for node in nodes),
            }
        ).items()
    }
    traces = traces_by_agent(trees)
    for agent in team:
        measures = of_agent(trees, agent) | of_traces(traces.get(agent, []))
        measures |= of_samples([sample for sample in samples if sample.agent == agent])
        found |= {f"agents/{agent}/{name}": value for name, value in measures.items()}
    for policy in counts:
        measures = of_updates(reports.get(policy, ())) | of_counts(counts[policy])
        found |= {f"policies/{policy}/{name}": value for name, value in measures.items()}
    return found


def traces_by_agent(trees: Sequence[Tree]) -> dict[str, list[Trace]]:
    """Return agent -> the traces of its nodes' turns, as far as they were written."""
    found: dict[str, list[Trace]] = {}
    for tree in trees:
        if tree.path is None:
            continue
        written = read_trace(tree.path)
        for event in tree.events:
            if isinstance(event, Told) and event.node is not None and event.turn in written:
                found.setdefault(tree.nodes[event.node - 1].agent, []).append(written[event.turn])
    return found


def of_updates(reports: Sequence[Report]) -> Measures:
    """Return what updates of a policy came to, several as one: means, but the largest and the least as they are."""
    rows = [
        {"loss": report.loss, "lr": report.lr, "grad_norm": report.grad_norm}
        | {name: value for name, value in asdict(report.seen).items() if name != "lag"}
        | {"staleness": report.seen.lag}
        for report in reports
    ]
    how: dict[str, Callable[[list[float]], float]] = {
        "ratio_max": max,
        "importance_max": max,
        "importance_min": min,
        "grad_norm": max,
    }
    how |= {"tokens": sum, "missing_logprobs": sum}
    found = merged(rows, how)
    found["updates"] = float(sum(report.updates for report in reports))
    if reports:
        found["version"] = float(reports[-1].version)
    return found


def of_counts(counts: Counts) -> Measures:
    """Return what became of all that ever came for a policy."""
    found = {"given": counts.given, "used": counts.used, "waiting": counts.waiting, "batch": counts.batch}
    found |= {f"filtered/{reason}": number for reason, number in counts.filtered.items()}
    return told(found)


def warnings_of(values: Mapping[str, float], team: Mapping[str, str]) -> Iterator[str]:
    """Yield what in the numbers of a step somebody should look at."""
    names = {agent: f"agents/{agent}/advantage" for agent in team}
    yield from drifts({agent: values[name] for agent, name in names.items() if name in values})
    for policy in dict.fromkeys(team.values()):
        missing = values.get(f"policies/{policy}/missing_logprobs", 0)
        if missing:
            yield f"the sampler of {policy} told no log-probability of {missing:.0f} tokens; their weight is 1."
