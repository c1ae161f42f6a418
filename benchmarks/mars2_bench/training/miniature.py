"""The miniature experiment: what training in a shared tree teaches, in arms that differ in one thing each.

    python -m mars2_bench.training.miniature --out runs/miniature
    python -m mars2_bench.training.miniature --out runs/miniature --report

Each arm and seed is one file of results, written when it is through: what is there is not made again, so that a run that
was stopped goes on where it was, and several may share one folder. All programs run in the sandbox; equal programs on
equal inputs run once (`CachedSandbox`), which is what makes it cheap.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from mars2_bench.command import run
from mars2_bench.training.arms import ARMS, PAIRS, Arm
from mars2_bench.training.bases import base
from mars2_bench.training.held_out import AGENTS, fresh_measures, has_blind, team_measures, team_task
from mars2_bench.training.policy import MiniaturePolicy
from mars2_bench.training.world import pipelines, problems
from mars2_env.problems import ProblemSet
from mars2_env.sandbox import Sandbox, make_sandbox
from mars2_env.sandbox.cached import CachedSandbox

NODES: Final = (4, 8, 16)
"""After how many nodes a team's trees are looked at."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large an experiment is.

    Attributes:
        updates: of each policy.
        samples: completions of a policy for an update.
        nodes: of a tree in training.
        draws: fresh answers to each held-out task, for Pass@1.
        tasks: held-out tasks; None for all.
        every: updates between two looks at held-out tasks.
        looks: tasks of such a look.
        fine_tuning: updates of a base.
    """

    updates: int = 60
    samples: int = 128
    nodes: int = 8
    draws: int = 4
    tasks: int | None = None
    every: int = 10
    looks: int = 144
    fine_tuning: int = 1000


FULL: Final = Size()
QUICK: Final = Size(updates=30, tasks=144, every=30)
