"""The Gymnasium environment of the `route` game: one controller for a whole team."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import gymnasium
import numpy as np
from numpy.typing import NDArray

from mars2_env.envs import spaces
from mars2_env.envs.base import Matches, checked_seed, node_info
from mars2_env.envs.judging import graded, submitted
from mars2_env.envs.views import written
from mars2_env.errors import ConfigError, EpisodeError, PolicyError, SandboxError
from mars2_env.tasks import Task, TaskOptions, seat
from mars2_env.tasks import task as _task  # an environment has an argument of that name
from mars2_env.types import Reply, Turn, Verdict

Step = tuple[dict[str, Any], float, bool, bool, dict[str, Any]]


class TreeSearchRoute(Matches, gymnasium.Env[dict[str, Any], Any]):
    """One controller decides, expansion by expansion, who of a team of frozen generators extends the tree, and where.

    **Description.** The state is a search tree of programs for one coding problem. An action names an agent and a slot;
    that agent's generator (`generators=`, the simulated `noise:default` where nothing else is said) writes a program
    there, the program is judged, and the tree has one node more. What is to be learned is where and by whom the tree
    grows; Thompson sampling over the same generators (the game `write`) is the baseline to beat.

    **Action space.** `Discrete(agents x (budget + 1))`. Action a is agent a // (budget + 1), in the order of the task,
    at slot a % (budget + 1): slot 0 is the root, where a fresh program is written, slot i refines node i.
    `action_masks()` says which actions name a slot that exists; others cost one expansion, add no node and earn 0.

    **Observation space.** `Dict(observation=Box(0, 1, (F,), float32), action_mask=Box(0, 1, (actions,), int8))`. The
    vector is laid out by `mars2_env.features.Layout(budget, agents, observer=False)`; the mask is also in
    `info["action_mask"]`. With `clues` it also has so many numbers about the problem.

    **Rewards.** `progress` (default): how much the tree's best score rose; an episode's sum is the best final score.
    `score`: the new node's score, 0 for an illegal action and for a copy of an earlier program.

    **Start.** An empty tree (in repair problems, a root that holds the program to be repaired). The problem is drawn by
    the seed, or named by `options={"problem": id}`.

    **End.** Terminated when the budget is spent or, with `stop_on_solved`, the problem solved. Truncated only after
    `max_faults` faults of the sandbox or of generators in a row; a fault is a void step: no node, no budget, reward 0,
    `info["fault"]`. Where
    they keep the program to be repaired from being judged, the first step is truncated.

    **Info.** `action_mask`; after a step `agent`, `outcome`, `node`, `score`, and `duplicate_of` for a copy.

    **Arguments.** A `Task`, or an id and overrides as `mars2_env.task` takes them.

    **Version history.** v0: first version.
    """

    metadata = {"render_modes": ["ansi", "human"], "render_fps": 1}  # noqa: RUF012
    _pickled = (*Matches._pickled, "observation_space", "action_space", "spec")

    def __init__(self, task: Task | str = "mars2/StarterRoute-v0", **overrides: Unpack[TaskOptions]) -> None:
        """Make the environment of a task whose game is `route`.

        Raises:
            ConfigError: the task makes no sense.
            SandboxUnavailableError: the task's sandbox cannot be had on this machine.
        """
        if overrides or not isinstance(task, Task):
            task = _task(task, **overrides)
        super().__init__(task)
        self.spec = gymnasium.registry.get(task.id) if task.id is not None else None
        self.generators = seat(task.agents, task.generators or {}, problems=task.problems)
        self.possible_agents = list(task.agents)
        self._cut_off = False
        self._slots = task.budget.nodes + 1
        actions = len(task.agents) * self._slots
        self.observation_space = spaces.numeric_observations(spaces.layout_of(task, observer=False), actions)
        self.action_space = gymnasium.spaces.Discrete(actions)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin the next tree; `options={"problem": id}` chooses the problem."""
        super().reset(seed=None if seed is None else checked_seed(seed))
        self._begin(seed, options)
        self._cut_off = self.episode.done
        return self.observation(), {"action_mask": self.action_masks(), **self.fault_info()}

    def step(self, action: Any) -> Step:
        """Have an agent expand a node; see the class for what an action names."""
        if (last := self.cut_off()) is not None:
            return last
        turn, slot = self.ask(action)
        try:
            (reply,) = written(self.generators, [(turn, slot)])
            return self.tell(turn, reply, graded(self.match, submitted(self.episode, turn, reply)))
        finally:
            self.take_back([turn])

    def cut_off(self) -> Step | None:
        """Return the only step of an episode that a fault ended before it began, once; None for any other."""
        if not self._cut_off:
            return None
        self._cut_off = False
        return self.observation(), 0.0, False, True, {"action_mask": self.action_masks(), **self.fault_info()}

    def ask(self, action: Any) -> tuple[Turn, int]:
        """Begin a step: return the turn of the agent that an action names, and the slot. `tell` ends the step.

        Raises:
            ConfigError: the action is not in the action space.
            EpisodeError: the episode is over, or was never begun.
        """
        if self.episode.done:
            raise EpisodeError("the episode is over; call reset() before step().")
        number = spaces.whole("the controller", "an action", action)
        actions = len(self.possible_agents) * self._slots
        if not 0 <= number < actions:
            raise ConfigError(f"the controller: an action is a number from 0 to {actions - 1}, not {number}.")
        agent, slot = divmod(number, self._slots)
        return self.episode.ask(self.possible_agents[agent]), slot

    def tell(self, turn: Turn, reply: Reply | PolicyError, verdict: Verdict | SandboxError | PolicyError) -> Step:
        """End a step that `ask` began, by what became of the reply."""
        match, episode = self.match, self.episode
        reward = 0.0
        info: dict[str, Any] = {"agent": turn.agent}
        if isinstance(verdict, SandboxError | PolicyError):
            match.fault(turn, verdict)
            info["fault"] = str(verdict)
        else:
            assert isinstance(reply, Reply)
            node = match.tell(turn, reply, verdict)
            info |= node_info(node)
            reward = sum(self._ledger.expanded(turn.agent, node).values())
        info["action_mask"] = self.action_masks()
        if self.render_mode == "human":
            self.render()
        faults = episode.ended == "faults"
        return self.observation(), reward, episode.done and not faults, faults, info

    def take_back(self, turns: Sequence[Turn]) -> None:
        """Cancel those of the turns that are still open: an error came between asking and telling."""
        for turn in turns:
            if not self.episode.done and turn.id in self.episode.pending:
                self.episode.cancel(turn)

    def action_masks(self) -> NDArray[np.int8]:
        """Return which actions name a slot that exists, shape (actions,), int8; the name is sb3-contrib's."""
        mask = spaces.slot_mask(self.task.budget.nodes, len(self.episode.tree))
        return np.tile(mask, len(self.possible_agents))

    def observation(self) -> dict[str, Any]:
        """Return what the controller observes now, as `step` returned it."""
        return {"observation": self._features.state(), "action_mask": self.action_masks()}
