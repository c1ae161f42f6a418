"""Vectors of environments on the bank's tables: the API of `mars2_env.make_vec`, without sandbox and text.

They give the observations, rewards, ends and infos of `RouteVector` and `RoundsVector` for the same task, seeds and
actions, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

import mars2_env
from mars2_bench.suite import draws
from mars2_bench.suite.rules import TableGame, table_game
from mars2_bench.suite.staged import SHOWN
from mars2_bench.suite.trees import Expanded, Ints, Trees, Vectors
from mars2_env.base import keys
from mars2_env.base.checks import whole_number
from mars2_env.envs import spaces
from mars2_env.envs.base import named_problem
from mars2_env.envs.vector import Bools, Floats, autoreset_mode_of, reset_mask_of, seeds_of
from mars2_env.errors import ConfigError, EpisodeError
from mars2_env.features import SLOT_COLUMNS
from mars2_env.tasks import Task

Infos = dict[str, Any]

_NAMES: Final = np.array([*SHOWN, "illegal"], object)
_HIDDEN: Final = next(place for place, column in enumerate(SLOT_COLUMNS) if column.name == "duplicate")


class _Fleet:
    """Trees with what comes after them: the seeds and problems of the next ones."""

    def __init__(self, game: TableGame, count: int, mode: AutoresetMode | str) -> None:
        self.count = whole_number("num_envs", count)
        self.mode = autoreset_mode_of(mode)
        self.game = game
        self.trees = Trees(game, count)
        self.waiting = np.zeros(count, np.bool_)
        """Which begin anew at the next step: in the mode `NextStep` those whose episode is over."""
        self._bases: list[int | None] = [None] * count
        self._episodes = [0] * count
        self._begun = False

    def reset(self, seed: int | Sequence[int | None] | None, options: dict[str, Any] | None) -> Bools:
        """Begin in some environments, and return in which.

        The option `problem` is the id of one problem for all, or a list with one for each environment.
        """
        chosen, options = reset_mask_of(options, self.count)
        seeds = seeds_of(seed, self.count)
        named = self._named(options)
        if not self._begun and not chosen.all():
            raise EpisodeError("call reset() of every environment before that of some of them.")
        numbers = np.flatnonzero(chosen)
        for number in numbers.tolist():
            if seeds[number] is not None:
                self._bases[number], self._episodes[number] = seeds[number], 0
        self.begin(numbers, None if named is None else named[numbers])
        self._begun = True
        self.waiting[chosen] = False
        return chosen

    def _named(self, options: dict[str, Any] | None) -> Ints | None:
        """Return the place of each environment's problem where the options of a `reset` name them, else None."""
        given = (options or {}).get("problem")
        if isinstance(given, list | tuple):
            if len(given) != self.count:
                raise ConfigError(f"reset(options=...): {len(given)} problems for {self.count} environments.")
        else:
            one = named_problem(options)
            if one is None:
                return None
            given = [one] * self.count
        ids = {problem.id: place for place, problem in enumerate(self.game.task.problems)}
        if strange := [problem for problem in given if problem not in ids]:
            raise ConfigError(f"reset(options=...): there is no such problem as {strange[0]!r:.200} in this task.")
        return np.array([ids[problem] for problem in given])

    def begin(self, numbers: Ints, problems: Ints | None = None) -> None:
        """Begin the next tree in some environments; problems are drawn by their seeds unless they are given."""
        if not len(numbers):
            return
        seeds = [self._next_seed(number) for number in numbers.tolist()]
        if problems is None:
            problems = draws.problems(seeds, len(self.game.task.problems))
        self.trees.begin(numbers, seeds, problems)

    def _next_seed(self, number: int) -> int:
        base = self._bases[number]
        if base is None:
            base = self._bases[number] = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
        episode = self._episodes[number]
        self._episodes[number] += 1
        return base if episode == 0 else keys.seed("episode", base, episode)

    def check(self) -> None:
        """Raise where a step cannot be taken."""
        if not self._begun:
            raise EpisodeError("call reset() before anything else: there is no tree yet.")
        if self.mode == AutoresetMode.DISABLED and self.trees.over.any():
            raise EpisodeError(f"environments {np.flatnonzero(self.trees.over).tolist()} are over; reset them first.")

    def going(self) -> Ints:
        """Return the environments whose trees can be expanded now."""
        return np.flatnonzero(~(self.trees.over | self.waiting))

    def ended(self) -> Bools:
        """Return which trees ended in this step."""
        ended: Bools = self.trees.over & ~self.waiting
        return ended

    def follow(self, ended: Bools) -> None:
        """Begin the trees that waited for this step; in `NextStep` those that ended wait for the next one."""
        self.begin(np.flatnonzero(self.waiting))
        self.waiting = ended.copy() if self.mode == AutoresetMode.NEXT_STEP else np.zeros_like(ended)


def _whole(actions: Any, count: int, where: str) -> Ints:
    """Return a batch of actions as an array of whole numbers.

    Raises:
        ConfigError: it is no such batch.
    """
    try:
        found = np.asarray(actions)
    except ValueError:
        found = np.zeros(())
    if found.shape != (count,):
        raise ConfigError(f"{where}: step() takes {count} actions, one for each environment, not {actions!r:.200}.")
    if found.dtype.kind not in "iu":
        raise ConfigError(f"{where}: an action must be a whole number, not {actions!r:.200}.")
    return found.astype(np.int64, copy=False)


def _told(infos: Infos, done: Expanded, count: int) -> None:
    """Enter what expansions came to into infos, as `VectorEnv._add_info` puts them together."""
    some = done.trees[done.legal]
    codes = np.where(done.legal, done.codes, len(SHOWN))
    _enter(infos, "outcome", done.trees, _NAMES[codes], count)
    _enter(infos, "node", some, done.nodes[done.legal], count)
    _enter(infos, "score", some, done.scores[done.legal], count)
    same = done.duplicates > 0
    _enter(infos, "duplicate_of", done.trees[same], done.duplicates[same], count)


def _enter(infos: Infos, name: str, numbers: Ints, values: Any, count: int) -> None:
    """Enter what some environments say of one name; where none says anything, the name is not there."""
    if not len(numbers):
        return
    if name not in infos:
        empty = np.full(count, None) if values.dtype == object else np.zeros((count, *values.shape[1:]), values.dtype)
        infos[name], infos[f"_{name}"] = empty, np.zeros(count, np.bool_)
    infos[name][numbers], infos[f"_{name}"][numbers] = values, True


def _parts(infos: Infos, ended: Ints, count: int) -> Infos:
    """Return the part of infos that is about environments whose episode ended in this step."""
    found: Infos = {}
    for name in [name for name in infos if not name.startswith("_")]:
        some = ended[infos[f"_{name}"][ended]]
        _enter(found, name, some, infos[name][some], count)
    return found


class BankRoute(VectorEnv[Any, Any, Any]):
    """`RouteVector` on tables: Gymnasium's vector API over `route`, see there.

    Attributes:
        trees: the trees as arrays; to look at.
    """

    def __init__(
        self, task: Task, num_envs: int = 1, *, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP
    ) -> None:
        """Make `num_envs` environments of a task whose game is `route` and whose generators are the bank's authors.

        Raises:
            ConfigError: tables cannot play the task, or there is no environment, or no such mode.
        """
        super().__init__()
        game = table_game(task)
        if task.api != "gymnasium":
            raise ConfigError(f"BankRoute plays the game 'route', not {task.rules.game!r}.")
        self._fleet = _Fleet(game, num_envs, autoreset_mode)
        self.trees = self._fleet.trees
        self.num_envs, self.possible_agents = num_envs, list(game.agents)
        self.metadata = {"render_modes": [], "autoreset_mode": self._fleet.mode}
        self._slots, self._actions = game.budget + 1, len(game.agents) * (game.budget + 1)
        self.single_observation_space = spaces.numeric_observations(game.layout, self._actions)
        self.single_action_space = gymnasium.spaces.Discrete(self._actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._agent_names = np.array(game.agents, object)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], Infos]:
        """Begin a tree in every environment, or in those of `reset_mask`; as `RouteVector.reset`."""
        chosen = self._fleet.reset(seed, options)
        numbers = np.flatnonzero(chosen)
        infos: Infos = {}
        masks = self.action_masks()
        _enter(infos, "action_mask", numbers, masks[numbers], self.num_envs)
        return {"observation": self.trees.vectors.copy(), "action_mask": masks}, infos

    def step(self, actions: Any) -> tuple[dict[str, Any], Floats, Bools, Bools, Infos]:
        """Step every environment."""
        if self.closed:
            raise EpisodeError("step() after close(): this vector is closed; make another.")
        fleet, trees, count = self._fleet, self.trees, self.num_envs
        chosen = _whole(actions, count, "the controller")
        fleet.check()
        going = fleet.going()
        chosen = chosen[going]
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < self._actions):
            raise ConfigError(f"the controller: an action is a number from 0 to {self._actions - 1}.")
        agents, slots = np.divmod(chosen, self._slots)
        infos: Infos = {}
        rewards = np.zeros(count)
        if len(going):
            done = trees.expand(going, agents, slots)
            paid = trees.paid(done, agents)
            total = paid[:, 0].copy()
            for column in range(1, paid.shape[1]):
                total += paid[:, column]
            rewards[going] = total
            _enter(infos, "agent", going, self._agent_names[agents], count)
            _told(infos, done, count)
        ended = fleet.ended()
        if fleet.mode == AutoresetMode.SAME_STEP and ended.any():
            trees.aged()
            self._begin_at_once(np.flatnonzero(ended), infos)
        else:
            fleet.follow(ended)
        trees.aged()
        masks = self.action_masks()
        _enter(infos, "action_mask", np.arange(count), masks, count)
        return (
            {"observation": trees.vectors.copy(), "action_mask": masks},
            rewards,
            ended,
            np.zeros(count, np.bool_),
            infos,
        )

    def _begin_at_once(self, ended: Ints, infos: Infos) -> None:
        """Begin anew where a tree ended, and keep its last observation and info."""
        masks, count = self.action_masks(), self.num_envs
        last = np.full(count, None)
        for number in ended.tolist():
            last[number] = {"observation": self.trees.vectors[number].copy(), "action_mask": masks[number]}
        final = _parts(infos, ended, count)
        _enter(final, "action_mask", ended, masks[ended], count)
        for name in [name for name in infos if not name.startswith("_")]:
            _forget(infos, name, ended)
        said = np.zeros(count, np.bool_)
        said[ended] = True
        infos |= {"final_obs": last, "_final_obs": said.copy(), "final_info": final, "_final_info": said}
        self._fleet.begin(ended)

    def action_masks(self) -> NDArray[np.int8]:
        """Return which actions name a slot that exists, shape (num_envs, actions), int8."""
        return np.tile(self.trees.masks(), len(self.possible_agents))


def _forget(infos: Infos, name: str, numbers: Ints) -> None:
    """Take back what some environments said of a name."""
    infos[name][numbers] = None if infos[name].dtype == object else 0
    infos[f"_{name}"][numbers] = False
    if not infos[f"_{name}"].any():
        del infos[name], infos[f"_{name}"]


class BankRounds:
    """`RoundsVector` on tables: a vector of the Parallel environments of `place`, see there.

    Attributes:
        num_envs: how many environments there are.
        possible_agents, agents: the agents' names; num_agents is how many.
        trees: the trees as arrays; to look at.
    """

    render_mode = None

    def __init__(
        self, task: Task, num_envs: int = 1, *, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP
    ) -> None:
        """Make `num_envs` environments of a task of `place` with `api="parallel"` and the bank's authors.

        Raises:
            ConfigError: tables cannot play the task, or there is no environment, or no such mode.
        """
        game = table_game(task)
        if task.api != "parallel":
            raise ConfigError(f"BankRounds plays the game 'place' with api='parallel', not {task.rules.game!r}.")
        self._fleet = _Fleet(game, num_envs, autoreset_mode)
        self.trees = self._fleet.trees
        self.num_envs = num_envs
        self.possible_agents, self.agents = list(game.agents), list(game.agents)
        self.num_agents = len(self.agents)
        self.metadata = {"name": "mars2_bank_v0", "render_modes": [], "autoreset_mode": self._fleet.mode}
        layout = game.layout
        own = (*range(layout.first, layout.first + self.num_agents), *range(layout.head - layout.card, layout.head))
        self._common = np.delete(np.arange(layout.size), own)  # what `state` has of the vectors
        self._passing = None if task.rules.rounds is None else game.budget + 1
        actions = game.budget + 1 + (self._passing is not None)
        self._single = {a: spaces.numeric_observations(game.layout, actions) for a in self.agents}
        self._slots = {a: gymnasium.spaces.Discrete(actions) for a in self.agents}
        self.observation_spaces = {a: batch_space(self._single[a], num_envs) for a in self.agents}
        self.action_spaces = {a: batch_space(self._slots[a], num_envs) for a in self.agents}
        self.closed = False

    def observation_space(self, agent: str) -> gymnasium.spaces.Space[Any]:
        """Return the space of an agent's batch of observations."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.spaces.Space[Any]:
        """Return the space of an agent's batch of actions."""
        return self.action_spaces[agent]

    def single_observation_space(self, agent: str) -> gymnasium.spaces.Space[Any]:
        """Return the space of an agent's observation in one environment."""
        return self._single[agent]

    def single_action_space(self, agent: str) -> gymnasium.spaces.Space[Any]:
        """Return the space of an agent's action in one environment."""
        return self._slots[agent]

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Infos]]:
        """Begin a tree in every environment, or in those of `reset_mask`; as `RoundsVector.reset`."""
        numbers = np.flatnonzero(self._fleet.reset(seed, options))
        masks = self.trees.masks()
        infos: dict[str, Infos] = {agent: {} for agent in self.agents}
        for agent in self.agents:
            _enter(infos[agent], "action_mask", numbers, masks[numbers], self.num_envs)
        return self._observations(masks), infos

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Floats], dict[str, Bools], dict[str, Bools], dict[str, Infos]]:
        """Play one round in every environment."""
        if self.closed:
            raise EpisodeError("step() after close(): this vector is closed; make another.")
        if not isinstance(actions, Mapping) or set(actions) != set(self.agents):
            raise ConfigError(f"step() takes a batch of actions for each of {self.agents}, not {actions!r:.200}.")
        fleet, trees, count = self._fleet, self.trees, self.num_envs
        chosen = [_whole(actions[agent], count, agent) for agent in self.agents]
        fleet.check()
        offered = trees.size.copy()
        paid = np.zeros((count, self.num_agents))
        infos: dict[str, Infos] = {agent: {} for agent in self.agents}
        begun = going = fleet.going()
        for number, (agent, slots) in enumerate(zip(self.agents, chosen, strict=True)):
            going = fleet.going() if number else begun
            acting = going
            if self._passing is not None:
                acting = self._take_turns(infos[agent], slots, going, begun)
            if len(acting):
                done = trees.expand(acting, number, slots[acting], offered[acting])
                paid[acting] += trees.paid(done, number)
                _told(infos[agent], done, count)
        if self._passing is not None:
            trees.end_round(going)
        ended = fleet.ended()
        if fleet.mode == AutoresetMode.SAME_STEP and ended.any():
            trees.aged()
            self._begin_at_once(np.flatnonzero(ended), infos)
        else:
            fleet.follow(ended)
        trees.aged()
        masks = trees.masks()
        for agent in self.agents:
            _enter(infos[agent], "action_mask", np.arange(count), masks, count)
        rewards = {agent: paid[:, number].copy() for number, agent in enumerate(self.agents)}
        terminated = {agent: ended.copy() for agent in self.agents}
        truncated = {agent: np.zeros(count, np.bool_) for agent in self.agents}
        return self._observations(masks), rewards, terminated, truncated, infos

    def _take_turns(self, info: Infos, slots: Ints, going: Ints, begun: Ints) -> Ints:
        """Return the trees that an agent expands; its info says where it passes, and where its turn comes too late."""
        passes = slots[going] == self._passing
        late = np.setdiff1d(begun, going, assume_unique=True)
        for numbers, said in ((going[passes], "pass"), (late, "cancelled")):
            _enter(info, "outcome", numbers, np.full(len(numbers), said, object), self.num_envs)
        return going[~passes]

    def _begin_at_once(self, ended: Ints, infos: dict[str, Infos]) -> None:
        """Begin anew where a tree ended, and keep every agent's last observation and info."""
        masks, count = self.trees.masks(), self.num_envs
        seen = self._observations(masks)
        said = np.zeros(count, np.bool_)
        said[ended] = True
        for agent, info in infos.items():
            last = np.full(count, None)
            for number in ended.tolist():
                last[number] = {name: batch[number].copy() for name, batch in seen[agent].items()}
            final = _parts(info, ended, count)
            _enter(final, "action_mask", ended, masks[ended], count)
            for name in [name for name in info if not name.startswith("_")]:
                _forget(info, name, ended)
            info |= {"final_obs": last, "_final_obs": said.copy(), "final_info": final, "_final_info": said.copy()}
        self._fleet.begin(ended)

    def state(self) -> Vectors:
        """Return the features of every environment's tree, shape (num_envs, S)."""
        return self.trees.vectors[:, self._common]

    def close(self) -> None:
        """Close the vector: no step can be taken any more."""
        self.closed = True

    def _observations(self, masks: NDArray[np.int8]) -> dict[str, Any]:
        """Return what each agent observes: the vectors with its own `self` column, others' nodes hidden if so ruled."""
        found, game, layout = {}, self._fleet.game, self._fleet.game.layout
        hides = game.task.rules.observe == "own"
        for number, agent in enumerate(self.agents):
            vectors = self.trees.vectors.copy()
            vectors[:, layout.first + number] = 1.0
            if layout.card:
                vectors[:, layout.head - layout.card : layout.head] = game.cards[self.trees.roles[:, number]]
            if hides:
                rows = vectors[:, layout.head :].reshape(self.num_envs, layout.budget + 1, layout.width)
                rows[self.trees.hidden[number], _HIDDEN : len(SLOT_COLUMNS)] = 0.0
            found[agent] = {"observation": vectors, "action_mask": masks.copy()}
        return found


def make_vec(
    task: Task | str,
    num_envs: int = 1,
    *,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    **overrides: Any,
) -> BankRoute | BankRounds:
    """Make many environments on the bank's tables as one; as `mars2_env.make_vec`, which runs programs.

    Args:
        task: as the first argument of `mars2_env.task`, with `generators` of the bank (`bank:able`).
        num_envs: how many environments.
        autoreset_mode: when an environment whose episode is over begins the next: "NextStep", "SameStep", "Disabled".
        **overrides: as in `mars2_env.task`.

    Raises:
        ConfigError: the task makes no sense, or tables cannot play it.
    """
    found = mars2_env.task(task, **overrides)
    if found.api == "parallel":
        return BankRounds(found, num_envs, autoreset_mode=autoreset_mode)
    return BankRoute(found, num_envs, autoreset_mode=autoreset_mode)
