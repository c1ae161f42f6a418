"""What all environments share, but for when an agent is asked: the matches they play one after the other."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from mars2_env.base import keys
from mars2_env.base.checks import whole_number
from mars2_env.envs.spaces import layout_of
from mars2_env.envs.told import clues_of
from mars2_env.envs.views import NumericView, TextView, View
from mars2_env.episode import Episode
from mars2_env.errors import ConfigError, EpisodeError, unknown_name
from mars2_env.features import TreeFeatures
from mars2_env.render import tree_text
from mars2_env.rewards import Ledger
from mars2_env.search.budget import MAX_NODES
from mars2_env.tasks import GAMES, Match, Task, sandbox_of
from mars2_env.types import Node


def checked_seed(seed: Any) -> int:
    """Return the seed of a `reset` as an int.

    Raises:
        ConfigError: it is not a whole number of at least 0.
    """
    return whole_number("seed", seed, least=0, where="reset")


def named_problem(options: dict[str, Any] | None) -> str | None:
    """Return the id of the problem that the options of a `reset` name; None where they name none.

    Raises:
        ConfigError: the options are no dict, the id is no text, or an option looks like a slip of the pen.
    """
    if options is not None and not isinstance(options, dict):
        raise ConfigError(f"reset(options={options!r:.200}): options is a dict, such as {{'problem': id}}.")
    for name in options or ():
        if name != "problem" and get_close_matches(str(name), ["problem"], cutoff=0.75):
            raise ConfigError(f"reset(options={options!r:.200}): no option {name!r}; did you mean 'problem'?")
    problem = (options or {}).get("problem")
    if problem is not None and not isinstance(problem, str):
        raise ConfigError(f"reset(options={options!r:.200}): 'problem' is the id of a problem, a text.")
    return problem


class Matches:
    """The sequence of matches that an environment plays: which problem and seed come next, and how one is begun.

    An environment can be pickled and copied: that takes its task and the place in its sequence of episodes along, but
    not the match being played, whose tree and log have one owner: a copy made in mid-episode has no tree. Call `reset`
    on it first; `Episode.snapshot` keeps a tree.

    Attributes:
        task: what is played.
        state_space: the space of `state()`.
    """

    _pickled: ClassVar[tuple[str, ...]] = ("task", "state_space", "_base", "_episodes")

    def __init__(self, task: Task) -> None:
        """Check that the task's sandbox is there, so that a missing one is an error at `make`, not in mid-game."""
        super().__init__()
        self.task = task
        if task.budget.nodes == MAX_NODES or task.budget.metered or task.budget.agents:
            raise ConfigError(
                f"budget={task.budget}: an environment's budget is a number of nodes for the tree and nothing else "
                "(its spaces and the length of its episodes follow from it); `rollout` and `Episode` take every budget."
            )
        self.render_mode: str | None = task.render_mode
        size = layout_of(task, observer=False).size
        self.state_space = gymnasium.spaces.Box(0.0, 1.0, (size,), np.float32)
        sandbox_of(task)
        self._playing: Match | None = None
        self._base: int | None = None
        self._episodes = 0

    def __repr__(self) -> str:
        """The environment in a line: its task's id or problem set, game, agents and budget."""
        task = self.task
        what = repr(task.id) if task.id is not None else f"problems={task.problems.name!r}"
        agents = ", ".join(task.agents)
        return f"{type(self).__name__}({what}, game={task.rules.game!r}, agents=[{agents}], budget={task.budget.nodes})"

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the task, the spaces with their generators, and which episode comes next; not the match."""
        return {name: getattr(self, name) for name in self._pickled}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the environment anew; `reset` begins the episode that would have come next."""
        type(self).__init__(self, state["task"])
        self.__dict__.update(state)

    @property
    def episode(self) -> Episode:
        """The episode being played: its problem, nodes, tree and budget; to look at, not to drive."""
        return self.match.episode

    @property
    def match(self) -> Match:
        """The match being played: the episode with its log and judge; to look at, not to drive.

        Raises:
            EpisodeError: `reset` was never called.
        """
        if self._playing is None:
            raise EpisodeError("call reset() before anything else: there is no tree yet.")
        return self._playing

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> Match:
        """Begin the next match.

        The first match after `reset(seed=s)` has the episode seed s, the following ones have seeds keyed by s and their
        number; the problem is drawn by the episode seed unless `options={"problem": id}` names it. Other options are
        left to wrappers, but for those that look like a slip of the pen.
        """
        if seed is not None:
            self._base, self._episodes = checked_seed(seed), 0
        if self._base is None:
            self._base = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
        base = self._base
        episode_seed = base if self._episodes == 0 else keys.seed("episode", base, self._episodes)
        self._episodes += 1
        problem = named_problem(options)
        if problem is None:
            number = int(keys.generator("problem", episode_seed).integers(len(self.task.problems)))
            problem = self.task.problems.problems[number].id
        self.close()
        out = None if self.task.out is None else Path(self.task.out)
        match = Match(self.task, problem, episode_seed, out=out)
        self._playing = match
        match.episode.fixed_agents = True
        match.begin()
        self._features = TreeFeatures(match.episode, clues_of(self.task.clues, match.episode.problem))
        self._ledger = Ledger(self.task.reward, self.task.share, match.episode)
        return match

    def fault_info(self) -> dict[str, Any]:
        """Return the part of an info that says that a fault ended the episode before it began; empty elsewhere."""
        unbegun = self.episode.ended == "faults" and not self.episode.asked
        return {"fault": self.episode.end_detail} if unbegun else {}

    def state(self) -> NDArray[np.float32]:
        """Return the features of the tree, float32 in [0, 1], laid out by `features.Layout(..., observer=False)`."""
        self.match  # noqa: B018
        return self._features.state()

    def render(self) -> str | None:
        """Return the tree as text (`ansi`), or print it (`human`); without a `render_mode` warn, as Gymnasium does."""
        mode = self.task.render_mode
        if mode is None:
            gymnasium.logger.warn(
                "render() of an environment without a render_mode does nothing; make it with render_mode='ansi' or "
                "'human'."
            )
            return None
        match = self.match
        episode = match.episode
        text = tree_text(match.problem.id, episode.programs, spent=episode.spent, budget=episode.budget.nodes)
        if mode == "ansi":
            return text
        print(text)
        return None

    def close(self) -> None:
        """Close the log of the match; the sandbox is shared and closes with the process, or is the caller's own."""
        if self._playing is not None:
            self._playing.close()


class AgentGame(Matches):
    """Matches with an observation and an action space for each agent, as PettingZoo has it.

    Attributes:
        spec: the task, whose `id` is None where an option was overridden.
        possible_agents: the agents' names.
    """

    _pickled = (*Matches._pickled, "observation_spaces", "action_spaces")

    def __init__(self, task: Task) -> None:
        """Make the spaces; see `Matches`."""
        super().__init__(task)
        self.spec = task
        self.possible_agents = list(task.agents)
        self.agents: list[str] = []
        self.view: View = NumericView(task) if GAMES[task.rules.game].generators else TextView(task)
        self.observation_spaces: Any = {agent: self.view.observation_space() for agent in task.agents}
        self.action_spaces: Any = {agent: self.view.action_space() for agent in task.agents}

    def observation_space(self, agent: str) -> gymnasium.spaces.Space[Any]:
        """Return the observation space of an agent, the same object at each call."""
        space: gymnasium.spaces.Space[Any] = self._of(self.observation_spaces, agent)
        return space

    def action_space(self, agent: str) -> gymnasium.spaces.Space[Any]:
        """Return the action space of an agent, the same object at each call."""
        space: gymnasium.spaces.Space[Any] = self._of(self.action_spaces, agent)
        return space

    def _of(self, spaces_by_agent: Any, agent: str) -> Any:
        if agent not in self.possible_agents:
            raise ConfigError(unknown_name("agent", str(agent), self.possible_agents))
        return spaces_by_agent[agent]

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> Match:
        match = super()._begin(seed, options)
        self.view.begin(match, self._features)
        return match


def node_info(node: Node | None, *, passed: bool = False) -> dict[str, Any]:
    """Return the part of an info that says what a turn came to.

    Args:
        node: the node it added, if any; else its parent was illegal.
        passed: whether the agent let it pass.
    """
    if passed:
        return {"outcome": "pass"}
    if node is None:
        return {"outcome": "illegal"}
    info: dict[str, Any] = {"outcome": node.verdict.outcome, "node": node.id, "score": node.score}
    if node.duplicate_of is not None:
        info["duplicate_of"] = node.duplicate_of
    return info
