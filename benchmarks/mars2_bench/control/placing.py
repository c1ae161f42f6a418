"""A cheap task on which controllers of the game `place` must learn, and what they are held against.

The generators, the problems and the comparison are those of `controllers`: three SIMULATED specialists, each able on a
third of the templates. Each agent decides where its own generator goes on. A controller is a function
`act(observation, mask, agent)`, whatever library made it; it plays the Parallel and the AEC form. Runs are paired: the
same problem and episode seed is the same luck, whoever controls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pettingzoo import ParallelEnv
from pettingzoo.utils.wrappers import BaseParallelWrapper, BaseWrapper

import mars2_env
from mars2_bench.control.controllers import Comparison, best_of, compare, controller_task
from mars2_env import ProblemSet, Sandbox, Task
from mars2_env.features import SLOT_COLUMNS, Layout

BUDGET: Final = 18
"""Six decisions of each agent: with less, drafts alone do almost as well as anything."""

Vector = NDArray[np.float32]
Mask = NDArray[np.int8]
Act = Callable[[Vector, Mask, str], int]
"""Chooses a slot: from an agent's vector (shape (F,)), which slots there are (shape (budget + 1,)), and its name."""

Place = Literal["own", "next", "newest", "drafts"] | int
"""Which node a schedule refines: the newest of the agent's own, of the agent's after it or of all; the drafts one after
the other; or the newest of the agent with that number."""

HELD_OUT_SEEDS: Final = range(1000, 1004)


def place_task(api: Literal["parallel", "aec"], split: str, sandbox: Sandbox, **options: Any) -> Task:
    """Return the task: `controller_task` of the game `place`, with 18 nodes."""
    return controller_task("place", split, sandbox, budget=BUDGET, api=api, **options)


@dataclass(frozen=True, slots=True)
class Schedule:
    """An open-loop schedule: where each agent expands the tree in each round, whatever comes out.

    Attributes:
        layout: of the observations.
        drafts: in how many rounds every agent writes afresh.
        menders: the agents that refine after these; the others go on writing afresh.
        place: what they refine.
    """

    layout: Layout
    drafts: int
    menders: frozenset[int]
    place: Place

    def __str__(self) -> str:
        names = ", ".join(self.layout.agents[number] for number in sorted(self.menders)) or "nobody"
        place = self.layout.agents[self.place] + "'s newest" if isinstance(self.place, int) else self.place
        return f"{self.drafts} rounds of drafts, then {names} on: {place}"

    def __call__(self, observation: Vector, mask: Mask, agent: str) -> int:
        """Return the slot that is due."""
        agents = self.layout.agents
        number, size = agents.index(agent), int(mask.sum()) - 1
        turn = round((1.0 - float(observation[0])) * self.layout.budget) // len(agents)
        if turn < self.drafts or number not in self.menders or size == 0:
            return 0
        if self.place == "newest":
            return size
        if self.place == "drafts":
            drafts = self.drafts * len(agents)
            return min(1 + ((turn - self.drafts) * len(agents) + number) % drafts, size)
        author = {"own": number, "next": (number + 1) % len(agents)}.get(str(self.place), self.place)
        written = np.flatnonzero(self.layout.slots(observation)[:, len(SLOT_COLUMNS) + int(author)])
        return int(written[-1]) if len(written) else 0


def schedules(task: Task) -> list[Schedule]:
    """Return open-loop schedules of every plain shape for the agents and the budget of a `place` task.

    Some rounds of drafts by all; then all agents refine: their own newest node, the next agent's, the newest of all,
    the drafts one after the other, or the newest of one agent; or one agent refines and the others write afresh.
    """
    agents = tuple(task.agents)
    layout, everyone = Layout(int(task.budget.nodes or 0), agents, observer=True), frozenset(range(len(agents)))
    rounds = -(-layout.budget // len(agents))
    places: tuple[Place, ...] = ("own", "next", "newest", "drafts")
    found = [Schedule(layout, rounds, frozenset(), "own")]
    for drafts in range(1, rounds):
        found += [Schedule(layout, drafts, everyone, place) for place in (*places, *sorted(everyone))]
        found += [Schedule(layout, drafts, frozenset({one}), place) for one in sorted(everyone) for place in places]
    return found


def random_act(seed: int) -> Act:
    """Return the controller that takes any slot there is, all equally likely."""
    rng = np.random.default_rng(seed)
    return lambda observation, mask, agent: int(rng.choice(np.flatnonzero(mask)))


def play(env: Any, act: Act, problem: str, seed: int) -> float:
    """Return the best final score of one tree of a Parallel or AEC environment of `place`, grown by `act`."""
    found = env.reset(seed=seed, options={"problem": problem})
    if isinstance(env, ParallelEnv):
        seen = found[0]
        while env.agents:
            seen, *_ = env.step({a: act(seen[a]["observation"], seen[a]["action_mask"], a) for a in env.agents})
    else:
        for agent in env.agent_iter():
            one, _, terminated, truncated, _ = env.last()
            env.step(None if terminated or truncated else act(one["observation"], one["action_mask"], agent))
    return float(env.unwrapped.episode.best_score)


def scores(env: Any, act: Act, seeds: Sequence[int]) -> NDArray[np.float64]:
    """Return the best final scores, shape (problems, seeds)."""
    return np.array([[play(env, act, problem.id, seed) for seed in seeds] for problem in env.unwrapped.task.problems])


def best_schedule(env: Any, seeds: Sequence[int]) -> Schedule:
    """Return the open-loop schedule that does best on an environment's problems."""
    field = schedules(env.unwrapped.task)
    return best_of(field, lambda schedule, few: float(scores(env, schedule, few).mean()), seeds)


@dataclass(frozen=True, slots=True)
class Held:
    """How a controller does on unseen problems."""

    random: Comparison
    schedule: Comparison
    shape: Schedule

    def __str__(self) -> str:
        return f"against random: {self.random}\nagainst the best schedule ({self.shape}): {self.schedule}"


def held_out(
    act: Act,
    api: Literal["parallel", "aec"],
    sandbox: Sandbox,
    *,
    variants: int = 5,
    seeds: Sequence[int] = HELD_OUT_SEEDS,
    schedule: Schedule | None = None,
    seed: int = 0,
) -> Held:
    """Hold a controller on unseen problems against random and against the best open-loop schedule, paired.

    Args:
        act: the controller.
        api: `parallel` or `aec`.
        sandbox: where programs run.
        variants: unseen problems for each template.
        seeds: trees for each problem; none that training met.
        schedule: the open-loop schedule; by default the best one on the training problems.
        seed: of random.
    """
    if schedule is None:
        schedule = best_schedule(mars2_env.make(place_task(api, "train", sandbox, variants=1)), range(8))
    env = mars2_env.make(place_task(api, "test", sandbox, variants=variants))
    learned = scores(env, act, seeds)
    return Held(
        compare(learned, scores(env, random_act(seed), seeds)), compare(learned, scores(env, schedule, seeds)), schedule
    )


class _Draws:
    """Draws one of a few seeds and any of the problems."""

    def __init__(self, problems: ProblemSet, count: int, seed: int) -> None:
        self._problems, self._count, self._rng = problems, count, np.random.default_rng(seed)

    def options(self, seed: int | None) -> dict[str, Any]:
        """Return the arguments of the next `reset`; a seed given is that of the draws from now on."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        found = self._problems.problems
        problem = found[int(self._rng.integers(len(found)))].id
        return {"seed": int(self._rng.integers(self._count)), "options": {"problem": problem}}


class _FewSeedsParallel(BaseParallelWrapper):
    def __init__(self, env: Any, count: int, seed: int) -> None:
        super().__init__(env)
        self.draws = _Draws(env.unwrapped.task.problems, count, seed)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return self.env.reset(**self.draws.options(seed))


class _FewSeedsAEC(BaseWrapper):
    def __init__(self, env: Any, count: int, seed: int) -> None:
        super().__init__(env)
        self.draws = _Draws(env.unwrapped.task.problems, count, seed)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        self.env.reset(**self.draws.options(seed))


def few_seeds(env: Any, count: int = 8, seed: int = 0) -> Any:
    """Wrap a `place` environment: each tree begins with one of `count` seeds and any of the problems.

    So training meets the same programs again. Draws come from `seed`, or from a later `reset(seed=...)`.
    """
    return (_FewSeedsParallel if isinstance(env, ParallelEnv) else _FewSeedsAEC)(env, count, seed)
