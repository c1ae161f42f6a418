"""The AEC environment: agents grow one shared tree of candidate programs, one expansion a step."""

from __future__ import annotations

from typing import Any, ClassVar

from pettingzoo import AECEnv

from mars2_env.envs import rewards
from mars2_env.envs.base import TextGame
from mars2_env.errors import EpisodeError, SandboxError
from mars2_env.games import Task
from mars2_env.types import Turn


class TreeSearchAEC(TextGame, AECEnv[str, Any, Any]):
    """Several agents grow ONE search tree of programs for a coding problem, one expansion a step.

    **Games.** In `write` a selector (Thompson sampling by default) picks who acts and which node is refined; the agent
    writes the program. It may call one agent more often than another, or never. In `play` agents act in fixed order and
    choose the node themselves.

    **Actions.** `write`: `{"program": text}`. `play`: `{"parent": slot, "program": text}` with slot 0 the root (a fresh
    program) and slot i node i; `infos[agent]["action_mask"]` says which slots exist. The text may be a bare program or
    a reply that holds one in a fenced block.

    **Observations.** Flat Dict of texts: `problem` (the statement), `tree` (a bounded table of nodes: ids, parents,
    agents, outcomes, scores), `prompt` (what is asked of the agent now; empty for the others). `state()` is an array of
    numeric features.

    **Rewards.** `progress` (default): how much the tree's best score rose; it telescopes to the best final score.
    `score`: the new node's score. `share="own"` pays the actor, `"team"` every agent.

    **Illegal parents** (`play`) cost one expansion, add no node and earn 0.

    **Ends.** Terminated for all agents together when the budget is spent or, with `stop_on_solved`, the problem solved.
    Truncated only after `max_faults` sandbox faults in a row; a fault is a void turn: no node, no budget, reward 0,
    `info["fault"]`, and the same agent is asked again.

    **Infos** of the last actor: `outcome`, `node`, `score`, `duplicate_of`; of the agent to act: `turn`, `seed`,
    `parent`.
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

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin the next tree; `options={"problem": id}` chooses the problem."""
        episode = self._begin(seed, options).episode
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, episode.done)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self._skip_agent_selection = None
        self._next_turn()

    def last(self, observe: bool = True) -> tuple[dict[str, str] | None, float, bool, bool, dict[str, Any]]:
        """Return observation, reward since it last acted, terminated, truncated and info of the agent to act.

        Raises:
            EpisodeError: `reset` was never called, or every agent has taken its last step.
        """
        if not self.agents:
            raise EpisodeError("there is no agent to act: call reset() first.")
        found: tuple[dict[str, str] | None, float, bool, bool, dict[str, Any]] = super().last(observe)
        return found

    def step(self, action: Any) -> None:
        """Expand the tree by the acting agent's program."""
        match = self._match
        episode = match.episode
        if not self.agents:
            raise EpisodeError("the episode is over; call reset() before step().")
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        turn = self.turn
        assert turn is not None
        reply = self._reply(agent, action)
        before = episode.best_score
        info: dict[str, Any]
        self._cumulative_rewards[agent] = 0.0
        try:
            verdict = match.grade(turn, reply)
        except SandboxError as error:
            match.fault(turn, error)
            info, amount = {"fault": str(error)}, 0.0
        else:
            node = episode.tell(turn, reply, verdict)
            info = self._node_info(node)
            kind = self.task.reward
            amount = rewards.progress(before, episode.best_score) if kind == "progress" else rewards.score(node)
        self.rewards = rewards.paid(self.agents, agent, amount, self.task.share)
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
            self.infos[agent].update(self._turn_info(waiting))

    def observe(self, agent: str) -> dict[str, str]:
        """Return the observation of an agent."""
        waiting = self.turn if self.turn is not None and self.turn.agent == agent else None
        return self._observe(agent, waiting)
