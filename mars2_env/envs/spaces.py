"""Spaces of the games, and the observations that fit them."""

from __future__ import annotations

from operator import index
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from mars2_env.base.texts import well_formed
from mars2_env.errors import ConfigError
from mars2_env.features import Layout
from mars2_env.prompt.programs import MAX_READ
from mars2_env.tasks import Task

PROBLEM_LENGTH = 50_000
TREE_LENGTH = 20_000
PROMPT_LENGTH = 200_000
PROGRAM_LENGTH = MAX_READ
SAMPLE_LENGTH = 200

CUT = "\n[... cut ...]\n"


class AnyText(gymnasium.spaces.Text):
    """Any text of up to `max_length` characters without NUL and lone surrogates.

    `contains` costs one pass in C; `sample` draws at most 200 printable ASCII characters, so that random agents in
    tests stay cheap.
    """

    def __init__(self, max_length: int, *, seed: int | np.random.Generator | None = None) -> None:
        """Make the space of texts of 0 to `max_length` characters."""
        printable = "".join(map(chr, range(32, 127))) + "\n"
        super().__init__(max_length, min_length=0, charset=printable, seed=seed)

    def contains(self, x: Any) -> bool:
        """Whether `x` is a text of this space."""
        if not isinstance(x, str) or len(x) > self.max_length or "\0" in x:
            return False
        try:
            x.encode()
        except UnicodeEncodeError:
            return False
        return True

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Draw a short text; masks are as in `gymnasium.spaces.Text`."""
        if mask is not None or probability is not None:
            return super().sample(mask, probability)
        length = int(self.np_random.integers(0, min(SAMPLE_LENGTH, self.max_length) + 1))
        return "".join(self.np_random.choice(self.character_list, size=length))

    def __repr__(self) -> str:
        return f"AnyText({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyText) and other.max_length == self.max_length

    __hash__ = None  # type: ignore[assignment]  # mutable (its generator), as every Gymnasium space


def fit(text: str, max_length: int) -> str:
    """Return a text that fits a space: NUL and lone surrogates become U+FFFD, and too long a text loses its middle."""
    text = well_formed(text.replace("\0", "\ufffd"))
    if len(text) <= max_length:
        return text
    head = (max_length - len(CUT)) // 2
    tail = max_length - len(CUT) - head
    return text[:head] + CUT + text[len(text) - tail :]


def text_observations() -> gymnasium.spaces.Dict:
    """Return the observation space of the text games: flat Dict of `problem`, `tree` and `prompt`."""
    return gymnasium.spaces.Dict(
        {"problem": AnyText(PROBLEM_LENGTH), "tree": AnyText(TREE_LENGTH), "prompt": AnyText(PROMPT_LENGTH)}
    )


def text_actions(game: str, budget: int) -> gymnasium.spaces.Dict:
    """Return the action space of a text game.

    `write`: Dict(program=Text). `play`: Dict(parent=Discrete(budget + 1), program=Text), slot 0 the root, slot i node
    i.
    """
    program = AnyText(PROGRAM_LENGTH)
    if game == "write":
        return gymnasium.spaces.Dict({"program": program})
    return gymnasium.spaces.Dict({"parent": gymnasium.spaces.Discrete(budget + 1), "program": program})


def numeric_observations(layout: Layout, actions: int) -> gymnasium.spaces.Dict:
    """Return the observation space of a numeric game: Dict(observation=Box float32, action_mask=Box int8)."""
    return gymnasium.spaces.Dict(
        {
            "observation": gymnasium.spaces.Box(0.0, 1.0, (layout.size,), np.float32),
            "action_mask": gymnasium.spaces.Box(0, 1, (actions,), np.int8),
        }
    )


def slot_mask(budget: int, present: int, passing: bool = False) -> NDArray[np.int8]:
    """Return which of the budget + 1 slots can be expanded: those of the root and of the nodes there are.

    Args:
        budget: how many nodes a tree may have.
        present: how many slots are there, the root included.
        passing: whether agents may pass; then one more number, budget + 1, is always allowed.
    """
    mask = np.zeros(budget + 1 + passing, np.int8)
    mask[:present] = 1
    mask[budget + 1 :] = 1
    return mask


def layout_of(task: Task, *, observer: bool, card: int = 0) -> Layout:
    """Return how the numbers lie that are observed of a task's trees.

    Args:
        task: the task.
        observer: whether it is an agent's own observation.
        card: how many numbers are on that agent's card.
    """
    return Layout(
        task.budget.nodes,
        tuple(task.agents),
        observer=observer,
        rounds=task.rules.rounds is not None,
        card=card,
        clues=0 if task.clues is None else task.clues.size,
    )


def whole(agent: str, name: str, value: Any) -> int:
    """Return a number that an action gives.

    Raises:
        ConfigError: it is not a whole number.
    """
    if not isinstance(value, bool | np.bool_):
        try:
            return index(value)
        except TypeError:
            pass
    raise ConfigError(f"{agent}: {name} must be a whole number, not {value!r:.200}.")
