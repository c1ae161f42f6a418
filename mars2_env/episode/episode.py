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

The state is in `state`, what ends an episode in `ends`, how a turn is made in `turns`; here are the commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import index as whole_number
from typing import Any, Final, Self, get_args

import numpy as np

from mars2_env.base import checks
from mars2_env.base.blame import blamed
from mars2_env.base.texts import well_formed
from mars2_env.episode.ends import StopRule, reason_to_end
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
from mars2_env.episode.luck import child_key, choice_draws, choosing_seed, path_of, seed_of
from mars2_env.episode.rules import Rules
from mars2_env.episode.state import Open, State
from mars2_env.episode.turns import Places, as_seen, placed, quotable
from mars2_env.errors import ConfigError, EpisodeError, unknown_name
from mars2_env.prompt import Prompts, extract_program, play_context
from mars2_env.prompt.programs import normal_form
from mars2_env.search.budget import Budget, Usage, parse_budget
from mars2_env.search.choice import Choice, Scores, Selector
from mars2_env.search.selectors import check_selector, make_selector
from mars2_env.search.tree import ROOT, checked_score, read_only
from mars2_env.types import Call, Node, PublicView, Reply, Turn, Verdict

ILLEGAL: Final = Verdict(settled="illegal")
NO_PROGRAM: Final = Verdict(settled="no_program")
PASS: Final = Verdict(settled="not_run")
"""Of a turn that its agent lets pass: there is nothing to be judged."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What a reply amounts to: a program to be graded, or a verdict that needs no grading.

    Attributes:
        program: the program; None where there is none, or the parent is illegal.
        verdict: the verdict, where it needs no grading.
        duplicate_of: the earlier node with an equal program, if there was one.
        parent: the node that the reply expands; None if it is not on offer.
        passes: whether the agent lets its turn pass.
    """

    program: str | None
    verdict: Verdict | None
    duplicate_of: int | None = None
    parent: int | None = None
    passes: bool = False

    @property
    def form(self) -> bytes | None:
        """The program's normal form, which is equal for equal programs; None where there is no program."""
        return None if self.program is None else normal_form(self.program)


class Episode(State):
    """One problem, one tree, its agents, and what is left of the budget; driven by commands.

    Attributes:
        problem: what may be seen of the problem.
        selector: picks agent and parent in `write`; None elsewhere.
        prompts: how agents are asked.
        stop_when: a stop rule of the caller's own.
        fixed_agents: whether agents may neither join nor leave.

    All else is the state's (`State`).
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
            stop_when: called with the episode after each outcome; True ends the episode, and so does a text, which is
                written down as the reason; False, None and "" do not. It is a function of what was told alone: neither
                of what is in flight nor, say, of the time.
            on_event: called with each event before it takes effect; an exception from it leaves the state unchanged.

        Raises:
            ConfigError: the arguments do not make a game.
        """
        if not isinstance(problem, PublicView):  # a Problem would do, and hand hidden tests to every policy
            raise ConfigError(f"an episode is about Problem.public_view(), not a {type(problem).__name__}.")
        if isinstance(agents, str) or not isinstance(agents, Iterable):
            raise ConfigError(f"agents={agents!r:.200}: give a list of names, or a mapping from name to role.")
        for name, value, kind in (("rules", rules, Rules), ("prompts", prompts, Prompts)):
            if value is not None and not isinstance(value, kind):
                raise ConfigError(f"Episode({name}={value!r:.200}): give a {kind.__name__}(...).")
        for name, function in (("stop_when", stop_when), ("on_event", on_event)):
            if function is not None and not callable(function):
                raise ConfigError(f"Episode({name}={function!r:.200}) is not a function.")
        checks.whole_number("seed", seed, least=0, where="Episode")
        roles: dict[str, str] = dict(agents) if isinstance(agents, Mapping) else dict.fromkeys(agents, "")
        if not isinstance(agents, Mapping) and len(roles) != len(agents):
            raise ConfigError(f"agents={list(agents)!r}: names must differ.")
        for name, role in roles.items():
            checks.text("agent", name, empty=False, where="Episode")
            checks.text(f"agents[{name!r}]", role, where="Episode")
        super().__init__(problem.id, roles, parse_budget(budget), seed, rules or Rules())
        if (selector is None) != (self.rules.game != "write"):
            raise ConfigError(
                f"game={self.rules.game!r} with selector={selector!r}: a selector picks the place in 'write', "
                "and only there; elsewhere the agents or their controller pick it."
            )
        self.problem = problem
        self.selector = (
            make_selector(selector)
            if isinstance(selector, str)
            else None
            if selector is None
            else check_selector(selector)
        )
        self.prompts = prompts or Prompts()
        self.stop_when = stop_when
        self.fixed_agents = False
        self._scores = self.selector if isinstance(self.selector, Scores) else None
        self._on_event = on_event
        self._served: dict[int, Turn] = {}
        self._submitted: dict[int, tuple[Reply, Submission]] = {}
        self._quotable: list[Node] = []

    @property
    def can_ask(self) -> bool:
        """Whether a turn can be asked for now: begun, not over, and some budget is neither spent nor in flight."""
        taken = self.spent + (len(self.open) if self.passing is None else 0)  # who is asked may pass
        room = not self.done and not self.awaits_seed and taken < self.budget.nodes
        return room and any(map(self.may_ask, self.agents))

    @property
    def pending(self) -> dict[int, Turn]:
        """The turns in flight by id, oldest first."""
        return {id: self._serve(id) for id in self.open}

    @property
    def awaits_seed(self) -> bool:
        """Whether the program that a repair problem starts from is still to be graded and planted."""
        return self.problem.seed_program is not None and self.root is None and not self.done

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

    def abandon(self, why: str = "the seed program could not be graded") -> None:
        """End the episode because faults, which say nothing about any program, keep the seed program ungraded."""
        if not self.done:
            self._end("faults", why)

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
            state = f"over ({self.ended})" if self.done else f"waiting for {len(self.open)} turns in flight"
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
        return self._serve(event.turn)

    def submit(self, turn: Turn, reply: Reply) -> Submission:
        """Return what a reply to a pending turn amounts to, without changing anything.

        An illegal parent, a turn that is let pass, a reply without a program, and a program equal to an earlier one
        (after normalisation) come with their verdict; everything else is to be graded. A reply is parsed once, however
        often it is asked about.
        """
        self._check_pending(turn)
        if not isinstance(reply, Reply):
            raise EpisodeError(f"turn {turn.id}: {reply!r:.200} is no reply; give Reply(text).")
        known = self._submitted.get(turn.id)
        if known is None or (known[0] is not reply and known[0] != reply):
            interface = self.problem.interface
            called = interface.name if isinstance(interface, Call) else None
            legal = self._parent_of(turn, reply) is not None
            program = extract_program(well_formed(reply.text), called) if legal else None
            known = self._submitted[turn.id] = reply, self._amounts_to(turn, reply, program)
        return self.compared(known[1])

    def recall(self, turn: Turn, reply: Reply, program: str | None) -> None:
        """Let a pending turn's reply hold this program, whatever would be found in it now: a log says what was."""
        self._check_pending(turn)
        self._submitted[turn.id] = reply, self._amounts_to(turn, reply, program)

    def _amounts_to(self, turn: Turn, reply: Reply, program: str | None) -> Submission:
        """Return what a reply that holds this program amounts to, whatever else is in the tree."""
        parent = self._parent_of(turn, reply)
        if parent is None and reply.parent is not None and reply.parent == self.passing:
            return Submission(None, PASS, passes=True)
        if parent is None:
            return Submission(None, ILLEGAL)
        if program is None:
            return Submission(None, NO_PROGRAM, parent=parent)
        return Submission(program, None, parent=parent)

    def compared(self, submission: Submission) -> Submission:
        """Return a submission as it stands now: a node told meanwhile may have an equal program."""
        if submission.program is None or submission.duplicate_of is not None:
            return submission
        earlier = self.node_with(submission.program)
        if earlier is None:
            return submission
        return replace(submission, verdict=self.node(earlier).verdict, duplicate_of=earlier)

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
        """Record the outcome of a turn and return the node it added; None for an illegal parent, and for a pass.

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
        if submission.passes:
            self._emit(Passed(turn.id))
            self.settle()
            return None
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
        parent = submission.parent
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

    def fail(self, turn: Turn, reason: str, kind: FaultKind = "sandbox") -> None:
        """Void a turn after a fault: no node, no budget, and the same agent is asked again for the same place.

        Raises:
            EpisodeError: the turn is not open.
            ConfigError: the reason is no text, or the kind none of the known ones.
        """
        self._check_pending(turn)
        checks.text("reason", reason, where="fail")
        checks.one_of("kind", kind, get_args(FaultKind), where="fail")
        self._emit(Failed(turn.id, reason, kind))
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
            ConfigError: `why` is no text.
        """
        checks.text("why", why, where="stop")
        if self.done:
            raise EpisodeError(f"the episode is over already ({self.ended}).")
        self._end("stopped", why)

    def snapshot(self) -> Snapshot:
        """Return the state as a value that nothing changes any more, in O(nodes)."""
        return Snapshot(self.copy())

    @classmethod
    def restore(cls, snapshot: Snapshot, on_event: Callable[[Event], None] | None = None) -> Episode:
        """Return an episode in the state of a snapshot, in O(nodes), independent of every other.

        The same replies and verdicts bring it to the same end, draw by draw. Its turns in flight are those of the
        snapshot, and equal to them.
        """
        if not isinstance(snapshot, Snapshot):
            raise EpisodeError(f"{snapshot!r:.200} is no snapshot; give one that snapshot() returned.")
        episode = snapshot._episode.copy()
        episode._on_event = on_event
        return episode

    def copy(self) -> Self:
        """Return an independent episode in the same state, to which nobody listens and whose agents may come and go."""
        twin = super().copy()
        twin._on_event, twin.fixed_agents = None, False
        return twin

    def _emit(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)
        self.apply(event)
        for kept in (self._served, self._submitted):
            for id in [id for id in kept if id not in self.open]:
                del kept[id]

    def _serve(self, id: int) -> Turn:
        """Return a turn in flight; its prompt is rendered here, about the tree as it stood when it was asked for."""
        if id not in self._served:
            self._served[id] = self._turn(self.open[id])
        return self._served[id]

    def _turn(self, open: Open) -> Turn:
        asked, agent = open.asked, open.asked.agent
        own, role = self.rules.shown == "own", self.roles[agent]
        path = None if asked.parent is None else path_of(self._paths[asked.parent])
        turn = Turn(
            asked.turn,
            agent,
            self.problem,
            asked.seed,
            (),
            asked.parent,
            open.parents,
            path=path,
            child=open.ordinal,
            tree_seed=self.tree_seed,
        )
        nodes = self.programs
        if len(nodes) > (known := open.size - (self.root is None)):
            nodes = nodes[:known]
        if asked.parent is not None:
            return placed(turn, asked.parent, asked.seed, nodes, role, self.prompts, own)
        if self.rules.game == "play":  # elsewhere no policy reads this turn, but one with a place
            feedback = self.prompts.feedback
            context = play_context(self.problem, nodes, open.size - 1, agent, role, own=own, feedback=feedback)
            turn = replace(turn, messages=self.prompts.messages(context))
        fresh = self.programs[len(self._quotable) :]
        self._quotable += (quotable(node, feedback=self.prompts.feedback) for node in fresh)
        seen = as_seen(self._quotable[:known], agent, own=own)
        keys, paths = (tuple(known[: open.size]) for known in (self._keys, self._paths))
        return replace(turn, places=Places(seen, keys, paths, role, self.prompts, own))

    def _choose(self) -> tuple[str, int | None]:
        if self.selector is None:
            return min(filter(self.may_ask, self.agents), key=self._rounds), None  # of equals the first
        asked = [turn.asked for turn in self.open.values()]
        pending = tuple(Choice(one.parent, self._index[one.agent]) for one in asked if one.parent is not None)
        rng = choice_draws(self.seed, self.problem_id, self.draws)
        allowed = [*map(self.may_ask, self.agents)]
        self.tree.allowed = None if all(allowed) else read_only(np.array(allowed))
        size = len(self.tree)
        try:
            with blamed("select() of the selector", self.selector):
                choice = self.selector.select(self.tree, rng, pending)
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise ConfigError(
                f"selector {self.selector!r} writes into an array of the tree ({error}); work on a copy, such as "
                "tree.score.copy()."
            ) from error
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

    def _pending_score(self, agent: str, parent: int | None) -> float | None:
        if parent is None or self._scores is None:
            return None
        return self._scores.pending_score(self.tree, Choice(parent, self._index[agent]))

    def _turn_seed(self, agent: str, parent: int | None) -> int:
        if parent is None:
            account = self.account(agent)
            return choosing_seed(self.seed, self.problem_id, agent, account.nodes, self.spent, account.passes)
        return seed_of(child_key(self._keys[parent], agent, self._following(parent, agent)))

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
        if turn.id not in self.open or ((served := self._serve(turn.id)) is not turn and served != turn):
            raise EpisodeError(
                f"turn {turn.id} of {turn.agent} is not pending; it was told, failed or cancelled before."
            )

    def _parent_of(self, turn: Turn, reply: Reply) -> int | None:
        """Return the node that a reply expands, or None if the agent chose one that is not on offer."""
        if turn.parent is not None:
            return turn.parent
        return reply.parent if reply.parent in turn.parents else None

    def settle(self) -> None:
        """End the episode if its state says so; a folded log that was cut off may lack the end."""
        if not self.done and (reason := reason_to_end(self, self.stop_when)) is not None:
            self._end(*reason)

    def _end(self, reason: EndReason, detail: str) -> None:
        for id in list(self.open):
            self._emit(Cancelled(id))
        self._emit(Ended(reason, detail))


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The state of an episode at one moment; `Episode.restore` goes on from it, any number of times."""

    _episode: Episode = field(repr=False)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes at that moment."""
        return tuple(self._episode.nodes)
