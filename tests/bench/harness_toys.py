"""Algorithms that learn in no time, and results of theirs, for tests of the harness."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from mars2_bench.harness.algorithms import make
from mars2_bench.harness.results import Result
from mars2_bench.harness.running import Cell, learn
from mars2_bench.suite.named import find

ROUTE = "mars2/Route-v1"


@dataclass(frozen=True)
class Uniform:
    """A controller that takes any action on offer; what it prefers it has from its training."""

    preferred: int = 0

    def act(self, observations: Any, rng: np.random.Generator) -> Any:
        if "action_mask" not in observations:
            return {agent: self.act(seen, rng) for agent, seen in observations.items()}
        masks = observations["action_mask"]
        chosen = np.where(masks > 0, rng.random(masks.shape), -1.0).argmax(1)
        return np.where(masks[:, self.preferred] * rng.random(len(masks)) > 0.5, self.preferred, chosen)


@dataclass(frozen=True)
class Toy:
    """Plays at random while it "learns", and then prefers one action, drawn by its seed.

    Attributes:
        envs: trees side by side.
        split: that it learns from.
        fatal: a file: where it is not there yet, it is made half way, and the process kills itself.
    """

    envs: int = 100
    split: str = "train"
    fatal: str = ""

    def __call__(self, named: Any, expansions: int, seed: int, told: Any) -> Uniform:
        vec, rng = named.make_vec(self.envs, split=self.split, autoreset_mode="SameStep"), np.random.default_rng(seed)
        observations, _ = vec.reset(seed=seed)
        learned = Uniform(int(rng.integers(14)))
        for step in range(expansions // self.envs):
            observations, *_ = vec.step(Uniform().act(observations, rng))
            if step in (2, 7):
                told((step + 1) * self.envs, learned)
            if self.fatal and 2 * step > expansions // self.envs and not Path(self.fatal).exists():
                Path(self.fatal).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return learned


def toy_cell(seed: int = 0, budget: int = 1000, **settings: Any) -> Cell:
    spec = ",".join(["harness_toys:Toy", *(f"{key}={value}" for key, value in settings.items())])
    return Cell(find(ROUTE), make(spec), seed, budget)


@cache
def toy_result(seed: int = 0, budget: int = 1000) -> Result:
    return learn(toy_cell(seed, budget))
