"""Rollouts: one tree for each problem, many of them growing at a time, logged and resumed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mars2_env.base.abilities import keeps
from mars2_env.base.checks import function, instance, real_number, whole_number
from mars2_env.base.meters import Meters
from mars2_env.engine.driver import Driver, Settings
from mars2_env.engine.feed import Feed, Job, ListFeed
from mars2_env.engine.play import Observer, Play
from mars2_env.engine.run import check_folder, claim_run, on_its_sandbox
from mars2_env.engine.trees import AsyncTrees, Trees
from mars2_env.errors import ConfigError, PolicyError
from mars2_env.log import check_logs
from mars2_env.problems import ProblemSet
from mars2_env.tasks import GAMES, Match, Task, check_rated, sandbox_of, seat
from mars2_env.tasks import task as task_of
from mars2_env.types import Closes, Generates, Gives, Policy

_TOLD_BY: Final[Mapping[str, frozenset[str]]] = {
    "tokens": frozenset({"token_counts", "token_ids"}),
    "cost": frozenset({"cost"}),
}
"""Resource of a budget -> what a reply may have that tells how much of it was used."""


def rollout(
    task: str | ProblemSet | Task,
    team: Policy | str | Mapping[str, Policy | str],
    *,
    split: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    problems: Sequence[str] | None = None,
    limit: int | None = None,
    trees: int = 8,
    batch: int | None = None,
    in_flight: int = 1,
    policy_retries: int = 1,
    policy_failures: int = 20,
    deadline: float = 3600.0,
    feed: Feed | None = None,
    observer: Observer | None = None,
    meters: Meters | None = None,
) -> Trees:
    """Grow one tree for each problem and yield each when it is finished.

    A policy that `Generates` is asked turn by turn, many at a time; one that only acts is called on batches, in a
    thread, one call at a time. Where a call takes all the turns there can be (`batch`), trees move in step.

    Args:
        task: what is played: a task, or what `mars2_env.task` makes one of, such as an id or a problem set's name.
        team: a policy for every agent, or a mapping from agent to policy; a text is a spec such as `noise:default`.
        split: the split of the problem set; the task's own by default.
        seed: with the problem's id, the source of all randomness of a tree.
        out: run folder for logs. A run that was killed goes on inside its trees, and trees that faults ended are taken
            up again where these began; finished ones are yielded at once.
        problems: ids of the problems to play; all of the task's by default.
        limit: play only the first so many of them.
        trees: how many trees grow at a time.
        batch: how many turns are handed to policies at a time; `trees` by default: then all trees move in step, and a
            language model sees the same batches in every run. Less lets judging overlap with generation.
        in_flight: how many expansions of one tree may be open at a time. Results are the same at each run, whatever
            finishes first: outcomes are applied in the order of asking.
        policy_retries: how often a call of a policy that raised an exception is made again. After that the expansion
            is void, and `max_faults` of these in a row end its tree (`ended` is "faults") while others go on.
        policy_failures: after so many failed turns of a policy in a row, whatever the tree, the run ends: it is the
            policy that is out of order. What is written is kept.
        deadline: how many seconds one call of a policy may take. Then its turns have failed, and it is left behind.
        feed: hands out the problems, where several runs share them, in the place of `problems` and `limit`; those of
            `problems` in order by default.
        observer: called with each event, in the thread that the run has.
        meters: measure how busy each agent's policy and the judge are (`mars2_env.base.meters.Meters`).

    Raises:
        ConfigError: the team does not fit the task's agents, or a problem is unknown, or one that the reward model
            learned from.
        LogError: `out` holds another run; the message names the key that differs. Or a file in it has the name of a
            log and is none. A tree that another run is growing is left out, with a warning; `skipped` names it.
        PolicyError: a policy did not return one reply a turn, or fails on all turns, or the budget limits what it says
            that its replies do not tell.
        SandboxUnavailableError: there is no sandbox on this machine, or its engine went away and did not come back
            within a minute. What is in `out` is gone on with when it is there again.
        SandboxError: with `on_fault="raise"`, a fault of the sandbox.
    """
    return Trees(_driver(**locals()))


def arollout(
    task: str | ProblemSet | Task,
    team: Policy | str | Mapping[str, Policy | str],
    *,
    split: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    problems: Sequence[str] | None = None,
    limit: int | None = None,
    trees: int = 8,
    batch: int | None = None,
    in_flight: int = 1,
    policy_retries: int = 1,
    policy_failures: int = 20,
    deadline: float = 3600.0,
    feed: Feed | None = None,
    observer: Observer | None = None,
    meters: Meters | None = None,
) -> AsyncTrees:
    """Async twin of `rollout`: it grows trees on the event loop that first asks for one, and blocks it never for long.

    Arguments and errors are those of `rollout`.
    """
    return AsyncTrees(_driver(**locals()))


def _driver(
    task: str | ProblemSet | Task,
    team: Policy | str | Mapping[str, Policy | str],
    *,
    split: str | None,
    seed: int,
    out: str | Path | None,
    problems: Sequence[str] | None,
    limit: int | None,
    trees: int,
    batch: int | None,
    in_flight: int,
    policy_retries: int,
    policy_failures: int,
    deadline: float,
    feed: Feed | None,
    observer: Observer | None,
    meters: Meters | None,
) -> Driver:
    """Check what a run is to be, claim its folder, and return its driver."""
    task = task_of(task)
    whole_number("trees", trees, where="rollout")
    whole_number("in_flight", in_flight, where="rollout")
    for name, value in (("limit", limit), ("batch", batch)):
        if value is not None:
            whole_number(name, value, where="rollout")
    whole_number("policy_retries", policy_retries, least=0, where="rollout")
    whole_number("policy_failures", policy_failures, where="rollout")
    real_number("deadline", deadline, above=0, where="rollout")
    whole_number("seed", seed, least=0, where="rollout")
    check_folder(out)
    function("observer", observer, optional=True, where="rollout")
    instance("meters", meters, Meters | None, "a Meters, or None", where="rollout")
    if feed is not None and (isinstance(feed, type) or not isinstance(feed, Feed)):
        raise ConfigError(f"rollout(feed={feed!r:.200}): an object with claim(), renew(job) and done(job) is needed.")
    for name, chosen_by in (("problems", problems), ("limit", limit)):
        if feed is not None and chosen_by is not None:
            raise ConfigError(f"rollout({name}={chosen_by!r:.200}): the feed says what is played; leave it out.")
    if GAMES[task.rules.game].generators:
        raise ConfigError(
            f"rollout(game={task.rules.game!r}): policies write programs in 'write' and 'play'; a game with generators "
            "is played through its environment (mars2_env.make)."
        )
    if problems is not None and (isinstance(problems, str) or not isinstance(problems, Iterable)):
        raise ConfigError(f"rollout(problems={problems!r:.200}): give a list of ids, such as [{problems!r:.80}].")
    if problems is not None and not (problems := list(problems)):
        raise ConfigError("rollout(problems=[]): nothing would be played; give the ids of some, or None for all.")
    if split is not None:
        task = task.on_split(split)
    chosen = list(task.problems)
    if problems is not None:
        chosen = list({found.id: found for found in map(task.problem, problems)}.values())
    ids = [problem.id for problem in chosen][:limit]
    check_rated(task.reward_model, [problem.public_view() for problem in chosen[:limit]])
    task = on_its_sandbox(task, out)
    sandbox_of(task)  # its workers start while models are loaded
    policies = seat(task.agents, team, problems=task.problems, played=ids)
    built = _built(team, policies)
    try:
        _check_gives(task, policies)
        if out is not None:
            check_logs(out)
            claim_run(Path(out), task, team, seed, in_flight, ids, policies)
    except BaseException:
        for policy in built:
            policy.close()
        raise
    most = trees * in_flight
    in_step = (batch or most) >= most and not any(keeps(policy, Generates) for policy in policies.values())
    settings = Settings(trees, batch or most, in_step, policy_retries, deadline, policy_failures)

    def opened(job: Job) -> Play:
        return Play(job, Match(task, job.problem, seed, out=out, resume=True), in_flight, observer)

    return Driver(task, policies, feed or ListFeed(ids), opened, settings, built, meters=meters)


def _built(team: Any, policies: Mapping[str, Policy]) -> list[Closes]:
    """Return the policies that were built from specs and are to be closed; those handed in are the caller's."""
    specs = {agent for agent in policies if isinstance(team[agent] if isinstance(team, Mapping) else team, str)}
    built = {id(policies[agent]): policies[agent] for agent in policies if agent in specs}
    return [policy for policy in built.values() if keeps(policy, Closes)]


def _check_gives(task: Task, policies: Mapping[str, Policy]) -> None:
    """Check that replies will tell what the budget limits, where policies say what they tell.

    Raises:
        PolicyError: they will not; asked for the first time, the policy would end the run.
    """
    for agent, policy in policies.items():
        if not keeps(policy, Gives):
            continue
        given = frozenset(policy.gives)
        for resource, telling in _TOLD_BY.items():
            if resource in task.budget.metered and not given & telling:
                raise PolicyError(
                    f"the budget limits {resource}, and the policy of {agent} says that its replies do not tell it: it "
                    f"gives {', '.join(sorted(given)) or 'nothing'}. Use another budget, or a policy that gives "
                    f"{' or '.join(sorted(telling))}."
                )
