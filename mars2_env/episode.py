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
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import index as whole_number
from typing import Literal, TypeAlias, get_args

from mars2_env import keys
from mars2_env.errors import ConfigError, EpisodeError, LogError, unknown_name
from mars2_env.programs import normal_form
from mars2_env.prompt import Prompts, RefinementContext, extract_program, place_context, play_context
from mars2_env.search.budget import Budget
from mars2_env.search.choice import Choice, Selector
from mars2_env.search.selectors import make_selector
from mars2_env.search.tree import ROOT, PendingScore, SearchTree
from mars2_env.texts import well_formed
from mars2_env.types import Call, Node, PublicView, Reply, TestGroup, Turn, Verdict

Game: TypeAlias = Literal["write", "play", "place", "route"]
ScoreKind: TypeAlias = Literal["pass", "fraction"]
Observe: TypeAlias = Literal["all", "own"]
EndReason: TypeAlias = Literal["solved", "budget", "faults"]

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
        stop_on_solved: whether the episode ends at the first node that passes all scored tests.
        max_faults: how many faults of one agent in a row end the episode.
    """

    game: Game = "write"
    score: ScoreKind = "pass"
    score_on: TestGroup = "public"
    observe: Observe = "all"
    stop_on_solved: bool = False
    max_faults: int = 3

    def __post_init__(self) -> None:
        for name, known in (
            ("game", get_args(Game)),
            ("score", get_args(ScoreKind)),
            ("score_on", ("public", "scoring")),
            ("observe", get_args(Observe)),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r} is not one of {', '.join(known)}.")
        if not isinstance(self.stop_on_solved, bool):
            raise ConfigError(f"stop_on_solved={self.stop_on_solved!r:.200} must be True or False.")
        if isinstance(self.max_faults, bool) or not isinstance(self.max_faults, int) or self.max_faults < 1:
            raise ConfigError(f"max_faults={self.max_faults!r} must be a whole number of at least 1.")

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
class Seeded:
    """The root got the program that a repair problem starts from; always the first event of such an episode."""

    program: str
    score: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Asked:
    """A turn was handed out. `parent` is None where the agent chooses it.

    `pending` is the score that the expansion stands in for until it is told, None if it is not counted.
    """

    turn: int
    agent: str
    parent: int | None
    seed: int
    pending: float | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A turn came back with a reply and a verdict. `node` is None where no node was added (an illegal parent)."""

    turn: int
    node: int | None
    parent: int | None
    score: float
    verdict: Verdict
    reply: str
    program: str | None = None
    duplicate_of: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A turn was void through a fault that says nothing about the program: no node, no budget; it is asked again."""

    turn: int
    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A turn was taken back: no node, no budget, and it is not asked again."""

    turn: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The episode is over."""

    reason: EndReason


Event: TypeAlias = Seeded | Asked | Told | Failed | Cancelled | Ended


@dataclass(frozen=True, slots=True)
class Submission:
    """What a reply amounts to: a program to be graded, or a verdict that needs no grading."""

    program: str | None
    verdict: Verdict | None
    duplicate_of: int | None = None


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
    """One problem, one tree, its agents, and what is left of the budget."""

    def __init__(
        self,
        problem: PublicView,
        agents: Sequence[str] | Mapping[str, str],
        selector: Selector | str | None,
        budget: Budget | int,
        seed: int,
        *,
        rules: Rules | None = None,
        prompts: Prompts | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        """Start with an empty tree.

        Args:
            problem: the public view of a problem.
            agents: agent names, or a mapping from each name to what its prompts say of its role.
            selector: picks agent and parent in the `write` game (a name makes one); None in `play`.
            budget: how many expansions the tree may have.
            seed: with the problem's id, the source of all randomness.
            rules: the game; `Rules()` by default.
            prompts: how agents are asked; `Prompts()` by default. It decides no event but through the replies.
            on_event: called with each event before it takes effect; an exception from it leaves the state unchanged.

        Raises:
            ConfigError: the arguments do not make a game.
        """
        self.problem = problem
        self.roles: dict[str, str] = dict(agents) if isinstance(agents, Mapping) else dict.fromkeys(agents, "")
        self.agents = tuple(self.roles)
        self.rules = rules or Rules()
        self.prompts = prompts or Prompts()
        self.budget = budget if isinstance(budget, Budget) else Budget(budget)
        self.seed = seed
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
        self.tree = SearchTree(len(self.agents), capacity=self.budget.nodes + 1)
        self.nodes: list[Node] = []
        self.root: Node | None = None
        self.pending: dict[int, Turn] = {}
        self.ended: EndReason | None = None
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
        self._faults = dict.fromkeys(self.agents, 0)

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
        return not self.done and not self.awaits_seed and self.spent + len(self.pending) < self.budget.nodes

    @property
    def best_score(self) -> float:
        """The highest score in the tree, that of a seed node included; 0 for an empty one."""
        return float(self.tree.score.max())

    def node(self, id: int) -> Node:
        """Return a node of the tree; 0 is the seed node of a repair problem, and nothing elsewhere."""
        if id == ROOT and self.root is not None:
            return self.root
        if not 1 <= id <= len(self.nodes):
            raise EpisodeError(f"node {id} is not in this tree of {len(self.nodes)} nodes (the root has no program).")
        return self.nodes[id - 1]

    def answer(self) -> Node | None:
        """Return the answer: highest score on public tests, ties to the latest; None if no node has a program."""
        return max(
            (node for node in self.nodes if node.program is not None),
            key=lambda node: (self.rules.score_of(node.verdict, "public"), node.id),
            default=None,
        )

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
        """End the episode because faults, which say nothing about any program, keep it from going on."""
        if not self.done:
            self._end("faults")

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
            raise EpisodeError(f"no turn can be asked for: the episode is {state}.")
        parent = None
        if (agent is None) == (self.rules.game == "route"):
            raise ConfigError(
                f"ask({agent!r}) in game={self.rules.game!r}: in 'route', and only there, name the agent."
            )
        if agent is None:
            agent, parent = self._retry[0] if self._retry else self._choose()
        elif agent not in self._index:
            raise ConfigError(unknown_name("agent", agent, self.agents))
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

    def tell(self, turn: Turn, reply: Reply, verdict: Verdict) -> Node | None:
        """Record the outcome of a turn and return the node it added; None for an illegal parent.

        Args:
            turn: a pending turn.
            reply: what the agent returned.
            verdict: what the judge found, or what `submit` said. A duplicate always gets the earlier node's verdict.

        Raises:
            EpisodeError: the turn is not pending.
            ConfigError: the verdict lacks the scored tests; nothing has changed.
        """
        submission = self.submit(turn, reply)
        verdict = submission.verdict or verdict
        self._check_graded(f"turn {turn.id}", verdict)
        parent = self._parent_of(turn, reply)
        event = Told(
            turn=turn.id,
            node=None if parent is None else len(self.nodes) + 1,
            parent=reply.parent if parent is None else parent,
            score=self.rules.score_of(verdict),
            verdict=verdict,
            reply=well_formed(reply.text),
            program=submission.program,
            duplicate_of=submission.duplicate_of,
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
                self._faults[self._chooser(turn)] += 1
                if self.rules.game != "route":  # its controller is asked again, and picks anew
                    self._retry.append((turn.agent, turn.parent))
            case Cancelled():
                self._pop_pending(event.turn)
            case Ended():
                self.ended = event.reason

    def _emit(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)
        self.apply(event)

    def _choose(self) -> tuple[str, int | None]:
        if self.selector is None:
            return self.agents[(self.spent + len(self.pending)) % len(self.agents)], None
        pending = tuple(
            Choice(turn.parent, self._index[turn.agent]) for turn in self.pending.values() if turn.parent is not None
        )
        rng = keys.generator("select", self.seed, self.problem.id, self._draws)
        choice = self.selector.select(self.tree, rng, pending)
        try:
            parent, agent = map(whole_number, choice)
        except (TypeError, ValueError):
            parent = agent = -1
        if not 0 <= parent < len(self.tree) or not 0 <= agent < len(self.agents):
            raise ConfigError(
                f"selector {self.selector!r} chose {choice!r:.200}; a choice is (parent, agent), two whole numbers: a "
                f"node from 0 to {len(self.tree) - 1} and an agent from 0 to {len(self.agents) - 1}."
            )
        return self.agents[agent], parent

    def _pending_score(self, agent: str, parent: int | None) -> float | None:
        score: Callable[[SearchTree, Choice], float | None] | None = getattr(self.selector, "pending_score", None)
        return None if score is None or parent is None else score(self.tree, Choice(parent, self._index[agent]))

    def _turn_seed(self, agent: str, parent: int | None) -> int:
        if parent is None:
            own = sum(node.agent == agent for node in self.nodes)
            return keys.seed("turn", self.seed, self.problem.id, agent, own, self.spent)
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
        self.root = Node(ROOT, -1, 0, "", "", event.program, event.verdict, event.score)
        self._programs[normal_form(event.program)] = ROOT

    def _apply_asked(self, event: Asked) -> None:
        if event.turn != self.asked or event.agent not in self._index:
            raise LogError(f"turn {event.turn} for {event.agent!r} does not follow turn {self.asked - 1}.")
        if event.parent is not None and not 0 <= event.parent < len(self.tree):
            raise LogError(f"turn {event.turn} expands node {event.parent}, which is not in the tree.")
        if self._retry and self._retry[0] == (event.agent, event.parent):
            self._retry.popleft()
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
            own = event.agent if self.rules.observe == "own" else None
            context = play_context(
                self.problem,
                self.programs,
                len(self.tree) - 1,
                self.roles[event.agent],
                own=own,
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
        del self.pending[event.turn]
        self._no_longer_pending(event.turn)
        self._faults[self._chooser(turn)] = 0
        if event.node is None:
            self._illegal += 1
            return
        parent = event.parent
        if parent is None or event.node != len(self.tree):
            raise LogError(f"node {event.node} under {parent} does not follow node {len(self.tree) - 1}.")
        ordinal = self._taken.pop(event.turn, None)
        if ordinal is None:
            ordinal = self._ordinals[parent, turn.agent].take()
        key = self._child_key(turn.agent, parent, ordinal)
        self.tree.add(parent, self._index[turn.agent], event.score)
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
            )
        )
        if event.program is not None:
            self._programs.setdefault(normal_form(event.program), event.node)

    def _pop_pending(self, id: int) -> Turn:
        turn = self.pending.pop(id, None)
        if turn is None:
            raise LogError(f"turn {id} is not pending.")
        self._no_longer_pending(id)
        ordinal = self._taken.pop(id, None)
        if ordinal is not None and turn.parent is not None:
            self._ordinals[turn.parent, turn.agent].give_back(ordinal)
        return turn

    def _check_graded(self, what: str, verdict: Verdict) -> None:
        if verdict.settled is None and not all(verdict.groups.get(group) for group in self.rules.tests):
            raise ConfigError(
                f"{what}: the verdict is on {sorted(verdict.groups)}, and this game needs {self.rules.tests}; "
                "does the problem have such tests?"
            )

    def _check_pending(self, turn: Turn) -> None:
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

    def settle(self) -> None:
        """End the episode if its state says so; a folded log that was cut off may lack the end."""
        reason: EndReason | None = None
        if max(self._faults.values()) >= self.rules.max_faults:
            reason = "faults"
        elif self.rules.stop_on_solved and any(node.score >= 1.0 for node in self.nodes):
            reason = "solved"
        elif self.spent >= self.budget.nodes:
            reason = "budget"
        if reason is not None and not self.done:
            self._end(reason)

    def _end(self, reason: EndReason) -> None:
        for turn in list(self.pending.values()):
            self._emit(Cancelled(turn.id))
        self._emit(Ended(reason))
