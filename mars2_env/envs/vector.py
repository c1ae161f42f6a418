"""Many environments as one: all share one sandbox, generators are called once a step, and judging overlaps.

`RouteVector` is Gymnasium's vector API over `route`; `RoundsVector` a vector of PettingZoo's Parallel environments,
with arrays over environments for each agent. Both run in one process: what takes time is models and programs, which are
called in batches and run by the sandbox's workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, Unpack, cast

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate
from numpy.typing import NDArray

from mars2_env.base.checks import whole_number
from mars2_env.envs.base import checked_seed
from mars2_env.envs.judging import grade_side_by_side, side_by_side, submitted
from mars2_env.envs.parallel import Round, TreeSearchParallel, judge_rounds
from mars2_env.envs.single import TreeSearchRoute
from mars2_env.envs.views import written
from mars2_env.errors import ConfigError, EpisodeError
from mars2_env.tasks import Task, TaskOptions, seat
from mars2_env.tasks import task as _task  # a vector has an argument of that name

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Made = TypeVar("Made")


class RouteVector(VectorEnv[Any, Any, Any]):
    """Gymnasium's vector API over `TreeSearchRoute`.

    Observations are `{"observation": (num_envs, F) float32, "action_mask": (num_envs, actions) int8}`, actions an array
    of num_envs numbers, rewards float64, ends bool. Infos are arrays with masks, as Gymnasium's own vectors have them.
    `metadata["autoreset_mode"]` says when an environment whose episode is over begins the next: at the following step,
    whose action it ignores and whose reward is 0 (`NextStep`, the default); in the same step (`SameStep`, its last
    observation and info under `final_obs` and `final_info`); or when `reset` is called (`Disabled`).
    """

    def __init__(
        self,
        task: Task | str = "mars2/StarterRoute-v0",
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **overrides: Unpack[TaskOptions],
    ) -> None:
        """Make `num_envs` environments of a task whose game is `route`.

        Raises:
            ConfigError: the task makes no sense, or there is no environment, or no such mode.
        """
        super().__init__()
        self.envs: list[TreeSearchRoute] = []  # for close(), which is called also where making them fails
        if overrides or not isinstance(task, Task):
            task = _task(task, **overrides)
        self.num_envs = whole_number("num_envs", num_envs)
        self.autoreset_mode = autoreset_mode_of(autoreset_mode)
        self.generators = seat(task.agents, task.generators or {}, problems=task.problems)
        self.envs = [TreeSearchRoute(replace(task, generators=self.generators)) for _ in range(num_envs)]
        self.metadata = {**self.envs[0].metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = task.render_mode
        self.single_observation_space = self.envs[0].observation_space
        self.single_action_space = self.envs[0].action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._over = np.zeros(num_envs, np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin a tree in every environment: environment i with seed + i, or with the i-th of several seeds.

        Of `options`, `reset_mask` (an array of bool) says which environments begin anew; the others go on.
        """
        chosen, options = reset_mask_of(options, self.num_envs)
        seeds = seeds_of(seed, self.num_envs)
        numbers = np.flatnonzero(chosen).tolist()
        infos: dict[str, Any] = {}
        begun = _begin([partial(self.envs[number].reset, seed=seeds[number], options=options) for number in numbers])
        for number, (_, info) in zip(numbers, begun, strict=True):
            infos = self._add_info(infos, info, number)
        self._over[chosen] = False
        return self._batch([env.observation() for env in self.envs]), infos

    def step(self, actions: Any) -> tuple[dict[str, Any], Floats, Bools, Bools, dict[str, Any]]:
        """Step every environment; programs are written in one call a policy and judged side by side."""
        if self.closed:
            raise EpisodeError("step() after close(): this vector is closed; make another.")
        chosen = _each(self.action_space, actions, "step()")
        if len(chosen) != self.num_envs:
            raise ConfigError(f"step() takes {self.num_envs} actions, not {len(chosen)}.")
        if self.autoreset_mode == AutoresetMode.DISABLED and self._over.any():
            raise EpisodeError(f"environments {np.flatnonzero(self._over).tolist()} are over; reset them first.")
        rewards = np.zeros(self.num_envs)
        terminated, truncated = np.zeros(self.num_envs, np.bool_), np.zeros(self.num_envs, np.bool_)
        observations: list[dict[str, Any]] = [{}] * self.num_envs
        infos: dict[str, Any] = {}
        going = [number for number in range(self.num_envs) if not self._over[number]]
        steps = {number: step for number in going if (step := self.envs[number].cut_off()) is not None}
        begun = [number for number in going if number not in steps]
        asked = []
        try:
            for number in begun:
                asked.append(self.envs[number].ask(chosen[number]))
            replies = written(self.generators, asked)
            jobs = []
            for number, (turn, _), reply in zip(begun, asked, replies, strict=True):
                match = self.envs[number].match
                jobs.append((match, submitted(match.episode, turn, reply)))
            results = grade_side_by_side(jobs) if jobs else []
            for number, (turn, _), reply, result in zip(begun, asked, replies, results, strict=True):
                steps[number] = self.envs[number].tell(turn, reply, result)
        finally:
            for number, (turn, _) in zip(begun, asked, strict=False):
                self.envs[number].take_back([turn])
        for number in going:
            observations[number], rewards[number], terminated[number], truncated[number], info = steps[number]
            if self.autoreset_mode == AutoresetMode.SAME_STEP and (terminated[number] or truncated[number]):
                final = {"final_obs": observations[number], "final_info": info}
                infos = self._add_info(infos, final, number)
                observations[number], info = self.envs[number].reset()
            infos = self._add_info(infos, info, number)
        following = np.flatnonzero(self._over).tolist()
        resets = _begin([self.envs[number].reset for number in following])
        for number, (observation, info) in zip(following, resets, strict=True):
            observations[number] = observation
            infos = self._add_info(infos, info, number)
        self._over = (terminated | truncated) & (self.autoreset_mode != AutoresetMode.SAME_STEP)
        return self._batch(observations), rewards, terminated, truncated, infos

    def action_masks(self) -> NDArray[np.int8]:
        """Return which actions name a slot that exists, shape (num_envs, actions), int8."""
        return np.stack([env.action_masks() for env in self.envs])

    def render(self) -> Any:
        """Return the picture of every environment's tree, or print them."""
        return tuple(env.render() for env in self.envs)

    def close_extras(self, **options: Any) -> None:
        """Close the logs; the sandbox is shared and closes with the process, or is the caller's own."""
        for env in self.envs:
            env.close()

    def _batch(self, observations: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {name: np.stack([one[name] for one in observations]) for name in observations[0]}


class RoundsVector:
    """A vector of `TreeSearchParallel` environments: PettingZoo's Parallel API with arrays over environments.

    Observations are agent -> batch (for `place` `{"observation": (num_envs, F), "action_mask": (num_envs, slots)}`),
    actions agent -> a batch of num_envs, rewards and ends agent -> array of num_envs; infos agent -> arrays with masks,
    as Gymnasium's own vectors have them. Agents never leave: an environment whose episode is over begins the next one
    as `metadata["autoreset_mode"]` says (see `RouteVector`; with `SameStep` the last observation and info of an agent
    are in its info as `final_obs` and `final_info`).

    Attributes:
        num_envs: how many environments there are.
        possible_agents, agents: the agents' names; num_agents is how many.
        envs: the environments.
    """

    def __init__(
        self,
        task: Task,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        """Make `num_envs` environments of a task whose `api` is `parallel`.

        Raises:
            ConfigError: there is no environment, or no such mode.
        """
        self.num_envs = whole_number("num_envs", num_envs)
        self.autoreset_mode = autoreset_mode_of(autoreset_mode)
        if task.generators is not None:
            task = replace(task, generators=seat(task.agents, task.generators, problems=task.problems))
        self.envs = [TreeSearchParallel(task) for _ in range(num_envs)]
        first = self.envs[0]
        self.metadata = {**first.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = task.render_mode
        self.possible_agents = list(first.possible_agents)
        self.agents = list(first.possible_agents)
        self.num_agents = len(self.agents)
        self.observation_spaces = {a: batch_space(first.observation_space(a), num_envs) for a in self.agents}
        self.action_spaces = {a: batch_space(first.action_space(a), num_envs) for a in self.agents}
        self.closed = False
        self._over = np.zeros(num_envs, np.bool_)
        self._grouping: VectorEnv[Any, Any, Any] = VectorEnv()  # it knows how infos are put together
        self._grouping.num_envs = num_envs

    def observation_space(self, agent: str) -> gymnasium.spaces.Space[Any]:
        """Return the space of an agent's batch of observations."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.spaces.Space[Any]:
        """Return the space of an agent's batch of actions."""
        return self.action_spaces[agent]

    def single_observation_space(self, agent: str) -> gymnasium.spaces.Space[Any]:
        """Return the space of an agent's observation in one environment."""
        return self.envs[0].observation_space(agent)

    def single_action_space(self, agent: str) -> gymnasium.spaces.Space[Any]:
        """Return the space of an agent's action in one environment."""
        return self.envs[0].action_space(agent)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Begin a tree in every environment: environment i with seed + i, or with the i-th of several seeds.

        Of `options`, `reset_mask` (an array of bool) says which environments begin anew; the others go on.
        """
        chosen, options = reset_mask_of(options, self.num_envs)
        seeds = seeds_of(seed, self.num_envs)
        numbers = np.flatnonzero(chosen).tolist()
        infos: list[dict[str, dict[str, Any]]] = [{}] * self.num_envs
        begun = _begin([partial(self.envs[number].reset, seed=seeds[number], options=options) for number in numbers])
        for number, (_, info) in zip(numbers, begun, strict=True):
            infos[number] = info
        self._over[chosen] = False
        observations = [{agent: env.observe(agent) for agent in self.agents} for env in self.envs]
        return self._batch(observations), self._together(infos)

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Floats], dict[str, Bools], dict[str, Bools], dict[str, dict[str, Any]]]:
        """Play one round in every environment; programs are written in one call a policy and judged side by side."""
        if self.closed:
            raise EpisodeError("step() after close(): this vector is closed; make another.")
        if not isinstance(actions, Mapping) or set(actions) != set(self.agents):
            raise ConfigError(f"step() takes a batch of actions for each of {self.agents}, not {actions!r:.200}.")
        batches = {agent: _each(self.action_spaces[agent], actions[agent], agent) for agent in self.agents}
        for agent, batch in batches.items():
            if len(batch) != self.num_envs:
                raise ConfigError(f"{agent}: step() takes {self.num_envs} actions, not {len(batch)}.")
        if self.autoreset_mode == AutoresetMode.DISABLED and self._over.any():
            raise EpisodeError(f"environments {np.flatnonzero(self._over).tolist()} are over; reset them first.")
        rewards = {agent: np.zeros(self.num_envs) for agent in self.agents}
        terminated = {agent: np.zeros(self.num_envs, np.bool_) for agent in self.agents}
        truncated = {agent: np.zeros(self.num_envs, np.bool_) for agent in self.agents}
        observations: list[dict[str, Any]] = [{}] * self.num_envs
        infos: list[dict[str, dict[str, Any]]] = [{}] * self.num_envs
        going = [number for number in range(self.num_envs) if not self._over[number]]
        rounds = self._rounds(going, batches)
        judge_rounds(rounds)
        over = np.zeros(self.num_envs, np.bool_)
        for number, played in zip(going, rounds, strict=True):
            env = self.envs[number]
            observations[number], paid, ended, cut, infos[number] = env.finish(played)
            for agent in self.agents:
                rewards[agent][number] = paid[agent]
                terminated[agent][number], truncated[agent][number] = ended[agent], cut[agent]
            over[number] = env.episode.done
            if over[number] and self.autoreset_mode == AutoresetMode.SAME_STEP:
                last = observations[number], infos[number]
                observations[number], infos[number] = env.reset()
                for agent, info in infos[number].items():
                    info |= {"final_obs": last[0][agent], "final_info": last[1][agent]}
                over[number] = False
        following = np.flatnonzero(self._over).tolist()
        begun = _begin([self.envs[number].reset for number in following])
        for number, (observation, info) in zip(following, begun, strict=True):
            observations[number], infos[number] = observation, info
        self._over = over
        return self._batch(observations), rewards, terminated, truncated, self._together(infos)

    def _rounds(self, going: Sequence[int], batches: Mapping[str, Sequence[Any]]) -> list[Round]:
        """Begin a round in each of the environments; what they write is written in one call a policy."""
        envs = [self.envs[number] for number in going]
        actions = [{agent: batches[agent][number] for agent in self.agents} for number in going]
        served = [env.served(chosen) for env, chosen in zip(envs, actions, strict=True)]
        turns = [turn for some in served for turn in some]
        chosen = [one[turn.agent] for one, some in zip(actions, served, strict=True) for turn in some]
        replies = iter(self.envs[0].view.replies(turns, chosen) if turns else [])
        return [
            Round(env, [next(replies) for _ in some], one) for env, some, one in zip(envs, served, actions, strict=True)
        ]

    def state(self) -> NDArray[np.float32]:
        """Return the features of every environment's tree, shape (num_envs, S)."""
        return np.stack([env.state() for env in self.envs])

    def render(self) -> tuple[str | None, ...]:
        """Return the picture of every environment's tree, or print them."""
        return tuple(env.render() for env in self.envs)

    def close(self) -> None:
        """Close the logs; the sandbox is shared and closes with the process, or is the caller's own."""
        self.closed = True
        for env in self.envs:
            env.close()

    def _together(self, infos: Sequence[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
        """Return infos by agent, from those of each environment."""
        found: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        for number, by_agent in enumerate(infos):
            for agent, info in by_agent.items():
                found[agent] = self._grouping._add_info(found[agent], info, number)
        return found

    def _batch(self, observations: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {
            agent: concatenate(
                self.single_observation_space(agent),
                [one[agent] for one in observations],
                cast(Any, create_empty_array(self.single_observation_space(agent), self.num_envs)),
            )
            for agent in self.agents
        }


def _begin(resets: Sequence[Callable[[], Made]]) -> list[Made]:
    """Reset environments side by side: in repair problems that judges the program that each begins with."""
    return side_by_side(resets) if resets else []


def autoreset_mode_of(mode: AutoresetMode | str) -> AutoresetMode:
    """Return the mode of a name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return AutoresetMode(mode)
    except ValueError:
        known = ", ".join(repr(one.value) for one in AutoresetMode)
        raise ConfigError(f"autoreset_mode={mode!r:.200} is none of {known}.") from None


def seeds_of(seed: int | Sequence[int | None] | None, count: int) -> list[int | None]:
    """Return the seed of each environment: None where the environment goes on with its own.

    Raises:
        ConfigError: the seeds are not whole numbers of at least 0, one for each environment.
    """
    if seed is None:
        return [None] * count
    if isinstance(seed, int | np.integer):
        return [checked_seed(seed) + number for number in range(count)]
    if isinstance(seed, str) or not isinstance(seed, Sequence | np.ndarray):
        raise ConfigError(f"reset(seed={seed!r:.200}): give a whole number of at least 0, or one for each environment.")
    if len(seed) != count:
        raise ConfigError(f"reset(seed=...): {len(seed)} seeds for {count} environments.")
    return [None if one is None else checked_seed(one) for one in seed]


def _each(space: gymnasium.Space[Any], actions: Any, where: str) -> list[Any]:
    """Return the actions of a batch one by one."""
    try:
        return list(iterate(space, actions))
    except TypeError:
        raise ConfigError(
            f"{where}: a batch of actions, one for each environment, is needed, not {actions!r:.200}."
        ) from None


def reset_mask_of(options: dict[str, Any] | None, count: int) -> tuple[Bools, dict[str, Any] | None]:
    """Return which environments are to be reset, and the other options.

    Raises:
        ConfigError: the mask is no array of bool that names one at least.
    """
    if options is not None and not isinstance(options, dict):
        raise ConfigError(f"reset(options={options!r:.200}): options is a dict, such as {{'problem': id}}.")
    if not options or "reset_mask" not in options:
        return np.ones(count, np.bool_), options
    mask = options["reset_mask"]
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (count,) or not mask.any():
        raise ConfigError(f"reset_mask={mask!r:.200} must be an array of {count} bools, at least one of them True.")
    return mask, {name: value for name, value in options.items() if name != "reset_mask"}
