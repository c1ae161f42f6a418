"""An episode: several agents grow one search tree for one problem. A pure state machine without I/O.

Drivers (environments, the rollout engine, replay) ask for a turn, get a reply from a policy and a verdict from the
judge, and tell both. Every change of state is an event; events are handed to `on_event` BEFORE they take effect, so
that a log that writes them loses nothing. Folding the events of an episode into a fresh one gives the same state.

    if episode.awaits_seed:  # a repair problem
        episode.plant(judge.grade(problem, problem.seed_program, tests=rules.tests, stop=rules.stop))
    turn = episode.ask()
    reply = policy.act([turn])[0]
    submission = episode.submit(turn, reply)
    verdict = submission.verdict or judge.grade(problem, submission.program, tests=rules.tests, stop=rules.stop)
    episode.tell(turn, reply, verdict)

What ends an episode, in this order where several would: `max_faults` faults of one agent in a row; `stop_on_solved`;
the tree's budget; the own budgets of all agents; `patience`; and `stop_when`, a rule of the caller's own.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from operator import index as whole_number
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from mars2_env import keys
from mars2_env.errors import ConfigError, EpisodeError, LogError, unknown_name
from mars2_env.events import (
    Asked,
    Cancelled,
    Ended,
    EndReason,
    Event,
    Failed,
    Joined,
    Left,
    Seeded,
    Told,
)
from mars2_env.programs import normal_form
from mars2_env.prompt import Prompts, RefinementContext, extract_program, place_context, play_context
from mars2_env.search.answers import best_answer, reward_answer
from mars2_env.search.budget import Budget, Usage, parse_budget
from mars2_env.search.choice import Choice, Selector
from mars2_env.search.selectors import make_selector
from mars2_env.search.tree import ROOT, PendingScore, SearchTree, checked_score
from mars2_env.texts import well_formed
from mars2_env.types import Call, Node, PublicView, Reply, TestGroup, Turn, Verdict

Game: TypeAlias = Literal["write", "play", "place", "route"]
ScoreKind: TypeAlias = Literal["pass", "fraction"]
Observe: TypeAlias = Literal["all", "own"]

StopRule: TypeAlias = Callable[["Episode"], bool | str | None]
"""Called with the episode after each outcome: something true ends it, and a text says why."""

ILLEGAL = Verdict(settled="illegal")
NO_PROGRAM = Verdict(settled="no_program")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a game is played by.

    Attributes:
        game: `write`: the selector picks agent and parent; `play` and `place`: agents take turns and pick the parent;
            `route`: a controller picks both.
        score: a node's value: `pass` (1 if all tests of the group pass, else 0) or `fraction` (the share that passes).
        score_on: the group of tests that is scored, `public` or `scoring`.
        observe: `all`, or `own`: of other agents' nodes only place, author and score are shown.
        stop_on_solved: whether the episode ends at the first node that passes all scored tests; a number k ends it at
            the k-th different program (after normalisation) that does.
        max_faults: how many faults of one agent in a row end the episode.
        patience: after how many expansions in a row that did not raise the best score the episode ends; None: never.
        model_weight: how much of a node's value for selectors is a reward model's score: they see
            (1 - w) * score + w * model score. The score itself stays as the tests gave it.
    """

    game: Game = "write"
    score: ScoreKind = "pass"
    score_on: TestGroup = "public"
    observe: Observe = "all"
    stop_on_solved: bool | int = False
    max_faults: int = 3
    patience: int | None = None
    model_weight: float = 0.0

    def __post_init__(self) -> None:
        for name, known in (
            ("game", get_args(Game)),
            ("score", get_args(ScoreKind)),
            ("score_on", ("public", "scoring")),
            ("observe", get_args(Observe)),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r} is not one of {', '.join(known)}.")
        if not isinstance(self.stop_on_solved, int) or self.stop_on_solved < 0:
            raise ConfigError(
                f"stop_on_solved={self.stop_on_solved!r:.200} must be True, False, or how many solutions are wanted."
            )
        for name in ("max_faults", "patience"):
            value = getattr(self, name)
            if (name, value) != ("patience", None) and (
                isinstance(value, bool) or not isinstance(value, int) or value < 1
            ):
                raise ConfigError(f"{name}={value!r:.200} must be a whole number of at least 1.")
        weight = self.model_weight
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1:
            raise ConfigError(f"model_weight={weight!r:.200} must be a number from 0 to 1.")

    def config(self) -> dict[str, Any]:
        """Return the rules as plain data for a log's header; younger ones only where they are not at their default."""
        younger = {"patience": None, "model_weight": 0.0}
        return {name: value for name, value in asdict(self).items() if name not in younger or value != younger[name]}

    @property
    def tests(self) -> tuple[TestGroup, ...]:
        """The groups to grade each program on: the scored one, and always the public one."""
        return ("public",) if self.score_on == "public" else ("public", self.score_on)

    @property
    def stop(self) -> Literal["first_failure", "never"]:
        """When judging may stop: a fraction needs every test."""
        return "first_failure" if self.score == "pass" else "never"

    def score_of(self, verdict: Verdict, group: TestGroup | None = None) -> float:
        """Return the score in [0, 1] of a verdict on the scored group, or on another one that was graded."""
        part = verdict.group(group or self.score_on)
        if self.score == "fraction" and part.fraction is not None:
            return part.fraction
        return float(part.passed)


@dataclass(frozen=True, slots=True)
class Submission:
    """What a reply amounts to: a program to be graded, or a verdict that needs no grading."""

    program: str | None
    verdict: Verdict | None
    duplicate_of: int | None = None


@dataclass(slots=True)
class _Account:
    """What an agent has done and spent; `budget` is its own, if it has one."""

    budget: Budget | None
    present: bool = True
    expansions: int = 0
    rounds: int = 0
    nodes: int = 0
    faults: int = 0
    usage: Usage = field(default_factory=Usage)


@dataclass(slots=True)
class _Ordinals:
    """Numbers the children that one agent wrote under one parent; a number given back is given out again first."""

    next: int = 0
    free: list[int] = field(default_factory=list)

    def peek(self) -> int:
        return self.free[0] if self.free else self.next

    def take(self) -> int:
        if self.free:
            return heapq.heappop(self.free)
        self.next += 1
        return self.next - 1

    def give_back(self, ordinal: int) -> None:
        heapq.heappush(self.free, ordinal)


class Episode:
    """One problem, one tree, its agents, and what is left of the budget.

    Attributes:
        agents: all that ever took part, in the order of their index in `tree`.
        roles: what prompts say of each.
        tree: the numbers that selectors see.
        nodes: the nodes in order of id, from 1.
        root: the seed node of a repair problem.
        pending: the turns in flight by id.
        ended, end_detail: why the episode is over, and what exactly ended it; None and "" before.
        fixed_agents: whether agents may neither join nor leave.
        solved: how many different programs (after normalisation) pass the scored tests.
        usage: what was spent of the resources that the budget limits.
        asked: how many turns were handed out.
    """

    def __init__(
        self,
        problem: PublicView,
        agents: Sequence[str] | Mapping[str, str],
        selector: Selector | str | None,
        budget: Budget | int | str | Mapping[str, Any],
        seed: int,
        *,
        rules: Rules | None = None,
        prompts: Prompts | None = None,
        stop_when: StopRule | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        """Start with an empty tree.

        Args:
            problem: the public view of a problem.
            agents: agent names, or a mapping from each name to what its prompts say of its role.
            selector: picks agent and parent in the `write` game (a name makes one); None in `play`.
            budget: how many expansions the tree may have, or whatever else `parse_budget` takes.
            seed: with the problem's id, the source of all randomness.
            rules: the game; `Rules()` by default.
            prompts: how agents are asked; `Prompts()` by default. It decides no event but through the replies.
            stop_when: called with the episode after each outcome; what it returns, if true, ends the episode, and a
                text is written down as the reason. It is a function of what was told alone: neither of what is in
                flight nor, say, of the time.
            on_event: called with each event before it takes effect; an exception from it leaves the state unchanged.

        Raises:
            ConfigError: the arguments do not make a game.
        """
        if not isinstance(problem, PublicView):  # a Problem would do, and hand hidden tests to every policy
            raise ConfigError(f"an episode is about Problem.public_view(), not a {type(problem).__name__}.")
        self.problem = problem
        self.roles: dict[str, str] = dict(agents) if isinstance(agents, Mapping) else dict.fromkeys(agents, "")
        self.agents = tuple(self.roles)
        self.rules = rules or Rules()
        self.prompts = prompts or Prompts()
        self.budget = parse_budget(budget)
        self.seed = seed
        self.stop_when = stop_when
        self.selector = make_selector(selector) if isinstance(selector, str) else selector
        if not self.agents:
            raise ConfigError("an episode needs at least one agent.")
        if not isinstance(agents, Mapping) and len(self.agents) != len(agents):
            raise ConfigError(f"agents={list(agents)!r}: names must differ.")
        if (selector is None) != (self.rules.game != "write"):
            raise ConfigError(
                f"game={self.rules.game!r} with selector={selector!r}: a selector picks the place in 'write', "
                "and only there; elsewhere the agents or their controller pick it."
            )
        for agent in self.budget.agents:
            if agent not in self.roles:
                raise ConfigError(unknown_name("agent in the budget", agent, self.agents))
        self.tree = SearchTree(len(self.agents), capacity=min(self.budget.nodes, 1023) + 1)
        self.nodes: list[Node] = []
        self.root: Node | None = None
        self.pending: dict[int, Turn] = {}
        self.ended: EndReason | None = None
        self.end_detail = ""
        self.fixed_agents = False
        self.solved = 0
        self.usage = Usage()
        self._on_event = on_event
        self._index = {agent: index for index, agent in enumerate(self.agents)}
        self._keys: list[int] = [keys.key("tree", seed, problem.id)]
        self._ordinals: defaultdict[tuple[int, str], _Ordinals] = defaultdict(_Ordinals)
        self._taken: dict[int, int] = {}
        self._pending_scores: dict[int, PendingScore] = {}
        self._retry: deque[tuple[str, int | None]] = deque()
        self._programs: dict[bytes, int] = {}
        self.asked = 0
        self._draws = 0
        self._illegal = 0
        self._best = 0.0
        self._improved_at = 0
        self._accounts = {agent: _Account(self.budget.agents.get(agent)) for agent in self.agents}

    @property
    def done(self) -> bool:
        """Whether the episode is over; `ended` then says why."""
        return self.ended is not None

    @property
    def spent(self) -> int:
        """How many expansions are spent."""
        return len(self.nodes) + self._illegal

    @property
    def can_ask(self) -> bool:
        """Whether a turn can be asked for now: begun, not over, and some budget is neither spent nor in flight."""
        room = not self.done and not self.awaits_seed and self.spent + len(self.pending) < self.budget.nodes
        return room and any(map(self.may_ask, self.agents))

    @property
    def present(self) -> tuple[str, ...]:
        """The agents that take part now: all that ever did, but for those that left."""
        return tuple(agent for agent in self.agents if self._accounts[agent].present)

    @property
    def stale(self) -> int:
        """How many expansions there were since the best score last rose."""
        return self.spent - self._improved_at

    @property
    def duplicates(self) -> int:
        """How many nodes repeat an earlier program."""
        return sum(node.duplicate_of is not None for node in self.nodes)

    def may_ask(self, agent: str) -> bool:
        """Whether an agent takes part and its own budget, if any, is neither spent nor all in flight."""
        account = self._accounts[agent]
        if not account.present or account.budget is None:
            return account.present
        in_flight = sum(turn.agent == agent for turn in self.pending.values())
        return not account.budget.reached(account.expansions + in_flight, account.usage)

    @property
    def best_score(self) -> float:
        """The highest score in the tree, that of a seed node included; 0 for an empty one."""
        return self._best

    def node(self, id: int) -> Node:
        """Return a node of the tree; 0 is the seed node of a repair problem, and nothing elsewhere."""
        if id == ROOT and self.root is not None:
            return self.root
        if not 1 <= id <= len(self.nodes):
            raise EpisodeError(f"node {id} is not in this tree of {len(self.nodes)} nodes (the root has no program).")
        return self.nodes[id - 1]

    def answer(self, how: Literal["best", "reward"] = "best") -> Node | None:
        """Return the answer, None if no node has a program; the seed node of a repair problem is never it.

        Args:
            how: `best`: highest score on public tests, ties to the latest (the paper); `reward`: ties to the highest
                score of the reward model. For `agreement` see `mars2_env.answer`: it runs programs.
        """
        return self.nodes[place - 1] if (place := chosen(self.nodes, self.rules, how)) else None

    @property
    def awaits_seed(self) -> bool:
        """Whether the program that a repair problem starts from is still to be graded and planted."""
        return self.problem.seed_program is not None and self.root is None and not self.done

    @property
    def programs(self) -> list[Node]:
        """All nodes, the seed node of a repair problem first."""
        return self.nodes if self.root is None else [self.root, *self.nodes]

    def plant(self, verdict: Verdict) -> Node:
        """Give the root the program that a repair problem starts from, and return this seed node, number 0.

        It costs no budget, and its score counts for no agent and in no posterior; a program equal to it is a duplicate.

        Args:
            verdict: what the judge found for `problem.seed_program` on the groups that `rules.tests` names.

        Raises:
            EpisodeError: the problem has no such program, or it is planted, or the episode is over.
            ConfigError: the verdict lacks the scored tests.
        """
        program = self.problem.seed_program
        if program is None or not self.awaits_seed:
            why = "has no seed program" if program is None else "has been planted, or its episode is over"
            raise EpisodeError(f"problem {self.problem.id!r} {why}; plant only where `awaits_seed` says so.")
        self._check_graded("the seed program", verdict)
        self._emit(Seeded(program, self.rules.score_of(verdict), verdict))
        return self.node(ROOT)

    def abandon(self) -> None:
        """End the episode because faults, which say nothing about any program, keep the seed program ungraded."""
        if not self.done:
            self._end("faults", "the seed program could not be graded")

    def ask(self, agent: str | None = None) -> Turn:
        """Hand out the next turn.

        Args:
            agent: in `route`, the agent that its controller picked; nowhere else.

        Raises:
            ConfigError: `agent` is missing in `route`, given elsewhere, or not an agent.
            EpisodeError: the seed program of a repair problem is not planted, the episode is over, or all that is left
                of the budget is in flight (see `can_ask`).
        """
        if not self.can_ask:
            state = f"over ({self.ended})" if self.done else f"waiting for {len(self.pending)} turns in flight"
            if self.awaits_seed:
                state = "waiting for its seed program to be graded (call plant)"
            elif not self.done and not self.present:
                state = "without agents: every one has left; let one join, or stop the episode"
            raise EpisodeError(f"no turn can be asked for: the episode is {state}.")
        parent = None
        if (agent is None) == (self.rules.game == "route"):
            raise ConfigError(
                f"ask({agent!r}) in game={self.rules.game!r}: in 'route', and only there, name the agent."
            )
        if agent is None:
            agent, parent = self._due_retry() or self._choose()
        elif agent not in self._index:
            raise ConfigError(unknown_name("agent", agent, self.agents))
        elif not self.may_ask(agent):
            raise EpisodeError(
                f"agent {agent!r} cannot be asked: it has left, or its own budget is spent or in flight."
            )
        pending = self._pending_score(agent, parent)
        event = Asked(self.asked, agent, parent, self._turn_seed(agent, parent), pending)
        self._emit(event)
        return self.pending[event.turn]

    def submit(self, turn: Turn, reply: Reply) -> Submission:
        """Return what a reply to a pending turn amounts to, without changing anything.

        An illegal parent, a reply without a program, and a program equal to an earlier one (after normalisation) come
        with their verdict; everything else is to be graded.
        """
        self._check_pending(turn)
        if not isinstance(reply, Reply):
            raise EpisodeError(f"turn {turn.id}: {reply!r:.200} is no reply; give Reply(text).")
        if self._parent_of(turn, reply) is None:
            return Submission(None, ILLEGAL)
        interface = self.problem.interface
        called = interface.name if isinstance(interface, Call) else None
        program = extract_program(well_formed(reply.text), called)
        if program is None:
            return Submission(None, NO_PROGRAM)
        earlier = self._programs.get(normal_form(program))
        if earlier is not None:
            return Submission(program, self.node(earlier).verdict, earlier)
        return Submission(program, None)

    def tell(
        self,
        turn: Turn,
        reply: Reply,
        verdict: Verdict,
        *,
        score: float | None = None,
        model_score: float | None = None,
        usage: Usage | None = None,
    ) -> Node | None:
        """Record the outcome of a turn and return the node it added; None for an illegal parent.

        Args:
            turn: a pending turn.
            reply: what the agent returned.
            verdict: what the judge found, or what `submit` said. A duplicate always gets the earlier node's verdict and
                scores.
            score: a score of your own in place of what the rules make of the verdict: any number in [0, 1]. True and
                False are 1 and 0, as everywhere in Python.
            model_score: what a reward model says of the program, in [0, 1].
            usage: what the expansion cost; needed where the budget limits more than nodes.

        Raises:
            EpisodeError: the turn is not pending.
            ConfigError: the verdict lacks the scored tests, a score is not in [0, 1], or usage is missing; nothing has
                changed.
        """
        submission = self.submit(turn, reply)
        verdict = submission.verdict or verdict
        if not isinstance(verdict, Verdict):
            raise EpisodeError(f"turn {turn.id}: {verdict!r:.200} is no verdict; give what the judge found.")
        self._check_graded(f"turn {turn.id}", verdict)
        metered = self.metered
        if metered and usage is None:
            raise ConfigError(
                f"turn {turn.id}: the budget limits {', '.join(sorted(metered))}; say what the expansion used: "
                "tell(..., usage=Usage(...))."
            )
        earlier = None if submission.duplicate_of is None else self.node(submission.duplicate_of)
        if earlier is not None:
            score, model_score = earlier.score, earlier.model_score
        elif submission.program is None:
            model_score = None
        parent = self._parent_of(turn, reply)
        given = score is not None and earlier is None and parent is not None
        event = Told(
            turn=turn.id,
            node=None if parent is None else len(self.nodes) + 1,
            parent=reply.parent if parent is None else parent,
            score=self.rules.score_of(verdict) if score is None or parent is None else checked_score(score),
            verdict=verdict,
            reply=well_formed(reply.text),
            program=submission.program,
            duplicate_of=submission.duplicate_of,
            given=given,
            model_score=None if model_score is None else checked_score(model_score, "model_score"),
            usage=usage.only(metered) if usage is not None and metered else None,
        )
        self._emit(event)
        if event.node is not None and reply.generation is not None:
            self.nodes[-1] = replace(self.nodes[-1], generation=reply.generation)
        self.settle()
        return None if event.node is None else self.node(event.node)

    def fail(self, turn: Turn, reason: str) -> None:
        """Void a turn after a fault: no node, no budget, and the same agent is asked again for the same place."""
        self._check_pending(turn)
        self._emit(Failed(turn.id, reason))
        self.settle()

    def cancel(self, turn: Turn) -> None:
        """Take a turn back: no node, no budget, and it is not asked again."""
        self._check_pending(turn)
        self._emit(Cancelled(turn.id))

    def join(
        self, agent: str, role: str | None = None, *, budget: Budget | int | str | Mapping[str, Any] | None = None
    ) -> None:
        """Let an agent take part from now on: a new one, without a node of its own, or one that left.

        Searches that expand a node by a batch of all agents' children (UCT, best-first, breadth-first) count the new
        agent in from the next child on, so that the batch at hand may come out longer or shorter.

        Args:
            agent: its name.
            role: what is said of its role in prompts; for one that comes back, None keeps what was said.
            budget: a budget of its own, as `parse_budget` takes it; None for none, or for the one that it had.

        Raises:
            EpisodeError: it takes part already, the episode is over, or its agents are fixed (an environment's are).
        """
        self._check_open(f"{agent!r} cannot join")
        if not isinstance(agent, str) or not agent:
            raise ConfigError(f"join({agent!r:.200}): an agent's name is a text.")
        if agent in self.present:
            raise EpisodeError(f"agent {agent!r} takes part already; those that do are {', '.join(self.present)}.")
        role = self.roles.get(agent, "") if role is None else role
        own = None if budget is None else parse_budget(budget)
        if own is not None and own.agents:
            raise ConfigError(f"join({agent!r}, budget={own}): the budget of one agent has no agents in it.")
        self._emit(Joined(agent, role, None if own is None else own.config()))
        self.settle()

    def leave(self, agent: str) -> None:
        """Let an agent take part no longer: its open turns are taken back; its nodes and their scores stay.

        Raises:
            EpisodeError: it does not take part, the episode is over, or its agents are fixed (an environment's are).
        """
        self._check_open(f"{agent!r} cannot leave")
        if agent not in self.present:
            raise EpisodeError(
                f"agent {agent!r} does not take part; those that do are {', '.join(self.present) or 'none'}."
            )
        self._emit(Left(agent))
        self.settle()

    def stop(self, why: str) -> None:
        """End the episode from outside; open turns are taken back and `why` is written down.

        Raises:
            EpisodeError: it is over already.
        """
        if self.done:
            raise EpisodeError(f"the episode is over already ({self.ended}).")
        self._end("stopped", why)

    def snapshot(self) -> Snapshot:
        """Return the state as a value that nothing changes any more, in O(nodes)."""
        return Snapshot(self._copy())

    @classmethod
    def restore(cls, snapshot: Snapshot, on_event: Callable[[Event], None] | None = None) -> Episode:
        """Return an episode in the state of a snapshot, in O(nodes), independent of every other.

        The same replies and verdicts bring it to the same end, draw by draw. Its turns in flight are those of the
        snapshot, and equal to them.
        """
        if not isinstance(snapshot, Snapshot):
            raise EpisodeError(f"{snapshot!r:.200} is no snapshot; give one that snapshot() returned.")
        episode = snapshot._episode._copy()
        episode._on_event = on_event
        return episode

    def _copy(self) -> Episode:
        twin = object.__new__(type(self))
        for name, value in vars(self).items():
            if isinstance(value, SearchTree | list | dict | deque):
                value = value.copy()
            setattr(twin, name, value)
        for key, ordinals in self._ordinals.items():
            twin._ordinals[key] = _Ordinals(ordinals.next, list(ordinals.free))
        twin._accounts = {agent: replace(account) for agent, account in self._accounts.items()}
        for id, turn in self.pending.items():
            if turn.places is not None:
                twin.pending[id] = replace(turn, places=twin._place)
        twin._on_event, twin.fixed_agents = None, False
        return twin

    def apply(self, event: Event) -> None:
        """Change the state by one event, without drawing anything: how a log is folded.

        Raises:
            LogError: the event does not follow from the state.
        """
        match event:
            case Seeded():
                self._apply_seeded(event)
            case Asked():
                self._apply_asked(event)
            case Told():
                self._apply_told(event)
            case Failed():
                turn = self._pop_pending(event.turn)
                self._accounts[self._chooser(turn)].faults += 1
                if self.rules.game != "route":  # its controller is asked again, and picks anew
                    self._retry.append((turn.agent, turn.parent))
            case Cancelled():
                self._pop_pending(event.turn)
            case Joined():
                self._apply_joined(event)
            case Left():
                if event.agent not in self.present:
                    raise LogError(f"agent {event.agent!r} left and was not there.")
                self._accounts[event.agent].present = False
                for turn in [turn for turn in self.pending.values() if turn.agent == event.agent]:
                    self._pop_pending(turn.id)
                self._retry = deque(one for one in self._retry if one[0] != event.agent)
            case Ended():
                self.ended, self.end_detail = event.reason, event.detail

    def _emit(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)
        self.apply(event)

    def _choose(self) -> tuple[str, int | None]:
        if self.selector is None:
            return min(filter(self.may_ask, self.agents), key=self._rounds), None  # of equals the first
        pending = tuple(
            Choice(turn.parent, self._index[turn.agent]) for turn in self.pending.values() if turn.parent is not None
        )
        rng = keys.generator("select", self.seed, self.problem.id, self._draws)
        allowed = np.fromiter(map(self.may_ask, self.agents), bool, len(self.agents))
        self.tree.allowed = None if allowed.all() else allowed
        size = len(self.tree)
        choice = self.selector.select(self.tree, rng, pending)
        if len(self.tree) != size:
            raise ConfigError(
                f"selector {self.selector!r} added {len(self.tree) - size} nodes to the tree; "
                "select() leaves it as it is."
            )
        try:
            parent, agent = map(whole_number, choice)
        except (TypeError, ValueError):
            parent = agent = -1
        if not 0 <= parent < len(self.tree) or not 0 <= agent < len(self.agents):
            raise ConfigError(
                f"selector {self.selector!r} chose {choice!r:.200}; a choice is (parent, agent), two whole numbers: a "
                f"node from 0 to {len(self.tree) - 1} and an agent from 0 to {len(self.agents) - 1}."
            )
        while not allowed[agent]:
            agent = (agent + 1) % len(self.agents)
        return self.agents[agent], parent

    def _rounds(self, agent: str) -> int:
        """Return how many rounds an agent has played or is playing; one that joins begins with the next."""
        return self._accounts[agent].rounds + sum(turn.agent == agent for turn in self.pending.values())

    def _due_retry(self) -> tuple[str, int | None] | None:
        """Return whom a fault left waiting longest, and where, of those that may be asked now."""
        return next((one for one in self._retry if self.may_ask(one[0])), None)

    def _pending_score(self, agent: str, parent: int | None) -> float | None:
        score: Callable[[SearchTree, Choice], float | None] | None = getattr(self.selector, "pending_score", None)
        return None if score is None or parent is None else score(self.tree, Choice(parent, self._index[agent]))

    def _turn_seed(self, agent: str, parent: int | None) -> int:
        if parent is None:
            return keys.seed("turn", self.seed, self.problem.id, agent, self._accounts[agent].nodes, self.spent)
        return self._child_key(agent, parent) >> 65

    def _child_key(self, agent: str, parent: int, ordinal: int | None = None) -> int:
        """Key of a child: it depends on the path to it, agent and which child at each step, and on nothing else."""
        if ordinal is None:
            ordinal = self._ordinals[parent, agent].peek()
        return keys.key("child", self._keys[parent], agent, ordinal)

    def _place(self, turn: Turn, parent: int) -> Turn:
        """Return a turn with its place filled in: prompt, seed, and the parent's program and feedback.

        The prompt is about the tree as it stood when the turn was asked for, however late the agent chooses its place.
        """
        prompts = self.prompts
        known = len(self.programs) if turn.places is None else len(self.programs) - len(self.tree) + len(turn.parents)
        context = place_context(
            self.problem,
            self.programs[:known] if prompts.siblings else self.programs,
            parent,
            turn.agent,
            self.roles[turn.agent],
            own=self.rules.observe == "own",
            feedback=prompts.feedback,
            ancestors=prompts.ancestors,
            siblings=prompts.siblings,
        )
        shown = self.node(parent) if isinstance(context, RefinementContext) else None
        return replace(
            turn,
            parent=parent,
            seed=self._child_key(turn.agent, parent) >> 65,
            messages=prompts.messages(context),
            program=None if shown is None else shown.program,
            feedback=None if shown is None or not prompts.feedback else shown.verdict.feedback,
        )

    def _apply_seeded(self, event: Seeded) -> None:
        if self.root is not None or self.asked:
            raise LogError("a seed program came after the episode had begun.")
        self.tree.seed(event.score)
        self._best = event.score
        self.root = Node(ROOT, -1, 0, "", "", event.program, event.verdict, event.score)
        self._programs[normal_form(event.program)] = ROOT

    def _apply_joined(self, event: Joined) -> None:
        if event.agent in self.present:
            raise LogError(f"agent {event.agent!r} joined and was there already.")
        self.roles[event.agent] = event.role
        if event.agent not in self._index:
            self._index[event.agent] = self.tree.join()
            self.agents = (*self.agents, event.agent)
            self._accounts[event.agent] = _Account(None)
        account = self._accounts[event.agent]
        account.rounds = max(map(self._rounds, self.present), default=account.rounds)
        account.present, account.faults = True, 0
        if event.budget is not None:
            account.budget = parse_budget(event.budget)

    def _apply_asked(self, event: Asked) -> None:
        if event.turn != self.asked or event.agent not in self.present:
            raise LogError(f"turn {event.turn} for {event.agent!r} does not follow turn {self.asked - 1}.")
        if event.parent is not None and not 0 <= event.parent < len(self.tree):
            raise LogError(f"turn {event.turn} expands node {event.parent}, which is not in the tree.")
        if (event.agent, event.parent) == self._due_retry():
            self._retry.remove((event.agent, event.parent))
        else:
            self._draws += 1
        self.asked += 1
        blank = Turn(
            id=event.turn,
            agent=event.agent,
            problem=self.problem,
            seed=event.seed,
            messages=(),
            parent=event.parent,
            parents=tuple(range(len(self.tree))) if event.parent is None else (event.parent,),
        )
        if event.parent is None and self.rules.game != "play":  # no policy reads this turn, but one with a place
            self.pending[event.turn] = replace(blank, places=self._place)
        elif event.parent is None:
            context = play_context(
                self.problem,
                self.programs,
                len(self.tree) - 1,
                event.agent,
                self.roles[event.agent],
                own=self.rules.observe == "own",
                feedback=self.prompts.feedback,
            )
            self.pending[event.turn] = replace(blank, messages=self.prompts.messages(context), places=self._place)
        else:
            self.pending[event.turn] = self._place(blank, event.parent)
            self._taken[event.turn] = self._ordinals[event.parent, event.agent].take()
            if event.pending is not None:
                self._pending_scores[event.turn] = PendingScore(event.parent, self._index[event.agent], event.pending)
                self.tree.set_pending(self._pending_scores.values())

    def _no_longer_pending(self, turn: int) -> None:
        if self._pending_scores.pop(turn, None) is not None:
            self.tree.set_pending(self._pending_scores.values())

    def _apply_told(self, event: Told) -> None:
        turn = self.pending.get(event.turn)
        if turn is None:
            raise LogError(f"turn {event.turn} was told but is not pending.")
        parent = event.parent
        if event.node is not None and (parent not in turn.parents or event.node != len(self.tree)):
            raise LogError(f"node {event.node} under {parent} does not follow node {len(self.tree) - 1}.")
        value = checked_score(self._value(event))
        del self.pending[event.turn]
        self._no_longer_pending(event.turn)
        self._accounts[self._chooser(turn)].faults = 0
        account = self._accounts[turn.agent]
        account.expansions += 1
        account.rounds += 1
        if event.usage is not None:
            account.usage += event.usage
            self.usage += event.usage
        if event.node is None or parent is None:
            self._illegal += 1
            return
        account.nodes += 1
        ordinal = self._taken.pop(event.turn, None)
        if ordinal is None:
            ordinal = self._ordinals[parent, turn.agent].take()
        key = self._child_key(turn.agent, parent, ordinal)
        self.tree.add(parent, self._index[turn.agent], value)
        self._keys.append(key)
        self.nodes.append(
            Node(
                id=event.node,
                parent=parent,
                depth=int(self.tree.depth[event.node]),
                agent=turn.agent,
                reply=event.reply,
                program=event.program,
                verdict=event.verdict,
                score=event.score,
                duplicate_of=event.duplicate_of,
                model_score=event.model_score,
            )
        )
        self.solved += event.score >= 1.0 and event.duplicate_of is None
        if event.score > self._best:
            self._best, self._improved_at = event.score, self.spent
        if event.program is not None:
            self._programs.setdefault(normal_form(event.program), event.node)

    def _value(self, event: Told) -> float:
        """Return what selectors see of an outcome: its score, mixed with a reward model's as the rules say."""
        weight = self.rules.model_weight
        if event.model_score is None or not weight:
            return event.score
        return min((1 - weight) * event.score + weight * event.model_score, 1.0)

    def _pop_pending(self, id: int) -> Turn:
        turn = self.pending.pop(id, None)
        if turn is None:
            raise LogError(f"turn {id} is not pending.")
        self._no_longer_pending(id)
        ordinal = self._taken.pop(id, None)
        if ordinal is not None and turn.parent is not None:
            self._ordinals[turn.parent, turn.agent].give_back(ordinal)
        return turn

    def _check_open(self, what: str) -> None:
        if self.fixed_agents:
            raise EpisodeError(f"{what}: the set of agents of an environment is fixed; drive an Episode of your own.")
        if self.done:
            raise EpisodeError(f"{what}: the episode is over ({self.ended}).")

    def _check_graded(self, what: str, verdict: Verdict) -> None:
        if verdict.settled is None and not all(verdict.groups.get(group) for group in self.rules.tests):
            raise ConfigError(
                f"{what}: the verdict is on {sorted(verdict.groups)}, and this game needs {self.rules.tests}; "
                "does the problem have such tests?"
            )

    def _check_pending(self, turn: Turn) -> None:
        if not isinstance(turn, Turn):
            raise EpisodeError(f"{turn!r:.200} is no turn; give one that ask() returned.")
        if self.pending.get(turn.id) != turn:
            raise EpisodeError(
                f"turn {turn.id} of {turn.agent} is not pending; it was told, failed or cancelled before."
            )

    def _chooser(self, turn: Turn) -> str:
        """Return whose faults in a row are counted together: those of one agent, in `route` those of its controller."""
        return self.agents[0] if self.rules.game == "route" else turn.agent

    def _parent_of(self, turn: Turn, reply: Reply) -> int | None:
        """Return the node that a reply expands, or None if the agent chose one that is not on offer."""
        if turn.parent is not None:
            return turn.parent
        return reply.parent if reply.parent in turn.parents else None

    @property
    def metered(self) -> frozenset[str]:
        """The resources besides nodes that some budget here limits: what `tell` must be told the usage of."""
        own = (account.budget.metered for account in self._accounts.values() if account.budget is not None)
        return self.budget.metered.union(*own)

    def settle(self) -> None:
        """End the episode if its state says so; a folded log that was cut off may lack the end."""
        if not self.done and (reason := self._reason_to_end()) is not None:
            self._end(*reason)

    def _reason_to_end(self) -> tuple[EndReason, str] | None:
        for agent, account in self._accounts.items():
            if account.faults >= self.rules.max_faults:
                return "faults", f"{agent}: {account.faults} in a row"
        if self.rules.stop_on_solved and self.solved >= self.rules.stop_on_solved:
            return "solved", f"programs that pass: {self.solved} of {int(self.rules.stop_on_solved)}"
        if spent := self.budget.reached(self.spent, self.usage):
            return "budget", spent
        own = [self._accounts[agent] for agent in self.present]
        reached = [one.budget.reached(one.expansions, one.usage) for one in own if one.budget is not None]
        if own and len(reached) == len(own) and all(reached):
            pairs = zip(self.present, reached, strict=True)
            return "budget", "; ".join(f"{agent}: {spent}" for agent, spent in pairs)
        if self.rules.patience is not None and self.stale >= self.rules.patience:
            return "no_improvement", f"expansions: {self.stale} of {self.rules.patience}"
        if self.stop_when is not None and (why := self.stop_when(self)):
            return "stopped", why if isinstance(why, str) else name_of(self.stop_when)
        return None

    def _end(self, reason: EndReason, detail: str) -> None:
        for turn in list(self.pending.values()):
            self._emit(Cancelled(turn.id))
        self._emit(Ended(reason, detail))


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The state of an episode at one moment; `Episode.restore` goes on from it, any number of times."""

    _episode: Episode = field(repr=False)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes at that moment."""
        return tuple(self._episode.nodes)


def name_of(rule: object) -> str:
    """Return what a stop rule of the caller's own is called in a log."""
    return getattr(rule, "__qualname__", type(rule).__qualname__)


def chosen(nodes: Sequence[Node], rules: Rules, how: str) -> int | None:
    """Return the number of the node that is the answer (`Episode.answer`); None if no node has a program."""
    written = [node for node in nodes if node.program is not None]
    public = [rules.score_of(node.verdict, "public") for node in written]
    if how == "best":
        place = best_answer(public)
    elif how == "reward":
        place = reward_answer(public, [node.model_score for node in written])
    else:
        raise ConfigError(unknown_name("way to answer", how, ("best", "reward")))
    return None if place is None else written[place].id
