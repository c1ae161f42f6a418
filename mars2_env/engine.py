"""The rollout engine: many trees in flight, policies called on batches, programs judged while models think.

It adds no rules of its own: it asks each `Match` for turns, hands batches to policies, grades replies in threads, and
tells outcomes in the order in which the turns were asked.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from mars2_env.episode import Submission
from mars2_env.errors import ConfigError, LogError, PolicyError, SandboxError
from mars2_env.events import Event, Told
from mars2_env.games import GAMES, Match, Task, call, calls, sandbox_of, seat
from mars2_env.log import Header, Trace, Tree, append_trace, check_same, read_trace
from mars2_env.search.budget import Usage
from mars2_env.types import Policy, Reply, Turn, Verdict

Observer: TypeAlias = Callable[[Header, Event, Trace | None], None]
"""Called with every event of every tree, those read back from a log included; a told event comes with its trace."""

RUN_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class _Answer:
    """A turn's reply, what became of it, and what it cost."""

    reply: Reply
    result: Verdict | SandboxError
    trace: Trace


class _Play:
    """One match in flight: at most `in_flight` turns are open, and outcomes are applied in the order of asking."""

    def __init__(self, number: int, match: Match, in_flight: int, observer: Observer | None) -> None:
        self.number = number
        self.match = match
        self.in_flight = in_flight
        self.observer = observer
        self.order: deque[int] = deque(match.episode.pending)
        self.turns: dict[int, Turn] = dict(match.episode.pending)
        self.answers: dict[int, _Answer] = {}
        self.traces = {} if match.writer is None else read_trace(match.writer.path)
        for event in match.events:
            self._observe(event)
        match.on_event = self._observe

    def _observe(self, event: Event) -> None:
        if self.observer is not None:
            trace = self.traces.pop(event.turn, None) if isinstance(event, Told) else None
            self.observer(self.match.header, event, trace)

    def begin(self, seed: Verdict | SandboxError | None = None) -> list[Turn]:
        """Begin with the verdict on the seed program, where there is one, and return the turns that are open now."""
        episode = self.match.episode
        if isinstance(seed, SandboxError):
            if self.match.task.on_fault == "raise":
                raise seed
            episode.abandon()
        elif seed is not None:
            episode.plant(seed)
        return [*episode.pending.values(), *self.ask()]

    def ask(self) -> list[Turn]:
        """Return the turns that can be asked now."""
        episode = self.match.episode
        turns = []
        while episode.can_ask and len(self.order) < self.in_flight:
            turn = episode.ask()
            self.order.append(turn.id)
            self.turns[turn.id] = turn
            turns.append(turn)
        return turns

    def answer(self, turn: Turn, answer: _Answer) -> list[Turn]:
        """Take the answer to a turn, apply what is due, and return the turns that can be asked now.

        Ask t is drawn after exactly the outcomes of the asks before t - in_flight + 1, so one outcome is applied at a
        time, and asking follows each.
        """
        episode = self.match.episode
        self.answers[turn.id] = answer
        asked: list[Turn] = []
        while self.order and self.order[0] in self.answers and not episode.done:
            due = self.order.popleft()
            found = self.answers.pop(due)
            waiting = self.turns.pop(due)
            if isinstance(found.result, SandboxError):
                self.match.fault(waiting, found.result)
            else:
                self.traces = {due: found.trace}
                if self.match.writer is not None:
                    append_trace(self.match.writer.path, found.trace)
                self.match.tell(waiting, found.reply, found.result, used(found, waiting.agent, episode.metered))
            asked += self.ask()
        return asked


def used(answer: _Answer, agent: str, metered: Set[str]) -> Usage:
    """Return what an expansion used, as budgets count it.

    Raises:
        PolicyError: a budget limits what the agent's policy does not tell, and would never be spent.
    """
    reply, trace = answer.reply, answer.trace
    for resource, where, told in (("tokens", "generation", reply.generation), ("cost", "cost", reply.cost)):
        if resource in metered and told is None:
            raise PolicyError(
                f"the budget limits {resource}, and the policy of {agent} does not say how much a reply took: give "
                f"Reply({where}=...), or another budget."
            )
    return Usage(trace.completion_tokens, trace.policy_seconds, trace.judge_seconds, reply.cost or 0.0)


def rollout(
    task: Task,
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
    observer: Observer | None = None,
) -> Iterator[Tree]:
    """Grow one tree for each problem and yield each when it is finished.

    Args:
        task: what is played.
        team: a policy for every agent, or a mapping from agent to policy; a text is a spec such as `noise:default`.
        split: the split of the problem set; the task's own by default.
        seed: with the problem's id, the source of all randomness of a tree.
        out: run folder for logs. A run that was killed goes on inside its trees; finished ones are yielded at once.
        problems: ids of the problems to play; all of the task's by default.
        limit: play only the first so many of them.
        trees: how many trees grow at a time.
        batch: how many turns are handed to policies at a time; `trees` by default: then all trees move in step, and a
            language model sees the same batches in every run. Less lets judging overlap with generation.
        in_flight: how many expansions of one tree may be open at a time. Results are the same at each run, whatever
            finishes first: outcomes are applied in the order of asking.
        observer: called with each event.

    Raises:
        ConfigError: the team does not fit the task's agents, or a problem is unknown.
        LogError: `out` holds another run; the message names the key that differs.
        PolicyError: a policy did not return one reply a turn.
        SandboxUnavailableError: there is no sandbox on this machine.
        SandboxError: with `on_fault="raise"`, a fault of the sandbox.
    """
    counts = {"trees": trees, "in_flight": in_flight, "limit": limit, "batch": batch}
    for name, value in counts.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"rollout({name}={value!r}): must be a whole number of at least 1.")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"rollout(seed={seed!r}): must be a whole number of at least 0.")
    if out is not None and not isinstance(out, str | os.PathLike):
        raise ConfigError(f"rollout(out={out!r:.200}) is not a folder.")
    if GAMES[task.rules.game].generators:
        raise ConfigError(
            f"rollout(game={task.rules.game!r}): policies write programs in 'write' and 'play'; a game with generators "
            "is played through its environment (mars2_env.make)."
        )
    if split is not None:
        task = task.on_split(split)
    chosen = task.problems if problems is None else [task.problem(id) for id in dict.fromkeys(problems)]
    ids = [problem.id for problem in chosen]
    sandbox_of(task)  # its workers start while models are loaded
    policies = seat(task, team)
    if out is not None:
        _claim(Path(out), task, team, seed, in_flight)
    return _run(task, policies, seed, out, ids[:limit], trees, batch or trees * in_flight, in_flight, observer)


def _team_names(task: Task, team: Policy | str | Mapping[str, Policy | str]) -> dict[str, str]:
    given = team if isinstance(team, Mapping) else dict.fromkeys(task.agents, team)
    return {agent: p if isinstance(p, str) else type(p).__qualname__ for agent, p in given.items()}


def _claim(out: Path, task: Task, team: Policy | str | Mapping[str, Policy | str], seed: int, in_flight: int) -> None:
    """Write what is run into the run folder, or check that it holds the same run."""
    run = {
        "task": task.config(),
        "problems": task.problems.hash,
        "source": dict(task.source),
        "team": _team_names(task, team),
        "seed": seed,
        "in_flight": in_flight,
    }
    path = out / RUN_FILE
    if path.exists():
        where = {"source": None}  # a file may move; its contents are in the hash
        check_same(path, {**read_run(out), **where}, {**run, **where})
        return
    out.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(f".{os.getpid()}.tmp")
    whole.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")
    whole.replace(path)


def read_run(out: str | Path) -> dict[str, Any]:
    """Return what a run folder says was run: task, problems (hash), source, team, seed, in_flight.

    Raises:
        LogError: the folder holds no run.
    """
    path = Path(out) / RUN_FILE
    try:
        run = msgspec.json.decode(path.read_bytes())
    except OSError:
        raise LogError(f"{out} holds no run: {path} cannot be read.") from None
    except msgspec.MsgspecError as error:
        raise LogError(f"{path}: {error}") from None
    if not isinstance(run, dict):
        raise LogError(f"{path}: not a run description.")
    return run


def _run(
    task: Task,
    policies: Mapping[str, Policy],
    seed: int,
    out: str | Path | None,
    ids: Sequence[str],
    trees: int,
    batch: int,
    in_flight: int,
    observer: Observer | None,
) -> Iterator[Tree]:
    waiting = deque(enumerate(ids))
    plays: list[_Play] = []
    ready: list[tuple[_Play, Turn]] = []
    judging: dict[Future[_Answer], tuple[_Play, Turn]] = {}
    seeding: dict[Future[Verdict | SandboxError], _Play] = {}
    judges = ThreadPoolExecutor(max_workers=max(os.cpu_count() or 1, 1), thread_name_prefix="mars2-judge")
    try:
        while waiting or plays:
            while waiting and len(plays) < trees:
                number, problem = waiting.popleft()
                match = Match(task, problem, seed, out=out, resume=True)
                play = _Play(number, match, in_flight, observer)
                plays.append(play)
                if match.episode.awaits_seed:
                    seeding[judges.submit(_grade_seed, match)] = play
                else:
                    ready += [(play, turn) for turn in play.begin()]
            for play in [play for play in plays if play.match.episode.done]:
                plays.remove(play)
                play.match.close()
                yield play.match.tree()
            # small batches waste a model's time: what is being judged is waited for until a batch is full
            if (judging or seeding) and len(ready) < batch:
                open_work: list[Future[Any]] = [*judging, *seeding]
                done, _ = wait(open_work, return_when=FIRST_COMPLETED)
                for future in done & judging.keys():
                    play, turn = judging.pop(future)
                    ready += [(play, asked) for asked in play.answer(turn, future.result())]
                for planted in done & seeding.keys():
                    play = seeding.pop(planted)
                    ready += [(play, asked) for asked in play.begin(planted.result())]
                continue
            ready = sorted(
                ((play, turn) for play, turn in ready if not play.match.episode.done),
                key=lambda one: (one[0].number, one[1].id),
            )
            now, ready = ready[:batch], ready[batch:]
            for play, turn, reply, trace in _act(policies, now):
                submission = play.match.episode.submit(turn, reply)
                judging[judges.submit(_grade, play.match, submission, reply, trace)] = (play, turn)
    finally:
        judges.shutdown(wait=True, cancel_futures=True)
        for play in plays:
            play.match.close()


def _act(
    policies: Mapping[str, Policy], batch: Sequence[tuple[_Play, Turn]]
) -> Iterator[tuple[_Play, Turn, Reply, Trace]]:
    """Call each policy once on its turns; policies that share a `batch_key` (one model) act together."""
    for places in calls(policies, [turn for _, turn in batch]):
        members = [batch[place] for place in places]
        start = time.perf_counter()
        replies = call(policies, [turn for _, turn in members])
        share = (time.perf_counter() - start) / len(members)
        for (play, turn), reply in zip(members, replies, strict=True):
            tokens = reply.generation
            trace = Trace(
                turn=turn.id,
                policy_seconds=share,
                prompt_tokens=len(tokens.prompt_ids) if tokens else 0,
                completion_tokens=len(tokens.completion_ids) if tokens else 0,
                cost=reply.cost or 0.0,
                generation=tokens,
            )
            yield play, turn, reply, trace


def _grade_seed(match: Match) -> Verdict | SandboxError:
    try:
        return match.judge_seed()
    except SandboxError as error:
        return error


def _grade(match: Match, submission: Submission, reply: Reply, trace: Trace) -> _Answer:
    if submission.verdict is not None:
        return _Answer(reply, submission.verdict, trace)
    start = time.perf_counter()
    try:
        result: Verdict | SandboxError = match.run(submission)
    except SandboxError as error:
        result = error
    cpu = result.cpu_seconds if isinstance(result, Verdict) else 0.0
    return _Answer(reply, result, replace(trace, judge_seconds=time.perf_counter() - start, cpu_seconds=cpu))
