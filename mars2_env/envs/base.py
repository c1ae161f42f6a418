"""What the AEC and the Parallel environment share: all but `reset` and `step`."""

from __future__ import annotations

from typing import Any, Final

import gymnasium
import numpy as np
from numpy.typing import NDArray

from mars2_env import features, keys
from mars2_env.envs import spaces
from mars2_env.episode import Episode
from mars2_env.errors import ConfigError, EpisodeError, unknown_name
from mars2_env.games import Match, Task, sandbox_of
from mars2_env.outline import outline
from mars2_env.prompt import messages_text, task_text
from mars2_env.render import tree_text
from mars2_env.types import Node, Reply, Turn

_PICKLED: Final = ("task", "observation_spaces", "action_spaces", "state_space", "_base", "_episodes")


class TextGame:
    """All of an environment but `reset` and `step`: its task, its spaces, and the match being played.

    An environment can be pickled and copied: that takes its task and the place in its sequence of episodes along, but
    not the match being played, whose tree and log have one owner. Call `reset` first.

    Attributes:
        task: what is played; `spec` is the same object, whose `id` is None where an option was overridden.
        possible_agents: the agents' names.
        state_space: the space of `state()`.
    """

    def __init__(self, task: Task) -> None:
        """Check that the task's sandbox is there, so that a missing one is an error at `make`, not in mid-game."""
        super().__init__()
        self.task = task
        self.spec = task
        self.render_mode = task.render_mode
        self.possible_agents = list(task.agents)
        self.agents: list[str] = []
        nodes = task.budget.nodes
        self.observation_spaces: Any = {agent: spaces.observation_space() for agent in task.agents}
        self.action_spaces: Any = {agent: spaces.action_space(task.rules.game, nodes) for agent in task.agents}
        self.state_space = gymnasium.spaces.Box(0.0, 1.0, (features.state_size(task.budget.nodes),), np.float32)
        sandbox_of(task)
        self._playing: Match | None = None
        self._base: int | None = None
        self._episodes = 0

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the task, the spaces with their generators, and which episode comes next; not the match."""
        return {name: getattr(self, name) for name in _PICKLED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the environment anew; `reset` begins the episode that would have come next."""
        type(self).__init__(self, state["task"])
        self.__dict__.update(state)

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

    @property
    def episode(self) -> Episode:
        """The episode being played: its problem, nodes, tree and budget; to look at, not to drive."""
        return self._match.episode

    @property
    def _match(self) -> Match:
        if self._playing is None:
            raise EpisodeError("call reset() before anything else: there is no tree yet.")
        return self._playing

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> Match:
        """Begin the next match.

        The first match after `reset(seed=s)` has the episode seed s, the following ones have seeds keyed by s and their
        number; the problem is drawn by the episode seed unless `options={"problem": id}` names it. Other options are
        left to wrappers.
        """
        if seed is not None:
            if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
                raise ConfigError(f"reset(seed={seed!r}): the seed must be a whole number of at least 0.")
            self._base, self._episodes = int(seed), 0
        if self._base is None:
            self._base = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
        base = self._base
        episode_seed = base if self._episodes == 0 else keys.seed("episode", base, self._episodes)
        self._episodes += 1
        if options is not None and not isinstance(options, dict):
            raise ConfigError(f"reset(options={options!r:.200}): options is a dict, such as {{'problem': id}}.")
        problem = (options or {}).get("problem")
        if problem is not None and not isinstance(problem, str):
            raise ConfigError(f"reset(options={options!r:.200}): 'problem' is the id of a problem, a text.")
        if problem is None:
            number = int(keys.generator("problem", episode_seed).integers(len(self.task.problems)))
            problem = self.task.problems.problems[number].id
        self.close()
        match = Match(self.task, problem, episode_seed, out=self.task.out)
        self._playing = match
        if match.episode.awaits_seed:
            match.episode.plant(match.judge_seed())
        return match

    def _reply(self, agent: str, action: Any) -> Reply:
        """Return the reply that an action stands for.

        Raises:
            ConfigError: the action is not one of this game's.
        """
        play = self.task.rules.game == "play"
        form = 'a dict with "program" (a text)' + (' and "parent" (a node number)' if play else "")
        if not isinstance(action, dict) or set(action) != ({"program", "parent"} if play else {"program"}):
            raise ConfigError(f"{agent}: an action is {form}, not {action!r:.200}.")
        program = action["program"]
        if not isinstance(program, str) or len(program) > spaces.PROGRAM_LENGTH:
            raise ConfigError(
                f"{agent}: action['program'] must be a text of at most {spaces.PROGRAM_LENGTH} characters, not "
                f"{type(program).__name__}{f' of {len(program)}' if isinstance(program, str) else ''}."
            )
        if not play:
            return Reply(program)
        parent = action["parent"]
        if isinstance(parent, bool) or not isinstance(parent, int | np.integer):
            raise ConfigError(f"{agent}: action['parent'] must be a node number, not {parent!r:.200}.")
        return Reply(program, parent=int(parent))

    def _observe(self, agent: str, turn: Turn | None) -> dict[str, str]:
        """Return the observation of an agent: `prompt` is empty unless a turn of its own is waiting."""
        self.observation_space(agent)
        match = self._match
        own = agent if self.task.rules.observe == "own" else None
        return {
            "problem": spaces.fit(task_text(match.problem.public_view()), spaces.PROBLEM_LENGTH),
            "tree": spaces.fit(outline(match.episode.programs, own=own), spaces.TREE_LENGTH),
            "prompt": "" if turn is None else spaces.fit(messages_text(turn.messages), spaces.PROMPT_LENGTH),
        }

    def _action_mask(self, turn: Turn | None) -> dict[str, Any]:
        """Return the mask of a `play` action: which parents are legal (all ones where no turn is waiting)."""
        mask = np.zeros(self.task.budget.nodes + 1, np.int8)
        mask[list(turn.parents) if turn is not None else slice(None)] = 1
        return {"parent": mask, "program": None}

    def _turn_info(self, turn: Turn | None) -> dict[str, Any]:
        """Return the part of an info that says what is asked of an agent."""
        info: dict[str, Any] = {}
        if self.task.rules.game == "play":
            info["action_mask"] = self._action_mask(turn)
        if turn is not None:
            info["turn"] = turn.id
            info["seed"] = turn.seed
            if turn.parent is not None:
                info["parent"] = turn.parent
        return info

    def _node_info(self, node: Node | None) -> dict[str, Any]:
        """Return the part of an info that says what an agent's last turn came to."""
        if node is None:
            return {"outcome": "illegal"}
        info: dict[str, Any] = {"outcome": node.verdict.outcome, "node": node.id, "score": node.score}
        if node.duplicate_of is not None:
            info["duplicate_of"] = node.duplicate_of
        return info

    def state(self) -> NDArray[np.float32]:
        """Return the numeric features of the tree, float32 in [0, 1] (`mars2_env.features.state`)."""
        return features.state(self.episode)

    def render(self) -> str | None:
        """Return the tree as text (`ansi`), or print it (`human`)."""
        mode = self.task.render_mode
        if mode is None:
            raise ConfigError("this environment has no render_mode; make it with render_mode='ansi' or 'human'.")
        match = self._match
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
