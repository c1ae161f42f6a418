"""The state of an episode: a fold of its events. No commands, no prompts, no selector, no randomness.

A log is read by applying its events to a fresh `State`; an `Episode` is a state that can be driven.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Final, Literal, Self

from mars2_env.episode.events import (
    Asked,
    Cancelled,
    Ended,
    EndReason,
    Event,
    Failed,
    FaultKind,
    Joined,
    Left,
    Passed,
    Seeded,
    Told,
)
from mars2_env.episode.luck import child_key, root_key, root_path, seed_of
from mars2_env.episode.rules import Rules, chosen
from mars2_env.errors import ConfigError, EpisodeError, LogError, unknown_name
from mars2_env.prompt.same import Known
from mars2_env.search.budget import Budget, Usage, parse_budget
from mars2_env.search.tree import ROOT, PendingScore, SearchTree, checked_score
from mars2_env.types import Node

NOTHING: Final = Usage()


@dataclass(frozen=True, slots=True)
class Account:
    """What an agent has done and spent.

    Attributes:
        budget: its own, if it has one.
        present: whether it takes part now.
        expansions, nodes: how many it was told the outcome of, and how many nodes it wrote.
        rounds: how many rounds it has played; one that joins begins with the next.
        passes: in how many of them it let its turn pass.
        faults: how many of the sandbox's it met in a row.
        unanswered: how many turns in a row its policy failed to answer.
        usage: what it spent of the resources that a budget limits.
    """

    budget: Budget | None
    present: bool = True
    expansions: int = 0
    rounds: int = 0
    nodes: int = 0
    faults: int = 0
    unanswered: int = 0
    usage: Usage = NOTHING
    passes: int = 0


@dataclass(frozen=True, slots=True)
class Ordinals:
    """Numbers the children that one agent writes under one parent; a number given back is given out again first."""

    following: int = 0
    free: tuple[int, ...] = ()

    def peek(self) -> int:
        """Return the number that is given out next."""
        return self.free[0] if self.free else self.following

    def taken(self) -> Ordinals:
        """Return the numbers without the one that `peek` returns."""
        return Ordinals(self.following, self.free[1:]) if self.free else Ordinals(self.following + 1)

    def with_back(self, ordinal: int) -> Ordinals:
        """Return the numbers with one given back."""
        return Ordinals(self.following, tuple(sorted((*self.free, ordinal))))


_UNUSED = Ordinals()


@dataclass(frozen=True, slots=True)
class Open:
    """A turn in flight, as its event says.

    Attributes:
        asked: the event.
        size: how many nodes the tree had when it was asked for, the root included.
        ordinal: which child of its parent it is going to be, among those of its agent; None where the agent chooses.
    """

    asked: Asked
    size: int
    ordinal: int | None

    @property
    def parents(self) -> tuple[int, ...]:
        """The nodes on offer: the one that was picked, or all that there were."""
        return tuple(range(self.size)) if self.asked.parent is None else (self.asked.parent,)


class State:
    """One tree, its agents, and what is left of the budget.

    Attributes:
        problem_id: the id of the problem, on which all draws depend.
        agents: all that ever took part, in the order of their index in `tree`.
        roles: what prompts say of each.
        rules: the game.
        budget: what the tree may spend.
        seed: with the problem's id, the source of all randomness.
        tree: the numbers that selectors see.
        nodes: the nodes in order of id, from 1.
        root: the seed node of a repair problem.
        open: what is in flight, by the id of its turn.
        ended, end_detail: why the episode is over, and what exactly ended it; None and "" before.
        solved: how many different programs (after normalisation) pass the scored tests.
        usage: what was spent of the resources that the budget limits.
        idle: how many expansions in a row, up to now, used nothing of what is limited for their agents.
        asked: how many turns were handed out.
        draws: how many choices were drawn; what a fault asks again is not drawn again.
    """

    def __init__(self, problem_id: str, agents: Mapping[str, str], budget: Budget, seed: int, rules: Rules) -> None:
        """Start with an empty tree.

        Args:
            problem_id: the id of the problem.
            agents: agent -> what its prompts say of its role.
            budget: what the tree may spend.
            seed: with the problem's id, the source of all randomness.
            rules: the game.

        Raises:
            ConfigError: there is no agent, or one in the budget that is none.
        """
        self.problem_id = problem_id
        self.roles: dict[str, str] = dict(agents)
        self.agents = tuple(self.roles)
        self.rules = rules
        self.budget = budget
        self.seed = seed
        if not self.agents:
            raise ConfigError("an episode needs at least one agent.")
        for agent in self.budget.agents:
            if agent not in self.roles:
                raise ConfigError(unknown_name("agent in the budget", agent, self.agents))
        self.tree = SearchTree(len(self.agents), capacity=min(self.budget.nodes, 1023) + 1)
        self.nodes: list[Node] = []
        self.root: Node | None = None
        self.open: dict[int, Open] = {}
        self.ended: EndReason | None = None
        self.end_detail = ""
        self.solved = 0
        self.usage = NOTHING
        self.asked = 0
        self.draws = 0
        # What lies in these are values that nothing changes, so that a copy of the state copies the containers alone.
        self._index = {agent: index for index, agent in enumerate(self.agents)}
        self._keys: list[int] = [root_key(seed, problem_id)]
        self._paths: list[int] = [root_path(problem_id)]
        self._ordinals: dict[tuple[int, str], Ordinals] = {}
        self._pending_scores: dict[int, PendingScore] = {}
        self._retry: deque[tuple[str, int | None]] = deque()
        self._known = Known()
        self._sought = 0
        self._illegal = 0
        self._best = 0.0
        self._improved_at = 0
        self.idle = 0
        self._accounts = {agent: Account(self.budget.agents.get(agent)) for agent in self.agents}
        self._metered: frozenset[str] | None = None

    def copy(self) -> Self:
        """Return an independent state that is equal to this one, in O(nodes)."""
        twin = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, SearchTree | Known | list | dict | deque):
                setattr(twin, name, value.copy())
        return twin

    @property
    def done(self) -> bool:
        """Whether the episode is over; `ended` then says why."""
        return self.ended is not None

    @property
    def spent(self) -> int:
        """How many expansions are spent."""
        return len(self.nodes) + self._illegal

    @property
    def tree_seed(self) -> int:
        """A seed of the whole tree, in [0, 2**63): a function of (seed, problem) alone."""
        return seed_of(self._keys[0])

    @property
    def rounds_over(self) -> int:
        """How many rounds are over: all agents have played them. One that the end of the tree cuts off is not."""
        return min((self._accounts[agent].rounds for agent in self.present), default=0)

    @property
    def passing(self) -> int | None:
        """The number by which an agent lets its turn pass, in place of a parent's; None where nobody may."""
        return None if self.rules.rounds is None else self.budget.nodes + 1

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

    @property
    def best_score(self) -> float:
        """The highest score in the tree, that of a seed node included; 0 for an empty one."""
        return self._best

    @property
    def programs(self) -> list[Node]:
        """All nodes, the seed node of a repair problem first."""
        return self.nodes if self.root is None else [self.root, *self.nodes]

    @property
    def metered(self) -> frozenset[str]:
        """The resources besides nodes that some budget here limits: what `tell` must be told the usage of."""
        if self._metered is None:
            own = (account.budget.metered for account in self._accounts.values() if account.budget is not None)
            self._metered = self.budget.metered.union(*own)
        return self._metered

    def account(self, agent: str) -> Account:
        """Return what an agent has done and spent."""
        return self._accounts[agent]

    def may_ask(self, agent: str) -> bool:
        """Whether an agent takes part, and neither its own budget, if any, nor its rounds are spent or in flight."""
        account = self._accounts[agent]
        if self.rules.rounds is not None and self._rounds(agent) >= self.rules.rounds:
            return False
        if not account.present or account.budget is None:
            return account.present
        return not account.budget.reached(account.expansions + self._in_flight(agent), account.usage)

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

    def node_with(self, program: str) -> int | None:
        """Return the number of the earliest node with an equal program (after normalisation)."""
        for node in self.nodes[self._sought :]:  # found out when it is asked for: a log that is only read asks nothing
            if node.program is not None:
                self._known.add(node.id, node.program)
        self._sought = len(self.nodes)
        return self._known.first(program)

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
            case Passed():
                self._apply_passed(event)
            case Failed():
                asked = self._closed(event.turn)
                self._count_fault(self._chooser(asked.agent), event.kind)
                if self.rules.game != "route":  # its controller is asked again, and picks anew
                    self._retry.append((asked.agent, asked.parent))
            case Cancelled():
                self._closed(event.turn)
            case Joined():
                self._apply_joined(event)
            case Left():
                self._apply_left(event)
            case Ended():
                self.ended, self.end_detail = event.reason, event.detail

    def _count_fault(self, agent: str, kind: FaultKind) -> None:
        account = self._accounts[agent]
        if kind == "policy":
            self._change(agent, unanswered=account.unanswered + 1)
        else:
            self._change(agent, faults=account.faults + 1)

    def _apply_seeded(self, event: Seeded) -> None:
        if self.root is not None or self.asked:
            raise LogError("a seed program came after the episode had begun.")
        self.tree.seed(event.score)
        self._best = event.score
        self.root = Node(ROOT, -1, 0, "", "", event.program, event.verdict, event.score)
        self._known.add(ROOT, event.program)

    def _apply_joined(self, event: Joined) -> None:
        if event.agent in self.present:
            raise LogError(f"agent {event.agent!r} joined and was there already.")
        self.roles[event.agent] = event.role
        if event.agent not in self._index:
            self._index[event.agent] = self.tree.join()
            self.agents = (*self.agents, event.agent)
            self._accounts[event.agent] = Account(None)
        account = self._accounts[event.agent]
        rounds = max(map(self._rounds, self.present), default=account.rounds)
        budget = account.budget if event.budget is None else parse_budget(event.budget)
        self._change(event.agent, rounds=rounds, present=True, faults=0, unanswered=0, budget=budget)
        self._metered = None

    def _apply_left(self, event: Left) -> None:
        if event.agent not in self.present:
            raise LogError(f"agent {event.agent!r} left and was not there.")
        self._change(event.agent, present=False)
        for turn in [turn for turn, one in self.open.items() if one.asked.agent == event.agent]:
            self._closed(turn)
        self._retry = deque(one for one in self._retry if one[0] != event.agent)

    def _apply_asked(self, event: Asked) -> None:
        if event.turn != self.asked or event.agent not in self.present:
            raise LogError(f"turn {event.turn} for {event.agent!r} does not follow turn {self.asked - 1}.")
        if event.parent is not None and not 0 <= event.parent < len(self.tree):
            raise LogError(f"turn {event.turn} expands node {event.parent}, which is not in the tree.")
        if (event.agent, event.parent) == self._due_retry():
            self._retry.remove((event.agent, event.parent))
        else:
            self.draws += 1
        self.asked += 1
        ordinal = None if event.parent is None else self._take(event.parent, event.agent)
        self.open[event.turn] = Open(event, len(self.tree), ordinal)
        if event.parent is not None and event.pending is not None:
            self._pending_scores[event.turn] = PendingScore(event.parent, self._index[event.agent], event.pending)
            self.tree.set_pending(self._pending_scores.values())

    def _apply_told(self, event: Told) -> None:
        turn = self.open.get(event.turn)
        if turn is None:
            raise LogError(f"turn {event.turn} was told but is not pending.")
        agent, parent = turn.asked.agent, event.parent
        if event.node is not None and (parent not in turn.parents or event.node != len(self.tree)):
            raise LogError(f"node {event.node} under {parent} does not follow node {len(self.tree) - 1}.")
        value = checked_score(self._value(event))
        del self.open[event.turn]
        self._no_longer_pending(event.turn)
        chooser = self._chooser(agent)
        if self._accounts[chooser].faults or self._accounts[chooser].unanswered:
            self._change(chooser, faults=0, unanswered=0)
        account = self._accounts[agent]
        usage = account.usage
        if event.usage is not None:
            self.usage += event.usage
            usage += event.usage
            self.idle = self.idle + 1 if self._is_idle(account, event.usage) else 0
        self._accounts[agent] = Account(
            budget=account.budget,
            present=account.present,
            expansions=account.expansions + 1,
            rounds=account.rounds + 1,
            nodes=account.nodes + (event.node is not None and parent is not None),
            faults=account.faults,
            unanswered=account.unanswered,
            usage=usage,
            passes=account.passes,
        )
        if event.node is None or parent is None:
            self._illegal += 1
            return
        ordinal = self._take(parent, agent) if turn.ordinal is None else turn.ordinal
        self.tree.add(parent, self._index[agent], value)
        self._keys.append(child_key(self._keys[parent], agent, ordinal))
        self._paths.append(child_key(self._paths[parent], agent, ordinal))
        self.nodes.append(
            Node(
                id=event.node,
                parent=parent,
                depth=1 if parent == ROOT else self.nodes[parent - 1].depth + 1,
                agent=agent,
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

    def _apply_passed(self, event: Passed) -> None:
        if self.rules.rounds is None:
            raise LogError(f"turn {event.turn} was let pass, and in this game nobody may.")
        agent = self._closed(event.turn).agent
        account = self._accounts[agent]
        self._change(agent, rounds=account.rounds + 1, passes=account.passes + 1, faults=0, unanswered=0)

    def _is_idle(self, account: Account, usage: Usage) -> bool:
        """Whether an expansion brought its agent no nearer to any limit, those on nodes included."""
        limits = set(self.budget.limits)
        if account.budget is not None:
            limits |= set(account.budget.limits)
        return bool(limits) and "nodes" not in limits and not any(getattr(usage, name) for name in limits)

    def _value(self, event: Told) -> float:
        """Return what selectors see of an outcome: its score, mixed with a reward model's as the rules say."""
        weight = self.rules.model_weight
        if event.model_score is None or not weight:
            return event.score
        return min((1 - weight) * event.score + weight * event.model_score, 1.0)

    def _change(self, agent: str, **changes: object) -> None:
        self._accounts[agent] = replace(self._accounts[agent], **changes)  # type: ignore[arg-type]  # named above

    def _following(self, parent: int, agent: str) -> int:
        """Return the number of the agent's next child under a parent."""
        return self._ordinals.get((parent, agent), _UNUSED).peek()

    def _take(self, parent: int, agent: str) -> int:
        """Take the number of the agent's next child under a parent."""
        ordinals = self._ordinals.get((parent, agent), _UNUSED)
        self._ordinals[parent, agent] = ordinals.taken()
        return ordinals.peek()

    def _closed(self, id: int) -> Asked:
        """Take a turn out of those in flight without an outcome, and return its event."""
        turn = self.open.pop(id, None)
        if turn is None:
            raise LogError(f"turn {id} is not pending.")
        self._no_longer_pending(id)
        asked = turn.asked
        if turn.ordinal is not None and asked.parent is not None:
            place = asked.parent, asked.agent
            self._ordinals[place] = self._ordinals[place].with_back(turn.ordinal)
        return asked

    def _no_longer_pending(self, turn: int) -> None:
        if self._pending_scores.pop(turn, None) is not None:
            self.tree.set_pending(self._pending_scores.values())

    def _in_flight(self, agent: str) -> int:
        return sum(turn.asked.agent == agent for turn in self.open.values())

    def _rounds(self, agent: str) -> int:
        """Return how many rounds an agent has played or is playing; one that joins begins with the next."""
        return self._accounts[agent].rounds + self._in_flight(agent)

    def _due_retry(self) -> tuple[str, int | None] | None:
        """Return whom a fault left waiting longest, and where, of those that may be asked now."""
        return next((one for one in self._retry if self.may_ask(one[0])), None)

    def _chooser(self, agent: str) -> str:
        """Return whose faults in a row are counted together: those of one agent, in `route` those of its controller."""
        return self.agents[0] if self.rules.game == "route" else agent
