"""Recording a bank: an exhaustive search whose logs become the bank.

The search is a run like any other, in the folder `recording` of the bank: appended to as it goes, resumed inside its
trees, judged by the real judge. When it is finished, its replies are written as the bank, in an order of their own, so
that a recording that was killed and gone on with ends in the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from mars2_env.bank.file import (
    BANK_FILE,
    RECORDING,
    Bank,
    BankHeader,
    Recorded,
    RecordedAgent,
    Steps,
    about,
    read_bank,
    write_bank,
)
from mars2_env.base.checks import whole_number
from mars2_env.base.journal import claim
from mars2_env.engine import Observer, on_its_sandbox, rollout
from mars2_env.episode import Asked, Told
from mars2_env.errors import ConfigError, LogError
from mars2_env.log import Trace, Tree, log_path, make_episode, read_events, read_trace
from mars2_env.problems import ProblemSet
from mars2_env.search import Exhaustive, full_size
from mars2_env.search.budget import MAX_NODES, Budget
from mars2_env.tasks import Task, identity_of, sandbox_of, seat
from mars2_env.tasks import task as task_of
from mars2_env.types import Policy
from mars2_env.version import __version__

CLAIM_FILE: Final = "bank.json"
MOST_IN_FLIGHT: Final = 16
"""How many replies of one tree are asked for at a time, at most."""


def calls_needed(problems: int, agents: int, children: int, depth: int) -> int:
    """Return how many replies a bank takes: problems times the sum over d = 1..depth of (agents * children) ** d."""
    return problems * full_size(agents, children, depth)


def record(
    task: str | ProblemSet | Task,
    team: Policy | str | Mapping[str, Policy | str],
    *,
    children: int,
    depth: int,
    out: str | Path,
    seed: int = 0,
    problems: Sequence[str] | None = None,
    limit: int | None = None,
    trees: int = 8,
    observer: Observer | None = None,
    on_tree: Callable[[Tree], None] | None = None,
) -> Bank:
    """Record what a team replies at every place down to a depth, and return the finished bank.

    Each agent writes `children` programs afresh, and as many refinements of every program above `depth`, equal ones
    too: a search that replays them counts them as the recording did, and marks copies itself. Faults of the sandbox or
    of a policy are raised; what was recorded stays, and the same call goes on from there.

    Args:
        task: what is asked about, as `rollout` takes it: problems, agents with their roles, prompts, and what decides
            the feedback in them (score_on, limits). Its budget, selector and ends are left aside.
        team: a policy for every agent, or a mapping from agent to policy, as `rollout` takes it.
        children: how many replies of each agent there are to be at each place.
        depth: the depth of the deepest; 1 records fresh programs alone, 2 their refinements too.
        out: the folder of the bank.
        seed: the source of all randomness of the recording.
        problems: ids of the problems to record; all of the task's by default.
        limit: record only the first so many of them.
        trees: how many problems are recorded at a time.
        observer: called with each event, as `rollout` does.
        on_tree: called with each problem's tree when all of it is recorded.

    Raises:
        ConfigError: the task cannot be recorded, or the team does not fit its agents.
        LogError: the folder holds another recording; the message names the key that differs.
        SandboxError: a fault of the sandbox, or there is none.
        PolicyError: a policy failed, or did not return one reply a turn.
    """
    out = Path(out)
    task = recordable(task_of(task), children, depth)
    if (out / BANK_FILE).exists() and not (out / RECORDING).exists():
        raise LogError(f"{out} holds a finished bank without its {RECORDING}; give another folder.")
    task = on_its_sandbox(task, out / RECORDING)
    given = task.problems if problems is None else list({one.id: one for one in map(task.problem, problems)}.values())
    ids = [problem.id for problem in given][:limit]
    claim(out / CLAIM_FILE, {"children": children, "depth": depth, "seed": seed})
    policies = seat(task.agents, team, problems=task.problems, played=ids)
    run = rollout(
        task,
        policies,
        seed=seed,
        out=out / RECORDING,
        problems=ids,
        trees=trees,
        in_flight=min(children * len(task.agents), MOST_IN_FLIGHT),
        observer=observer,
    )
    for tree in run:
        if len(tree.nodes) != task.budget.nodes:
            raise LogError(f"{tree.path}: ended by {tree.ended} ({tree.detail}), so {tree.problem!r} is not recorded.")
        if on_tree is not None:
            on_tree(tree)
    header = BankHeader(
        problem_set=task.problems.name,
        split=task.problems.split,
        problems_hash=task.problems.hash,
        problems=tuple(ids),
        agents={
            name: RecordedAgent(identity_of(policy), task.agents[name], bool(getattr(policy, "simulated", False)))
            for name, policy in policies.items()
        },
        children=children,
        depth=depth,
        seed=seed,
        task=_asking(task),
        sandbox=sandbox_of(task).identity,
        package=__version__,
        replies=calls_needed(len(ids), len(task.agents), children, depth),
    )
    write_bank(out / BANK_FILE, header, (one for id in ids for one in recorded(task, id, seed, out / RECORDING)))
    return read_bank(out)


def recordable(task: Task, children: int, depth: int) -> Task:
    """Return the task whose trees hold all replies down to a depth.

    Raises:
        ConfigError: the task's prompts depend on more than the way to a place, or there are too many replies.
    """
    whole_number("children", children, where="record")
    whole_number("depth", depth, where="record")
    if task.rules.game != "write":
        raise ConfigError(
            f"record(game={task.rules.game!r}): replies are recorded in 'write', where agents do not choose the place; "
            "a bank of it serves the generators of 'place' and 'route' too."
        )
    if task.prompts.siblings:
        raise ConfigError(
            f"record(prompts=...): these quote {task.prompts.siblings} siblings, and which there are depends on the "
            "search; record with siblings=0."
        )
    nodes = full_size(len(task.agents), children, min(depth, 30))
    if depth > 30 or nodes > MAX_NODES:
        raise ConfigError(
            f"record(children={children}, depth={depth}): with {len(task.agents)} agents that is more than {MAX_NODES} "
            "replies a problem; record fewer children, or less deep."
        )
    rules = replace(task.rules, stop_on_solved=False, patience=None, model_weight=0.0)
    return replace(
        task,
        budget=Budget(nodes),
        selector=Exhaustive(children),
        rules=rules,
        reward_model=None,
        stop_when=None,
        on_fault="raise",  # a void turn would be asked for again later, out of order
        id=None,
    )


def _asking(task: Task) -> dict[str, Any]:
    """Return what of a task decides what agents are asked, besides the problems and the agents."""
    config = task.config()
    return {name: config[name] for name in ("rules", "limits", "strict_types", "prompts") if name in config}


def recorded(task: Task, problem: str, seed: int, run: Path) -> Iterator[Recorded]:
    """Yield the replies of a finished tree, level by level.

    Args:
        task: what was recorded (`recordable`).
        problem: the id of the problem.
        seed: that of the recording.
        run: the run folder of the recording.

    Raises:
        LogError: the log cannot be read.
    """
    log = log_path(run, problem, seed)
    header, events = read_events(log)
    if header is None:
        raise LogError(f"{log} holds no tree.")
    traces = read_trace(log)
    view = task.problem(problem).public_view()
    episode = make_episode(header, view, task.selector, prompts=task.prompts)
    ways: list[Steps] = [()]
    found: list[Recorded] = []
    asked: dict[int, tuple[str, Steps, int, str]] = {}
    for event in events:
        episode.apply(event)
        if isinstance(event, Asked):
            turn = episode.pending[event.turn]
            assert turn.parent is not None and turn.child is not None
            asked[event.turn] = turn.agent, ways[turn.parent], turn.child, about(turn)
        elif isinstance(event, Told):
            agent, way, child, digest = asked.pop(event.turn)
            ways.append((*way, (agent, child)))
            trace = traces.get(event.turn, Trace(event.turn))
            found.append(Recorded(problem, agent, way, child, digest, event.reply, **_counts(trace)))
    order = list(task.agents)
    yield from sorted(found, key=lambda one: (len(one.path), one.path, order.index(one.agent), one.child))


def _counts(trace: Trace) -> dict[str, Any]:
    """Return what a trace tells of a reply, as far as a bank keeps it."""
    calls = [trace.generation] if trace.generation else [step.generation for step in trace.steps if step.generation]
    counts: dict[str, Any] = {"cost": trace.cost or None}
    if calls and all(call.tokens is not None for call in calls):
        counts |= {"prompt_tokens": trace.prompt_tokens, "completion_tokens": trace.completion_tokens}
        counts["finish_reason"] = calls[-1].finish_reason
    return counts
