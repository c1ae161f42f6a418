"""Two views of a game for its agents: texts (`write`, `play`) and numbers (`place`).

A view says what an agent observes and what its action stands for; when it is asked and what it is paid is the
environment's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from mars2_env.envs import spaces
from mars2_env.envs.told import card_size, cards_of
from mars2_env.errors import ConfigError, PolicyError
from mars2_env.features import TreeFeatures
from mars2_env.prompt import messages_text, task_text
from mars2_env.prompt.outline import outline
from mars2_env.tasks import Match, Task, calls, replies_of, seat
from mars2_env.types import Policy, Reply, Turn


class View(Protocol):
    """What agents observe, and what their actions stand for."""

    def observation_space(self) -> gymnasium.spaces.Space[Any]:
        """Return a new observation space of one agent."""
        ...

    def action_space(self) -> gymnasium.spaces.Space[Any]:
        """Return a new action space of one agent."""
        ...

    def begin(self, match: Match, features: TreeFeatures) -> None:
        """Look at another match from now on."""
        ...

    def replies(self, turns: Sequence[Turn], actions: Sequence[Any]) -> list[Reply | PolicyError]:
        """Return the reply that each action stands for.

        Raises:
            ConfigError: an action is not one of this game's; nothing has changed.
        """
        ...

    def observe(self, agent: str, turn: Turn | None) -> Any:
        """Return the observation of an agent, whose turn may be waiting."""
        ...

    def asked(self, turn: Turn | None) -> dict[str, Any]:
        """Return the part of an info that says what is asked of an agent."""
        ...


class TextView:
    """Observations and programs are texts."""

    def __init__(self, task: Task) -> None:
        """View a task."""
        self._task = task
        self._picks = task.rules.game == "play"

    def observation_space(self) -> gymnasium.spaces.Space[Any]:
        """Return a new observation space of one agent."""
        return spaces.text_observations()

    def action_space(self) -> gymnasium.spaces.Space[Any]:
        """Return a new action space of one agent."""
        return spaces.text_actions(self._task.rules.game, self._task.budget.nodes)

    def begin(self, match: Match, features: TreeFeatures) -> None:
        """Look at another match from now on."""
        self._episode = match.episode
        self._problem = spaces.fit(task_text(match.problem.public_view()), spaces.PROBLEM_LENGTH)

    def replies(self, turns: Sequence[Turn], actions: Sequence[Any]) -> list[Reply | PolicyError]:
        """Return the reply that each action stands for."""
        return [self._reply(turn.agent, action) for turn, action in zip(turns, actions, strict=True)]

    def _reply(self, agent: str, action: Any) -> Reply:
        form = 'a dict with "program" (a text)' + (' and "parent" (a node number)' if self._picks else "")
        if not isinstance(action, dict) or set(action) != ({"program", "parent"} if self._picks else {"program"}):
            raise ConfigError(f"{agent}: an action is {form}, not {action!r:.200}.")
        program = action["program"]
        if not isinstance(program, str) or len(program) > spaces.PROGRAM_LENGTH:
            raise ConfigError(
                f"{agent}: action['program'] must be a text of at most {spaces.PROGRAM_LENGTH} characters, not "
                f"{type(program).__name__}{f' of {len(program)}' if isinstance(program, str) else ''}."
            )
        if not self._picks:
            return Reply(program)
        return Reply(program, parent=spaces.whole(agent, "action['parent']", action["parent"]))

    def observe(self, agent: str, turn: Turn | None) -> dict[str, str]:
        """Return the observation of an agent: `prompt` is empty unless a turn of its own is waiting."""
        own = agent if self._task.rules.observe == "own" else None
        return {
            "problem": self._problem,
            "tree": spaces.fit(outline(self._episode.programs, own=own), spaces.TREE_LENGTH),
            "prompt": "" if turn is None else spaces.fit(messages_text(turn.messages), spaces.PROMPT_LENGTH),
        }

    def asked(self, turn: Turn | None) -> dict[str, Any]:
        """Return the turn's number and seed, the parent where a selector picked it, the mask where the agent does."""
        info: dict[str, Any] = {}
        if self._picks:
            mask = spaces.slot_mask(self._task.budget.nodes, len(self._episode.tree))
            info["action_mask"] = {"parent": mask, "program": None}
        if turn is not None:
            info["turn"] = turn.id
            info["seed"] = turn.seed
            if turn.parent is not None:
                info["parent"] = turn.parent
        return info


class NumericView:
    """Observations are vectors, an action is a slot, and generator policies write the programs."""

    def __init__(self, task: Task) -> None:
        """View a task; its generators are made here."""
        self._task = task
        self._passing = task.rules.rounds is not None
        self._actions = task.budget.nodes + 1 + self._passing
        self._generators = seat(task.agents, task.generators or {}, problems=task.problems)
        self._card = card_size(self._generators) if task.cards else 0
        self._cards: dict[str, tuple[float, ...]] = {}
        self._layout = spaces.layout_of(task, observer=True, card=self._card)

    def observation_space(self) -> gymnasium.spaces.Space[Any]:
        """Return a new observation space of one agent."""
        return spaces.numeric_observations(self._layout, self._actions)

    def action_space(self) -> gymnasium.spaces.Space[Any]:
        """Return a new action space of one agent."""
        return gymnasium.spaces.Discrete(self._actions)

    def begin(self, match: Match, features: TreeFeatures) -> None:
        """Look at another match from now on."""
        self._episode = match.episode
        self._features = features
        if self._card:
            self._cards = cards_of(self._generators, self._card, match.episode)

    def replies(self, turns: Sequence[Turn], actions: Sequence[Any]) -> list[Reply | PolicyError]:
        """Return what the generators write at the places that the actions name."""
        parents = [spaces.whole(turn.agent, "an action", action) for turn, action in zip(turns, actions, strict=True)]
        return written(self._generators, list(zip(turns, parents, strict=True)))

    def observe(self, agent: str, turn: Turn | None) -> dict[str, Any]:
        """Return the features of the tree as the agent sees it, and which slots can be expanded."""
        card = self._cards.get(agent, ())
        seen = self._features.observation(agent, self._task.rules.observe, card)
        return {"observation": seen, "action_mask": self._mask()}

    def asked(self, turn: Turn | None) -> dict[str, Any]:
        """Return the mask alone: libraries that turn infos into tensors take their form from the first one."""
        return {"action_mask": self._mask()}

    def _mask(self) -> NDArray[np.int8]:
        return spaces.slot_mask(self._task.budget.nodes, len(self._episode.tree), self._passing)


def written(generators: dict[str, Policy], places: Sequence[tuple[Turn, int]]) -> list[Reply | PolicyError]:
    """Return what generators write, for turns with the parent chosen for each; nothing at a parent not on offer.

    A generator that fails by an exception is called again, as `rollout` calls policies; then the error is returned in
    place of its reply.

    Raises:
        PolicyError: a generator did not return one `Reply` a turn.
    """
    replies: list[Reply | PolicyError] = [Reply("", parent=parent) for _, parent in places]
    legal = [number for number, (turn, parent) in enumerate(places) if parent in turn.parents]
    turns = [places[number][0].at(places[number][1]) for number in legal]
    for group in calls(generators, turns):
        for place, reply in zip(group, replies_of(generators, [turns[place] for place in group]), strict=True):
            number = legal[place]
            replies[number] = reply if isinstance(reply, PolicyError) else replace(reply, parent=places[number][1])
    return replies
