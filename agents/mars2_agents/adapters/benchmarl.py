"""A game played in rounds as a task of BenchMARL (tested with 1.5.2): give `rounds_task(...)` to its `Experiment`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarl.environments.pettingzoo.common import PettingZooClass
from torchrl.envs.libs.pettingzoo import PettingZooWrapper


class RoundsTask(PettingZooClass):
    """What BenchMARL asks of a task: environments whose agents are one group, with masked discrete actions."""

    def get_env_fun(self, num_envs: int, continuous_actions: bool, seed: int | None, device: Any) -> Callable[[], Any]:
        """Return the factory of one environment; `seed` is that of its first episode."""

        def wrapped() -> Any:
            env = self.config["make"]()
            group = {"agents": list(env.possible_agents)}
            return PettingZooWrapper(env, group_map=group, categorical_actions=True, seed=seed, device=device)

        return wrapped

    def supports_continuous_actions(self) -> bool:
        """Actions are slots of a tree."""
        return False

    def supports_discrete_actions(self) -> bool:
        """Actions are slots of a tree."""
        return True

    def has_state(self) -> bool:
        """A critic that sees every agent's vector sees the whole tree."""
        return False

    def has_render(self, env: Any) -> bool:
        """There are no pictures of a tree that a logger could take."""
        return False

    def max_steps(self, env: Any) -> int:
        """Return how many rounds the budget is."""
        rules = self.config["make"]().unwrapped.task
        return -(-int(rules.budget.nodes) // len(rules.agents))


def rounds_task(make: Callable[[], Any]) -> RoundsTask:
    """Return a task of BenchMARL.

    Args:
        make: returns a new Parallel environment of `place`, such as `partial(mars2_env.make, task)`; wrappers of
            PettingZoo may be around it. BenchMARL pickles the task, so a function must be one that pickle finds.
    """
    return RoundsTask("rounds", {"make": make})
