"""Algorithms by name: how each is made, what its task must be like, and which crews it is for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Unpack, get_args, get_origin, get_type_hints

from mars2_agents.algorithms.answers import check_encoders
from mars2_agents.algorithms.grpo import grpo
from mars2_agents.algorithms.heterogeneous import heterogeneous
from mars2_agents.algorithms.homogeneous import homogeneous
from mars2_agents.algorithms.lesson import Algorithm, Crew
from mars2_agents.algorithms.mars2_plus import mars2_plus
from mars2_agents.algorithms.rejection import rejection
from mars2_agents.algorithms.rs2 import rs2
from mars2_agents.algorithms.sft import sft
from mars2_agents.algorithms.shared_solutions import mars2_with_shared_solutions
from mars2_env.base.parts import Parts
from mars2_env.base.spec import typed
from mars2_env.errors import ConfigError, unknown_name


def anyone(crew: Crew) -> None:
    """Take any crew."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an algorithm is made, and what it is made for.

    Attributes:
        name: what it is called.
        build: makes it, of keyword options with types.
        task: options of `mars2_env.task` that it is meant for, such as the selector.
        check: raises a ConfigError for a crew that it is not for.
    """

    name: str
    build: Callable[..., Algorithm]
    task: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[Crew], None] = anyone

    def __call__(self, **options: Any) -> Algorithm:
        """Return the algorithm.

        Args:
            **options: those of `build`; texts and plain data, such as a configuration has, are read as its types say.

        Raises:
            ConfigError: an option is unknown, or has a value that makes no sense.
        """
        taken = self.options
        if strange := next((name for name in options if name not in taken), None):
            raise ConfigError(unknown_name(f"option of algorithm {self.name!r}", strange, taken))
        where = f"algorithm {self.name!r}"
        return self.build(**{name: typed(value, taken[name], f"{where}: {name}") for name, value in options.items()})

    @property
    def options(self) -> dict[str, Any]:
        """Option -> its type; where `build` passes on those of a typed dict (`**how: Unpack[...]`), these too."""
        hints = get_type_hints(self.build)
        found: dict[str, Any] = {}
        for one in inspect.signature(self.build).parameters.values():
            if one.kind is not one.VAR_KEYWORD:
                found[one.name] = hints.get(one.name, Any)
            elif get_origin(hints.get(one.name)) is Unpack:
                (passed_on,) = get_args(hints[one.name])
                found |= get_type_hints(passed_on)
        return found


def one_policy(crew: Crew) -> None:
    """Refuse several policies."""
    _refuse(len(set(crew.policies.values())) != 1, "one policy, whoever it plays", crew)


def one_agent(crew: Crew) -> None:
    """Refuse several agents."""
    _refuse(len(crew.policies) != 1, "one agent", crew)


def several_agents_of_one_policy(crew: Crew) -> None:
    """Refuse one agent, and several policies."""
    one = len(crew.policies) < 2 or len(set(crew.policies.values())) != 1
    _refuse(one, "several agents that one policy plays", crew)


def several_policies(crew: Crew) -> None:
    """Refuse one policy."""
    _refuse(len(set(crew.policies.values())) < 2, "several policies", crew)


def _refuse(wrong: bool, wanted: str, crew: Crew) -> None:
    if wrong:
        raise ConfigError(f"this algorithm is for {wanted}, and the crew is {dict(crew.policies)!r:.200}.")


_OWN: Final = (
    Recipe("grpo", grpo, {"selector": "repeated_sampling"}, one_policy),
    Recipe("rs2", rs2, {}, one_agent),
    Recipe("homogeneous", homogeneous, {}, several_agents_of_one_policy),
    Recipe("heterogeneous", heterogeneous, {}, several_policies),
    Recipe("mars2_plus", mars2_plus),
    Recipe("shared_solutions", mars2_with_shared_solutions, {}, check_encoders),
    Recipe("sft", sft, {"selector": "repeated_sampling", "budget": 1}, check_encoders),
    Recipe("rejection", rejection),
)

ALGORITHMS: Final = Parts("algorithm", "mars2_agents.algorithms", {recipe.name: recipe for recipe in _OWN})
"""Name -> `Recipe`, or a function of options that returns an algorithm; packages offer them by entry points."""


def recipe(name: str) -> Recipe:
    """Return the recipe of an algorithm.

    Raises:
        PartError: there is none of this name; the message lists what is known.
    """
    found = ALGORITHMS.find(name)
    return found if isinstance(found, Recipe) else Recipe(name, found)
