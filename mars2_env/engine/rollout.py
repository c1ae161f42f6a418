"""Rollouts: one tree for each problem, many of them growing at a time, logged and resumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mars2_env.base.checks import whole_number
from mars2_env.engine.run import check_folder, claim_run, on_its_sandbox
from mars2_env.engine.threads import Observer, Play, ThreadDriver
from mars2_env.errors import ConfigError
from mars2_env.log import Tree, check_logs
from mars2_env.problems import ProblemSet
from mars2_env.tasks import GAMES, Match, PublicTests, Task, sandbox_of, seat
from mars2_env.tasks import task as task_of
from mars2_env.types import Policy


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
    observer: Observer | None = None,
) -> Iterator[Tree]:
    """Grow one tree for each problem and yield each when it is finished.

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
        observer: called with each event.

    Raises:
        ConfigError: the team does not fit the task's agents, or a problem is unknown.
        LogError: `out` holds another run; the message names the key that differs. Or a file in it has the name of a
            log and is none.
        PolicyError: a policy did not return one reply a turn.
        SandboxUnavailableError: there is no sandbox on this machine, or its engine went away and did not come back
            within a minute. What is in `out` is gone on with when it is there again.
        SandboxError: with `on_fault="raise"`, a fault of the sandbox.
    """
    task = task_of(task)
    whole_number("trees", trees, where="rollout")
    whole_number("in_flight", in_flight, where="rollout")
    for name, value in (("limit", limit), ("batch", batch)):
        if value is not None:
            whole_number(name, value, where="rollout")
    whole_number("policy_retries", policy_retries, least=0, where="rollout")
    whole_number("seed", seed, least=0, where="rollout")
    check_folder(out)
    if GAMES[task.rules.game].generators:
        raise ConfigError(
            f"rollout(game={task.rules.game!r}): policies write programs in 'write' and 'play'; a game with generators "
            "is played through its environment (mars2_env.make)."
        )
    if problems is not None and (isinstance(problems, str) or not isinstance(problems, Iterable)):
        raise ConfigError(f"rollout(problems={problems!r:.200}): give a list of ids, such as [{problems!r:.80}].")
    if split is not None:
        task = task.on_split(split)
    chosen = task.problems if problems is None else [task.problem(id) for id in dict.fromkeys(problems)]
    ids = [problem.id for problem in chosen][:limit]
    task = on_its_sandbox(task, out)
    sandbox_of(task)  # its workers start while models are loaded
    policies = seat(task.agents, team, problems=task.problems, played=ids)
    if out is not None:
        check_logs(out)
        claim_run(Path(out), task, team, seed, in_flight, ids)
    plays = (
        Play(number, Match(task, id, seed, out=out, resume=True), in_flight, observer) for number, id in enumerate(ids)
    )
    return ThreadDriver(policies, trees, batch or trees * in_flight, policy_retries, PublicTests(task)).run(plays)
