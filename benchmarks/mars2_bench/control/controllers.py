"""A cheap task on which a controller of the game `route` or `place` must learn, and what it is held against.

Three SIMULATED generators write programs; a sandbox judges them, each program once (`CachedSandbox`). Each generator is
able on a third of the templates and hopeless on the others, and nothing that a controller sees says which: it must find
out within the tree, from scores, to whom the rest of the budget should go. An open-loop schedule cannot. The problems
are those of the starter set whose broken programs most often pass some of the tests, so that scores say where to go on.
Training uses variants of the train split, evaluation variants of the test split, which no training sees. Runs are
paired: the same problem and episode seed is the same luck, whoever controls.
"""

from __future__ import annotations

import sys
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

import mars2_env
from mars2_bench.command import run as run_command
from mars2_bench.search.trials import KnownReferences
from mars2_env import Policy, ProblemSet, Reply, Sandbox, Task, Turn
from mars2_env.base.extras import needed_by
from mars2_env.sandbox import CachedSandbox
from mars2_env.testing import Profile
from mars2_env.testing.mutation import FAMILIES

TEMPLATES: Final = (
    "banner",
    "counting-out",
    "join-shifts",
    "letter-groups",
    "merge-stock",
    "order-total",
    "pick-word",
    "running-totals",
    "shared-ids",
    "toll-route",
    "weather-report",
    "window-rank",
)
"""Where slips most often leave a program that passes some scoring tests and not all, and none that runs for ever."""

SLIPPERY: Final = ("arithmetic", "boundary", "comparison", "condition", "constant", "initial")
BUDGET: Final = 6
AGENTS: Final = ("first_0", "second_0", "third_0")

ABLE: Final = Profile(
    {family: 0.5 if family in SLIPPERY else 1.0 for family in FAMILIES}, repair=1.0, unaided=0.9, slip=0.4
)
HOPELESS: Final = Profile({family: 0.0 for family in FAMILIES}, repair=1.0, unaided=0.9, slip=1.0)

Act = Callable[[Any], int]
"""Chooses the next action of a `route` environment by looking at it."""

Shape = TypeVar("Shape")


def template(problem: str) -> str:
    """Return the template that a problem of the starter set is a variant of: the third part of its id."""
    return problem.split("/")[2]


@dataclass(frozen=True, slots=True)
class Specialist:
    """SIMULATED: one policy on the problems of some templates, another one on all others.

    Attributes:
        able: who writes on the templates in `subjects`.
        other: who writes elsewhere.
        subjects: names of templates.
    """

    able: Policy
    other: Policy
    subjects: frozenset[str]

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return one reply for each turn, in order."""
        writers = (self.able if template(turn.problem.id) in self.subjects else self.other for turn in turns)
        return [writer.act([turn])[0] for writer, turn in zip(writers, turns, strict=True)]


def specialists(found: ProblemSet) -> dict[str, Policy]:
    """Return the generators, by agent: the templates are dealt to them in turn."""
    able, hopeless = KnownReferences(found, ABLE, name="able"), KnownReferences(found, HOPELESS, name="hopeless")
    return {
        agent: Specialist(able, hopeless, frozenset(TEMPLATES[number :: len(AGENTS)]))
        for number, agent in enumerate(AGENTS)
    }


def problems(split: str, variants: int) -> ProblemSet:
    """Return the first variants of the chosen templates, with at most 2 public and 6 scoring tests each."""
    found = [
        replace(problem, public=problem.public[:2], scoring=problem.scoring[:6])
        for problem in mars2_env.load_problems("starter", split=split)
        if template(problem.id) in TEMPLATES and int(problem.id.split("/")[3]) < variants
    ]
    return ProblemSet("starter", tuple(found), split, "training")


def controller_task(
    game: str, split: str, sandbox: Sandbox, *, variants: int = 5, budget: int = BUDGET, **options: Any
) -> Task:
    """Return the task: three simulated specialists, the share of passed tests as score, progress as reward."""
    found = problems(split, variants)
    options["game"] = game
    if game != "write":
        options["generators"] = specialists(found)
    return mars2_env.task(found, agents=list(AGENTS), budget=budget, score="fraction", sandbox=sandbox, **options)


@dataclass(frozen=True, slots=True)
class Schedule:
    """An open-loop schedule for `route`: (agent, parent) for each expansion, whatever comes out.

    A parent that is not in the tree means its newest node.
    """

    steps: tuple[tuple[int, int], ...]

    def __call__(self, env: Any) -> int:
        """Return the action that is due."""
        size = len(env.episode.nodes)
        agent, parent = self.steps[size]
        return agent * (len(self.steps) + 1) + min(parent, size)


def schedules(agents: int = len(AGENTS), budget: int = BUDGET) -> list[Schedule]:
    """Return open-loop schedules of every plain shape.

    Some drafts, by one agent or all in turn; then refinements, by one or all in turn, of the newest node, of the drafts
    one after the other, or of each agent's own newest node; and every agent's turns in one piece, a chain each.
    """
    turns = [*((agent,) for agent in range(agents)), tuple(range(agents))]
    found: dict[tuple[tuple[int, int], ...], Schedule] = {}

    def keep(steps: Sequence[tuple[int, int]]) -> None:
        found[tuple(steps)] = Schedule(tuple(steps))

    for drafts in sorted({1, 2, 3, agents, 2 * agents, budget} & set(range(1, budget + 1))):
        for writers in turns:
            for menders in turns:
                first = [(writers[t % len(writers)], 0) for t in range(drafts)]
                late = [(t, menders[t % len(menders)]) for t in range(drafts, budget)]
                keep(first + [(agent, budget) for _, agent in late])
                keep(first + [(agent, 1 + (t - drafts) % drafts) for t, agent in late])
                keep(first + [(agent, t - drafts + 1) for t, agent in late])
    piece = -(-budget // agents)
    keep([(t // piece, budget if t % piece else 0) for t in range(budget)])
    return list(found.values())


def play(env: Any, act: Act, problem: str, seed: int) -> float:
    """Return the best final score of one tree of a `route` environment, grown by `act`."""
    env.reset(seed=seed, options={"problem": problem})
    over = False
    while not over:
        _, _, terminated, truncated, _ = env.step(act(env))
        over = terminated or truncated
    return float(env.unwrapped.episode.best_score)


def scores(env: Any, act: Act, seeds: Sequence[int]) -> NDArray[np.float64]:
    """Return the best final scores, shape (problems, seeds)."""
    env = env.unwrapped
    return np.array([[play(env, act, problem.id, seed) for seed in seeds] for problem in env.task.problems])


def best_of(field: Sequence[Shape], mean: Callable[[Shape, Sequence[int]], float], seeds: Sequence[int]) -> Shape:
    """Return the candidate with the highest mean, found by successive halving.

    Each round plays those that are left on more seeds and keeps the better quarter.
    """
    count = 1
    while len(field) > 1:
        keep = np.argsort([mean(candidate, seeds[:count]) for candidate in field])[::-1][: max(1, len(field) // 4)]
        field, count = [field[index] for index in keep], min(4 * count, len(seeds))
    return field[0]


def best_schedule(env: Any, seeds: Sequence[int]) -> Schedule:
    """Return the open-loop schedule that does best on an environment's problems."""
    return best_of(schedules(), lambda schedule, few: float(scores(env, schedule, few).mean()), seeds)


def thompson(task: Task, seeds: Sequence[int]) -> NDArray[np.float64]:
    """Return the best final scores of a `write` task's selector over the same agents, shape (problems, seeds)."""
    grown = [list(mars2_env.rollout(task, specialists(task.problems), seed=seed)) for seed in seeds]
    place = {problem.id: number for number, problem in enumerate(task.problems)}
    found = np.zeros((len(place), len(seeds)))
    for column, trees in enumerate(grown):
        for tree in trees:
            found[place[tree.problem], column] = tree.best_score
    return found


def random_act(seed: int) -> Act:
    """Return the controller that takes any action that is on offer, all equally likely."""
    rng = np.random.default_rng(seed)
    return lambda env: int(rng.choice(np.flatnonzero(env.action_masks())))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One controller held against another on the same problems with the same luck."""

    better: float
    other: float
    p: float

    def __str__(self) -> str:
        return f"{self.better:.3f} against {self.other:.3f} ({self.better - self.other:+.3f}, p = {self.p:.2g})"


def compare(better: NDArray[np.float64], other: NDArray[np.float64], *, flips: int = 100_000) -> Comparison:
    """Hold scores against others, both of shape (problems, seeds), paired.

    `p` is that of a one-sided sign-flip permutation test on the problems' mean differences: the share of random sign
    patterns under which the mean difference is at least as large as it is. Problems, not episodes, are the sample.
    """
    gaps = (better - other).mean(axis=1)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(flips, len(gaps)))
    as_large = int(((signs * gaps).mean(axis=1) >= gaps.mean() - 1e-12).sum())
    return Comparison(float(better.mean()), float(other.mean()), (as_large + 1) / (flips + 1))


class FewSeeds(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Begins each tree with one of a few seeds and any of the problems, so that training meets programs again."""

    def __init__(self, env: Any, count: int, seed: int) -> None:
        """Wrap a `route` environment; draws come from `seed`."""
        super().__init__(env)
        self._route: Any = env.unwrapped
        self._count, self._rng = count, np.random.default_rng(seed)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin the next tree; a seed given is that of the draws."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        found = self._route.task.problems.problems
        problem = found[int(self._rng.integers(len(found)))].id
        return self.env.reset(seed=int(self._rng.integers(self._count)), options={"problem": problem})

    def action_masks(self) -> NDArray[np.int8]:
        """Return the masks of the environment."""
        masks: NDArray[np.int8] = self._route.action_masks()
        return masks


def learner(name: str, env: Any, seed: int) -> Any:
    """Return an untrained learner of Stable-Baselines3 or sb3-contrib on a (vector of) `route` environments."""
    options: dict[str, Any] = {
        "n_steps": 8 * BUDGET,
        "batch_size": 512,
        "n_epochs": 8,
        "gamma": 1.0,
        "gae_lambda": 1.0,
        "learning_rate": 1e-3,
        "ent_coef": 0.01,
        "policy_kwargs": {"net_arch": {"pi": [64, 64], "vf": [128, 128]}},
        "seed": seed,
    }
    with needed_by("mars2_bench.control.controllers"):
        from sb3_contrib import MaskablePPO
        from stable_baselines3 import PPO

    kind: Any = {"maskable_ppo": MaskablePPO, "ppo": PPO}[name]
    return kind("MultiInputPolicy", env, **options)


def train(name: str, sandbox: Sandbox, steps: int, *, envs: int = 32, seed: int = 0, progress: bool = False) -> Act:
    """Return what a learner learned of the training problems in so many expansions: it takes the most likely action."""
    with needed_by("mars2_bench.control.controllers"):
        from stable_baselines3.common.vec_env import DummyVecEnv

    task = controller_task("route", "train", sandbox)
    makers = [partial(FewSeeds, mars2_env.make(task), 16, seed + number) for number in range(envs)]
    model = learner(name, DummyVecEnv(makers), seed)
    model.learn(steps, progress_bar=progress)
    masked = name == "maskable_ppo"

    def act(env: Any) -> int:
        options = {"action_masks": env.action_masks()} if masked else {}
        action, _ = model.predict(env.observation(), deterministic=True, **options)
        return int(action)

    return act


def hold(
    act: Act, schedule: Schedule, sandbox: Sandbox, *, variants: int = 5, seeds: Sequence[int] = range(1000, 1008)
) -> dict[str, Comparison]:
    """Hold a controller on unseen problems against what it must beat, paired.

    Args:
        act: the controller.
        schedule: the best open-loop schedule, chosen on training problems.
        sandbox: where programs run.
        variants: unseen problems for each template.
        seeds: trees for each problem; none that training met.
    """
    env = mars2_env.make(controller_task("route", "test", sandbox, variants=variants))
    learned = scores(env, act, seeds)
    others = {
        "the best schedule": scores(env, schedule, seeds),
        "Thompson sampling": thompson(controller_task("write", "test", sandbox, variants=variants), seeds),
        "random": scores(env, random_act(0), seeds),
    }
    return {name: compare(learned, other) for name, other in others.items()}


def main() -> None:
    """Train a controller, and hold it on unseen problems against open-loop, random and Thompson sampling."""
    parser = ArgumentParser(description=main.__doc__, formatter_class=ArgumentDefaultsHelpFormatter)
    parser.add_argument("--learner", choices=["maskable_ppo", "ppo"], default="maskable_ppo", help="who learns")
    parser.add_argument("--steps", type=int, default=90_000, help="expansions to train on")
    parser.add_argument("--envs", type=int, default=32, help="environments side by side")
    parser.add_argument("--seeds", type=int, default=8, help="trees for each problem in the comparison")
    parser.add_argument("--variants", type=int, default=5, help="unseen problems for each template")
    parser.add_argument(
        "--schedule-seeds", type=int, default=16, help="trees for each problem in the choice of the schedule"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the learner")
    parser.add_argument("--runs", default=None, help="a file that keeps the runs of programs for the next time")
    parser.add_argument("--sandbox", default="auto", help="docker, bubblewrap or auto")
    given = parser.parse_args()

    with CachedSandbox(mars2_env.make_sandbox(given.sandbox), given.runs) as sandbox:
        progress = sys.stderr.isatty()
        act = train(given.learner, sandbox, given.steps, envs=given.envs, seed=given.seed, progress=progress)
        print(f"{given.learner}: trained on {given.steps} expansions; {sandbox.hits} runs known, {sandbox.misses} new")
        training = mars2_env.make(controller_task("route", "train", sandbox))
        schedule = best_schedule(training, range(given.schedule_seeds))
        print(f"best of {len(schedules())} open-loop schedules on the training problems: {schedule.steps}")
        seeds = range(1000, 1000 + given.seeds)
        for name, held in hold(act, schedule, sandbox, variants=given.variants, seeds=seeds).items():
            print(f"on {len(TEMPLATES) * given.variants} unseen problems x {given.seeds} seeds, against {name}: {held}")


if __name__ == "__main__":
    run_command(main)
