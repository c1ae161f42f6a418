"""One tree as the page takes it: a record for each event, made as the event comes.

The log is played again as it goes (`mars2_env.log.replay.Repeated`), so that a record can tell what no event holds: the
prompt that was asked with, and why the selector chose the place. The page folds the records into nodes, as a log is
folded: what it shows at an event is what stood there then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from math import isfinite
from typing import Any, Final
from zlib import crc32

import numpy as np

from mars2_env.episode import Episode, Event, State
from mars2_env.episode.events import Asked, Ended, Failed, Joined, Left, Seeded, Told
from mars2_env.errors import Mars2Error
from mars2_env.log import Header, Trace
from mars2_env.log.codec import NAMES
from mars2_env.log.fold import state_at_start
from mars2_env.log.replay import Repeated
from mars2_env.prompt import Prompts
from mars2_env.search.choice import Choice, Selector
from mars2_env.search.selectors import make_selector
from mars2_env.search.tree import SearchTree
from mars2_env.types import Generation, Limits, Message, PublicView, Stdin, Step, Turn, Verdict
from mars2_env.view.why import Why, why

CODES: Final = {
    "passed": "p",
    "wrong_answer": "w",
    "runtime_error": "r",
    "compile_error": "c",
    "time_limit": "t",
    "memory_limit": "m",
    "output_limit": "o",
    "not_run": "n",
    "no_program": "x",
    "illegal": "i",
}
"""The letter of an outcome, so that those of a group of tests are one text."""

Record = dict[str, Any]


@dataclass(slots=True)
class _AsLogged:
    """Chooses what the log says, and has the real selector, where there is one, tell why.

    Attributes:
        selector: the real one; None where it cannot be had.
        trouble: why a choice cannot be told of: there is no selector, or it chose otherwise.
        due: the event whose choice comes next.
        told: why it was made, as far as that is known.
    """

    selector: Selector | None
    agents: Callable[[], Sequence[str]]
    trouble: str = ""
    due: Asked | None = None
    told: Why | None = None

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return the choice of the log."""
        assert self.due is not None
        assert self.due.parent is not None
        agents = self.agents()
        logged = Choice(self.due.parent, agents.index(self.due.agent))
        if self.selector is not None and not self.trouble:
            try:
                self.told = why(self.selector, tree, rng, pending)
            except (Mars2Error, LookupError, ValueError, TypeError, AssertionError, StopIteration) as error:
                self.trouble = f"its choices could not be drawn again: {type(error).__name__}: {error!s:.200}"
                return logged
            if self._allowed(tree, self.told.choice) != logged:
                self.trouble = f"drawn again, turn {self.due.turn} came out otherwise than the log says"
                self.told = None
        return logged

    def _allowed(self, tree: SearchTree, choice: Choice) -> Choice:
        """Return a choice as an episode takes it: the turn of an agent that is not allowed is the next one's."""
        agent = choice.agent
        while tree.allowed is not None and not tree.allowed[agent]:
            agent = (agent + 1) % tree.n_agents
        return Choice(choice.parent, agent)

    def pending_score(self, tree: SearchTree, choice: Choice) -> float | None:
        """Return the score that the log says an expansion in flight stands in for."""
        return None if self.due is None else self.due.pending


def number(value: float) -> float | int | str:
    """Return a number with four digits that count, as JSON has it."""
    if not isfinite(value):
        return str(value)
    short = float(f"{value:.4g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


def plain(value: Any) -> Any:
    """Return what was told of a choice as JSON has it: dataclasses as objects without what is empty, numbers short."""
    if is_dataclass(value) and not isinstance(value, type):
        items = {one.name: getattr(value, one.name) for one in fields(value)}
        return {name: plain(one) for name, one in items.items() if one not in (None, ()) and one is not False}
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if isinstance(value, bool | str) or value is None:
        return value
    return number(float(value))


def groups_of(verdict: Verdict) -> dict[str, str]:
    """Return the outcomes of each group of tests as a text, a letter a test (`CODES`)."""
    return {group: "".join(CODES[one] for one in outcomes) for group, outcomes in verdict.groups.items()}


def verdict_of(verdict: Verdict) -> Record:
    """Return a verdict: its outcome in a word, those of its tests, and the facts of its feedback that are not empty."""
    found: Record = {"outcome": verdict.outcome, "groups": groups_of(verdict)}
    if verdict.feedback is not None:
        facts = {one.name: getattr(verdict.feedback, one.name) for one in fields(verdict.feedback)}
        found["feedback"] = {name: fact for name, fact in facts.items() if fact not in ("", None) and fact is not False}
    return found


def generation_of(generation: Generation) -> Record:
    """Return what is known of a generation, without its tokens."""
    found: Record = {
        "finish": generation.finish_reason,
        "version": generation.weights_version,
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "top_k": generation.top_k,
        "cut": generation.prompt_cut or None,
        "thinking": generation.thinking_tokens,
        "text": generation.text or None,
        "tokens": None if generation.tokens is None else list(generation.tokens),
    }
    told = [one for one in generation.logprobs if isfinite(one)]
    if told:
        found["logprob"] = number(sum(told) / len(told))
    return {name: value for name, value in found.items() if value is not None}


def step_of(step: Step) -> Record:
    """Return a step on the way to a reply."""
    found: Record = {"role": step.role, "call": step.call, "observation": step.observation, "seconds": step.seconds}
    found = {name: value for name, value in found.items() if value}
    return found if step.generation is None else {**found, "generation": generation_of(step.generation)}


def trace_of(trace: Trace) -> Record:
    """Return what an expansion cost: seconds and tokens, and the steps to its reply."""
    found: Record = {
        "policy_seconds": number(trace.policy_seconds),
        "judge_seconds": number(trace.judge_seconds),
        "cpu_seconds": number(trace.cpu_seconds),
        "prompt_tokens": trace.prompt_tokens,
        "completion_tokens": trace.completion_tokens,
        "cost": number(trace.cost),
    }
    found = {name: value for name, value in found.items() if value}
    if trace.generation is not None:
        found["generation"] = generation_of(trace.generation)
    if trace.steps:
        found["steps"] = [*map(step_of, trace.steps)]
    return found


def messages_of(messages: Sequence[Message]) -> list[list[str]]:
    """Return a prompt: role and text of each message."""
    return [[message["role"], message["content"]] for message in messages]


@dataclass
class Counts:
    """What a tree has come to, as the list of trees shows it; the lists have an entry a node.

    A node's entry in `choices` is its parent, agent, outcome and a checksum of its program: equal for equal nodes of
    two runs.
    """

    turns: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)
    turn_of: list[int] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    hidden: list[bool | None] = field(default_factory=list)


class Records:
    """Makes the records of one tree, event by event.

    Attributes:
        header: of its log.
        events: how many were taken.
        trouble: what could not be told, and why: "why" of choices, "prompts".
    """

    def __init__(
        self,
        header: Header,
        problem: PublicView | None = None,
        prompts: Prompts | None = None,
        hidden: Callable[[str], bool | None] | None = None,
        trouble: Mapping[str, str] | None = None,
        *,
        brief: bool = False,
    ) -> None:
        """Begin.

        Args:
            header: of the log.
            problem: what may be seen of the problem; without it no prompt can be told.
            prompts: how the task asks; without them no prompt can be told.
            hidden: program -> whether it passes the hidden tests, as far as that is known; None tells nothing of them.
            trouble: what cannot be told, and why, as far as that is known beforehand.
            brief: whether the log is folded alone and not played again: for the line of a list, which needs no more.
        """
        self.header = header
        self.trouble: dict[str, str] = dict(trouble or {})
        self.counts = Counts()
        self._problem, self._prompts, self._hidden = problem, prompts, hidden
        self._taken: list[Event] = []
        self._state: State = state_at_start(header)
        self._again: Repeated | None = None
        self._brief = brief
        self._chooser = _AsLogged(None, lambda: self._state.agents)
        self._turns: dict[int, Turn] = {}
        self._agents: dict[int, str] = {}
        self._spent: dict[int, tuple[int, float]] = {}
        if header.task.get("selector") is not None and not brief:
            try:
                self._chooser.selector = make_selector(**header.task["selector"])
            except (Mars2Error, TypeError) as error:
                self.trouble["why"] = f"the selector cannot be built here: {error}"

    @property
    def state(self) -> State:
        """The state that the events so far led to."""
        return self._state

    def take(self, event: Event) -> Record:
        """Return the record of the next event.

        Raises:
            LogError: it does not follow from those before it.
        """
        if not self._taken and not self._brief:
            self._begin(event)
        self._taken.append(event)
        before = self._state.draws
        self._chooser.due, self._chooser.told = (event, None) if isinstance(event, Asked) else (None, None)
        self._follow(event)
        record: Record = {"kind": NAMES[type(event)]}
        match event:
            case Asked():
                self._agents[event.turn] = event.agent
                record |= {"turn": event.turn, "agent": event.agent, "parent": event.parent}
                record |= self._asked(event, drawn=self._state.draws > before)
            case Told():
                record |= self._told(event)
            case Seeded():
                record |= {"program": event.program, "score": event.score, **verdict_of(event.verdict)}
            case Failed():
                record |= {"turn": event.turn, "reason": event.reason, "fault": event.kind}
            case Joined():
                record |= {"agent": event.agent, "role": event.role}
            case Left():
                record |= {"agent": event.agent}
            case Ended():
                record |= {"reason": event.reason, "detail": event.detail}
            case _:
                record |= {"turn": event.turn}
        return record

    def _begin(self, event: Event) -> None:
        """Begin to play the log again."""
        problem = self._problem
        if problem is None or problem.id != self.header.problem:
            seed = event.program if isinstance(event, Seeded) else None
            problem = PublicView(self.header.problem, "", Stdin(), (), "", Limits(), seed)
            self._prompts = None
        try:
            chooser = self._chooser if self.header.task["rules"].get("game", "write") == "write" else None
            self._again = Repeated(self.header, problem, chooser, self._prompts)
            self._state = self._again.episode
        except (Mars2Error, KeyError, TypeError) as error:
            self._give_up(error)

    def _follow(self, event: Event) -> None:
        """Bring the state to what it is after an event: by playing on or, where that fails once, by folding alone."""
        if self._again is not None:
            try:
                self._again.take(event)
                return
            except Mars2Error as error:
                self._give_up(error)
                for earlier in self._taken[:-1]:
                    self._state.apply(earlier)
        self._state.apply(event)

    def _give_up(self, error: BaseException) -> None:
        self._again = None
        self._state = state_at_start(self.header)
        said = f"this version plays the log otherwise than it was written: {error!s:.300}"
        self.trouble = {"why": said, "prompts": said} | self.trouble

    def _asked(self, event: Asked, *, drawn: bool) -> Record:
        """Return what only the game played again knows of an ask: the prompt, and why."""
        found: Record = {} if event.pending is None else {"pending": event.pending}
        if not drawn:
            found["again"] = True
        if self._chooser.told is not None:
            found["why"] = plain(self._chooser.told)
        if self._chooser.trouble:
            self.trouble.setdefault("why", self._chooser.trouble)
        if self._prompts is not None and isinstance(self._state, Episode):
            turn = self._turns[event.turn] = self._state.pending[event.turn]
            if turn.messages:
                found["prompt"] = messages_of(turn.messages)
        return found

    def _told(self, event: Told) -> Record:
        agent = self._agents.pop(event.turn, "")
        turn = self._turns.pop(event.turn, None)
        found: Record = {
            "turn": event.turn,
            "node": event.node,
            "parent": event.parent,
            "score": event.score,
            **verdict_of(event.verdict),
            "reply": event.reply,
            "program": event.program,
        }
        if event.duplicate_of is not None:
            found["duplicate_of"] = event.duplicate_of
        if event.given:
            found["given"] = True
        if event.model_score is not None:
            found["model_score"] = number(event.model_score)
        if turn is not None and turn.parent is None and not turn.messages and event.parent in turn.parents:
            found["prompt"] = messages_of(turn.at(event.parent).messages)
        passed = None
        if self._hidden is not None and event.program is not None:
            passed = found["hidden"] = self._passes(event.program, event.duplicate_of)
        if event.node is not None:
            self._count(event, agent, passed)
        return found

    def _passes(self, program: str, duplicate_of: int | None) -> bool | None:
        """Return whether a program passes the hidden tests, if that is known; one that repeats another does as it."""
        assert self._hidden is not None
        if duplicate_of:
            return self.counts.hidden[duplicate_of - 1]
        root = self._state.root
        return self._hidden(root.program if duplicate_of == 0 and root is not None and root.program else program)

    def _count(self, event: Told, agent: str, passed: bool | None) -> None:
        counts = self.counts
        counts.turns[agent] += 1
        counts.outcomes.setdefault(agent, Counter())[event.verdict.outcome] += 1
        counts.scores.append(event.score)
        counts.turn_of.append(event.turn)
        same = crc32((event.reply if event.program is None else event.program).encode())
        counts.choices.append(f"{event.parent}/{agent}/{CODES[event.verdict.outcome]}/{same:x}")
        counts.hidden.append(passed)

    def spend(self, traces: Mapping[int, Trace]) -> None:
        """Say what turns cost, as far as that is written: the list of trees tells it."""
        for turn, trace in traces.items():
            self._spent[turn] = trace.completion_tokens, trace.policy_seconds + trace.judge_seconds

    def summary(self) -> Record:
        """Return what the list of trees shows of this one, as it stands."""
        state, counts = self._state, self.counts
        answer = state.answer()
        solved = next((place for place, score in enumerate(counts.scores) if score >= 1.0), None)
        found: Record = {
            "problem": self.header.problem,
            "seed": self.header.seed,
            "events": len(self._taken),
            "nodes": len(state.nodes),
            "best": number(state.best_score),
            "solved": state.solved,
            "solved_at": None if solved is None else solved + 1,
            "solved_by": None if solved is None else state.nodes[solved].agent,
            "duplicates": state.duplicates,
            "ended": state.ended,
            "detail": state.end_detail,
            "answer": None if answer is None else answer.id,
            "turns": dict(counts.turns),
            "outcomes": {agent: dict(found) for agent, found in counts.outcomes.items()},
            "scores": [*map(number, counts.scores)],
            "choices": counts.choices,
        }
        spent = [self._spent.get(turn, (0, 0.0)) for turn in counts.turn_of]
        if any(tokens for tokens, _ in spent):
            found["tokens"] = [tokens for tokens, _ in spent]
        if any(seconds for _, seconds in spent):
            found["seconds"] = [number(seconds) for _, seconds in spent]
        if self._hidden is not None:
            found["hidden"] = counts.hidden
        return found
