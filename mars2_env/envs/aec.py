"""The AEC environment: agents grow one shared tree of candidate programs, one expansion a step."""

from __future__ import annotations

from typing import Any, ClassVar

from pettingzoo import AECEnv

from mars2_env.envs.base import AgentGame, node_info
from mars2_env.envs.judging import graded, submitted
from mars2_env.episode import Submission
from mars2_env.errors import EpisodeError, PolicyError, SandboxError
from mars2_env.tasks import Task
from mars2_env.types import Reply, Turn


class _NoAgentError(EpisodeError, AttributeError):
    """There is no agent to act; an `AttributeError` as well, which PettingZoo has of what is not there yet."""


class _DeadAgentError(EpisodeError, ValueError):
    """An agent whose episode is over was given an action; a `ValueError` as well, which PettingZoo has there."""


class TreeSearchAEC(AgentGame, AECEnv[str, Any, Any]):
    """Several agents grow ONE search tree of programs for a coding problem, one expansion a step.

    **Description.** Each step adds one node, a judged program, to a tree that all agents share. In `write` a selector
    (Thompson sampling by default) picks who acts and which node is refined, and the agent writes the program; it may
    call one agent more often than another, or never. In `play` agents act in fixed order, one turn each a round, and
    choose the node themselves. In `place` they choose the node, and their frozen generators write the program.

    **Action space.** `write`: `Dict(program=Text)`. `play`: `Dict(parent=Discrete(budget + 1), program=Text)`. `place`:
    `Discrete(budget + 1)`. Slot 0 is the root (a fresh program), slot i node i. A program is at most 200,000 characters
    without NUL and lone surrogates: bare, or a reply that holds one in a fenced block. A parent that does not exist
    costs one expansion, adds no node and earns 0. `place` with `rounds`: `Discrete(budget + 2)`, whose last number lets
    the turn pass: it costs nothing, adds no node and earns 0.

    **Observation space.** `write`, `play`: flat Dict of texts, `problem` (the statement; at most 50,000 characters),
    `tree` (a table of nodes: ids, parents, depths, agents, outcomes, scores; 20,000) and `prompt` (what is asked of the
    agent now; 200,000; empty for the others). What is too long loses its middle; the table shows the best node and the
    newest ones, 64 in all. `place`: `Dict(observation=Box(0, 1, (F,), float32), action_mask=Box(0, 1, (budget + 1,),
    int8))`, the vector laid out by `mars2_env.features.Layout(budget, agents, observer=True)`; with `rounds` that has
    one number more (and the mask one action, always allowed), with `clues` those about the problem, with `cards` those
    that the agent's own generator tells it alone. With `observe="own"` an agent sees of others' nodes only place,
    author and score; `generators_observe` says what its generator is shown. `state()` is the vector without observer
    and card, in any game.

    **Rewards.** `progress` (default): how much the tree's best score rose; an episode's sum is the best final score.
    `score`: the new node's score, 0 for a copy of an earlier program. `share="own"` pays the actor, `"team"` every
    agent. `difference` pays each agent the change of: best score of the tree minus best score without that agent's
    nodes and their descendants.

    **Start.** An empty tree (in repair problems, a root that holds the program to be repaired). The problem is drawn by
    the seed, or named by `options={"problem": id}`.

    **End.** Terminated for all agents together when the budget is spent, so many `rounds` are over or, with
    `stop_on_solved`, the problem solved.
    Truncated only after `max_faults` faults of the sandbox or of generators in a row; a fault is a void turn: no node,
    no budget, reward 0, `info["fault"]`, and the same agent is asked again. An engine that is away is waited for, a
    minute at most; then
    `step` raises `SandboxUnavailableError`, and the same step can be taken later. Where faults keep the program to be
    repaired from being judged, `reset` truncates.

    **Infos.** `play`, `place`: `action_mask`, which slots exist (in `play` `{"parent": mask, "program": None}`, as
    `sample` takes it). Of the last actor: `outcome`, `node`, `score`, and `duplicate_of` for a copy; `outcome` alone,
    `pass`, if it let its turn pass (`passed` is said of programs). Of the agent to act, in `write` and `play`: `turn`,
    `seed`, `parent`.

    **Arguments.** A `Task` (`mars2_env.task`); `mars2_env.make` takes an id, a problem set or a task, and overrides.

    **Version history.** v0: first version.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "mars2_v0",
        "render_modes": ["ansi", "human"],
        "is_parallelizable": False,
        "render_fps": 1,
    }

    def __init__(self, task: Task) -> None:
        """Make the environment of a task whose `api` is `aec`.

        Raises:
            SandboxUnavailableError: the task's sandbox cannot be had on this machine.
        """
        super().__init__(task)
        self.turn: Turn | None = None
        self._selected: str | None = None

    @property
    def agent_selection(self) -> str:
        """The agent to act.

        Raises:
            EpisodeError: `reset` was never called.
        """
        if self._selected is None:
            raise _NoAgentError("there is no agent to act: call reset() first.")
        return self._selected

    @agent_selection.setter
    def agent_selection(self, agent: str) -> None:
        self._selected = agent

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin the next tree; `options={"problem": id}` chooses the problem."""
        episode = self._begin(seed, options).episode
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        # done before it began: faults kept the program to be repaired from being judged
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, episode.done)
        self.infos: dict[str, dict[str, Any]] = {agent: self.fault_info() for agent in self.agents}
        self._skip_agent_selection = None
        self._next_turn()

    def last(self, observe: bool = True) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Return observation, reward since it last acted, terminated, truncated and info of the agent to act.

        Raises:
            EpisodeError: `reset` was never called, or every agent has taken its last step.
        """
        if not self.agents:
            raise EpisodeError("there is no agent to act: call reset() first.")
        found: tuple[Any, float, bool, bool, dict[str, Any]] = super().last(observe)
        return found

    def step(self, action: Any) -> None:
        """Expand the tree by the acting agent's program; of an agent whose episode is over the action is None.

        Raises:
            EpisodeError: there is no agent to act, or an action for one whose episode is over.
        """
        match = self.match
        episode = match.episode
        if not self.agents:
            raise EpisodeError("the episode is over; call reset() before step().")
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            if action is not None:
                raise _DeadAgentError(
                    f"step({action!r:.200}): the episode is over for {agent}, for which step(None) is all that is "
                    "left; or call reset()."
                )
            self._was_dead_step(action)
            return
        turn = self.turn
        assert turn is not None
        (reply,) = self.view.replies([turn], [action])
        self._cumulative_rewards[agent] = 0.0
        submission = submitted(episode, turn, reply)
        verdict = graded(match, submission)
        if isinstance(verdict, SandboxError | PolicyError):
            match.fault(turn, verdict)
            info: dict[str, Any] = {"fault": str(verdict)}
            self.rewards = dict.fromkeys(self.agents, 0.0)
        else:
            assert isinstance(reply, Reply) and isinstance(submission, Submission)
            node = match.tell(turn, reply, verdict)
            info = node_info(node, passed=submission.passes)
            unpaid = dict.fromkeys(self.agents, 0.0)
            self.rewards = unpaid if submission.passes else self._ledger.expanded(agent, node)
        self.terminations = dict.fromkeys(self.agents, episode.done and episode.ended != "faults")
        self.truncations = dict.fromkeys(self.agents, episode.ended == "faults")
        self.infos = {name: {} for name in self.agents}
        self.infos[agent] = info
        self._next_turn()
        self._accumulate_rewards()
        if self.render_mode == "human":
            self.render()

    def _next_turn(self) -> None:
        episode = self.episode
        self.turn = None
        if not episode.done:
            self.turn = episode.ask()
            self.agent_selection = self.turn.agent
        else:
            self.agent_selection = self.agents[0]
        for agent in self.agents:
            waiting = self.turn if self.turn is not None and self.turn.agent == agent else None
            self.infos[agent].update(self.view.asked(waiting))

    def observe(self, agent: str) -> Any:
        """Return the observation of an agent."""
        self.observation_space(agent)
        self.match  # noqa: B018
        waiting = self.turn if self.turn is not None and self.turn.agent == agent else None
        return self.view.observe(agent, waiting)
