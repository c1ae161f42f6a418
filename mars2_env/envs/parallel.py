"""The Parallel environment of the games `play` and `place`: all agents expand the tree at once, a round a step."""

from __future__ import annotations

from typing import Any, ClassVar

from pettingzoo import ParallelEnv

from mars2_env.envs.base import AgentGame, node_info
from mars2_env.envs.judging import grade_side_by_side
from mars2_env.errors import ConfigError, EpisodeError, SandboxError
from mars2_env.games import Task
from mars2_env.types import Reply, Turn, Verdict


class TreeSearchParallel(AgentGame, ParallelEnv[str, Any, Any]):
    """The games `play` and `place` in rounds: every agent chooses a node of the tree as it stood at the round's start.

    **Description.** A step is one round: all agents' programs are judged side by side, then applied in agent order (the
    first to reach a score gets the progress for it). In `place` generators that several agents share are called once.

    **Action space, observation space, rewards, start, infos, arguments.** Those of `TreeSearchAEC`.

    **End.** All agents together: terminated when the budget (rounds x agents) is spent or, with `stop_on_solved`, the
    problem solved; what else the round held is then left out. A sandbox fault is retried inside the step with the same
    program and noted in `info["fault"]`; after `max_faults` in a row all agents are truncated.

    **Version history.** v0: first version.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "mars2_rounds_v0", "render_modes": ["ansi", "human"], "render_fps": 1}

    def __init__(self, task: Task) -> None:
        """Make the environment of a task whose `api` is `parallel`.

        Raises:
            SandboxUnavailableError: the task's sandbox cannot be had on this machine.
        """
        super().__init__(task)
        self.turns: dict[str, Turn] = {}

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Begin the next tree; `options={"problem": id}` chooses the problem."""
        self._begin(seed, options)
        self.agents = list(self.possible_agents)
        self._next_round()
        return self._observations(), {agent: self._view.asked(self.turns.get(agent)) for agent in self.agents}

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Play one round; `actions` has one action for every agent."""
        match = self._match
        episode = match.episode
        if not self.agents:
            raise EpisodeError("the episode is over; call reset() before step().")
        if not isinstance(actions, dict) or set(actions) != set(self.agents):
            raise ConfigError(f"step() takes one action for each of {self.agents}, not {actions!r:.200}.")
        turns = [self.turns[agent] for agent in self.agents]
        found = self._view.replies(turns, [actions[agent] for agent in self.agents])
        replies = dict(zip(self.agents, found, strict=True))
        infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        paid = dict.fromkeys(self.agents, 0.0)
        verdicts = self._judge(replies, infos)
        for agent in self.agents:
            if episode.done or agent not in verdicts:
                continue
            node = match.tell(self.turns[agent], replies[agent], verdicts[agent])
            for receiver, part in self._ledger.expanded(agent, node).items():
                paid[receiver] += part
            infos[agent].update(node_info(node))
        terminations = dict.fromkeys(self.agents, episode.done and episode.ended != "faults")
        truncations = dict.fromkeys(self.agents, episode.ended == "faults")
        self._next_round()
        for agent in self.agents:
            infos[agent].update(self._view.asked(self.turns.get(agent)))
        observations = self._observations()
        if self.render_mode == "human":
            self.render()
        if episode.done:
            self.agents = []
        return observations, paid, terminations, truncations, infos

    def _judge(self, replies: dict[str, Reply], infos: dict[str, dict[str, Any]]) -> dict[str, Verdict]:
        """Grade a round side by side, asking again after faults; the tree does not change meanwhile."""
        match = self._match
        verdicts: dict[str, Verdict] = {}
        open_agents = list(self.agents)
        while open_agents and not match.episode.done:
            results = grade_side_by_side([(match, self.turns[agent], replies[agent]) for agent in open_agents])
            faulty = []
            for agent, result in zip(open_agents, results, strict=True):
                if not isinstance(result, SandboxError):
                    verdicts[agent] = result
                    continue
                faulty.append(agent)
                infos[agent]["fault"] = str(result)
                if not match.episode.done:
                    match.fault(self.turns[agent], result)
            for agent in faulty:
                if match.episode.can_ask:
                    self.turns[agent] = match.episode.ask()
            open_agents = faulty
        return verdicts

    def _next_round(self) -> None:
        episode = self.episode
        turns = [] if episode.done else [episode.ask() for _ in self.possible_agents]
        self.turns = {turn.agent: turn for turn in turns}

    def _observations(self) -> dict[str, Any]:
        return {agent: self._view.observe(agent, self.turns.get(agent)) for agent in self.agents}
