"""A model server and a judge in virtual time: how busy an engine keeps the one, exactly and in a minute.

Nothing waits here. The event loop's clock jumps to the next moment at which something happens, so a run of hours is
simulated in as long as its decisions take; the trees are real, the clock and what it measures are not. SIMULATED:
replies come from the noise policy, and a program is right that equals its reference.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import exp
from random import Random
from typing import Any, Final

import mars2_env
from mars2_env.base.keys import seed
from mars2_env.engine import Ask, Grade, Job, ListFeed
from mars2_env.engine.driver import Driver, Settings
from mars2_env.engine.play import Play
from mars2_env.engine.trees import AsyncTrees
from mars2_env.engine.workers import Done, Inbox, Work, Workers
from mars2_env.log import Trace, Tree
from mars2_env.prompt.programs import normal_form
from mars2_env.tasks import Match, Task
from mars2_env.testing import NoisePolicy, ScriptedSandbox
from mars2_env.types import Reply, Run, Turn

MEAN: Final = 2.0
"""Seconds of a generation."""
QUICK, SLOW = 0.05, 3.2
"""Seconds of judging a program that ends, and one that loops."""


class _Clock(selectors.SelectSelector):
    """Waits for nothing: the time that would be waited is over."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, which is nothing, after a wait that takes no time."""
        if timeout is None:
            raise RuntimeError("nothing will ever happen: the simulation is stuck.")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual; nothing outside it may have to be waited for, such as a thread."""

    def __init__(self) -> None:
        self.clock = _Clock()
        super().__init__(self.clock)

    def time(self) -> float:
        """Return the virtual time, in seconds since the start."""
        return self.clock.now


@dataclass
class World:
    """What is simulated, and what is seen of it.

    Attributes:
        sigma: of the log-normal seconds of a generation.
        looping: the share of programs that loop.
        slots: how many generations the server makes at a time.
        cores: how many programs are judged at a time.
        busy: when each generation began and ended.
    """

    sigma: float
    looping: float
    slots: int = 64
    cores: int = 16
    busy: list[tuple[float, float]] = field(default_factory=list)
    judging: float = 0.0

    def seconds_of(self, turn: Turn) -> float:
        """Return how long the reply to a turn takes; of the turn alone, whichever engine asks."""
        draw = Random(seed("seconds", turn.seed))
        return MEAN * exp(draw.gauss(-(self.sigma**2) / 2, self.sigma))

    def judged_in(self, program: str) -> float:
        """Return how long judging a program takes."""
        return SLOW if self.loops(program) else QUICK

    def loops(self, program: str) -> bool:
        """Whether a program loops for ever."""
        return Random(seed("loops", program)).random() < self.looping

    def share_busy(self) -> float:
        """Return the share of the server's slots that were busy over the middle 60 % of the time."""
        end = max(stop for _, stop in self.busy)
        low, high = 0.2 * end, 0.8 * end
        inside = sum(max(0.0, min(stop, high) - max(start, low)) for start, stop in self.busy)
        return inside / (self.slots * (high - low))


class Author:
    """The noise policy, which writes the same to the same turn, so that engines can be compared."""

    def __init__(self, problems: mars2_env.ProblemSet) -> None:
        self._policy = NoisePolicy(problems)
        self._known: dict[tuple[str, int], Reply] = {}

    def reply(self, turn: Turn) -> Reply:
        """Return the reply to a turn."""
        key = turn.problem.id, turn.seed
        if key not in self._known:
            (self._known[key],) = self._policy.act([turn])
        return self._known[key]


class Server:
    """Answers turns on an event loop, as many at a time as the world has slots."""

    def __init__(self, world: World, author: Author) -> None:
        self._world = world
        self._author = author
        self.concurrency = world.slots

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Not asked this way here."""
        raise NotImplementedError

    async def generate(self, turn: Turn, *, priority: int) -> Reply:
        """Return the reply after the time that it takes."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        await asyncio.sleep(self._world.seconds_of(turn))
        self._world.busy.append((start, loop.time()))
        return self._author.reply(turn)


class Judges(Workers):
    """Judges programs in virtual time: what they find is known at once, and told when it would be."""

    def __init__(self, world: World, box: Box, inbox: Inbox) -> None:
        super().__init__(world.cores, "virtual", inbox)
        self._world, self._box = world, box
        self._free = world.cores
        self._waiting: deque[tuple[Work, Done]] = deque()

    def submit(self, work: Work, done: Done) -> None:
        """Judge as soon as a core is free."""
        self._waiting.append((work, done))
        self._next()

    def _next(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            work, done = self._waiting.popleft()
            self._box.last = None
            outcome = work()
            seconds = 0.0 if self._box.last is None else self._world.judged_in(self._box.last)
            self._world.judging += seconds
            asyncio.get_running_loop().call_later(seconds, self._end, done, outcome)

    def _end(self, done: Done, outcome: Any) -> None:
        self._free += 1
        done(outcome)
        self._next()


class Box(ScriptedSandbox):
    """Says that a program is right which equals its reference, and which program was run last."""

    def __init__(self, world: World, problems: mars2_env.ProblemSet) -> None:
        self.last: str | None = None
        self._world = world
        self._right: dict[bytes, dict[str, Any]] = {}
        self._forms: dict[str, bytes] = {}
        for problem in problems:
            tests = (*problem.public, *problem.scoring, *problem.hidden)
            self._right[normal_form(problem.reference or "")] = {repr(one.input): one.output for one in tests}
        super().__init__(self._outcome)

    def right(self, program: str) -> bool:
        """Whether a program equals a reference."""
        if program not in self._forms:
            self._forms[program] = normal_form(program)
        return self._forms[program] in self._right

    def _outcome(self, program: str, input: Any) -> Run:
        self.last = program
        if self._world.loops(program):
            return Run("time_limit")
        return Run("ok", output=self._right[self._forms[program]].get(repr(input)) if self.right(program) else "")


def pass_at_1(trees: Iterable[Tree], box: Box) -> float:
    """Return the share of trees whose answer equals its reference, and does not loop."""
    found = []
    for tree in trees:
        program = None if tree.answer is None else tree.nodes[tree.answer - 1].program
        found.append(program is not None and box.right(program) and not box._world.loops(program))
    return sum(found) / len(found)


def engine(task: Task, world: World, author: Author, trees: int, in_flight: int) -> list[Tree]:
    """Grow one tree for each problem of a task in virtual time, with the engine of this package."""
    box = task.sandbox
    assert isinstance(box, Box)
    agents = dict.fromkeys(task.agents, Server(world, author))

    def opened(job: Job) -> Play:
        return Play(job, Match(task, job.problem, 0, resume=True), in_flight, None)

    settings = Settings(trees, trees * in_flight, in_step=False, deadline=1e9)
    ids = [problem.id for problem in task.problems]

    async def grown() -> list[Tree]:
        driver = Driver(task, agents, ListFeed(ids), opened, settings, judges=lambda inbox: Judges(world, box, inbox))
        return [tree async for tree in AsyncTrees(driver)]

    loop = VirtualLoop()
    try:
        return loop.run_until_complete(grown())
    finally:
        loop.close()


def batch_synchronous(task: Task, world: World, author: Author, trees: int, in_flight: int) -> list[Tree]:
    """The same by the rule of the thread driver that was here before: generate a whole batch, then judge all of it."""
    feed = ListFeed(problem.id for problem in task.problems)
    ready: list[tuple[Play, Turn]] = []
    going: list[Play] = []
    finished: list[Tree] = []
    now, more = 0.0, True
    while more or going:
        while more and len(going) < trees:
            if (job := feed.claim()) is None:
                more = False
                break
            play = Play(job, Match(task, job.problem, 0, resume=True), in_flight, None)
            going.append(play)
            ready += [(play, one.turn) for one in play.course.begin() if isinstance(one, Ask)]
        replies = _scheduled(ready, now, world.slots, lambda one: world.seconds_of(one[1]))
        world.busy += [(start, end) for start, end, _ in replies]
        now = max((end for _, end, _ in replies), default=now)
        batch, ready = ready, []
        programs: list[tuple[Play, Turn, Any]] = []
        for play, turn in batch:
            for one in play.course.replied(turn, author.reply(turn), Trace(turn.id)):
                if isinstance(one, Grade):
                    programs.append((play, one.turn, one.submission))
                elif isinstance(one, Ask):
                    ready.append((play, one.turn))
        verdicts = _scheduled(programs, now, world.cores, lambda one: world.judged_in(one[2].program or ""))
        world.judging += sum(end - start for start, end, _ in verdicts)
        for _, end, (play, turn, submission) in sorted(verdicts, key=lambda one: one[1]):
            now = end
            work = play.course.graded(turn, play.match.grade(submission))
            ready += [(play, one.turn) for one in work if isinstance(one, Ask)]
        for play in [play for play in going if play.course.done]:
            going.remove(play)
            play.match.close()
            finished.append(play.match.tree())
        ready = [(play, turn) for play, turn in ready if not play.course.done]
    return finished


def _scheduled(
    things: list[Any], now: float, places: int, seconds: Callable[[Any], float]
) -> list[tuple[float, float, Any]]:
    """Return when each thing begins and ends that is begun in order, so many at a time."""
    free = [now] * places
    found = []
    for thing in things:
        start = heapq.heappop(free)
        end = start + seconds(thing)
        heapq.heappush(free, end)
        found.append((start, end, thing))
    return found


ENGINES: Final[Mapping[str, tuple[Callable[..., list[Tree]], int]]] = {
    "engine, 2 in flight": (engine, 2),
    "engine, 1 in flight": (engine, 1),
    "batch-synchronous, 2 in flight": (batch_synchronous, 2),
}
