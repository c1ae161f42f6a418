"""What the environments cost beside the models and programs that they wait for.

    python -m mars2_bench.speed.env_cost            # a minute or two; prints Markdown tables
    python -m mars2_bench.speed.env_cost --quick    # short rounds, to see that it works

Four tables, all from one run:

    steps     steps a second of each game in trees of 16 nodes: of CPU time with the scripted sandbox (which runs
              nothing), of wall time with the real one; beside them the floor, of CPU time, the same loop over a
              PettingZoo or Gymnasium environment that does nothing. A step is one expansion; a parallel round counts
              one for each agent, a vector's step one for each environment.
    overhead  milliseconds of CPU time of one expansion outside model and judge, by the size of the tree: step and
              observation, less the time inside the policy and the sandbox. `random` trees have random parents, a
              `chain` refines the newest node each time (the deepest tree there is). Medians around that size.
    reset     milliseconds of a reset, the sandbox warm and the problem set loaded; median and 95th percentile.
    memory    KiB of one live environment when begun, and of one whose tree has 16 nodes; Python's own count, without
              what all environments of a process share (problem set, sandbox).

Programs are the starter set's references (15 lines, the median one), each with a line that makes it unique. Leave the
machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any, Final

import gymnasium
import numpy as np
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import AgentSelector
from rich.console import Console
from rich.progress import Progress

import mars2_env
from mars2_bench.command import run as run_command
from mars2_env.errors import Mars2Error, SandboxUnavailableError
from mars2_env.sandbox import Sandbox, make_sandbox
from mars2_env.testing import ScriptedSandbox
from mars2_env.types import Reply, Run, Turn

AGENTS: Final = 2
GAMES: Final = (("write", "aec"), ("play", "aec"), ("play", "parallel"), ("place", "aec"), ("place", "parallel"))
ROUTE: Final = ("route", "gymnasium")
ALL: Final = (*GAMES, ROUTE)
SHAPES: Final = ("random", "chain")
VECTOR: Final = 8


def programs() -> Iterator[str]:
    """Yield the starter set's reference programs over and over, each time with another last line."""
    references = [problem.reference or "" for problem in mars2_env.load_problems("starter")]
    for number, reference in enumerate(itertools.cycle(references)):
        yield f"{reference.rstrip()}\nnumber = {number}\n"


@dataclass
class Stopwatch:
    """CPU time spent in what is not the environment."""

    seconds: float = 0.0
    texts: Iterator[str] = field(default_factory=programs)

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Write a program for each turn, off the clock of the environment."""
        start = time.process_time()
        replies = [Reply(next(self.texts)) for _ in turns]
        self.seconds += time.process_time() - start
        return replies


class TimedSandbox(ScriptedSandbox):
    """Answers at once, and counts the time it takes for that."""

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__(self._answer)
        self.watch = watch

    def _answer(self, program: str, input: Any) -> Run:
        return Run("ok", output="0")

    def stream(self, *arguments: Any, **options: Any) -> Iterator[Run]:
        """Answer, off the clock of the environment."""
        start = time.process_time()
        self.calls.clear()  # what it was asked is not kept
        runs = list(super().stream(*arguments, **options))
        self.watch.seconds += time.process_time() - start
        return iter(runs)


class Driver:
    """Plays one environment, an expansion (or a round of them) at a time, as a training loop would."""

    def __init__(self, env: Any, shape: str = "random") -> None:
        self.env = env
        self.shape = shape
        self.rng = np.random.default_rng(0)
        self.texts = programs()
        self.size = 1

    def reset(self) -> None:
        """Begin an episode."""
        self.env.reset(seed=0)
        self.size = 1

    def slot(self) -> int:
        """Return the slot to expand."""
        return self.size - 1 if self.shape == "chain" else int(self.rng.integers(self.size))

    def step(self) -> int:
        """Do one step, resetting at the end of an episode, and return how many expansions it was."""
        env = self.env
        if isinstance(env, gymnasium.vector.VectorEnv):
            env.step(np.array([self.rng.choice(np.flatnonzero(mask)) for mask in env.action_masks()]))  # type: ignore[attr-defined]
            return env.num_envs
        if isinstance(env, gymnasium.Env):
            agents = getattr(env, "possible_agents", ["agent_0"])
            slots = env.action_space.n // len(agents)  # type: ignore[attr-defined]
            action = int(self.rng.integers(len(agents))) * slots + self.slot()
            _, _, over, _, _ = env.step(action)
            self.size += 1
            if over:
                self.reset()
            return 1
        if isinstance(env, ParallelEnv):
            actions = {agent: self.action(env, agent) for agent in env.agents}
            env.step(actions)
            self.size += len(actions)
            if not env.agents:
                self.reset()
            return len(actions)
        _, _, over, _, _ = env.last()
        env.step(self.action(env, env.agent_selection))
        self.size += 1
        if over or env.terminations[env.agent_selection]:
            self.reset()
        return 1

    def action(self, env: Any, agent: str) -> Any:
        """Return an agent's action."""
        space = env.action_space(agent)
        if isinstance(space, gymnasium.spaces.Discrete):
            return self.slot()
        program = {"program": next(self.texts)}
        return program if "parent" not in space.spaces else {"parent": self.slot(), **program}


class TrivialAEC(AECEnv[str, Any, Any]):
    """The floor for AEC environments: it counts steps and returns a fixed observation."""

    metadata = {"name": "floor", "render_modes": []}  # noqa: RUF012

    def __init__(self, length: int = 16) -> None:
        super().__init__()
        self.possible_agents = [f"agent_{number}" for number in range(AGENTS)]
        self.length = length
        self.spaces = {agent: gymnasium.spaces.Discrete(length + 1) for agent in self.possible_agents}
        self.seen = np.zeros(4, np.float32)

    def action_space(self, agent: str) -> Any:
        """Return the space of an agent's actions."""
        return self.spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin again."""
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self.order = AgentSelector(self.agents)
        self.agent_selection = self.order.next()
        self.count = 0

    def observe(self, agent: str) -> Any:
        """Return the one observation there is."""
        return self.seen

    def step(self, action: Any) -> None:
        """Count."""
        self.count += 1
        self._cumulative_rewards[self.agent_selection] = 0.0
        self.terminations = dict.fromkeys(self.agents, self.count >= self.length)
        self.agent_selection = self.order.next()
        self._accumulate_rewards()


class TrivialParallel(ParallelEnv[str, Any, Any]):
    """The floor for Parallel environments."""

    metadata = {"name": "floor", "render_modes": []}  # noqa: RUF012

    def __init__(self, length: int = 16) -> None:
        self.possible_agents = [f"agent_{number}" for number in range(AGENTS)]
        self.length = length
        self.spaces = {agent: gymnasium.spaces.Discrete(length + 1) for agent in self.possible_agents}
        self.seen = np.zeros(4, np.float32)

    def action_space(self, agent: str) -> Any:
        """Return the space of an agent's actions."""
        return self.spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin again."""
        self.agents = list(self.possible_agents)
        self.count = 0
        return dict.fromkeys(self.agents, self.seen), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, Any]) -> Any:
        """Count."""
        self.count += len(actions)
        over = self.count >= self.length
        agents = self.agents
        self.agents = [] if over else agents
        return (
            dict.fromkeys(agents, self.seen),
            dict.fromkeys(agents, 0.0),
            dict.fromkeys(agents, over),
            dict.fromkeys(agents, False),
            {agent: {} for agent in agents},
        )


class TrivialGym(gymnasium.Env[Any, Any]):
    """The floor for Gymnasium environments."""

    def __init__(self, length: int = 16) -> None:
        self.length = length
        self.action_space = gymnasium.spaces.Discrete(length + 1)
        self.observation_space = gymnasium.spaces.Box(0, 1, (4,))
        self.seen = np.zeros(4, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin again."""
        self.count = 0
        return self.seen, {}

    def step(self, action: Any) -> Any:
        """Count."""
        self.count += 1
        return self.seen, 0.0, self.count >= self.length, False, {}


FLOORS: Final[dict[str, Callable[[], Any]]] = {
    "aec": TrivialAEC,
    "parallel": TrivialParallel,
    "gymnasium": TrivialGym,
}


def make(game: str, api: str, sandbox: Sandbox, watch: Stopwatch, budget: int) -> Any:
    """Make an environment of a game."""
    options: dict[str, Any] = {"game": game, "api": api}
    if game in ("place", "route"):
        options["generators"] = watch
    return mars2_env.make("starter", agents=AGENTS, budget=budget, sandbox=sandbox, **options)


def rate(driver: Driver, seconds: float, clock: Callable[[], float] = time.process_time) -> float:
    """Return expansions a second over so many seconds of a clock: by default this process's CPU time."""
    driver.reset()
    driver.step()
    count, start = 0, clock()
    while (now := clock()) - start < seconds:
        count += driver.step()
    return count / (now - start)


def overhead(game: str, api: str, shape: str, size: int, samples: int) -> float:
    """Return milliseconds of one expansion outside model and judge, in trees of about `size` nodes (the median)."""
    watch = Stopwatch()
    around = min(size // 4, 16)
    budget = -(-(size + around) // AGENTS) * AGENTS + AGENTS
    driver = Driver(make(game, api, TimedSandbox(watch), watch, budget), shape)
    texts = programs()
    spent: list[float] = []
    while len(spent) < samples:
        driver.reset()
        while driver.size < size + around:
            driver.texts = iter([next(texts) for _ in range(AGENTS)])  # written before the clock starts
            watch.seconds, start = 0.0, time.process_time()
            count = driver.step()
            elapsed = time.process_time() - start - watch.seconds
            if driver.size > size - around:
                spent.append(elapsed / count)
    return median(spent) * 1e3


def reset_times(game: str, api: str, sandbox: Sandbox, count: int) -> tuple[float, float]:
    """Return milliseconds of a reset: median and 95th percentile."""
    env = make(game, api, sandbox, Stopwatch(), 16)
    env.reset(seed=0)
    spent = []
    for number in range(count):
        start = time.perf_counter()
        env.reset(seed=number)
        spent.append((time.perf_counter() - start) * 1e3)
    return median(spent), quantiles(spent, n=20)[-1]


def memory(game: str, api: str, count: int) -> tuple[float, float]:
    """Return KiB of one live environment: just begun, and with a tree of 16 nodes."""
    watch = Stopwatch()
    sandbox = TimedSandbox(watch)
    task = make(game, api, sandbox, watch, 18).task
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        drivers = [Driver(mars2_env.make(task)) for _ in range(count)]
        for driver in drivers:
            driver.reset()
        begun = tracemalloc.get_traced_memory()[0]
        for driver in drivers:
            while driver.size < 17:
                driver.step()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    return (begun - before) / count / 1024, (grown - before) / count / 1024


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [f"\n**{title}**\n", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def real_sandbox() -> Sandbox | None:
    """Return a warm real sandbox, or None where this machine has none."""
    try:
        sandbox = make_sandbox()
        sandbox.run("print(1)", [""])
    except SandboxUnavailableError as error:
        print(f"no real sandbox here: {error}", file=sys.stderr)
        return None
    return sandbox


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m mars2_bench.speed.env_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="short rounds, to see that it works")
    parser.add_argument("--only", choices=TABLES, action="append", help="one of the tables; may be given several times")
    options = parser.parse_args(arguments)
    wanted = options.only or TABLES
    real = real_sandbox() if {"steps", "reset"} & set(wanted) else None
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            for name in TABLES:
                if name in wanted:
                    print(MEASURES[name](options.quick, real, progress), flush=True)
    except Mars2Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        if real is not None:
            real.close()
    return 0


def steps_table(quick: bool, real: Sandbox | None, progress: Progress) -> str:
    """Measure steps a second."""
    seconds = 0.1 if quick else 2.0
    rows = []

    def measure(game: str, api: str, floor: float, made: Callable[[Sandbox, Stopwatch], Any]) -> None:
        watch = Stopwatch()
        scripted = rate(Driver(made(TimedSandbox(watch), watch)), seconds)
        judged = "-" if real is None else f"{rate(Driver(made(real, watch)), 2 * seconds, time.perf_counter):,.0f}"
        rows.append((game, api, f"{scripted:,.0f}", judged, f"{floor:,.0f}", f"{floor / scripted:.0f}"))

    floors = {}
    for game, api in progress.track(ALL, description="steps"):
        floors[api] = rate(Driver(FLOORS[api]()), seconds)
        measure(game, api, floors[api], lambda sandbox, watch, g=game, a=api: make(g, a, sandbox, watch, 16))  # type: ignore[misc]
    measure("route", f"vector of {VECTOR}", floors["gymnasium"], _vector)
    kind = "none here" if real is None else real.identity.partition(":")[0]
    header = ("game", "api", "scripted", f"real ({kind})", "floor", "floor / scripted")
    return table("steps a second, trees of 16 nodes", header, rows)


def overhead_table(quick: bool, real: Sandbox | None, progress: Progress) -> str:
    """Measure the time of an expansion outside model and judge."""
    sizes, samples = ((16, 64), 8) if quick else ((16, 256, 1024), 64)
    cases = [(game, api, shape) for game, api in ALL for shape in SHAPES]
    rows = [
        (*case, *(f"{overhead(*case, size, samples):.2f}" for size in sizes))
        for case in progress.track(cases, description="overhead")
    ]
    header = ("game", "api", "tree", *(f"{size:,} nodes" for size in sizes))
    return table("overhead: ms an expansion, outside model and judge", header, rows)


def reset_table(quick: bool, real: Sandbox | None, progress: Progress) -> str:
    """Measure resets."""
    rows = []
    for game, api in progress.track(ALL, description="reset"):
        middle, late = reset_times(game, api, real or TimedSandbox(Stopwatch()), 20 if quick else 300)
        rows.append((game, api, f"{middle:.2f}", f"{late:.2f}"))
    return table("reset: ms, warm", ("game", "api", "median", "95 %"), rows)


def memory_table(quick: bool, real: Sandbox | None, progress: Progress) -> str:
    """Measure the memory of live environments."""
    rows = []
    for game, api in progress.track(ALL, description="memory"):
        begun, grown = memory(game, api, 5 if quick else 50)
        rows.append((game, api, f"{begun:.0f}", f"{grown:.0f}"))
    return table("memory: KiB an environment", ("game", "api", "begun", "16 nodes"), rows)


TABLES: Final = ("steps", "overhead", "reset", "memory")
MEASURES: Final[dict[str, Callable[[bool, Sandbox | None, Progress], str]]] = {
    "steps": steps_table,
    "overhead": overhead_table,
    "reset": reset_table,
    "memory": memory_table,
}


def _vector(sandbox: Sandbox, watch: Stopwatch) -> Any:
    return mars2_env.make_vec(
        "starter", VECTOR, game="route", agents=AGENTS, budget=16, sandbox=sandbox, generators=watch
    )


if __name__ == "__main__":
    run_command(main)
