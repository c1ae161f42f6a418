"""What sets the games apart from each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Api: TypeAlias = Literal["aec", "parallel", "gymnasium"]


@dataclass(frozen=True, slots=True)
class Game:
    """What sets one game apart from the others.

    Attributes:
        apis: the interfaces it comes in, the default first.
        selector: whether a selector picks agent and parent.
        rounds: whether agents act in fixed order, one turn each a round, so that the budget is whole rounds.
        generators: whether generator policies write the programs, and observations are numbers.
    """

    apis: tuple[Api, ...]
    selector: bool = False
    rounds: bool = False
    generators: bool = False


GAMES: Final[Mapping[str, Game]] = {
    "write": Game(("aec",), selector=True),
    "play": Game(("aec", "parallel"), rounds=True),
    "place": Game(("aec", "parallel"), rounds=True, generators=True),
    "route": Game(("gymnasium",), generators=True),
}
"""The games by name; what an agent controls in each is told in the docstring of its environment's class."""
