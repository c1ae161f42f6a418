"""One tree as a plain object: `reset`, `submit`, `get_reward`. TRL's environment hook takes the class as it is."""

from __future__ import annotations

from typing import Any

import mars2_env
from mars2_env import ConfigError, Task


class TreeSession:
    """One model grows one tree by submitting programs; each submission is judged and answered with the next prompt.

    It is the game `write`: a selector picks which program is refined next, so the text that comes back may be about an
    earlier program than the last one. In a task of several agents the model plays each of them in its turn.

    Args:
        task: A task whose game is `write`, the name of a problem set, or an id; `starter` by default.
        **overrides: As in `mars2_env.task`; a budget of 4 nodes unless another is said.

    Raises:
        ConfigError: the task makes no sense, or its game is another.
    """

    def __init__(self, task: Task | str = "starter", **overrides: Any) -> None:
        options = {"budget": 4, "agents": 1, "stop_on_solved": True} if isinstance(task, str) else {}
        found = mars2_env.task(task, **{**options, **overrides})
        if found.rules.game != "write":
            raise ConfigError(f"TreeSession: game={found.rules.game!r}; sessions play 'write'.")
        self._env: Any = mars2_env.make(found)
        self._reward = 0.0
        self._over = True

    def reset(self, problem: str | None = None, seed: int | None = None, **columns: Any) -> str:
        """Begin a tree and return the first prompt.

        Args:
            problem: The id of the problem; drawn by the seed if left out.
            seed: The seed of the tree; without one, trees go on from the last seed.
            **columns: Other columns of a dataset's row; not used.
        """
        self._env.reset(seed=seed, options=None if problem is None else {"problem": problem})
        self._reward, self._over = 0.0, False
        return self._prompt()

    def submit(self, program: str) -> str:
        """Submit a Python program, and get what became of it and what to write next.

        Args:
            program: The whole program, as plain text or in a fenced block.

        Returns:
            What the tests said and the next request, or that the work on this problem is over.
        """
        if self._over:
            return "This problem is over; nothing more can be submitted."
        agent = self._env.agent_selection
        self._env.step({"program": program})
        self._reward += sum(self._env.rewards.values())
        if "fault" in self._env.infos[agent]:
            said = "It could not be judged; submit it again."
        else:
            said = f"Outcome: {self._env.episode.nodes[-1].verdict.outcome}."
        self._over = bool(self._env.terminations[agent] or self._env.truncations[agent])
        return f"{said} This problem is over." if self._over else f"{said}\n\n{self._prompt()}"

    @property
    def over(self) -> bool:
        """Whether the tree is finished, or none was begun."""
        return self._over

    def get_reward(self) -> float:
        """Return what the tree has earned so far: with the reward `progress`, the best score of its programs."""
        return self._reward

    def _prompt(self) -> str:
        return str(self._env.observe(self._env.agent_selection)["prompt"])
