"""Policies made of policies: a planner, a coder and a debugger in a row, and a model that tries before it answers.

Both run programs on the public tests alone (`Trial`), and tell every call of a model and of the tool in `Reply.steps`.
What happens in which order is said once, by generators that do no I/O: they yield what is to be asked or tried and are
sent what came of it. `act` drives those of a whole batch in step, so that each member sees its turns together;
`generate` drives one on the engine's loop.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import reduce
from hashlib import sha256
from math import isnan, nan
from typing import Any, Final, TypeAlias

from mars2_agents.policies.stage_templates import StageTemplates
from mars2_agents.policies.transformers import PARENT, named_parent
from mars2_env.base.abilities import keeps
from mars2_env.base.checks import instance, text, whole_number
from mars2_env.base.keys import seed as keyed
from mars2_env.base.texts import elided
from mars2_env.errors import PolicyError
from mars2_env.prompt import completion, extract_program, feedback_text
from mars2_env.prompt.programs import MAX_READ, fenced_blocks
from mars2_env.tasks import call, calls, identity_of, takes_trial
from mars2_env.types import (
    Call,
    Closes,
    Generates,
    Generation,
    Given,
    Gives,
    Limited,
    Message,
    Policy,
    Reply,
    Step,
    Trial,
    Turn,
    Verdict,
)

TOOL: Final = "public_tests"
"""The role of the steps in which a program was tried."""

MAX_OBSERVATION: Final = 4000
"""Characters of what a model is told of a try."""

ASIDE: Final = 16
"""How many turns at a time a team wants whose members do not say how many they do."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A member is to be asked, in a role."""

    role: str
    member: Policy
    turn: Turn


@dataclass(frozen=True, slots=True)
class Try:
    """A program is to be run on the public tests."""

    turn: Turn
    program: str


Wanted: TypeAlias = Ask | Try
Course: TypeAlias = Generator[Wanted, Any, Reply]
"""The course of one turn: it is sent a `Reply` for an `Ask`, a `Verdict` and its seconds for a `Try`."""


class _Team:
    """What policies made of policies share: how a course is driven, and what the members give together."""

    def __init__(self, members: Sequence[Policy], templates: StageTemplates) -> None:
        instance("templates", templates, StageTemplates, "StageTemplates, or None", where=type(self).__name__)
        for member in members:
            if isinstance(member, type) or not callable(getattr(member, "act", None)):
                raise PolicyError(
                    f"{type(self).__name__}: {member!r:.200} is no policy; one with act(turns) is needed."
                )
        self.members = tuple({id(member): member for member in members}.values())
        self._desks = {id(member): _Desk(member) for member in self.members}
        self.templates = templates

    def course(self, turn: Turn) -> Course:
        """Return what is asked and tried for a turn, step by step."""
        raise NotImplementedError

    @property
    def concurrency(self) -> int:
        """How many turns at a time: as many as each member wants."""
        return min(member.concurrency if keeps(member, Limited) else ASIDE for member in self.members)

    @property
    def gives(self) -> frozenset[Given]:
        """What every member's generations tell; one that does not say is taken to tell all."""
        everything: frozenset[Given] = frozenset({"token_ids", "logprobs", "token_counts", "cost"})
        told = [frozenset(member.gives) for member in self.members if keeps(member, Gives)]
        return reduce(frozenset.intersection, told, everything)

    def close(self) -> None:
        """Close the members that can be closed."""
        for member in self.members:
            if keeps(member, Closes):
                member.close()

    def act(self, turns: list[Turn], *, trial: Trial | None = None) -> list[Reply]:
        """Return one reply for each turn, in order; their courses go on in step, and each member is asked in batches.

        Raises:
            PolicyError: a member returned something else than one reply a turn, or there is nothing to try with.
            SandboxError: the sandbox could not decide on a try. It is no score, and no observation.
        """
        courses = [self.course(turn) for turn in turns]
        replies: dict[int, Reply] = {}
        sent: dict[int, Any] = dict.fromkeys(range(len(turns)))
        while sent:
            wanted = _advanced(courses, sent, replies)
            tries = {place: one for place, one in wanted.items() if isinstance(one, Try)}
            sent = {place: _tried(one, trial) for place, one in tries.items()}
            asks = {place: one for place, one in wanted.items() if isinstance(one, Ask)}
            for member in self.members:
                sent |= _answered(member, {place: ask for place, ask in asks.items() if ask.member is member}, trial)
        return [replies[place] for place in range(len(turns))]

    async def generate(self, turn: Turn, *, priority: int, trial: Trial | None = None) -> Reply:
        """Return the reply to a turn; members that do not generate are asked in a thread, in batches of what waits.

        Raises:
            PolicyError: a member returned something else than a reply, or there is nothing to try with.
            SandboxError: the sandbox could not decide on a try.
        """
        course, sent = self.course(turn), None
        while True:
            try:
                wanted = course.send(sent)
            except StopIteration as end:
                reply: Reply = end.value
                return reply
            sent = await (
                _atried(wanted, trial) if isinstance(wanted, Try) else self._aanswered(wanted, priority, trial)
            )

    async def _aanswered(self, ask: Ask, priority: int, trial: Trial | None) -> Reply:
        member = ask.member
        if not keeps(member, Generates):
            return await self._desks[id(member)].reply(ask, trial)
        tool: dict[str, Any] = {"trial": trial} if takes_trial(member.generate) else {}
        reply = await member.generate(ask.turn, priority=priority, **tool)
        if not isinstance(reply, Reply):
            raise PolicyError(f"{member!r:.200} returned {reply!r:.200} for turn {ask.turn.id}; a Reply is needed.")
        return reply

    def _identity(self, name: str, *parts: str) -> str:
        words = sha256(repr(astuple(self.templates)).encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return f"{name}({', '.join([*parts, f'templates={self.templates.name}-{words}'])})"


class _Desk:
    """Asks a member that only acts, in a thread: what comes while it is busy is its next batch."""

    def __init__(self, member: Policy) -> None:
        self._member = member
        self._waiting: list[tuple[Ask, asyncio.Future[Reply]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def reply(self, ask: Ask, trial: Trial | None) -> Reply:
        """Return the member's reply."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._waiting.append((ask, future))
        if self._worker is None:
            self._worker = loop.create_task(self._work(trial))
        return await future

    async def _work(self, trial: Trial | None) -> None:
        batch: list[tuple[Ask, asyncio.Future[Reply]]] = []
        try:
            while batch := [one for one in self._waiting if not one[1].done()]:  # who is done was cancelled
                self._waiting.clear()
                outcomes = await asyncio.to_thread(_outcomes, self._member, [ask for ask, _ in batch], trial)
                for (_, future), outcome in zip(batch, outcomes, strict=True):
                    if future.done():
                        continue
                    if isinstance(outcome, Reply):
                        future.set_result(outcome)
                    else:
                        future.set_exception(outcome)
        finally:
            self._worker = None
            for _, future in (*batch, *self._waiting):
                future.cancel()
            self._waiting.clear()


class Stages(_Team):
    """A planner, a coder, and a debugger who repairs what fails the public tests.

    The plan goes to the coder; the coder's program is tried on the public tests; where it fails, the debugger is told
    how, and so on, up to `rounds` repairs. The reply is the first program that passes, or the last repair. A problem
    without public tests is answered by the coder. Where the agent chooses the parent, the last line `PARENT: n` of
    coder or debugger names it.

    Args:
        coder: writes the program.
        planner: writes a plan before; None for none.
        debugger: repairs; the coder by default.
        rounds: how many repairs there are at most.
        templates: the words.
    """

    def __init__(
        self,
        coder: Policy,
        *,
        planner: Policy | None = None,
        debugger: Policy | None = None,
        rounds: int = 2,
        templates: StageTemplates | None = None,
    ) -> None:
        self.coder, self.planner, self.debugger = coder, planner, coder if debugger is None else debugger
        self.rounds = whole_number("rounds", rounds, least=0, where="Stages")
        members = [coder, self.debugger] if planner is None else [planner, coder, self.debugger]
        super().__init__(members, StageTemplates() if templates is None else templates)

    def __repr__(self) -> str:
        return f"Stages({self.coder!r}, planner={self.planner!r}, debugger={self.debugger!r}, rounds={self.rounds})"

    @property
    def identity(self) -> str:
        """The members, how many repairs, and the words."""
        named = {"planner": self.planner, "coder": self.coder, "debugger": self.debugger}
        members = (f"{role}={identity_of(member)}" for role, member in named.items() if member is not None)
        return self._identity("stages", *members, f"rounds={self.rounds}")

    def course(self, turn: Turn) -> Course:
        """Return plan, program, tries and repairs of a turn, step by step."""
        words, told = self.templates, _Told(turn)
        asked = _chat(turn)
        if self.planner is not None:
            plan = yield told.ask("planner", self.planner, _behind(asked, words.plan))
            told.hear("planner", self.planner, plan, writes=False)
            asked = _behind(asked, words.planned, plan.text, words.code)
        reply = yield told.ask("coder", self.coder, asked)
        told.hear("coder", self.coder, reply)
        for _ in range(self.rounds if turn.problem.public else 0):
            program = _program(turn, reply.text)
            verdict = None
            if program is not None:
                verdict, seconds = yield Try(turn, program)
                told.see(program, observation(verdict), seconds)
                if verdict.passed:
                    break
            seen = "No program was found in the reply." if verdict is None else observation(verdict)
            asked = _continued(asked, reply.text, seen, words.debug)
            reply = yield told.ask("debugger", self.debugger, asked)
            told.hear("debugger", self.debugger, reply)
        return told.reply(reply.text)


class ToolUser(_Team):
    """A model that may try programs on the public tests before it answers.

    It tries by a block tagged `test`, or by a line `RUN` beside its program, and is told what came of it; the first
    reply without either is the answer. After `tries` tries it has to answer, and whatever it then writes is taken.

    Args:
        model: writes.
        tries: how often it may try at most.
        templates: the words.
        role: what its steps are called.
    """

    def __init__(
        self, model: Policy, *, tries: int = 3, templates: StageTemplates | None = None, role: str = "coder"
    ) -> None:
        self.model, self.role = model, role
        self.tries = whole_number("tries", tries, where="ToolUser")
        text("role", role, empty=False, where="ToolUser")
        super().__init__([model], StageTemplates() if templates is None else templates)

    def __repr__(self) -> str:
        return f"ToolUser({self.model!r}, tries={self.tries})"

    @property
    def identity(self) -> str:
        """The model, how often it may try, and the words."""
        return self._identity("tool_user", identity_of(self.model), f"tries={self.tries}", f"role={self.role}")

    def course(self, turn: Turn) -> Course:
        """Return tries and answer of a turn, step by step."""
        words, told = self.templates, _Told(turn)
        tries = self.tries if turn.problem.public else 0
        asked = _chat(turn)
        if tries:
            asked = _behind(asked, _counted(words.tool, tries))
        while True:
            reply = yield told.ask(self.role, self.model, asked)
            told.hear(self.role, self.model, reply)
            program = tried_program(turn, reply.text) if tries else None
            if program is None:
                return told.reply(reply.text)
            tries -= 1
            verdict, seconds = yield Try(turn, program)
            told.see(program, observation(verdict), seconds)
            asked = _continued(
                asked, reply.text, observation(verdict), _counted(words.again, tries) if tries else words.last
            )


class _Told:
    """What came of a turn so far: its steps, what they cost, and the parents that were named."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._steps: list[Step] = []
        self._costs: list[float] = []
        self._parent: int | None = None
        self._named = False
        self._asked = 0

    def ask(self, role: str, member: Policy, messages: tuple[Message, ...]) -> Ask:
        """Return the question to a member: the turn with other words, and with luck of its own at each stage."""
        self._asked += 1
        seed = keyed("stage", self._turn.seed, self._asked)
        return Ask(role, member, replace(self._turn, messages=messages, seed=seed))

    def hear(self, role: str, member: Policy, reply: Reply, *, writes: bool = True) -> None:
        """Take a member's reply; `writes` says that it is to hold a program, and may name the parent."""
        if reply.steps:
            self._steps += reply.steps
        else:
            made = reply.generation or Generation()
            self._steps.append(Step(role, made if made.text else replace(made, text=reply.text)))
        if reply.cost is not None:
            self._costs.append(reply.cost)
        elif keeps(member, Gives) and "cost" in member.gives:  # it has a cost that is not known
            self._costs.append(nan)
        if not writes or self._turn.parent is not None:
            return
        if PARENT.search(reply.text):
            self._parent, self._named = named_parent(reply.text), True
        elif not self._named and reply.parent is not None:
            self._parent = reply.parent

    def see(self, program: str, seen: str, seconds: float) -> None:
        """Take what a try said."""
        self._steps.append(Step(TOOL, call=program, observation=seen, seconds=seconds))

    def reply(self, text: str) -> Reply:
        """Return the reply that all of it comes to."""
        parent = None if self._turn.parent is not None else self._parent or 0
        cost = sum(self._costs) if self._costs else nan
        return Reply(text, parent=parent, cost=None if isnan(cost) else cost, steps=tuple(self._steps))


def observation(verdict: Verdict) -> str:
    """Return what is told of a try: how many public tests passed, and facts about the first that failed; bounded."""
    outcomes = verdict.outcomes
    passed = f"{sum(one == 'passed' for one in outcomes)} of {len(outcomes)} public tests pass."
    if verdict.passed or verdict.feedback is None:
        return passed
    return elided(f"{passed}\n\n{feedback_text(verdict.feedback)}", MAX_OBSERVATION)


_RUN: Final = re.compile(r"^[^\w\n]*RUN[^\w\n]*$", re.MULTILINE)


def tried_program(turn: Turn, text: str) -> str | None:
    """Return the program that a reply wants to be tried, or None where it is an answer."""
    text = text[-MAX_READ:]
    blocks = [block.body for block in fenced_blocks(text) if block.tag == "test" and block.body.strip()]
    if blocks:
        return blocks[-1]
    return _program(turn, text) if _RUN.search(text) else None


def _program(turn: Turn, text: str) -> str | None:
    interface = turn.problem.interface
    return extract_program(text, interface.name if isinstance(interface, Call) else None)


def _chat(turn: Turn) -> tuple[Message, ...]:
    """Return the turn's prompt.

    Raises:
        PolicyError: it is a plain completion, behind which nothing can be asked.
    """
    if completion(turn.messages):
        raise PolicyError('stages speak in chat messages; choose prompts="chat" or "reasoning" for their agents.')
    return turn.messages


def _counted(words: str, tries: int) -> str:
    return words.replace("{tries}", str(tries))


def _behind(messages: tuple[Message, ...], *texts: str) -> tuple[Message, ...]:
    """Return messages with texts behind the last of them."""
    content = "\n\n".join([messages[-1]["content"], *texts])
    return (*messages[:-1], {"role": messages[-1]["role"], "content": content})


def _continued(messages: tuple[Message, ...], replied: str, *texts: str) -> tuple[Message, ...]:
    """Return a conversation with a reply and what is said to it."""
    said: Message = {"role": "assistant", "content": replied}
    return (*messages, said, {"role": "user", "content": "\n\n".join(texts)})


def _advanced(courses: Sequence[Course], sent: Mapping[int, Any], replies: dict[int, Reply]) -> dict[int, Wanted]:
    """Send courses what they waited for; return what they want next, and put what the finished say into `replies`."""
    wanted: dict[int, Wanted] = {}
    for place in sorted(sent):
        try:
            wanted[place] = courses[place].send(sent[place])
        except StopIteration as end:
            replies[place] = end.value
    return wanted


def _answered(member: Policy, asks: Mapping[int, Ask], trial: Trial | None) -> dict[int, Reply]:
    """Return a member's replies to what it is asked, in as few calls as it can be asked in."""
    places, turns = list(asks), [ask.turn for ask in asks.values()]
    members = {turn.agent: member for turn in turns}
    found: dict[int, Reply] = {}
    for group in calls(members, turns):
        replies = call(members, [turns[one] for one in group], trial)
        found |= {places[one]: reply for one, reply in zip(group, replies, strict=True)}
    return found


def _outcomes(member: Policy, asks: Sequence[Ask], trial: Trial | None) -> list[Reply | Exception]:
    """Return a member's replies; a batch that fails is asked again one by one, so that it costs only who fails."""
    try:
        found = _answered(member, dict(enumerate(asks)), trial)
        return [found[place] for place in range(len(asks))]
    except Exception as error:
        if len(asks) == 1:
            return [error]
    return [outcome for ask in asks for outcome in _outcomes(member, [ask], trial)]


def _tried(wanted: Try, trial: Trial | None) -> tuple[Verdict, float]:
    start = time.perf_counter()
    verdict = _tool(trial).run(wanted.turn, wanted.program)
    return verdict, time.perf_counter() - start


async def _atried(wanted: Try, trial: Trial | None) -> tuple[Verdict, float]:
    start = time.perf_counter()
    verdict = await _tool(trial).arun(wanted.turn, wanted.program)
    return verdict, time.perf_counter() - start


def _tool(trial: Trial | None) -> Trial:
    if trial is None:
        raise PolicyError(
            "programs are to be tried on public tests and there is nothing to try them with: rollouts give policies a "
            "trial; elsewhere call act(turns, trial=PublicTests(task))."
        )
    return trial
