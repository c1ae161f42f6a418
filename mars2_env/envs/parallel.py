"""The Parallel environment of the games `play` and `place`: all agents expand the tree at once, a round a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from pettingzoo import ParallelEnv

from mars2_env.envs.base import AgentGame, node_info
from mars2_env.envs.judging import grade_side_by_side, submitted
from mars2_env.envs.spaces import whole
from mars2_env.episode import Submission
from mars2_env.errors import ConfigError, EpisodeError, PolicyError, SandboxError
from mars2_env.tasks import Match, Task
from mars2_env.types import Reply, Turn, Verdict

Step: TypeAlias = tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]


class TreeSearchParallel(AgentGame, ParallelEnv[str, Any, Any]):
    """The games `play` and `place` in rounds: every agent chooses a node of the tree as it stood at the round's start.

    **Description.** A step is one round: all agents' programs are judged side by side, then applied in agent order (the
    first to reach a score gets the progress for it). In `place` generators that several agents share are called once.
    With `rounds`, where less of the budget is left than agents expand, those come first who are first in agent order.

    **Action space, observation space, rewards, start, infos, arguments.** Those of `TreeSearchAEC`.

    **End.** All agents together: terminated when the budget (rounds x agents, or what `rounds` and it leave) is spent
    or, with `stop_on_solved`, the problem solved; what else the round held is then left out (in a game with `rounds`
    the infos of those agents say `cancelled` as their `outcome`). A sandbox fault is retried inside the step with the
    same program and noted in `info["fault"]`; after `max_faults` in a row all agents are truncated, in the first step
    where the program to be repaired could not be judged.

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
        infos = {agent: {**self.view.asked(self.turns.get(agent)), **self.fault_info()} for agent in self.agents}
        return self._observations(), infos

    def step(self, actions: dict[str, Any]) -> Step:
        """Play one round; `actions` has one action for every agent."""
        self._check_begun()
        if not isinstance(actions, dict) or set(actions) != set(self.agents):
            raise ConfigError(f"step() takes one action for each of {self.agents}, not {actions!r:.200}.")
        turns = self.served(actions)
        played = Round(self, self.view.replies(turns, [actions[turn.agent] for turn in turns]), actions)
        judge_rounds([played])
        return self.finish(played)

    def served(self, actions: Mapping[str, Any]) -> list[Turn]:
        """Return the turns of the open round, in agent order; none where a fault ended what had not begun.

        In a game with `rounds` the budget may not do for all who expand: then those come first who are first in agent
        order, and nobody is asked in vain.

        Args:
            actions: agent -> action.

        Raises:
            ConfigError: an action is none of this game's.
            EpisodeError: the episode is over, or was never begun.
        """
        self._check_begun()
        passing = self.episode.passing
        if passing is None:
            return list(self.turns.values())
        left, found = self.episode.budget.nodes - self.episode.spent, []
        for agent, turn in self.turns.items():
            expands = whole(agent, "an action", actions[agent]) != passing
            if not expands or left > 0:
                found.append(turn)
            left -= expands
        return found

    def _check_begun(self) -> None:
        if not self.agents:
            self.match  # noqa: B018
            raise EpisodeError("the episode is over; call reset() before step().")

    def finish(self, played: Round) -> Step:
        """Apply a round that was judged, in agent order."""
        episode = self.episode
        paid = dict.fromkeys(self.agents, 0.0)
        for agent in self.agents:
            if episode.done or agent not in played.verdicts:
                if episode.passing is not None and "fault" not in played.infos[agent]:
                    played.infos[agent]["outcome"] = "cancelled"  # as its event says
                continue
            reply, submission = played.replies[agent], played.submissions[agent]
            assert isinstance(reply, Reply) and isinstance(submission, Submission)
            node = self.match.tell(self.turns[agent], reply, played.verdicts[agent])
            played.infos[agent].update(node_info(node, passed=submission.passes))
            if submission.passes:
                continue
            for receiver, part in self._ledger.expanded(agent, node).items():
                paid[receiver] += part
        terminations = dict.fromkeys(self.agents, episode.done and episode.ended != "faults")
        truncations = dict.fromkeys(self.agents, episode.ended == "faults")
        self._next_round()
        for agent in self.agents:
            played.infos[agent].update(self.view.asked(self.turns.get(agent)))
        observations = self._observations()
        if self.render_mode == "human":
            self.render()
        if episode.done:
            self.agents = []
        return observations, paid, terminations, truncations, played.infos

    def observe(self, agent: str) -> Any:
        """Return the observation of an agent, as `step` returned it."""
        self.observation_space(agent)
        self.match  # noqa: B018
        return self.view.observe(agent, self.turns.get(agent))

    def _next_round(self) -> None:
        episode = self.episode
        turns = [] if episode.done else [episode.ask() for _ in self.possible_agents]
        self.turns = {turn.agent: turn for turn in turns}

    def _observations(self) -> dict[str, Any]:
        return {agent: self.observe(agent) for agent in self.agents}


class Round:
    """One round of one environment while it is judged: replies, verdicts so far, and who is still to be judged."""

    def __init__(
        self, env: TreeSearchParallel, replies: Sequence[Reply | PolicyError], actions: Mapping[str, Any]
    ) -> None:
        """Begin with one reply for each turn of the round that is served, in agent order, and all actions."""
        self.env = env
        self.actions = actions
        served = {turn.agent: turn for turn in env.served(actions)}
        self.replies = dict(zip(served, replies, strict=True))
        self.submissions = {agent: submitted(env.episode, turn, self.replies[agent]) for agent, turn in served.items()}
        self.verdicts: dict[str, Verdict] = {}
        self.infos: dict[str, dict[str, Any]] = {agent: env.fault_info() for agent in env.agents}
        self.open = list(served)

    def jobs(self) -> list[tuple[Match, Submission | PolicyError]]:
        """Return what is to be judged now."""
        return [(self.env.match, self.submissions[agent]) for agent in self.open]

    def take(self, results: Sequence[Verdict | SandboxError | PolicyError]) -> None:
        """Take what became of the jobs; those that met a fault are asked again, unless the episode ended by it."""
        match = self.env.match
        faulty = []
        for agent, result in zip(self.open, results, strict=True):
            if not isinstance(result, SandboxError | PolicyError):
                self.verdicts[agent] = result
                continue
            faulty.append(agent)
            self.infos[agent]["fault"] = str(result)
            if not match.episode.done:
                match.fault(self.env.turns[agent], result)
        for agent in faulty:
            if match.episode.can_ask:
                self.env.turns[agent] = turn = match.episode.ask()
                if isinstance(self.replies[agent], PolicyError):  # its generator is asked again
                    (self.replies[agent],) = self.env.view.replies([turn], [self.actions[agent]])
                    self.submissions[agent] = submitted(match.episode, turn, self.replies[agent])
        self.open = [] if match.episode.done else faulty


def judge_rounds(rounds: Sequence[Round]) -> None:
    """Judge rounds of several environments side by side, again and again until no fault is left; no tree changes."""
    while jobs := [job for played in rounds for job in played.jobs()]:
        results = iter(grade_side_by_side(jobs))
        for played in rounds:
            played.take([next(results) for _ in played.open])
